//! What a token costs that is served: `limn-train serve` beside `transformers` and llama.cpp (as
//! `xllamacpp`), with the same weights, ids and threads, each in its own process, one after the other.
//!
//! The servers are asked over HTTP by the same client; `transformers` computes in its own process and
//! is spared that.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::figures::World;
use super::train::{precisions, python, script};
use super::{Bench, Figure, Unit};
use crate::libtorch::{self, Libtorch};
use crate::measure::Samples;
use crate::process::{cargo, output, program, run as run_command, succeeds, target};

/// As the script has it.
const BATCH: usize = 8;
const CONTEXT: &str = "4096";

/// A measure of the script, what it is called here, and its unit.
const MEASURES: [(&str, &str, Unit); 7] = [
    ("prefill 1", "a prompt is read, tokens a second", Unit::Count),
    ("decode 1", "a reply is written, tokens a second", Unit::Count),
    ("prefill 8", "8 prompts are read, tokens a second", Unit::Count),
    ("decode 8", "8 replies are written, tokens a second", Unit::Count),
    ("first reuse", "first token in a session", Unit::Seconds),
    ("first fresh", "first token, nothing used again", Unit::Seconds),
    ("peak_bytes", "peak memory", Unit::Bytes),
];

pub(super) fn serve(bench: &Bench) -> Result<Vec<Figure>> {
    let Some(python) = python() else {
        println!("  without a Python with torch: cargo xtask interop train makes one");
        return Ok(Vec::new());
    };
    if let Libtorch::Unavailable(why) = libtorch::ensure()? {
        println!("  without libtorch: {why}");
        return Ok(Vec::new());
    }
    let package = ["--package", "limn-train", "--features", "torch"];
    run_command(&mut cargo(&[&["build", "--release", "--locked"], &package[..]].concat()))?;
    let world = World::new("serve")?;
    let script = script("serve.py");
    let printed = output(program(&python, &[]).arg(&script).arg("weights").arg(&world.folder))?;
    let packed = printed.lines().last().context("serve.py does not say where the model is")?;
    let has_llama = succeeds(program(&python, &[]).arg(&script).arg("has"));
    if !has_llama {
        println!("  xllamacpp: not run, as that Python does not have it");
    }
    let run = Run { bench, python, script, model: world.folder.join("smollm2") };
    let mut figures = Vec::new();
    for precision in precisions().iter().copied() {
        let ours = run.ours(precision)?;
        let theirs = run.transformers(precision)?;
        figures.extend(rows(precision, &ours, "transformers", &theirs));
        if !has_llama {
            continue;
        }
        let same = run.llama(&world.folder.join(format!("smollm2-{precision}.gguf")))?;
        figures.extend(rows(precision, &ours, "llama.cpp", &same));
        // What people have: other numbers, and fewer bytes of them.
        let packed = run.llama(Path::new(packed))?;
        figures.extend(rows(precision, &ours, "llama.cpp in Q4_1", &packed));
    }
    Ok(figures)
}

fn samples(of: &Value, key: &str) -> Samples {
    let numbers = of[key].as_array().map(Vec::as_slice).unwrap_or_default();
    Samples::of(numbers.iter().filter_map(Value::as_f64))
}

fn rows(precision: &str, ours: &Value, name: &str, theirs: &Value) -> Vec<Figure> {
    // A table comes at the end, which is far.
    for (key, what, unit) in MEASURES {
        let [ours, theirs] = [ours, theirs].map(|of| unit.text(samples(of, key).median()));
        println!("  {precision}, {what}: {ours}, {name} {theirs}");
    }
    let row = |(key, what, unit): &(&str, &str, Unit)| {
        let figure = Figure::new(&format!("serve: {precision}, {what}"), *unit, samples(ours, key));
        figure.against(name, &samples(theirs, key))
    };
    MEASURES.iter().map(row).collect()
}

struct Run<'a> {
    bench: &'a Bench,
    python: String,
    script: PathBuf,
    model: PathBuf,
}

impl Run<'_> {
    fn ours(&self, precision: &str) -> Result<Value> {
        let mut command = Command::new(target().join("release/limn-train"));
        command.arg("serve").arg(&self.model).args(["--json", "--until-stdin-ends", "--port", "0"]);
        command.args(["--precision", precision, "--device", "cpu", "--context", CONTEXT]);
        command.args(["--slots", &BATCH.to_string()]);
        self.asked(command)
    }

    fn llama(&self, file: &Path) -> Result<Value> {
        let mut command = program(&self.python, &[]);
        command.arg(&self.script).arg("llama").arg(file);
        self.asked(command)
    }

    fn transformers(&self, precision: &str) -> Result<Value> {
        let mut command = program(&self.python, &[]);
        command.arg(&self.script).arg("transformers").arg(&self.model).arg(precision);
        said(&output(command.arg(self.bench.reps.to_string()))?)
    }

    /// Starts a server, which says its URL in a line, and asks it.
    fn asked(&self, mut command: Command) -> Result<Value> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Server(command.spawn().context("a server could not be started")?);
        let stdout = server.0.stdout.take().context("a server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = loop {
            let line = lines.next().context("a server ended before it said where it is")??;
            // Others print more than that.
            if let Ok(said) = serde_json::from_str::<Value>(&line)
                && said["url"].is_string()
            {
                break said;
            }
        };
        let url = first["url"].as_str().unwrap_or_default();
        let model = first["models"][0].as_str().unwrap_or("model");
        let mut client = program(&self.python, &[]);
        client.arg(&self.script).args(["client", url, &server.0.id().to_string(), model]);
        said(&output(client.arg(self.bench.reps.to_string()))?)
    }
}

/// The last line that a script printed.
fn said(printed: &str) -> Result<Value> {
    let line = printed.lines().last().unwrap_or_default();
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => bail!("serve.py said nothing:\n{printed}"),
    }
}

/// Ends with what asked it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
