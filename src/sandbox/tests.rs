use std::ffi::OsString;
use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{
    CommandSpec, Finished, Left, OutputChunk, Policy, Running, Sandbox, SandboxError, TerminalSize,
    Tier,
};

/// Longer than any test takes on the slowest machine.
const FOR_EVER: &str = "100000";

fn spec(script: &str) -> CommandSpec {
    CommandSpec {
        argv: ["sh", "-c", script].map(OsString::from).to_vec(),
        cwd: std::env::temp_dir(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        size: TerminalSize::default(),
        timeout: None,
        lingers: false,
        exec: None,
    }
}

fn spawn(script: &str) -> Running {
    Sandbox::off().spawn(spec(script)).expect("it starts")
}

/// All that a command prints, and its end.
async fn finish(mut running: Running) -> (Vec<u8>, Finished) {
    let mut bytes = Vec::new();
    while let Some(chunk) = running.output.recv().await {
        check_chunk(&chunk);
        bytes.extend_from_slice(&chunk.bytes);
    }
    let finished = running.wait().await.expect("it is followed to its end");
    assert_eq!(finished.bytes, bytes.len() as u64);
    assert_eq!(finished.blake3, blake3::hash(&bytes).to_hex().to_string());
    (bytes, finished)
}

fn check_chunk(chunk: &OutputChunk) {
    let marked: u64 = chunk.marks.iter().map(|(_, length)| u64::from(*length)).sum();
    assert_eq!(marked, chunk.bytes.len() as u64);
    assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= 64 * 1024);
}

async fn run(script: &str) -> (Vec<u8>, Finished) {
    finish(spawn(script)).await
}

/// Runs what prints `expect` and then goes on for ever, until its time is up. How long a machine
/// takes to print that, nobody knows: too short a time is tried again with a longer one.
async fn run_out_of_time(script: &str, expect: &[u8]) -> (Vec<u8>, Finished) {
    for timeout_ms in [100, 400, 1_600, 6_400, 25_600] {
        let mut spec = spec(script);
        spec.timeout = Some(Duration::from_millis(timeout_ms));
        let (bytes, finished) = finish(Sandbox::off().spawn(spec).expect("it starts")).await;
        assert!(finished.exit.timed_out);
        assert!(expect.starts_with(&bytes) || bytes.starts_with(expect), "{bytes:?}");
        if bytes.starts_with(expect) {
            return (bytes, finished);
        }
    }
    panic!("it never printed that");
}

/// A FIFO of its own: a write waits for a reader and a read for a writer.
fn fifo(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

/// Reads until the output so far contains something.
async fn read_until(running: &mut Running, needle: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(needle) {
        let chunk = running.output.recv().await.expect("it goes on until it has said that");
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    seen
}

/// Whether a process is there, and not only its remains.
fn is_alive(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

/// Waits until a process that was killed is gone.
fn await_death(pid: &str) {
    let since = Instant::now();
    while is_alive(pid) {
        assert!(since.elapsed() < Duration::from_secs(60), "{pid} is still alive");
        std::thread::yield_now();
    }
}

fn pids_in(folder: &Path) -> Vec<String> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let pid = fs::read_to_string(entry.expect("an entry").path()).expect("a pid");
        pids.push(pid.trim().to_owned());
    }
    pids
}

#[tokio::test]
async fn exit_codes_and_signals() {
    let (bytes, finished) = run("echo hello; exit 3").await;
    assert_eq!(bytes, b"hello\r\n");
    assert_eq!(finished.text.text, "hello");
    assert_eq!((finished.exit.code, finished.exit.signal), (Some(3), None));
    let (_, finished) = run("true").await;
    assert!(finished.exit.success());
    let (_, finished) = run("kill -SEGV $$").await;
    assert_eq!((finished.exit.code, finished.exit.signal), (None, Some(11)));
    assert!(!finished.exit.timed_out);
}

#[tokio::test]
async fn without_isolation_commands_are_refused() {
    // This policy isolates nothing, so no tier can enforce it.
    let sandbox = Sandbox::auto(Policy::default());
    assert_eq!((sandbox.tier(), Sandbox::off().tier()), (Tier::None, Tier::Off));
    let error = sandbox.spawn(spec("true")).expect_err("it is refused");
    assert!(matches!(error, SandboxError::Refused(_)));
    assert!(error.to_string().contains("--sandbox off"), "{error}");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let check = |change: fn(&mut CommandSpec), expect: &str| {
        let mut spec = spec("true");
        change(&mut spec);
        let error = Sandbox::off().spawn(spec).expect_err("it cannot start").to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(|spec| spec.argv.clear(), "empty");
    check(
        |spec| spec.argv = vec!["no-such-program".into()],
        "`no-such-program` was not found on the PATH",
    );
    check(|spec| spec.argv = vec!["./no-such".into()], "`./no-such` was not found in");
    check(|spec| spec.argv.push("a\0b".into()), "NUL");
    check(|spec| spec.env.clear(), "no PATH");
    check(|spec| spec.cwd = "/no/such/folder".into(), "`/no/such/folder`");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "no program\n").expect("written");
    let no_folder = CommandSpec { cwd: file.clone(), ..spec("true") };
    let error = Sandbox::off().spawn(no_folder).expect_err("it cannot start").to_string();
    assert!(error.contains("not a folder"), "{error}");
    let no_program = CommandSpec { argv: vec![file.into()], ..spec("true") };
    let error = Sandbox::off().spawn(no_program).expect_err("it cannot start").to_string();
    assert!(error.contains("cannot be executed"), "{error}");
    let script = folder.path().join("broken");
    fs::write(&script, "#!/no/such/interpreter\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("set");
    let broken = CommandSpec { argv: vec![script.into()], ..spec("true") };
    let error = Sandbox::off().spawn(broken).expect_err("it cannot start").to_string();
    assert!(error.contains("`/no/such/interpreter`"), "{error}");
    // What the kernel alone can tell is at least not a success.
    let odd = folder.path().join("odd");
    fs::write(&odd, "neither a script nor a program\n").expect("written");
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).expect("set");
    let odd = CommandSpec { argv: vec![odd.into()], ..spec("true") };
    if let Ok(running) = Sandbox::off().spawn(odd) {
        let finished = running.wait().await.expect("the end");
        assert!(!finished.exit.success());
    }
}

#[tokio::test]
async fn the_terminal_is_real() {
    let (_, finished) =
        run("tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo yes").await;
    let lines: Vec<&str> = finished.text.text.lines().collect();
    assert!(lines[0].starts_with("/dev/"), "{lines:?}");
    assert_eq!(&lines[1..], ["40 120", "xterm-256color", "yes"]);
    let (_, finished) =
        run("ps -o sid= -p $$ | tr -d ' '; echo $$; set -m; sleep 0 & wait; echo jobs").await;
    let lines: Vec<&str> = finished.text.text.lines().collect();
    assert_eq!(lines.last(), Some(&"jobs"));
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let mut spec = spec(
        "env | sed 's/^LIMN_EXEC=.*/LIMN_EXEC/' | grep -v '^_=\\|^SHLVL=\\|^OLDPWD=\\|^SHELL=' | sort",
    );
    spec.env.push(("GREETING".into(), "hello there".into()));
    let (_, finished) = finish(Sandbox::off().spawn(spec).expect("it starts")).await;
    let lines: Vec<&str> = finished.text.text.lines().collect();
    let pwd = format!("PWD={}", std::env::temp_dir().display());
    assert_eq!(
        lines,
        [
            "GREETING=hello there",
            "LIMN_EXEC",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            &pwd,
            "TERM=xterm-256color"
        ]
    );
}

#[tokio::test]
async fn no_output_is_lost() {
    for round in 0..100 {
        let (bytes, _) = run(&format!("echo round {round}; echo end")).await;
        assert_eq!(String::from_utf8_lossy(&bytes), format!("round {round}\r\nend\r\n"));
    }
}

#[tokio::test]
async fn bytes_are_kept_as_they_are() {
    let (bytes, finished) = run(r"printf 'a\000b\377\376\342\202c'").await;
    assert_eq!(bytes, b"a\0b\xff\xfe\xe2\x82c");
    assert_eq!(finished.text.text, "ab\u{fffd}\u{fffd}\u{fffd}c");
}

#[tokio::test]
async fn a_great_deal_of_output_is_complete() {
    let (bytes, finished) = run("stty -opost; seq 1 1500000").await;
    let expect: String = (1..=1_500_000).map(|n| format!("{n}\n")).collect();
    assert!(bytes == expect.as_bytes(), "{} of {} bytes", bytes.len(), expect.len());
    assert!(finished.text.truncation.is_some());
}

#[tokio::test]
async fn a_slow_reader_slows_the_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = folder.path().join("done");
    // Far more than channel and terminal hold: it cannot finish before it is read.
    let mut running = spawn(&format!("seq 1 2000000; touch {}", done.display()));
    let first = running.output.recv().await.expect("output");
    while !running.output.is_stalled() && !done.exists() {
        std::thread::yield_now();
    }
    assert!(!done.exists());
    let mut bytes = first.bytes.to_vec();
    while let Some(chunk) = running.output.recv().await {
        bytes.extend_from_slice(&chunk.bytes);
    }
    assert!(done.exists());
    assert!(bytes.ends_with(b"\r\n2000000\r\n"));
    assert_eq!(running.wait().await.expect("the end").bytes, bytes.len() as u64);
}

/// Stops to read a command that prints for ever, until its time is up; then reads the rest.
async fn is_ended_though_stalled() -> bool {
    for timeout_ms in [200, 800, 3_200, 12_800] {
        let mut spec = spec("echo $$; exec yes");
        spec.timeout = Some(Duration::from_millis(timeout_ms));
        let mut running = Sandbox::off().spawn(spec).expect("it starts");
        // Its time may be up before it has said anything: then it needs more.
        let Some(first) = running.output.recv().await else { continue };
        let printed = String::from_utf8_lossy(&first.bytes).into_owned();
        let Some((pid, _)) = printed.split_once("\r\n") else { continue };
        while is_alive(pid) {
            std::thread::yield_now();
        }
        while running.output.recv().await.is_some() {}
        return running.wait().await.expect("the end").exit.timed_out;
    }
    panic!("it never printed anything");
}

#[tokio::test]
async fn a_command_that_nobody_hears_is_ended_all_the_same() {
    let mut unheard = spec("yes");
    unheard.timeout = Some(Duration::from_millis(200));
    let running = Sandbox::off().spawn(unheard).expect("it starts");
    // Never read: stalled, and still ended in time.
    assert!(running.wait().await.expect("the end").exit.timed_out);
    assert!(is_ended_though_stalled().await);
}

#[tokio::test]
async fn background_processes_do_not_hold_it_up() {
    let (bytes, finished) = run(&format!("sleep {FOR_EVER} & echo started")).await;
    assert_eq!(bytes, b"started\r\n");
    assert!(finished.exit.success());
}

fn bash(script: &str) -> Running {
    let argv = ["bash", "-c", script].map(OsString::from).to_vec();
    Sandbox::off().spawn(CommandSpec { argv, ..spec("") }).expect("it starts")
}

fn spawn_lingering(script: &str) -> Running {
    let spec = CommandSpec { lingers: true, ..spec(script) };
    Sandbox::off().spawn(spec).expect("it starts")
}

/// Waits until the command itself has ended and something of it goes on.
async fn left(running: &Running) -> Left {
    let mut watcher = running.remote().watch();
    let status = watcher.wait_for(|status| status.left.is_some()).await.expect("it goes on");
    status.left.clone().expect("it was waited for")
}

#[tokio::test]
async fn what_stays_in_the_background_goes_on_until_it_is_killed() {
    let mut running = spawn_lingering(&format!(
        "sleep {FOR_EVER} & until grep -qs ^sleep /proc/$!/cmdline; do :; done; echo $!; exit 3"
    ));
    let left = left(&running).await;
    assert_eq!(left.exit.code, Some(3));
    assert_eq!(left.names, [format!("sleep {FOR_EVER}")]);
    let pid = read_until(&mut running, "\n").await;
    assert!(is_alive(pid.trim()));
    running.kill();
    let finished = running.wait().await.expect("the end");
    assert_eq!((finished.exit.code, finished.exit.timed_out), (Some(3), false));
    await_death(pid.trim());
}

#[tokio::test]
async fn what_stays_may_end_by_itself_and_is_heard_until_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = fifo(folder.path(), "gate");
    for redirect in ["", ">/dev/null 2>&1 </dev/null"] {
        let mut running = spawn_lingering(&format!(
            "(sh -c 'read line < {}; echo late') {redirect} & echo first",
            gate.display()
        ));
        left(&running).await;
        read_until(&mut running, "first").await;
        fs::write(&gate, "go\n").expect("written");
        let mut rest = Vec::new();
        while let Some(chunk) = running.output.recv().await {
            rest.extend_from_slice(&chunk.bytes);
        }
        assert_eq!(String::from_utf8_lossy(&rest).contains("late"), redirect.is_empty());
        assert!(running.wait().await.expect("the end").exit.success());
    }
}

#[tokio::test]
async fn what_stays_has_its_time_too() {
    let timeout = Some(Duration::from_millis(500));
    let script = format!("setsid sleep {FOR_EVER} & echo $!");
    let spec = CommandSpec { lingers: true, timeout, ..spec(&script) };
    let running = Sandbox::off().spawn(spec).expect("it starts");
    assert!(running.wait().await.expect("the end").exit.timed_out);
}

#[tokio::test]
async fn a_limit_that_is_lifted_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = fifo(folder.path(), "gate");
    let script = format!("echo on; read line < {}; exit 4", gate.display());
    let timeout = Some(Duration::from_secs(3_000));
    let mut running =
        Sandbox::off().spawn(CommandSpec { timeout, ..spec(&script) }).expect("it starts");
    running.remote().lift_limit();
    read_until(&mut running, "on").await;
    fs::write(&gate, "go\n").expect("written");
    assert_eq!(running.wait().await.expect("the end").exit.code, Some(4));
}

#[tokio::test]
async fn who_waits_for_input_is_noticed_and_what_is_new_is_taken() {
    let mut running = bash("read -p 'name? ' name; echo hello $name; read -p 'age? ' age; exit 5");
    running.output.recv().await.expect("output");
    let remote = running.remote();
    let mut watcher = remote.watch();
    watcher.wait_for(|status| status.waits).await.expect("it goes on");
    assert_eq!(remote.take_text().text, "name?");
    remote.write(b"Ann\r").expect("room");
    watcher.wait_for(|status| status.waits).await.expect("it goes on");
    assert_eq!(remote.take_text().text, "Ann\nhello Ann\nage?");
    assert_eq!(remote.take_text().text, "");
    remote.write(b"7\r").expect("room");
    let finished = running.wait().await.expect("the end");
    assert_eq!((finished.exit.code, finished.text.text.as_str()), (Some(5), "7"));
    assert!(matches!(remote.write(b"late"), Err(SandboxError::Ended)));
}

#[tokio::test]
async fn a_long_paste_reaches_a_program_that_reads_it() {
    let mut running = spawn("stty raw -echo; printf ready; head -c 1000000 | wc -c");
    read_until(&mut running, "ready").await;
    let long = vec![b'x'; 1_000_000];
    assert!(matches!(running.write(&long), Err(SandboxError::InputFull(0))));
    running.remote().paste(&long).expect("room");
    read_until(&mut running, "1000000").await;
    assert!(running.wait().await.expect("the end").exit.success());
}

#[tokio::test]
async fn control_z_does_not_put_it_to_sleep() {
    let mut running = spawn("echo ready; read line; echo got $line");
    read_until(&mut running, "ready").await;
    running.write(b"\x1a").expect("room");
    read_until(&mut running, "^Z").await;
    running.write(b"on\r").expect("room");
    read_until(&mut running, "got on").await;
    assert!(running.wait().await.expect("the end").exit.success());
}

/// Starts what is hard to kill: each writes its process number into a file of the folder.
fn stubborn(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "trap '' TERM HUP INT
         say() {{ echo $$ > {folder}/$1.new; mv {folder}/$1.new {folder}/$1; }}
         body='trap \"\" TERM HUP; echo $$ > {folder}/$0.new; mv {folder}/$0.new {folder}/$0; sleep {FOR_EVER}; true'
         sh -c \"$body\" plain &
         nohup sh -c \"$body\" nohup >/dev/null 2>&1 &
         setsid sh -c \"$body\" setsid >/dev/null 2>&1 </dev/null &
         (setsid sh -c \"(sh -c '$body' daemon) >/dev/null 2>&1 </dev/null &\" &)
         (env -i PATH=$PATH setsid sh -c \"(sh -c '$body' stripped) >/dev/null 2>&1 </dev/null &\" &)
         say leader
         while [ $(ls {folder} | grep -vc new) -lt 6 ]; do sleep 0.01; done
         echo ready"
    )
}

fn check_all_dead(folder: &Path) {
    let pids = pids_in(folder);
    assert_eq!(pids.len(), 6);
    pids.iter().for_each(|pid| await_death(pid));
}

/// In a process of its own: a daemon without a marker is told only while no other command runs.
fn in_own_process(test: &str) {
    let program = std::env::current_exe().expect("this test");
    // Into a file: whoever outlives the test by mistake would keep a pipe open.
    let mut log = tempfile::tempfile().expect("a file");
    let status = Command::new(program)
        .args([
            "--exact",
            &format!("tests::{test}"),
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log.try_clone().expect("a descriptor"))
        .status()
        .expect("it runs");
    let mut said = String::new();
    log.rewind().expect("a file");
    log.read_to_string(&mut said).expect("text");
    assert!(status.success(), "{said}");
}

#[test]
fn everything_dies_with_the_command() {
    in_own_process("alone_normal_end");
    in_own_process("alone_time_out");
    in_own_process("alone_kill");
    in_own_process("alone_drop");
    in_own_process("alone_kill_all");
}

#[tokio::test]
#[ignore = "run alone by everything_dies_with_the_command"]
async fn alone_normal_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (bytes, finished) = run(&format!("{}; exit 7", stubborn(folder.path()))).await;
    assert_eq!(bytes, b"ready\r\n");
    assert_eq!(finished.exit.code, Some(7));
    check_all_dead(folder.path());
    let children = fs::read_to_string("/proc/thread-self/children").expect("its children");
    assert_eq!(children.trim(), "", "remains were not collected");
}

#[tokio::test]
#[ignore = "run alone by everything_dies_with_the_command"]
async fn alone_time_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "rm -f {0}/*; {1}; sleep {FOR_EVER}",
        folder.path().display(),
        stubborn(folder.path())
    );
    let (bytes, finished) = run_out_of_time(&script, b"ready\r\n").await;
    assert_eq!(bytes, b"ready\r\n");
    assert_eq!((finished.exit.code, finished.exit.signal), (None, Some(9)));
    check_all_dead(folder.path());
}

#[tokio::test]
#[ignore = "run alone by everything_dies_with_the_command"]
async fn alone_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = spawn(&format!("{}; sleep {FOR_EVER}", stubborn(folder.path())));
    read_until(&mut running, "ready").await;
    running.kill();
    let finished = running.wait().await.expect("the end");
    assert!(!finished.exit.timed_out);
    assert_eq!(finished.exit.signal, Some(9));
    check_all_dead(folder.path());
}

#[tokio::test]
#[ignore = "run alone by everything_dies_with_the_command"]
async fn alone_drop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = spawn(&format!("{}; sleep {FOR_EVER}", stubborn(folder.path())));
    read_until(&mut running, "ready").await;
    let leader = fs::read_to_string(folder.path().join("leader")).expect("its number");
    drop(running);
    // Another command's end comes after: the kill is on its way in a thread of its own.
    while is_alive(leader.trim()) || pids_in(folder.path()).iter().any(|pid| is_alive(pid)) {
        run("true").await;
    }
    check_all_dead(folder.path());
}

#[tokio::test]
#[ignore = "run alone by everything_dies_with_the_command"]
async fn alone_kill_all() {
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let mut all = Vec::new();
    for folder in &folders {
        all.push(spawn(&format!("{}; sleep {FOR_EVER}", stubborn(folder.path()))));
    }
    for running in &mut all {
        read_until(running, "ready").await;
    }
    let mut other = Command::new("sleep").arg(FOR_EVER).spawn().expect("it starts");
    let started = Instant::now();
    std::thread::spawn(crate::kill_all).join().expect("no panic");
    println!("{} processes killed in {:?}", 6 * all.len(), started.elapsed());
    // At once, though no other thread was waited for and nothing was dropped.
    for folder in &folders {
        check_all_dead(folder.path());
    }
    let refused = Sandbox::off().spawn(spec("true")).expect_err("it is refused");
    assert!(matches!(refused, SandboxError::Ending), "{refused}");
    let other_lives = other.try_wait().expect("its state").is_none();
    other.kill().expect("it ends");
    other.wait().expect("its status");
    assert!(other_lives, "a child of somebody else");
    for mut running in all {
        while running.output.recv().await.is_some() {}
        assert_eq!(running.wait().await.expect("the end").exit.signal, Some(9));
    }
    crate::kill_all();
}

#[tokio::test]
async fn a_polite_command_ends_by_itself() {
    // It has a moment for it, which a busy machine may not give it every time.
    for _ in 0..20 {
        let mut running =
            spawn("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
        read_until(&mut running, "ready").await;
        running.kill();
        let mut rest = Vec::new();
        while let Some(chunk) = running.output.recv().await {
            rest.extend_from_slice(&chunk.bytes);
        }
        let exit = running.wait().await.expect("the end").exit;
        if exit.code == Some(5) {
            assert!(String::from_utf8_lossy(&rest).contains("bye"), "{rest:?}");
            return;
        }
        assert_eq!(exit.signal, Some(9));
    }
    panic!("it never ends by itself");
}

#[tokio::test]
async fn other_children_keep_their_status() {
    let mut child = Command::new("sh").args(["-c", "exit 42"]).spawn().expect("it starts");
    for _ in 0..5 {
        run("true").await;
    }
    assert_eq!(child.wait().expect("its status").code(), Some(42));
    let mut sleeper = Command::new("sleep").arg(FOR_EVER).spawn().expect("it starts");
    run(&format!("setsid sleep {FOR_EVER} & true")).await;
    assert!(sleeper.try_wait().expect("its state").is_none());
    sleeper.kill().expect("it ends");
    sleeper.wait().expect("its status");
}

#[tokio::test]
async fn commands_side_by_side_leave_each_other_alone() {
    let mut long = spawn(&format!(
        "setsid sh -c 'echo up; read line; echo got $line' & wait; sleep {FOR_EVER}"
    ));
    let folder = tempfile::tempdir().expect("a folder");
    let (go, said) = (fifo(folder.path(), "go"), fifo(folder.path(), "said"));
    let mut server = spawn(&format!(
        "(setsid sh -c 'echo server; read line < {}; echo still here; echo yes > {}' &)
         read line < {}",
        go.display(),
        said.display(),
        said.display()
    ));
    read_until(&mut server, "server").await;
    for _ in 0..10 {
        let (bytes, _) = run("(true &); echo short").await;
        assert_eq!(bytes, b"short\r\n");
    }
    fs::write(&go, "go\n").expect("written");
    read_until(&mut server, "still here").await;
    read_until(&mut long, "up").await;
    assert!(server.wait().await.expect("the end").exit.success());
    long.kill();
    assert!(!long.wait().await.expect("the end").exit.success());
}

#[tokio::test]
async fn input_is_typed() {
    let mut running = spawn("cat");
    running.write(b"typed\n").expect("room");
    // The terminal's echo, then cat's own line.
    let mut seen = String::new();
    while seen.matches("typed").count() < 2 {
        let chunk = running.output.recv().await.expect("cat goes on");
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    running.write(b"\x04").expect("room");
    while running.output.recv().await.is_some() {}
    assert!(matches!(running.write(b"late"), Err(SandboxError::Ended)));
    assert!(running.wait().await.expect("the end").exit.success());

    let mut running = spawn("sleep 100000");
    let much = vec![b'x'; 60_000];
    assert!((0..100).any(|_| running.write(&much).is_err()), "input is bounded");
    running.write(b"\x03").ok();
    running.kill();
    while running.output.recv().await.is_some() {}
}

#[tokio::test]
async fn control_c_interrupts() {
    // A shell may miss the signal while it starts a program: what it starts here ends soon.
    let mut running = spawn("trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done");
    read_until(&mut running, "ready").await;
    running.write(b"\x03").expect("room");
    while running.output.recv().await.is_some() {}
    assert_eq!(running.wait().await.expect("the end").exit.code, Some(9));
}

#[tokio::test]
async fn a_command_that_waits_for_input_is_ended_in_time() {
    let (bytes, _) = run_out_of_time("echo name?; read name", b"name?\r\n").await;
    assert_eq!(bytes, b"name?\r\n");
}

#[tokio::test]
async fn a_new_size_is_told() {
    let mut running =
        spawn("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done");
    read_until(&mut running, "ready").await;
    running.resize(TerminalSize { columns: 77, rows: 22 }).expect("it runs");
    read_until(&mut running, "22 77").await;
    running.wait().await.expect("the end");
}

#[tokio::test]
async fn questions_to_the_terminal_are_answered() {
    let script = r#"stty -echo -icanon; printf 'ab\033[6n'; head -c 6 | od -An -c | tr -d ' '"#;
    let (bytes, finished) = run(script).await;
    assert!(bytes.starts_with(b"ab\x1b[6n"));
    assert!(finished.text.text.ends_with(r"033[1;3R"), "{}", finished.text.text);
}

#[tokio::test]
async fn a_full_screen_program_is_seen_as_its_screen() {
    let screen = r"printf 'shell\r\n\033[?1049h\033[H\033[2Jtop line\033[3;4Hmiddle'";
    let printed = b"shell\r\r\n\x1b[?1049h\x1b[H\x1b[2Jtop line\x1b[3;4Hmiddle";
    let (_, finished) = run_out_of_time(&format!("{screen}; sleep {FOR_EVER}"), printed).await;
    assert_eq!(
        finished.text.text,
        "shell\n[a full-screen program is running; its screen:]\ntop line\n\n   middle"
    );
}

#[tokio::test]
async fn a_command_may_close_its_terminal_and_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = fifo(folder.path(), "gate");
    // Nobody opens the gate before the terminal is closed.
    let script = |then: &str| {
        format!("exec </dev/null >/dev/null 2>&1; read line < {}; {then}", gate.display())
    };
    let running = spawn(&script("exit 9"));
    fs::write(&gate, "go\n").expect("written");
    let (bytes, finished) = finish(running).await;
    assert_eq!((bytes.len(), finished.exit.code), (0, Some(9)));
    let running = spawn(&script("echo back > /dev/tty"));
    fs::write(&gate, "go\n").expect("written");
    let (bytes, _) = finish(running).await;
    assert_eq!(bytes, b"back\r\n");
}

#[tokio::test]
async fn the_budget_is_the_policy_s() {
    let sandbox = Sandbox::off().with_policy(Policy { text_chars_max: 300, ..Policy::default() });
    let running = sandbox.spawn(spec("seq 1 1000")).expect("it starts");
    let (bytes, finished) = finish(running).await;
    assert_eq!(bytes.len(), 4_893);
    assert!(finished.text.text.chars().count() < 400);
    assert!(finished.text.truncation.is_some_and(|truncation| truncation.lines_omitted > 800));
}

/// Prints what an execution costs; run with `--release -- --ignored --nocapture figures`.
#[tokio::test]
#[ignore = "a measurement"]
async fn figures() {
    let direct = |argv: &[&str]| {
        let (program, rest) = argv.split_first().expect("a program");
        let started = Instant::now();
        let status = Command::new(program).args(rest).status().expect("it runs");
        assert!(status.success());
        started.elapsed()
    };
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    println!("plain spawn of true: {:?}", median((0..200).map(|_| direct(&["true"])).collect()));
    let mut times = Vec::new();
    for _ in 0..200 {
        let mut spec = spec("");
        spec.argv = vec!["true".into()];
        let started = Instant::now();
        let running = Sandbox::off().spawn(spec).expect("it starts");
        assert!(finish(running).await.1.exit.success());
        times.push(started.elapsed());
    }
    println!("true in the sandbox: {:?}", median(times));
    for script in [
        "yes | head -c 33333334",
        "seq 1 6388888 | head -c 43611112",
        "head -c 50000000 /dev/zero | tr '\\0' x",
    ] {
        let started = Instant::now();
        let (bytes, _) = run(script).await;
        println!("{script}: {} bytes in {:?}", bytes.len(), started.elapsed());
    }
}
