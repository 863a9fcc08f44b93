//! Making a dataset into tokens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat::{Dialect, Tokenizer};

use super::cache::{self, Draft};
use super::lines::{Found, LINE_BYTES_MAX, Lines};
use super::messages::Unfits;
use super::rows::{Kind, Refusal, Row};
use super::source::{self, Target};
use super::{Dataset, Part, Sample, Source, TRAINED, masks, messages};
use crate::disk;
use crate::error::TrainingError;

/// Nobody makes a dataset into tokens for longer than this without writing any.
const MAKING_TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What a dataset is made into tokens for.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// The dataset: a folder or a file.
    pub dataset: &'a Path,
    /// The model: a folder or a GGUF file, with its tokenizer.
    pub model: &'a Path,
    /// Another template than the model's.
    pub template: Option<&'a Path>,
    /// How many tokens the model knows.
    pub vocab: usize,
    /// Where tokens are kept.
    pub cache: &'a Path,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the dataset that were read.
    pub bytes: u64,
    /// All its bytes.
    pub bytes_max: u64,
    /// Samples that were made.
    pub samples: usize,
}

/// Opens a dataset as tokens: from the cache, or made now.
///
/// # Errors
/// When the dataset is empty, was made for another model, or has a line that cannot be trained on;
/// nothing is left in the cache then.
pub fn prepare(
    order: &Preparation<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Dataset, TrainingError> {
    let found = source::find(order.dataset)?;
    let voice = Voice::open(order, &found.files)?;
    if let Some(target) = &found.target {
        refuse_other_model(order, target, &voice)?;
    }
    let key = key(order, &found.files, &voice);
    let folder = cache::folder(order.cache, &key);
    // What is damaged is made again.
    if let Ok(dataset) = cache::open(&folder) {
        return Ok(dataset);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|error| TrainingError::io("remove", &folder, error))?;
    }
    disk::sweep(order.cache, MAKING_TIME_MAX);
    let mut build = Build {
        order,
        voice: &voice,
        draft: Draft::new(order.cache)?,
        unfits: Unfits::default(),
        progress,
        done: Progress {
            bytes_max: found.files.iter().map(|(_, source)| source.bytes).sum(),
            ..Progress::default()
        },
    };
    for (number, (path, source)) in found.files.iter().enumerate() {
        build.file(number, path, source)?;
    }
    let is_trained = |file: usize| found.files[file].1.part == Part::Train;
    if !build.draft.samples().iter().any(|entry| is_trained(entry.file)) {
        let remedy = "Record and export sessions first, or name another dataset.";
        return Err(TrainingError::dataset(order.dataset, "it has no sample to train", remedy));
    }
    let files = found.files.into_iter().map(|(_, source)| source).collect();
    let notes = build.unfits.notes();
    let hashes = (key.as_str(), voice.tokenizer().hash(), voice.template());
    build.draft.finish(order.cache, hashes, files, notes)
}

/// What rows are read with.
enum Voice {
    /// They are tokens: the tokenizer only says whether they are this model's.
    Tokenizer(Box<Tokenizer>),
    /// They are messages.
    Dialect(Box<Dialect>),
}

impl Voice {
    /// What the first row needs. A model without a template can be trained on tokens.
    fn open(order: &Preparation<'_>, files: &[(PathBuf, Source)]) -> Result<Self, TrainingError> {
        for (path, _) in files {
            let failed = |error| TrainingError::io("read", path, error);
            let mut lines = Lines::new(File::open(path).map_err(failed)?);
            let mut line = Vec::new();
            while lines.next(&mut line).map_err(failed)? == Found::Line {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let row: Result<Row, _> = serde_json::from_slice(&line);
                if row.is_ok_and(|row| matches!(row.kind(), Ok(Kind::Tokens))) {
                    let tokenizer = Tokenizer::of_model(order.model)?;
                    return Ok(Self::Tokenizer(Box::new(tokenizer)));
                }
                return Ok(Self::Dialect(Box::new(Dialect::open(order.model, order.template)?)));
            }
        }
        let tokenizer = Tokenizer::of_model(order.model)?;
        Ok(Self::Tokenizer(Box::new(tokenizer)))
    }

    fn tokenizer(&self) -> &Tokenizer {
        match self {
            Self::Tokenizer(tokenizer) => tokenizer,
            Self::Dialect(dialect) => dialect.tokenizer(),
        }
    }

    fn template(&self) -> Option<&str> {
        match self {
            Self::Tokenizer(_) => None,
            Self::Dialect(dialect) => Some(dialect.template().hash()),
        }
    }
}

/// An export of tokens is of one model. One of messages may have been counted with another.
fn refuse_other_model(
    order: &Preparation<'_>,
    target: &Target,
    voice: &Voice,
) -> Result<(), TrainingError> {
    if !target.is_tokens {
        return Ok(());
    }
    let refuse = |what: &str| {
        let model = order.model.display();
        let remedy = format!("Export it again with --format tokens --tokenizer {model}.");
        let reason = format!("its tokens were made with another {what} than that of {model}");
        Err(TrainingError::dataset(order.dataset, reason, remedy))
    };
    if target.tokenizer.as_deref().is_some_and(|hash| hash != voice.tokenizer().hash()) {
        return refuse("tokenizer");
    }
    // The model's own template, unless it has none: then nothing says that it is another.
    let own = Dialect::open(order.model, order.template).ok();
    let own = own.as_ref().map(|dialect| dialect.template().hash());
    match (&target.template, own) {
        (Some(made), Some(own)) if made != own => refuse("template"),
        _ => Ok(()),
    }
}

fn key(order: &Preparation<'_>, files: &[(PathBuf, Source)], voice: &Voice) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    add("limn tokens");
    add(&cache::VERSION.to_string());
    add(voice.tokenizer().hash());
    add(voice.template().unwrap_or(""));
    add(&order.vocab.to_string());
    for (_, source) in files {
        add(&source.name);
        add(&source.blake3);
    }
    hasher.finalize().to_hex().to_string()
}

/// A dataset that is being made.
struct Build<'a> {
    order: &'a Preparation<'a>,
    voice: &'a Voice,
    draft: Draft,
    unfits: Unfits,
    progress: &'a mut dyn FnMut(Progress),
    done: Progress,
}

impl Build<'_> {
    fn file(&mut self, number: usize, path: &Path, source: &Source) -> Result<(), TrainingError> {
        let failed = |error| TrainingError::io("read", path, error);
        let mut lines = Lines::new(File::open(path).map_err(failed)?);
        let (mut line, mut place) = (Vec::new(), 0);
        let before = self.done.bytes;
        loop {
            let found = lines.next(&mut line).map_err(failed)?;
            place += 1;
            let refused = |refusal: Refusal| refusal.at(path, place);
            match found {
                Found::End => break,
                Found::TooLong => {
                    let most = LINE_BYTES_MAX >> 20;
                    let reason = format!("the line is longer than {most} MiB");
                    return Err(refused(Refusal::new(reason, "Split the row, or leave it out.")));
                }
                Found::Line if line.trim_ascii().is_empty() => continue,
                Found::Line => {}
            }
            let (sample, group) = self.row(&line, &source.name, place).map_err(refused)?;
            self.draft.add(&sample, group, (number, place))?;
            self.done.bytes = before + lines.bytes();
            self.done.samples += 1;
            (self.progress)(self.done);
        }
        if lines.hash() != source.blake3 {
            let remedy = "Wait until it is written, and start again.";
            return Err(TrainingError::dataset(path, "it changed while it was read", remedy));
        }
        Ok(())
    }

    /// A line as a sample, and what it keeps together with.
    fn row(&mut self, line: &[u8], file: &str, place: usize) -> Result<(Sample, String), Refusal> {
        let row: Row = serde_json::from_slice(line).map_err(|error| {
            Refusal::new(format!("it is no row: {error}"), "Write one JSON object on each line.")
        })?;
        let kind = row.kind()?;
        let at = || {
            let name = format!("{file}:{place}");
            (name.clone(), name)
        };
        let (id, group) = row.name().unwrap_or_else(at);
        let (ids, mut trained) = match (kind, self.voice) {
            (Kind::Tokens, _) => masks::read(row)?,
            (Kind::Messages, Voice::Dialect(dialect)) => {
                messages::read(row, dialect, &mut self.unfits)?
            }
            (Kind::Messages, Voice::Tokenizer(_)) => {
                let reason = "it is a conversation, and the first row is tokens".to_owned();
                return Err(Refusal::new(reason, "Write rows of one kind."));
            }
        };
        let vocab = u32::try_from(self.order.vocab).unwrap_or(TRAINED).min(TRAINED);
        if let Some(stranger) = ids.iter().find(|id| **id >= vocab) {
            let reason = format!("it has the token {stranger}, and the model knows {vocab}");
            return Err(Refusal::new(reason, "Make its tokens with this model's tokenizer."));
        }
        // Nothing stands before the first token, so nothing can predict it.
        if let Some(first) = trained.first_mut() {
            *first = false;
        }
        if !trained.contains(&true) {
            let remedy = "Leave it out, or mark what the model wrote.";
            return Err(Refusal::new("nothing of it is trained", remedy));
        }
        Ok((Sample { id, ids, trained }, group))
    }
}
