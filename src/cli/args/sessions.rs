//! What can be typed to find sessions, and to watch one.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use record::Part;

use super::OutcomeArg;
use crate::store::parse_time;

/// List the recorded sessions, newest first, or those in which something is found.
#[derive(Debug, Args)]
#[command(after_help = "Words have to stand in one and the same prompt, reply, call or output; \
    '\"two words\"' are looked for side by side, and 'pars*' is the beginning of a word.\n\n\
    Example:\n  limn sessions --json | jq -r .id\n  limn sessions --search 'borrow checker' \
    --in output\n  limn sessions --file src/parser.rs --since 7d --outcome success\n  limn \
    sessions --tag lexer --limit 5")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    /// So many sessions at most, the newest [default: 50 with --search, unless as JSON].
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is looked for: everything that is given has to hold.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that stand in a prompt, a reply, a call or an output.
    #[arg(long = "search", value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Where the words stand; may be repeated.
    #[arg(long = "in", value_parser = part(), value_name = "PART", requires = "text")]
    pub(crate) parts: Vec<Part>,
    /// A file that a call named or you changed: its path, or the end of it.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<String>,
    /// A tool that was called.
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// A model that was used, or a part of its name.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Alive since then: `2026-11-20`, `2026-11-20T14:00`, or an age such as `7d` or `2h`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<i64>,
    /// Begun before then; of a day, its beginning.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<i64>,
    /// How it turned out, as somebody said.
    #[arg(long, value_enum)]
    pub(crate) outcome: Option<OutcomeArg>,
    /// A tag it has, by `limn annotate --tag` or `/tag`; may be repeated: each of them.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

impl SearchArgs {
    /// Whether nothing in particular is looked for.
    pub(crate) fn is_nothing(&self) -> bool {
        let Self { text, parts: _, file, tool, model, since, until, outcome, tags } = self;
        text.is_none()
            && file.is_none()
            && tool.is_none()
            && model.is_none()
            && since.is_none()
            && until.is_none()
            && outcome.is_none()
            && tags.is_empty()
    }
}

/// Watch a session as it happened: in the terminal, or as an asciicast of what its commands printed.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: space pauses, the arrows step, [ and ] go to prompts, + and - change the \
    speed, 0 to 9 jump, q leaves.\n\nExample:\n  limn play last --speed 4\n  limn play last \
    --cast build.cast --exec 3"
)]
pub(crate) struct PlayArgs {
    /// An id, a unique prefix of one, or `last`.
    pub(crate) id: String,
    /// How many times as fast as it happened.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// The longest pause, seconds; without it, pauses are as long as they were.
    #[arg(long, value_name = "S", value_parser = speed)]
    pub(crate) idle_max: Option<f64>,
    /// The event to begin at, by its number.
    #[arg(long, value_name = "SEQ", default_value_t = 0, conflicts_with = "cast")]
    pub(crate) from: u64,
    /// Write what the commands printed into this file instead, in asciicast v3.
    #[arg(long, value_name = "FILE")]
    pub(crate) cast: Option<PathBuf>,
    /// Only this execution.
    #[arg(long, value_name = "N", requires = "cast")]
    pub(crate) exec: Option<u32>,
    /// With what was typed into the commands, by the model and by you: passwords too.
    #[arg(long, requires = "cast")]
    pub(crate) input: bool,
}

/// A number above zero.
fn speed(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "not a number above zero".to_owned())
}

/// A part of a trajectory, by its word.
fn part() -> impl TypedValueParser<Value = Part> {
    PossibleValuesParser::new(Part::ALL.map(Part::as_str))
        .try_map(|word| Part::parse(&word).ok_or("it is none of them"))
}
