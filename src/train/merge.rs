//! An adapter put into the weights that it was trained beside.

use std::fs;
use std::path::Path;

use tch::{Device, Kind};
use training::TrainingError;
use training::folder::Run;
use training::recipe::Precision;

use crate::checkpoint::write_merged;
use crate::decoder::Decoder;
use crate::error::{Result, TrainError};
use crate::method::load_adapters;
use crate::weights::{Adapter, Weights};

/// Writes the model of a run with its adapter merged, as `transformers` loads it.
///
/// # Errors
/// When the run is not finished, trained no adapter, or the folder cannot be written.
pub fn merge(run: &Path, out: &Path) -> Result<()> {
    let run = Run::open(run)?;
    let recipe = run.recipe()?;
    let refuse = |reason: &str, remedy: &str| -> TrainError {
        TrainingError::Run {
            path: run.folder().to_owned(),
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
        }
        .into()
    };
    if recipe.lora().is_none() {
        return Err(refuse("trained all weights", "What came of it is a whole model: its final/."));
    }
    let Some(adapter) = run.final_folder() else {
        return Err(refuse("is not finished", "Go on with it: limn train attach."));
    };
    let weights = Weights::open(&recipe.model)?;
    let kind = match recipe.precision {
        Precision::Bf16 => Kind::BFloat16,
        Precision::F32 => Kind::Float,
    };
    let mut decoder = Decoder::new(&weights, kind, Device::Cpu)?;
    load_adapters(&mut decoder, &Adapter::open(&adapter, weights.shape())?)?;
    fs::create_dir_all(out).map_err(|source| TrainError::Io { path: out.to_owned(), source })?;
    write_merged(&decoder, &recipe.model, out)
}
