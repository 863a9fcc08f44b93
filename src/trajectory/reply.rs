//! A reply on its way from the model to the log.

use crate::event::ReasoningField;

/// A part of a reply. The order of parts is the order in which the model produced them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reasoning.
    Reasoning {
        /// The text.
        text: String,
        /// The key it came under.
        field: ReasoningField,
    },
    /// Text to the user.
    Text(String),
    /// A call of a tool.
    ToolCall {
        /// The provider's id.
        id: String,
        /// The tool's name, as written.
        name: String,
        /// The arguments, as written.
        arguments: String,
    },
}
