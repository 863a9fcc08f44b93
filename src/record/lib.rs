//! The record: one SQLite file for each session, written by one thread, read by anybody.
//!
//! [`Home`] is the data folder. [`Recorder`] writes a session: it holds the session's lock and a
//! queue to the one thread that owns the connection, and says [`trajectory::Recorded`] only after
//! the transaction has committed. [`Archive`] reads a session, beside a live writer too.
//! [`recover`] closes what a crash left open. [`Loader`] builds a session file from the rows of a
//! bundle. [`Library`] is `limn.db`: outcomes, reviews, and the catalogue of all sessions.
//!
//! The storage is described table by table in `docs/format.md`.
//!
//! Absent here on purpose: what any event means for a model, the form of a bundle, and whatever is
//! drawn.

mod archive;
mod backup;
mod chain;
mod connection;
mod dump;
mod error;
mod fork;
mod home;
mod imports;
mod ledger;
mod library;
mod lock;
mod migrations;
mod output;
mod queue;
mod recorder;
mod recovery;
mod rows;
mod schema;
mod tokens;
mod writer;

pub use archive::{
    Archive, Draft, ExecRow, Problem, RequestEnd, RequestRow, SessionRow, Status, TakePart,
};
pub use backup::BackedUp;
pub use connection::{check_sqlite_version, measure_fsync, sqlite_version, storage_note};
pub use dump::{Imported, Loader, TakeRow};
pub use error::RecordError;
pub use fork::fork;
pub use home::Home;
pub use library::{
    Annotation, CatalogueRow, Excerpt, Found, Library, Outcome, Part, Review, Search, TAG_FIELD,
};
pub use output::{Direction, Mark, OutputChunk};
pub use recorder::{Ack, Recorder, Resumed, recover};
pub use rows::{
    Blob, Durability, Environment, ExecFacts, ExecFinished, ExecResized, ExecStarted, ExecTrees,
    NewEvent, Ordinals, Query, RequestFinished, RequestStarted, Row, SessionStart, SizeChange,
    Write,
};
pub use rusqlite::types::{Value, ValueRef};
pub use tokens::{ReplyTokens, TokenLog};

#[cfg(test)]
mod tests;
