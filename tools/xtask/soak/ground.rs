//! What the loops stand on: a folder with a data folder and a workspace in it, and limn, which is run
//! there as a user would, killed, and asked afterwards what it still knows.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mock_server::MockServer;

use crate::process::{cargo, run, target};

/// Builds the program that is killed.
pub(super) fn prepare() -> Result<()> {
    run(&mut cargo(&["build", "--release", "--locked", "--bin", "limn"]))
}

/// A folder for one loop.
pub(super) struct Ground {
    pub(super) folder: PathBuf,
}

impl Ground {
    /// An empty one.
    pub(super) fn fresh(name: &str) -> Result<Self> {
        let folder = target().join("soak").join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("work"))?;
        Ok(Self { folder })
    }

    /// The one that an earlier round of this process left, or a new one that is made ready now.
    pub(super) fn kept(name: &str, make: impl FnOnce(&Self) -> Result<()>) -> Result<Self> {
        let folder = target().join("soak").join(format!("{name}-{}", std::process::id()));
        if folder.join("ready").exists() {
            return Ok(Self { folder });
        }
        let ground = Self::fresh(name)?;
        make(&ground)?;
        fs::write(folder.join("ready"), "")?;
        Ok(ground)
    }

    pub(super) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Where recordings lie.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(super) fn limn(&self, args: &[&str]) -> Command {
        let mut command = Command::new(target().join("release").join("limn"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("LIMN_HOME", self.home())
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// `limn exec` against a server, without a sandbox.
    pub(super) fn exec(&self, server: &MockServer, args: &[&str]) -> Command {
        let url = server.url();
        let model = ["exec", "--json", "--model", "m", "--base-url", &url, "--sandbox", "off"];
        self.limn(&[&model[..], args].concat())
    }

    /// Deletes it. Whoever finds a fault keeps it, to be looked at.
    pub(super) fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    /// Whether every recording is whole.
    pub(super) fn check_store(&self) -> Result<()> {
        let doctor = self.limn(&["doctor", "--store", "--json"]).output()?;
        let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
        let bad =
            |line: &&str| line.contains(r#""check":"session "#) && !line.contains(r#""ok":true"#);
        match report.lines().find(bad) {
            Some(line) => bail!("the store is not sound: {line}"),
            None if report.is_empty() => bail!("nobody could look at the store"),
            None => Ok(()),
        }
    }

    /// Whether every event that was printed is on record, and each call and round has its end.
    /// Returns what is on record.
    pub(super) fn check_events(&self, printed: &str) -> Result<String> {
        let shown = self.limn(&["show", "last", "--json"]).output()?;
        let recorded = String::from_utf8_lossy(&shown.stdout).into_owned();
        let is_event = |line: &&str| line.starts_with(r#"{"type":"event""#) && line.ends_with('}');
        for line in printed.lines().filter(is_event) {
            if !recorded.lines().any(|other| other == line) {
                bail!("an event that was printed is not on record: {line}");
            }
        }
        let count = |kind: &str| recorded.matches(&format!(r#""kind":"{kind}""#)).count();
        if count("tool_call") != count("observation") || count("prompt") != count("round_ended") {
            bail!("a call without an observation, or a round without an end");
        }
        Ok(recorded)
    }
}

/// Runs a command that has to succeed; what it printed.
pub(super) fn succeed(mut command: Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{:?} ended with {}: {complaint}", command.get_args(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How long something takes that nobody kills.
pub(super) fn timed(command: Command) -> Result<Duration> {
    let began = Instant::now();
    succeed(command)?;
    Ok(began.elapsed())
}

/// Runs a command, kills it at that moment, and returns what it had printed.
pub(super) fn killed_after(mut command: Command, moment: Duration) -> Result<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().context("no stdout")?;
    // The reader sees the end of the pipe when the killed process is gone.
    let reader = std::thread::spawn(move || {
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).map(|_| printed)
    });
    std::thread::park_timeout(moment);
    child.kill()?;
    child.wait()?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader died"))?.context("reading stdout")
}

/// The only recording of a folder.
pub(super) fn recording(home: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(home.join("sessions"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut recordings = paths.filter(|path| path.extension().is_some_and(|it| it == "db"));
    recordings.next().context("there is no recording")
}

/// Copies a folder, in place of what is there.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    if !copied.success() {
        bail!("{} cannot be copied", from.display());
    }
    Ok(())
}

/// That two folders hold the same files.
pub(super) fn same(one: &Path, other: &Path) -> Result<()> {
    let differ =
        Command::new("diff").args(["-r", "--no-dereference"]).args([one, other]).output()?;
    if differ.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&differ.stdout).into_owned();
    let told: Vec<&str> = told.lines().take(5).collect();
    bail!("{} and {} differ: {}", one.display(), other.display(), told.join("; "))
}
