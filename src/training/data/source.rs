//! Which files make a dataset, and what its manifest says of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{Part, Source};
use crate::error::TrainingError;

/// The manifest of our exports.
const MANIFEST: &str = "manifest.json";

/// No manifest is larger.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// The form of manifests that is read.
const MANIFEST_VERSION: u64 = 2;

/// Formats of our exports whose rows hold all that training needs.
const FORMATS: [&str; 6] = ["messages", "tokens", "openai", "axolotl", "slime", "limi"];

/// No dataset has more files.
const FILES_MAX: usize = 10_000;

/// Names of parts that are held out.
const HELD_OUT: [&str; 9] =
    ["test", "validation", "valid", "val", "eval", "evaluation", "dev", "heldout", "held_out"];

/// A dataset as it lies there.
pub(super) struct Found {
    /// Its files, by path, in the order of their names.
    pub(super) files: Vec<(PathBuf, Source)>,
    /// What the manifest says it was made for, where there is one: tokenizer and template.
    pub(super) target: Option<Target>,
}

/// The model that an export was made for.
pub(super) struct Target {
    pub(super) tokenizer: Option<String>,
    pub(super) template: Option<String>,
    /// Whether its rows are tokens.
    pub(super) is_tokens: bool,
}

/// Looks at a dataset and hashes its files.
pub(super) fn find(path: &Path) -> Result<Found, TrainingError> {
    let about = fs::metadata(path).map_err(|error| TrainingError::io("read", path, error))?;
    if about.is_file() {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        if !is_lines(&name) {
            return Err(not_lines(path));
        }
        let files = vec![(path.to_owned(), source(path, name, None)?)];
        return Ok(Found { files, target: None });
    }
    let found = match manifest(path)? {
        Some(manifest) => of_manifest(path, &manifest)?,
        None => Found { files: of_folder(path)?, target: None },
    };
    if found.files.is_empty() {
        return Err(not_lines(path));
    }
    Ok(found)
}

fn not_lines(path: &Path) -> TrainingError {
    let remedy = "Name a folder with .jsonl files or one such file; `limn export --format messages` \
                  writes one.";
    TrainingError::dataset(path, "it has no rows as lines of JSON", remedy)
}

fn is_lines(name: &str) -> bool {
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

fn source(path: &Path, name: String, said: Option<&str>) -> Result<Source, TrainingError> {
    let failed = |error| TrainingError::io("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(failed)?;
    let blake3 = hasher.finalize().to_hex().to_string();
    if said.is_some_and(|said| said != blake3) {
        let remedy = "Export the dataset again, or remove manifest.json to train on what is there.";
        return Err(TrainingError::dataset(path, "it is not what was exported", remedy));
    }
    Ok(Source { part: part(&name), name, bytes, blake3 })
}

/// The part that a name speaks of: `test.jsonl`, `messages-test.jsonl`, `validation-0001.jsonl`.
fn part(name: &str) -> Part {
    let stem = Path::new(name).file_stem().unwrap_or(OsStr::new("")).to_string_lossy();
    let stem = stem.to_lowercase();
    let words = stem.split(['-', '.']);
    let is_held_out = words.clone().any(|word| HELD_OUT.contains(&word));
    let folder = Path::new(name).parent().and_then(Path::file_name);
    let in_folder = folder.is_some_and(|it| HELD_OUT.contains(&&*it.to_string_lossy()));
    if is_held_out || in_folder { Part::HeldOut } else { Part::Train }
}

fn of_folder(folder: &Path) -> Result<Vec<(PathBuf, Source)>, TrainingError> {
    let failed = |error| TrainingError::io("read", folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_lines(&name) && entry.path().is_file() {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            let remedy = "Name one of its files, or put the rows into fewer.";
            return Err(TrainingError::dataset(folder, "it has too many files", remedy));
        }
    }
    names.sort();
    let file = |name: String| {
        let path = folder.join(&name);
        let source = source(&path, name, None)?;
        Ok((path, source))
    };
    names.into_iter().map(file).collect()
}

fn manifest(folder: &Path) -> Result<Option<Value>, TrainingError> {
    let path = folder.join(MANIFEST);
    let failed = |error| TrainingError::io("read", &path, error);
    if !path.is_file() {
        return Ok(None);
    }
    let remedy = "Export the dataset again, or remove manifest.json to train on what is there.";
    let broken = |what: &str| TrainingError::dataset(&path, what, remedy);
    if fs::metadata(&path).map_err(failed)?.len() > MANIFEST_BYTES_MAX {
        return Err(broken("it is no manifest of an export"));
    }
    let bytes = fs::read(&path).map_err(failed)?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|_| broken("it is no manifest of an export"))?;
    if value["version"].as_u64() != Some(MANIFEST_VERSION) {
        return Err(broken("another limn wrote it"));
    }
    Ok(Some(value))
}

fn of_manifest(folder: &Path, manifest: &Value) -> Result<Found, TrainingError> {
    let refuse = |reason: String, remedy: &str| Err(TrainingError::dataset(folder, reason, remedy));
    let format = manifest["format"].as_str().unwrap_or("");
    if !FORMATS.contains(&format) {
        let reason = format!("it is an export of the format {format:?}");
        return refuse(reason, "Export the sessions with --format messages.");
    }
    if manifest["recipe"]["files"] == "parquet" {
        return refuse("its rows are Parquet".to_owned(), "Export it again with --files jsonl.");
    }
    let hash = |key: &str| manifest["target"][key].as_str().map(str::to_owned);
    let target = Target {
        tokenizer: hash("tokenizer"),
        template: hash("template"),
        is_tokens: format == "tokens",
    };
    let mut files = Vec::new();
    for file in manifest["files"].as_array().into_iter().flatten() {
        let name = file["name"].as_str().unwrap_or("");
        if !is_lines(name) {
            continue;
        }
        let mut parts = Path::new(name).components();
        if !parts.all(|part| matches!(part, Component::Normal(_))) {
            let reason = format!("its manifest names {name:?}, outside of it");
            return refuse(reason, "Take the dataset from somebody you trust.");
        }
        let path = folder.join(name);
        let source = source(&path, name.to_owned(), file["blake3"].as_str())?;
        files.push((path, source));
    }
    Ok(Found { files, target: Some(target) })
}
