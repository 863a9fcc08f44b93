//! A reply on its way from the model to the log.

use crate::event::{ReasoningField, ReasoningForm};

/// A part of a reply. The order of parts is the order in which the model produced them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reasoning.
    Reasoning {
        /// The text.
        text: String,
        /// Where it was found.
        field: ReasoningField,
        /// What kind of text it is.
        form: ReasoningForm,
        /// What the provider wants back with it, as JSON.
        signature: Option<String>,
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
        /// The arguments are the input of a freeform tool, not JSON.
        freeform: bool,
        /// What the provider wants back with the call, as JSON.
        signature: Option<String>,
    },
}

impl Part {
    /// Reasoning as it was sampled, under that key.
    #[must_use]
    pub fn reasoning(text: impl Into<String>, field: ReasoningField) -> Self {
        Self::Reasoning { text: text.into(), field, form: ReasoningForm::Full, signature: None }
    }

    /// A call of a function.
    #[must_use]
    pub fn tool_call(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self::ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
            freeform: false,
            signature: None,
        }
    }
}
