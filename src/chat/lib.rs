//! What a model family reads and writes.
//!
//! A [`Tokenizer`] is the `tokenizer.json` of a model; without one there is [`estimate()`]. A
//! [`Template`] writes messages as the text that the model reads. A [`Dialect`] is both, opened from
//! a model's folder or from a GGUF file, and gives a conversation as tokens with the mask of what
//! the model wrote ([`Masked`]). How a family spells thoughts and calls in its replies is in
//! `formats/`, one file each.
//!
//! Absent here: sessions and samples, which `dataset` knows, and weights; only the header of a GGUF
//! file, which tells of both, is read here for everyone ([`gguf::Header`]).

mod dialect;
mod error;
mod estimate;
#[cfg(test)]
mod fixtures;
mod formats;
pub mod gguf;
mod mask;
mod probe;
mod template;
mod tokenizer;

pub use dialect::Dialect;
pub use error::ChatError;
pub use estimate::estimate;
pub use formats::{Call, Format, Heard, ReplyReader, Said, TAGS};
pub use mask::{Masked, Origin, Reply, Unfit, Wanted};
pub use probe::Part;
pub use template::{Conversation, Rendered, Template};
pub use tokenizer::{Tokenizer, Tokens};

#[cfg(test)]
mod tests;
