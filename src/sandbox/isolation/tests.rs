use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, waitpid};
use tempfile::TempDir;

use super::session::once_more;
use super::{Sandbox, Tier};
use crate::holder::HolderProgram;
use crate::policy::{Policy, PolicyFile, Surroundings};
use crate::{CommandSpec, Finished, Running, SandboxError, TerminalSize};

/// Longer than any test takes on the slowest machine.
const FOR_EVER: &str = "100000";

/// This program as a holder: the test that acts as one.
fn program() -> HolderProgram {
    let test = "isolation::tests::acts_as_holder";
    HolderProgram {
        path: "/proc/self/exe".into(),
        args: ["--exact", test, "--ignored", "--nocapture"].map(OsString::from).to_vec(),
    }
}

#[test]
#[ignore = "the holder of other tests"]
fn acts_as_holder() {
    #[allow(unsafe_code, reason = "a holder has one thread, and the tests' program has two")]
    // SAFETY: the other thread only waits for this one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let _ = crate::holder::run();
        std::process::exit(0);
    }
    let _ = waitpid(rustix::process::Pid::from_raw(child), WaitOptions::empty());
}

/// A machine of its own: a home with a workspace in it, and what limn keeps.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["home/work/.git/hooks", "data"] {
            fs::create_dir_all(folder.path().join(name)).expect("created");
        }
        fs::write(folder.path().join("home/work/.git/config"), "[core]\n").expect("written");
        Self { folder }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn workspace(&self) -> PathBuf {
        self.home().join("work")
    }

    fn policy(&self) -> Policy {
        let around = Surroundings {
            workspace: self.workspace(),
            home: Some(self.home()),
            own: vec![self.folder.path().join("data")],
            variables: std::env::vars_os().collect(),
            ..Surroundings::default()
        };
        PolicyFile::default().policy(&around).expect("a policy")
    }
}

/// A sandbox of one tier, in a world of its own.
struct Bench {
    world: World,
    sandbox: Sandbox,
}

impl Bench {
    /// One for each tier that this machine has; which those are is printed.
    fn each(story: &str) -> Vec<Self> {
        let mut benches = Vec::new();
        for tier in Tier::ISOLATING {
            let world = World::new();
            let sandbox = Sandbox::with_program(world.policy(), &[tier], &program());
            match sandbox.untried() {
                [] => {
                    println!("{story}: in the tier {tier}");
                    benches.push(Self { world, sandbox });
                }
                [why, ..] => println!("{story}: NOT in the tier {tier}: {}", why.reason),
            }
        }
        assert!(!benches.is_empty(), "no tier works on this machine");
        benches
    }

    fn has_namespaces(&self) -> bool {
        self.sandbox.tier() != Tier::Landlock
    }

    fn spec(&self, script: &str) -> CommandSpec {
        CommandSpec {
            argv: ["bash", "-c", script].map(OsString::from).to_vec(),
            cwd: self.world.workspace(),
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("HOME".into(), self.world.home().into()),
            ],
            size: TerminalSize::default(),
            timeout: None,
            lingers: false,
            exec: None,
        }
    }

    fn spawn(&self, script: &str) -> Running {
        self.sandbox.spawn(self.spec(script)).expect("it starts")
    }

    /// What may leave something in the background.
    fn spawn_lingering(&self, script: &str) -> Running {
        let spec = CommandSpec { lingers: true, ..self.spec(script) };
        self.sandbox.spawn(spec).expect("it starts")
    }

    async fn run(&self, script: &str) -> (String, Finished) {
        finish(self.spawn(script)).await
    }

    /// What a command prints that ends well.
    async fn said(&self, script: &str) -> String {
        let (text, finished) = self.run(script).await;
        assert!(finished.exit.success(), "{}: {script}: {text}", self.sandbox.tier());
        text.replace('\r', "").trim_end().to_owned()
    }
}

async fn finish(mut running: Running) -> (String, Finished) {
    let mut bytes = Vec::new();
    while let Some(chunk) = running.output.recv().await {
        bytes.extend_from_slice(&chunk.bytes);
    }
    let finished = running.wait().await.expect("it is followed to its end");
    assert_eq!(finished.blake3, blake3::hash(&bytes).to_hex().to_string());
    (String::from_utf8_lossy(&bytes).into_owned(), finished)
}

/// Reads until the output from here on contains something.
async fn read_until(running: &mut Running, needle: &str) -> String {
    read_until_then(running, needle, "").await
}

/// Reads until one is said, and the other after it.
async fn read_until_then(running: &mut Running, needle: &str, then: &str) -> String {
    let mut seen = String::new();
    while !seen.split_once(needle).is_some_and(|(_, rest)| rest.contains(then)) {
        let chunk = running.output.recv().await.unwrap_or_else(|| {
            panic!("it ended without saying {needle:?}: {seen}");
        });
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    seen
}

/// Waits until the processes that were killed are gone.
fn await_none_with(word: &str) {
    let since = Instant::now();
    while !processes_with(word).is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", processes_with(word));
        std::thread::yield_now();
    }
}

/// The processes whose arguments end in this.
fn processes_with(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.trim_end().ends_with(word) {
            found.push(format!("{name} {line}"));
        }
    }
    found
}

/// A word that is in no other process's arguments: a long time to sleep.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("9{:07}{:03}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    for bench in Bench::each("exit codes") {
        let (text, finished) = bench.run("echo hello; exit 3").await;
        assert_eq!((text.as_str(), finished.exit.code), ("hello\r\n", Some(3)));
        let (_, finished) = bench.run("kill -SEGV $$").await;
        assert_eq!((finished.exit.code, finished.exit.signal), (None, Some(11)));
        let (_, finished) = bench.run("kill -9 $$").await;
        assert_eq!(finished.exit.signal, Some(9));
        let no_program = CommandSpec { argv: vec!["no-such-program".into()], ..bench.spec("") };
        let error = bench.sandbox.spawn(no_program).expect_err("it cannot start").to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}

#[tokio::test]
async fn the_terminal_is_real_and_its_own() {
    for bench in Bench::each("terminal") {
        let said =
            bench.said("tty; stty size; echo $TERM; test -t 0 && test -t 2 && echo yes").await;
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("/dev/pts/"), "{lines:?}");
        assert_eq!(&lines[1..], ["40 120", "xterm-256color", "yes"]);
        assert_eq!(bench.said("echo to the terminal > /dev/tty").await, "to the terminal");
        if bench.has_namespaces() {
            let nested = "script -qec 'tty; echo inside' /dev/null";
            let said = bench.said(nested).await;
            assert!(said.starts_with("/dev/pts/1") && said.ends_with("inside"), "{said}");
        }
    }
}

/// Waits until the process whose arguments end so has the foreground of its terminal.
async fn wait_for_foreground(arguments: &str) {
    let has_it = |process: &String| {
        let pid = process.split(' ').next().unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        // Its group, and the terminal's foreground.
        fields.len() > 5 && fields[2] == fields[5]
    };
    while !processes_with(arguments).iter().any(has_it) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn job_control_works() {
    for bench in Bench::each("job control") {
        let mut running = bench.spawn("export PS1='ready> '; exec bash --norc --noprofile -i");
        read_until(&mut running, "ready> ").await;
        let sleep = format!("sleep {}", unique());
        running.write(format!("{sleep}\n").as_bytes()).expect("room");
        wait_for_foreground(&sleep).await;
        running.write(b"\x1a").expect("room");
        read_until(&mut running, "Stopped").await;
        running.write(b"jobs; bg %1; echo in the back''ground\n").expect("room");
        read_until(&mut running, "in the background").await;
        running.write(b"fg %1\n").expect("room");
        wait_for_foreground(&sleep).await;
        running.write(b"\x03").expect("room");
        while !processes_with(&sleep).is_empty() {
            tokio::task::yield_now().await;
        }
        running.write(b"exit 5\n").expect("room");
        let (_, finished) = finish_whatever(running).await;
        assert_eq!(finished.exit.code, Some(5));
    }
}

/// As [`finish`], for what was read before already.
async fn finish_whatever(mut running: Running) -> (String, Finished) {
    let mut seen = String::new();
    while let Some(chunk) = running.output.recv().await {
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    (seen, running.wait().await.expect("it is followed to its end"))
}

#[tokio::test]
async fn keys_and_sizes_reach_the_command() {
    for bench in Bench::each("keys and sizes") {
        let mut running =
            bench.spawn("trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done");
        read_until(&mut running, "ready").await;
        running.write(b"\x03").expect("room");
        assert_eq!(finish_whatever(running).await.1.exit.code, Some(9));

        let mut running =
            bench.spawn("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done");
        read_until(&mut running, "ready").await;
        running.resize(TerminalSize { columns: 77, rows: 22 }).expect("it runs");
        let (seen, _) = finish_whatever(running).await;
        assert!(seen.contains("22 77"), "{seen:?}");

        let mut running = bench.spawn("echo ready; read line; echo got $line");
        read_until(&mut running, "ready").await;
        running.write(b"\x1a").expect("room");
        read_until(&mut running, "^Z").await;
        running.write(b"on\r").expect("room");
        read_until(&mut running, "got on").await;
    }
}

#[tokio::test]
async fn an_interpreter_is_driven_and_what_waits_is_noticed() {
    for bench in Bench::each("an interpreter") {
        let mut running = bench.spawn("exec python3 -q");
        let remote = running.remote();
        let mut watcher = remote.watch();
        read_until(&mut running, ">>> ").await;
        watcher.wait_for(|status| status.waits).await.expect("it goes on");
        running.write(b"print(6 * 7)\r").expect("room");
        // Between two lines the terminal is not the interpreter's, and an end there is none.
        read_until_then(&mut running, "42", ">>> ").await;
        running.write(b"\x04").expect("room");
        assert!(finish_whatever(running).await.1.exit.success());
    }
}

#[tokio::test]
async fn full_screen_programs_run() {
    for bench in Bench::each("full screen") {
        if bench.run("command -v vim").await.1.exit.success() {
            let mut running = bench.spawn("vim -u NONE -N note.txt");
            read_until(&mut running, "note.txt").await;
            running.write(b"ihello\x1b:wq\r").expect("room");
            assert!(finish_whatever(running).await.1.exit.success());
            let note = fs::read_to_string(bench.world.workspace().join("note.txt"));
            assert_eq!(note.expect("written"), "hello\n");
        }
        if bench.run("command -v top").await.1.exit.success() {
            let mut running = bench.spawn("top");
            read_until(&mut running, "PID").await;
            running.write(b"q").expect("room");
            assert!(finish_whatever(running).await.1.exit.success());
        }
    }
}

/// A server in Python, on a port of its choice that it writes into a file.
const SERVER: &str = "python3 -c '
import http.server, pathlib
server = http.server.HTTPServer((\"127.0.0.1\", 0), http.server.SimpleHTTPRequestHandler)
pathlib.Path(\"port.new\").write_text(str(server.server_port))
pathlib.Path(\"port.new\").rename(\"port\")
server.serve_forever()' >log 2>&1 &
while ! test -e port; do sleep 0.01; done";

const CLIENT: &str = "python3 -c '
import urllib.request
url = \"http://127.0.0.1:%s/page\" % open(\"port\").read()
print(urllib.request.urlopen(url).read().decode())'";

#[tokio::test]
async fn a_server_of_one_command_answers_the_next_and_files_live_on() {
    for bench in Bench::each("server").into_iter().filter(Bench::has_namespaces) {
        fs::write(bench.world.workspace().join("page"), "served").expect("written");
        let first = bench.spawn_lingering(&format!("{SERVER}; echo one > /tmp/note"));
        let mut watcher = first.remote().watch();
        watcher.wait_for(|status| status.left.is_some()).await.expect("it goes on");
        assert_eq!(bench.said(CLIENT).await, "served");
        assert_eq!(bench.said("cat /tmp/note; echo two >> /tmp/note").await, "one");
        assert_eq!(bench.said("cat /tmp/note").await, "one\ntwo");
        first.kill();
        finish_whatever(first).await;
        assert!(!bench.run(CLIENT).await.1.exit.success(), "it is gone");
        assert!(!std::path::Path::new("/tmp/note").exists(), "outside there is no such file");
    }
}

/// Starts what is hard to find: each sleeps for its own time.
fn stubborn(time: &str) -> String {
    format!(
        "trap '' TERM HUP INT
         (trap '' TERM HUP; exec sleep {time}) &
         nohup sleep {time} >/dev/null 2>&1 &
         setsid sleep {time} >/dev/null 2>&1 </dev/null &
         (setsid sh -c '(sleep {time} >/dev/null 2>&1 </dev/null &)' &)
         (env -i $(command -v setsid) sh -c '(/bin/sleep {time} >/dev/null 2>&1 </dev/null &)' &)
         while [ $(pgrep -c -x -f '.*sleep {time}') -lt 5 ]; do sleep 0.01; done
         echo ready"
    )
}

#[tokio::test]
async fn a_time_out_kills_its_own_tree_and_no_other() {
    for bench in Bench::each("time-out") {
        let (other, own) = (unique(), unique());
        let mut bystander = bench.spawn(&format!("{}; read line; exit 4", stubborn(&other)));
        read_until(&mut bystander, "ready").await;
        for timeout_ms in [500, 2_000, 8_000, 32_000] {
            let mut spec = bench.spec(&format!("{}; sleep {FOR_EVER}", stubborn(&own)));
            spec.timeout = Some(Duration::from_millis(timeout_ms));
            let (text, finished) = finish(bench.sandbox.spawn(spec).expect("it starts")).await;
            assert!(finished.exit.timed_out);
            await_none_with(&format!("sleep {own}"));
            if text.contains("ready") {
                break;
            }
        }
        assert_eq!(processes_with(&format!("sleep {other}")).len(), 5);
        bystander.write(b"\r").expect("room");
        assert_eq!(finish_whatever(bystander).await.1.exit.code, Some(4));
        await_none_with(&format!("sleep {other}"));
    }
}

#[tokio::test]
async fn a_keeper_that_is_killed_takes_its_tree_along() {
    for bench in Bench::each("a killed keeper") {
        let time = unique();
        let mut running = bench.spawn(&format!("{}; kill -9 $PPID; sleep {time}", stubborn(&time)));
        read_until(&mut running, "ready").await;
        let (_, finished) = finish_whatever(running).await;
        assert_eq!(finished.exit.signal, Some(9));
        await_none_with(&format!("sleep {time}"));
        assert_eq!(bench.said("echo on").await, "on");
    }
}

#[tokio::test]
async fn a_holder_that_dies_is_an_error_and_the_next_command_gets_another() {
    for bench in Bench::each("a dead holder") {
        let time = unique();
        let mut running = bench.spawn(&format!("{}; sleep {FOR_EVER}", stubborn(&time)));
        read_until(&mut running, "ready").await;
        bench.sandbox.kill_holder();
        while running.output.recv().await.is_some() {}
        // The kernel kills the command with its namespace; whether its keeper can still say so
        // before it dies as well is up to the kernel.
        match running.wait().await {
            Err(error) => assert!(matches!(error, SandboxError::IsolationLost), "{error}"),
            Ok(finished) => assert_eq!(finished.exit.signal, Some(9)),
        }
        await_none_with(&format!("sleep {time}"));
        assert_eq!(bench.said("echo on").await, "on");
    }
}

#[test]
fn only_a_command_that_nobody_has_seen_is_started_once_more() {
    let tries = |first: fn() -> SandboxError| {
        let asked = Cell::new(0);
        let answer = once_more(|| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { Err(first()) } else { Ok(()) }
        });
        (asked.get(), answer.is_ok())
    };
    assert_eq!(tries(|| SandboxError::IsolationGone), (2, true));
    assert_eq!(tries(|| SandboxError::NotStarted), (1, false));
    assert_eq!(tries(|| SandboxError::IsolationLost), (1, false));
    let asked = Cell::new(0);
    let gone = once_more(|| {
        asked.set(asked.get() + 1);
        Err::<(), _>(SandboxError::IsolationGone)
    });
    assert!(
        gone.is_err() && asked.get() == 2,
        "a sandbox that is always gone is not asked for ever"
    );
}

#[test]
fn what_a_holder_complains_of_is_the_reason_why_a_tier_does_not_work() {
    let world = World::new();
    let complains = "printf '\\n  bwrap: \\033[1mno namespaces here\\nmore\\n' >&2; exit 1";
    let program = HolderProgram {
        path: "/bin/sh".into(),
        args: ["-c", complains].map(OsString::from).to_vec(),
    };
    let sandbox = Sandbox::with_program(world.policy(), &[Tier::Namespaces], &program);
    let reason = &sandbox.untried()[0].reason;
    let expected = "the process that holds the sandbox ended at once: bwrap: [1mno namespaces here";
    assert_eq!(reason, expected);
}

#[tokio::test]
async fn settings_of_git_stay_closed_when_somebody_outside_replaces_them() {
    for bench in Bench::each("replaced settings").iter().filter(|it| it.has_namespaces()) {
        let git = bench.world.workspace().join(".git");
        let tamper = "echo fsmonitor=evil >>.git/config";
        assert!(!bench.run(tamper).await.1.exit.success());
        // As git does it: the mount goes with the old file.
        fs::write(git.join("config.lock"), "[core]\n[user]\n").expect("written");
        fs::rename(git.join("config.lock"), git.join("config")).expect("renamed");
        assert!(!bench.run(tamper).await.1.exit.success(), "{}", bench.sandbox.tier());
        let config = fs::read_to_string(git.join("config")).expect("read");
        assert_eq!(config, "[core]\n[user]\n");
    }
}

#[tokio::test]
async fn folders_of_submodules_and_work_trees_are_not_replaced() {
    for mut bench in Bench::each("folders of git").into_iter().filter(Bench::has_namespaces) {
        let git = bench.world.workspace().join(".git");
        for folder in ["modules/group/part", "worktrees/tree"] {
            fs::create_dir_all(git.join(folder)).expect("created");
        }
        for file in ["modules/group/part/HEAD", "modules/group/part/config"] {
            fs::write(git.join(file), "as it was\n").expect("written");
        }
        for file in ["commondir", "config.worktree", "gitdir"] {
            fs::write(git.join("worktrees/tree").join(file), "as it was\n").expect("written");
        }
        let tier = bench.sandbox.tier();
        bench.sandbox = Sandbox::with_program(bench.world.policy(), &[tier], &program());
        for folder in ["modules", "modules/group", "modules/group/part", "worktrees/tree"] {
            let script = format!("mv .git/{folder} elsewhere");
            assert!(!bench.run(&script).await.1.exit.success(), "{tier}: {folder}");
        }
        for file in ["commondir", "config.worktree", "gitdir"] {
            let script = format!("echo evil >.git/worktrees/tree/{file}");
            assert!(!bench.run(&script).await.1.exit.success(), "{tier}: {file}");
        }
        // What git writes there is written.
        bench.said("touch .git/worktrees/tree/index .git/modules/group/part/index").await;
    }
}

#[tokio::test]
async fn what_is_hidden_stays_so_when_an_editor_saves_it_and_when_it_is_made_later() {
    for mut bench in Bench::each("hidden and saved").into_iter().filter(Bench::has_namespaces) {
        let [saved, later] = [".env", "later.env"].map(|it| bench.world.workspace().join(it));
        fs::write(&saved, "TOKEN=1\n").expect("written");
        let mut policy = bench.world.policy();
        policy.hidden.extend([saved.clone(), later.clone()]);
        bench.sandbox = Sandbox::with_program(policy, &[bench.sandbox.tier()], &program());
        assert!(!bench.run("cat .env").await.1.exit.success());
        // As editors do it: the mount goes with the old file.
        fs::write(saved.with_extension("new"), "TOKEN=2\n").expect("written");
        fs::rename(saved.with_extension("new"), &saved).expect("renamed");
        assert!(!bench.run("cat .env").await.1.exit.success(), "{}", bench.sandbox.tier());
        fs::write(&later, "TOKEN=3\n").expect("written");
        assert!(!bench.run("cat later.env").await.1.exit.success(), "{}", bench.sandbox.tier());
        // Nothing else has to move for what does not change.
        bench.said("echo kept >/tmp/kept").await;
        assert_eq!(bench.said("cat /tmp/kept").await, "kept");
    }
}

#[tokio::test]
async fn files_move_from_folder_to_folder_and_have_names_in_both() {
    for bench in Bench::each("moving") {
        // By the system's calls: programs copy where they cannot move, and take longer.
        let script = "mkdir -p one/deep two && touch one/deep/file && python3 -c '
import os
os.rename(\"one/deep/file\", \"two/file\")
os.link(\"two/file\", \"one/link\")
os.rename(\"one/deep\", \"two/deep\")
os.makedirs(os.environ.get(\"TMPDIR\", \"/tmp\") + \"/a/b\")
os.chdir(os.environ.get(\"TMPDIR\", \"/tmp\"))
os.rename(\"a/b\", \"b\")'";
        bench.said(script).await;
        assert!(bench.world.workspace().join("one/link").exists());
    }
}

#[tokio::test]
async fn much_output_is_whole() {
    for bench in Bench::each("50 MB") {
        let (text, finished) = bench.run("head -c 50000000 /dev/zero | tr '\\0' x").await;
        assert_eq!((text.len(), finished.bytes), (50_000_000, 50_000_000));
        assert!(text.bytes().all(|byte| byte == b'x'));
    }
}

/// Kills a limn that has commands in every tier: run by the test below, in a program of its own.
#[tokio::test]
#[ignore = "run and killed by a_killed_limn_leaves_nothing"]
async fn alone_with_commands() {
    let time = std::env::var("LIMN_TEST_TIME").expect("a time");
    let mut all = Vec::new();
    for bench in Bench::each("to be killed") {
        let mut running = bench.spawn(&format!("{}; sleep {time}", stubborn(&time)));
        read_until(&mut running, "ready").await;
        all.push((bench, running));
    }
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).expect("killed");
}

#[test]
fn a_killed_limn_leaves_nothing() {
    let time = unique();
    let mut log = tempfile::tempfile().expect("a file");
    let test = "isolation::tests::alone_with_commands";
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("LIMN_TEST_TIME", &time)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log.try_clone().expect("a descriptor"))
        .status()
        .expect("it runs");
    let mut said = String::new();
    log.rewind().expect("a file");
    log.read_to_string(&mut said).expect("text");
    assert_eq!(status.signal(), Some(9), "{said}");
    println!("{said}");
    while !processes_with(&time).is_empty() {
        std::thread::yield_now();
    }
}
