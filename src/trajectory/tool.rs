//! What a model is told of a tool, and what the agent must know of it to decide.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What running a tool can do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolEffect {
    /// Looks, changes nothing: it may start before its intent is on disk.
    ReadOnly,
    /// Changes files of the workspace.
    Writes,
    /// Talks to a server somewhere.
    Network,
    /// Runs somebody's program.
    Executes,
}

impl ToolEffect {
    /// Whether a power cut may not lose the intent: the start waits for an fsync.
    #[must_use]
    pub const fn has_side_effects(self) -> bool {
        !matches!(self, Self::ReadOnly)
    }
}

/// A tool as it is offered to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name the model calls it by.
    pub name: String,
    /// What it is for, in the words the model reads.
    pub description: String,
    /// JSON Schema of its arguments; key order is kept, it is part of the prompt.
    pub parameters: Value,
    /// What it can do; not sent to the model.
    pub effect: ToolEffect,
    /// The grammar of its input, for APIs that let a model write it without JSON around it. As a
    /// function it takes one string, `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grammar: Option<String>,
}

impl ToolSpec {
    /// The tool as the Responses API takes it: a custom tool with a Lark grammar where there is
    /// one, else a function.
    #[must_use]
    pub fn to_responses(&self) -> Value {
        match &self.grammar {
            Some(grammar) => serde_json::json!({
                "type": "custom",
                "name": self.name,
                "description": self.description,
                "format": { "type": "grammar", "syntax": "lark", "definition": grammar },
            }),
            None => serde_json::json!({
                "type": "function",
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
                "strict": false,
            }),
        }
    }

    /// The function-tool object of the Chat Completions request and of `tools` columns.
    #[must_use]
    pub fn to_chat(&self) -> Value {
        serde_json::json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        })
    }
}
