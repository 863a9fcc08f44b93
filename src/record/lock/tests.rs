//! A lock is only worth something at the path where others look for it.

use std::fs;

use super::*;

#[test]
fn a_lock_that_was_deleted_is_not_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.lock");
    let deleted = || {
        let file = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        file
    };
    assert!(SessionLock::claim(deleted(), &path).unwrap().is_none());
    let file = deleted();
    let other = open(&path).unwrap();
    assert!(SessionLock::claim(file, &path).unwrap().is_none(), "another one of that name");
    let lock = SessionLock::claim(other, &path).unwrap().unwrap();
    assert!(SessionLock::is_held(&path));
    let id = SessionId::new();
    assert!(matches!(SessionLock::take(&path, id), Err(RecordError::Locked { .. })));
    drop(lock);
    assert!(!SessionLock::is_held(&path));
    SessionLock::take(&path, id).unwrap();
}

/// Many take the lock, and each deletes it before letting go: no two ever hold it at once.
#[test]
fn a_lock_that_keeps_being_deleted_has_one_holder() {
    use std::sync::atomic::{AtomicU32, Ordering};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.lock");
    let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    // Whoever finds it held a few times over gives up, as always.
                    if let Ok(lock) = SessionLock::take(&path, SessionId::new()) {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        fs::remove_file(&path).unwrap();
                        drop(lock);
                    }
                }
            });
        }
    });
    assert!(taken.load(Ordering::SeqCst) > 0);
}
