//! Who trains: one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::TrainingError;

const FILE: &str = "lock";

/// Tries before a run counts as somebody's: a quarter of a second.
const TRIES_MAX: u32 = 25;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

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
        if !claimed(&file).map_err(failed)? {
            let whose = holder(folder).map_or_else(String::new, |pid| format!(" {pid}"));
            let remedy = "Watch it with limn train attach, or stop it first.";
            let reason = format!("is being trained by the process{whose}");
            return Err(TrainingError::run(folder, reason, remedy));
        }
        let text = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Locks it, unless somebody has it for longer than who only looks whether somebody has.
fn claimed(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => thread::park_timeout(PAUSE),
        }
    }
    Ok(false)
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
