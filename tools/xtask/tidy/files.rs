//! The files that tidy looks at, read once.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{output, program};

/// A text file of the repository.
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|it| it.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What its folder is called from the root: empty, or ending in `/`.
    pub(super) fn folder(&self) -> &str {
        self.path.strip_suffix(self.name()).unwrap_or_default()
    }
}

/// Every text file that git tracks, or would track if it were added. Binary files are left out.
pub(super) fn list(root: &Path) -> Result<Vec<File>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let paths = output(program("git", &args).current_dir(root))
        .context("tidy asks git which files belong here; this must be a clone")?;
    let mut files = Vec::new();
    for path in paths.split('\0').filter(|path| !path.is_empty()) {
        let full = root.join(path);
        // A tracked file may be deleted, and a link is checked where it leads to.
        if !full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = fs::read(&full).with_context(|| format!("{path} could not be read"))?;
        if bytes.contains(&0) {
            continue;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
