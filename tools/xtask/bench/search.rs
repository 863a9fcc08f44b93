//! Finding things in a large repository: the map, and the search tools beside ripgrep.
//!
//! A tool is called as a model calls it, so a figure is that of a whole session with the calls in
//! it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use super::figures::{World, cpus, peaks};
use super::{Bench, Figure, Unit, tree};
use crate::measure::{Child, Probe, Samples, repeat};
use crate::process::{program, succeeds};

/// The calls of the map in one session.
const MAPS: usize = 3;
/// A map of 20,000 files takes its time; more runs tell nothing more.
const MAP_REPS_MAX: usize = 3;

/// The map of a repository: asked for once, again where the first call stopped, and again.
pub(super) fn map(bench: &Bench) -> Result<Vec<Figure>> {
    let world = world("map")?;
    let mut calls: Vec<Vec<f64>> = vec![Vec::new(); MAPS];
    let runs = repeat(bench.reps.min(MAP_REPS_MAX), || {
        let maps = (0..MAPS).map(|_| Reply::new().call("map", "{}"));
        let server = MockServer::start(Scenario::replies(maps.chain([Reply::text("Done.")])))?;
        let run = world.exec(bench, &server, &[])?;
        for (call, step) in calls.iter_mut().zip(server.steps()) {
            call.push(step.as_secs_f64());
        }
        Ok(run)
    })?;
    let mut figures = Vec::new();
    for (name, seconds) in ["first call", "second", "third"].iter().zip(calls) {
        let name = format!("map: {} files, {name}", tree::FILES);
        figures.push(Figure::new(&name, Unit::Seconds, Samples::of(seconds)));
    }
    figures.push(Figure::new("map: processor time", Unit::Seconds, cpus(&runs)));
    figures.push(Figure::new("map: peak memory", Unit::Bytes, peaks(&runs)));
    Ok(figures)
}

/// Searching text, beside ripgrep.
pub(super) fn grep(bench: &Bench) -> Result<Vec<Figure>> {
    let world = world("grep")?;
    let mut figures = Vec::new();
    for (name, pattern) in [
        ("a literal", "work_17_3"),
        ("an expression", "value_[0-9]+ = work_1[0-9]_7"),
        ("nothing found", "no_such_name"),
        ("1.8 million hits", "work_[0-9]"),
    ] {
        let arguments = format!(r#"{{"pattern": "{pattern}"}}"#);
        let ours = tool(bench, &world, "grep", &arguments)?;
        let beside = ripgrep(&world, &[pattern, "."], bench.reps)?;
        figures.extend(beside_ripgrep(&format!("grep: {name}"), &ours, beside.as_deref()));
    }
    Ok(figures)
}

/// Finding files by their names, beside ripgrep.
pub(super) fn glob(bench: &Bench) -> Result<Vec<Figure>> {
    let world = world("glob")?;
    let ours = tool(bench, &world, "glob", r#"{"pattern": "**/*.rs"}"#)?;
    let beside = ripgrep(&world, &["--files", "--glob", "**/*.rs"], bench.reps)?;
    Ok(beside_ripgrep("glob: **/*.rs", &ours, beside.as_deref()))
}

fn world(name: &str) -> Result<World> {
    let world = World::new(name)?;
    tree::plant(&world.folder.join("work"))?;
    Ok(world)
}

/// Runs with one call: what each cost, and how long the call took.
fn tool(
    bench: &Bench,
    world: &World,
    name: &str,
    arguments: &str,
) -> Result<Vec<(Child, Duration)>> {
    repeat(bench.reps, || {
        let replies = [Reply::new().call(name, arguments), Reply::text("Done.")];
        let server = MockServer::start(Scenario::replies(replies))?;
        let run = world.exec(bench, &server, &[])?;
        let Some(step) = server.steps().first().copied() else { bail!("{name} was not called") };
        Ok((run, step))
    })
}

/// `None` where there is no ripgrep.
fn ripgrep(world: &World, args: &[&str], reps: usize) -> Result<Option<Vec<Child>>> {
    if !succeeds(&mut program("rg", &["--version"])) {
        println!("rg is not installed: nothing to compare with");
        return Ok(None);
    }
    let runs = repeat(reps, || {
        let mut probe = Probe::new(Path::new("rg"))?;
        let command = probe.command();
        command.args(args).current_dir(world.folder.join("work"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let run = probe.run()?;
        // 1: nothing was found.
        if matches!(run.code, Some(0 | 1)) {
            Ok(run)
        } else {
            bail!("rg ended with {:?}", run.code)
        }
    })?;
    Ok(Some(runs))
}

fn beside_ripgrep(name: &str, ours: &[(Child, Duration)], rg: Option<&[Child]>) -> Vec<Figure> {
    let wall = Samples::of(ours.iter().map(|(_, step)| step.as_secs_f64()));
    let cpu = Samples::of(ours.iter().map(|(run, _)| run.cpu.as_secs_f64()));
    let mut wall = Figure::new(name, Unit::Seconds, wall);
    let mut cpu = Figure::new(&format!("{name}, processor time"), Unit::Seconds, cpu);
    if let Some(rg) = rg {
        wall = wall.against("rg", &super::figures::walls(rg));
        cpu = cpu.against("rg", &cpus(rg));
    }
    vec![wall, cpu]
}
