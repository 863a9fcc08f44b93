//! What the prompt costs, and how far off the count of a context is.
//!
//! A provider counts with its model's tokenizer; here that of `LIMN_TOKENIZER` is the provider's,
//! and nothing is measured without it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use chat::Tokenizer;
use mock_server::{MockServer, RecordedRequest, Reply, Scenario};

use super::figures::{World, shell};
use super::{Bench, Figure, Unit};
use crate::measure::Samples;
use crate::process::root;

/// Steps of the shortest context that is counted.
const STEPS: usize = 12;
/// What a step of it shows: code, prose, and what programs print.
const SHOWN: &[&str] = &[
    "cat source.rs",
    "cat prose.md",
    "seq 1000000 1001000",
    "for i in $(seq 200); do echo ok $i: tests/part$i passed in 0.0$i s; done",
];

/// The system prompt and the tools, as every request carries them.
pub(super) fn prompt(bench: &Bench) -> Result<Vec<Figure>> {
    let requests = session(bench, 0)?;
    let Some(first) = requests.first() else { bail!("no request came") };
    let (body, system) = (first.json(), text(first));
    let tools = body["tools"].to_string();
    let row = |name: &str, unit, value: f64| Figure::new(name, unit, Samples::of([value]));
    let mut figures = vec![
        row("prompt: system and user", Unit::Bytes, system.len() as f64),
        row("prompt: tools", Unit::Bytes, tools.len() as f64),
    ];
    if let Some(tokenizer) = tokenizer()? {
        let count = |text: &str| tokenizer.count(text).unwrap_or_default() as f64;
        figures.push(row("prompt: system and user, counted", Unit::Tokens, count(&system)));
        figures.push(row("prompt: tools, counted", Unit::Tokens, count(&tools)));
    }
    Ok(figures)
}

/// How far the estimate of a context is off what a tokenizer counts, as it grows: as it is, and
/// once the first request was counted by the provider and its error is known.
pub(super) fn tokens(bench: &Bench) -> Result<Vec<Figure>> {
    let Some(tokenizer) = tokenizer()? else { return Ok(Vec::new()) };
    let requests = session(bench, STEPS * 4)?;
    let mut counts = Vec::new();
    for steps in [1, STEPS, STEPS * 2, STEPS * 4] {
        let request = requests.get(steps).context("the session ended early")?;
        let context = text(request);
        let counted = tokenizer.count(&context).context("the tokenizer cannot read it")?;
        counts.push((chat::estimate(&context) as f64, counted as f64));
    }
    let (estimated, counted) = counts[0];
    let known = counted / estimated;
    let row = |name: &str, unit, value: &dyn Fn(f64, f64) -> f64| {
        let at = |place: usize| {
            let (estimated, counted) = counts[place];
            Samples::of([value(estimated, counted)])
        };
        Figure::new(name, unit, at(1)).growth(&at(2), &at(3))
    };
    let off = |estimated: f64, counted: f64| (estimated / counted - 1.0) * 100.0;
    Ok(vec![
        row("tokens: of a context", Unit::Tokens, &|_, counted| counted),
        row("tokens: estimate off by", Unit::Percent, &off),
        row(
            "tokens: corrected by the first count, off by",
            Unit::Percent,
            &|estimated, counted| off(estimated * known, counted),
        ),
    ])
}

fn tokenizer() -> Result<Option<Tokenizer>> {
    let Some(path) = std::env::var_os("LIMN_TOKENIZER") else {
        println!("LIMN_TOKENIZER names no tokenizer.json: tokens are not counted");
        return Ok(None);
    };
    Ok(Some(Tokenizer::open(Path::new(&path))?))
}

/// The requests of a session of so many steps.
fn session(bench: &Bench, steps: usize) -> Result<Vec<RecordedRequest>> {
    let world = World::new("tokens")?;
    let work = world.folder.join("work");
    fs::copy(root().join("src/trajectory/transcript.rs"), work.join("source.rs"))?;
    fs::copy(root().join("docs/ARCHITECTURE.md"), work.join("prose.md"))?;
    let calls = SHOWN.iter().cycle().take(steps).map(|command| shell(command));
    let server = MockServer::start(Scenario::replies(calls.chain([Reply::text("Done.")])))?;
    world.exec(bench, &server, &["--no-fsync"])?;
    Ok(server.requests())
}

/// What a request says, without the form in which it does.
fn text(request: &RecordedRequest) -> String {
    let messages = request.messages();
    let contents = messages.iter().filter_map(|message| message["content"].as_str());
    contents.collect::<Vec<_>>().join("\n")
}
