//! What the terminal costs: until it can be used, while nothing happens, from a key to what it
//! shows, while a reply streams, and in a long session.

use std::time::{Duration, Instant};

use anyhow::Result;
use mock_server::{MockServer, Reply, Scenario};
use pty::{Dress, Pty, TerminalSize};

use super::figures::{SESSION_STEPS, STEP_BYTES, World, shell};
use super::{Bench, Figure, Unit};
use crate::measure::{Samples, repeat};

const DELTAS: usize = 20_000;
const KEYS: usize = 200;

/// Between two keys, as somebody types fast.
const BETWEEN_KEYS: Duration = Duration::from_millis(30);

/// For how long it is looked at doing nothing.
const IDLE: Duration = Duration::from_secs(20);

/// Steps of a session of about 5,000 events.
const LONG_STEPS: usize = 1_250;

const SIZE: TerminalSize = TerminalSize { columns: 120, rows: 40 };
/// Pages up, fewer than the shorter session has.
const PAGES: usize = 20;

const PAGE_UP: &str = "\x1b[5~";

/// What stands in an empty prompt when it can be used.
const READY: &str = "F1 help";

pub(super) fn tui(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = idle(bench)?;
    figures.extend(streaming(bench)?);
    figures.extend(long(bench)?);
    Ok(figures)
}

fn open(bench: &Bench, world: &World, server: &MockServer, args: &[&str]) -> Result<Pty> {
    let dress = Dress::of(&bench.limn, SIZE)
        .args(args.iter().copied())
        .args(["--model", "mock-model", "--base-url", &server.url(), "--sandbox", "off"])
        .env("HOME", &world.folder)
        .env("LIMN_HOME", world.home())
        .folder(&world.work());
    Ok(dress.start()?)
}

/// Types letters one by one; how long each took to be seen.
fn echo(pty: &mut Pty, keys: usize) -> Result<Samples> {
    let mut typed = String::new();
    let mut seconds = Vec::new();
    for number in 0..keys {
        if typed.len() >= 30 {
            pty.press("\x15")?;
            typed.clear();
            pty.rest(BETWEEN_KEYS);
        }
        let letter = b"jkqxzvwy"[(number * 5 + number / 8) % 8] as char;
        typed.push(letter);
        let at = pty.press(&letter.to_string())?;
        let wanted = format!("❯ {typed}");
        let seen = pty.until(|screen| screen.contains(&wanted))?;
        seconds.push(seen.saturating_duration_since(at).as_secs_f64());
        pty.rest(BETWEEN_KEYS);
    }
    pty.press("\x15")?;
    Ok(Samples::of(seconds))
}

fn idle(bench: &Bench) -> Result<Vec<Figure>> {
    let world = World::new("tui-idle")?;
    let server = MockServer::start(Scenario::replies([]))?;
    let starts = repeat(bench.reps.max(10), || {
        let mut pty = open(bench, &world, &server, &[])?;
        let shown = pty.shows(READY)?;
        pty.press("q")?;
        let usable = pty.shows("❯ q")?;
        Ok((shown, usable, pty.began()))
    })?;
    let since = |at: fn(&(Instant, Instant, Instant)) -> Instant| {
        let seconds = |run: &(Instant, Instant, Instant)| (at(run) - run.2).as_secs_f64();
        Samples::of(starts.iter().map(seconds))
    };
    let mut pty = open(bench, &world, &server, &[])?;
    pty.shows(READY)?;
    pty.settle(Duration::from_millis(500));
    let memory = pty.rss_bytes()?;
    let (cpu, from) = (pty.cpu_seconds()?, pty.printed().len());
    pty.rest(IDLE);
    let idle = (pty.cpu_seconds()? - cpu) / IDLE.as_secs_f64() * 100.0;
    let printed = (pty.printed().len() - from) as f64;
    let keys = echo(&mut pty, KEYS)?;
    Ok(vec![
        Figure::new("tui: first frame", Unit::Seconds, since(|run| run.0)),
        Figure::new("tui: usable", Unit::Seconds, since(|run| run.1)).aim(0.025),
        Figure::new("tui: memory, idle", Unit::Bytes, Samples::of([memory])).aim(20e6),
        Figure::new("tui: processor, idle", Unit::Percent, Samples::of([idle])).aim(0.0),
        Figure::new("tui: printed while idle", Unit::Bytes, Samples::of([printed])).aim(0.0),
        rarest("tui: key to echo, p99", &keys).aim(0.003),
        Figure::new("tui: key to echo", Unit::Seconds, keys).aim(0.0005),
    ])
}

/// What one key in a hundred takes at the least.
fn rarest(name: &str, keys: &Samples) -> Figure {
    Figure::new(name, Unit::Seconds, Samples::of([keys.percentile(99)]))
}

/// A reply of many pieces, its last word, and how it is sent.
fn stream(pause: Option<Duration>) -> Reply {
    let pieces = (0..DELTAS).map(|number| {
        if number + 1 == DELTAS { "LAST.".to_owned() } else { format!("w{number} ") }
    });
    let reply = Reply::new().text_deltas(pieces);
    match pause {
        Some(pause) => reply.events_per_write(20).pause(pause),
        None => reply,
    }
}

fn streaming(bench: &Bench) -> Result<Vec<Figure>> {
    let runs = repeat(bench.reps, || {
        let world = World::new("tui-stream")?;
        let server = MockServer::start(Scenario::replies([stream(None)]))?;
        let mut pty = open(bench, &world, &server, &[])?;
        pty.shows(READY)?;
        pty.settle(Duration::from_millis(300));
        let (cpu, from) = (pty.cpu_seconds()?, pty.printed().len());
        pty.press("go")?;
        pty.shows("❯ go")?;
        let began = pty.press("\r")?;
        let wall = (pty.shows("LAST.")? - began).as_secs_f64();
        let cpu = pty.cpu_seconds()? - cpu;
        let frames = pty.frames_since(from).max(1);
        let bytes = (pty.printed().len() - from) as f64 / frames as f64;
        Ok([wall, cpu, bytes, frames as f64, pty.clears_since(0) as f64])
    })?;
    let of = |at: usize| Samples::of(runs.iter().map(|run| run[at]));
    // A long session is open, and the reply takes its time.
    let world = World::new("tui-busy")?;
    record(bench, &world, SESSION_STEPS, STEP_BYTES)?;
    let server = MockServer::start(Scenario::replies([stream(Some(Duration::from_millis(12)))]))?;
    let mut pty = open(bench, &world, &server, &["resume"])?;
    pty.shows("END OF IT")?;
    pty.press("go\r")?;
    pty.shows("working")?;
    let keys = echo(&mut pty, KEYS)?;
    Ok(vec![
        Figure::new("tui: 20,000 deltas", Unit::Seconds, of(0)).aim(0.6),
        Figure::new("tui: 20,000 deltas, processor time", Unit::Seconds, of(1)).aim(0.5),
        Figure::new("tui: 20,000 deltas, bytes for a frame", Unit::Bytes, of(2)),
        Figure::new("tui: 20,000 deltas, frames", Unit::Count, of(3)),
        Figure::new("tui: full clears", Unit::Count, of(4)).aim(0.0),
        rarest("tui: key to echo, 150k tokens open and a reply, p99", &keys).aim(0.008),
        Figure::new("tui: key to echo, 150k tokens open and a reply", Unit::Seconds, keys)
            .aim(0.002),
    ])
}

/// Records a session of so many steps.
fn record(bench: &Bench, world: &World, steps: usize, bytes: usize) -> Result<()> {
    let calls = (0..steps).map(|number| {
        let print = format!("seq {number}0000 {number}9999 | head -c {bytes}");
        shell(&print).reasoning(&format!("Step {number}: look at the next part."))
    });
    let replies = calls.chain([Reply::text("END OF IT")]);
    let server = MockServer::start(Scenario::replies(replies))?;
    world.exec(bench, &server, &["--no-fsync"])?;
    Ok(())
}

/// How long it takes to open a session and to go up in it page by page.
fn reading(bench: &Bench, name: &str, steps: usize) -> Result<[Samples; 3]> {
    let world = World::new(name)?;
    record(bench, &world, steps, 200)?;
    let server = MockServer::start(Scenario::replies([]))?;
    let opens = repeat(bench.reps, || {
        let mut pty = open(bench, &world, &server, &["resume"])?;
        let at = pty.shows("END OF IT")?;
        Ok((at - pty.began()).as_secs_f64())
    })?;
    let mut pty = open(bench, &world, &server, &["resume"])?;
    pty.shows("END OF IT")?;
    pty.settle(Duration::from_millis(300));
    let (mut pages, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..PAGES {
        let (before, from) = (pty.text(), pty.printed().len());
        let at = pty.press(PAGE_UP)?;
        let seen = pty.until(|screen| screen != before)?;
        pages.push((seen - at).as_secs_f64());
        pty.settle(Duration::from_millis(10));
        bytes.push((pty.printed().len() - from) as f64);
    }
    Ok([Samples::of(opens), Samples::of(pages), Samples::of(bytes)])
}

fn long(bench: &Bench) -> Result<Vec<Figure>> {
    let [short_open, short_page, short_bytes] = reading(bench, "tui-short", LONG_STEPS / 10)?;
    let [open, page, bytes] = reading(bench, "tui-long", LONG_STEPS)?;
    let against = "a tenth of the events";
    Ok(vec![
        Figure::new("tui: open a session of 5,000 events", Unit::Seconds, open)
            .against(against, &short_open),
        Figure::new("tui: a page up in it", Unit::Seconds, page).against(against, &short_page),
        Figure::new("tui: a page up in it, bytes", Unit::Bytes, bytes)
            .against(against, &short_bytes),
    ])
}
