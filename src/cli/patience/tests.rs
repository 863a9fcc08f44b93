use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{Unanswered, ask};

const LONG: Duration = Duration::from_secs(600);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn what_a_program_says_is_heard_to_its_end() {
    let said = ask(&mut shell("echo one; echo two >&2; exit 3"), LONG).unwrap();
    assert_eq!((said.stdout, said.stderr), (b"one\n".to_vec(), b"two\n".to_vec()));
    assert_eq!(said.status.code(), Some(3));
    let missing = ask(&mut Command::new("/nowhere/at all"), LONG).unwrap_err();
    assert!(matches!(missing, Unanswered::Start(_)), "{missing}");
}

/// Whether a program runs that has this in its command line; what was killed has none any more.
fn runs(part: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(part))
}

/// Waits until such a program runs, or none does: one that was just begun has no command line yet.
fn wait_until_runs(part: &str, wanted: bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while runs(part) != wanted {
        assert!(Instant::now() < deadline, "whether it runs should be {wanted}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_program_that_hangs_is_killed_and_said_to_be_silent() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody ever writes into it, so only a signal ends who reads.
    let gate = folder.path().join("gate").display().to_string();
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let mut hangs = shell(&format!("read line <'{gate}'"));
    let mut other = shell(&format!("read line <'{gate}'")).spawn().unwrap();
    wait_until_runs(&gate, true);
    other.kill().unwrap();
    other.wait().unwrap();
    let silent = ask(&mut hangs, Duration::from_millis(1)).unwrap_err();
    assert!(matches!(silent, Unanswered::Silent(_)), "{silent}");
    wait_until_runs(&gate, false);
}
