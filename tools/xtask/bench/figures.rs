//! What is measured: the release binary, used as a user would, against a scripted server on
//! loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use super::{Bench, Figure, Unit};
use crate::measure::{Child, Probe, Samples, fsync_seconds, repeat};
use crate::process::{output, program, succeeds, target};

const STEPS: usize = 30;
const DELTAS: usize = 20_000;
const OUTPUT_COMMAND: &str = "head -c 52428800 /dev/zero | tr '\\0' 'x' | fold -w 99";

/// Every line end became two bytes on its way through the terminal; the last line has none.
const OUTPUT_BYTES: u64 = 52_428_800 + 2 * (52_428_800_u64.div_ceil(99) - 1);

/// Steps of a session of about 150,000 tokens and 800 events.
pub(super) const SESSION_STEPS: usize = 260;

/// Bytes that each step of such a session prints.
pub(super) const STEP_BYTES: usize = 2_200;

/// A data folder and a workspace of their own.
pub(super) struct World {
    pub(super) folder: PathBuf,
}

impl World {
    pub(super) fn new(name: &str) -> Result<Self> {
        let folder = target().join("measure").join(name);
        let _ = fs::remove_dir_all(&folder);
        for part in ["home", "work"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Self { folder })
    }

    pub(super) fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("LIMN_HOME", self.folder.join("home"))
            .current_dir(self.folder.join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }

    pub(super) fn exec(&self, bench: &Bench, server: &MockServer, more: &[&str]) -> Result<Child> {
        let mut probe = Probe::new(&bench.limn)?;
        let command = probe.command();
        command.args(["exec", "--model", "mock-model", "--base-url", &server.url()]);
        if !more.contains(&"--sandbox") {
            command.args(["--sandbox", "off"]);
        }
        command.args(more).arg("Do the task.");
        self.dress(command);
        succeeded("limn exec", probe.run()?)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    pub(super) fn limn(&self, bench: &Bench, args: &[&str]) -> Result<Child> {
        let mut probe = Probe::new(&bench.limn)?;
        probe.command().args(args);
        self.dress(probe.command());
        succeeded("limn", probe.run()?)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn succeeded(what: &str, child: Child) -> Result<Child> {
    if child.code == Some(0) { Ok(child) } else { bail!("{what} ended with {:?}", child.code) }
}

pub(super) fn shell(command: &str) -> Reply {
    let command = command.replace('\\', "\\\\");
    Reply::new().call("shell", &format!(r#"{{"command": "{command}"}}"#))
}

pub(super) fn walls(runs: &[Child]) -> Samples {
    Samples::of(runs.iter().map(|run| run.wall.as_secs_f64()))
}

pub(super) fn cpus(runs: &[Child]) -> Samples {
    Samples::of(runs.iter().map(|run| run.cpu.as_secs_f64()))
}

pub(super) fn peaks(runs: &[Child]) -> Samples {
    Samples::of(runs.iter().map(|run| run.peak_rss_bytes as f64))
}

/// Starting and saying its version: the floor of everything else.
pub(super) fn start(bench: &Bench) -> Result<Vec<Figure>> {
    let runs = repeat(bench.reps.max(20), || {
        let mut probe = Probe::new(&bench.limn)?;
        probe.command().arg("--version").stdout(Stdio::null());
        succeeded("limn --version", probe.run()?)
    })?;
    let nothing = repeat(bench.reps.max(20), || {
        let probe = Probe::new(Path::new("/bin/true"))?;
        succeeded("true", probe.run()?)
    })?;
    Ok(vec![
        Figure::new("start: --version", Unit::Seconds, walls(&runs))
            .against("/bin/true", &walls(&nothing))
            .aim(0.005),
        Figure::new("start: processor time", Unit::Seconds, cpus(&runs)),
        Figure::new("start: peak memory", Unit::Bytes, peaks(&runs)),
    ])
}

/// From the end of a reply to the arrival of the next request, with a command between.
pub(super) fn step(bench: &Bench) -> Result<Vec<Figure>> {
    let fsync = fsync_seconds(&target().join("measure"), 200)?.median();
    let bash = Samples::of(repeat(100, || {
        let began = Instant::now();
        Command::new("bash").args(["-c", "true"]).status()?;
        Ok(began.elapsed().as_secs_f64())
    })?);
    let mut figures = Vec::new();
    for (name, flags, aim) in [
        ("step", &["--sandbox", "auto"][..], fsync + 0.003),
        ("step: --no-checkpoints", &["--sandbox", "auto", "--no-checkpoints"], fsync + 0.003),
        ("step: --sandbox off", &[], fsync + 0.003),
        ("step: --no-fsync", &["--sandbox", "auto", "--no-fsync"], 0.003),
    ] {
        let mut steps = Vec::new();
        let runs = repeat(bench.reps, || {
            let world = World::new("step")?;
            let calls = (0..STEPS).map(|number| shell(&format!("true {number}")));
            let server = MockServer::start(Scenario::replies(calls.chain([Reply::text("Done.")])))?;
            let run = world.exec(bench, &server, flags)?;
            steps.extend(server.steps().iter().map(std::time::Duration::as_secs_f64));
            Ok(run)
        })?;
        let steps = Samples::of(steps);
        figures
            .push(Figure::new(name, Unit::Seconds, steps).against("bash -c true", &bash).aim(aim));
        let wall = format!("{name}: {STEPS} steps, wall");
        figures.push(Figure::new(&wall, Unit::Seconds, walls(&runs)));
        let peak = format!("{name}: peak memory");
        figures.push(Figure::new(&peak, Unit::Bytes, peaks(&runs)).aim(25e6));
    }
    Ok(figures)
}

/// A long answer, as fast as it is taken.
pub(super) fn stream(bench: &Bench) -> Result<Vec<Figure>> {
    let words = (0..DELTAS).map(|number| format!("word{} ", number % 977));
    let server = MockServer::start(Scenario::repeat_last([Reply::new().text_deltas(words)]))?;
    let runs = repeat(bench.reps, || World::new("stream")?.exec(bench, &server, &[]))?;
    let curl = || -> Result<Child> {
        let mut probe = Probe::new(Path::new("curl"))?;
        let url = format!("{}/chat/completions", server.url());
        probe.command().args(["-sN", "-d", "{\"messages\":[]}", &url]).stdout(Stdio::null());
        succeeded("curl", probe.run()?)
    };
    let mut figures = vec![
        Figure::new("stream: 20,000 deltas", Unit::Seconds, walls(&runs)).aim(0.4),
        Figure::new("stream: processor time", Unit::Seconds, cpus(&runs)).aim(0.25),
        Figure::new("stream: peak memory", Unit::Bytes, peaks(&runs)),
    ];
    if succeeds(&mut program("curl", &["--version"])) {
        let bare = repeat(bench.reps, curl)?;
        figures[0] = figures[0].clone().against("curl", &walls(&bare));
        figures[1] = figures[1].clone().against("curl", &cpus(&bare));
    }
    Ok(figures)
}

/// 50 MB of tool output, every byte into the store. A program that writes to a terminal writes line
/// by line, half a million times here, and the kernel passes each on by itself: so the same bytes
/// are measured through a pipe and `cat`, too, and both on a bare terminal, which is the limit.
pub(super) fn output_50_mb(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = one_output(bench, "by the line", OUTPUT_COMMAND)?;
    figures.extend(one_output(bench, "by the block", &format!("{OUTPUT_COMMAND} | cat"))?);
    Ok(figures)
}

fn one_output(bench: &Bench, how: &str, command: &str) -> Result<Vec<Figure>> {
    let mut on_disk = Vec::new();
    let runs = repeat(bench.reps, || {
        let world = World::new("output")?;
        let replies = [shell(command), Reply::text("Done.")];
        let server = MockServer::start(Scenario::replies(replies))?;
        let run = world.exec(bench, &server, &[])?;
        let mut kept = Command::new(&bench.limn);
        kept.args(["show", "last", "--output", "1"]);
        world.dress(&mut kept);
        let kept = kept.stdout(Stdio::piped()).output()?.stdout.len() as u64;
        if kept != OUTPUT_BYTES {
            bail!("{kept} bytes of output are in the store, not {OUTPUT_BYTES}");
        }
        on_disk.push(folder_bytes(&world.folder.join("home/sessions"))? as f64);
        Ok(run)
    })?;
    let mut wall =
        Figure::new(&format!("output: 50 MB {how}"), Unit::Seconds, walls(&runs)).aim(0.7);
    if succeeds(&mut program("script", &["--version"])) {
        let bare = repeat(bench.reps, || {
            let mut probe = Probe::new(Path::new("script"))?;
            probe.command().args(["-qec", command, "/dev/null"]);
            probe.command().stdin(Stdio::null()).stdout(Stdio::null());
            succeeded("script", probe.run()?)
        })?;
        wall = wall.against("script, bare PTY", &walls(&bare));
    }
    let name = |what: &str| format!("output: {how}, {what}");
    Ok(vec![
        wall,
        Figure::new(&name("processor time"), Unit::Seconds, cpus(&runs)),
        Figure::new(&name("peak memory"), Unit::Bytes, peaks(&runs)).aim(60e6),
        Figure::new(&name("on disk"), Unit::Bytes, Samples::of(on_disk)),
    ])
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// A long session: recorded, opened, folded, exported; at one, two and four times the size.
pub(super) fn session(bench: &Bench) -> Result<Vec<Figure>> {
    let sizes: Vec<Long> =
        [1, 2, 4].into_iter().map(|size| Long::record(bench, size)).collect::<Result<_>>()?;
    let [one, two, four] = &sizes[..] else { bail!("three sizes") };
    let row = |name: &str, unit, samples: fn(&Long) -> &Samples| {
        Figure::new(name, unit, samples(one).clone()).growth(samples(two), samples(four))
    };
    Ok(vec![
        row("session: 150k tokens, on disk", Unit::Bytes, |it| &it.on_disk),
        row("session: last steps", Unit::Seconds, |it| &it.last_steps)
            .against("its first steps", &one.first_steps),
        row("session: last steps, without the way of the body", Unit::Seconds, |it| &it.last_heads),
        row("session: open and show --json", Unit::Seconds, |it| &it.show),
        row("session: fold and export", Unit::Seconds, |it| &it.export)
            .against("python3 reading it", &one.python),
        row("session: export, peak memory", Unit::Bytes, |it| &it.export_peak),
    ])
}

/// What a long session costs.
struct Long {
    on_disk: Samples,
    first_steps: Samples,
    last_steps: Samples,
    last_heads: Samples,
    show: Samples,
    export: Samples,
    export_peak: Samples,
    python: Samples,
}

impl Long {
    fn record(bench: &Bench, size: usize) -> Result<Self> {
        let world = World::new(&format!("session-{size}"))?;
        let steps = SESSION_STEPS * size;
        let calls = (0..steps).map(|number| {
            let print = format!("seq {number}0000 {number}9999 | head -c {STEP_BYTES}");
            let why = format!("Step {number}: look at the next part and go on from there.");
            shell(&print).reasoning(&why)
        });
        let replies = calls.chain([Reply::text("Done.")]);
        let server = MockServer::start(Scenario::replies(replies))?;
        world.exec(bench, &server, &["--no-fsync"])?;
        let seconds = |steps: Vec<std::time::Duration>| -> Vec<f64> {
            steps.iter().map(std::time::Duration::as_secs_f64).collect()
        };
        let (heads, seconds) = (seconds(server.steps_to_head()), seconds(server.steps()));
        let shows = repeat(bench.reps, || world.limn(bench, &["show", "last", "--json"]))?;
        let out = world.folder.join("export");
        let place = out.to_string_lossy();
        let exports = repeat(bench.reps, || {
            let _ = fs::remove_dir_all(&out);
            let args = ["export", "--format", "messages", "--status", "all", "--out", &place];
            world.limn(bench, &args)
        })?;
        let read = "import json,sys; [json.loads(line) for line in open(sys.argv[1])]";
        let file = out.join("messages.jsonl");
        let python = repeat(bench.reps, || {
            let began = Instant::now();
            output(program("python3", &["-c", read]).arg(&file)).context("python3")?;
            Ok(began.elapsed().as_secs_f64())
        })?;
        let tenth = seconds.len() / 10;
        Ok(Self {
            on_disk: Samples::of([folder_bytes(&world.folder.join("home/sessions"))? as f64]),
            first_steps: Samples::of(seconds[..tenth].iter().copied()),
            last_steps: Samples::of(seconds[seconds.len() - tenth..].iter().copied()),
            last_heads: Samples::of(heads[heads.len() - tenth..].iter().copied()),
            show: walls(&shows),
            export: walls(&exports),
            export_peak: peaks(&exports),
            python: Samples::of(python),
        })
    }
}
