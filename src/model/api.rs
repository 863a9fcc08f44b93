//! The forms in which a server is asked, and what must be known to read its answers again.

use serde::{Deserialize, Serialize};
use trajectory::event::{ModelChanged, ThinkTags};

/// The API form that a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Chat Completions: every OpenAI-compatible server.
    #[default]
    Chat,
    /// Responses: OpenAI, and open models behind servers that follow it.
    Responses,
}

impl Api {
    /// Both forms.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Responses];

    /// The word for it, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
        }
    }

    /// The form with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.as_str() == word)
    }
}

/// How a response is read: with this the stored bytes give the recorded parts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The API form.
    pub api: Api,
    /// What `<think>` means in the text.
    pub think: ThinkTags,
}

impl Dialect {
    /// The dialect of the replies that follow this event. A form that is not known is read as
    /// Chat Completions, which every other was made from.
    #[must_use]
    pub fn of(change: &ModelChanged) -> Self {
        Self { api: Api::parse(&change.api).unwrap_or_default(), think: change.think }
    }
}
