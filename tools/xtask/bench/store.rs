//! What a store costs that has grown: 250, 500 and 1,000 sessions of 40,000 tokens, listed, searched,
//! checked, copied and deleted from; how fast and how evenly it takes what has to be durable; and
//! going on with a long session in the middle of it.

mod made;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};
use pty::{Dress, TerminalSize};
use record::{Durability, Home, Write};
use trajectory::Source;
use trajectory::event::Prompt;

use self::made::{Corpus, Made, word};
use super::figures::{SESSION_STEPS, STEP_BYTES, World, cpus, peaks, shell, walls};
use super::{Bench, Figure, Unit};
use crate::measure::{Child, Samples, fsync_seconds, repeat};
use crate::process::target;

/// Sessions in the store, one after the other.
const SIZES: [u64; 3] = [250, 500, 1_000];

/// Tokens of each.
const TOKENS: u64 = 40_000;

/// Commits of each session that have to be durable.
const APPENDS: usize = 300;

/// Bytes of each.
const APPEND_BYTES: usize = 2_048;

/// Events of the session that is played back.
const PLAYED_EVENTS: u64 = 5_000;

/// A word that nearly every piece of every session has.
const COMMON: &str = "the";

pub(super) fn store(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = appends(bench)?;
    let world = World::new("store")?;
    let mut sizes = Vec::new();
    let mut all: Vec<Made> = Vec::new();
    for size in SIZES {
        all.extend(fill(&world, all.len() as u64..size)?);
        sizes.push(Size::measure(bench, &world, &all)?);
    }
    let [one, two, four] = &sizes[..] else { bail!("three sizes") };
    let row = |name: &str, unit, samples: fn(&Size) -> &Samples| {
        let name = format!("store: {name}");
        Figure::new(&name, unit, samples(one).clone()).growth(samples(two), samples(four))
    };
    figures.extend([
        row("bytes of recordings for a token", Unit::Ratio, |it| &it.bytes),
        row("bytes of limn.db for a token, searched", Unit::Ratio, |it| &it.index_bytes),
        row("listed first", Unit::Seconds, |it| &it.listed_first),
        row("listed", Unit::Seconds, |it| &it.listed).aim(0.1),
        row("listed, peak memory", Unit::Bytes, |it| &it.listed_peak),
        row("searched first, a session", Unit::Seconds, |it| &it.searched_first),
        row("searched for a word of one session", Unit::Seconds, |it| &it.rare).aim(0.3),
        row("searched for a word of all of them", Unit::Seconds, |it| &it.common).aim(0.3),
        row("searched for a word of all, peak memory", Unit::Bytes, |it| &it.common_peak),
        row("searched for a file", Unit::Seconds, |it| &it.file).aim(0.3),
        row("stats", Unit::Seconds, |it| &it.stats),
        row("gc", Unit::Seconds, |it| &it.collected),
        row("one deleted", Unit::Seconds, |it| &it.removed),
        row("backup, a session", Unit::Seconds, |it| &it.copied),
        row("backup again", Unit::Seconds, |it| &it.copied_again),
        row("check, a session", Unit::Seconds, |it| &it.checked),
        row("check, peak memory", Unit::Bytes, |it| &it.checked_peak),
    ]);
    let wal = Samples::of(all.iter().map(|made| made.wal_bytes_max as f64));
    figures.push(Figure::new("store: longest WAL of a session", Unit::Bytes, wal).aim(8e6));
    figures.extend(resumed(bench, &world)?);
    Ok(figures)
}

/// What a store of one size costs.
struct Size {
    bytes: Samples,
    index_bytes: Samples,
    listed_first: Samples,
    listed: Samples,
    listed_peak: Samples,
    searched_first: Samples,
    rare: Samples,
    common: Samples,
    common_peak: Samples,
    file: Samples,
    stats: Samples,
    collected: Samples,
    removed: Samples,
    copied: Samples,
    copied_again: Samples,
    checked: Samples,
    checked_peak: Samples,
}

impl Size {
    fn measure(bench: &Bench, world: &World, all: &[Made]) -> Result<Self> {
        let once = |args: &[&str]| -> Result<Vec<Child>> { Ok(vec![world.limn(bench, args)?]) };
        let often = |args: &[&str]| repeat(bench.reps, || world.limn(bench, args));
        let tokens: u64 = all.iter().map(|made| made.tokens).sum();
        let for_a_token = |bytes: u64| Samples::of([bytes as f64 / tokens as f64]);
        // What has to be done for each session that is new since the size before.
        let new = all.len() as f64 / if all.len() as u64 == SIZES[0] { 1.0 } else { 2.0 };
        let of_one = |runs: &[Child], sessions: f64| {
            Samples::of(runs.iter().map(|run| run.wall.as_secs_f64() / sessions))
        };
        let bytes = for_a_token(bytes_of(&world.home().join("sessions"))?);
        let listed_first = walls(&once(&["sessions"])?);
        let listed = often(&["sessions"])?;
        let searched_first = of_one(&once(&["sessions", "--search", COMMON])?, new);
        let common = often(&["sessions", "--search", COMMON])?;
        let copy = world.folder.join("copy");
        let place = copy.to_string_lossy().into_owned();
        let copied = of_one(&once(&["store", "backup", &place])?, new);
        let checked = once(&["store", "check"])?;
        // Deleted ones are missed by nothing that comes after: they are in the counts all the same.
        let removed = repeat(bench.reps, || {
            let extra = fill(world, REMOVED..REMOVED + 1)?;
            let id = extra.first().context("it was recorded")?.id.to_string();
            world.limn(bench, &["sessions", "--search", COMMON, "--limit", "1"])?;
            world.limn(bench, &["rm", &id])
        })?;
        Ok(Self {
            bytes,
            index_bytes: for_a_token(bytes_with(&world.home(), "limn.db")?),
            listed_first,
            listed_peak: peaks(&listed),
            listed: walls(&listed),
            searched_first,
            rare: walls(&often(&["sessions", "--search", &word(all.len() as u64 / 2)])?),
            common_peak: peaks(&common),
            common: walls(&common),
            file: walls(&often(&["sessions", "--file", "part_7.rs"])?),
            stats: walls(&often(&["store", "stats"])?),
            collected: walls(&often(&["store", "gc"])?),
            removed: walls(&removed),
            copied,
            copied_again: walls(&often(&["store", "backup", &place])?),
            checked: of_one(&checked, all.len() as f64),
            checked_peak: peaks(&checked),
        })
    }
}

/// The number of a session that comes and goes.
const REMOVED: u64 = 900_000;

/// Records sessions into the store, on every core.
fn fill(world: &World, numbers: std::ops::Range<u64>) -> Result<Vec<Made>> {
    let (home, corpus) = (Home::open(&world.home())?, Corpus::read()?);
    let next = AtomicU64::new(numbers.start);
    let work = || -> Result<Vec<Made>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(made);
            }
            made.push(runtime.block_on(made::make(&home, &corpus, number, TOKENS))?);
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(made) => all.extend(made?),
                Err(_) => bail!("recording failed inside"),
            }
        }
        Ok(all)
    })
}

/// Bytes of the files in a folder.
fn bytes_of(folder: &Path) -> Result<u64> {
    bytes_with(folder, "")
}

/// Bytes of the files in a folder whose names begin so.
fn bytes_with(folder: &Path, start: &str) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(start) && entry.path().is_file() {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

/// Commits that wait for the disk, of one, two and four sessions at once, beside an fsync.
fn appends(bench: &Bench) -> Result<Vec<Figure>> {
    let fsync = fsync_seconds(&target().join("measure"), 200)?;
    let mut figures = Vec::new();
    for sessions in [1, 2, 4] {
        let mut waits = Vec::new();
        let rates = repeat(bench.reps, || {
            let world = World::new("appends")?;
            let (took, seconds) = append(&Home::open(&world.home())?, sessions)?;
            waits.extend(seconds);
            Ok((sessions * APPENDS) as f64 / took.as_secs_f64())
        })?;
        let waits = Samples::of(waits);
        let name = |what: &str| match sessions {
            1 => format!("store: durable appends of 1 session, {what}"),
            _ => format!("store: durable appends of {sessions} sessions, {what}"),
        };
        let row = |what: &str, value: f64| {
            Figure::new(&name(what), Unit::Seconds, Samples::of([value])).against("fsync", &fsync)
        };
        figures.extend([
            Figure::new(&name("a second"), Unit::Count, Samples::of(rates)),
            Figure::new(&name("each"), Unit::Seconds, waits.clone()).against("fsync", &fsync),
            row("p99", waits.percentile(99)),
            row("worst", waits.percentile(100)),
        ]);
    }
    Ok(figures)
}

/// How long it took in all, and how long each commit was waited for.
fn append(home: &Home, sessions: usize) -> Result<(Duration, Vec<f64>)> {
    let began = Instant::now();
    let work = |number: usize| -> Result<Vec<f64>> {
        let recorder = made::begin(home, number as u64)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut seconds = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let prompt = Prompt { text: "x".repeat(APPEND_BYTES), ..Prompt::default() };
            let write = Write::event(1, Source::User, prompt);
            let at = Instant::now();
            runtime.block_on(recorder.commit(write, Durability::Durable))?;
            seconds.push(at.elapsed().as_secs_f64());
        }
        Ok(seconds)
    };
    let all = thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> =
            (0..sessions).map(|number| scope.spawn(move || work(number))).collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(seconds) => all.extend(seconds?),
                Err(_) => bail!("appending failed inside"),
            }
        }
        Ok(all)
    })?;
    Ok((began.elapsed(), all))
}

/// One more round of a session of 150,000 tokens in the full store, beside a first round.
fn resumed(bench: &Bench, world: &World) -> Result<Vec<Figure>> {
    let calls = (0..SESSION_STEPS).map(|number| {
        let print = format!("seq {number}0000 {number}9999 | head -c {STEP_BYTES}");
        shell(&print).reasoning("Look at the next part and go on from there.")
    });
    let server = MockServer::start(Scenario::replies(calls.chain([Reply::text("Done.")])))?;
    world.exec(bench, &server, &["--no-fsync"])?;
    let answers = MockServer::start(Scenario::repeat_last([Reply::text("Yes.")]))?;
    let again = repeat(bench.reps, || world.exec(bench, &answers, &["--resume", "last"]))?;
    let first = repeat(bench.reps, || world.exec(bench, &answers, &[]))?;
    let name = "store: a session of 150k tokens gone on with";
    Ok(vec![
        Figure::new(name, Unit::Seconds, walls(&again)).against("a new one", &walls(&first)),
        Figure::new(&format!("{name}, processor time"), Unit::Seconds, cpus(&again))
            .against("a new one", &cpus(&first)),
        Figure::new(&format!("{name}, peak memory"), Unit::Bytes, peaks(&again)),
    ])
}

/// A session of 5,000 events, played back: opened, jumped in, stepped through backwards.
pub(super) fn play(bench: &Bench) -> Result<Vec<Figure>> {
    let world = World::new("play")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (home, corpus) = (Home::open(&world.home())?, Corpus::read()?);
    runtime.block_on(made::make_long(&home, &corpus, PLAYED_EVENTS))?;
    let size = TerminalSize { columns: 120, rows: 40 };
    let open = || {
        let dress = Dress::of(&bench.limn, size)
            .args(["play", "last", "--from", "1"])
            .env("HOME", &world.folder)
            .env("LIMN_HOME", world.home());
        dress.folder(&world.work()).start()
    };
    let mut jumps = Vec::new();
    let mut steps = Vec::new();
    let opens = repeat(bench.reps, || {
        let mut pty = open()?;
        let at = pty.shows(" event ")?;
        let opened = (at - pty.began()).as_secs_f64();
        pty.press(" ")?;
        pty.shows("⏸")?;
        for key in ["9", "1", "5"] {
            let before = place(&pty.text());
            let pressed = pty.press(key)?;
            let seen = pty.until(|screen| place(screen) != before)?;
            jumps.push(seen.saturating_duration_since(pressed).as_secs_f64());
        }
        // A jump may end among what a command printed; from there the step back is to the same event.
        let before = place(&pty.text());
        pty.press(".")?;
        pty.until(|screen| place(screen) != before)?;
        for _ in 0..10 {
            let before = place(&pty.text());
            let pressed = pty.press(",")?;
            let seen = pty.until(|screen| place(screen) != before)?;
            steps.push(seen.saturating_duration_since(pressed).as_secs_f64());
        }
        Ok(opened)
    })?;
    let figure = |name: &str, samples: Vec<f64>| {
        Figure::new(&format!("play: 5,000 events, {name}"), Unit::Seconds, Samples::of(samples))
    };
    Ok(vec![figure("opened", opens), figure("a jump", jumps), figure("a step back", steps)])
}

/// Where a playback says that it stands: in the last line of the screen that says so, for what is
/// played may have the word, too.
fn place(screen: &str) -> Option<String> {
    let mut lines = screen.lines().rev();
    let (event, _) = lines.find_map(|line| line.split_once(" event ")?.1.split_once(" of "))?;
    Some(event.to_owned())
}
