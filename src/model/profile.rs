//! Profiles: in what servers of the same API differ, as data.
//!
//! A profile is chosen by its name or found from the base URL, and a setting may replace any of
//! its fields. What a server *sends* is read the same way whoever it is (so that a gateway that
//! answers like another is still understood); a profile is about what it *accepts*, and about
//! what cannot be seen from its answers.
//!
//! Absent here: what differs from model to model. That is the catalogue's.

mod table;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trajectory::event::ThinkTags;

use self::table::{HOSTS, PROFILES};

/// Which reasoning goes back with earlier replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningBack {
    /// All of it, under the key it came under.
    #[default]
    AsReceived,
    /// Only beside tool calls: elsewhere it is refused, there it is asked for.
    WithCalls,
    /// Only `reasoning_details` where there are any, else what came.
    Details,
    /// None: the key is not known there.
    Never,
}

/// How the model is told how much to think (`reasoning_effort` among the parameters).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffortForm {
    /// `"reasoning_effort": "high"`.
    #[default]
    Plain,
    /// `"reasoning": {"effort": "high"}`.
    Nested,
    /// `"thinking": {"type": "enabled"}`, or `disabled` for `none`.
    Switch,
    /// `"thinking": {"type": "enabled", "budget_tokens": …}`, or `disabled` for `none`.
    Budget,
    /// `"chat_template_kwargs": {"enable_thinking": true}`, or false for `none`.
    Template,
}

/// What stands in an assistant message that holds calls and no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyContent {
    /// `"content": null`.
    #[default]
    Null,
    /// No such key; and an assistant message of an empty text is left out.
    Absent,
    /// `"content": ""`: the template adds strings.
    Text,
}

/// What arguments that are no JSON object become on their way back in Responses; in Chat
/// Completions they are always put into an object, by the fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MalformedBack {
    /// They are put into an object, `{"malformed": "…"}`: most servers parse what they get, and
    /// would refuse this request and every later one.
    #[default]
    Wrapped,
    /// They go back as the model wrote them.
    AsSent,
}

/// How a kind of server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What `<think>` means in the text of replies.
    pub think: ThinkTags,
    /// Which reasoning goes back.
    pub reasoning_back: ReasoningBack,
    /// Signatures of calls (`extra_content`) go back.
    pub call_signatures: bool,
    /// Whether the model reasons, as far as that must be known to ask for encrypted reasoning.
    pub reasoning: bool,
    /// How the effort of reasoning is said.
    pub effort: EffortForm,
    /// `stream_options` is accepted: usage comes with the stream.
    pub stream_options: bool,
    /// The ids of tokens are asked for (`return_token_ids`) and recorded.
    pub token_ids: bool,
    /// A limit on output tokens is always said: without one the server cuts replies at a limit of
    /// its own that is lower than what the model can write.
    pub limits_output: bool,
    /// The key of the limit on output tokens (Chat Completions).
    pub output_max_key: String,
    /// The role of the system prompt.
    pub system_role: String,
    /// Images may be sent.
    pub images: bool,
    /// What stands for no text.
    pub empty_content: EmptyContent,
    /// What malformed arguments become (Responses).
    pub malformed_back: MalformedBack,
    /// Tools with a grammar instead of a schema are known (Responses).
    pub custom_tools: bool,
}

impl Default for Profile {
    /// A server of which nothing is known: what most accept.
    fn default() -> Self {
        table::BASE.profile("default")
    }
}

impl Profile {
    /// The profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.iter().find(|(known, _)| *known == name).map(|(name, row)| row.profile(name))
    }

    /// The same with some of its fields replaced, as settings name them.
    ///
    /// # Errors
    /// What is wrong with them, without a full stop.
    pub fn with(self, changes: &Map<String, Value>) -> Result<Self, String> {
        let mut fields = serde_json::to_value(&self).map_err(|error| error.to_string())?;
        for (key, value) in changes {
            fields[key] = value.clone();
        }
        serde_json::from_value(fields).map_err(|error| error.to_string())
    }

    /// The names there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|(name, _)| *name)
    }

    /// The profile of the server at this base URL: by its host, or by the port that a local server
    /// is known for; `default` where neither says anything.
    #[must_use]
    pub fn detect(base_url: &str) -> Self {
        let Ok(url) = Url::parse(base_url.trim()) else { return Self::default() };
        let host = url.host_str().unwrap_or_default();
        let port = url.port();
        let is = |pattern: &str| match pattern.strip_prefix(':') {
            Some(number) => port.is_some_and(|port| port.to_string() == number),
            None => host == pattern || host.strip_suffix(pattern).is_some_and(|h| h.ends_with('.')),
        };
        let found = HOSTS.iter().find(|(pattern, _)| is(pattern));
        found.and_then(|(_, name)| Self::named(name)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
