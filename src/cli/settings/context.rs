//! When the context is shortened and compacted, as shares of the model's window.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// `[context]` as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextFile {
    shorten_at: Option<Share>,
    compact_at: Option<Share>,
    reply_tokens: Option<NonZeroU64>,
}

/// A share of the window: above 0, at most 1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Share(f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if share > 0.0 && share <= 1.0 {
            Ok(Self(share))
        } else {
            Err(format!("{share} is no share of the window: it must be above 0 and at most 1"))
        }
    }
}

/// When the context is shortened and compacted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct ContextSettings {
    /// Old outputs are shortened when the context fills this share of the window.
    pub(crate) shorten_at: f64,
    /// The conversation is summed up when it still fills this share.
    pub(crate) compact_at: f64,
    /// The most tokens of a reply: kept free for it, and told to the server.
    pub(crate) reply_tokens: Option<u64>,
}

impl Default for ContextSettings {
    fn default() -> Self {
        let window = session::Window::default();
        Self { shorten_at: window.shorten_at, compact_at: window.compact_at, reply_tokens: None }
    }
}

impl From<ContextFile> for ContextSettings {
    fn from(file: ContextFile) -> Self {
        let default = Self::default();
        let compact_at = file.compact_at.map_or(default.compact_at, |share| share.0);
        let shorten_at = file.shorten_at.map_or(default.shorten_at, |share| share.0);
        let reply_tokens = file.reply_tokens.map(NonZeroU64::get);
        // Shortening is tried first: a share above the other would never be reached.
        Self { shorten_at: shorten_at.min(compact_at), compact_at, reply_tokens }
    }
}
