//! The recipe of a run: its defaults, a file over them, and flags over both.

use std::path::Path;

use training::recipe::{Device, Lora, Method, Precision, Recipe};

use crate::args::{DeviceArg, MethodArg, PrecisionArg, RecipeArgs};
use crate::error::CliError;

use super::machine;

pub(super) fn resolve(args: &RecipeArgs, model: &Path, dataset: &Path) -> Result<Recipe, CliError> {
    let method = match args.method {
        Some(MethodArg::Full) => Method::Full,
        Some(MethodArg::Lora) | None => Method::Lora(Lora::default()),
    };
    let mut recipe = Recipe::new(model, dataset, method);
    recipe.precision = machine::find(device(args).unwrap_or_default())?.precision();
    if let Some(path) = &args.recipe {
        recipe = Recipe::read(path, &recipe)?;
        let is_full = recipe.method == Method::Full;
        if args.method.is_some_and(|said| (said == MethodArg::Full) != is_full) {
            let why = "--method is another than that of the recipe, whose learning rate would not \
                       fit. Change the recipe, or leave one of them out.";
            return Err(CliError::usage(why));
        }
    }
    apply(args, &mut recipe)?;
    Ok(recipe.checked()?)
}

/// The device that the command line asks for.
fn device(args: &RecipeArgs) -> Option<Device> {
    args.device.map(|device| match device {
        DeviceArg::Auto => Device::Auto,
        DeviceArg::Cpu => Device::Cpu,
        DeviceArg::Cuda => Device::Cuda,
    })
}

fn apply(args: &RecipeArgs, recipe: &mut Recipe) -> Result<(), CliError> {
    match &mut recipe.method {
        Method::Full if args.rank.or(args.alpha).is_some() => {
            let why = "--rank and --alpha are those of an adapter. Leave them out, or choose \
                       --method lora.";
            return Err(CliError::usage(why));
        }
        Method::Full => {}
        Method::Lora(lora) => {
            lora.rank = args.rank.unwrap_or(lora.rank);
            lora.alpha = args.alpha.unwrap_or(lora.alpha);
        }
    }
    recipe.epochs = args.epochs.unwrap_or(recipe.epochs);
    recipe.batch = args.batch.unwrap_or(recipe.batch);
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    if let Some(rate) = args.lr {
        recipe.optimizer.learning_rate = rate;
        recipe.optimizer.learning_rate_min = rate / 10.0;
    }
    recipe.precision = match args.precision {
        Some(PrecisionArg::Bf16) => Precision::Bf16,
        Some(PrecisionArg::F32) => Precision::F32,
        None => recipe.precision,
    };
    recipe.device = device(args).unwrap_or(recipe.device);
    let lengths = &mut recipe.lengths;
    lengths.sequence_max = args.sequence_max.unwrap_or(lengths.sequence_max);
    lengths.skip_longer |= args.skip_longer;
    recipe.cadence.held_out = args.held_out.unwrap_or(recipe.cadence.held_out);
    if let Some(template) = &args.template {
        recipe.template = Some(template.clone());
    }
    recipe.deterministic |= args.deterministic;
    Ok(())
}
