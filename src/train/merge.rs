//! An adapter put into the weights that it was trained beside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tch::{Device, Kind};
use training::TrainingError;
use training::folder::Run;
use training::shape::Linear;

use crate::checkpoint::copy_companions;
use crate::error::{Result, TrainError};
use crate::machine::kind;
use crate::torch::number;
use crate::weights::{Adapter, Entry, Weights, write_model};

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
        return Err(refuse("is not finished", "Go on with it: limn train resume."));
    };
    let weights = Weights::open(&recipe.model)?;
    let adapter = Adapter::open(&adapter, weights.shape())?;
    fs::create_dir_all(out).map_err(|source| TrainError::Io { path: out.to_owned(), source })?;
    merged(&weights, &adapter, kind(recipe.precision), out)?;
    copy_companions(&recipe.model, out)
}

/// Writes the weights one by one, each with what stands beside it. Sums are made in f32.
pub(crate) fn merged(weights: &Weights, adapter: &Adapter, kind: Kind, out: &Path) -> Result<()> {
    let shape = weights.shape();
    let linears: BTreeMap<String, Linear> = shape
        .linears()
        .into_iter()
        .map(|linear| (format!("{}.weight", linear.module), linear))
        .collect();
    let entries: Vec<Entry> = shape
        .tensors()
        .into_iter()
        .map(|tensor| Entry { name: tensor.name, sizes: tensor.sizes, kind })
        .collect();
    write_model(out, &entries, &mut |entry| {
        let weight = weights.take(&entry.name, Kind::Float, Device::Cpu)?;
        let Some(linear) = linears.get(&entry.name) else { return Ok(weight) };
        let Some((down, up)) = adapter.take(linear, Kind::Float, Device::Cpu)? else {
            return Ok(weight);
        };
        Ok(weight.f_add(&up.f_matmul(&down)?.f_mul(&number(adapter.scale())?)?)?)
    })
}
