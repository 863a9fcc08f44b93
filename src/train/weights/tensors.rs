//! Tensors that lie in files, found by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::bf16;
use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

use super::packed::Packing;
use super::{broken, failed};
use crate::error::Result;
use crate::torch;

/// Tensors in one file or several, none of them read yet.
#[derive(Debug)]
pub struct Tensors {
    path: PathBuf,
    files: Vec<Mapped>,
    found: BTreeMap<String, Lying>,
}

/// A file that is mapped into memory.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) path: PathBuf,
    pub(super) bytes: Mmap,
}

/// Where and how a tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Lying {
    /// The file, by its place in the list.
    pub(super) file: usize,
    /// Its bytes within the file, which are as many as its numbers take.
    pub(super) place: Range<usize>,
    /// Its sizes, the outermost first.
    pub(super) sizes: Vec<usize>,
    pub(super) numbers: Numbers,
    /// How many heads its rows belong to, when the two halves of each head are interleaved in the
    /// file, as llama.cpp has them. There is an even number of rows for each.
    pub(super) interleaved: Option<usize>,
}

/// How numbers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// One after the other.
    Plain(Kind),
    /// In blocks.
    Packed(Packing),
}

impl Mapped {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(failed(path))?;
        if !file.metadata().map_err(failed(path))?.is_file() {
            return Err(broken(path, "This is no file. Name one that holds weights."));
        }
        let bytes = torch::map(&file).map_err(failed(path))?;
        Ok(Self { path: path.to_owned(), bytes })
    }
}

impl Tensors {
    pub(super) fn new(path: &Path, files: Vec<Mapped>, found: BTreeMap<String, Lying>) -> Self {
        Self { path: path.to_owned(), files, found }
    }

    /// Opens a file of safetensors.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(file: &Path) -> Result<Self> {
        super::safetensors::open_file(file)
    }

    /// The file or folder that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and sizes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.found.iter().map(|(name, lying)| (name.as_str(), lying.sizes.as_slice()))
    }

    /// The sizes of a tensor, when there is one of that name.
    #[must_use]
    pub fn sizes(&self, name: &str) -> Option<&[usize]> {
        self.found.get(name).map(|lying| lying.sizes.as_slice())
    }

    /// A tensor of its own, contiguous.
    ///
    /// # Errors
    /// When there is none of that name, or memory runs out.
    pub fn take(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        let Some(lying) = self.found.get(name) else {
            return Err(broken(&self.path, format!("It holds no {name}. Take a complete model.")));
        };
        let bytes = self
            .files
            .get(lying.file)
            .and_then(|file| file.bytes.get(lying.place.clone()))
            .ok_or_else(|| broken(&self.path, format!("{name} lies nowhere. Take it anew.")))?;
        let sizes: Vec<i64> = lying.sizes.iter().map(|size| *size as i64).collect();
        match lying.numbers {
            Numbers::Plain(stored) => {
                let target = Tensor::f_empty(&sizes, (kind, device))?;
                let rows = match lying.interleaved {
                    Some(heads) => interleaved(&target, heads)?,
                    None => target.shallow_clone(),
                };
                torch::read_into(&rows, bytes, stored)?;
                Ok(target)
            }
            Numbers::Packed(packing) => {
                let columns = lying.sizes.last().copied().unwrap_or(0);
                let rows = lying.sizes.first().copied().unwrap_or(0);
                let from = |row| match lying.interleaved {
                    Some(heads) => row_of(row, rows / heads),
                    None => row,
                };
                // Straight into what is asked for, when it is one of these two.
                let tensor = if kind == Kind::BFloat16 {
                    torch::filled(&sizes, |numbers: &mut [bf16]| {
                        packing.unpack(bytes, columns, from, numbers);
                    })?
                } else {
                    torch::filled(&sizes, |numbers: &mut [f32]| {
                        packing.unpack(bytes, columns, from, numbers);
                    })?
                };
                Ok(tensor.f_to_device_(device, kind, false, false)?)
            }
        }
    }

    /// Refuses numbers that mean something only beside scales that nobody here would read.
    pub(super) fn check_floats(&self) -> Result<()> {
        for (name, lying) in &self.found {
            let Numbers::Plain(kind) = lying.numbers else { continue };
            if !matches!(kind, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double) {
                let path = self.files.get(lying.file).map_or(&self.path, |file| &file.path);
                let reason = format!(
                    "{name} has numbers of the kind {kind:?}, and weights are F32, BF16 or F16. Take the model as it was before it was quantized."
                );
                return Err(broken(path, reason));
            }
        }
        Ok(())
    }
}

/// A tensor's rows in the order in which llama.cpp stores them: of each head the first of its one
/// half, the first of the other, and so on. The same memory.
fn interleaved(tensor: &Tensor, heads: usize) -> Result<Tensor> {
    let sizes = tensor.size();
    let (rows, rest) = sizes.split_first().unwrap_or((&0, &[]));
    let half = rows / (2 * heads as i64);
    let halves = [&[heads as i64, 2, half], rest].concat();
    Ok(tensor.f_view(halves.as_slice())?.f_transpose(1, 2)?)
}

/// Where llama.cpp stores a row, within heads of so many rows.
fn row_of(row: usize, head_rows: usize) -> usize {
    let (head, row) = (row / head_rows, row % head_rows);
    let half = head_rows / 2;
    head * head_rows + row % half * 2 + row / half
}
