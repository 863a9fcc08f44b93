//! `limn doctor`: what works on this machine, and the fix for what does not.

mod training;

use std::path::Path;

use record::{Archive, Home, Library};
use sandbox::{PolicyFile, Sandbox};
use serde_json::json;

use crate::args::{DoctorArgs, RunArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, safe, thousands};
use crate::settings::{self, Endpoint, KeyState, ModelChoice, Settings};

/// One thing that was looked at.
pub(super) struct Check {
    name: String,
    /// `None`: worth knowing, neither good nor bad.
    ok: Option<bool>,
    found: String,
    fix: Option<String>,
}

/// Lets limn make user namespaces where it is usually installed.
const APPARMOR: &str = include_str!("../../../assets/apparmor/limn");

pub(crate) fn run(args: &DoctorArgs) -> CliResult {
    if args.apparmor {
        let program = std::env::current_exe().and_then(|path| path.canonicalize());
        Out::new().line(apparmor(program.ok().as_deref()).trim_end());
        return Ok(Exit::Completed);
    }
    // Whoever asks about what is stored waits for no program and no server.
    let mut checks = if args.store { Vec::new() } else { machine() };
    let path = settings::home()?;
    match Home::open(&path) {
        Ok(home) => {
            checks.extend(data_folder(&home));
            if args.store {
                checks.extend(recordings(&home)?);
            }
        }
        Err(error) => checks.push(Check::bad("data folder", error.to_string(), None)),
    }
    Ok(tell(&checks, args.json))
}

/// What works here.
fn machine() -> Vec<Check> {
    let mut checks = vec![sqlite(), settings_file()];
    checks.extend(model());
    checks.extend(sandbox());
    checks.push(shell());
    checks.push(training::check());
    checks
}

/// Prints what was looked at; whether all of it is well.
pub(super) fn tell(checks: &[Check], json: bool) -> Exit {
    let mut out = Out::new();
    for check in checks {
        if json {
            out.json(&json!({
                "check": check.name, "ok": check.ok, "found": check.found, "fix": check.fix,
            }));
        } else {
            check.tell(&mut out);
        }
    }
    let failed = checks.iter().any(|check| check.ok == Some(false));
    if failed { Exit::Failed } else { Exit::Completed }
}

impl Check {
    pub(super) fn good(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: Some(true), found: found.into(), fix: None }
    }

    pub(super) fn bad(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
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

/// The profile, with one more for this program, wherever it lies.
fn apparmor(program: Option<&Path>) -> String {
    let path = program.and_then(Path::to_str).filter(|path| !path.contains(char::is_control));
    let Some(path) = path else { return APPARMOR.to_owned() };
    let mut name = String::new();
    for letter in path.chars() {
        // They stand for others in the name of a program.
        if "\\\"*?[]{}^".contains(letter) {
            name.push('\\');
        }
        name.push(letter);
    }
    format!("{APPARMOR}\nprofile limn-here \"{name}\" flags=(unconfined) {{\n  userns,\n}}\n")
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

/// The model that is chosen, its server, its key, and what is known of it.
fn model() -> Vec<Check> {
    let settings = match Settings::resolve(&RunArgs::default()) {
        Ok(settings) => settings,
        Err(error) => return vec![Check::fact("model", error.message, None)],
    };
    let endpoint = match &settings.model {
        ModelChoice::Endpoint(endpoint) => endpoint,
        ModelChoice::Scripted(path) => {
            return vec![Check::good("model", format!("the script {}", path.display()))];
        }
        ModelChoice::Cassette(path) => {
            return vec![Check::good("model", format!("the cassette {}", path.display()))];
        }
    };
    let provider = &endpoint.provider;
    if let Some(launch) = &endpoint.local {
        let found = format!("{}, served from {}", endpoint.model, launch.target.display());
        return vec![Check::good("model", found)];
    }
    let at = format!("{} of {} at {}", endpoint.model, provider.name, provider.base_url);
    let mut checks = vec![
        Check::good("model", at),
        match provider.key_state() {
            KeyState::NotNeeded => Check::good("key", "none is sent"),
            KeyState::Present(from) => Check::good("key", format!("from {from}")),
            KeyState::Program(program) => {
                Check::fact("key", format!("{program} is asked when a session begins"), None)
            }
            KeyState::Missing(fix) => Check::bad("key", "it is missing", Some(&fix)),
        },
        window(&settings, endpoint),
        price(&settings, endpoint),
    ];
    checks.extend(web_search(&settings));
    checks
}

fn window(settings: &Settings, endpoint: &Endpoint) -> Check {
    match settings.catalogue.context_window(&endpoint.model) {
        Some(tokens) => Check::good("context", format!("{} tokens", thousands(tokens))),
        None => Check::fact(
            "context",
            "nobody knows how much this model holds: the context is shortened when it refuses",
            Some("Give context_window in [models.\"NAME\"] of config.toml, or --context-window."),
        ),
    }
}

fn price(settings: &Settings, endpoint: &Endpoint) -> Check {
    let date = settings.catalogue.date();
    match settings.catalogue.price(&endpoint.model) {
        Some(price) => {
            let cached = price.cached.map(|cached| format!(", cached ${cached}"));
            Check::good(
                "price",
                format!(
                    "a million tokens in ${}{}, out ${} (table of {date})",
                    price.input,
                    cached.unwrap_or_default(),
                    price.output
                ),
            )
        }
        None => {
            Check::fact("price", format!("none in the table of {date}: no costs are shown"), None)
        }
    }
}

/// Nothing, unless a search is configured.
fn web_search(settings: &Settings) -> Option<Check> {
    let url = settings.web.search_url.as_ref()?;
    let missing =
        settings.web.search_key_env.as_ref().filter(|_| settings.web.search_key().is_none());
    Some(match missing {
        Some(name) => {
            let fix = format!("Export {name}.");
            Check::bad("web search", format!("{url}: its key is missing"), Some(&fix))
        }
        None => Check::good("web search", url.clone()),
    })
}

/// The tier in force for the folder that the doctor is called in, and why there is no higher one.
fn sandbox() -> Vec<Check> {
    let place = std::env::current_dir().and_then(|folder| folder.canonicalize());
    let sandbox = match (place, settings::home()) {
        (Ok(place), Ok(home)) => crate::compose::isolated(&PolicyFile::default(), &place, &home),
        (Err(error), _) => return vec![Check::fact("sandbox", error.to_string(), None)],
        (_, Err(error)) => return vec![Check::fact("sandbox", error.message, None)],
    };
    let sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(error) => return vec![Check::fact("sandbox", error.message, None)],
    };
    let mut checks = vec![match sandbox.refusal() {
        None => Check::good("sandbox", told(&sandbox)),
        Some(refusal) => Check::bad("sandbox", refusal.rule, Some(&refusal.remedy)),
    }];
    let limits = sandbox.policy().limits;
    let found = format!(
        "{} MB for all commands of a session, counted ten times a second",
        thousands(limits.memory_bytes / 1_000_000)
    );
    checks.push(Check::fact("memory", found, None));
    checks.extend(sandbox.untried().iter().map(|it| {
        let found = format!("no {}: {}", it.tier, it.reason);
        Check::fact("sandbox", found, it.fix())
    }));
    checks
}

fn told(sandbox: &Sandbox) -> String {
    let landlock = match sandbox.landlock() {
        Some(version) => format!("Landlock {version}"),
        None => "no Landlock".to_owned(),
    };
    format!("{} ({landlock}, seccomp)", sandbox.tier())
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
pub(super) fn recordings(home: &Home) -> Result<Vec<Check>, CliError> {
    let mut checks: Vec<Check> = library(home).into_iter().collect();
    checks.extend(home.strangers()?.iter().map(|stranger| {
        let found = format!("{} is none of limn's: it is left alone", stranger.display());
        Check::fact("stranger", found, None)
    }));
    checks.extend(home.dead_imports()?.iter().map(|left| {
        let found = format!("{} was left by an import that was killed", left.display());
        Check::fact("import", found, Some("`limn store gc` deletes it."))
    }));
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

/// What was said of the recordings.
fn library(home: &Home) -> Option<Check> {
    let name = "library";
    let file = home.path().join("limn.db");
    if !file.exists() {
        return None;
    }
    let fix = "Put a backup of it back, or move it away: a new one is made, without what was said of \
               sessions.";
    Some(match Library::open(home).and_then(|library| library.damage()) {
        Ok(None) => Check::good(name, format!("{} is whole", file.display())),
        Ok(Some(damage)) => Check::bad(name, format!("{}: {damage}", file.display()), Some(fix)),
        Err(error) => Check::bad(name, error.to_string(), Some(fix)),
    })
}

#[cfg(test)]
mod tests;
