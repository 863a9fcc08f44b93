//! Verification: whether a recording is whole and agrees with itself.
//!
//! Everything is checked that can be checked without knowing what a message means: SQLite's own
//! integrity, the hash chain, places, parents and clocks, that each call has one result, that every
//! blob is what its hash says, that every request can be rebuilt to its digest, that output is
//! gapless and is what its observation says, and that no request holds a credential.

mod chain;
mod content;

use rusqlite::Connection;

use crate::archive::Archive;
use crate::error::RecordError;

/// Reading goes on after a problem, but a file with more than this is beyond telling.
const PROBLEMS_MAX: usize = 100;

/// Something that is wrong with a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `event 12` or `request 3.1`.
    pub place: String,
    /// What.
    pub problem: String,
}

/// The problems found so far.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: impl ToString, problem: impl ToString) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { place: place.to_string(), problem: problem.to_string() });
        }
    }

    /// Notes a problem unless the condition holds.
    fn check(&mut self, holds: bool, place: impl ToString, problem: impl ToString) {
        if !holds {
            self.add(place, problem);
        }
    }
}

impl Archive {
    /// Checks the whole recording; an empty list says that it is sound. Linear in its size.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn verify(&self) -> Result<Vec<Problem>, RecordError> {
        let mut problems = Problems::default();
        let mut check = || -> rusqlite::Result<()> {
            let snapshot = self.connection().unchecked_transaction()?;
            integrity(&snapshot, &mut problems)?;
            let facts = chain::check(self, &snapshot, &mut problems)?;
            content::check(&snapshot, &facts, &mut problems)
        };
        match check() {
            Ok(()) => {}
            // What cannot even be read is a problem of the recording, not of reading it.
            Err(error) => match self.failed()(error) {
                RecordError::Damaged { problem, .. } => problems.add("file", problem),
                other => return Err(other),
            },
        }
        Ok(problems.0)
    }
}

impl Archive {
    /// The chain alone: the first thing about it that is wrong.
    pub(crate) fn broken_chain(&self) -> Result<Option<Problem>, RecordError> {
        let mut problems = Problems::default();
        chain::check(self, self.connection(), &mut problems).map_err(self.failed())?;
        Ok(problems.0.into_iter().next())
    }
}

fn integrity(connection: &Connection, problems: &mut Problems) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(10)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        problems.check(said == "ok", "file", said);
    }
    Ok(())
}
