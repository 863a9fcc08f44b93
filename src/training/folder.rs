//! A run on disk: a folder with all that it is, was and came to.
//!
//! | in it | what |
//! | --- | --- |
//! | `recipe.json` | how it is trained, complete |
//! | `dataset.json` | what it is trained on: hashes, counts, where its tokens are |
//! | `plan.json` | what was planned |
//! | `metrics.jsonl` | what it says while it goes |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `log.txt` | what the runner printed |
//! | `lock` | held by the process that trains |
//! | `checkpoints/step-000120/` | where it can be gone on from |
//! | `final/` | what came of it: a model, or an adapter |
//! | `curves.svg`, `README.md` | the curves and the model card, made anew with each checkpoint |
//!
//! Nothing is ever written over what is good: files are replaced, folders appear whole, and a
//! checkpoint is removed only when newer ones are.

mod checkpoint;
mod lock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data::{self, Dataset, Preparation, Source, Split};
use crate::disk::{self, Making};
use crate::error::TrainingError;
use crate::metrics::History;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::shape::ModelShape;
use crate::{card, curves};

pub use checkpoint::{CheckpointDraft, CheckpointFacts, CheckpointFolder, FinalDraft};
pub use lock::Lock;

const RECIPE: &str = "recipe.json";
const DATASET: &str = "dataset.json";
const PLAN: &str = "plan.json";
/// What the runner prints.
pub const LOG: &str = "log.txt";
/// The curves.
pub const CURVES: &str = "curves.svg";
/// The model card.
pub const CARD: &str = "README.md";

/// No file of facts is larger.
const FACTS_BYTES_MAX: u64 = 64 << 20;

/// What a run is trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// The hash of everything its tokens were made of.
    pub key: String,
    /// Where its tokens are.
    pub cache: PathBuf,
    /// The files it was made of.
    pub files: Vec<Source>,
    /// The hash of the tokenizer.
    pub tokenizer: String,
    /// The hash of the template, where one was used.
    pub template: Option<String>,
    /// Samples that are trained, held out, left out.
    pub samples: [usize; 3],
    /// Tokens of an epoch, and those of them that are trained.
    pub tokens: [u64; 2],
    /// The longest sample.
    pub longest: usize,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

impl DatasetFacts {
    /// The facts of a dataset that is divided like this.
    #[must_use]
    pub fn of(dataset: &Dataset, split: &Split) -> Self {
        let entries = split.train.iter().filter_map(|place| dataset.entries().get(*place));
        let (mut tokens, mut longest) = ([0, 0], 0);
        for entry in entries {
            tokens[0] += entry.tokens as u64;
            tokens[1] += entry.trained as u64;
            longest = longest.max(entry.tokens);
        }
        Self {
            key: dataset.key().to_owned(),
            cache: dataset.folder().to_owned(),
            files: dataset.files().to_vec(),
            tokenizer: dataset.tokenizer().to_owned(),
            template: dataset.template().map(str::to_owned),
            samples: [split.train.len(), split.held_out.len(), split.skipped.len()],
            tokens,
            longest,
            notes: dataset.notes().to_vec(),
        }
    }
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Run {
    folder: PathBuf,
}

impl Run {
    /// Makes a new run: a folder with its recipe, there whole or not at all.
    ///
    /// # Errors
    /// When something is in the way, or it cannot be written.
    pub fn create(folder: &Path, recipe: &Recipe) -> Result<Self, TrainingError> {
        let in_the_way = || {
            let remedy = "Name another folder with --out, or go on with it: limn train resume.";
            TrainingError::run(folder, "is there already", remedy)
        };
        let is_empty = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut it| it.next().is_none());
        if folder.exists() && !is_empty(folder) {
            return Err(in_the_way());
        }
        let parent = folder.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|error| TrainingError::io("create", parent, error))?;
        let making = Making::within(parent)?;
        let draft = Self { folder: making.path().to_owned() };
        draft.write_facts(RECIPE, recipe)?;
        // An empty folder is replaced by a rename; another one is not.
        if !making.place(folder)? {
            return Err(in_the_way());
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Opens a run.
    ///
    /// # Errors
    /// When the folder is none.
    pub fn open(folder: &Path) -> Result<Self, TrainingError> {
        if !folder.join(RECIPE).is_file() {
            let reason = format!("is no run: it has no {RECIPE}");
            return Err(TrainingError::run(folder, reason, "Name the folder given as --out."));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it is trained.
    ///
    /// # Errors
    /// When its recipe is damaged.
    pub fn recipe(&self) -> Result<Recipe, TrainingError> {
        self.read_facts::<Recipe>(RECIPE)?.checked()
    }

    /// The hash of its recipe: a checkpoint is gone on with only under the same.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn recipe_hash(&self) -> Result<String, TrainingError> {
        let path = self.folder.join(RECIPE);
        let bytes = fs::read(&path).map_err(|error| TrainingError::io("read", &path, error))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Says what it is trained on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_dataset(&self, facts: &DatasetFacts) -> Result<(), TrainingError> {
        self.write_facts(DATASET, facts)
    }

    /// What it is trained on; `None` when that was not said yet.
    ///
    /// # Errors
    /// When that is damaged.
    pub fn dataset(&self) -> Result<Option<DatasetFacts>, TrainingError> {
        self.read_optional(DATASET)
    }

    /// Opens what it is trained on, divided as its recipe says: from the cache, or made again where
    /// the cache was emptied since.
    ///
    /// # Errors
    /// When it is not what the run began with.
    pub fn open_dataset(&self, shape: &ModelShape) -> Result<(Dataset, Split), TrainingError> {
        let (recipe, facts) = (self.recipe()?, self.dataset()?);
        let Some(facts) = facts else {
            let remedy = "Begin another run with limn train.";
            let reason = format!("is no run that can be trained: it has no {DATASET}");
            return Err(TrainingError::run(&self.folder, reason, remedy));
        };
        let there = Dataset::open(&facts.cache).ok().filter(|it| it.key() == facts.key);
        let dataset = match there {
            Some(dataset) => dataset,
            None => self.make_again(&recipe, &facts, shape)?,
        };
        let lengths = &recipe.lengths;
        let split = dataset.split(
            recipe.cadence.held_out,
            recipe.sequence_max(shape),
            lengths.skip_longer,
        )?;
        Ok((dataset, split))
    }

    fn make_again(
        &self,
        recipe: &Recipe,
        facts: &DatasetFacts,
        shape: &ModelShape,
    ) -> Result<Dataset, TrainingError> {
        let preparation = Preparation {
            dataset: &recipe.dataset,
            model: &recipe.model,
            template: recipe.template.as_deref(),
            vocab: shape.vocab,
            cache: facts.cache.parent().unwrap_or(&facts.cache),
        };
        let dataset = data::prepare(&preparation, &mut |_| {})?;
        if dataset.key() == facts.key {
            return Ok(dataset);
        }
        let reason = "is not what the run began with: rows, tokenizer or template are others now";
        let remedy = "Put it back as it was, or begin another run.";
        Err(TrainingError::dataset(&recipe.dataset, reason, remedy))
    }

    /// Keeps what was planned.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_plan(&self, plan: &Plan) -> Result<(), TrainingError> {
        self.write_facts(PLAN, plan)
    }

    /// Takes the run for this process. It is free again when the lock is dropped or the process
    /// ends, however it ends. What killed processes left half-made is removed.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&self) -> Result<Lock, TrainingError> {
        let lock = Lock::take(&self.folder)?;
        disk::sweep(&self.folder, Duration::ZERO);
        disk::sweep(&self.folder.join(checkpoint::FOLDER), Duration::ZERO);
        Ok(lock)
    }

    /// The process that trains, when one does.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        lock::holder(&self.folder)
    }

    /// Makes the curves and the model card anew.
    ///
    /// # Errors
    /// When they cannot be written, or the run cannot be read.
    pub fn describe(&self) -> Result<(), TrainingError> {
        let history = History::of(&self.folder)?;
        let svg = curves::svg(&history);
        disk::replace(&self.folder.join(CURVES), svg.as_bytes())?;
        let text = card::text(self, &history)?;
        disk::replace(&self.folder.join(CARD), text.as_bytes())
    }

    fn write_facts<T: Serialize>(&self, name: &str, facts: &T) -> Result<(), TrainingError> {
        let path = self.folder.join(name);
        let mut bytes = serde_json::to_vec_pretty(facts)
            .map_err(|error| TrainingError::io("write", &path, error.into()))?;
        bytes.push(b'\n');
        disk::replace(&path, &bytes)
    }

    fn read_optional<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, TrainingError> {
        if !self.folder.join(name).exists() {
            return Ok(None);
        }
        self.read_facts(name).map(Some)
    }

    fn read_facts<T: DeserializeOwned>(&self, name: &str) -> Result<T, TrainingError> {
        read_facts(&self.folder.join(name))
    }
}

/// Reads a small file of JSON.
fn read_facts<T: DeserializeOwned>(path: &Path) -> Result<T, TrainingError> {
    let failed = |error| TrainingError::io("read", path, error);
    if fs::metadata(path).map_err(failed)?.len() > FACTS_BYTES_MAX {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    let bytes = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let remedy = "Put the file back as it was, or begin another run.";
        TrainingError::run(path, format!("is damaged ({error})"), remedy)
    })
}

/// The sizes of all files within a folder, by their paths in it.
fn sizes(folder: &Path) -> std::io::Result<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = open.pop() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let about = entry.metadata()?;
            if about.is_dir() {
                open.push((entry.path(), format!("{name}/")));
            } else {
                sizes.insert(name, about.len());
            }
        }
    }
    Ok(sizes)
}
