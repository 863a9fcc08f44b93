//! A dataset version: what `manifest.json` says, and what follows from it.
//!
//! The manifest holds the recipe (which sessions were asked for, how they were split, which gates
//! were waived), each session with the last event that counts, and the hash of every file. Its id
//! is a hash of all that, so two versions with one id are the same bytes. A version can be exported
//! again from the recordings, even after they went on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DatasetError;
use crate::export::{FileReport, Format, reports};
use crate::facts::Facts;
use crate::gates::{Found, Gate, Waivers};
use crate::select::{Chosen, Filter};
use crate::split::Splits;
use crate::tokens::OverBudget;

/// The form of manifests that this limn writes and reads.
const VERSION: u32 = 2;

/// The name of the file.
pub(crate) const FILE: &str = "manifest.json";

/// No manifest is larger.
const BYTES_MAX: u64 = 1 << 30;

/// What the files of rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// A JSON object a line.
    #[default]
    Jsonl,
    /// Columns; what has a shape of its own is JSON text in them.
    Parquet,
}

impl Files {
    /// How the names of its files end.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Jsonl => ".jsonl",
            Self::Parquet => ".parquet",
        }
    }
}

/// How a dataset was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The licence it comes under, as its maker says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What the files of rows are.
    pub files: Files,
    /// Which sessions.
    pub filter: Filter,
    /// In which parts.
    pub splits: Splits,
    /// Which gates are waived, and why.
    pub waived: Waivers,
}

/// What `manifest.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The format, by its name.
    pub format: String,
    /// The form of the manifest.
    pub version: u32,
    /// A hash of everything else in it.
    pub id: String,
    /// The version that this one comes after.
    pub parent: Option<String>,
    /// How it was asked for.
    pub recipe: Recipe,
    /// What it was made with: the rows, the tokenizer, the template.
    pub target: Value,
    /// How many samples, or rows of them.
    pub samples: usize,
    /// The sessions, in the order of their ids.
    pub sessions: Vec<Facts>,
    /// What the gates found.
    pub gates: BTreeMap<Gate, Found>,
    /// Rows that are longer than was asked for.
    pub over_budget: Vec<OverBudget>,
    /// The files, by name.
    pub files: Vec<FileReport>,
}

impl Manifest {
    /// A manifest that is made now.
    pub(crate) const fn version() -> u32 {
        VERSION
    }

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// When there is none, or it is none that this limn knows.
    pub fn read(folder: &Path) -> Result<Self, DatasetError> {
        let path = folder.join(FILE);
        let no = |what: String| DatasetError::NoExport { folder: folder.to_owned(), what };
        let about = fs::metadata(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => no(format!("is no export: it has no {FILE}")),
            _ => DatasetError::io("read", &path, error),
        })?;
        if !about.is_file() || about.len() > BYTES_MAX {
            return Err(no(format!("has a {FILE} that is none")));
        }
        let bytes = fs::read(&path).map_err(|error| DatasetError::io("read", &path, error))?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| no(format!("has a {FILE} that is no JSON ({error})")))?;
        match value["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let read = format!("this limn reads {VERSION}");
                return Err(no(format!("has a {FILE} of version {version}; {read}")));
            }
            None => return Err(no(format!("has a {FILE} without a version"))),
        }
        let manifest: Self = serde_json::from_value(value)
            .map_err(|error| no(format!("has a {FILE} that is none ({error})")))?;
        if let Some(file) = manifest.files.iter().find(|file| !is_within(&file.name)) {
            return Err(no(format!("has a {FILE} that names {:?}, outside of it", file.name)));
        }
        Ok(manifest)
    }

    /// The hash of everything but the id.
    pub(crate) fn hash(&self) -> String {
        let plain = Self { id: String::new(), ..self.clone() };
        let text = serde_json::to_string(&plain).unwrap_or_default();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// The format.
    ///
    /// # Errors
    /// When this limn does not know it.
    pub fn format(&self) -> Result<Format, DatasetError> {
        Format::parse(&self.format).ok_or_else(|| DatasetError::UnknownFormat(self.format.clone()))
    }

    /// The files that hold rows, or whole sessions.
    pub(crate) fn row_files(&self, format: Format) -> impl Iterator<Item = &str> {
        let names = self.files.iter().map(|file| file.name.as_str());
        names.filter(move |name| match format {
            Format::Sessions(form) => name.ends_with(form.ending()),
            _ => name.ends_with(self.recipe.files.ending()),
        })
    }

    /// The sessions of this version, each up to where it counted then.
    ///
    /// # Errors
    /// When the manifest names what is no session.
    pub fn chosen(&self) -> Result<Vec<Chosen>, DatasetError> {
        let bad = |facts: &Facts| DatasetError::BadSession(facts.session.clone());
        let chosen = |facts: &Facts| {
            Ok(Chosen {
                id: facts.session.parse().map_err(|_| bad(facts))?,
                head: Some(facts.head.parse().map_err(|_| bad(facts))?),
                said: facts.said(),
            })
        };
        self.sessions.iter().map(chosen).collect()
    }
}

fn is_within(name: &str) -> bool {
    let parts = Path::new(name).components();
    !name.is_empty() && parts.into_iter().all(|it| matches!(it, std::path::Component::Normal(_)))
}

/// Compares the files of an export with its manifest; gives what is wrong, a sentence each.
///
/// # Errors
/// When it is no export, or cannot be read.
pub fn verify(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let manifest = Manifest::read(folder)?;
    let mut wrong = Vec::new();
    if manifest.hash() != manifest.id {
        wrong.push(format!("{FILE} was changed: its id is not the hash of what it says"));
    }
    let here: BTreeMap<String, FileReport> =
        reports(folder)?.into_iter().map(|file| (file.name.clone(), file)).collect();
    for file in &manifest.files {
        match here.get(&file.name) {
            None => wrong.push(format!("{} is missing", file.name)),
            Some(found) if found.blake3 != file.blake3 => {
                wrong.push(format!("{} is not what was written", file.name));
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    for name in here.keys().filter(|name| *name != FILE && !known.contains(name.as_str())) {
        wrong.push(format!("{name} was added"));
    }
    Ok(wrong)
}

/// What differs between two versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The ids of both.
    pub ids: [String; 2],
    /// Whether the second names the first as its parent.
    pub is_child: bool,
    /// Sessions that only the second has.
    pub added: Vec<String>,
    /// Sessions that only the first has.
    pub removed: Vec<String>,
    /// Sessions that both have, up to different events.
    pub went_on: Vec<String>,
    /// Sessions that are in another part.
    pub moved: Vec<String>,
    /// What was asked for otherwise: the key, then and now.
    pub recipe: BTreeMap<String, [Value; 2]>,
    /// Rows, before and after.
    pub rows: [usize; 2],
    /// Files that are not the same, in name or content.
    pub files: Vec<String>,
}

/// Compares two exports by their manifests.
///
/// # Errors
/// When one of them is no export.
pub fn diff(one: &Path, other: &Path) -> Result<Difference, DatasetError> {
    let (one, other) = (Manifest::read(one)?, Manifest::read(other)?);
    let by_id = |manifest: &Manifest| -> BTreeMap<String, Facts> {
        manifest.sessions.iter().map(|facts| (facts.session.clone(), facts.clone())).collect()
    };
    let (before, after) = (by_id(&one), by_id(&other));
    let only = |these: &BTreeMap<String, Facts>, those: &BTreeMap<String, Facts>| {
        these.keys().filter(|id| !those.contains_key(*id)).cloned().collect()
    };
    let both = |differs: fn(&Facts, &Facts) -> bool| {
        let pairs = before.iter().filter_map(|(id, facts)| Some((id, facts, after.get(id)?)));
        pairs.filter(|(_, a, b)| differs(a, b)).map(|(id, ..)| id.clone()).collect()
    };
    let files = |manifest: &Manifest| -> BTreeSet<(String, String)> {
        let files = manifest.files.iter();
        files.map(|file| (file.name.clone(), file.blake3.clone())).collect()
    };
    let changed: BTreeSet<String> =
        files(&one).symmetric_difference(&files(&other)).map(|(name, _)| name.clone()).collect();
    Ok(Difference {
        is_child: other.parent.as_deref() == Some(one.id.as_str()),
        added: only(&after, &before),
        removed: only(&before, &after),
        went_on: both(|a, b| a.head != b.head),
        moved: both(|a, b| a.split != b.split),
        recipe: asked_otherwise(&one, &other),
        rows: [one.samples, other.samples],
        files: changed.into_iter().collect(),
        ids: [one.id, other.id],
    })
}

/// The keys of recipe and target that are not the same in both.
fn asked_otherwise(one: &Manifest, other: &Manifest) -> BTreeMap<String, [Value; 2]> {
    let asked = |manifest: &Manifest| {
        let mut all = serde_json::to_value(&manifest.recipe).unwrap_or_default();
        all["format"] = manifest.format.clone().into();
        for (key, value) in manifest.target.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        all
    };
    let (before, after) = (asked(one), asked(other));
    let keys = [&before, &after].into_iter().filter_map(Value::as_object).flat_map(|it| it.keys());
    let keys: BTreeSet<&String> = keys.collect();
    let differ = keys.into_iter().filter(|key| before[*key] != after[*key]);
    differ.map(|key| (key.clone(), [before[key].clone(), after[key].clone()])).collect()
}
