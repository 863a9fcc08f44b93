//! Where lessons become recordings, and recordings a dataset: real sessions of limn, with a scripted
//! server in the place of the model, and with tools that really run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, RecordedRequest, Reply, Scenario};
use serde_json::json;

use super::lessons::{Lesson, Question};
use crate::process::program;

/// What the sessions are tagged with, and those that are held out as well.
const LESSON: &str = "lesson";
const HELD_OUT: &str = "held-out";

/// limn, the folder of the demo, and what is done in it.
pub(crate) struct Classroom {
    pub(crate) limn: PathBuf,
    pub(crate) place: PathBuf,
}

impl Classroom {
    /// limn with the data of the demo, and with nothing of the settings of the machine.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(&self.limn.to_string_lossy(), args);
        let ours = ["LIMN_", "OPENAI_", "XDG_"];
        for (name, _) in std::env::vars_os() {
            if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.path("own")).env("LIMN_HOME", self.place.join("home"));
        command.current_dir(&self.place);
        command
    }

    /// A path in the part of the folder that belongs to the training.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.join("training").join(name)
    }

    /// Records lessons.
    pub(crate) fn record(&self, lessons: &[Lesson]) -> Result<()> {
        fs::create_dir_all(self.path("own"))?;
        for (number, lesson) in lessons.iter().enumerate() {
            let workspace = self.path("lessons").join(format!("{}-{number}", lesson.topic));
            self.play(lesson, &workspace)
                .with_context(|| format!("the session about the {} failed", lesson.topic))?;
            let outcome = ["annotate", "last", "--outcome", "success", "--source", "verifier"];
            let held_out: &[&str] = if lesson.held_out { &["--tag", HELD_OUT] } else { &[] };
            quiet(&mut self.command(&[&outcome[..], &["--tag", LESSON], held_out].concat()))?;
        }
        Ok(())
    }

    /// Plays a session in a folder of its own.
    fn play(&self, lesson: &Lesson, workspace: &Path) -> Result<()> {
        lesson.lay(workspace)?;
        let prompts = workspace.with_extension("jsonl");
        let lines =
            lesson.questions.iter().map(|it| format!("{}\n", json!({ "prompt": it.asked })));
        fs::write(&prompts, lines.collect::<String>())?;
        let questions = lesson.questions.clone();
        let server = MockServer::start(Scenario::generate(move |number, request| {
            reply(&questions, number, request)
        }))?;
        let url = server.url();
        let args = ["exec", "--model", "script", "--base-url", &url, "--sandbox", "off"];
        let quick = ["--no-checkpoints", "--no-fsync", "--input-format", "jsonl"];
        let mut exec = self.command(&[&args[..], &quick].concat());
        quiet(exec.current_dir(workspace).stdin(File::open(&prompts)?))
    }

    /// Exports the recordings, and lays what is trained and what is held out into one folder, as
    /// `train.jsonl` and `test.jsonl`.
    pub(crate) fn export(&self) -> Result<PathBuf> {
        let data = self.path("data");
        fs::create_dir_all(&data)?;
        let trained = ["--tag", LESSON, "--without-tag", HELD_OUT];
        let parts = [("train", &trained[..]), ("test", &["--tag", HELD_OUT])];
        for (part, filter) in parts {
            let out = self.path(&format!("exported-{part}"));
            let out_text = out.to_string_lossy().into_owned();
            let args = ["export", "--format", "messages", "--out", &out_text];
            quiet(&mut self.command(&[&args[..], filter].concat()))?;
            fs::copy(out.join("messages.jsonl"), data.join(format!("{part}.jsonl")))
                .with_context(|| format!("{} has no rows", out.display()))?;
        }
        Ok(data)
    }
}

/// What the script answers to a request: to a question the call, to what the tool says the answer,
/// if that makes it true.
fn reply(questions: &[Question], number: usize, request: &RecordedRequest) -> Reply {
    let refused = |why: String| {
        let told = json!({ "error": { "message": why } });
        Reply::status(400, &[("content-type", "application/json")], told.to_string())
    };
    let Some(question) = questions.get(number / 2) else {
        return refused("the script is at its end".to_owned());
    };
    if number.is_multiple_of(2) {
        return Reply::new().call(question.tool, &question.arguments.to_string());
    }
    let said = request.messages().pop().unwrap_or_default();
    let said = said["content"].as_str().unwrap_or_default().to_owned();
    if said.contains(&question.seen) {
        Reply::text(&question.answer)
    } else {
        refused(format!("{} was to say {:?}, and says: {said}", question.tool, question.seen))
    }
}

/// Runs something that is worth a word only when it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let output = command.stdout(Stdio::null()).output().context("limn could not be started")?;
    if !output.status.success() {
        let name = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
        bail!("limn {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
