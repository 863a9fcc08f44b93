//! Who trains: one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::TrainingError;

const FILE: &str = "lock";

/// Held while a run is trained. The system drops it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(FILE);
        let failed = |error| TrainingError::io("lock", &path, error);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o644).open(&path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let whose = holder(folder).map_or_else(String::new, |pid| format!(" {pid}"));
                let remedy = "Watch it with limn train attach, or stop it first.";
                let reason = format!("is being trained by the process{whose}");
                return Err(TrainingError::run(folder, reason, remedy));
            }
        }
        let text = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process that has the lock; 0 where it has not said its number yet.
pub(super) fn holder(folder: &Path) -> Option<u32> {
    let path = folder.join(FILE);
    let file = File::open(&path).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let text = fs::read_to_string(&path).ok()?;
    Some(text.trim().parse().unwrap_or(0))
}
