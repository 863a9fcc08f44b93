//! A model's weights: read from the files they are published in, written as such files again.
//!
//! Read are folders with safetensors, in one file or many, and GGUF files of llama architecture.
//! Files are mapped into memory, and each tensor is copied once, when it is taken, into the kind and
//! onto the device that it is asked for. Before anything is taken, every tensor is known to be there
//! with the sizes that the model's description asks for. Written are safetensors under the names of
//! `transformers`, and adapters under those of PEFT; a tensor at a time, so that a model never lies
//! in memory twice, and each file whole or not at all.
//!
//! Absent here: optimizer states and what else a checkpoint has, and what a description means, which
//! `training::shape` knows.

mod adapter;
mod gguf;
mod packed;
mod safetensors;
mod tensors;
mod write;

use std::io::Write;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use training::shape::{CONFIG_FILE, ModelShape};

use crate::error::{Result, TrainError};

pub(crate) use adapter::FILE as ADAPTER_FILE;
pub use adapter::{Adapter, AdapterConfig, write_adapter};
pub use tensors::Tensors;
pub use write::{Entry, Give, write_file, write_model};

/// The file of a checkpoint that has all weights as they are trained, where no adapter is.
pub(crate) const MASTERS: &str = "masters.safetensors";

/// A model on disk whose tensors are all there.
#[derive(Debug)]
pub struct Weights {
    shape: ModelShape,
    tensors: Tensors,
}

impl Weights {
    /// Opens a model: a folder with `config.json` and safetensors, or a GGUF file. No weights are
    /// read yet.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the tensors are not those of the description.
    pub fn open(path: &Path) -> Result<Self> {
        let (shape, tensors) = if chat::gguf::is_gguf(path) {
            gguf::open(path)?
        } else {
            (ModelShape::of_folder(path)?, safetensors::open_folder(path)?)
        };
        let sizes = tensors.iter().map(|(name, sizes)| (name.to_owned(), sizes.to_vec()));
        shape.check_tensors(sizes, path)?;
        tensors.check_floats()?;
        Ok(Self { shape, tensors })
    }

    /// Opens what a checkpoint has of a model all of whose weights are trained.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the tensors are not those of the model.
    pub fn of_checkpoint(model: &Path, checkpoint: &Path) -> Result<Self> {
        let (shape, file) = (ModelShape::of_model(model)?, checkpoint.join(MASTERS));
        let tensors = Tensors::open(&file)?;
        let sizes = tensors.iter().map(|(name, sizes)| (name.to_owned(), sizes.to_vec()));
        shape.check_tensors(sizes, &file)?;
        tensors.check_floats()?;
        Ok(Self { shape, tensors })
    }

    /// What the model consists of.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// A tensor of its own, by the name that `transformers` has for it.
    ///
    /// # Errors
    /// When there is none of that name, or memory runs out.
    pub fn take(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        self.tensors.take(name, kind, device)
    }
}

/// Writes what a GGUF file says of its model as the files that stand beside weights in a folder:
/// `config.json`, and those of the tokenizer where it is one that is known.
///
/// # Errors
/// When the file cannot be read, or the disk is full.
pub fn write_companions(gguf: &Path, folder: &Path) -> Result<()> {
    let config = ModelShape::of_model(gguf)?.config_of_gguf();
    // Who trains on tokens that were made elsewhere needs no tokenizer.
    let others = chat::gguf::companions(gguf).map(Vec::from).unwrap_or_default();
    for (name, value) in others.into_iter().chain([(CONFIG_FILE, config)]) {
        let path = folder.join(name);
        write::whole(&path, |file| {
            file.write_all(format!("{value:#}\n").as_bytes()).map_err(failed(&path))
        })?;
    }
    Ok(())
}

/// A file says something else than it should: what, then what to do.
fn broken(path: &Path, reason: impl Into<String>) -> TrainError {
    TrainError::Format { path: path.to_owned(), reason: reason.into() }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::Io { path, source }
}
