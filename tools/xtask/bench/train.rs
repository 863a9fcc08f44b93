//! What a step of a fine-tune costs: `limn-train` beside `transformers` and PEFT, with the same ids,
//! the same model and the same precision, each in its own process with all cores.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use training::plan::Machine;

use super::figures::{World, succeeded};
use super::{Bench, Figure, Unit};
use crate::interop::{self, python_in};
use crate::libtorch::{self, Libtorch};
use crate::measure::{Probe, Samples};
use crate::process::{cargo, program, root, run as run_command, target};

/// The lengths of samples, of each of which a step is made; the first step warms up.
const LENGTHS: [usize; 2] = [512, 4_096];

/// Losses of one precision that differ by more are of other numbers.
const LOSS_OFF_MAX: f64 = 0.02;

const ADVICE: &str = "cargo xtask interop train makes one, or name it in LIMN_PYTHON";

/// One run: a step's seconds, the first loss, and what the process took.
struct Ran {
    steps_s: Vec<f64>,
    loss: f64,
    load_s: f64,
    peak_bytes: f64,
}

pub(super) fn train(bench: &Bench) -> Result<Vec<Figure>> {
    let python = match (python(), libtorch::ensure()) {
        (Some(python), Ok(Libtorch::There(_))) => python,
        (None, _) => {
            println!("  without a Python with torch: {ADVICE}");
            return Ok(Vec::new());
        }
        (_, Ok(Libtorch::Unavailable(why))) => {
            println!("  without libtorch: {why}");
            return Ok(Vec::new());
        }
        (_, Err(error)) => {
            println!("  without libtorch: {error:#}");
            return Ok(Vec::new());
        }
    };
    let package = ["--package", "limn-train", "--features", "torch"];
    run_command(&mut cargo(&[&["build", "--release", "--locked"], &package[..]].concat()))?;
    let world = World::new("train")?;
    let model = world.folder.join("model");
    run_command(program(&python, &[]).arg(script("train.py")).arg("model").arg(&model))?;
    let mut figures = Vec::new();
    let precisions = precisions();
    for length in LENGTHS {
        let rows = world.folder.join(format!("{length}.jsonl"));
        fs::write(&rows, samples(length, bench.reps + 1))?;
        for method in ["full", "lora"] {
            for precision in precisions {
                let name = format!("{method} {precision} {length}");
                let theirs = theirs(&python, &world, &model, &rows, (method, precision))?;
                for (how, keeps) in [("", true), (", layers computed again", false)] {
                    let way = Way { method, precision, keeps };
                    let ours = ours(bench, &world, &model, &rows, way)?;
                    figures.extend(compared(&format!("{name}{how}"), length, &ours, &theirs)?);
                }
            }
        }
    }
    Ok(figures)
}

/// How limn trains.
#[derive(Clone, Copy)]
struct Way<'a> {
    method: &'a str,
    precision: &'a str,
    /// Whether all that the layers computed is kept for the way back.
    keeps: bool,
}

/// Those that this processor has units for: without them a step takes minutes, with any engine.
pub(super) fn precisions() -> &'static [&'static str] {
    if Machine::processor().has_bf16 {
        return &["f32", "bf16"];
    }
    println!("  without bf16: this processor has no units for it");
    &["f32"]
}

/// Ids that no tokenizer made and no model expects; all but the first few are trained. All rows are
/// alike, since the two do not take them in the same order.
fn samples(length: usize, count: usize) -> String {
    let row = |at: usize| {
        let ids: Vec<usize> = (0..length).map(|place| place * 7_919 % 49_152).collect();
        let label = |(place, id): (usize, &usize)| if place < 8 { json!(-100) } else { json!(id) };
        let labels: Vec<Value> = ids.iter().enumerate().map(label).collect();
        format!("{}\n", json!({ "id": format!("{at}"), "input_ids": ids, "labels": labels }))
    };
    (0..count).map(row).collect()
}

fn ours(
    bench: &Bench,
    world: &World,
    model: &Path,
    rows: &Path,
    Way { method, precision, keeps }: Way<'_>,
) -> Result<Ran> {
    let out = world.folder.join("run");
    let _ = fs::remove_dir_all(&out);
    let recipe = world.folder.join("recipe.toml");
    let text = format!(
        "precision = \"{precision}\"\nbatch = 1\nepochs = 1\ndevice = \"cpu\"\n\
         [cadence]\nheld_out = 0.0\nsave_steps = 1000\neval_steps = 1000\n\
         [lengths]\npack_tokens = 0\n[memory]\nsave_layers = {keeps}\n"
    );
    fs::write(&recipe, text)?;
    let mut limn = Probe::new(&bench.limn)?;
    limn.command().arg("train").arg(rows).arg("--model").arg(model).arg("--out").arg(&out);
    limn.command().args(["--method", method, "--recipe"]).arg(&recipe);
    world.dress(limn.command());
    let ran = succeeded("limn train", limn.run()?)?;
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).context("the run said nothing")?;
    let lines: Vec<Value> =
        metrics.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| lines.iter().filter(move |line| line["type"] == kind).collect::<Vec<_>>();
    let number = |line: &Value, key: &str| line[key].as_f64().unwrap_or(f64::NAN);
    let steps = of("step");
    let (first, started) = (steps.first().context("no step was made")?, of("started"));
    let started = started.first().context("it did not begin")?;
    let steps_s = steps.iter().map(|step| number(step, "tokens") / number(step, "tokens_per_s"));
    Ok(Ran {
        loss: number(first, "loss"),
        load_s: number(started, "load_s"),
        steps_s: steps_s.skip(1).collect(),
        peak_bytes: ran.peak_rss_bytes as f64,
    })
}

fn theirs(
    python: &str,
    world: &World,
    model: &Path,
    rows: &Path,
    (method, precision): (&str, &str),
) -> Result<Ran> {
    let report = world.folder.join("theirs.json");
    let mut probe = Probe::new(Path::new(python))?;
    probe
        .command()
        .arg(script("train.py"))
        .arg("run")
        .arg(model)
        .arg(rows)
        .args([method, precision]);
    probe.command().stdout(fs::File::create(&report)?);
    let ran = succeeded("train.py", probe.run()?)?;
    let said: Value =
        serde_json::from_slice(&fs::read(&report)?).context("train.py said nothing")?;
    let steps = said["steps"].as_array().context("no steps")?;
    let number = |step: &Value, at: usize| step[at].as_f64().unwrap_or(f64::NAN);
    Ok(Ran {
        loss: steps.first().map_or(f64::NAN, |step| number(step, 0)),
        load_s: said["load_s"].as_f64().unwrap_or(f64::NAN),
        steps_s: steps.iter().skip(1).map(|step| number(step, 1)).collect(),
        peak_bytes: ran.peak_rss_bytes as f64,
    })
}

fn compared(name: &str, length: usize, ours: &Ran, theirs: &Ran) -> Result<Vec<Figure>> {
    let rate = |ran: &Ran| Samples::of(ran.steps_s.iter().map(|seconds| length as f64 / seconds));
    // A table comes at the end, which is far.
    let [our_rate, their_rate] = [ours, theirs].map(|ran| rate(ran).median());
    println!("  {name}: {our_rate:.0} tokens/s, theirs {their_rate:.0}");
    println!("  {name}: loss {:.4}, theirs {:.4}", ours.loss, theirs.loss);
    let off = (ours.loss - theirs.loss).abs();
    // A loss that nobody said is no number.
    if off.is_nan() || off > LOSS_OFF_MAX {
        bail!("{name}: the losses are of other numbers");
    }
    let one = |number: f64| Samples::of([number]);
    let row = |what: &str, unit, ours: Samples, theirs: &Samples| {
        Figure::new(&format!("train: {name}, {what}"), unit, ours).against("transformers", theirs)
    };
    // Ours loads tokens and plans, too.
    Ok(vec![
        row("tokens a second", Unit::Count, rate(ours), &rate(theirs)),
        row("peak memory", Unit::Bytes, one(ours.peak_bytes), &one(theirs.peak_bytes)),
        row("loading", Unit::Seconds, one(ours.load_s), &one(theirs.load_s)),
    ])
}

/// A script beside this.
pub(super) fn script(name: &str) -> PathBuf {
    root().join("tools/xtask/bench").join(name)
}

/// The Python to compare with: `LIMN_PYTHON`, or that of the interop environment.
pub(super) fn python() -> Option<String> {
    let named = std::env::var("LIMN_PYTHON").ok();
    let made = python_in(&target().join(interop::train::FOLDER));
    named.or_else(|| made.exists().then(|| made.to_string_lossy().into_owned()))
}
