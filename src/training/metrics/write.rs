//! Writing `metrics.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{FILE, Line, Metric};
use crate::error::TrainingError;

/// The file of one run, open for adding.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Opens the metrics of a run. Half a line that a killed process left is ended, so that the next
    /// one begins on its own.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(FILE);
        let failed = |error| TrainingError::io("open", &path, error);
        let mut file =
            OpenOptions::new().create(true).append(true).read(true).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1)).map_err(failed)?;
            file.read_exact(&mut last).map_err(failed)?;
            if last != *b"\n" {
                file.write_all(b"\n").map_err(failed)?;
            }
        }
        Ok(Self { path, file })
    }

    /// Adds a line, in one write, with the time of now.
    ///
    /// # Errors
    /// When it cannot be written whole.
    pub fn add(&mut self, metric: Metric) -> Result<(), TrainingError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let failed = |error| TrainingError::io("write", &self.path, error);
        let mut line =
            serde_json::to_vec(&Line { at_ms, metric }).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), TrainingError> {
        self.file.sync_data().map_err(|error| TrainingError::io("sync", &self.path, error))
    }
}
