//! `cargo xtask interop`: what limn exports, read by the packages it is exported for.
//!
//! The packages are from PyPI, in an environment of their own below the target folder, made once.
//! Tests do without them: this is for whoever changes a format, or one of the versions below.

mod serve;
pub(crate) mod train;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, RecordedRequest, Reply, Scenario};
use serde_json::json;

use crate::process::{cargo, program, root, run as run_command, target};

pub(crate) const HELP: &str = "\
Usage: cargo xtask interop        what limn exports, and who reads it
       cargo xtask interop train  limn-train, and what it is to be the same as: 5 GB of packages
       cargo xtask interop serve  limn-train serve, asked by OpenAI's own client

Records a few sessions on a scripted model, exports them in every format, and reads them with
transformers, trl, datasets, atif and axolotl: the same rows, ids and masks. Needs Python 3.11 and, the
first time, PyPI.";

/// With `transformers`, `jinja2` and `tokenizers` as in `src/chat/fixtures/make.py`.
const PACKAGES: [&str; 5] = [
    "transformers==5.24.0",
    "jinja2==3.1.6",
    "tokenizers==0.23.3",
    "datasets==5.2.0",
    "atif==1.8.0",
];

/// Of the one the templates alone are read, of the other how it labels a conversation, so that what
/// they train with need not be there.
const ALONE: [&str; 2] = ["trl==1.16.0", "axolotl==0.19.0"];

/// An export as tokens: the family whose tokenizer it is for, the template (below the fixtures'
/// `templates`, or one that comes with limn), what a row is, and the tag of the sessions that the
/// template can hold.
type Form = (&'static str, &'static str, &'static str, &'static str);

/// `interop.py` finds each by the name of its folder.
const FORMS: [Form; 9] = [
    ("qwen", "qwen2_5", "trajectory", "plain"),
    ("qwen", "qwen2_5_training", "trajectory", "plain"),
    // The published ones, and that of GLM for training, forget the thoughts of earlier rounds.
    ("qwen", "qwen3", "round", "all"),
    ("qwen", "qwen3_training", "trajectory", "all"),
    ("llama", "llama3_1", "trajectory", "single"),
    ("glm", "glm4moe", "round", "all"),
    ("glm", "glm4moe_training", "round", "all"),
    ("smollm", "chatml-tools", "trajectory", "all"),
    ("deepseek", "deepseek-tools", "trajectory", "all"),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    match args {
        [] => {}
        [part] if part == "train" => return train::run(),
        [part] if part == "serve" => return serve::run(),
        [other, ..] => {
            let told = format!("interop takes no `{other}`; see cargo xtask interop --help");
            return Err(crate::Usage(told).into());
        }
    }
    run_command(&mut cargo(&["build", "--locked", "--bin", "limn"]))?;
    let folder = target().join("interop");
    let python = environment(&folder, &PACKAGES, &ALONE)?;
    let exports = folder.join("exports");
    let _ = fs::remove_dir_all(&exports);
    fs::create_dir_all(exports.join("work"))?;
    let script = |step: &str| -> Result<()> {
        let script = root().join("tools/xtask/interop.py");
        let mut check = program(&python, &[]);
        check.arg(script).arg(step).arg(&exports).arg(root());
        run_command(check.env("HF_HUB_OFFLINE", "1").env("TZ", "UTC"))
    };
    script("models")?;
    sessions(&exports)?;
    // A column of JSON lines whose values are texts and lists is what no loader takes.
    let export = |args: &[&str]| limn(&exports, &[&["export"], args].concat());
    for format in FORMATS {
        export(&["--format", format, "--out", format, "--without-tag", "pictured"])?;
    }
    let messages = ["--format", "messages", "--out"];
    export(&[&messages[..], &["messages round", "--rows", "round"]].concat())?;
    export(&[&messages[..], &["pictured", "--tag", "pictured"]].concat())?;
    export(&[&messages[..], &["parquet", "--files", "parquet"]].concat())?;
    export(&[&messages[..], &["parquet lines"]].concat())?;
    for form in FORMS {
        tokens(&exports, form, "jsonl")?;
    }
    tokens(&exports, FORMS[7], "parquet")?;
    refused(&exports)?;
    script("check")
}

const FORMATS: [&str; 9] = [
    "messages",
    "openai",
    "axolotl",
    "slime",
    "limi",
    "llamafactory",
    "sharegpt",
    "atif",
    "traces",
];

/// Exports as the tokens of one family.
fn tokens(exports: &Path, (family, template, rows, tag): Form, files: &str) -> Result<()> {
    let model = exports.join("models").join(family).to_string_lossy().into_owned();
    let fixture = fixture(template);
    let template_file = if fixture.exists() { fixture } else { PathBuf::from(template) };
    let template_file = template_file.to_string_lossy().into_owned();
    let name = if files == "parquet" { "token-parquet" } else { "tokens" };
    let out = format!("{name} {family} {template} {rows}");
    let args = ["export", "--format", "tokens", "--tokenizer", &model, "--out", &out];
    let more = ["--template", &template_file, "--rows", rows, "--tag", tag, "--files", files];
    limn(exports, &[&args[..], &more].concat())
}

fn fixture(template: &str) -> PathBuf {
    root().join(format!("src/chat/fixtures/templates/{template}.jinja"))
}

/// A template that drops tools is refused by name.
fn refused(exports: &Path) -> Result<()> {
    match tokens(exports, ("smollm", "smollm2", "trajectory", "all"), "jsonl") {
        Err(error) if error.to_string().contains("chatml-tools") => Ok(()),
        Err(error) => Err(error.context("the template of SmolLM2 is refused otherwise")),
        Ok(()) => bail!("the template of SmolLM2 drops tools, and nobody said so"),
    }
}

/// The Python of an environment in this folder.
pub(crate) fn python_in(folder: &Path) -> PathBuf {
    folder.join("venv/bin/python")
}

/// The Python of an environment that has these packages, and those without what they depend on.
fn environment(folder: &Path, packages: &[&str], alone: &[&str]) -> Result<String> {
    let venv = folder.join("venv");
    let python = python_in(folder).to_string_lossy().into_owned();
    let (made, stamp) = (folder.join("packages"), [packages, alone].concat().join("\n"));
    if fs::read_to_string(&made).is_ok_and(|has| has == stamp) {
        return Ok(python);
    }
    fs::create_dir_all(folder)?;
    run_command(program("python3", &["-m", "venv"]).arg(&venv))?;
    let install = || program(&python, &["-m", "pip", "install", "--quiet"]);
    run_command(install().args(packages))?;
    run_command(install().arg("--no-deps").args(alone))?;
    fs::write(&made, stamp)?;
    Ok(python)
}

/// A session that is recorded.
struct Story {
    /// `plain`: without thoughts, for templates that have no place for them. `single`: one call a
    /// reply at most, and no text beside it.
    tags: &'static [&'static str],
    rounds: &'static [&'static str],
    server: MockServer,
}

impl Story {
    fn new(tags: &'static [&'static str], replies: Vec<Reply>) -> Result<Self> {
        let server = MockServer::start(Scenario::replies(replies))?;
        Ok(Self { tags, rounds: &["Look."], server })
    }
}

/// Sessions with what formats stumble over.
fn sessions(exports: &Path) -> Result<()> {
    for Story { tags, rounds, server } in stories()? {
        for (place, prompt) in rounds.iter().enumerate() {
            let url = server.url();
            let common = ["exec", "--model", "mock", "--base-url", &url, "--sandbox", "off"];
            let wide = ["--context-window", "1000000"];
            let resume: &[&str] = if place > 0 { &["--resume", "last"] } else { &[] };
            limn(exports, &[&common[..], &wide, resume, &[*prompt]].concat())?;
            // The user's own hand, between two rounds.
            fs::write(exports.join("work/notes.txt"), format!("round {place}\n"))?;
        }
        let mut annotate = vec!["annotate", "last", "--outcome", "success", "--tag", "all"];
        annotate.extend(tags.iter().flat_map(|tag| ["--tag", *tag]));
        limn(exports, &annotate)?;
    }
    copied(exports)?;
    pictured(exports)?;
    compacted(exports)
}

fn thinks(thought: &str, text: &str) -> Reply {
    Reply::new().reasoning(thought).then_text(text)
}

fn shell(command: &str) -> Reply {
    Reply::new().call("shell", &json!({ "command": command }).to_string())
}

fn two_rounds() -> Result<Story> {
    let written = shell("echo one > notes.txt").reasoning("I write.");
    let replies = vec![written, thinks("Written.", "One."), thinks("Seen.", "Two.")];
    Ok(Story { rounds: &["First.", "Then the second."], ..Story::new(&[], replies)? })
}

fn stories() -> Result<Vec<Story>> {
    let odd =
        "{\"command\": \"printf '%s' \\\"<a & b>\\\" 日本 \\ud83d\\ude80\", \"timeout_ms\": 5000}";
    let scripts =
        "Мир, שלום, सलाम, 안녕, e\u{301}, \u{1f468}\u{200d}\u{1f469}, \u{2028}, \u{feff}.";
    Ok(vec![
        Story::new(
            &[],
            vec![
                Reply::new()
                    .reasoning("Two at once.\nSo be it.")
                    .then_text("I look.")
                    .call("shell", "{\"command\": \"echo a\"}")
                    .call("list", "{}"),
                thinks("Both.", "Both are there: <b>&amp;</b> \u{1f680} é e\u{301}."),
            ],
        )?,
        Story::new(
            &["plain", "single"],
            vec![Reply::new().call("shell", odd), Reply::text("Odd, but done.")],
        )?,
        Story::new(
            &["plain", "single"],
            vec![shell("printf '\\360\\237\\230\\200\\n\\377'"), Reply::text(scripts)],
        )?,
        Story::new(
            &["plain"],
            vec![
                shell("true").call("shell", "{\"command\": \"false\"}"),
                Reply::new()
                    .then_text("One more.")
                    .call("shell", "{ \"command\" : \"echo \\u0068i\" }"),
                Reply::text("Done."),
            ],
        )?,
        Story::new(
            &[],
            vec![
                Reply::new().reasoning("Hm.").call("read", "{broken"),
                shell("true"),
                Reply::text("Done."),
            ],
        )?,
        // The text of a reply whose call must not be trained.
        Story::new(
            &[],
            vec![
                Reply::new().then_text("I look: \u{c9}t\u{e9} \u{1f680}.").call("read", "{broken"),
                Reply::text("Done."),
            ],
        )?,
        // A thought after the text is out of the order that messages have.
        Story::new(
            &[],
            vec![
                Reply::new()
                    .then_text("Text.")
                    .reasoning("And a thought after it.")
                    .call("list", "{}"),
                Reply::new().reasoning_as("reasoning", "Under another key.").then_text("Done."),
            ],
        )?,
        two_rounds()?,
        Story::new(&["plain", "single"], long())?,
    ])
}

/// A session of more than 150,000 tokens.
fn long() -> Vec<Reply> {
    let steps = (0..14).map(|step| {
        let command = format!("seq -f '%g: line of step {step}, and what it says' 1 400");
        shell(&command)
    });
    steps.chain([Reply::text("That was long.")]).collect()
}

/// A copy that went on by itself.
fn copied(exports: &Path) -> Result<()> {
    limn(exports, &["fork", "last"])?;
    let server = MockServer::start(Scenario::replies([Reply::text("The copy goes on.")]))?;
    let url = server.url();
    let args = ["exec", "--model", "mock", "--base-url", &url, "--sandbox", "off"];
    limn(exports, &[&args[..], &["--resume", "last", "Go on."]].concat())?;
    limn(exports, &["annotate", "last", "--outcome", "success"])
}

/// A session that was shown a picture: tokens cannot hold it.
fn pictured(exports: &Path) -> Result<()> {
    fs::write(exports.join("work/one.png"), b"\x89PNG\r\n\x1a\n some pixels")?;
    let server = MockServer::start(Scenario::replies([Reply::text("I see it.")]))?;
    let url = server.url();
    let args = ["exec", "--model", "mock", "--base-url", &url, "--sandbox", "off"];
    limn(exports, &[&args[..], &["--image", "one.png", "What is this?"]].concat())?;
    limn(exports, &["annotate", "last", "--outcome", "success", "--tag", "pictured"])
}

/// A session whose context was shortened and replaced by summaries.
fn compacted(exports: &Path) -> Result<()> {
    let answer = |number: usize, request: &RecordedRequest| {
        let tokens = request.json().to_string().len() * 2 / 7;
        let asked = request.messages().last().map(ToString::to_string).unwrap_or_default();
        let reply = match number {
            _ if asked.contains("Write the summary") => Reply::text("There were numbers."),
            14.. => Reply::text("That was all."),
            number => {
                let command = format!("seq -f 'line %g of step {number}' 1 700");
                let thought = "This is one of many thoughts, and it is a long one. ".repeat(60);
                shell(&command).reasoning(&thought)
            }
        };
        reply.usage(json!({"prompt_tokens": tokens, "completion_tokens": 100}))
    };
    let server = MockServer::start(Scenario::generate(answer))?;
    let url = server.url();
    let args = ["exec", "--model", "mock", "--base-url", &url, "--sandbox", "off"];
    limn(exports, &[&args[..], &["--context-window", "18000", "Count."]].concat())?;
    limn(exports, &["annotate", "last", "--outcome", "success", "--tag", "all"])
}

/// Runs limn with a data folder of its own; exports lie beside its workspace.
fn limn(exports: &Path, args: &[&str]) -> Result<()> {
    let mut command = program(&target().join("debug/limn").to_string_lossy(), args);
    let is_export = args.first() == Some(&"export");
    let folder = if is_export { exports.to_owned() } else { exports.join("work") };
    command.env("LIMN_HOME", exports.join("home")).env("HOME", exports).current_dir(folder);
    let output = command.output().context("limn could not be started")?;
    if !output.status.success() {
        bail!("limn {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
