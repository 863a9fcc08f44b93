//! Paths as models write them, made relative to the workspace.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::beneath::{Workspace, printable};

/// A path inside the workspace as far as its letters say: relative, without `.` and `..`. Empty
/// for the workspace itself. Absolute where the policy opens something beyond it. What symbolic
/// links make of it, [`Workspace`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relative(PathBuf);

impl Relative {
    /// Reads a path that is relative to the workspace, or absolute and inside it.
    ///
    /// # Errors
    /// A sentence for the model that names the rule.
    pub(crate) fn parse(text: &str, workspace: &Workspace) -> Result<Self, String> {
        if text.is_empty() {
            return Err("The path is empty.".to_owned());
        }
        if text.contains('\0') {
            return Err("The path holds a NUL character.".to_owned());
        }
        if text == "~" || text.starts_with("~/") {
            return Err(outside(text));
        }
        let path = Path::new(text);
        let inside = if path.is_absolute() {
            let plain = lexically(path);
            match strip(&plain, workspace) {
                Some(inside) => inside,
                // By its letters: whether links lead out of there is found when it is opened.
                None if workspace.is_beyond(&plain) => return Ok(Self(plain)),
                None => return Err(outside(text)),
            }
        } else {
            path.to_path_buf()
        };
        let mut relative = PathBuf::new();
        for component in inside.components() {
            match component {
                Component::Normal(name) => relative.push(name),
                Component::ParentDir => {
                    if !relative.pop() {
                        return Err(outside(text));
                    }
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        Ok(Self(relative))
    }

    /// The path.
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    /// The sentence for what the system answered.
    pub(crate) fn explain(&self, error: Errno) -> String {
        match error {
            Errno::XDEV => {
                format!("{self} leads out of the workspace through a symbolic link. {RULE}")
            }
            Errno::LOOP => format!("{self} passes too many symbolic links."),
            Errno::NOENT => format!("{self} does not exist."),
            Errno::NOTDIR => format!("{self}: a part of the path is not a directory."),
            Errno::ISDIR => format!("{self} is a directory."),
            Errno::ACCESS | Errno::PERM => format!("{self}: permission denied."),
            Errno::NAMETOOLONG => "The path is too long for the file system.".to_owned(),
            Errno::NOSPC | Errno::DQUOT => format!("{self}: the disk is full."),
            Errno::ROFS => format!("{self} is on a read-only file system."),
            other => format!("{self}: {other}."),
        }
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() {
            return f.write_str("The workspace itself");
        }
        f.write_str(&printable(self.0.as_os_str()))
    }
}

const RULE: &str = "The file tools reach the workspace and what the user opens with --readable or \
                    --writable, or a file at a time with /allow.";

fn outside(text: &str) -> String {
    let shown: String = text.chars().take(300).collect();
    format!("{} is outside the workspace. {RULE}", shown.escape_debug())
}

/// What is left of an absolute path behind the workspace's own: by its letters first, then by
/// where the nearest directory that exists really is.
fn strip(path: &Path, workspace: &Workspace) -> Option<PathBuf> {
    for root in [workspace.root(), workspace.named()] {
        if let Ok(inside) = path.strip_prefix(root) {
            return Some(inside.to_path_buf());
        }
    }
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            let rest = path.strip_prefix(above).ok()?;
            return Some(real.strip_prefix(workspace.root()).ok()?.join(rest));
        }
    }
    None
}

/// The path without `.` and `..`, by its letters alone.
pub(crate) fn lexically(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests;
