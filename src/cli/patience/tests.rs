use std::fs;
use std::process::Command;
use std::time::Duration;

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

#[test]
fn a_program_that_hangs_is_killed_and_said_to_be_silent() {
    let folder = tempfile::tempdir().unwrap();
    // It would write this once somebody lets it go on, which nobody does.
    let gate = folder.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let late = folder.path().join("late");
    let script = format!("read line <'{}'; echo >'{}'", gate.display(), late.display());
    let silent = ask(&mut shell(&script), Duration::from_millis(1)).unwrap_err();
    assert!(matches!(silent, Unanswered::Silent(_)), "{silent}");
    assert!(!late.exists());
    drop(fs::remove_file(gate));
}
