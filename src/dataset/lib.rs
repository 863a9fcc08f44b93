//! Sessions in and out.
//!
//! An export is made in a temporary folder beside its target, read back, fsynced and renamed: it
//! is there whole or not at all. Every format says in a ledger what of the recording it could not
//! hold. The bundle holds the whole recording; importing one gives identical rows and identical
//! hashes. What is said about a session (its outcome, its reviews) is not part of the recording and
//! stays where it was said.
//!
//! Absent here: chat templates, tokens and masks, which belong to a model family.

mod bundle;
mod error;
mod export;
mod images;
mod ledger;
mod messages;

pub use bundle::import_bundle;
pub use error::DatasetError;
pub use export::{ExportReport, Format, export};
pub use ledger::Ledger;

#[cfg(test)]
mod tests;
