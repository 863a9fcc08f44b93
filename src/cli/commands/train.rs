//! `limn train`: a fine-tune is planned and begun here, and made by `limn-train`, a process of its
//! own with libtorch in it.
//!
//! The two speak through the folder of the run alone: recipe and dataset are written here, metrics
//! and checkpoints there. So a terminal may come and go.

mod machine;
mod recipe;
mod runner;
mod view;
mod watch;

use std::path::{Path, PathBuf, absolute};

use serde_json::json;
use training::data::{self, Dataset, Preparation, Progress as Prepared, Split};
use training::folder::{DatasetFacts, Run};
use training::handover;
use training::plan::{Plan, Rung};
use training::recipe::Recipe;
use training::shape::ModelShape;

use crate::args::{
    AttachArgs, MergeArgs, ResumeRunArgs, RunnerArgs, StopArgs, TrainArgs, TrainCommand, WatchArgs,
};
use crate::error::{CliError, CliResult, Exit};
use crate::limn_train;
use crate::local;
use crate::print::{Out, Progress, note, safe};
use crate::settings;

pub(crate) fn run(args: &TrainArgs) -> CliResult {
    match &args.command {
        Some(TrainCommand::Attach(args)) => attach(args),
        Some(TrainCommand::Resume(args)) => resume(args),
        Some(TrainCommand::Stop(args)) => stop(args),
        Some(TrainCommand::Merge(args)) => merge(args),
        Some(TrainCommand::Runner(args)) => become_runner(args),
        None => begin(args),
    }
}

/// Plans a run and begins it.
fn begin(args: &TrainArgs) -> CliResult {
    let (Some(dataset), Some(model)) = (&args.dataset, &args.model) else {
        return Err(CliError::usage("Name a dataset, and a model with --model."));
    };
    let recipe = recipe::resolve(&args.recipe, &absolute_of(model)?, &absolute_of(dataset)?)?;
    let shape = ModelShape::of_model(&recipe.model)?;
    let (dataset, split) = open(&recipe, &shape)?;
    let machine = machine::find(recipe.device)?;
    let plan = Plan::new(&shape, &recipe, &dataset, &split, &machine);
    tell_plan(&plan, &dataset, args.watch.json);
    if let Some(folder) = &args.hand_over {
        handover::write(&absolute_of(folder)?, &recipe, &dataset, &split)?;
        note(&format!("handed over: {0}/README.md says how it goes on", folder.display()));
        return Ok(Exit::Completed);
    }
    let Some(out) = args.out.as_deref().filter(|_| !args.plan) else {
        return Ok(Exit::Completed);
    };
    if plan.rung == Rung::HandOver {
        let why = "One device is not enough for this run, as its plan says. Choose --method lora, a \
                   smaller model or shorter samples, or go on with several GPUs (--hand-over DIR).";
        return Err(CliError::failed(why));
    }
    let runner = limn_train::find()?;
    let run = Run::create(&absolute_of(out)?, &recipe)?;
    local::remember(run.folder());
    run.write_dataset(&DatasetFacts::of(&dataset, &split))?;
    run.write_plan(&plan)?;
    start(&run, &runner, args.watch)
}

/// A run is read from another folder, by another process.
fn absolute_of(path: &Path) -> Result<PathBuf, CliError> {
    absolute(path).map_err(|error| {
        CliError::usage(format!("Cannot use the path {}: {error}. Name another.", path.display()))
    })
}

/// The dataset as tokens of this model, divided.
fn open(recipe: &Recipe, shape: &ModelShape) -> Result<(Dataset, Split), CliError> {
    let preparation = Preparation {
        dataset: &recipe.dataset,
        model: &recipe.model,
        template: recipe.template.as_deref(),
        vocab: shape.vocab,
        cache: &settings::cache()?.join("tokens"),
    };
    let mut progress = Progress::of("MiB of the dataset as tokens");
    let dataset = data::prepare(&preparation, &mut |Prepared { bytes, bytes_max, .. }| {
        let mib = |bytes: u64| usize::try_from(bytes >> 20).unwrap_or(usize::MAX);
        progress.tell(mib(bytes), mib(bytes_max));
    })?;
    let lengths = &recipe.lengths;
    let sequence_max = recipe.sequence_max(shape);
    let split = dataset.split(recipe.cadence.held_out, sequence_max, lengths.skip_longer)?;
    Ok((dataset, split))
}

fn tell_plan(plan: &Plan, dataset: &Dataset, as_json: bool) {
    if as_json {
        let mut value = json!({ "type": "plan", "dataset": dataset.key() });
        value["plan"] = serde_json::to_value(plan).unwrap_or_default();
        value["notes"] = json!(dataset.notes());
        Out::new().json(&value);
        return;
    }
    let mut out = Out::new();
    out.text(&safe(&plan.to_string()));
    for sentence in dataset.notes() {
        out.line(&format!("\n{}", safe(sentence)));
    }
}

fn start(run: &Run, runner: &Path, watch: WatchArgs) -> CliResult {
    if watch.detach {
        return watch::detach(run, runner);
    }
    watch::run(run, Some(runner), watch.json)
}

fn attach(args: &AttachArgs) -> CliResult {
    let run = Run::open(&absolute_of(&args.run)?)?;
    watch::run(&run, None, args.json)
}

fn resume(args: &ResumeRunArgs) -> CliResult {
    let run = Run::open(&absolute_of(&args.run)?)?;
    if let Some(pid) = run.holder() {
        return Err(CliError::usage(format!(
            "The process {pid} trains it already. Watch it with `limn train attach {}`.",
            args.run.display()
        )));
    }
    start(&run, &limn_train::find()?, args.watch)
}

fn stop(args: &StopArgs) -> CliResult {
    let run = Run::open(&absolute_of(&args.run)?)?;
    watch::stop(&run)
}

fn merge(args: &MergeArgs) -> CliResult {
    let run = Run::open(&absolute_of(&args.run)?)?;
    let out = absolute_of(&args.out)?;
    let merged = runner::merge(&run, &out)?;
    if merged == Exit::Completed {
        local::remember(&out);
    }
    Ok(merged)
}

fn become_runner(args: &RunnerArgs) -> CliResult {
    let run = Run::open(&absolute_of(&args.run)?)?;
    Err(runner::become_it(&run))
}
