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
mod card;
mod columns;
mod error;
mod export;
mod facts;
mod gates;
mod images;
mod inspect;
mod ledger;
mod lines;
mod messages;
mod recording;
mod rows;
mod select;
mod sessions;
mod split;
mod stats;
mod targets;
mod tokens;
mod version;
mod write;

pub use bundle::import_bundle;
pub use card::card;
pub use error::DatasetError;
pub use export::{ExportReport, FileReport, Format, Order, Target, export};
pub use facts::{Facts, Said};
pub use gates::{Found, Gate, Waivers};
pub use inspect::{Piece, ReadRow, inspect};
pub use ledger::Ledger;
pub use messages::Messages;
pub use rows::Rows;
pub use select::{Chosen, Consent, Filter, Selection, Status, select};
pub use sessions::SessionForm;
pub use split::{Part, Splits};
pub use stats::{Stats, stats};
pub use targets::Trainer;
pub use tokens::{OverBudget, Tokens};
pub use version::{Difference, Files, Manifest, Recipe, diff, verify};

#[cfg(test)]
mod tests;
