//! `limn.db`: what is said about sessions, and the catalogue of them.
//!
//! Annotations are authoritative and only ever added to: a later one supersedes. The catalogue and
//! the index of words are copies of what the session files say, refreshed whenever they are asked
//! for; they can be thrown away.

mod catalogue;
mod passages;
mod search;
mod shelves;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use rusqlite::TransactionBehavior::Immediate;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use trajectory::{SessionId, event};

pub use catalogue::CatalogueRow;
pub use passages::Part;
pub use search::{Excerpt, Found, Search};

use crate::connection::{LIBRARY_FORMAT, backup_path, open_to_write, with_suffix};
use crate::error::RecordError;
use crate::home::Home;
use crate::queue::Stamp;

/// What the field of a tag begins with: each tag is a question of its own, answered yes or no.
pub const TAG_FIELD: &str = "tag:";

/// The library of a home.
#[derive(Debug)]
pub struct Library {
    connection: Connection,
    path: PathBuf,
    home: Home,
}

/// Whether a session did what was asked. Completed never implies success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
    /// Nobody can tell.
    Unknown,
}

/// Whether a session may go into datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// It may.
    Accepted,
    /// It may not.
    Rejected,
    /// Nobody has decided, or a decision was taken back.
    None,
}

/// Something that was said about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// What it is about: `session`, or an event's number.
    pub target: String,
    /// Which question it answers, such as `outcome` or `review`.
    pub field: String,
    /// The answer.
    pub value: String,
    /// Who says so: `user`, `verifier`, `judge`.
    pub source: String,
    /// The pseudonym of whoever said it.
    pub annotator: Option<String>,
    /// When: wall clock, nanoseconds since the Unix epoch.
    pub at_ns: i64,
}

macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),+) => {
        impl $name {
            /// The word for it, as it is stored and printed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one with that word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(Outcome: Success = "success", Failure = "failure", Unknown = "unknown");
words!(Review: Accepted = "accepted", Rejected = "rejected", None = "none");

impl Library {
    /// Opens the library, making it if need be.
    ///
    /// # Errors
    /// When it cannot be opened or written, is damaged, or a newer limn wrote it.
    pub fn open(home: &Home) -> Result<Self, RecordError> {
        let path = home.path().join("limn.db");
        let connection = open_to_write(&path, LIBRARY_FORMAT)?;
        Ok(Self { connection, path, home: home.clone() })
    }

    /// What is wrong with the file, if anything is.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn damage(&self) -> Result<Option<String>, RecordError> {
        let said: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| RecordError::sqlite("read", &self.path, &error))?;
        Ok((said != "ok").then_some(said))
    }

    /// Says whether a session did what was asked.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn set_outcome(
        &self,
        session: SessionId,
        outcome: Outcome,
        source: &str,
        annotator: Option<&str>,
    ) -> Result<(), RecordError> {
        self.annotate(session, "outcome", outcome.as_str(), source, annotator)
    }

    /// Says whether a session may go into datasets.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn set_review(
        &self,
        session: SessionId,
        review: Review,
        annotator: Option<&str>,
    ) -> Result<(), RecordError> {
        self.annotate(session, "review", review.as_str(), "user", annotator)
    }

    /// Says something about a session as a whole; it supersedes what was said to the same question.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn annotate(
        &self,
        session: SessionId,
        field: &str,
        value: &str,
        source: &str,
        annotator: Option<&str>,
    ) -> Result<(), RecordError> {
        self.say("session", session, (field, value), source, annotator)
    }

    /// Says something about one step of a session, by the number of its event.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn annotate_step(
        &self,
        session: SessionId,
        seq: u64,
        (field, value): (&str, &str),
        source: &str,
        annotator: Option<&str>,
    ) -> Result<(), RecordError> {
        self.say(&seq.to_string(), session, (field, value), source, annotator)
    }

    fn say(
        &self,
        target: &str,
        session: SessionId,
        (field, value): (&str, &str),
        source: &str,
        annotator: Option<&str>,
    ) -> Result<(), RecordError> {
        let at_ns = Stamp::now(Instant::now()).wall_ns;
        let insert = "INSERT INTO annotation (id, session, target, field, value, source, \
                      annotator, at_ns, supersedes) SELECT ?1, ?2, ?8, ?3, ?4, ?5, ?6, ?7, \
                      (SELECT max(id) FROM annotation \
                       WHERE session = ?2 AND target = ?8 AND field = ?3)";
        let session = session.as_bytes();
        let durably = || -> rusqlite::Result<()> {
            // Nobody says it twice: it survives a power cut.
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            let now = Transaction::new_unchecked(&self.connection, Immediate)?;
            let id = next_annotation(&now)?;
            let values = params![id, session, field, value, source, annotator, at_ns, target];
            now.execute(insert, values)?;
            now.commit()?;
            self.connection.pragma_update(None, "synchronous", "NORMAL")
        };
        durably().map_err(|error| RecordError::sqlite("annotate in", &self.path, &error))
    }

    /// What counts as the answer to a question about a session: the latest.
    pub(crate) fn answer(
        &self,
        session: SessionId,
        field: &str,
    ) -> Result<Option<Annotation>, RecordError> {
        self.connection
            .query_row(
                "SELECT * FROM annotation WHERE session = ? AND target = 'session' AND field = ? \
                 ORDER BY id DESC LIMIT 1",
                params![session.as_bytes(), field],
                Annotation::read,
            )
            .optional()
            .map_err(|error| RecordError::sqlite("read", &self.path, &error))
    }

    /// Whether a session did what was asked, if anybody said.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn outcome(&self, session: SessionId) -> Result<Option<Outcome>, RecordError> {
        let answer = self.answer(session, "outcome")?;
        Ok(answer.and_then(|annotation| Outcome::parse(&annotation.value)))
    }

    /// Whether a session may go into datasets, if anybody said.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn review(&self, session: SessionId) -> Result<Option<Review>, RecordError> {
        let answer = self.answer(session, "review")?;
        Ok(answer.and_then(|annotation| Review::parse(&annotation.value)))
    }

    /// Everything that was ever said about a session, oldest first.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn annotations(&self, session: SessionId) -> Result<Vec<Annotation>, RecordError> {
        let read = || -> rusqlite::Result<Vec<Annotation>> {
            let sql = "SELECT * FROM annotation WHERE session = ? ORDER BY id";
            let mut statement = self.connection.prepare_cached(sql)?;
            let annotations = statement.query_map([session.as_bytes()], Annotation::read)?;
            annotations.collect()
        };
        read().map_err(|error| RecordError::sqlite("read", &self.path, &error))
    }

    /// The answers to a question, for every session that has one.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn answers(&self, field: &str) -> Result<HashMap<SessionId, String>, RecordError> {
        let read = || -> rusqlite::Result<HashMap<SessionId, String>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT session, value FROM annotation WHERE field = ? AND target = 'session' \
                 ORDER BY id",
            )?;
            let answers = statement
                .query_map([field], |row| Ok((session_id(row, "session")?, row.get("value")?)))?;
            answers.collect()
        };
        read().map_err(|error| RecordError::sqlite("read", &self.path, &error))
    }

    /// The tags of every session that has some.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn tags(&self) -> Result<HashMap<SessionId, BTreeSet<String>>, RecordError> {
        let read = || -> rusqlite::Result<HashMap<SessionId, BTreeSet<String>>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT session, field, value FROM annotation WHERE target = 'session' \
                 ORDER BY id",
            )?;
            let mut rows = statement.query([])?;
            let mut tags: HashMap<SessionId, BTreeSet<String>> = HashMap::new();
            while let Some(row) = rows.next()? {
                let field: String = row.get("field")?;
                let Some(tag) = field.strip_prefix(TAG_FIELD) else { continue };
                let of_session = tags.entry(session_id(row, "session")?).or_default();
                if row.get::<_, String>("value")? == "yes" {
                    of_session.insert(tag.to_owned());
                } else {
                    of_session.remove(tag);
                }
            }
            tags.retain(|_, tags| !tags.is_empty());
            Ok(tags)
        };
        read().map_err(|error| RecordError::sqlite("read", &self.path, &error))
    }

    /// Forgets a session that is being deleted; nothing is left of it in the file, nor in what the
    /// file was before it left an older format.
    pub(crate) fn forget(home: &Home, session: SessionId) -> Result<(), RecordError> {
        if !home.path().join("limn.db").exists() {
            return Ok(());
        }
        let library = Self::open(home)?;
        let backups = (1..LIBRARY_FORMAT.newest()).map(|it| backup_path(&library.path, it));
        // One that was being made when its process was killed holds as much.
        for backup in backups.flat_map(|whole| [with_suffix(&whole, ".part"), whole]) {
            match std::fs::remove_file(&backup) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RecordError::io("delete", &backup, &error));
                }
                _ => {}
            }
        }
        let forget = || -> rusqlite::Result<()> {
            library.forget_words_of(session)?;
            let id = session.as_bytes();
            library.connection.execute("DELETE FROM annotation WHERE session = ?", [id])?;
            library.connection.execute("DELETE FROM catalogue WHERE session = ?", [id])?;
            let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_busy: bool = library.connection.query_row(fold, [], |row| row.get(0))?;
            if is_busy {
                // A reader that does not end keeps the deleted words in the file.
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(code, None));
            }
            Ok(())
        };
        forget().map_err(|error| RecordError::sqlite("delete from", &library.path, &error))
    }

    /// Whether the copies hold something of a session. Waits for whoever is writing them.
    pub(crate) fn knows(home: &Home, session: SessionId) -> Result<bool, RecordError> {
        if !home.path().join("limn.db").exists() {
            return Ok(false);
        }
        let library = Self::open(home)?;
        let knows = || -> rusqlite::Result<bool> {
            Transaction::new_unchecked(&library.connection, Immediate)?.query_row(
                "SELECT EXISTS (SELECT * FROM catalogue WHERE session = ?1) \
                 OR EXISTS (SELECT * FROM indexed WHERE session = ?1)",
                [session.as_bytes()],
                |row| row.get(0),
            )
        };
        knows().map_err(|error| RecordError::sqlite("read", &library.path, &error))
    }
}

impl Annotation {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            target: row.get("target")?,
            field: row.get("field")?,
            value: row.get("value")?,
            source: row.get("source")?,
            annotator: row.get("annotator")?,
            at_ns: row.get("at_ns")?,
        })
    }
}

/// The id of the next annotation. Ids made later sort later: they are the order of annotations, even
/// where the clock was set back since the last one.
fn next_annotation(library: &Connection) -> rusqlite::Result<[u8; 16]> {
    let last: Option<[u8; 16]> =
        library.query_row("SELECT max(id) FROM annotation", [], |row| row.get(0))?;
    let behind_last = last.map_or(0, |last| u128::from_be_bytes(last).saturating_add(1));
    Ok(uuid::Uuid::now_v7().as_u128().max(behind_last).to_be_bytes())
}

pub(crate) fn session_id(row: &Row<'_>, column: &str) -> rusqlite::Result<SessionId> {
    Ok(SessionId::from_uuid(uuid::Uuid::from_bytes(row.get(column)?)))
}

/// The way a session ended, from its word.
fn ended(word: Option<&str>) -> Option<event::Ended> {
    use event::Ended::{Completed, Failed, Interrupted, Limit};
    let word = word?;
    [Completed, Failed, Interrupted, Limit].into_iter().find(|ended| ended.as_str() == word)
}

#[cfg(test)]
mod tests;
