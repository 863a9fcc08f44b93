//! The files that are others than when the session began. The driver compares; here it is looked at.

use trajectory::event::FileChange;

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) enum Known {
    /// Nobody has asked.
    #[default]
    Nothing,
    /// Why nothing can be known, in a sentence.
    Problem(String),
    /// These.
    Files(Vec<FileChange>),
}

/// The changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) known: Known,
    /// A newer answer is on its way.
    pub(crate) is_asked: bool,
    /// Something has changed since that was asked.
    pub(crate) is_stale: bool,
    pub(crate) chosen: usize,
    /// The first line of the diff that is seen.
    pub(crate) top: usize,
}

impl Changes {
    pub(crate) fn files(&self) -> &[FileChange] {
        match &self.known {
            Known::Files(files) => files,
            _ => &[],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.files().len()
    }

    pub(crate) fn file(&self) -> Option<&FileChange> {
        self.files().get(self.chosen)
    }

    pub(crate) fn choose(&mut self, row: usize) {
        if row != self.chosen {
            self.chosen = row;
            self.top = 0;
        }
    }

    /// Goes through the diff of the file that is chosen.
    pub(crate) fn scroll(&mut self, up: bool, rows: usize) {
        let lines = self.file().and_then(|file| file.diff.as_ref());
        let last = lines.map_or(0, |diff| diff.lines().count()).saturating_sub(1);
        self.top = if up { self.top.saturating_sub(rows) } else { (self.top + rows).min(last) };
    }

    /// The driver has compared. The same file stays chosen.
    pub(crate) fn answered(&mut self, answer: Result<Vec<FileChange>, String>) {
        let before = self.file().map(|file| file.path.clone());
        self.is_asked = false;
        self.known = match answer {
            Ok(files) => Known::Files(files),
            Err(problem) => Known::Problem(problem),
        };
        let same = before.and_then(|path| self.files().iter().position(|file| file.path == path));
        let last = self.len().saturating_sub(1);
        match same {
            Some(same) => self.chosen = same,
            None => self.choose(self.chosen.min(last)),
        }
    }
}
