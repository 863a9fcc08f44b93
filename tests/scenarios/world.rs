//! A world of its own for each story: a data folder, a workspace, a home, and nothing of the
//! machine's settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mock_server::{MockServer, Reply, Scenario};
use record::{Archive, Home};
use serde_json::Value;
use tempfile::TempDir;
use trajectory::event::ApprovalDecision;
use trajectory::{Body, Event};

/// How long anything may take before a story is over: far more than it needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    folder: TempDir,
}

/// What a run of the program left behind.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "work", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn workspace(&self) -> PathBuf {
        self.path("work")
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The user's settings.
    pub fn settings(&self, text: &str) {
        self.write("home/.config/limn/config.toml", text);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limn"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("LIMN_HOME", self.data())
            .current_dir(self.workspace())
            .stdin(Stdio::null());
        command
    }

    pub fn limn(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }

    /// `limn exec` against a server, without a sandbox unless the arguments say so.
    pub fn exec_command(&self, url: &str, args: &[&str]) -> Command {
        let mut all = vec!["exec", "--model", "mock-model", "--base-url", url];
        if !args.contains(&"--sandbox") {
            all.extend(["--sandbox", "off"]);
        }
        all.extend(args);
        self.command(&all)
    }

    pub fn exec(&self, url: &str, args: &[&str]) -> Run {
        run(self.exec_command(url, args))
    }

    pub fn home(&self) -> Home {
        Home::open(&self.data()).unwrap()
    }

    /// The newest recording.
    pub fn archive(&self) -> Archive {
        let home = self.home();
        let id = home.find("last").unwrap();
        Archive::open(&home, id).unwrap()
    }

    /// The events of the newest recording.
    pub fn events(&self) -> Vec<Event> {
        let events = self.archive().events().unwrap();
        events.into_iter().map(trajectory::Recorded::into_inner).collect()
    }

    /// What the newest recording has of one kind so far: nothing, where it is only being made.
    pub fn bodies_so_far(&self, kind: &str) -> Vec<Body> {
        let home = self.home();
        let found = home.find("last").and_then(|id| Archive::open(&home, id));
        let events = found.and_then(|archive| archive.events()).unwrap_or_default();
        let bodies = events.into_iter().map(|event| event.into_inner().body);
        bodies.filter(|body| body.kind() == kind).collect()
    }

    /// What the newest recording has of one kind.
    pub fn bodies(&self, kind: &str) -> Vec<Body> {
        let of_kind = |event: &Event| event.body.kind() == kind;
        self.events().into_iter().filter(of_kind).map(|event| event.body).collect()
    }

    /// What was decided about calls in the newest recording, and why.
    pub fn decisions(&self) -> Vec<(ApprovalDecision, Option<String>)> {
        let decision = |body| match body {
            Body::Approval(approval) => Some((approval.decision, approval.reason)),
            _ => None,
        };
        self.bodies("approval").into_iter().filter_map(decision).collect()
    }

    /// The observations of the newest recording, as the model was shown them.
    pub fn shown(&self) -> Vec<String> {
        let shown = |body| match body {
            Body::Observation(seen) => Some(seen.shown),
            _ => None,
        };
        self.bodies("observation").into_iter().filter_map(shown).collect()
    }

    /// Whether commands can be isolated on this machine; said where they cannot.
    pub fn isolates(&self) -> bool {
        let checks = self.limn(&["doctor", "--json"]).json_lines();
        let works = checks.iter().any(|check| check["check"] == "sandbox" && check["ok"] == true);
        if !works {
            say_skipped("what needs isolation, which this machine has none of");
        }
        works
    }

    /// The store is whole.
    #[track_caller]
    pub fn assert_sound(&self) {
        let doctor = self.limn(&["doctor", "--store", "--json"]);
        let bad: Vec<Value> = doctor
            .json_lines()
            .into_iter()
            .filter(|check| {
                let name = check["check"].as_str().unwrap_or_default();
                name.starts_with("session") && check["ok"] != true
            })
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert!(doctor.stdout.contains("\"session"), "{}", doctor.stdout);
    }
}

pub fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The error names all of these and panics nowhere.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// A server that gives these replies in order.
pub fn server(replies: impl IntoIterator<Item = Reply>) -> MockServer {
    MockServer::start(Scenario::replies(replies)).unwrap()
}

/// A command that asks the sandbox's proxy for the models of a server, with nothing but bash.
pub fn by_proxy(host: &str) -> String {
    format!(
        "p=${{http_proxy#*@}}; exec 3<>/dev/tcp/${{p%:*}}/${{p##*:}}; printf 'GET \
         http://{host}/v1/models HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n' >&3; \
         cat <&3"
    )
}

/// A call of the shell.
pub fn shell(command: &str) -> Reply {
    Reply::new().call("shell", &serde_json::json!({ "command": command }).to_string())
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Kills a process and waits for its end.
pub fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Says what is not tried here: on the terminal itself, past the one who keeps back what a test
/// that passes prints.
pub fn say_skipped(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "NOT TRIED: {what}");
}

/// Whether this machine lets a test mount something; under CI it has to.
pub fn namespaces_can_mount() -> bool {
    let probe = "mount -t tmpfs none /mnt";
    let can = Command::new("unshare")
        .args(["-rm", "sh", "-c", probe])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(can || std::env::var_os("CI").is_none(), "unshare -rm cannot mount here");
    if !can {
        say_skipped("a disk of its own: unshare -rm cannot mount here");
    }
    can
}

/// Runs a command behind a script, as the root of a namespace of its own.
pub fn in_namespace(world: &World, script: &str, command: &Command) -> Run {
    let mut wrapped = Command::new("unshare");
    wrapped.args(["-rm", "sh", "-c", script, "sh"]);
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    wrapped.current_dir(world.workspace()).stdin(Stdio::null());
    run(wrapped)
}
