//! What git leaves out of the user's work: build outputs, caches, secrets.
//!
//! The `.gitignore` files of the workspace and of the folders above it that belong to the same
//! repository hold, and the repository's `info/exclude`, with or without a repository; the user's
//! global ones do not. Each file is read once for each question that is asked of many paths, and
//! never through a link.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::Mode;

use crate::walk::{LISTED, read_start};

/// A longer list of patterns is read to here, bytes.
const PATTERNS_BYTES_MAX: u64 = 256 << 10;
/// So many folders are remembered; beyond, it begins anew.
const FOLDERS_MAX: usize = 50_000;

/// What is ignored below a workspace.
pub(crate) struct Ignored {
    root: PathBuf,
    /// The patterns that hold for the whole workspace, the nearest first.
    above: Vec<Gitignore>,
    /// The patterns of each folder that has some.
    patterns: HashMap<PathBuf, Gitignore>,
    /// Whether a folder is ignored, itself or with one above it.
    folders: HashMap<PathBuf, bool>,
}

impl Ignored {
    pub(crate) fn of(root: &Path) -> Self {
        let mut this = Self {
            root: root.to_owned(),
            above: Vec::new(),
            patterns: HashMap::new(),
            folders: HashMap::new(),
        };
        this.begin_anew();
        this
    }

    /// Forgets what was read.
    pub(crate) fn begin_anew(&mut self) {
        self.patterns.clear();
        self.folders.clear();
        self.above.clear();
        let top = self.root.ancestors().find(|folder| folder.join(".git").exists());
        let Some(top) = top.map(Path::to_owned) else { return };
        let above = self.root.ancestors().skip(1).take_while(|folder| folder.starts_with(&top));
        self.above.extend(above.filter_map(|folder| patterns(folder, folder, ".gitignore")));
        self.above.extend(patterns(&top, &top.join(".git/info"), "exclude"));
    }

    /// Whether a path, relative to the workspace, is ignored or lies in what is.
    pub(crate) fn covers(&mut self, path: &Path, is_folder: bool) -> bool {
        if path.as_os_str().is_empty() {
            return false;
        }
        if let Some(known) = self.folders.get(path).filter(|_| is_folder) {
            return *known;
        }
        let above = path.parent().unwrap_or(Path::new(""));
        let is_ignored = self.covers(above, true) || self.matches(path, is_folder);
        if is_folder {
            if self.folders.len() >= FOLDERS_MAX {
                self.begin_anew();
            }
            self.folders.insert(path.to_owned(), is_ignored);
        }
        is_ignored
    }

    /// The nearest pattern decides.
    fn matches(&mut self, path: &Path, is_folder: bool) -> bool {
        let whole = self.root.join(path);
        for folder in path.ancestors().skip(1) {
            if !self.patterns.contains_key(folder) {
                let at = self.root.join(folder);
                let read = patterns(&at, &at, ".gitignore").unwrap_or_else(Gitignore::empty);
                self.patterns.insert(folder.to_owned(), read);
            }
            match self.patterns.get(folder).map(|it| it.matched(&whole, is_folder)) {
                Some(Match::Ignore(_)) => return true,
                Some(Match::Whitelist(_)) => return false,
                _ => {}
            }
        }
        for patterns in &self.above {
            match patterns.matched(&whole, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}

/// Reads a list of patterns that hold below `root`. What is no regular file is none: a pipe in its
/// place would hold up whoever reads it.
fn patterns(root: &Path, folder: &Path, name: &str) -> Option<Gitignore> {
    let folder = rustix::fs::open(folder, LISTED, Mode::empty()).ok()?;
    let bytes = read_start(&folder, name.as_ref(), PATTERNS_BYTES_MAX)?;
    let mut builder = GitignoreBuilder::new(root);
    for line in String::from_utf8_lossy(&bytes).lines() {
        // One that cannot be understood is none, as with git.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests;
