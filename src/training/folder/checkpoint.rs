//! Checkpoints: folders that are there whole or not at all, the newest few of which are kept.
//!
//! A checkpoint is good when its `checkpoint.json` can be read and every file that it names has its
//! size. Only a good one counts as one of the newest, so a damaged disk never makes the run forget
//! the last that can be gone on from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Run, read_facts, sizes};
use crate::disk::Making;
use crate::error::TrainingError;
use crate::order::Cursor;

/// Where checkpoints lie.
pub(super) const FOLDER: &str = "checkpoints";

/// What came of a run.
const FINAL: &str = "final";

/// What is written last into a checkpoint.
const FACTS: &str = "checkpoint.json";

/// What a checkpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointFacts {
    /// The last step that was made.
    pub step: u64,
    /// Where the run goes on.
    pub cursor: Cursor,
    /// The hash of the recipe.
    pub recipe: String,
    /// The key of the dataset.
    pub dataset: String,
    /// The rung that it was computed on.
    pub rung: String,
    /// The files, with their sizes; filled in when it is finished.
    #[serde(default)]
    pub files: BTreeMap<String, u64>,
}

/// A checkpoint that is good.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub facts: CheckpointFacts,
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct CheckpointDraft {
    run: Run,
    making: Making,
    facts: CheckpointFacts,
}

impl CheckpointDraft {
    /// Where its files are to be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.making.path()
    }

    /// Ends it: syncs it, gives it its name, and removes the oldest so that `keep` are left. Gives
    /// its size in bytes. Without this call nothing is left of it.
    ///
    /// # Errors
    /// When it cannot be written; those before it are as they were.
    pub fn finish(mut self, keep: usize) -> Result<(PathBuf, u64), TrainingError> {
        let failed = |path: &Path, error| TrainingError::io("write", path, error);
        self.facts.files =
            sizes(self.making.path()).map_err(|error| failed(self.making.path(), error))?;
        let bytes = self.facts.files.values().sum();
        let facts = self.making.path().join(FACTS);
        let text =
            serde_json::to_vec_pretty(&self.facts).map_err(|error| failed(&facts, error.into()))?;
        fs::write(&facts, text).map_err(|error| failed(&facts, error))?;
        let path = self.run.folder().join(FOLDER).join(name(self.facts.step));
        // One of this step that is not good was left by a damaged disk.
        if path.exists() && read(&path).is_none() {
            fs::remove_dir_all(&path).map_err(|error| failed(&path, error))?;
        }
        self.making.place(&path)?;
        self.run.prune(keep);
        Ok((path, bytes))
    }
}

/// What comes of a run, while it is being written.
#[derive(Debug)]
pub struct FinalDraft {
    run: Run,
    making: Making,
}

impl FinalDraft {
    /// Where its files are to be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.making.path()
    }

    /// Ends it. One that was there is replaced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<PathBuf, TrainingError> {
        let path = self.run.folder().join(FINAL);
        let failed = |error| TrainingError::io("replace", &path, error);
        if path.exists() {
            // Moved away first: what is called `final` is always whole.
            let old = Making::within(self.run.folder())?;
            fs::rename(&path, old.path().join(FINAL)).map_err(failed)?;
            self.making.place(&path)?;
            return Ok(path);
        }
        self.making.place(&path)?;
        Ok(path)
    }
}

impl Run {
    /// Begins a checkpoint.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub fn begin_checkpoint(
        &self,
        facts: CheckpointFacts,
    ) -> Result<CheckpointDraft, TrainingError> {
        let parent = self.folder().join(FOLDER);
        fs::create_dir_all(&parent).map_err(|error| TrainingError::io("create", &parent, error))?;
        Ok(CheckpointDraft { run: self.clone(), making: Making::within(&parent)?, facts })
    }

    /// The good checkpoints, the oldest first.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<CheckpointFolder> {
        let Ok(entries) = fs::read_dir(self.folder().join(FOLDER)) else { return Vec::new() };
        let mut all: Vec<CheckpointFolder> =
            entries.flatten().filter_map(|entry| read(&entry.path())).collect();
        all.sort_by_key(|checkpoint| checkpoint.facts.step);
        all
    }

    /// The checkpoint to go on from: the newest good one, if it is of this recipe and dataset.
    ///
    /// # Errors
    /// When it is of another recipe or dataset.
    pub fn resume(&self, dataset: &str) -> Result<Option<CheckpointFolder>, TrainingError> {
        let Some(newest) = self.checkpoints().pop() else { return Ok(None) };
        let refuse = |what: &str| {
            let remedy = "Put it back as it was, or begin another run.";
            Err(TrainingError::run(&newest.path, format!("was made with another {what}"), remedy))
        };
        if newest.facts.recipe != self.recipe_hash()? {
            return refuse("recipe");
        }
        if newest.facts.dataset != dataset {
            return refuse("dataset");
        }
        Ok(Some(newest))
    }

    /// Begins what comes of the run.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub fn begin_final(&self) -> Result<FinalDraft, TrainingError> {
        Ok(FinalDraft { run: self.clone(), making: Making::within(self.folder())? })
    }

    /// What came of the run, when it is done.
    #[must_use]
    pub fn final_folder(&self) -> Option<PathBuf> {
        Some(self.folder().join(FINAL)).filter(|path| path.is_dir())
    }

    /// Removes all but the newest good checkpoints, and one of them at least stays. What cannot be
    /// removed stays, and is tried again next time.
    fn prune(&self, keep: usize) {
        let all = self.checkpoints();
        let old = all.len().saturating_sub(keep.max(1));
        for checkpoint in &all[..old] {
            // First it is no checkpoint any more, then it is nothing.
            let _ = fs::remove_file(checkpoint.path.join(FACTS))
                .and_then(|()| fs::remove_dir_all(&checkpoint.path));
        }
    }
}

fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// A checkpoint, when it is good.
fn read(path: &Path) -> Option<CheckpointFolder> {
    let facts: CheckpointFacts = read_facts(&path.join(FACTS)).ok()?;
    let is_whole = |(name, bytes): (&String, &u64)| {
        fs::metadata(path.join(name)).is_ok_and(|about| about.len() == *bytes)
    };
    let is_good = path.ends_with(name(facts.step)) && facts.files.iter().all(is_whole);
    is_good.then(|| CheckpointFolder { path: path.to_owned(), facts })
}
