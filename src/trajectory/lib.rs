//! The vocabulary of limn: what happens in a session, and what it means for a model.
//!
//! A session is an append-only sequence of [`Event`]s. Everything else is a projection of it:
//! [`Transcript`] folds events into the chat messages that a model is sent, and [`samples`] cuts
//! the same fold into training samples. The live request and the export call the same code, so
//! the text that is trained is the text that was prompted.
//!
//! Absent here on purpose: any I/O, any clock, any async runtime. Ids are made elsewhere and
//! passed in.

mod approval;
pub mod event;
mod hand;
mod id;
mod message;
mod progress;
mod recorded;
mod reply;
mod sample;
mod tool;
mod transcript;
mod usage;

pub use approval::{Approval, ApprovalMode, Reading, Verdict};
pub use event::{Body, Event, Source};
pub use hand::Hand;
pub use id::{DeviceId, EventId, QueryId, RunId, SessionId};
pub use message::{
    FunctionCall, Message, MessageDigest, ToolCallMessage, Verbatim, arguments_as_object,
    wrapped_arguments,
};
pub use progress::Progress;
pub use recorded::Recorded;
pub use reply::Part;
pub use sample::{LossReason, RequestPoint, Sample, SampleMessage, Span, SpanPart, samples};
pub use tool::{ToolEffect, ToolSpec};
pub use transcript::{Transcript, Turn};
pub use usage::Usage;

#[cfg(test)]
mod tests;
