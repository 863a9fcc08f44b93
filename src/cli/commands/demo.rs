//! `limn demo`: the whole loop on a scripted model, in a folder of its own. The tools really run,
//! and a command tests the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dataset::{ExportReport, Messages, Order, Target};
use model::{Model, ScriptedModel};
use record::{Archive, Home, Library, Outcome};
use sandbox::{PolicyFile, Preset};
use serde_json::json;
use session::Session;

use crate::args::DemoArgs;
use crate::commands::exec::{Printer, Prompts, drive};
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, thousands};
use crate::settings::{ModelChoice, Settings};

const SCRIPT_NAME: &str = "recordings/gomoku.toml";
const SCRIPT: &str = include_str!("../../../recordings/gomoku.toml");

/// The command that decides whether what was built works, and the program it needs.
const VERIFIER: (&str, &[&str]) = ("node", &["--test"]);

pub(crate) fn run(args: &DemoArgs) -> CliResult {
    need_verifier()?;
    let place = Place::make(args.dir.as_deref())?;
    let model = ScriptedModel::parse(SCRIPT_NAME, SCRIPT)
        .map_err(|error| CliError::failed(error.to_string()))?
        .with_delay(args.delay_ms);
    let prompts: Vec<String> = model.prompts().map(str::to_owned).collect();
    note(&format!("{}. {}", model.title(), model.about()));
    note(&format!("The task: {}.", model.source().unwrap_or("our own")));
    note("Its commands run without a sandbox in a folder made for them.\n");
    let settings = place.settings();
    let options = compose::options_with(&settings, Model::from(model), false)?;
    let ended = compose::run(async {
        let session = Session::start(options)
            .await
            .map_err(|error| CliError::new(Exit::RecordingFailed, error.to_string()))?;
        drive(session, Prompts::given(prompts), Printer::quiet(args.json)).await
    })??;
    if ended != Exit::Completed {
        return Err(CliError::new(ended, "The demo's session did not complete."));
    }
    let report = judge_and_export(&place)?;
    if args.json {
        Out::new().json(&report.to_json(&place));
    } else {
        report.tell(&place);
    }
    Ok(if report.tests_passed { Exit::Completed } else { Exit::Failed })
}

/// The script's game is tested with this: better said before than in the middle.
fn need_verifier() -> Result<(), CliError> {
    let program = VERIFIER.0;
    let quiet = Command::new(program).arg("--version").output();
    quiet.map(|_| ()).map_err(|error| {
        CliError::failed(format!(
            "The demo tests what it builds with {program}, which cannot be started: {error}. \
             Install Node 20 or newer."
        ))
    })
}

/// The demo's folder.
struct Place {
    root: PathBuf,
}

impl Place {
    fn make(wanted: Option<&Path>) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::failed(format!(
                "Cannot make the demo's folder: {error}. Name one with --dir."
            ))
        };
        let root = match wanted {
            Some(dir) => {
                fs::create_dir_all(dir).map_err(failed)?;
                if fs::read_dir(dir).map_err(failed)?.next().is_some() {
                    return Err(CliError::usage(format!(
                        "{} is not empty. Name a new folder with --dir.",
                        dir.display()
                    )));
                }
                dir.to_owned()
            }
            None => tempfile::Builder::new().prefix("limn-demo-").tempdir().map_err(failed)?.keep(),
        };
        let place = Self { root: root.canonicalize().map_err(failed)? };
        fs::create_dir(place.workspace()).map_err(failed)?;
        Ok(place)
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    fn settings(&self) -> Settings {
        let model = ModelChoice::Scripted(SCRIPT_NAME.into());
        // Nothing of the machine's settings: the demo is the same everywhere.
        Settings {
            sandbox: PolicyFile { preset: Some(Preset::Off), ..PolicyFile::default() },
            ..Settings::bare(self.home(), self.workspace(), model)
        }
    }
}

/// What came of it.
struct Report {
    session: trajectory::SessionId,
    status: record::Status,
    tests_passed: bool,
    messages: ExportReport,
    bundle: ExportReport,
    identical: bool,
}

fn judge_and_export(place: &Place) -> Result<Report, CliError> {
    let home = Home::open(&place.home())?;
    let id = home.find("last")?;
    let tests_passed = verify(&place.workspace())?;
    let outcome = if tests_passed { Outcome::Success } else { Outcome::Failure };
    Library::open(&home)?.set_outcome(id, outcome, "verifier", None)?;
    let rows = Target::Messages(Messages::default());
    let order = Order::of(&home, &[id])?;
    let messages = dataset::export(&home, &order, &rows, &place.root.join("dataset"))?;
    let bundle = dataset::export(&home, &order, &Target::Bundle, &place.root.join("bundle"))?;
    let archive = Archive::open(&home, id)?;
    Ok(Report {
        session: id,
        status: archive.status()?,
        tests_passed,
        identical: comes_back(place, &archive)?,
        messages,
        bundle,
    })
}

/// Runs the workspace's tests.
fn verify(workspace: &Path) -> Result<bool, CliError> {
    let (program, arguments) = VERIFIER;
    let output = Command::new(program).args(arguments).current_dir(workspace).output();
    let output = output.map_err(|error| {
        CliError::failed(format!("Cannot test the result with {program}: {error}. Install it."))
    })?;
    Ok(output.status.success())
}

/// Whether the bundle, imported elsewhere, is the session to the last event.
fn comes_back(place: &Place, original: &Archive) -> Result<bool, CliError> {
    let elsewhere = tempfile::tempdir()
        .map_err(|error| CliError::failed(format!("Cannot make a temporary folder: {error}.")))?;
    let home = Home::open(elsewhere.path())?;
    let bundle = place.root.join("bundle").join(format!("{}.limn", original.id()));
    let imported = dataset::import_bundle(&home, &bundle)?;
    let copy = Archive::open(&home, imported.id)?;
    Ok(copy.events()? == original.events()? && copy.verify()?.is_empty())
}

impl Report {
    fn to_json(&self, place: &Place) -> serde_json::Value {
        json!({
            "dir": place.root,
            "session": self.session,
            "ended": self.status.ended,
            "rounds": self.status.rounds,
            "calls": self.status.calls,
            "events": self.status.events,
            "tests_passed": self.tests_passed,
            "samples": self.messages.samples,
            "files": self.messages.files,
            "bundle": self.bundle.files,
            "bundle_comes_back_identical": self.identical,
        })
    }

    fn tell(&self, place: &Place) {
        let root = place.root.display();
        let passed = if self.tests_passed { "pass" } else { "FAIL" };
        note(&format!(
            "\nrecorded   {} rounds, {} calls, {} events",
            self.status.rounds, self.status.calls, self.status.events
        ));
        note(&format!("tested     `node --test` in the workspace: {passed}"));
        note(&format!("exported   {} sample, read back and found whole", self.messages.samples));
        let identical = if self.identical { "identical rows and hashes" } else { "NOT identical" };
        note(&format!("bundled    imported elsewhere: {identical}"));
        for file in self.messages.files.iter().chain(&self.bundle.files) {
            note(&format!("           {:>10} bytes  {}", thousands(file.bytes), file.name));
        }
        note(&format!("\nthe game       {root}/workspace/index.html"));
        note(&format!("the recording  LIMN_HOME={root}/home limn show last"));
        note(&format!("the sample     {root}/dataset/messages.jsonl"));
        note(&format!("what it lacks  {root}/dataset/ledger.json"));
    }
}
