//! Full-text search over all recordings: an index of words, kept beside the catalogue.
//!
//! The index knows where a word stands and holds no text; what is shown around a match is read from
//! the session's file. It follows the files whenever somebody searches: recordings only grow, so
//! what is new is added. A file that is not what it was, or is gone without having been removed by
//! [`Home::remove`](crate::Home::remove), is a reason to make the whole index anew.

mod words;

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use trajectory::{Event, SessionId};

use self::words::Words;
pub(super) use self::words::spaced;
use super::passages::{Part, call_of, facets, passage};
use super::shelves::Shelf;
use super::{CatalogueRow, Library, Outcome, session_id};
use crate::archive::{Archive, each_event};
use crate::chain::Digest;
use crate::error::RecordError;
use crate::home::Home;
use crate::writer::sql_integer;

/// Matches of one session that are handed out with their text.
const SHOWN_MAX: usize = 3;

/// Characters before a match: few, so that it stands where a line is looked at first.
const BEFORE_CHARS: usize = 24;

/// Characters from a match on.
const AFTER_CHARS: usize = 136;

/// What is looked for. Everything that is given has to hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Words that stand in one and the same event. `"…"` makes several words one, `…*` is the
    /// beginning of a word. Case and accents do not matter.
    pub text: String,
    /// Where the words stand; anywhere when empty.
    pub parts: Vec<Part>,
    /// A file that a call named or the user changed: its path, or the end of it.
    pub file: Option<String>,
    /// A tool that was called.
    pub tool: Option<String>,
    /// A model that was used, or a part of its name.
    pub model: Option<String>,
    /// The session was alive at this time or later, nanoseconds since the Unix epoch.
    pub since_ns: Option<i64>,
    /// The session began before this time.
    pub until_ns: Option<i64>,
    /// How it turned out, as somebody said.
    pub outcome: Option<Outcome>,
    /// Each of these tags.
    pub tags: Vec<String>,
    /// Of so many sessions, the newest, excerpts are read; of all of them without it.
    pub shown_max: Option<usize>,
}

/// A session in which something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The session.
    pub row: CatalogueRow,
    /// How many of its events match; 0 when no words were asked for.
    pub matches: usize,
    /// The first of them.
    pub excerpts: Vec<Excerpt>,
}

/// An event that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Its place in the session.
    pub seq: u64,
    /// Its round.
    pub round: u32,
    /// The call that it makes or answers.
    pub call: Option<u32>,
    /// What it is.
    pub part: Part,
    /// The text around the match on one line.
    pub text: String,
}

impl Search {
    /// Whether what is asked of files, tools and models is in the index alone.
    const fn asks_the_index(&self) -> bool {
        self.file.is_some() || self.tool.is_some() || self.model.is_some()
    }
}

/// What was said of sessions, as far as it is asked for.
struct Said {
    outcomes: HashMap<SessionId, String>,
    tags: HashMap<SessionId, BTreeSet<String>>,
}

impl Said {
    fn of(library: &Library, wanted: &Search) -> Result<Self, RecordError> {
        let outcomes = wanted.outcome.map(|_| library.answers("outcome")).transpose()?;
        let tags = (!wanted.tags.is_empty()).then(|| library.tags()).transpose()?;
        Ok(Self { outcomes: outcomes.unwrap_or_default(), tags: tags.unwrap_or_default() })
    }

    fn fits(&self, wanted: &Search, session: SessionId) -> bool {
        let outcome = self.outcomes.get(&session).map(String::as_str);
        let tags = self.tags.get(&session);
        let has_tag = |tag: &String| tags.is_some_and(|tags| tags.contains(tag));
        wanted.outcome.is_none_or(|it| outcome == Some(it.as_str()))
            && wanted.tags.iter().all(has_tag)
    }
}

impl Library {
    /// The sessions in which something is found, newest first.
    ///
    /// # Errors
    /// When the library or the folder of the sessions cannot be read or written.
    pub fn search(&self, wanted: &Search) -> Result<Vec<Found>, RecordError> {
        self.search_telling(wanted, &mut |_, _| {})
    }

    /// The same, telling how many of how many new recordings are in the index, as far as some have
    /// to be put there first. Whoever stops it loses none of that.
    ///
    /// # Errors
    /// When the library or the folder of the sessions cannot be read or written.
    pub fn search_telling(
        &self,
        wanted: &Search,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Found>, RecordError> {
        let rows = self.list()?;
        let words = Words::of(&wanted.text);
        if !words.is_empty() || wanted.asks_the_index() {
            self.follow(&rows, tell)?;
        }
        let matches = match words.is_empty() {
            true => None,
            false => Some(self.matches(&words, &wanted.parts).map_err(self.unindexed())?),
        };
        let said = Said::of(self, wanted)?;
        let mut found = Vec::new();
        for row in rows {
            let here = matches.as_ref().map(|all| all.get(&row.session));
            if here == Some(None) || !said.fits(wanted, row.session) {
                continue;
            }
            if !self.fits(wanted, &row).map_err(self.unindexed())? {
                continue;
            }
            let here = here.flatten().map_or(&[][..], Vec::as_slice);
            // Reading them is most of the work when a word stands nearly everywhere.
            let is_shown = wanted.shown_max.is_none_or(|most| found.len() < most);
            let read = if is_shown { here } else { &[] };
            let excerpts = excerpts(&self.home, row.session, read, &words);
            found.push(Found { row, matches: here.len(), excerpts });
        }
        Ok(found)
    }

    fn unindexed(&self) -> impl Fn(rusqlite::Error) -> RecordError + Copy + '_ {
        |error| RecordError::sqlite("keep the index of words in", &self.path, &error)
    }

    /// The places of the events that match, in the order in which they were indexed: to rank them
    /// takes longer than to find them where a word stands nearly everywhere.
    fn matches(
        &self,
        words: &Words,
        parts: &[Part],
    ) -> rusqlite::Result<HashMap<SessionId, Vec<u64>>> {
        let query = words.query();
        let mut matches: HashMap<SessionId, Vec<u64>> = HashMap::new();
        // What is found has to be of one moment: a shelf may be cleared meanwhile.
        let snapshot = self.connection.unchecked_transaction()?;
        for shelf in Shelf::all(&snapshot)? {
            shelf.matches(&snapshot, &query, &mut |row| {
                let part: String = row.get("part")?;
                if parts.is_empty() || parts.iter().any(|it| it.as_str() == part) {
                    let seq: i64 = row.get("seq")?;
                    let of_session = matches.entry(session_id(row, "session")?).or_default();
                    of_session.push(u64::try_from(seq).unwrap_or(0));
                }
                Ok(())
            })?;
        }
        Ok(matches)
    }

    fn fits(&self, wanted: &Search, row: &CatalogueRow) -> rusqlite::Result<bool> {
        let last_ns = row.status.last_ns.unwrap_or(row.status.started_ns);
        if wanted.since_ns.is_some_and(|since| last_ns < since)
            || wanted.until_ns.is_some_and(|until| row.status.started_ns >= until)
        {
            return Ok(false);
        }
        let asked = [
            ("file", wanted.file.as_deref()),
            ("tool", wanted.tool.as_deref()),
            ("model", wanted.model.as_deref()),
        ];
        for (name, value) in asked {
            let Some(value) = value else { continue };
            let values = facet(&self.connection, row.session, name)?;
            let is_it = |it: &String| match name {
                "file" => is_end_of_path(it, value),
                "model" => it.to_lowercase().contains(&value.to_lowercase()),
                _ => it == value,
            };
            if !values.iter().any(is_it) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings the index up to what the files hold.
    pub(super) fn follow(
        &self,
        rows: &[CatalogueRow],
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<(), RecordError> {
        let known = self.indexed().map_err(self.unindexed())?;
        let listed: HashSet<SessionId> = rows.iter().map(|row| row.session).collect();
        // One that began after the listing may have been indexed by somebody else.
        let is_there = |id: &SessionId| listed.contains(id) || self.home.session_file(*id).exists();
        let is_new = |row: &&CatalogueRow| {
            let events = known.get(&row.session).map_or(0, |so_far| so_far.events);
            row.error.is_none() && events != row.status.events
        };
        let new: Vec<SessionId> = rows.iter().filter(is_new).map(|row| row.session).collect();
        if known.keys().all(is_there) && self.index_all(&new, tell)? {
            return Ok(());
        }
        self.forget_words().map_err(self.unindexed())?;
        let sound = rows.iter().filter(|row| row.error.is_none());
        let all: Vec<SessionId> = sound.map(|row| row.session).collect();
        self.index_all(&all, tell).map(|_| ())
    }

    /// Adds what these have that is not indexed yet; `false` when one is not the one that was, which
    /// ends it.
    fn index_all(
        &self,
        sessions: &[SessionId],
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<bool, RecordError> {
        for (done, session) in sessions.iter().enumerate() {
            if !self.index(*session)? {
                return Ok(false);
            }
            tell(done + 1, sessions.len());
        }
        Ok(true)
    }

    /// Adds what a session has that is not indexed yet; `false` when it is not the one that was.
    fn index(&self, session: SessionId) -> Result<bool, RecordError> {
        // It is being removed, or its file has just been damaged: the next listing says so.
        let Ok(archive) = Archive::open(&self.home, session) else { return Ok(true) };
        let add = || -> rusqlite::Result<bool> {
            // Whoever else searches now waits, and finds it indexed.
            let immediate = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(&self.connection, immediate)?;
            // Whoever deletes it looks once more after its file is gone, and not again.
            if !archive.path().exists() {
                return Ok(true);
            }
            let mut now = match self.indexed_of(session)? {
                Some(so_far) => so_far,
                None => Indexed::nothing(Shelf::with_room(&transaction)?),
            };
            if now.events > 0
                && hash_at(archive.connection(), now.events - 1)? != Some(now.last_hash)
            {
                return Ok(false);
            }
            let shelf = now.shelf;
            each_event(archive.connection(), now.events, |row| {
                (now.events, now.last_hash) = (row.seq + 1, row.hash);
                // What cannot be read cannot be found.
                match row.decode() {
                    Ok(Some(event)) => add_event(&transaction, shelf, session, &event),
                    _ => Ok(()),
                }
            })?;
            let (events, id) = (sql_integer(now.events), session.as_bytes());
            transaction
                .prepare_cached("INSERT OR REPLACE INTO indexed VALUES (?, ?, ?, ?)")?
                .execute(params![id, events, now.last_hash, shelf.number()])?;
            transaction.commit()?;
            Ok(true)
        };
        add().map_err(self.unindexed())
    }

    fn indexed(&self) -> rusqlite::Result<HashMap<SessionId, Indexed>> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM indexed")?;
        let rows = statement
            .query_map([], |row| Ok((session_id(row, "session")?, Indexed::read(row)?)))?;
        rows.collect()
    }

    fn indexed_of(&self, session: SessionId) -> rusqlite::Result<Option<Indexed>> {
        self.connection
            .prepare_cached("SELECT * FROM indexed WHERE session = ?")?
            .query_row([session.as_bytes()], Indexed::read)
            .optional()
    }

    /// Throws the index away; the next search makes it anew.
    pub(super) fn forget_words(&self) -> rusqlite::Result<()> {
        // Whoever reads first and then writes does not wait for another writer, but fails.
        let immediate = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.connection, immediate)?;
        for shelf in Shelf::all(&transaction)? {
            shelf.clear(&transaction)?;
        }
        for table in ["passage_of", "facet", "indexed"] {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit()
    }

    /// Takes the words of a session out of the index. Its file has to be there still, since the
    /// index does not know what it holds; without it, the index is thrown away.
    pub(super) fn forget_words_of(&self, session: SessionId) -> rusqlite::Result<()> {
        // From here on nobody adds to what is known of it.
        let immediate = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(&self.connection, immediate)?;
        let Some(known) = self.indexed_of(session)? else { return Ok(()) };
        let shelf = known.shelf;
        if shelf.holds_only(&transaction, session.as_bytes())? {
            shelf.clear(&transaction)?;
        } else {
            let Ok(archive) = Archive::open(&self.home, session) else {
                drop(transaction);
                return self.forget_words();
            };
            let last = known.events.saturating_sub(1);
            if hash_at(archive.connection(), last)? != Some(known.last_hash) {
                drop(transaction);
                return self.forget_words();
            }
            each_event(archive.connection(), 0, |row| match row.decode() {
                Ok(Some(event)) if event.seq < known.events => {
                    remove_event(&transaction, shelf, session, &event)
                }
                _ => Ok(()),
            })?;
            shelf.tidy(&transaction)?;
        }
        for table in ["passage_of", "facet", "indexed"] {
            let sql = format!("DELETE FROM {table} WHERE session = ?");
            transaction.execute(&sql, [session.as_bytes()])?;
        }
        transaction.commit()
    }
}

/// How far a session is indexed.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    /// Its first so many events.
    events: u64,
    /// The hash of the last of them.
    last_hash: Digest,
    /// Where its words stand.
    shelf: Shelf,
}

impl Indexed {
    fn nothing(shelf: Shelf) -> Self {
        Self { events: 0, last_hash: Digest::default(), shelf }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let events: i64 = row.get("events")?;
        let events = u64::try_from(events).unwrap_or(0);
        let shelf = Shelf::numbered(row.get("shelf")?);
        Ok(Self { events, last_hash: row.get("last_hash")?, shelf })
    }
}

/// The hash of an event, if there is one with this number.
fn hash_at(connection: &Connection, seq: u64) -> rusqlite::Result<Option<Digest>> {
    connection
        .prepare_cached("SELECT hash FROM event WHERE seq = ?")?
        .query_row([sql_integer(seq)], |row| row.get(0))
        .optional()
}

fn add_event(
    library: &Connection,
    shelf: Shelf,
    session: SessionId,
    event: &Event,
) -> rusqlite::Result<()> {
    for (name, value) in facets(&event.body) {
        library
            .prepare_cached("INSERT OR IGNORE INTO facet VALUES (?, ?, ?)")?
            .execute(params![session.as_bytes(), name, value])?;
    }
    let Some((part, text)) = passage(&event.body) else { return Ok(()) };
    library
        .prepare_cached("INSERT INTO passage_of (session, seq, part) VALUES (?, ?, ?)")?
        .execute(params![session.as_bytes(), sql_integer(event.seq), part.as_str()])?;
    shelf.add(library, library.last_insert_rowid(), &text)
}

fn remove_event(
    library: &Connection,
    shelf: Shelf,
    session: SessionId,
    event: &Event,
) -> rusqlite::Result<()> {
    let Some((_, text)) = passage(&event.body) else { return Ok(()) };
    let id = library
        .prepare_cached("SELECT id FROM passage_of WHERE session = ? AND seq = ?")?
        .query_row(params![session.as_bytes(), sql_integer(event.seq)], |row| row.get(0))
        .optional()?;
    id.map_or(Ok(()), |id| shelf.remove(library, id, &text))
}

fn facet(library: &Connection, session: SessionId, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT value FROM facet WHERE session = ? AND name = ?";
    let mut statement = library.prepare_cached(sql)?;
    let values = statement.query_map(params![session.as_bytes(), name], |row| row.get(0))?;
    values.collect()
}

/// Whether a path is the other one or ends with it, part by part.
fn is_end_of_path(path: &str, end: &str) -> bool {
    std::path::Path::new(path).ends_with(end)
}

/// The text of these matches of a session; none when its file cannot be read.
fn excerpts(home: &Home, session: SessionId, places: &[u64], words: &Words) -> Vec<Excerpt> {
    if places.is_empty() {
        return Vec::new();
    }
    let Ok(archive) = Archive::open(home, session) else { return Vec::new() };
    let excerpt = |seq: &u64| {
        let event = archive.event(*seq).ok()??;
        let (part, text) = passage(&event.body)?;
        let text = around(&text, words.place_in(&text));
        let (round, call) = (event.round, call_of(&event.body));
        Some(Excerpt { seq: *seq, round, call, part, text })
    };
    places.iter().filter_map(excerpt).take(SHOWN_MAX).collect()
}

/// A line of the text around a place.
fn around(text: &str, at: usize) -> String {
    let before: Vec<char> = text[..at].chars().rev().take(BEFORE_CHARS).collect();
    let after: Vec<char> = text[at..].chars().take(AFTER_CHARS).collect();
    let is_cut = |taken: usize, of: &str| of.chars().nth(taken).is_some();
    let (from, to) = (is_cut(before.len(), &text[..at]), is_cut(after.len(), &text[at..]));
    let line: String = before.into_iter().rev().chain(after).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{line}{}", if from { "… " } else { "" }, if to { " …" } else { "" })
}

#[cfg(test)]
mod tests;
