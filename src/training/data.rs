//! What a model is trained on: a dataset as tokens, each trained or not, in a cache.
//!
//! A dataset is a folder or a file of lines: our own exports (`messages` and `tokens`), or what TRL
//! reads. It is made into tokens once for each model that it is trained for. The cache is named by a
//! hash of every byte that matters (the files, the tokenizer, the template, this code's version), so
//! what is found there is what would be made again.
//!
//! A sample is read when it is needed, by its place in one file; nothing but the list of samples is
//! in memory. The file is not mapped: a map of a file that somebody truncates kills the process, and
//! reading half a megabyte before a step of seconds costs nothing.
//!
//! Nothing is ever cut. A sample of 152,000 tokens is one sample.

mod build;
mod cache;
mod lines;
mod masks;
mod messages;
mod rows;
mod share;
mod source;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainingError;

pub use build::{Preparation, Progress, prepare};
pub use share::Split;

/// The bit of a number in the file of tokens that says that it is trained. Ids are smaller.
const TRAINED: u32 = 1 << 31;

/// What part of a dataset a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It is trained.
    Train,
    /// It is held out: `test`, `validation` and the like.
    HeldOut,
}

/// A file of a dataset, as it was when it was made into tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its path within the dataset, or its name.
    pub name: String,
    /// What part it is.
    pub part: Part,
    /// Its size.
    pub bytes: u64,
    /// The hash of its bytes.
    pub blake3: String,
}

/// A sample in the list of samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is called: session, sample and row of ours, else its own `id`, else its place.
    pub id: String,
    /// What keeps together when some are held out: the session of ours, else the id.
    pub group: String,
    /// The file, by its place in the list of files.
    pub file: usize,
    /// The line of the file, from 1.
    pub line: usize,
    /// The place of its first token among those of all.
    first: u64,
    /// How many tokens it has.
    pub tokens: usize,
    /// How many of them are trained.
    pub trained: usize,
}

/// A sample: its tokens, and which of them are trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it is called.
    pub id: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Which of them are trained; never the first one, before which nothing stands.
    pub trained: Vec<bool>,
}

/// The list of a cached dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    version: u32,
    key: String,
    tokenizer: String,
    template: Option<String>,
    files: Vec<Source>,
    samples: Vec<Entry>,
    notes: Vec<String>,
    tokens_blake3: String,
}

/// A dataset as tokens.
#[derive(Debug)]
pub struct Dataset {
    folder: PathBuf,
    index: Index,
    tokens: File,
}

impl Dataset {
    /// Opens a dataset in the cache.
    ///
    /// # Errors
    /// When it is not there, or not as it was written.
    pub fn open(folder: &Path) -> Result<Self, TrainingError> {
        cache::open(folder)
    }

    /// Where it lies in the cache.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The hash of everything it was made of.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.index.key
    }

    /// The hash of the tokenizer it was made with.
    #[must_use]
    pub fn tokenizer(&self) -> &str {
        &self.index.tokenizer
    }

    /// The hash of the template, where one was used.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.index.template.as_deref()
    }

    /// The files it was made of.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.index.files
    }

    /// The samples, in the order of the files.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.index.samples
    }

    /// What is to be known about how it was made, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.index.notes
    }

    /// The part that a sample is in.
    #[must_use]
    pub fn part(&self, entry: &Entry) -> Part {
        self.index.files.get(entry.file).map_or(Part::Train, |file| file.part)
    }

    /// Reads a sample.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sample(&self, entry: &Entry) -> Result<Sample, TrainingError> {
        let failed = |error| TrainingError::io("read", &self.folder.join(cache::TOKENS), error);
        let mut bytes = vec![0; entry.tokens * size_of::<u32>()];
        let at = entry.first * size_of::<u32>() as u64;
        self.tokens.read_exact_at(&mut bytes, at).map_err(failed)?;
        let (words, _) = bytes.as_chunks();
        let words = words.iter().map(|word| u32::from_le_bytes(*word));
        let (ids, trained) = words.map(|word| (word & !TRAINED, word & TRAINED != 0)).unzip();
        Ok(Sample { id: entry.id.clone(), ids, trained })
    }
}
