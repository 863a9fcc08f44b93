//! The cache of tokens: a folder for each dataset and model, with the list of samples and one file of
//! all tokens.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Dataset, Entry, Index, Sample, Source, TRAINED};
use crate::disk::{self, Making};
use crate::error::TrainingError;

/// The form of the cache, and of how tokens are made. Another one, another key.
pub(super) const VERSION: u32 = 1;

/// All tokens, four bytes each, the smallest first; the highest bit says that it is trained.
pub(super) const TOKENS: &str = "tokens.bin";

const INDEX: &str = "index.json";

/// No list of samples is longer.
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// A dataset that is being written into the cache.
pub(super) struct Draft {
    making: Making,
    tokens: BufWriter<File>,
    hasher: blake3::Hasher,
    written: u64,
    samples: Vec<Entry>,
}

impl Draft {
    pub(super) fn new(cache: &Path) -> Result<Self, TrainingError> {
        fs::create_dir_all(cache).map_err(|error| TrainingError::io("create", cache, error))?;
        let making = Making::within(cache)?;
        let path = making.path().join(TOKENS);
        let file = File::create_new(&path);
        let file = file.map_err(|error| TrainingError::io("create", &path, error))?;
        Ok(Self {
            tokens: BufWriter::with_capacity(1 << 18, file),
            making,
            hasher: blake3::Hasher::new(),
            written: 0,
            samples: Vec::new(),
        })
    }

    pub(super) fn samples(&self) -> &[Entry] {
        &self.samples
    }

    /// Adds a sample; `place` is its file and line.
    pub(super) fn add(
        &mut self,
        sample: &Sample,
        group: String,
        (file, line): (usize, usize),
    ) -> Result<(), TrainingError> {
        let words = sample.ids.iter().zip(&sample.trained);
        let bytes: Vec<u8> = words
            .flat_map(|(id, trained)| (id | if *trained { TRAINED } else { 0 }).to_le_bytes())
            .collect();
        self.hasher.update(&bytes);
        let failed = |error| TrainingError::io("write", self.making.path(), error);
        self.tokens.write_all(&bytes).map_err(failed)?;
        self.samples.push(Entry {
            id: sample.id.clone(),
            group,
            file,
            line,
            first: self.written,
            tokens: sample.ids.len(),
            trained: sample.trained.iter().filter(|trained| **trained).count(),
        });
        self.written += sample.ids.len() as u64;
        Ok(())
    }

    /// Ends the files and gives the folder its name. Where somebody else did so first, theirs is
    /// opened: it is the same.
    pub(super) fn finish(
        self,
        cache: &Path,
        (key, tokenizer, template): (&str, &str, Option<&str>),
        files: Vec<Source>,
        notes: Vec<String>,
    ) -> Result<Dataset, TrainingError> {
        let failed = |error| TrainingError::io("write", cache, error);
        disk::finish(self.tokens).map_err(failed)?;
        let index = Index {
            version: VERSION,
            key: key.to_owned(),
            tokenizer: tokenizer.to_owned(),
            template: template.map(str::to_owned),
            files,
            samples: self.samples,
            notes,
            tokens_blake3: self.hasher.finalize().to_hex().to_string(),
        };
        let text = serde_json::to_vec(&index).map_err(|error| failed(error.into()))?;
        let path = self.making.path().join(INDEX);
        fs::write(&path, text).map_err(failed)?;
        let folder = folder(cache, key);
        self.making.place(&folder)?;
        open(&folder)
    }
}

/// Where a dataset lies in the cache.
pub(super) fn folder(cache: &Path, key: &str) -> PathBuf {
    cache.join(key)
}

/// Opens a dataset, and checks that its tokens are those that were written.
pub(super) fn open(folder: &Path) -> Result<Dataset, TrainingError> {
    let damaged = |what: &str| {
        let remedy = "Remove that folder; it is made again from the dataset.";
        TrainingError::dataset(folder, format!("its cache {what}"), remedy)
    };
    let path = folder.join(INDEX);
    let failed = |error| TrainingError::io("read", &path, error);
    if fs::metadata(&path).map_err(failed)?.len() > INDEX_BYTES_MAX {
        return Err(damaged("has too long a list"));
    }
    let bytes = fs::read(&path).map_err(failed)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|_| damaged("has no sound list"))?;
    if index.version != VERSION {
        return Err(damaged("was written by another limn"));
    }
    let path = folder.join(TOKENS);
    let failed = |error| TrainingError::io("read", &path, error);
    let tokens = File::open(&path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&tokens).map_err(failed)?;
    let bytes = tokens.metadata().map_err(failed)?.len();
    let ends = index.samples.iter().map(|entry| entry.first + entry.tokens as u64);
    let needed = ends.max().unwrap_or(0) * size_of::<u32>() as u64;
    if hasher.finalize().to_hex().as_str() != index.tokens_blake3 || bytes < needed {
        return Err(damaged("is not as it was written"));
    }
    Ok(Dataset { folder: folder.to_owned(), index, tokens })
}
