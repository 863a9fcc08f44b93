//! What can be served: found where the settings say, and where `limn train` was told to put it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use training::TrainingError;
use training::folder::Run;
use training::recipe::Method;

use super::PREFIX;
use super::remembered::remembered;
use crate::print::thousands;
use crate::settings::{self, UserFile};

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 1_000;

/// A model of this machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Local {
    /// Its name, without the prefix.
    pub(crate) name: String,
    /// Where it lies: a run, a model's folder, a GGUF file.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A run of `limn train`.
    Run {
        /// The model that is trained.
        base: PathBuf,
        method: Method,
        state: State,
    },
    /// A model's folder.
    Folder,
    /// A GGUF file.
    Gguf,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has saved nothing yet.
    Begun,
    /// It has saved after this step.
    Saved(u64),
    /// All steps are made; the last of which there is a checkpoint.
    Finished(Option<u64>),
}

impl Local {
    /// What lies there, if it can be served.
    ///
    /// # Errors
    /// When it is a run whose recipe is damaged.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, TrainingError> {
        // Served by another process, which may be in another folder.
        let Ok(path) = path.canonicalize() else { return Ok(None) };
        let kind = match Run::open(&path) {
            Ok(run) => {
                let recipe = run.recipe()?;
                Kind::Run { base: recipe.model, method: recipe.method, state: State::of(&run) }
            }
            Err(_) if is_model(&path) => Kind::Folder,
            Err(_) if is_gguf(&path) => Kind::Gguf,
            Err(_) => return Ok(None),
        };
        Ok(Some(Self { name: path.display().to_string(), path, kind }))
    }

    /// The model whose tokenizer it has: its own, where all weights were trained and are there.
    pub(crate) fn whole(&self) -> PathBuf {
        match &self.kind {
            Kind::Run { base, method: Method::Full, .. } => {
                self.final_folder().unwrap_or_else(|| base.clone())
            }
            Kind::Run { base, .. } => base.clone(),
            Kind::Folder | Kind::Gguf => self.path.clone(),
        }
    }

    fn final_folder(&self) -> Option<PathBuf> {
        Run::open(&self.path).ok()?.final_folder()
    }

    /// Whether there is something that can be served.
    pub(crate) const fn has_weights(&self) -> bool {
        !matches!(self.kind, Kind::Run { state: State::Begun, .. })
    }

    /// What is known of it, in a line.
    pub(crate) fn about(&self) -> String {
        let size = size(self.bytes());
        match &self.kind {
            Kind::Run { base, method, state } => {
                let how = match method {
                    Method::Lora(_) => "adapter of",
                    Method::Full => "all weights of",
                };
                format!("{how} {}, {}, {size}", name_of(base), state.told())
            }
            Kind::Folder => format!("model, {size}"),
            Kind::Gguf => format!("GGUF, {size}"),
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "model": format!("{PREFIX}{}", self.name),
            "path": self.path,
            "bytes": self.bytes(),
        });
        match &self.kind {
            Kind::Run { base, method, state } => {
                value["kind"] = "run".into();
                value["base"] = json!(base);
                value["method"] = match method {
                    Method::Lora(_) => "lora".into(),
                    Method::Full => "full".into(),
                };
                let (word, step) = match state {
                    State::Begun => ("begun", None),
                    State::Saved(step) => ("saved", Some(*step)),
                    State::Finished(step) => ("finished", *step),
                };
                value["state"] = word.into();
                value["step"] = json!(step);
            }
            Kind::Folder => value["kind"] = "model".into(),
            Kind::Gguf => value["kind"] = "gguf".into(),
        }
        value
    }

    /// The weights that serving it reads.
    fn bytes(&self) -> u64 {
        let adapter = match &self.kind {
            Kind::Run { method: Method::Lora(_), .. } => self.final_folder(),
            _ => None,
        };
        weights(&self.whole()) + adapter.map_or(0, |folder| weights(&folder))
    }
}

impl State {
    fn of(run: &Run) -> Self {
        let step = run.checkpoints().pop().map(|newest| newest.facts.step);
        match (run.final_folder(), step) {
            (Some(_), step) => Self::Finished(step),
            (None, Some(step)) => Self::Saved(step),
            (None, None) => Self::Begun,
        }
    }

    fn told(self) -> String {
        match self {
            Self::Begun => "nothing saved yet".to_owned(),
            Self::Saved(step) => format!("trained to step {}", thousands(step)),
            Self::Finished(_) => "finished".to_owned(),
        }
    }
}

/// All of them, by their names.
pub(crate) fn list(file: &UserFile) -> Vec<Local> {
    let mut paths = settings::home().map(|home| remembered(&home)).unwrap_or_default();
    for folder in file.local.folders() {
        paths.extend(
            fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .take(ENTRIES_MAX)
                .map(|it| it.path()),
        );
        paths.push(folder);
    }
    let mut all: Vec<Local> = Vec::new();
    for path in paths {
        // What is damaged says so when it is named.
        if let Ok(Some(found)) = Local::at(&path)
            && !all.iter().any(|it| it.path == found.path)
        {
            all.push(found);
        }
    }
    named(&mut all);
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Gives each the name of its folder; where that is not enough, the folder above says more.
pub(super) fn named(all: &mut [Local]) {
    let ends: Vec<Vec<String>> = all.iter().map(|it| ends(&it.path)).collect();
    let names: Vec<String> = ends
        .iter()
        .enumerate()
        .map(|(at, own)| {
            let others = || ends.iter().enumerate().filter(|(other, _)| *other != at);
            let is_alone = |length: &usize| {
                others().all(|(_, other)| other.get(..*length) != own.get(..*length))
            };
            let length = (1..=own.len()).find(is_alone).unwrap_or(own.len());
            let parts: Vec<&str> = own.iter().take(length).rev().map(String::as_str).collect();
            parts.join("/")
        })
        .collect();
    for (local, name) in all.iter_mut().zip(names) {
        local.name = name;
    }
}

/// The parts of a path, the last first.
fn ends(path: &Path) -> Vec<String> {
    let parts = path.components().rev().filter_map(|part| match part {
        std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        _ => None,
    });
    parts.collect()
}

fn name_of(path: &Path) -> String {
    ends(path).into_iter().next().unwrap_or_default()
}

fn is_model(path: &Path) -> bool {
    path.join("config.json").is_file() && weights_of(path).next().is_some()
}

fn is_gguf(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|end| end == "gguf")
}

fn weights_of(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "safetensors"))
}

fn weights(path: &Path) -> u64 {
    if path.is_file() {
        return fs::metadata(path).map_or(0, |about| about.len());
    }
    // Weights may be links into a cache of models.
    weights_of(path).filter_map(|entry| Some(fs::metadata(entry.path()).ok()?.len())).sum()
}

/// `271 MB`, `8.1 GB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..10_000_000_000 => format!("{} MB", thousands(bytes / 1_000_000)),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}
