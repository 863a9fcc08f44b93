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

use std::path::Path;

use tch::{Device, Kind, Tensor};
use training::shape::ModelShape;

use crate::error::{Result, TrainError};

pub use adapter::{Adapter, AdapterConfig, write_adapter};
pub use tensors::Tensors;
pub use write::{Entry, Give, write_file, write_model};

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

/// A file says something else than it should: what, then what to do.
fn broken(path: &Path, reason: impl Into<String>) -> TrainError {
    TrainError::Format { path: path.to_owned(), reason: reason.into() }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::Io { path, source }
}
