//! What has to be on disk so that a run goes on as if it had never stopped, and what comes of it.
//!
//! A checkpoint holds the trained weights in f32 under their published names, so that it can be
//! looked at with the tools that people have, and the moments of the optimizer beside them. Which
//! samples come next, the folder's own facts say; nothing else is random.

use std::fs;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use training::recipe::Recipe;
use training::shape::{self, CONFIG_FILE, ModelShape};

use crate::decoder::Decoder;
use crate::error::{Result, TrainError};
use crate::optimizer::{Optimizer, State};
use crate::trainer::Trainer;
use crate::weights::{
    ADAPTER_FILE, AdapterConfig, Entry, MASTERS, Tensors, write_adapter, write_companions,
    write_file, write_model,
};

/// The means of gradients and of their squares.
const MOMENTS: &str = "moments.safetensors";

/// Files beside a model's weights that are copied with it: how it is spoken to.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "LICENSE",
];

/// Writes everything into the folder of a checkpoint.
///
/// # Errors
/// When the disk is full, or refuses.
pub fn save(trainer: &Trainer, recipe: &Recipe, folder: &Path) -> Result<()> {
    let optimizer = trainer.optimizer();
    match recipe.lora() {
        Some(_) => write_trained_adapter(trainer, recipe, folder)?,
        None => {
            let masters =
                optimizer.states().iter().map(|state| (state.name.as_str(), &state.master));
            write_all(&folder.join(MASTERS), &masters.collect::<Vec<_>>())?;
        }
    }
    let moments: Vec<(String, &Tensor)> = optimizer
        .states()
        .iter()
        .flat_map(|State { name, mean, square, .. }| {
            [(format!("mean.{name}"), mean), (format!("square.{name}"), square)]
        })
        .collect();
    let moments: Vec<(&str, &Tensor)> =
        moments.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    write_all(&folder.join(MOMENTS), &moments)
}

/// Goes on from a checkpoint, of which so many steps were made.
///
/// # Errors
/// When a file is missing or damaged.
pub fn restore(trainer: &mut Trainer, recipe: &Recipe, folder: &Path, steps: u64) -> Result<()> {
    let masters = match recipe.lora() {
        Some(_) => Tensors::open(&folder.join(ADAPTER_FILE))?,
        None => Tensors::open(&folder.join(MASTERS))?,
    };
    let moments = Tensors::open(&folder.join(MOMENTS))?;
    let give = |name: &str| match name.strip_prefix("master.") {
        Some(name) => masters.take(name, Kind::Float, Device::Cpu),
        None => moments.take(name, Kind::Float, Device::Cpu),
    };
    trainer.restore(&give, steps)
}

/// Writes what came of a run: a model as `transformers` loads it, or an adapter as PEFT does.
///
/// # Errors
/// When the disk is full, or refuses.
pub fn write_final(trainer: &Trainer, recipe: &Recipe, folder: &Path) -> Result<()> {
    if recipe.lora().is_some() {
        write_trained_adapter(trainer, recipe, folder)?;
    } else {
        write_masters(trainer, folder)?;
    }
    copy_companions(&recipe.model, folder)
}

/// Writes all weights as they were trained, rounded to what the model computes in.
fn write_masters(trainer: &Trainer, folder: &Path) -> Result<()> {
    let states = trainer.optimizer().states().iter();
    let kind = trainer.decoder().kind();
    let entries: Vec<Entry> = states.map(|it| entry(&it.name, &it.master, kind)).collect();
    write_model(folder, &entries, &mut |entry| master(trainer.optimizer(), &entry.name))
}

fn write_trained_adapter(trainer: &Trainer, recipe: &Recipe, folder: &Path) -> Result<()> {
    let Some(lora) = recipe.lora() else { return Ok(()) };
    #[allow(clippy::cast_precision_loss, reason = "at most 4,096")]
    let alpha = lora.alpha as f64;
    let base = Some(recipe.model.to_string_lossy().into_owned());
    let config = AdapterConfig { rank: lora.rank, alpha, base };
    let linears = adapted(trainer.decoder().shape(), trainer.decoder());
    write_adapter(folder, &config, &linears, Kind::Float, &mut |entry| {
        master(trainer.optimizer(), &entry.name)
    })
}

/// The linear layers that have an adapter.
fn adapted(shape: &ModelShape, decoder: &Decoder) -> Vec<shape::Linear> {
    let has = decoder.linears();
    let has = |linear: &shape::Linear| {
        has.iter().any(|it| it.module() == linear.module && it.adapter().is_some())
    };
    shape.linears().into_iter().filter(has).collect()
}

fn master(optimizer: &Optimizer, name: &str) -> Result<Tensor> {
    let found = optimizer.states().iter().find(|state| state.name == name);
    let found = found.ok_or_else(|| TrainError::Torch(format!("no {name} is trained")))?;
    Ok(found.master.f_detach()?)
}

fn write_all(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<()> {
    let entries: Vec<Entry> =
        tensors.iter().map(|(name, tensor)| entry(name, tensor, Kind::Float)).collect();
    write_file(path, &entries, &mut |entry| {
        let found = tensors.iter().find(|(name, _)| *name == entry.name);
        let (_, tensor) = found.ok_or_else(|| TrainError::Torch(format!("no {}", entry.name)))?;
        Ok(tensor.f_detach()?)
    })
}

fn entry(name: &str, tensor: &Tensor, kind: Kind) -> Entry {
    let sizes = tensor.size().into_iter().map(|size| usize::try_from(size).unwrap_or(0));
    Entry { name: name.to_owned(), sizes: sizes.collect(), kind }
}

/// Copies what says how the model is spoken to.
pub(crate) fn copy_companions(model: &Path, folder: &Path) -> Result<()> {
    if chat::gguf::is_gguf(model) {
        return write_companions(model, folder);
    }
    for name in COMPANIONS.into_iter().chain([CONFIG_FILE]) {
        let (from, to) = (model.join(name), folder.join(name));
        if from.is_file() && !to.exists() {
            fs::copy(&from, &to).map_err(|source| TrainError::Io { path: to, source })?;
        }
    }
    Ok(())
}
