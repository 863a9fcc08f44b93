//! The system prompt. Every training sample carries it, so it is short, and it names nothing that
//! differs between two runs of the same task: no date, no path.

const SYSTEM: &str = include_str!("../../assets/prompts/system.md");

/// The system prompt of a new session.
pub(crate) fn system() -> String {
    SYSTEM.trim_end().to_owned()
}
