//! Sessions in and out.
//!
//! An export is made in a temporary folder beside its target, read back, fsynced and renamed: it
//! is there whole or not at all. Every format says in a ledger what of the recording it could not
//! hold. The bundle holds the whole recording; importing one gives identical rows and identical
//! hashes. What is said about a session (its outcome, its reviews) is not part of the recording and
//! stays where it was said.
//!
//! Absent here: chat templates, tokens and masks, which belong to a model family and lie in `chat`.

mod bundle;
mod error;
mod export;
mod images;
mod inspect;
mod ledger;
mod messages;
mod rows;
mod targets;
mod tokens;

pub use bundle::import_bundle;
pub use error::DatasetError;
pub use export::{ExportReport, Format, Target, export};
pub use inspect::{Piece, ReadRow, Stats, inspect, stats};
pub use ledger::Ledger;
pub use rows::Rows;
pub use targets::Trainer;
pub use tokens::{OverBudget, Tokens};

#[cfg(test)]
mod tests;
