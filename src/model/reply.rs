//! A reply: what the model produced, and the bytes it came in.

use std::time::Duration;

pub use trajectory::Part;
use trajectory::Usage;

/// The tokens of a reply and of its prompt, as the server says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// The ids of the prompt, where the server gives them.
    pub prompt: Option<Vec<u32>>,
    /// The ids that were sampled, the one at which the model stopped included.
    pub sampled: Vec<u32>,
}

/// A reply, or as much of one as has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What the model produced, in order.
    pub parts: Vec<Part>,
    /// Tokens, as the server counted them.
    pub usage: Option<Usage>,
    /// The ids of its tokens, where the server gave all of them.
    pub tokens: Option<TokenIds>,
    /// Why the model stopped: `stop`, `tool_calls`, `length`, …
    pub finish_reason: Option<String>,
    /// The server's name for the reply.
    pub response_id: Option<String>,
    /// The model that answered, as the server calls it.
    pub model_served: Option<String>,
    /// The body of the response as it was received. (Where it is no stream, the API key is
    /// blotted out, should the server have echoed it.)
    pub raw: Vec<u8>,
    /// The HTTP status; `None` when no server answered.
    pub http_status: Option<u16>,
    /// From asking to the first piece of a part.
    pub first_at: Option<Duration>,
    /// Lines of the stream of which something could not be read, or nothing, and was passed over:
    /// the first hundred, each cut at a thousand bytes.
    pub skipped_lines: Vec<String>,
    /// How many such lines there were in all.
    pub skipped_count: u64,
}
