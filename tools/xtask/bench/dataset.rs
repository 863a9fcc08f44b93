//! What it costs to make a dataset: rendering, tokens and the mask beside `transformers` doing the
//! same with the same template and the same tokenizer, a core each; and what an export costs as
//! the store grows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use chat::{Dialect, Wanted};
use mock_server::{MockServer, Reply, Scenario};
use serde_json::Value;

use super::figures::{STEP_BYTES, World, peaks, shell, succeeded, walls};
use super::{Bench, Figure, Unit};
use crate::interop::python_in;
use crate::measure::{Child, Probe, Samples, repeat};
use crate::process::{output, program, root, succeeds, target};

/// Sessions of about 10 MB of rows, all together.
const SESSIONS: usize = 24;
/// Steps of each of them.
const STEPS: usize = 160;

/// A store of 2 GB: so many sessions, which take their time to record.
const STORED: usize = 144;
/// Steps of each of them, and what a step prints; the model is shown a part of it.
const STORED_STEPS: usize = 16;
const STORED_BYTES: usize = 1_200_000;
/// One run of an export of them all tells enough.
const STORE_REPS_MAX: usize = 2;

/// Prints the seconds that `transformers` takes for the rows of a `messages.jsonl`, how many tokens
/// it makes of them, and how many we made by our ledger. What it takes to start and to load is left
/// out.
const TRANSFORMERS: &str = "
import json, os, sys, time
if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {0})
from transformers import PreTrainedTokenizerFast
model, template, rows, ledger = sys.argv[1:]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=model + '/tokenizer.json', eos_token='<|im_end|>')
tokenizer.chat_template = open(template).read()
rows = [json.loads(line) for line in open(rows)]
began = time.perf_counter()
tokens = sum(len(tokenizer.apply_chat_template(row['messages'], tools=row['tools'], tokenize=True,
    return_dict=True, return_assistant_tokens_mask=True)['input_ids']) for row in rows)
print(time.perf_counter() - began, tokens, json.load(open(ledger))['kept']['tokens'])
";

/// The tokenizer and the template.
fn model() -> [String; 2] {
    let text = |path: &str| root().join(path).to_string_lossy().into_owned();
    [text("src/chat/fixtures/model"), text("assets/templates/chatml-tools.jinja")]
}

/// Rendering, tokens and the mask.
pub(super) fn tokens(bench: &Bench) -> Result<Vec<Figure>> {
    let world = World::new("dataset")?;
    for session in 0..SESSIONS {
        let calls = (0..STEPS).map(|step| {
            let print = format!("seq {session}{step}000 {session}{step}999 | head -c {STEP_BYTES}");
            shell(&print).reasoning("Look at the next part and go on from there.")
        });
        let server = MockServer::start(Scenario::replies(calls.chain([Reply::text("Done.")])))?;
        world.exec(bench, &server, &["--no-fsync", "--context-window", "10000000"])?;
    }
    let out = world.folder.join("export");
    export(bench, &world, &out, &["messages"])?;
    let rows = world.folder.join("messages.jsonl");
    fs::copy(out.join("messages.jsonl"), &rows)?;
    let bytes = fs::metadata(&rows)?.len() as f64;
    let [model, template] = model();
    let args = ["tokens", "--tokenizer", &model, "--template", &template];
    let ours = repeat(bench.reps, || export(bench, &world, &out, &args))?;
    let ledger = out.join("ledger.json");
    let kept: Value = serde_json::from_slice(&fs::read(&ledger)?)?;
    let count = kept["kept"]["tokens"].as_f64().context("a ledger counts tokens")?;
    let theirs = repeat(bench.reps, || transformers(&[&model, &template], &rows, &ledger));
    let alone = repeat(bench.reps, || in_memory(&[&model, &template], &rows, count))?;
    let rate = |walls: &[f64]| Samples::of(walls.iter().map(|seconds| count / seconds));
    let seconds: Vec<f64> = ours.iter().map(|run| run.wall.as_secs_f64()).collect();
    let figure = |what: &str, seconds: &[f64]| {
        let name = format!("dataset: tokens a second, {what}");
        let figure = Figure::new(&name, Unit::Count, rate(seconds));
        match &theirs {
            Ok(theirs) => figure.against("transformers, in memory", &rate(theirs)),
            Err(_) => figure,
        }
    };
    if let Err(error) = &theirs {
        println!("  without transformers: {error:#}");
    }
    Ok(vec![
        Figure::new("dataset: rows that are made tokens", Unit::Bytes, Samples::of([bytes])),
        figure("in memory", &alone),
        figure("from the store to the file", &seconds),
        Figure::new("dataset: as tokens, peak memory", Unit::Bytes, peaks(&ours)),
    ])
}

/// Exports of stores of 0.5, 1 and 2 GB.
pub(super) fn store(bench: &Bench) -> Result<Vec<Figure>> {
    let world = World::new("dataset-store")?;
    let [model, template] = model();
    let kinds: [&[&str]; 2] =
        [&["messages"], &["tokens", "--tokenizer", &model, "--template", &template]];
    let (mut sizes, mut runs) = (Vec::new(), Vec::new());
    let mut recorded = 0;
    for sessions in [STORED / 4, STORED / 2, STORED] {
        while recorded < sessions {
            record(bench, &world)?;
            recorded += 1;
        }
        sizes.push(folder_bytes(&world.home())?);
        let out = world.folder.join("export");
        let reps = bench.reps.min(STORE_REPS_MAX);
        let mut each = Vec::new();
        for kind in kinds {
            let runs: Result<Vec<Child>> =
                (0..reps).map(|_| export(bench, &world, &out, kind)).collect();
            each.push((runs?, folder_bytes(&out)?));
        }
        runs.push(each);
    }
    let size = |place: usize| Samples::of([sizes[place] as f64]);
    let mut figures =
        vec![Figure::new("dataset: the store", Unit::Bytes, size(0)).growth(&size(1), &size(2))];
    for (kind, name) in ["messages", "tokens"].into_iter().enumerate() {
        let at = |place: usize| &runs[place][kind];
        let row = |what: &str, unit, samples: &dyn Fn(usize) -> Samples| {
            let name = format!("dataset: export of {name}, {what}");
            Figure::new(&name, unit, samples(0)).growth(&samples(1), &samples(2))
        };
        figures.push(row("wall", Unit::Seconds, &|place| walls(&at(place).0)));
        figures.push(row("bytes written a second", Unit::Bytes, &|place| {
            let (runs, bytes) = at(place);
            Samples::of(runs.iter().map(|run| *bytes as f64 / run.wall.as_secs_f64()))
        }));
        figures.push(row("peak memory", Unit::Bytes, &|place| peaks(&at(place).0)));
    }
    Ok(figures)
}

/// A session that prints much more than it shows, and nothing twice.
fn record(bench: &Bench, world: &World) -> Result<Child> {
    let print = format!("head -c {} /dev/urandom | base64", STORED_BYTES * 3 / 4);
    let calls = (0..STORED_STEPS).map(|_| shell(&print).reasoning("Look at the next part."));
    let server = MockServer::start(Scenario::replies(calls.chain([Reply::text("Done.")])))?;
    world.exec(bench, &server, &["--no-fsync", "--no-checkpoints", "--context-window", "10000000"])
}

/// Exports everything, on one core where the system can say so.
fn export(bench: &Bench, world: &World, out: &Path, format: &[&str]) -> Result<Child> {
    let _ = fs::remove_dir_all(out);
    let mut probe = if succeeds(&mut program("taskset", &["-c", "0", "true"])) {
        let mut probe = Probe::new(Path::new("taskset"))?;
        probe.command().args(["-c", "0"]).arg(&bench.limn);
        probe
    } else {
        Probe::new(&bench.limn)?
    };
    let waive = ["--waive", "loops=they are the measure"];
    probe.command().args(["export", "--status", "all"]).args(waive).arg("--out").arg(out);
    probe.command().arg("--format").args(format);
    world.dress(probe.command());
    succeeded("limn export", probe.run()?)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { folder_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// The seconds that we take for what `transformers` does: rows in memory become tokens and a mask.
fn in_memory(model: &[&str; 2], rows: &Path, count: f64) -> Result<f64> {
    let [folder, template] = model.map(Path::new);
    let dialect = Dialect::open(folder, Some(template))?;
    let rows: Vec<Value> = fs::read_to_string(rows)?
        .lines()
        .map(serde_json::from_str)
        .collect::<serde_json::Result<_>>()?;
    let began = Instant::now();
    let mut tokens = 0;
    for row in &rows {
        let list = |name: &str| row[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = |message: &Value| match message["role"].as_str() {
            Some("assistant") => Wanted::Everything,
            _ => Wanted::Nothing,
        };
        let wanted: Vec<Wanted> = list("messages").iter().map(wanted).collect();
        tokens += dialect.mask(list("messages"), list("tools"), &wanted, 0)?.ids.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    if tokens as f64 != count {
        println!("  not like with like: {tokens} tokens in memory, {count} of the export");
    }
    Ok(seconds)
}

/// The versions are those of `src/chat/fixtures/make.py`.
const ADVICE: &str = "cargo xtask interop, or \
                      python3 -m pip install transformers==5.24.0 jinja2==3.1.6 tokenizers==0.23.3";

/// The seconds it takes; that it makes other tokens than we do is said.
fn transformers(model: &[&str; 2], rows: &Path, ledger: &Path) -> Result<f64> {
    let environment = python_in(&target().join("interop"));
    let python = if environment.exists() { environment } else { PathBuf::from("python3") };
    let mut python = program(&python.to_string_lossy(), &["-c", TRANSFORMERS]);
    let said = output(python.args(model).arg(rows).arg(ledger)).context(ADVICE)?;
    let mut numbers = said.split_whitespace();
    let mut next = || numbers.next().context("three numbers");
    let (seconds, theirs, ours) = (next()?, next()?, next()?);
    if theirs != ours {
        println!("  not like with like: {theirs} tokens of transformers, {ours} of limn");
    }
    seconds.parse().context("seconds")
}
