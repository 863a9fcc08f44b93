//! Work that has to be possible inside: what a sandbox forbids of this, its users turn off.
//!
//! Every story runs in every tier of the machine, over a workspace of its own and with the real
//! home, where the toolchains are. A tool that is missing is named; it fails a story only under CI
//! and where `cargo xtask setup` should have installed it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandbox::{Surroundings, Tier};
use tempfile::TempDir;

use crate::cage::Cage;
use crate::ground::git;
use crate::world::say_skipped;

/// What `cargo xtask setup` checks or installs.
const INSTALLED: &[&str] = &["cargo", "cc", "git", "node", "python3", "script"];

/// A workspace in one tier.
pub struct Desk {
    folder: TempDir,
    pub cage: Cage,
}

impl Desk {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a script that has to succeed; what it printed.
    #[track_caller]
    pub fn does(&self, script: &str) -> String {
        let (text, finished) = self.cage.run(&["bash", "-ec", script]);
        assert!(finished.exit.success(), "{script}\n{text}{:?}", finished.exit);
        text
    }

    /// Runs one that has to print this.
    #[track_caller]
    pub fn says(&self, script: &str, expected: &str) {
        let text = self.does(script);
        assert!(text.contains(expected), "{script}: no {expected:?} in:\n{text}");
    }
}

/// Tells a story in every tier of this machine.
fn everywhere(tools: &[&str], settings: &str, story: impl Fn(&Desk)) {
    tell(&Tier::ISOLATING, tools, |work| repository(work, settings), story);
}

/// Tells one that needs a network, sockets or shared memory inside, which only namespaces give.
fn with_namespaces(tools: &[&str], story: impl Fn(&Desk)) {
    tell(&NAMESPACES, tools, |work| repository(work, ""), story);
}

/// The tiers in which a network, sockets and mounts are the sandbox's own.
pub const NAMESPACES: [Tier; 2] = [Tier::Namespaces, Tier::Bwrap];

/// Tells a story in these tiers. What lies where before it begins, and with which settings, `lay`
/// says: it is given the workspace, which is empty.
pub fn tell(tiers: &[Tier], tools: &[&str], lay: impl Fn(&Path) -> String, story: impl Fn(&Desk)) {
    let is_ci = std::env::var_os("CI").is_some();
    for tool in tools {
        let found = Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output().unwrap();
        if !found.status.success() {
            assert!(!(is_ci && INSTALLED.contains(tool)), "under CI {tool} has to be there");
            say_skipped(&format!("a story that needs {tool}, which is not here"));
            return;
        }
    }
    for tier in tiers.iter().copied() {
        let folder = tempfile::Builder::new().prefix("limn-desk-").tempdir_in("/var/tmp").unwrap();
        let workspace = folder.path().join("work");
        fs::create_dir(&workspace).unwrap();
        let settings = lay(&workspace);
        match desk(tier, folder.path(), &settings) {
            Ok(cage) => story(&Desk { folder, cage }),
            Err(reason) => {
                say_skipped(&format!("a story in the tier {tier}: {reason}"));
                continue;
            }
        }
        eprintln!("{tier} was used");
    }
}

/// What most workspaces are.
fn repository(workspace: &Path, settings: &str) -> String {
    git(workspace, &["init", "--quiet", "--initial-branch=main", "."]);
    settings.to_owned()
}

fn desk(tier: Tier, folder: &Path, settings: &str) -> Result<Cage, String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let around = Surroundings {
        workspace: folder.join("work"),
        home,
        own: vec![folder.join("data")],
        caches: Some(folder.join("caches")),
        variables: std::env::vars_os().collect(),
        ..Surroundings::default()
    };
    fs::create_dir_all(folder.join("caches")).unwrap();
    let policy: sandbox::PolicyFile = toml::from_str(settings).unwrap();
    let mut env = policy.policy(&around).expect("a policy").environment(std::env::vars_os());
    let who = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
    env.extend(who.map(|name| (name.into(), "somebody@example.org".into())));
    Cage::new(tier, &around, settings, env)
}

#[test]
fn git_works() {
    everywhere(&["git"], "", |desk| {
        desk.write("a.txt", "one\n");
        desk.does(
            "git add . && git commit --quiet -m one && git tag first \
             && git checkout --quiet -b side && echo two >> a.txt && git commit --quiet -am two \
             && git checkout --quiet main && git merge --quiet side && git branch -d side",
        );
        desk.does("echo three >> a.txt && git stash --quiet && git stash pop --quiet");
        desk.does("git commit --quiet --amend -am three && git rebase --quiet first");
        desk.does("git mv a.txt b.txt && git commit --quiet -m moved && git gc --quiet");
        desk.does(
            "git worktree add --quiet tree -b tree && cd tree && echo four > c.txt \
             && git add . && git commit --quiet -m four && git -C .. merge --quiet tree",
        );
        desk.does("git clone --quiet . copy && git -C copy log --oneline | grep -q four");
        desk.says("git log --oneline | wc -l", "4");
        // What the user sees of it outside.
        let mut log = Command::new("git");
        let log = log.args(["log", "--format=%s"]).current_dir(desk.path(".")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&log.stdout).lines().next(), Some("four"));
    });
}

#[test]
fn files_are_moved_and_linked_from_folder_to_folder() {
    everywhere(&["python3"], "", |desk| {
        // Not by `mv`, which copies where it may not move.
        let moves = "import os; os.rename('a/x', 'b/y'); os.link('b/y', 'a/z'); print('moved')";
        desk.says(&format!("mkdir a b; touch a/x; python3 -c \"{moves}\""), "moved");
    });
}

#[test]
fn cargo_builds_and_tests_offline() {
    everywhere(&["cargo", "cc"], "", |desk| {
        desk.write(
            "Cargo.toml",
            "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2024'\n",
        );
        desk.write("src/lib.rs", "pub fn product() -> u32 { 6 * 7 }\n");
        desk.write(
            "src/main.rs",
            "fn main() { println!(\"{}\", small::product()) }\n#[test] fn holds() {}\n",
        );
        desk.says("cargo run --offline --quiet", "42");
        desk.says("cargo test --offline 2>&1", "1 passed");
    });
}

#[test]
fn make_runs_jobs_beside_each_other() {
    everywhere(&["make", "cc"], "", |desk| {
        desk.write("one.c", "int two(void); int main(void) { return two() - 2; }\n");
        desk.write("two.c", "int two(void) { return 2; }\n");
        desk.write("Makefile", "all: one.o two.o\n\tcc -o all one.o two.o\n");
        desk.does("make -j2 && ./all");
    });
}

#[test]
fn npm_installs_and_tests_a_local_package() {
    everywhere(&["npm", "node"], "", |desk| {
        desk.write("part/package.json", "{\"name\": \"part\", \"version\": \"1.0.0\"}");
        desk.write("part/index.js", "module.exports = () => 'from the part';\n");
        desk.write(
            "package.json",
            "{\"name\": \"whole\", \"version\": \"1.0.0\", \"scripts\": {\"test\": \"node test.js\"}}",
        );
        desk.write("test.js", "console.log(require('part')());\n");
        desk.does("npm install --offline --no-audit --no-fund ./part");
        desk.says("npm test", "from the part");
    });
}

#[test]
fn pip_installs_a_local_wheel_and_its_tests_run() {
    everywhere(&["python3"], "", |desk| {
        desk.write("wheel.py", WHEEL);
        desk.write("test_part.py", TEST);
        desk.does("python3 wheel.py && python3 -m venv .venv");
        desk.does(".venv/bin/pip install --quiet --no-index ./part-1.0-py3-none-any.whl");
        desk.says(".venv/bin/python -m unittest 2>&1", "OK");
    });
}

const WHEEL: &str = "
import zipfile
with zipfile.ZipFile('part-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('part.py', 'def part(): return 42\\n')
    info = 'part-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: part\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', 'part.py,,\\n')
";

const TEST: &str = "
import unittest, part
class Holds(unittest.TestCase):
    def test_it(self): self.assertEqual(part.part(), 42)
";

#[test]
fn a_server_of_one_command_answers_the_next_and_a_time_out_is_nobody_else_s() {
    with_namespaces(&["python3"], |desk| {
        desk.write("page.txt", "hello from the page\n");
        let mut server = desk.cage.begin("exec python3 -u -m http.server --bind 127.0.0.1 0");
        server.until("port ").until(")");
        let fetch = "import sys, urllib.request as u; \
                     print(u.build_opener(u.ProxyHandler({})).open(sys.argv[1] + 'page.txt').read())";
        let url = server.seen().split('(').nth(1).unwrap().split(')').next().unwrap().to_owned();
        let fetch = format!("python3 -c {fetch:?} {url}");
        desk.says(&fetch, "hello from the page");
        let (_, late) =
            desk.cage.begin_for("sleep 1000 & sleep 1000", Duration::from_millis(300)).end();
        assert!(late.exit.timed_out);
        let curl = format!("curl --silent --noproxy '*' {url}page.txt");
        let again = format!("if command -v curl >/dev/null; then {curl}; else {fetch}; fi");
        desk.says(&again, "hello from the page");
    });
}

#[test]
fn files_in_tmp_live_on_and_stay_inside() {
    everywhere(&[], "", |desk| {
        desk.does("dir=$(mktemp -d) && echo kept > \"$dir/file\" && echo \"$dir\" > where");
        desk.does("true");
        desk.says("cat \"$(cat where)/file\"", "kept");
        desk.does("[ -w \"$HOME\" ] || [ ! -e \"$HOME\" ] || true; : > /dev/null; : < /dev/zero");
    });
}

#[test]
fn sockets_between_commands_work_as_agents_use_them() {
    with_namespaces(&["python3"], |desk| {
        desk.write("agent.py", AGENT);
        let mut agent = desk.cage.begin("exec python3 -u agent.py serve");
        agent.until("ready");
        desk.says("python3 agent.py ask", "hello from the agent");
        drop(agent);
    });
}

const AGENT: &str = "
import os, socket, sys
path = '/tmp/agent/S.agent'
s = socket.socket(socket.AF_UNIX)
if sys.argv[1] == 'serve':
    os.makedirs('/tmp/agent', 0o700)
    s.bind(path); s.listen(); print('ready', flush=True)
    s.accept()[0].sendall(b'hello from the agent')
else:
    s.connect(path); print(s.recv(100))
";

#[test]
fn gpg_signs_with_its_agent() {
    with_namespaces(&["gpg", "gpg-agent"], |desk| {
        desk.does(
            "export GNUPGHOME=/tmp/keys && mkdir -m 700 $GNUPGHOME \
             && gpg --batch --quiet --passphrase '' --quick-gen-key somebody@example.org ed25519 sign \
             && echo text | gpg --batch --sign | gpg --quiet --decrypt",
        );
    });
}

#[test]
fn processes_threads_and_locks_work() {
    with_namespaces(&["python3"], |desk| {
        desk.write("many.py", MANY);
        desk.says("python3 many.py", "[0, 1, 4, 9] 200 rows");
    });
}

const MANY: &str = "
import multiprocessing, sqlite3, threading

def square(number): return number * number

def add(_):
    with sqlite3.connect('shared.db', timeout=60) as rows:
        for number in range(50):
            rows.execute('INSERT INTO rows VALUES (?)', (number,))
            rows.commit()

if __name__ == '__main__':
    rows = sqlite3.connect('shared.db')
    rows.execute('PRAGMA journal_mode = WAL')
    rows.execute('CREATE TABLE rows (number)')
    rows.commit()
    with multiprocessing.Pool(4) as pool:
        squares = pool.map(square, range(4))
        pool.map(add, range(4), 1)
    queue = multiprocessing.Queue()
    other = multiprocessing.Process(target=queue.put, args=(1,))
    other.start(); queue.get(); other.join()
    threading.Thread(target=lambda: None).start()
    print(squares, rows.execute('SELECT count(*) FROM rows').fetchone()[0], 'rows')
";

#[test]
fn node_has_worker_threads() {
    everywhere(&["node"], "", |desk| {
        desk.write("worker.js", WORKER);
        desk.says("node worker.js", "from a worker");
    });
}

const WORKER: &str = "
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (isMainThread) new Worker(__filename).on('message', (text) => console.log(text));
else parentPort.postMessage('from a worker');
";

#[test]
fn a_terminal_is_a_terminal() {
    everywhere(&["script", "python3"], "", |desk| {
        desk.says("test -t 0 && test -t 1 && tty && : > /dev/tty && stty size", "/dev/");
        // Other people's terminals lie beside a new one where there are no mounts.
        if desk.cage.tier() != Tier::Landlock {
            desk.says("script --quiet --return --command 'tty && echo nested' /dev/null", "nested");
        }
        // Job control, by hand.
        let mut shell = desk.cage.begin("exec bash --norc --noprofile -i");
        shell.types("PS1=READY'> '\n").until("READY> ");
        let job = "bash -c 'trap \"echo resumed-\\$((40+2))\" CONT; echo begun-$((40+2)); \
                   while :; do sleep 0.1; done'\n";
        shell.types(job).until("begun-42").types("\x1a").until("Stopped");
        shell.types("jobs\n").until("[1]+").types("fg\n").until("resumed-42");
        shell.types("\x03").until("^C").types("echo so-$((40+2))\n").until("so-42");
        shell.resizes(91, 31).types("stty size\n").until("31 91");
        shell.types("python3 -q\n").until(">>> ").types("6*7\n").until("42\r\n").types("exit()\n");
        shell.types("exit\n");
        let (_, finished) = shell.end();
        assert!(finished.exit.success());
    });
}

#[test]
fn full_screen_programs_run() {
    everywhere(&["less", "vim"], "", |desk| {
        desk.write("long.txt", &"a line\n".repeat(500));
        let mut pager = desk.cage.begin("less long.txt");
        pager.until("a line").types("G").until("END").types("q");
        assert!(pager.end().1.exit.success());
        let mut editor = desk.cage.begin("vim -u NONE -i NONE new.txt");
        editor.until("~").types("itext\x1b").types(":wq\r");
        assert!(editor.end().1.exit.success());
        assert_eq!(fs::read_to_string(desk.path("new.txt")).unwrap(), "text\n");
        desk.does("top -b -n 1 > /dev/null");
    });
}

#[test]
fn debuggers_and_tracers_reach_what_they_started() {
    with_namespaces(&["strace", "gdb", "cc"], |desk| {
        desk.write("one.c", "int main(void) { return 3; }\n");
        desk.does("cc -g -o one one.c");
        desk.says("strace -f -e trace=exit_group ./one 2>&1 || true", "exit_group(3)");
        desk.says("gdb --batch -ex run ./one 2>&1", "exited with code 03");
    });
}

#[test]
fn a_bus_of_its_own_works() {
    with_namespaces(&["dbus-run-session", "dbus-send"], |desk| {
        desk.says(
            "dbus-run-session -- dbus-send --session --print-reply --dest=org.freedesktop.DBus \
             / org.freedesktop.DBus.ListNames",
            "org.freedesktop.DBus",
        );
    });
}

#[test]
fn a_killed_sandbox_makes_way_for_the_next_command() {
    everywhere(&[], "", |desk| {
        if desk.cage.tier() != Tier::Landlock {
            desk.cage.run(&["bash", "-c", "kill -9 1 $PPID; true"]);
        }
        desk.says("echo still here", "still here");
    });
}

#[test]
fn a_busy_loop_ends_with_its_processor_time() {
    everywhere(&[], "limits = { cpu_s = 1 }", |desk| {
        let (_, finished) = desk.cage.run(&["bash", "-c", "while :; do :; done"]);
        assert!(finished.exit.signal.is_some() && !finished.exit.timed_out);
    });
}
