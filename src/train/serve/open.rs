//! What is served, found by what was named: a model's folder, a GGUF file, or a run.

use std::path::{Path, PathBuf};

use training::TrainingError;
use training::folder::Run;

use crate::error::{Result, TrainError};
use crate::weights::{ADAPTER_FILE, Adapter, Weights};

use super::options::Options;

#[cfg(test)]
mod tests;

/// Models over one set of weights.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The weights that all of them have.
    pub(crate) weights: Weights,
    /// What stands beside them, for each model but the base.
    pub(crate) adapters: Vec<Adapter>,
    /// What models are called, and which of them that is: 0 is the base, 1 the first adapter.
    pub(crate) models: Vec<(String, usize)>,
    /// Where tokenizer and template lie.
    pub(crate) spoken: PathBuf,
    /// The chat template in the place of the model's.
    pub(crate) template: Option<PathBuf>,
    /// What people should know.
    pub(crate) notices: Vec<String>,
}

impl Opened {
    /// Opens what the options name. Weights are not read yet.
    ///
    /// # Errors
    /// When something of it is missing or damaged, or an adapter is for another model.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let target = &options.target;
        let mut opened = match Run::open(target) {
            Ok(run) => Self::of_run(&run)?,
            Err(_) => Self::of_model(target)?,
        };
        if let (Some(name), Some(first)) = (&options.name, opened.models.first_mut()) {
            first.0.clone_from(name);
        }
        for (name, path) in &options.adapters {
            opened.add(name, path, options.template.is_some())?;
        }
        if let Some(template) = &options.template {
            opened.template = Some(template.clone());
        }
        opened.check_names()?;
        Ok(opened)
    }

    fn of_model(path: &Path) -> Result<Self> {
        if path.join(ADAPTER_FILE).is_file() && !path.join("model.safetensors").exists() {
            let reason = "is an adapter, which is nothing without its model";
            let remedy = "Name the folder of its run, or the model, with --adapter NAME=FOLDER.";
            return Err(refused(path, reason, remedy));
        }
        Ok(Self {
            weights: Weights::open(path)?,
            adapters: Vec::new(),
            models: vec![(name(path), 0)],
            spoken: path.to_owned(),
            template: None,
            notices: Vec::new(),
        })
    }

    fn of_run(run: &Run) -> Result<Self> {
        let recipe = run.recipe()?;
        let mut notices = Vec::new();
        let from = newest(run, &mut notices)?;
        let own = name(run.folder());
        let template = recipe.template.clone();
        if recipe.lora().is_some() {
            let weights = Weights::open(&recipe.model)?;
            let adapters = vec![Adapter::open(from.path(), weights.shape())?];
            let mut base = name(&recipe.model);
            if base == own {
                base.push_str("-base");
            }
            let models = vec![(own, 1), (base, 0)];
            return Ok(Self { weights, adapters, models, spoken: recipe.model, template, notices });
        }
        // What is finished stands for itself, wherever the model is now.
        let (weights, spoken) = match from {
            Newest::Final(folder) => (Weights::open(&folder)?, folder),
            Newest::Checkpoint(folder) => {
                (Weights::of_checkpoint(&recipe.model, &folder)?, recipe.model)
            }
        };
        Ok(Self {
            weights,
            adapters: Vec::new(),
            models: vec![(own, 0)],
            spoken,
            template,
            notices,
        })
    }

    /// One more model: the same weights, with an adapter of a run or a folder that PEFT wrote. All of
    /// them are spoken to by one template: where nobody names it, by that which each was trained with.
    fn add(&mut self, name: &str, path: &Path, template_is_named: bool) -> Result<()> {
        let folder = match Run::open(path) {
            Err(_) => path.to_owned(),
            Ok(run) => {
                let recipe = run.recipe()?;
                if recipe.lora().is_none() {
                    let remedy = "Serve it by itself.";
                    return Err(refused(path, "trained all weights and has no adapter", remedy));
                }
                let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                if place(&recipe.model) != place(&self.spoken) {
                    let (its, ours) = (recipe.model.display(), self.spoken.display());
                    let reason = format!("was trained beside {its}, and {ours} is served");
                    return Err(refused(path, &reason, "Serve it by itself."));
                }
                if !template_is_named && recipe.template != self.template {
                    let remedy = "Serve it by itself, or name one for all with --template.";
                    return Err(refused(path, "was trained with another chat template", remedy));
                }
                newest(&run, &mut self.notices)?.path().to_owned()
            }
        };
        self.adapters.push(Adapter::open(&folder, self.weights.shape())?);
        self.models.push((name.to_owned(), self.adapters.len()));
        Ok(())
    }

    fn check_names(&self) -> Result<()> {
        for (at, (name, _)) in self.models.iter().enumerate() {
            if self.models[..at].iter().any(|(other, _)| other == name) {
                return Err(TrainingError::Recipe {
                    key: name.clone(),
                    reason: "is what two models are called".to_owned(),
                    remedy: "Name them otherwise with --name and --adapter.".to_owned(),
                }
                .into());
            }
        }
        Ok(())
    }
}

/// The newest that came of a run.
#[derive(Debug)]
enum Newest {
    Final(PathBuf),
    Checkpoint(PathBuf),
}

impl Newest {
    fn path(&self) -> &Path {
        match self {
            Self::Final(path) | Self::Checkpoint(path) => path,
        }
    }
}

fn newest(run: &Run, notices: &mut Vec<String>) -> Result<Newest> {
    if let Some(folder) = run.final_folder() {
        return Ok(Newest::Final(folder));
    }
    let Some(checkpoint) = run.checkpoints().pop() else {
        let remedy = "Wait for its first checkpoint, or go on with it: limn train resume.";
        return Err(refused(run.folder(), "has saved nothing yet", remedy));
    };
    let (run, step) = (run.folder().display(), checkpoint.facts.step);
    notices.push(format!("{run} is not finished: its checkpoint of step {step} is served."));
    Ok(Newest::Checkpoint(checkpoint.path))
}

/// What a model is called after: its folder, or its file without the ending.
fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let last = if chat::gguf::is_gguf(&whole) { whole.file_stem() } else { whole.file_name() };
    last.map_or_else(|| "model".to_owned(), |last| last.to_string_lossy().into_owned())
}

fn refused(path: &Path, reason: &str, remedy: &str) -> TrainError {
    TrainingError::Run {
        path: path.to_owned(),
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    }
    .into()
}
