//! What of a recording can be searched for: its words, and by what it can be told apart.
//!
//! The same event gives the same passage for ever, since the index is told once more what it was
//! given when something is deleted from it. Whoever changes what comes out of here adds a step to
//! the library's format that empties the index.

use serde_json::Value;
use trajectory::Body;

/// The most text of one event that is indexed, bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Arguments that name a file, whatever the tool.
const FILE_ARGUMENTS: &[&str] =
    &["file_path", "path", "absolute_path", "notebook_path", "filename", "file"];

/// Where a word was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the user said: prompts, and what was said meanwhile.
    Prompt,
    /// What the model thought.
    Reasoning,
    /// What the model said.
    Message,
    /// What a tool was called with, a user's command included.
    Call,
    /// What came back, as the model was shown it.
    Output,
    /// What the user changed in the workspace.
    Edit,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Prompt, Self::Reasoning, Self::Message, Self::Call, Self::Output, Self::Edit];

    /// The word for it, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Reasoning => "reasoning",
            Self::Message => "message",
            Self::Call => "call",
            Self::Output => "output",
            Self::Edit => "edit",
        }
    }

    /// The part with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == word)
    }
}

/// The text of an event, as people would look for it; none where there is nothing to read.
pub(super) fn passage(body: &Body) -> Option<(Part, String)> {
    let (part, mut text) = match body {
        Body::Prompt(prompt) => (Part::Prompt, prompt.text.clone()),
        Body::Steering(steering) => (Part::Prompt, steering.text.clone()),
        Body::Reasoning(reasoning) => (Part::Reasoning, reasoning.text.clone()),
        Body::Message(message) => (Part::Message, message.text.clone()),
        Body::ToolCall(call) => (Part::Call, format!("{} {}", call.name, said(&call.arguments))),
        Body::UserCommand(it) => (Part::Call, format!("{}\n{}", it.command, it.shown)),
        Body::Observation(seen) => (Part::Output, seen.shown.clone()),
        Body::BackgroundExit(exit) => (Part::Output, exit.shown.clone()),
        Body::UserEdit(edit) => (Part::Edit, edit.shown.clone()),
        _ => return None,
    };
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    (!text.trim().is_empty()).then_some((part, text))
}

/// The call that an event makes or answers.
pub(super) const fn call_of(body: &Body) -> Option<u32> {
    match body {
        Body::ToolCall(call) => Some(call.call),
        Body::Observation(seen) => Some(seen.call),
        _ => None,
    }
}

/// Arguments without the quotes and escapes of their JSON.
fn said(arguments: &str) -> String {
    fn gather(value: &Value, into: &mut String) {
        match value {
            // What comes behind is cut off anyway.
            _ if into.len() >= TEXT_BYTES_MAX => {}
            Value::String(text) => {
                into.push_str(text);
                into.push('\n');
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, into)),
            Value::Object(fields) => fields.values().for_each(|field| gather(field, into)),
            Value::Number(number) => {
                into.push_str(&number.to_string());
                into.push('\n');
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    let Ok(value) = serde_json::from_str(arguments) else { return arguments.to_owned() };
    let mut text = String::new();
    gather(&value, &mut text);
    text
}

/// By what a session can be told apart, as far as one event says: names and values.
pub(super) fn facets(body: &Body) -> Vec<(&'static str, String)> {
    match body {
        Body::ModelChanged(model) => vec![("model", model.model.clone())],
        Body::ToolCall(call) => {
            let files = files(&call.arguments).into_iter().map(|path| ("file", path));
            files.chain([("tool", call.name.clone())]).collect()
        }
        Body::UserEdit(edit) => {
            edit.changes.iter().map(|change| ("file", change.path.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// The files that a call names: in arguments of its own, or in the lines of a patch.
fn files(arguments: &str) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(arguments) else {
        return patched(arguments);
    };
    let named = FILE_ARGUMENTS.iter().filter_map(|name| fields.get(*name)?.as_str());
    let patched = fields.values().filter_map(Value::as_str).flat_map(patched);
    named.map(str::to_owned).chain(patched).collect()
}

fn patched(text: &str) -> Vec<String> {
    let headings = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];
    let path = |line: &str| headings.iter().find_map(|it| Some(line.strip_prefix(it)?.to_owned()));
    text.lines().filter_map(path).collect()
}
