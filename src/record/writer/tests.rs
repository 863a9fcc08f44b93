//! What a power cut leaves: all that was synced, and any part of what was not. A clock that is set,
//! and a disk without a WAL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use trajectory::event::Prompt;
use trajectory::{Body, Event, Recorded, SessionId, Source};

use super::{Leftovers, Writer};
use crate::archive::genesis;
use crate::connection::{SESSION_FORMAT, open_to_write, set_up, with_suffix};
use crate::ledger::Ledger;
use crate::queue::Stamp;
use crate::tests::{Story, home, home_in_memory, sound, start};
use crate::*;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The header of a WAL, and that of each page in it.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// How the file of a session and its WAL stand, and how many events were acknowledged by then.
#[derive(Clone, Default)]
struct Moment {
    database: Vec<u8>,
    wal: Vec<u8>,
    acknowledged: usize,
}

/// Looks at files that are written, from a process of its own: to close one here would drop SQLite's
/// locks on it.
struct Witness<'a> {
    home: &'a Home,
    scratch: PathBuf,
}

impl Witness<'_> {
    fn look(&self, story: &Story) -> Moment {
        let file = self.home.session_file(story.id());
        let read = |path: &Path| {
            let _ = fs::remove_file(&self.scratch);
            Command::new("cp").arg(path).arg(&self.scratch).output().unwrap();
            fs::read(&self.scratch).unwrap_or_default()
        };
        let wal = read(&with_suffix(&file, "-wal"));
        Moment { database: read(&file), wal, acknowledged: story.events.len() }
    }
}

/// The same numbers each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// A home in which what a cut left is looked at.
struct Grave {
    _folder: TempDir,
    home: Home,
    id: SessionId,
}

impl Grave {
    fn of(home: &Home, id: SessionId) -> Self {
        let (folder, grave) = home_in_memory();
        let path = grave.path();
        fs::copy(home.path().join("device"), path.join("device")).unwrap();
        Self { home: Home::open(path).unwrap(), id, _folder: folder }
    }

    /// The events that are there once it was recovered; none when nothing of the session is.
    #[track_caller]
    fn left(&self, database: &[u8], wal: &[u8], what: &str) -> Vec<Event> {
        let file = self.home.session_file(self.id);
        let _ = fs::remove_file(with_suffix(&file, "-shm"));
        fs::write(&file, database).unwrap();
        fs::write(with_suffix(&file, "-wal"), wal).unwrap();
        match recover(&self.home, self.id) {
            Ok(_) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        if !file.exists() {
            return Vec::new();
        }
        let archive = Archive::open(&self.home, self.id).unwrap();
        assert_eq!(archive.verify().unwrap(), [], "{what}");
        archive.events().unwrap().into_iter().map(Recorded::into_inner).collect()
    }
}

/// How many of these events are there, in their order; whatever comes behind them is recovery's.
#[track_caller]
fn kept(left: &[Event], events: &[Event], what: &str) -> usize {
    let kept = left.iter().zip(events).take_while(|(left, event)| left == event).count();
    let run = events[0].run;
    assert!(left[kept..].iter().all(|event| event.run != run), "{what}: not a beginning of it");
    kept
}

/// How far the WAL had come: between all pages that were not there before, and within each.
fn cuts(before: &[u8], after: &[u8], random: &mut Random) -> Vec<usize> {
    let same = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let mut cuts = vec![same, after.len()];
    let mut at = WAL_HEADER;
    while at < after.len() {
        if at > same {
            cuts.push(at);
            cuts.push(at + 1 + random.below(FRAME_HEADER + PAGE - 1));
        }
        at += FRAME_HEADER + PAGE;
    }
    cuts.retain(|cut| *cut <= after.len());
    cuts
}

/// The bytes of one, up to a place, and those of the other from there on.
fn spliced(new: &[u8], old: &[u8], at: usize) -> Vec<u8> {
    [&new[..at.min(new.len())], old.get(at..).unwrap_or_default()].concat()
}

/// Disks write sectors in any order: some of those that are new, and not others.
fn scattered(new: &[u8], old: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(new.len());
    for (index, sector) in new.chunks(SECTOR).enumerate() {
        let old = old.get(index * SECTOR..index * SECTOR + sector.len());
        match random.below(2) {
            0 => bytes.extend_from_slice(sector),
            _ => bytes.extend_from_slice(old.unwrap_or(&vec![0; sector.len()])),
        }
    }
    bytes
}

/// Commits of a session one by one; true for those that were waited for.
async fn filmed(story: &mut Story, witness: &Witness<'_>, prompts: &[&str]) -> Vec<(Moment, bool)> {
    let mut film = Vec::new();
    for text in prompts {
        story.prompt(text).await;
        film.push((witness.look(story), false));
        story.ask().await;
        film.push((witness.look(story), false));
        let call = story.reply("let me look", 1).await[0];
        film.push((witness.look(story), false));
        story.start(call).await;
        film.push((witness.look(story), true));
        let printed = b"a line\n".repeat(300);
        story.print(call, &printed).await;
        story.observe(call, &printed).await;
        film.push((witness.look(story), false));
        story.end_round().await;
        film.push((witness.look(story), true));
    }
    film
}

/// Whatever part of what was not synced had reached the disk: everything that was waited for is
/// there, what is there is a beginning of what was recorded, and it is whole.
#[tokio::test]
async fn a_power_cut_costs_nothing_that_was_waited_for() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    let witness = Witness { home: &home, scratch: folder.path().join("scratch") };
    let film = filmed(&mut story, &witness, &["go"]).await;
    let grave = Grave::of(&home, story.id());
    let mut random = Random(0x5eed);
    // Nothing of a new file is on disk before the first commit that was waited for.
    let mut synced = Moment::default();
    let mut count = 0;
    for (number, (moment, was_waited_for)) in film.into_iter().enumerate() {
        let mut databases = vec![&moment.database];
        if synced.database != moment.database {
            databases.push(&synced.database);
        }
        for database in databases {
            for cut in cuts(&synced.wal, &moment.wal, &mut random) {
                let what = format!("commit {number}, cut at {cut} of {}", moment.wal.len());
                let left = grave.left(database, &spliced(&moment.wal, &synced.wal, cut), &what);
                let kept = kept(&left, &story.events, &what);
                assert!(kept >= synced.acknowledged, "{what}: {kept} are left");
                assert!(kept <= moment.acknowledged, "{what}: {kept} are left");
                let is_whole = cut == moment.wal.len() && *database == moment.database;
                assert!(!is_whole || kept == moment.acknowledged, "{what}: {kept} are left");
                count += 1;
            }
        }
        let what = format!("commit {number}, some sectors");
        let wal = scattered(&moment.wal, &synced.wal, &mut random);
        let left = grave.left(&moment.database, &wal, &what);
        assert!(kept(&left, &story.events, &what) >= synced.acknowledged, "{what}");
        if was_waited_for {
            synced = moment;
        }
    }
    assert!(count > 60, "{count} cuts");
}

/// While the WAL is folded into the file, any of the file's pages may be the new ones, or torn.
#[tokio::test]
async fn a_power_cut_in_a_checkpoint_costs_nothing() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    let witness = Witness { home: &home, scratch: folder.path().join("scratch") };
    filmed(&mut story, &witness, &["first", "second"]).await;
    let before = witness.look(&story);
    let other = rusqlite::Connection::open(home.session_file(story.id())).unwrap();
    let done: (i64, i64, i64) = other
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert!(done.0 == 0 && done.1 == done.2 && done.1 > 0, "{done:?}");
    let after = witness.look(&story);
    assert_ne!(before.database, after.database);
    let grave = Grave::of(&home, story.id());
    let mut random = Random(0x5eed);
    let check = |database: &[u8], what: &str| {
        let left = grave.left(database, &before.wal, what);
        assert_eq!(kept(&left, &story.events, what), story.events.len(), "{what}");
    };
    let pages = after.database.len() / PAGE;
    for page in (0..=pages).step_by(pages / 16 + 1) {
        check(&spliced(&after.database, &before.database, page * PAGE), &format!("page {page}"));
        let torn = page * PAGE + SECTOR * (1 + random.below(PAGE / SECTOR - 1));
        check(&spliced(&after.database, &before.database, torn), &format!("within page {page}"));
    }
    for number in 0..8 {
        let some = scattered(&after.database, &before.database, &mut random);
        check(&some, &format!("some sectors, {number}"));
    }
}

/// A WAL whose end is torn off, or that something was written behind, or into: what is before that is
/// there, and whole.
#[tokio::test]
async fn a_torn_wal_costs_what_is_behind_the_tear() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    let witness = Witness { home: &home, scratch: folder.path().join("scratch") };
    filmed(&mut story, &witness, &["first", "second"]).await;
    let Moment { database, wal, .. } = witness.look(&story);
    let grave = Grave::of(&home, story.id());
    let mut random = Random(0x70a2);
    for number in 0..18 {
        let what = format!("tear {number}");
        let at = random.below(wal.len());
        let garbage: Vec<u8> = (0..random.below(9000)).map(|_| random.below(256) as u8).collect();
        let (torn, is_whole) = match number % 3 {
            0 => (wal[..at].to_vec(), false),
            1 => ([&wal[..], &garbage].concat(), true),
            _ => {
                let mut flipped = wal.clone();
                flipped[at] ^= 1 << random.below(8);
                (flipped, false)
            }
        };
        let left = grave.left(&database, &torn, &what);
        let kept = kept(&left, &story.events, &what);
        assert!(!is_whole || kept == story.events.len(), "{what}: {kept}");
    }
}

/// A writer of a new session, on the stamp of one who says what time it is.
fn begun(home: &Home, id: SessionId, wall_ns: i64, network: Option<&str>) -> Writer {
    let path = home.session_file(id);
    let connection = open_to_write(&path, SESSION_FORMAT).unwrap();
    set_up(&connection, network).unwrap();
    let mut writer = Writer::new(connection, path.clone(), id, Ledger::default()).unwrap();
    let stamp = Stamp { wall_ns, mono_ns: 0 };
    writer.begin(stamp, home.device(), &start(id)).unwrap();
    writer.ledger.head = genesis(writer.connection(), &path).unwrap();
    writer
}

fn say(writer: &mut Writer, stamp: Stamp, text: &str) {
    let prompt = Prompt { text: text.to_owned(), ..Prompt::default() };
    let write = Write::event(1, Source::User, prompt);
    writer.commit(stamp, &write, Durability::Relaxed, Leftovers::Keep).unwrap();
}

fn texts(archive: &Archive) -> Vec<String> {
    let text = |event: Recorded<Event>| match &event.body {
        Body::Prompt(prompt) => Some(prompt.text.clone()),
        _ => None,
    };
    archive.events().unwrap().into_iter().filter_map(text).collect()
}

#[tokio::test]
async fn events_keep_their_order_whatever_the_clock_says() {
    let (_folder, home) = home();
    let id = SessionId::new();
    let mut writer = begun(&home, id, 2_000_000_000_000_000_000, None);
    let walls = [1_999_999_999_000_000_000, 0, i64::MAX, 1, -5];
    for (number, wall_ns) in walls.into_iter().enumerate() {
        let stamp = Stamp { wall_ns, mono_ns: number as u64 * 1_000_000 };
        say(&mut writer, stamp, &number.to_string());
    }
    writer.close().unwrap();
    let archive = sound(&home, id);
    assert_eq!(texts(&archive), ["0", "1", "2", "3", "4"]);
    let events = archive.events().unwrap();
    let mono: Vec<u64> = events.iter().map(|event| event.mono_ns / 1_000_000).collect();
    assert_eq!(mono, [0, 1, 2, 3, 4]);
    assert_eq!(events.iter().map(|event| event.wall_ns).collect::<Vec<_>>(), walls);
    drop(archive);
    // It is closed, listed and gone on with like any other.
    assert!(recover(&home, id).unwrap());
    let rows = Library::open(&home).unwrap().list().unwrap();
    assert_eq!((rows.len(), rows[0].status.events), (1, 8));
    let mut story = Story::resume(&home, id);
    story.round("on").await;
    story.end().await;
    sound(&home, id);
}

#[tokio::test]
async fn on_a_network_disk_there_is_no_wal_and_every_commit_is_waited_for() {
    let (_folder, home) = home();
    let id = SessionId::new();
    let mut writer = begun(&home, id, 1, Some("NFS"));
    say(&mut writer, Stamp { wall_ns: 2, mono_ns: 1 }, "one");
    let pragma = |name: &str| -> String {
        let value: Value =
            writer.connection().pragma_query_value(None, name, |row| row.get(0)).unwrap();
        format!("{value:?}")
    };
    assert!(pragma("journal_mode").contains("truncate"));
    assert!(pragma("synchronous").contains('2'), "FULL: {}", pragma("synchronous"));
    assert!(!with_suffix(&home.session_file(id), "-wal").exists());
    // Its process dies here; and the folder moves to a disk of the machine's own.
    drop(writer);
    assert_eq!(texts(&sound(&home, id)), ["one"]);
    let mut story = Story::resume(&home, id);
    story.round("two").await;
    assert!(with_suffix(&home.session_file(id), "-wal").exists());
    story.end().await;
    assert_eq!(texts(&sound(&home, id)), ["one", "two"]);
}
