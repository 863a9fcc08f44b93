//! What it costs to notice the user's edits while a command writes very many files.

use anyhow::Result;
use mock_server::{MockServer, Reply, Scenario};

use super::figures::{World, cpus, shell};
use super::{Bench, Figure, Unit};
use crate::measure::{Samples, repeat};

/// A build of 10,000 files in 100 folders.
const BUILD: &str = "for folder in $(seq 100); do mkdir -p out/$folder; for file in $(seq 100); do \
                     echo built > out/$folder/$file; done; done";

/// The processor time of a session with such a build: into a folder that git ignores, where the
/// watch alone is the difference, and into one that checkpoints hold.
pub(super) fn build(bench: &Bench) -> Result<Vec<Figure>> {
    let ignored = runs(bench, "out/\n", &[])?;
    let kept = runs(bench, "", &[])?;
    let without = runs(bench, "", &["--no-checkpoints"])?;
    let figure = |name: &str, samples: Samples| {
        let name = format!("a build of 10,000 files, {name}: processor time");
        Figure::new(&name, Unit::Seconds, samples)
            .against("neither watch nor checkpoints", &without)
    };
    Ok(vec![figure("ignored by git", ignored), figure("kept in checkpoints", kept)])
}

fn runs(bench: &Bench, ignored: &str, flags: &[&str]) -> Result<Samples> {
    let runs = repeat(bench.reps, || {
        let world = World::new("watch")?;
        std::fs::write(world.work().join(".gitignore"), ignored)?;
        let server = MockServer::start(Scenario::replies([shell(BUILD), Reply::text("Built.")]))?;
        world.exec(bench, &server, flags)
    })?;
    Ok(cpus(&runs))
}
