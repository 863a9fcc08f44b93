//! A copy is a data folder, and can be taken further.

use std::fs;

use crate::tests::{Story, home};
use crate::*;

fn titles(home: &Home) -> Vec<String> {
    let rows = Library::open(home).unwrap().list().unwrap();
    rows.into_iter().filter_map(|row| row.status.title).collect()
}

#[tokio::test]
async fn a_copy_is_whole_beside_a_session_that_runs_and_is_taken_further() {
    let (folder, home) = home();
    let mut done = Story::begin(&home);
    done.round("done").await;
    let done = done.end().await;
    let mut live = Story::begin(&home);
    live.prompt("live").await;
    let store = blob::Store::new(home.blobs());
    let big = store.put(&vec![7; 5 << 20]).unwrap();
    Library::open(&home).unwrap().set_outcome(done, Outcome::Success, "user", None).unwrap();

    let target = folder.path().join("copy");
    let first = home.back_up_to(&target).unwrap();
    assert_eq!((first.copied, first.unchanged, first.blobs, first.only_there), (2, 0, 1, 0));
    let copy = Home::open(&target).unwrap();
    assert_eq!(titles(&copy), ["live", "done"]);
    assert_eq!(Library::open(&copy).unwrap().outcome(done).unwrap(), Some(Outcome::Success));
    assert!(blob::Store::new(copy.blobs()).get(&big, u64::MAX).unwrap().is_some());
    assert!(Archive::open(&copy, done).unwrap().verify().unwrap().is_empty());
    for file in ["limn.db", "device"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(target.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    live.prompt("and more").await;
    home.remove(done).unwrap();
    let second = home.back_up_to(&target).unwrap();
    assert_eq!((second.copied, second.unchanged, second.blobs, second.only_there), (1, 0, 0, 1));
    let kept = Library::open(&copy).unwrap().outcome(done).unwrap();
    assert_eq!(kept, Some(Outcome::Success), "what was said of it is only there");
    let id = live.end().await;
    assert_eq!(home.back_up_to(&target).unwrap().copied, 1);
    assert_eq!(home.back_up_to(&target).unwrap().unchanged, 1, "nothing has changed");
    let copied = Archive::open(&copy, id).unwrap().events().unwrap();
    assert_eq!(copied.len(), Archive::open(&home, id).unwrap().events().unwrap().len());
}

#[tokio::test]
async fn nobody_else_s_folder_is_written_to() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("one").await;
    let refused = |target: &std::path::Path| home.back_up_to(target).unwrap_err().to_string();
    let other = folder.path().join("other");
    Home::open(&other).unwrap();
    assert!(refused(&other).contains("another device"));
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes"), "mine").unwrap();
    assert!(refused(&full).contains("something else"));
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    assert!(refused(&home.path().join("copy")).contains("itself"));
    assert!(refused(home.path()).contains("itself"));
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_keeps_nothing_else_out() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("one").await;
    let damaged = story.end().await;
    let mut story = Story::begin(&home);
    story.prompt("two").await;
    fs::write(home.session_file(damaged), b"nonsense").unwrap();
    // A link that leads nowhere has the name of a recording, too.
    let nowhere = trajectory::SessionId::new();
    std::os::unix::fs::symlink("nowhere", home.session_file(nowhere)).unwrap();
    let target = folder.path().join("copy");
    let done = home.back_up_to(&target).unwrap();
    assert_eq!((done.copied, done.unreadable.len()), (1, 2));
    assert!(done.unreadable[0].1.contains(&damaged.to_string()));
    assert!(done.unreadable[1].1.contains(&nowhere.to_string()));
    assert_eq!(titles(&Home::open(&target).unwrap()), ["two"]);
}
