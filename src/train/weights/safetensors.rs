//! Safetensors: one file, or several that an index names.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::SafeTensors;
use ::safetensors::tensor::{Dtype, SafeTensorError};
use serde::Deserialize;
use tch::Kind;

use super::tensors::{Lying, Mapped, Numbers, Tensors};
use super::{broken, failed};
use crate::error::{Result, TrainError};

/// The names of the files in a model's folder.
pub(super) const FILE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// No index is larger, and none names more files.
const INDEX_BYTES_MAX: u64 = 64 << 20;
const FILES_MAX: usize = 10_000;

/// How a file begins that Git LFS has left in the place of the one that is meant.
const POINTER: &[u8] = b"version https://git-lfs";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Opens one file.
pub(super) fn open_file(path: &Path) -> Result<Tensors> {
    let mut found = BTreeMap::new();
    let file = add(path, 0, &mut found)?;
    Ok(Tensors::new(path, vec![file], found))
}

/// Opens what a model's folder holds. As `transformers` does, a single file comes before an index.
pub(super) fn open_folder(folder: &Path) -> Result<Tensors> {
    let (file, index) = (folder.join(FILE), folder.join(INDEX));
    if file.exists() {
        return open_file(&file);
    }
    if !index.exists() {
        let reason = format!(
            "There is neither {FILE} nor {INDEX}. Download the model with its weights, or name a GGUF file."
        );
        return Err(broken(folder, reason));
    }
    let named = read_index(&index)?;
    let names: BTreeSet<&String> = named.values().collect();
    if names.len() > FILES_MAX {
        let reason = format!("It names {} files. Download the model again.", names.len());
        return Err(broken(&index, reason));
    }
    let mut files = Vec::new();
    let mut found = BTreeMap::new();
    for name in names {
        // What comes from elsewhere names files beside itself and no others.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            let reason = format!("It names the file {name:?}. Download the model again.");
            return Err(broken(&index, reason));
        }
        let file = add(&folder.join(name), files.len(), &mut found)?;
        files.push(file);
    }
    for (tensor, name) in &named {
        let path = folder.join(name);
        if found.get(tensor).is_none_or(|lying| files[lying.file].path != path) {
            let reason = format!("It lacks {tensor}, which {INDEX} promises. Download it again.");
            return Err(broken(&path, reason));
        }
    }
    Ok(Tensors::new(folder, files, found))
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    if fs::metadata(path).map_err(failed(path))?.len() > INDEX_BYTES_MAX {
        return Err(broken(path, "It is too large for an index. Download the model again."));
    }
    let text = fs::read(path).map_err(failed(path))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| broken(path, format!("It is no index ({error}). Download it again.")))?;
    Ok(index.weight_map)
}

/// Maps a file and adds its tensors, whose bytes are known to lie within it.
fn add(path: &Path, number: usize, found: &mut BTreeMap<String, Lying>) -> Result<Mapped> {
    let file = Mapped::open(path)?;
    let (header, metadata) = SafeTensors::read_metadata(&file.bytes)
        .map_err(|error| damaged(path, &file.bytes, error))?;
    let begin = size_of::<u64>() + header;
    for (name, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        let lying = Lying {
            file: number,
            place: begin + from..begin + to,
            sizes: info.shape.clone(),
            numbers: Numbers::Plain(kind(path, &name, info.dtype)?),
            interleaved: None,
        };
        if found.contains_key(&name) {
            let reason = format!("{name} is in another file too. Download the model again.");
            return Err(broken(path, reason));
        }
        found.insert(name, lying);
    }
    Ok(file)
}

/// Our name for a kind of numbers.
fn kind(path: &Path, name: &str, kind: Dtype) -> Result<Kind> {
    Ok(match kind {
        Dtype::F32 => Kind::Float,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        other => {
            let reason = format!(
                "{name} has numbers of the kind {other:?}, which are not read here. Take the model in BF16 or F32."
            );
            return Err(broken(path, reason));
        }
    })
}

/// Our name for a kind of numbers, the other way round.
pub(super) fn dtype(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Half => Dtype::F16,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => return None,
    })
}

/// What is wrong with a file, in words.
fn damaged(path: &Path, bytes: &[u8], error: SafeTensorError) -> TrainError {
    if bytes.starts_with(POINTER) {
        let reason = "It is a pointer of Git LFS. Fetch the file itself: git lfs pull.";
        return broken(path, reason);
    }
    let what = match error {
        SafeTensorError::InvalidHeader(_)
        | SafeTensorError::HeaderTooLarge
        | SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength => "It does not begin as safetensors do".to_owned(),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            format!("Its header cannot be read ({error})")
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("{name} does not lie where the tensor before it ends")
        }
        SafeTensorError::TensorInvalidInfo => {
            "A tensor has more or fewer bytes than its sizes ask for".to_owned()
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("It has {} bytes, and its header tells of more or fewer", bytes.len())
        }
        SafeTensorError::ValidationOverflow => "The sizes of a tensor are impossible".to_owned(),
        other => format!("It is damaged ({other})"),
    };
    broken(path, format!("{what}. Download it again."))
}

/// The files of weights in a folder.
pub(super) fn files_of(folder: &Path) -> impl Iterator<Item = PathBuf> {
    [FILE, INDEX].into_iter().map(|name| folder.join(name)).filter(|path| path.exists())
}
