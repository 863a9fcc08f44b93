//! A fine-tune as a user begins, watches, leaves and stops it. The arithmetic is another program's:
//! in its place is a script here that keeps to the same files, its lock and its metrics.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mock_server::Reply;
use serde_json::{Value, json};

use crate::export::model;
use crate::stage::{CTRL_C, ENTER, Terminal};
use crate::world::{PATIENCE, Run, World, run, server, shell};

/// Where the script waits until something is written there, or it is told to stop.
const WAITS: &str = "mkfifo \"$run/gate\"; exec 8<>\"$run/gate\"; read line <&8";

/// The sizes of a model that has no weights here.
pub const TINY: [(&str, usize); 7] = [
    ("hidden_size", 64),
    ("intermediate_size", 128),
    ("num_hidden_layers", 2),
    ("num_attention_heads", 4),
    ("num_key_value_heads", 2),
    ("vocab_size", 1024),
    ("max_position_embeddings", 8192),
];

/// What stands before and after what a run does.
const HEAD: &str = r#"#!/bin/sh
[ "$1" = run ] || { echo "merged: $*"; exit 0; }
run="$2"
exec 9>>"$run/lock"
flock -w 60 9 || exit 1
echo $$ >"$run/lock"
say() { printf '{"at_ms":1764000000000,"type":%s}\n' "$1" >>"$run/metrics.jsonl"; }
step() { say "\"step\",\"step\":$1,\"loss\":$2,\"tokens_per_s\":5600,\"eta_s\":90,\"samples\":[\"one/0.0\"]"; }
trap 'say "\"stopped\",\"step\":2,\"saved\":2,\"why\":\"asked to\""; exit 0' TERM
say "\"started\",\"pid\":$$,\"steps\":3,\"device\":\"a script\""
"#;

pub struct Training {
    pub world: World,
}

impl Training {
    /// A dataset of one recorded session, a small model, and a runner that does this.
    pub fn new(does: &str) -> Self {
        let world = World::new();
        let server = server([shell("echo one"), Reply::text("It says one.")]);
        world.exec(&server.url(), &["What does it say?"]).succeeds();
        let data = world.path("data-v1");
        let data = data.to_str().unwrap();
        let export = ["export", "--status", "all", "--format", "messages", "--out", data];
        world.limn(&export).succeeds();
        let small = world.path("small");
        fs::create_dir(&small).unwrap();
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(model().join(name), small.join(name)).unwrap();
        }
        let training = Self { world };
        let mut config = json!({
            "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        TINY.iter().for_each(|(key, size)| config[key] = (*size).into());
        training.config(&config);
        training.runner(does);
        training
    }

    fn config(&self, config: &Value) {
        self.world.write("small/config.json", &config.to_string());
    }

    fn runner(&self, does: &str) {
        self.world.write("runner", &format!("{HEAD}{does}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.world.path("runner"), mode).unwrap();
    }

    pub fn folder(&self) -> PathBuf {
        self.world.path("run")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(&[&["train"], args].concat());
        command.env("LIMN_TRAIN", self.world.path("runner"));
        command
    }

    fn train(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }

    /// The arguments of a new run, with more.
    fn begin<'a>(paths: &'a [String; 3], more: &[&'a str]) -> Vec<&'a str> {
        let [data, model, out] = paths;
        let args = [data, "--model", model, "--out", out, "--template", "chatml-tools"];
        [&args[..], &["--device", "cpu"], more].concat()
    }

    fn paths(&self) -> [String; 3] {
        ["data-v1", "small", "run"].map(|name| self.world.path(name).to_str().unwrap().to_owned())
    }

    pub fn begins(&self, more: &[&str]) -> Run {
        let paths = self.paths();
        let mut args = Self::begin(&paths, more);
        if more.contains(&"--template") {
            args.drain(5..7);
        }
        self.train(&args)
    }

    /// Opens the gate at which the script waits.
    fn goes_on(&self) {
        let gate = self.folder().join("gate");
        until(|| gate.exists());
        fs::write(gate, "\n").unwrap();
    }

    fn metrics(&self) -> String {
        fs::read_to_string(self.folder().join("metrics.jsonl")).unwrap_or_default()
    }

    pub fn of_run<'a>(&self, command: &'a str, folder: &'a str, more: &[&'a str]) -> Run {
        self.train(&[&[command, folder], more].concat())
    }
}

/// Waits for something that another process does.
#[track_caller]
pub fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_plan_says_what_a_run_would_take_and_begins_nothing() {
    let training = Training::new("");
    let plan = training.begins(&["--plan", "--epochs", "3"]).succeeds();
    for part in ["parameters", "1 trained, 0 held out", "3, 1 an epoch", "Only 3 steps", "weights"]
    {
        assert!(plan.stdout.contains(part), "no {part:?} in:\n{}", plan.stdout);
    }
    assert!(!training.folder().exists());
    let handed = training.world.path("handed");
    let [data, small, _] = training.paths();
    let args = [&data, "--model", &small, "--template", "chatml-tools", "--hand-over"];
    let run = training.train(&[&args[..], &[handed.to_str().unwrap()]].concat());
    run.succeeds().says(&["handed over", "README.md"]);
    assert!(handed.join("train.py").is_file() && handed.join("train.jsonl").is_file());
    let plan = training.begins(&["--plan", "--json", "--method", "full"]).succeeds();
    let [plan] = plan.json_lines().try_into().unwrap();
    assert_eq!(plan["type"], "plan");
    assert_eq!(plan["plan"]["rung"], "layers_kept");
    assert_eq!(plan["plan"]["parameters"][0], plan["plan"]["parameters"][1]);
}

#[test]
fn a_run_is_watched_to_its_end_and_keeps_all_that_it_was() {
    let done = "step 1 2.5; step 2 2.25; say '\"held_out\",\"step\":2,\"loss\":2.125'\n\
                say '\"finished\",\"step\":2,\"folder\":\"final\"'";
    let training = Training::new(done);
    training.world.write("recipe.toml", "epochs = 7\n[optimizer]\nclip = 0.5\n");
    let recipe = training.world.path("recipe.toml");
    let more = ["--recipe", recipe.to_str().unwrap(), "--rank", "8", "--lr", "2e-4"];
    let run = training.begins(&more).succeeds().says(&["done:", "run/final"]);
    for part in
        ["training on a script: 3 steps", "step 1 of 3  loss 2.5000", "held out after step 2"]
    {
        assert!(run.stdout.contains(part), "no {part:?} in:\n{}", run.stdout);
    }
    let recipe = read(&training.folder().join("recipe.json"));
    assert_eq!((&recipe["epochs"], &recipe["optimizer"]["clip"]), (&json!(7), &json!(0.5)));
    assert_eq!(recipe["method"]["lora"]["rank"], 8);
    assert!(recipe["dataset"].as_str().unwrap().starts_with('/'));
    let dataset = read(&training.folder().join("dataset.json"));
    assert_eq!(dataset["samples"], json!([1, 0, 0]));
    assert!(dataset["tokens"][1].as_u64().unwrap() > 0);
    // Watched again it is done; and there is no second run in the same place.
    let folder = training.folder();
    let folder = folder.to_str().unwrap();
    training.of_run("attach", folder, &[]).succeeds().says(&["done:"]);
    training.begins(&[]).exits(1).says(&["is there already", "--out"]);
    let merged = training.of_run("merge", folder, &["--out", "merged"]).succeeds();
    assert!(merged.stdout.contains(&format!("merged: merge {folder} --out")), "{}", merged.stdout);
}

#[test]
fn a_run_goes_on_without_its_terminal_is_watched_stopped_and_gone_on_with() {
    let waits = format!("step 1 2.5\n{WAITS}\nstep 2 2.25\nread line <&8");
    let training = Training::new(&waits);
    let folder = training.folder();
    let folder = folder.to_str().unwrap();
    training.begins(&["--detach"]).succeeds().says(&["limn train attach"]);
    until(|| training.metrics().contains("\"step\":1"));
    training.of_run("resume", folder, &[]).exits(2).says(&["trains it already"]);
    // It leads a session of its own.
    let pid = fs::read_to_string(training.folder().join("lock")).unwrap().trim().to_owned();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid);
    let mut watching = training.command(&["attach", folder, "--json"]);
    let watching = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    training.goes_on();
    until(|| training.metrics().contains("\"step\":2,"));
    training.of_run("stop", folder, &[]).succeeds().says(&["stopped", "limn train resume"]);
    let watched = watching.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(130));
    let watched = String::from_utf8(watched.stdout).unwrap();
    assert!(watched.trim_end().ends_with(r#"{"type":"result","ended":"stopped"}"#), "{watched}");
    training.of_run("stop", folder, &[]).succeeds().says(&["not being trained"]);
    training.of_run("attach", folder, &[]).exits(130).says(&["saved after step 2"]);
    training.runner("step 3 2.0; say '\"finished\",\"step\":3,\"folder\":\"final\"'");
    let run = training.of_run("resume", folder, &[]).succeeds().says(&["done:"]);
    assert!(run.stdout.contains("step 3 of 3") && !run.stdout.contains("step 2 of 3"));
}

#[test]
fn a_runner_that_ends_without_a_word_is_told_with_what_it_printed() {
    let training = Training::new("step 1 2.5; echo 'terrible things' >&2; kill -9 $$");
    let says = ["without a word", "terrible things", "limn train resume"];
    training.begins(&[]).exits(1).says(&says);
    training.runner(
        "say '\"stopped\",\"step\":1,\"saved\":0,\"failed\":true,\"why\":\"NaN in step 1.\"'",
    );
    let folder = training.folder();
    training.of_run("resume", folder.to_str().unwrap(), &[]).exits(1).says(&["NaN in step 1."]);
}

#[test]
fn in_a_terminal_it_is_drawn_and_somebody_who_leaves_is_asked() {
    let training = Training::new(&format!("step 1 2.5; step 2 2.25\n{WAITS}"));
    let (paths, runner) = (training.paths(), training.world.path("runner"));
    let args = [&["train"], &Training::begin(&paths, &[])[..]].concat();
    let dress = Terminal::dress(&training.world, &args).env("LIMN_TRAIN", &runner);
    let mut terminal = Terminal::start(dress);
    terminal.shows("step 2 of 3").shows("5,600 tokens/s").shows("1 min 30 s left").shows("2.5000");
    terminal.press(CTRL_C).shows("leave it running (l)").press(ENTER).shows("step 2 of 3");
    terminal.press(CTRL_C).shows("leave it running (l)").press("l").press(ENTER);
    assert_eq!(terminal.ends(), 0);
    let dress = Terminal::dress(&training.world, &["train", "attach", &paths[2]]);
    let mut terminal = Terminal::start(dress);
    terminal.shows("step 2 of 3").press(CTRL_C).shows("stop it (s)").press("s").press(ENTER);
    terminal.shows("limn train resume");
    assert_eq!(terminal.ends(), 130);
    assert!(training.metrics().contains("\"stopped\""));
}

#[test]
fn what_cannot_be_trained_is_said_before_anything_is_begun() {
    let training = Training::new("");
    let refused = |more: &[&str], says: &[&str]| {
        training.begins(more).exits(1).says(says);
        assert!(!training.folder().exists());
    };
    refused(&["--sequence-max", "10"], &["messages.jsonl:1", "and 10 fit", "--skip-longer"]);
    refused(&["--sequence-max", "10", "--skip-longer"], &["no sample is left to train"]);
    refused(&["--epochs", "0"], &["epochs is out of range"]);
    refused(&["--template", "missing.jinja"], &["missing.jinja"]);
    training.begins(&["--method", "full", "--rank", "8"]).exits(2).says(&["--rank", "adapter"]);
    let mut other = read(&training.world.path("small/config.json"));
    other["hidden_act"] = json!("gelu");
    training.config(&other);
    refused(&[], &["config.json", "gelu", "Take a model of"]);
    let recipe = training.world.path("recipe.toml");
    fs::write(&recipe, "epoch = 3").unwrap();
    refused(&["--recipe", recipe.to_str().unwrap()], &["epoch is no key", "epochs"]);
    other["hidden_act"] = json!("silu");
    training.config(&other);
    fs::remove_file(training.world.path("runner")).unwrap();
    training.begins(&[]).exits(2).says(&["LIMN_TRAIN names", "limn-train"]);
    // Beside the limn of this build there may be one.
    let alone = training.world.path("alone");
    fs::create_dir(&alone).unwrap();
    // By another process: what this one has open to be written, its other tests' children may hold.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_limn")).arg(&alone).status();
    assert!(copied.unwrap().success());
    let command = training.command(&Training::begin(&training.paths(), &[]));
    let mut other = Command::new(alone.join("limn"));
    other.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs().filter(|(name, _)| *name != "LIMN_TRAIN") {
        value.map(|value| other.env(name, value));
    }
    run(other).exits(1).says(&["not beside limn", "cargo xtask libtorch"]);
    assert!(!training.folder().exists());
    let nowhere = training.world.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for command in ["attach", "resume", "stop"] {
        training.of_run(command, nowhere, &[]).exits(1).says(&["no recipe.json", "--out"]);
    }
}
