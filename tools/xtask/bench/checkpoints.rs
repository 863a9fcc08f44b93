//! Checkpoints of a workspace of 20,000 files, beside a shadow repository of git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::figures::{World, succeeded, walls};
use super::{Bench, Figure, Unit};
use crate::measure::{Child, Probe, Samples, repeat};
use crate::process::output;

const FOLDERS: usize = 1_000;
const FILES_IN_EACH: usize = 20;
/// With the lengths spread around it, all files together are about 190 MB.
const FILE_BYTES: usize = 9_500;
const ROUNDS: usize = 100;
/// Files that a round changes.
const CHANGED: usize = 10;

/// What is measured, in one world.
struct Tree {
    world: World,
    git: PathBuf,
}

pub(super) fn checkpoints(bench: &Bench) -> Result<Vec<Figure>> {
    let tree = Tree::make()?;
    let first = repeat(bench.reps, || {
        let _ = fs::remove_dir_all(tree.world.home());
        fs::create_dir(tree.world.home())?;
        tree.take(bench)
    })?;
    let git_first = repeat(bench.reps.min(3), || {
        tree.git_init()?;
        tree.git_add()
    })?;
    let unchanged = repeat(bench.reps, || tree.take(bench))?;
    let mut number = 0;
    let mut change = || {
        number += 1;
        tree.change(number, 0)
    };
    let one = repeat(bench.reps, || {
        change()?;
        tree.take(bench)
    })?;
    let git_one = repeat(bench.reps, || {
        change()?;
        tree.git_add()
    })?;
    let mut figures = vec![
        Figure::new("checkpoint: 20,000 files, first", Unit::Seconds, walls(&first))
            .against("git add -A", &walls(&git_first)),
        Figure::new("checkpoint: nothing changed", Unit::Seconds, walls(&unchanged)).aim(0.1),
        Figure::new("checkpoint: one file changed", Unit::Seconds, walls(&one))
            .against("git add -A", &walls(&git_one))
            .aim(0.1),
    ];
    figures.extend(tree.restores(bench)?);
    figures.extend(tree.copies(bench)?);
    figures.extend(tree.growth(bench)?);
    Ok(figures)
}

impl Tree {
    fn make() -> Result<Self> {
        let world = World::new("checkpoints")?;
        let git = world.folder.join("shadow.git");
        let tree = Self { world, git };
        for folder in 0..FOLDERS {
            let path = tree.world.work().join(format!("area{}/folder{folder}", folder % 25));
            fs::create_dir_all(&path)?;
            for file in 0..FILES_IN_EACH {
                let number = folder * FILES_IN_EACH + file;
                fs::write(path.join(format!("file{file}.rs")), text(number, 0))?;
            }
        }
        Ok(tree)
    }

    /// Another text in one of the files.
    fn change(&self, version: usize, file: usize) -> Result<()> {
        let number = (version * 37 + file * 811) % (FOLDERS * FILES_IN_EACH);
        let (folder, file) = (number / FILES_IN_EACH, number % FILES_IN_EACH);
        let path = format!("area{}/folder{folder}/file{file}.rs", folder % 25);
        fs::write(self.world.work().join(path), text(number, version))?;
        Ok(())
    }

    fn limn(&self, bench: &Bench, args: &[&str]) -> Result<Child> {
        self.world.limn(bench, args)
    }

    fn take(&self, bench: &Bench) -> Result<Child> {
        self.limn(bench, &["checkpoint", "take"])
    }

    /// Takes a checkpoint and says its name.
    fn named(&self, bench: &Bench) -> Result<String> {
        let mut command = Command::new(&bench.limn);
        command.args(["checkpoint", "take"]);
        self.world.dress(&mut command);
        let said = output(command.stdout(Stdio::piped()))?;
        let mut quoted = said.split('"').skip_while(|word| *word != "tree");
        Ok(quoted.nth(2).context("the checkpoint has no name")?.to_owned())
    }

    fn restores(&self, bench: &Bench) -> Result<Vec<Figure>> {
        let mut version = 10_000;
        let mut runs = Vec::new();
        for _ in 0..=bench.reps {
            let before = self.named(bench)?;
            version += 1;
            for file in 0..CHANGED {
                self.change(version, file)?;
            }
            self.take(bench)?;
            runs.push(self.limn(bench, &["checkpoint", "restore", &before])?);
        }
        let name = format!("checkpoint: restore, {CHANGED} files");
        Ok(vec![Figure::new(&name, Unit::Seconds, walls(&runs[1..]))])
    }

    fn copies(&self, bench: &Bench) -> Result<Vec<Figure>> {
        let tree = self.named(bench)?;
        let scratch = self.world.folder.join("scratch");
        let place = scratch.to_string_lossy();
        let copy = |how: &str| {
            let args =
                ["checkpoint", "copy", &tree, "--scratch", &place, "--how", how, "--", "true"];
            self.limn(bench, &args)
        };
        // The first one expands the checkpoint.
        copy("copy")?;
        let copies = repeat(bench.reps.min(3), || copy("copy"))?;
        let name = "fresh copy: overlay, with a command";
        let figure = match repeat(bench.reps, || copy("overlay")) {
            Ok(overlays) => Figure::new(name, Unit::Seconds, walls(&overlays)).aim(0.1),
            Err(_) => Figure::new(name, Unit::Seconds, Samples::default()),
        };
        Ok(vec![figure.against("a copy of every file", &walls(&copies))])
    }

    fn growth(&self, bench: &Bench) -> Result<Vec<Figure>> {
        let (blobs, before) = (self.world.home().join("blobs"), self.world.home());
        self.take(bench)?;
        self.git_add()?;
        let size = || -> Result<(f64, f64)> { Ok((bytes(&blobs)?, bytes(&self.git)?)) };
        let (ours, gits) = size()?;
        for round in 0..ROUNDS {
            self.change(20_000 + round, 0)?;
            self.take(bench)?;
            self.git_add()?;
        }
        let (ours_after, gits_after) = size()?;
        let name = format!("checkpoint: store, {ROUNDS} rounds of one change");
        let whole = Samples::of([bytes(&before)?]);
        Ok(vec![
            Figure::new(&name, Unit::Bytes, Samples::of([ours_after - ours]))
                .against("git add -A", &Samples::of([gits_after - gits])),
            Figure::new("checkpoint: all that is stored", Unit::Bytes, whole),
        ])
    }

    fn git(&self, args: &[&str]) -> Result<Child> {
        let mut probe = Probe::new(Path::new("git"))?;
        probe.command().arg("--git-dir").arg(&self.git);
        probe.command().arg("--work-tree").arg(self.world.work()).args(args);
        self.world.dress(probe.command());
        succeeded("git", probe.run()?)
    }

    fn git_init(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.git);
        self.git(&["init", "-q"])?;
        Ok(())
    }

    fn git_add(&self) -> Result<Child> {
        self.git(&["add", "-A"])
    }
}

/// Something like source code: it packs as well, and no two files are the same.
fn text(number: usize, version: usize) -> String {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version as u64;
    let length = FILE_BYTES / 2 + number % FILE_BYTES;
    let mut text = format!("// file {number}, version {version}\n");
    while text.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (name, value) = (state >> 48, (state >> 32) & 0xffff);
        text.push_str(&format!("let value_{name} = compute(context, {value}, \"{state:x}\")?;\n"));
    }
    text
}

/// The bytes of all files below a folder.
fn bytes(folder: &Path) -> Result<f64> {
    let mut sum = 0.0;
    let mut open = vec![folder.to_owned()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(&below)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                sum += metadata.len() as f64;
            }
        }
    }
    if sum == 0.0 {
        bail!("{} is empty", folder.display())
    }
    Ok(sum)
}
