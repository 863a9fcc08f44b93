//! Reading `metrics.jsonl`: whole, or while it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FILE, Finished, HeldOut, Line, Metric, Started, Step, Stopped};
use crate::error::TrainingError;

/// No line is longer; what is, is skipped.
const LINE_BYTES_MAX: usize = 4 << 20;

/// What is read at once.
const PIECE_BYTES: usize = 1 << 16;

/// Follows the metrics of a run.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// What was read and is no whole line yet.
    rest: Vec<u8>,
    /// The line that is being read is too long and will be skipped.
    skips: bool,
}

impl Follower {
    /// A follower of the run in this folder; the file may come later.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE), file: None, rest: Vec::new(), skips: false }
    }

    /// The lines that are whole since the last time; none when nothing was written.
    ///
    /// Lines that cannot be read are left out: a run is not lost by what was said about it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> Result<Vec<Line>, TrainingError> {
        let mut lines = Vec::new();
        let path = self.path.clone();
        let failed = |error| TrainingError::io("read", &path, error);
        if !self.open().map_err(failed)? {
            return Ok(lines);
        }
        let mut piece = vec![0; PIECE_BYTES];
        while let Some(file) = &mut self.file {
            let count = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            self.take(&piece[..count], &mut lines);
        }
        Ok(lines)
    }

    /// Opens the file when it is there, and again when it is another one or became shorter.
    fn open(&mut self) -> std::io::Result<bool> {
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(file) = &mut self.file {
            let own = file.metadata()?;
            let at = file.stream_position()?;
            if (own.dev(), own.ino()) == (there.dev(), there.ino()) && own.len() >= at {
                return Ok(true);
            }
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(0))?;
        self.file = Some(file);
        self.rest.clear();
        self.skips = false;
        Ok(true)
    }

    fn take(&mut self, piece: &[u8], lines: &mut Vec<Line>) {
        let mut from = 0;
        while let Some(at) = piece[from..].iter().position(|byte| *byte == b'\n') {
            let end = from + at;
            if !self.skips {
                self.rest.extend_from_slice(&piece[from..end]);
                lines.extend(serde_json::from_slice::<Line>(&self.rest).ok());
            }
            self.skips = false;
            self.rest.clear();
            from = end + 1;
        }
        self.skips |= self.rest.len() + piece.len() - from > LINE_BYTES_MAX;
        if self.skips {
            self.rest.clear();
        } else {
            self.rest.extend_from_slice(&piece[from..]);
        }
    }
}

/// All lines of a run, from the first.
///
/// # Errors
/// When the file cannot be read; there may be none yet.
pub fn read_all(folder: &Path) -> Result<Vec<Line>, TrainingError> {
    Follower::new(folder).read()
}

/// What the lines of a run come to: each step once, as it counted in the end.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How the last process began.
    pub started: Option<Started>,
    /// The steps, by number.
    pub steps: BTreeMap<u64, Step>,
    /// What was held out, by step.
    pub held_out: BTreeMap<u64, HeldOut>,
    /// Why the last process stopped, if it said so and no other began since.
    pub stopped: Option<Stopped>,
    /// How the run ended, if it did.
    pub finished: Option<Finished>,
}

impl History {
    /// The history of a run.
    ///
    /// # Errors
    /// When its metrics cannot be read.
    pub fn of(folder: &Path) -> Result<Self, TrainingError> {
        let mut history = Self::default();
        history.extend(read_all(folder)?);
        Ok(history)
    }

    /// Adds lines, in their order.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            self.add(line);
        }
    }

    /// Adds a line.
    pub fn add(&mut self, line: Line) {
        match line.metric {
            Metric::Started(started) => {
                // What a killed process did after its last checkpoint is done again.
                let from = started.step + 1;
                self.steps.split_off(&from);
                self.held_out.split_off(&from);
                self.stopped = None;
                self.finished = None;
                self.started = Some(started);
            }
            Metric::Step(step) => drop(self.steps.insert(step.step, step)),
            Metric::HeldOut(held_out) => drop(self.held_out.insert(held_out.step, held_out)),
            Metric::Stopped(stopped) => self.stopped = Some(stopped),
            Metric::Finished(finished) => self.finished = Some(finished),
            Metric::Checkpoint(_) | Metric::Rung(_) | Metric::Note(_) | Metric::Unknown => {}
        }
    }

    /// How long the steps took that counted, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        let steps = self.steps.values().filter(|step| step.tokens_per_s > 0.0);
        steps.map(|step| step.tokens as f64 / step.tokens_per_s).sum()
    }

    /// The last step.
    #[must_use]
    pub fn latest(&self) -> Option<&Step> {
        self.steps.values().next_back()
    }
}
