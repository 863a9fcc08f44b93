//! What is left of a write that a kill ended.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::*;
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::protected::Access;

const FOLDER: &str = "LIMN_TEST_FOLDER";

fn write(folder: &std::path::Path, content: &[u8]) -> Result<(), WriteError> {
    let workspace = Workspace::open(folder).unwrap();
    let path = Relative::parse("f", &workspace).unwrap();
    let place = workspace.place(&path, Access::Create).unwrap();
    let before = existing(&place)?;
    replace(&place, before.as_ref(), content, &CancellationToken::new())
}

#[test]
#[cfg(target_os = "linux")]
fn a_kill_in_mid_write_leaves_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let nameless = OFlags::WRONLY | OFlags::TMPFILE;
    if rustix::fs::open(folder.path(), nameless, Mode::RUSR).is_err() {
        // This file system has no files without a name.
        return;
    }
    for old in [None, Some("old")] {
        if let Some(old) = old {
            std::fs::write(folder.path().join("f"), old).unwrap();
        }
        // The system kills whoever writes more than this into a file: in mid-write, exactly.
        let status = Command::new("sh")
            .args(["-c", r#"ulimit -c 0; ulimit -f 64; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "atomic::tests::alone_writes_too_much", "--include-ignored"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap()
            .status;
        assert_eq!(status.signal(), Some(rustix::process::Signal::XFSZ.as_raw()), "{status}");
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, old.map(|_| folder.path().join("f")).into_iter().collect::<Vec<_>>());
        let content = std::fs::read_to_string(folder.path().join("f")).ok();
        assert_eq!(content.as_deref(), old);
    }
}

#[test]
#[ignore = "killed by a_kill_in_mid_write_leaves_nothing"]
fn alone_writes_too_much() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let written = write(folder.as_ref(), &vec![b'x'; 1 << 20]);
        panic!("it was not killed: {written:?}");
    }
}

#[test]
fn a_new_file_has_the_mode_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("plain"), "x").unwrap();
    write(folder.path(), b"x").unwrap();
    let mode = |name| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("f"), mode("plain"));
}

#[test]
fn a_temporary_name_that_is_taken_is_passed_over() {
    let mut refused = 0;
    let (name, made) = with_temporary_name(|name| {
        refused += 1;
        if refused < 4 { Err(Errno::EXIST) } else { Ok(name.to_owned()) }
    })
    .unwrap();
    assert_eq!(name, made);
    assert!(with_temporary_name(|_| Err::<(), _>(Errno::EXIST)).is_err());
}
