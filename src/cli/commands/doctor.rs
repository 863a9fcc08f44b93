//! `limn doctor`: what works on this machine, and the fix for what does not.

use std::path::Path;

use record::{Archive, Home};
use sandbox::Sandbox;
use serde_json::json;

use crate::args::{DoctorArgs, RunArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, safe};
use crate::settings::{self, ModelChoice, Settings};

/// One thing that was looked at.
struct Check {
    name: String,
    /// `None`: worth knowing, neither good nor bad.
    ok: Option<bool>,
    found: String,
    fix: Option<String>,
}

pub(crate) fn run(args: &DoctorArgs) -> CliResult {
    let mut checks = vec![sqlite(), settings_file(), model(), sandbox(), shell()];
    let path = settings::home()?;
    match Home::open(&path) {
        Ok(home) => {
            checks.extend(data_folder(&home));
            if args.store {
                checks.extend(store(&home)?);
            }
        }
        Err(error) => checks.push(Check::bad("data folder", error.to_string(), None)),
    }
    let mut out = Out::new();
    for check in &checks {
        if args.json {
            out.json(&json!({
                "check": check.name, "ok": check.ok, "found": check.found, "fix": check.fix,
            }));
        } else {
            check.tell(&mut out);
        }
    }
    let failed = checks.iter().any(|check| check.ok == Some(false));
    Ok(if failed { Exit::Failed } else { Exit::Completed })
}

impl Check {
    fn good(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: Some(true), found: found.into(), fix: None }
    }

    fn bad(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
        let fix = fix.map(str::to_owned);
        Self { name: name.to_owned(), ok: Some(false), found: found.into(), fix }
    }

    fn fact(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
        Self { ok: None, ..Self::bad(name, found, fix) }
    }

    fn tell(&self, out: &mut Out) {
        let mark = match self.ok {
            Some(true) => "ok  ",
            Some(false) => "FAIL",
            None => "note",
        };
        out.line(&format!("{mark}  {:<14} {}", self.name, safe(&self.found)));
        if let Some(fix) = &self.fix {
            out.line(&format!("      {:<14} {}", "", safe(fix)));
        }
    }
}

fn sqlite() -> Check {
    match record::check_sqlite_version() {
        Ok(()) => Check::good("sqlite", format!("{}, bundled", record::sqlite_version())),
        Err(error) => Check::bad("sqlite", error.to_string(), None),
    }
}

fn settings_file() -> Check {
    let path = match settings::user_file_path() {
        Ok(path) => path,
        Err(error) => return Check::bad("settings", error.message, None),
    };
    match settings::user_file() {
        Ok(_) if path.exists() => Check::good("settings", path.display().to_string()),
        Ok(_) => {
            Check::fact("settings", format!("{} is not there: defaults", path.display()), None)
        }
        Err(error) => Check::bad("settings", error.message, None),
    }
}

fn model() -> Check {
    match Settings::resolve(&RunArgs::default()).map(|settings| settings.model) {
        Ok(ModelChoice::Endpoint { model, base_url, key }) => {
            let key = if key.is_some() { "with a key" } else { "without a key" };
            Check::good("model", format!("{model} at {base_url}, {key}"))
        }
        Ok(ModelChoice::Scripted(path)) => {
            Check::good("model", format!("the script {}", path.display()))
        }
        Ok(ModelChoice::Cassette(path)) => {
            Check::good("model", format!("the cassette {}", path.display()))
        }
        Err(error) => Check::fact("model", error.message, None),
    }
}

fn sandbox() -> Check {
    match Sandbox::auto().refusal() {
        None => Check::good("sandbox", Sandbox::auto().tier().to_string()),
        Some(refusal) => Check::fact("sandbox", refusal.rule, Some(&refusal.remedy)),
    }
}

fn shell() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("bash"));
    match found.into_iter().find(|file| file.is_file()) {
        Some(file) => Check::good("shell", file.display().to_string()),
        None => Check::fact("shell", "no bash on the path: commands run in sh", None),
    }
}

fn data_folder(home: &Home) -> Vec<Check> {
    let place = home.path().display();
    let mut checks = vec![match record::measure_fsync(&home.sessions()) {
        Ok(fsync) => Check::good(
            "data folder",
            format!("{place}, a durable commit takes {:.2} ms", fsync.as_secs_f64() * 1e3),
        ),
        Err(error) => Check::bad("data folder", error.to_string(), None),
    }];
    checks.extend(record::storage_note(home.path()).map(|note| {
        Check::fact("file system", note, Some("Set LIMN_HOME to a folder on a local disk."))
    }));
    checks.extend(readable_by_others(home.path()));
    checks
}

fn readable_by_others(path: &Path) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    let fix = format!("chmod 700 {}", path.display());
    (mode & 0o077 != 0).then(|| {
        Check::bad("permissions", format!("mode {mode:03o}: others can look in"), Some(&fix))
    })
}

/// Every recording, from its first byte to its last.
fn store(home: &Home) -> Result<Vec<Check>, CliError> {
    let mut checks = Vec::new();
    for id in home.session_ids()? {
        let name = format!("session {id}");
        if !home.is_live(id) {
            // One that cannot be recovered fails below.
            let _ = record::recover(home, id);
        }
        // One that had not begun when its process died is gone now: nothing was in it.
        if !home.session_file(id).exists() {
            continue;
        }
        let problems = Archive::open(home, id).and_then(|archive| {
            let events = archive.status()?.events;
            Ok((archive.verify()?, events))
        });
        checks.push(match problems {
            Ok((problems, events)) if problems.is_empty() => {
                Check::good(&name, format!("{events} events, chain and blobs verify"))
            }
            Ok((problems, _)) => {
                let told: Vec<String> = problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.place, problem.problem))
                    .collect();
                Check::bad(&name, told.join(" "), Some("Restore it from a backup or a bundle."))
            }
            Err(error) => Check::bad(&name, error.to_string(), None),
        });
    }
    Ok(checks)
}
