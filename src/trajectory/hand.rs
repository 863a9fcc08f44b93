//! The user's own hand on a command that runs: what a terminal asks for and a session does.

/// What the user does to a command, by the number of its execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Types into its terminal.
    Type {
        /// The execution.
        exec: u32,
        /// What a keyboard sends.
        bytes: Vec<u8>,
    },
    /// Gives its terminal another size.
    Resize {
        /// The execution.
        exec: u32,
        /// Characters in a row.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// Ends it.
    Stop {
        /// The execution.
        exec: u32,
    },
}
