//! What flickers: shown at once, kept only as a draft until the event that completes it.

use std::sync::Arc;

use crate::event::ReasoningField;

/// A piece of something unfinished. It reaches a draft within 20 ms or 50 pieces; after a kill,
/// recovery closes the draft as an interrupted reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Reasoning arrives.
    Reasoning {
        /// The request it answers.
        request: u32,
        /// The key it comes under.
        field: ReasoningField,
        /// The next piece.
        text: String,
    },
    /// Text to the user arrives.
    Text {
        /// The request it answers.
        request: u32,
        /// The next piece.
        text: String,
    },
    /// A tool call takes shape.
    ToolCall {
        /// The request it answers.
        request: u32,
        /// Which of the reply's parallel calls.
        index: u32,
        /// The tool's name, once it is known.
        name: Option<String>,
        /// The next piece of the arguments.
        arguments: String,
    },
    /// A request failed and is asked again: pieces of this request so far are void.
    Retry {
        /// The request that is asked again.
        request: u32,
        /// What went wrong.
        reason: String,
    },
    /// A command printed something: raw bytes of its terminal.
    Output {
        /// The execution.
        exec: u32,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// The terminal of a command was given another size.
    Resized {
        /// The execution.
        exec: u32,
        /// Characters in a row, and rows.
        size: (u16, u16),
    },
}
