//! The shelves of the index of words: each is a table of FTS5 with the words of a few sessions.
//!
//! Of a session that is deleted no word may stay in the file. FTS5 can see to that word by word
//! (`secure-delete`), which takes a second and a half for a session of 40,000 tokens, or by writing
//! all that a table holds anew, in one piece: nothing of what was deleted is in that, and what was
//! there before is overwritten. So tables are kept small enough for that, and the price of deleting
//! a session does not grow with the number of others.
//!
//! Which session stands on which shelf, the table `indexed` says; whoever calls these has a
//! transaction open.

use rusqlite::{Connection, OptionalExtension, params};

use super::search::spaced;
use crate::writer::sql_integer;

/// A shelf that holds so much text takes no further session, bytes. To write it anew takes about as
/// long as to index it did: 100 ms.
const SHELF_BYTES: u64 = 2 << 20;

/// A shelf, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shelf(i64);

impl Shelf {
    /// One with room on it; made, if there is none.
    pub(super) fn with_room(library: &Connection) -> rusqlite::Result<Self> {
        let id = library
            .prepare_cached("SELECT id FROM shelf WHERE bytes < ? ORDER BY id DESC LIMIT 1")?
            .query_row([sql_integer(SHELF_BYTES)], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            return Ok(Self(id));
        }
        library.execute("INSERT INTO shelf (bytes) VALUES (0)", [])?;
        let shelf = Self(library.last_insert_rowid());
        library.execute_batch(&format!(
            "CREATE VIRTUAL TABLE {} USING fts5 \
             (text, content = '', tokenize = 'unicode61 remove_diacritics 2')",
            shelf.table()
        ))?;
        Ok(shelf)
    }

    /// That of a session that is indexed.
    pub(super) const fn numbered(id: i64) -> Self {
        Self(id)
    }

    pub(super) const fn number(self) -> i64 {
        self.0
    }

    /// All of them.
    pub(super) fn all(library: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = library.prepare_cached("SELECT id FROM shelf ORDER BY id")?;
        let shelves = statement.query_map([], |row| row.get(0).map(Self))?;
        shelves.collect()
    }

    fn table(self) -> String {
        format!("passage_{}", self.0)
    }

    /// Adds a text under a number.
    pub(super) fn add(self, library: &Connection, id: i64, text: &str) -> rusqlite::Result<()> {
        let table = self.table();
        library
            .prepare_cached(&format!("INSERT INTO {table} (rowid, text) VALUES (?, ?)"))?
            .execute(params![id, spaced(text)])?;
        self.weighs(library, text, 1)
    }

    /// Takes a text off again. It has to be the one that was added; the words go with
    /// [`Self::tidy`].
    pub(super) fn remove(self, library: &Connection, id: i64, text: &str) -> rusqlite::Result<()> {
        let table = self.table();
        library
            .prepare_cached(&format!(
                "INSERT INTO {table} ({table}, rowid, text) VALUES ('delete', ?, ?)"
            ))?
            .execute(params![id, spaced(text)])?;
        self.weighs(library, text, -1)
    }

    fn weighs(self, library: &Connection, text: &str, sign: i64) -> rusqlite::Result<()> {
        library
            .prepare_cached("UPDATE shelf SET bytes = max(0, bytes + ?) WHERE id = ?")?
            .execute(params![sign.saturating_mul(sql_integer(text.len() as u64)), self.0])
            .map(|_| ())
    }

    /// Writes what is left anew, so that nothing is there of what was removed.
    pub(super) fn tidy(self, library: &Connection) -> rusqlite::Result<()> {
        let table = self.table();
        library.execute(&format!("INSERT INTO {table} ({table}) VALUES ('optimize')"), [])?;
        Ok(())
    }

    /// Whether nothing but this session stands on it.
    pub(super) fn holds_only(
        self,
        library: &Connection,
        session: &[u8; 16],
    ) -> rusqlite::Result<bool> {
        let others = "SELECT 1 FROM indexed WHERE shelf = ? AND session != ?";
        library.prepare_cached(others)?.exists(params![self.0, session]).map(|exists| !exists)
    }

    /// Takes it away, with all that stands on it.
    pub(super) fn clear(self, library: &Connection) -> rusqlite::Result<()> {
        library.execute_batch(&format!("DROP TABLE {}", self.table()))?;
        library.execute("DELETE FROM shelf WHERE id = ?", [self.0])?;
        Ok(())
    }

    /// The session and the place of every text that fits, and what it is; in the order in which they
    /// were indexed.
    pub(super) fn matches(
        self,
        library: &Connection,
        query: &str,
        take: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let table = self.table();
        let mut statement = library.prepare_cached(&format!(
            "SELECT session, seq, part FROM {table} JOIN passage_of \
             ON passage_of.id = {table}.rowid WHERE {table} MATCH ?"
        ))?;
        let mut rows = statement.query([query])?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }
}
