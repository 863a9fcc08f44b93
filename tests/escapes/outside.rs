//! Work with what lies outside the workspace and that the user means to be reached: the repository
//! of a work tree, an agent, a bus.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sandbox::Tier;

use crate::ground::git;
use crate::usability::{NAMESPACES, tell};

/// Makes the workspace a work tree of a repository beside it.
fn work_tree(workspace: &Path) -> String {
    let main = workspace.with_file_name("main");
    std::fs::create_dir(&main).unwrap();
    git(&main, &["init", "--quiet", "--initial-branch=main", "."]);
    std::fs::write(main.join("a.txt"), "one\n").unwrap();
    git(&main, &["add", "."]);
    git(&main, &["commit", "--quiet", "--message=one"]);
    git(&main, &["worktree", "add", "--quiet", "-b", "side", workspace.to_str().unwrap()]);
    String::new()
}

#[test]
fn commits_work_in_a_work_tree_whose_repository_lies_elsewhere() {
    tell(&Tier::ISOLATING, &["git"], work_tree, |desk| {
        desk.does("git status && echo two >> a.txt && git add . && git commit --quiet -m two");
        desk.does("echo three >> a.txt && git stash --quiet && git stash pop --quiet");
        desk.does("git commit --quiet --amend -am three && git tag here && git fsck --strict");
        desk.does(
            "git checkout --quiet -b more && git mv a.txt b.txt && git commit --quiet -m four",
        );
        desk.does("git checkout --quiet side && git merge --quiet more && git rebase --quiet main");
        desk.says("git log --oneline | wc -l", "3");
        // By which git runs programs, stays as it is; so does what is the user's own there.
        for attempt in [
            "echo >> $REPOSITORY/config",
            "git config core.fsmonitor evil",
            "cp /bin/true $REPOSITORY/hooks/post-checkout",
            "mv $REPOSITORY/hooks $REPOSITORY/was",
            "mkdir $REPOSITORY/worktrees/other",
            "touch $REPOSITORY/commondir",
            "echo >> $REPOSITORY/index",
            "mv $REPOSITORY/objects $REPOSITORY/was",
        ] {
            let script = format!("REPOSITORY=$(git rev-parse --git-common-dir); {attempt}");
            let (text, finished) = desk.cage.run(&["bash", "-c", &script]);
            assert!(!finished.exit.success(), "{}: {attempt}: {text}", desk.cage.tier());
        }
        // Where to look for the repository is said by files that Landlock cannot close again.
        if desk.cage.tier() != Tier::Landlock {
            for attempt in [
                "echo ../../../elsewhere > $(git rev-parse --git-dir)/commondir",
                "mv .git was",
                "echo gitdir: elsewhere > .git",
            ] {
                let (text, finished) = desk.cage.run(&["bash", "-c", attempt]);
                assert!(!finished.exit.success(), "{}: {attempt}: {text}", desk.cage.tier());
            }
        }
        // What the user sees of it in the repository.
        let mut log = Command::new("git");
        let log = log.args(["log", "--format=%s", "side"]).current_dir(desk.path("../main"));
        let log = String::from_utf8(log.output().unwrap().stdout).unwrap();
        assert_eq!(log, "four\nthree\none\n");
    });
}

/// Somebody outside who greets whoever says a word of five letters.
fn greet(path: &Path, greeting: &'static str) {
    let socket = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut word = [0; 5];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(&[greeting.as_bytes(), &word].concat()).unwrap();
        }
    });
}

/// Two who greet, and the settings that let commands speak to one of them.
fn listeners(workspace: &Path) -> String {
    let [agent, other] = ["agent.sock", "other.sock"].map(|it| workspace.with_file_name(it));
    greet(&agent, "greets ");
    greet(&other, "greets ");
    format!("allow_sockets = [{agent:?}]")
}

const ASK: &str = "python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b\"limn!\"); print(s.recv(99))
' ";

#[test]
fn a_socket_of_the_machine_is_reached_once_it_is_allowed_and_its_neighbour_is_not() {
    tell(&NAMESPACES, &["python3"], listeners, |desk| {
        let folder = desk.path("..").canonicalize().unwrap();
        let ask = |name: &str| format!("{ASK} {}", folder.join(name).display());
        desk.says(&ask("agent.sock"), "greets limn!");
        let (text, finished) = desk.cage.run(&["bash", "-c", &ask("other.sock")]);
        assert!(!finished.exit.success(), "{}: {text}", desk.cage.tier());
        // It can be spoken to and that is all.
        for attempt in ["rm", "chmod 777", "touch"] {
            let script = format!("{attempt} {}", folder.join("agent.sock").display());
            let (text, finished) = desk.cage.run(&["bash", "-c", &script]);
            assert!(!finished.exit.success(), "{}: {attempt}: {text}", desk.cage.tier());
        }
        // An agent that is started anew has another socket at the same path.
        std::fs::remove_file(folder.join("agent.sock")).unwrap();
        greet(&folder.join("agent.sock"), "greets again ");
        desk.says(&ask("agent.sock"), "greets again limn!");
    });
}

/// A bus of the host, which ends with the story.
struct Bus(Child, String);

impl Bus {
    fn start(path: &Path) -> Self {
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .arg(format!("--address=unix:path={}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self(child, address.trim().to_owned())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bus_of_the_machine_answers_once_it_is_allowed() {
    let folder = tempfile::Builder::new().prefix("limn-bus-").tempdir_in("/var/tmp").unwrap();
    let path: PathBuf = folder.path().join("bus");
    let is_there = Command::new("dbus-daemon").arg("--version").output().is_ok();
    let bus = is_there.then(|| Bus::start(&path));
    for allowed in [true, false] {
        let settings = if allowed { format!("allow_sockets = [{path:?}]") } else { String::new() };
        tell(
            &NAMESPACES,
            &["dbus-daemon", "dbus-send"],
            |_| settings.clone(),
            |desk| {
                let bus = bus.as_ref().unwrap();
                let script = format!(
                    "DBUS_SESSION_BUS_ADDRESS={} dbus-send --session --print-reply \
                 --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId",
                    bus.1
                );
                let (text, finished) = desk.cage.run(&["bash", "-c", &script]);
                let tier = desk.cage.tier();
                assert_eq!(finished.exit.success(), allowed, "{tier}: {text}");
                assert_eq!(text.contains("string \""), allowed, "{tier}: {text}");
            },
        );
    }
}
