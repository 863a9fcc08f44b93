//! How asking fails.

use std::fmt;
use std::time::Duration;

use crate::reply::Reply;

/// What sort of failure it is: what a program decides by. People read the sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection: refused, no such name, no TLS.
    Unreachable,
    /// Somebody on the way gave up waiting: the connection was not taken in time, 408, 504, 524.
    TimedOut,
    /// The server is there and says nothing: no byte for as long as is waited, or nothing but
    /// signs that it is still there.
    Silent,
    /// 401, 403: the key, or what it may do.
    Unauthorized,
    /// 402, and a 429 that no waiting mends: the balance, the quota.
    QuotaExhausted,
    /// 404: the model or the path.
    NotFound,
    /// 429: too much, too fast.
    RateLimited {
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The conversation is longer than the model's context: shorten it, and ask again.
    ContextOverflow {
        /// The size of the context in tokens, where the server says it.
        window: Option<u64>,
    },
    /// 400 and the other 4xx: the request itself.
    BadRequest,
    /// 5xx, or an error told within the stream.
    Server {
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer stopped before its end.
    Interrupted,
    /// The answer is no answer: a web page, a redirect, no stream, too large.
    Protocol,
    /// The script has no such turn, or its expectation was not met; the cassette has no such
    /// entry.
    Unscripted,
    /// The caller stopped asking.
    Cancelled,
}

impl FailureKind {
    /// Whether asking again may help without anybody changing anything.
    #[must_use]
    pub const fn is_worth_retrying(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::TimedOut
                | Self::Silent
                | Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Interrupted
        )
    }

    /// How long the server asks to wait before it is asked again.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Server { retry_after } => retry_after,
            _ => None,
        }
    }

    /// The word for it, for records and scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::QuotaExhausted => "quota_exhausted",
            Self::NotFound => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::ContextOverflow { .. } => "context_overflow",
            Self::BadRequest => "bad_request",
            Self::Server { .. } => "server",
            Self::Interrupted => "interrupted",
            Self::Protocol => "protocol",
            Self::Unscripted => "unscripted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Asking failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// What failed: one sentence, with the server's host and port, never with the key.
    pub message: String,
    /// What to do about it: one sentence.
    pub hint: String,
    /// What had arrived: parts, raw bytes, status.
    pub partial: Box<Reply>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.message, self.hint)
    }
}

impl std::error::Error for Failure {}

/// A failure before what had arrived is put beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Fault {
    pub(crate) fn new(
        kind: FailureKind,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

/// Somebody else's text made fit for a message: one line, no control characters, bounded.
pub(crate) fn tame(text: &str, characters_max: usize) -> String {
    let mut tame = String::new();
    for (count, word) in text.split(|c: char| c.is_whitespace() || c.is_control()).enumerate() {
        if word.is_empty() {
            continue;
        }
        if count > 0 && !tame.is_empty() {
            tame.push(' ');
        }
        tame.push_str(word);
        if tame.chars().count() > characters_max {
            return tame.chars().take(characters_max).chain(['…']).collect();
        }
    }
    tame
}
