//! Walking, as the tools that search rely on it.

use std::sync::Mutex;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn walked(workspace: &Workspace) -> (Vec<PathBuf>, Seen) {
    let found = Mutex::new(Vec::new());
    let seen = walk(
        workspace,
        Path::new(""),
        &CancellationToken::new(),
        || (),
        |(), file| {
            found.lock().unwrap().push(file.path);
        },
    );
    let mut found = found.into_inner().unwrap();
    found.sort();
    (found, seen.unwrap())
}

#[test]
fn a_large_folder_is_shared_out_and_each_file_comes_once() {
    let folder = TempDir::new().unwrap();
    for number in 0..1_000 {
        std::fs::write(folder.path().join(format!("{number:04}")), "").unwrap();
    }
    let (found, seen) = walked(&Workspace::open(folder.path()).unwrap());
    let expected: Vec<PathBuf> = (0..1_000).map(|number| format!("{number:04}").into()).collect();
    assert_eq!(found, expected);
    assert_eq!(seen, Seen { files: 1_000, ..Seen::default() });
}

#[test]
fn what_lies_too_deep_is_counted() {
    let folder = TempDir::new().unwrap();
    let mut deep = folder.path().to_path_buf();
    for _ in 0..LEVELS_MAX + 5 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("far"), "").unwrap();
    std::fs::write(folder.path().join("near"), "").unwrap();
    let (found, seen) = walked(&Workspace::open(folder.path()).unwrap());
    assert_eq!(found, [PathBuf::from("near")]);
    assert_eq!(seen.unread, 1);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_leads_nowhere() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("workspace");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::create_dir(folder.path().join("outside")).unwrap();
    std::fs::write(folder.path().join("outside/secret"), "").unwrap();
    std::fs::write(root.join("trigger"), "").unwrap();
    let workspace = Workspace::open(&root).unwrap();
    let found = Mutex::new(Vec::new());
    // The file of the folder comes before what lies below it; there the folder is swapped.
    let seen = walk(
        &workspace,
        Path::new(""),
        &CancellationToken::new(),
        || (),
        |(), file| {
            if file.name == "trigger" {
                let _ = std::fs::remove_dir(root.join("sub"));
                let _ = std::os::unix::fs::symlink("../outside", root.join("sub"));
            }
            found.lock().unwrap().push(file.path);
        },
    );
    assert_eq!(found.into_inner().unwrap(), [PathBuf::from("trigger")]);
    assert!(seen.unwrap().unread <= 1);
}

#[test]
fn a_panic_in_one_thread_ends_the_walk() {
    let folder = TempDir::new().unwrap();
    for number in 0..300 {
        std::fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let workspace = Workspace::open(folder.path()).unwrap();
    let walked = std::panic::catch_unwind(|| {
        walk(
            &workspace,
            Path::new(""),
            &CancellationToken::new(),
            || (),
            |(), file| {
                assert_ne!(file.name, "200", "on purpose");
            },
        )
    });
    assert!(walked.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_ignore_file_is_read_or_passed_over(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join(".gitignore"), &bytes).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), "").unwrap();
        let (_, seen) = walked(&Workspace::open(folder.path()).unwrap());
        prop_assert!(seen.files + seen.ignored >= 1);
    }
}
