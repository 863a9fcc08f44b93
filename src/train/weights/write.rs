//! Weights written as safetensors, a tensor at a time, each file whole or not at all.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ::safetensors::tensor::TensorInfo;
use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use super::safetensors::{FILE, INDEX, dtype, files_of};
use super::{broken, failed};
use crate::error::{Result, TrainError};
use crate::torch;

/// Where a file is full, as `transformers` has it; a single tensor may be larger.
const FILE_BYTES_MAX: u64 = 5_000_000_000;

/// The numbers of a file begin at a multiple of this.
const ALIGNMENT: usize = 8;

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the file.
    pub name: String,
    /// Its sizes, the outermost first.
    pub sizes: Vec<usize>,
    /// The kind of its numbers in the file.
    pub kind: Kind,
}

impl Entry {
    fn bytes(&self) -> u64 {
        let count: u64 = self.sizes.iter().map(|size| *size as u64).product();
        count * self.kind.elt_size_in_bytes() as u64
    }
}

/// Gives a tensor when its turn has come. Of each no more than one lies in memory.
pub type Give<'a> = dyn FnMut(&Entry) -> Result<Tensor> + 'a;

/// Writes a model's weights into its folder, which has none yet: one file, or several of 5 GB and
/// an index of them, which comes last.
///
/// # Errors
/// When the folder has weights, a tensor is not as announced, or the disk is full; files that were
/// finished stay.
pub fn write_model(folder: &Path, entries: &[Entry], give: &mut Give<'_>) -> Result<()> {
    write_shards(folder, entries, FILE_BYTES_MAX, give)
}

pub(super) fn write_shards(
    folder: &Path,
    entries: &[Entry],
    file_bytes_max: u64,
    give: &mut Give<'_>,
) -> Result<()> {
    if let Some(path) = files_of(folder).next() {
        return Err(broken(&path, "There are weights already. Name another folder."));
    }
    let shards = shards(entries, file_bytes_max);
    if let [_] | [] = shards.as_slice() {
        return write_file(&folder.join(FILE), entries, give);
    }
    let mut places = Map::new();
    let count = shards.len();
    for (number, shard) in (1..).zip(&shards) {
        let name = format!("model-{number:05}-of-{count:05}.safetensors");
        write_file(&folder.join(&name), shard, give)?;
        places.extend(shard.iter().map(|entry| (entry.name.clone(), json!(name))));
    }
    let bytes: u64 = entries.iter().map(Entry::bytes).sum();
    let index = json!({ "metadata": { "total_size": bytes }, "weight_map": places });
    let path = folder.join(INDEX);
    whole(&path, |file| file.write_all(format!("{index:#}\n").as_bytes()).map_err(failed(&path)))
}

/// As many tensors for each file as fit, in their order.
fn shards(entries: &[Entry], file_bytes_max: u64) -> Vec<&[Entry]> {
    let mut shards = Vec::new();
    let (mut first, mut bytes) = (0, 0_u64);
    for (at, entry) in entries.iter().enumerate() {
        if bytes > 0 && bytes + entry.bytes() > file_bytes_max {
            shards.push(&entries[first..at]);
            (first, bytes) = (at, 0);
        }
        bytes += entry.bytes();
    }
    shards.push(&entries[first..]);
    shards
}

/// Writes one file of safetensors.
///
/// # Errors
/// When a tensor is not as announced, or the disk is full; what was there before stays as it was.
pub fn write_file(path: &Path, entries: &[Entry], give: &mut Give<'_>) -> Result<()> {
    // The widest numbers come first, so that all lie at multiples of their width.
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.kind.elt_size_in_bytes()));
    let header = header(path, &entries)?;
    whole(path, |file| {
        let length = (header.len() as u64).to_le_bytes();
        file.write_all(&length).and_then(|()| file.write_all(&header)).map_err(failed(path))?;
        for entry in entries {
            let tensor = give(entry)?;
            let sizes: Vec<i64> = entry.sizes.iter().map(|size| *size as i64).collect();
            if tensor.size() != sizes {
                let name = &entry.name;
                let told = format!("{name} is {:?} and was announced as {sizes:?}", tensor.size());
                return Err(TrainError::Torch(told));
            }
            let tensor = tensor.f_to_kind(entry.kind)?;
            torch::write_numbers(&tensor, file)?.map_err(failed(path))?;
        }
        Ok(())
    })
}

/// What stands before the numbers.
fn header(path: &Path, entries: &[&Entry]) -> Result<Vec<u8>> {
    let mut header = Map::new();
    // Readers of old ask for it.
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut begin = 0;
    for entry in entries {
        let end = usize::try_from(entry.bytes()).ok().and_then(|bytes| bytes.checked_add(begin));
        let (Some(dtype), Some(end)) = (dtype(entry.kind), end) else {
            let told = format!("{} cannot be written as {:?}", entry.name, entry.kind);
            return Err(TrainError::Torch(told));
        };
        let info = TensorInfo { dtype, shape: entry.sizes.clone(), data_offsets: (begin, end) };
        let info = serde_json::to_value(info).map_err(|error| failed(path)(error.into()))?;
        if header.insert(entry.name.clone(), info).is_some() {
            return Err(TrainError::Torch(format!("{} was announced twice", entry.name)));
        }
        begin = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(text)
}

/// A file that appears under its name when all of it is on the disk.
pub(super) fn whole(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // As other programs make files; what the user's mask takes away is taken away.
    let mut scratch = tempfile::Builder::new()
        .prefix(".weights-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed(folder))?;
    write(scratch.as_file_mut())?;
    scratch.as_file().sync_all().map_err(failed(path))?;
    scratch.persist(path).map_err(|error| failed(path)(error.error))?;
    // The name is on the disk when the folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}
