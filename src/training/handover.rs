//! Handing a run over to an engine for several GPUs: a folder with the same tokens and masks, the
//! recipe, and two programs that go on with them: with TRL under `torchrun`, or with slime on Ray.
//!
//! The first compares what TRL makes of the first row with what was written, and trains nothing
//! when they differ; the second gives slime the rows in the place of its own tokenizing.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::data::{Dataset, Split};
use crate::disk::{self, Making};
use crate::error::TrainingError;
use crate::recipe::Recipe;

/// What goes on with TRL.
const TRL: &str = include_str!("../../assets/training/train.py");

/// What goes on with slime, and what slime imports for its samples.
const SLIME: &str = include_str!("../../assets/training/slime_sft.py");

/// How it goes on, with `{model}` for the model's name.
const ABOUT: &str = include_str!("../../assets/training/README.md");

/// The label of a token that is not trained.
const UNTRAINED: i64 = -100;

/// A row, as TRL reads it.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    input_ids: &'a [u32],
    labels: Vec<i64>,
}

/// Writes the folder: there whole or not at all.
///
/// # Errors
/// When something is in the way, or it cannot be written.
pub fn write(
    folder: &Path,
    recipe: &Recipe,
    dataset: &Dataset,
    split: &Split,
) -> Result<(), TrainingError> {
    if recipe.model.is_file() {
        let remedy = "Convert it first: transformers saves what it loads from a GGUF file.";
        return Err(TrainingError::model(&recipe.model, "it is no folder that TRL loads", remedy));
    }
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| TrainingError::io("create", parent, error))?;
    let making = Making::within(parent)?;
    rows(&making.path().join("train.jsonl"), dataset, &split.train)?;
    if !split.held_out.is_empty() {
        rows(&making.path().join("held-out.jsonl"), dataset, &split.held_out)?;
    }
    let json = serde_json::to_string_pretty(recipe).unwrap_or_default();
    let model = recipe.model.file_name().unwrap_or_default().to_string_lossy();
    let about = ABOUT.replace("{model}", &model);
    // slime draws from these in its own order; they name the rows of `train.jsonl`.
    let names: String =
        (0..split.train.len()).map(|row| format!("{{\"prompt\":\"row {row}\"}}\n")).collect();
    for (name, text) in [
        ("recipe.json", json.as_str()),
        ("train.py", TRL),
        ("slime_sft.py", SLIME),
        ("slime.jsonl", &names),
        ("README.md", &about),
    ] {
        let path = making.path().join(name);
        fs::write(&path, text).map_err(|error| TrainingError::io("write", &path, error))?;
    }
    if making.place(folder)? {
        return Ok(());
    }
    Err(TrainingError::run(folder, "is there already", "Name another folder."))
}

fn rows(path: &Path, dataset: &Dataset, places: &[usize]) -> Result<(), TrainingError> {
    let failed = |error| TrainingError::io("write", path, error);
    let file = File::create_new(path).map_err(failed)?;
    let mut file = BufWriter::with_capacity(1 << 18, file);
    for entry in places.iter().filter_map(|place| dataset.entries().get(*place)) {
        let sample = dataset.sample(entry)?;
        let labels = sample.ids.iter().zip(&sample.trained);
        let labels = labels.map(|(id, trained)| if *trained { i64::from(*id) } else { UNTRAINED });
        let row = Row { id: &sample.id, input_ids: &sample.ids, labels: labels.collect() };
        serde_json::to_writer(&mut file, &row).map_err(|error| failed(error.into()))?;
        file.write_all(b"\n").map_err(failed)?;
    }
    disk::finish(file).map_err(failed)
}
