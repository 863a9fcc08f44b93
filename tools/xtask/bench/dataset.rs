//! What it costs to make a dataset for one model: rendering, tokens and the mask, beside
//! `transformers` doing the same with the same template and the same tokenizer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mock_server::{MockServer, Reply, Scenario};

use super::figures::{SESSION_STEPS, STEP_BYTES, World, peaks, shell, walls};
use super::{Bench, Figure, Unit};
use crate::measure::{Samples, repeat};
use crate::process::{output, program, root};

/// Prints the seconds that `transformers` takes for the rows of a `messages.jsonl`, how many tokens
/// it makes of them, and how many we made by our ledger. What it takes to start and to load is left
/// out.
const TRANSFORMERS: &str = "
import json, sys, time
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

pub(super) fn tokens(bench: &Bench) -> Result<Vec<Figure>> {
    let world = World::new("dataset")?;
    let calls = (0..SESSION_STEPS).map(|number| {
        let print = format!("seq {number}0000 {number}9999 | head -c {STEP_BYTES}");
        shell(&print).reasoning("Look at the next part and go on from there.")
    });
    let replies = calls.chain([Reply::text("Done.")]);
    let server = MockServer::start(Scenario::replies(replies))?;
    world.exec(bench, &server, &["--no-fsync"])?;
    let out = world.folder.join("export");
    let place = out.to_string_lossy().into_owned();
    let common = ["export", "--status", "all", "--out", &place, "--format"];
    world.limn(bench, &[&common[..], &["messages"]].concat())?;
    let rows = world.folder.join("messages.jsonl");
    fs::copy(out.join("messages.jsonl"), &rows)?;
    let model = root().join("src/chat/fixtures/model").to_string_lossy().into_owned();
    let template = root().join("assets/templates/chatml-tools.jinja");
    let template = template.to_string_lossy().into_owned();
    let args = ["tokens", "--tokenizer", &model, "--template", &template];
    let exports = repeat(bench.reps, || {
        let _ = fs::remove_dir_all(&out);
        world.limn(bench, &[&common[..], &args[..]].concat())
    })?;
    let whole = Figure::new("dataset: a long session as tokens", Unit::Seconds, walls(&exports));
    let peak = Figure::new("dataset: as tokens, peak memory", Unit::Bytes, peaks(&exports));
    let ledger = out.join("ledger.json");
    let theirs = repeat(bench.reps, || transformers(&model, &template, &rows, &ledger));
    let whole = match theirs {
        Ok(theirs) => whole.against("transformers", &Samples::of(theirs)),
        Err(error) => {
            println!("  without transformers: {error:#}");
            whole
        }
    };
    Ok(vec![whole, peak])
}

/// The versions are those of `src/chat/fixtures/make.py`.
const ADVICE: &str = "python3 -m pip install transformers==5.24.0 jinja2==3.1.6 tokenizers==0.23.3";

/// The seconds it takes; that it makes other tokens than we do is said.
fn transformers(model: &str, template: &str, rows: &Path, ledger: &Path) -> Result<f64> {
    let mut python = program("python3", &["-c", TRANSFORMERS, model, template]);
    let said = output(python.arg(rows).arg(ledger)).context(ADVICE)?;
    let mut numbers = said.split_whitespace();
    let mut next = || numbers.next().context("three numbers");
    let (seconds, theirs, ours) = (next()?, next()?, next()?);
    if theirs != ours {
        println!("  not like with like: {theirs} tokens of transformers, {ours} of limn");
    }
    seconds.parse().context("seconds")
}
