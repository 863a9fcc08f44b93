//! What the file tools leave alone inside the workspace, whatever the sandbox allows.
//!
//! Three rules. Git directories are read-only: git runs hooks, what its settings name, and the
//! `exec` lines of a rebase, and the list of such places grows; so the rule is the whole
//! directory, wherever in the workspace it lies, by its name or by what it holds. `.limn` at the
//! root is read-only: it says what limn may do. Hidden folders are neither read nor written:
//! limn's own data, when it lies inside, and what the policy of the session hides.
//!
//! [`Protected::check`] judges the open directory in which something is about to happen, by
//! climbing from it to the root and comparing identities; links, `..`, other spellings of a name
//! and other mounts of a folder are thus no way around it. The policy of the session is the one that
//! commands run by: what it hides, and whether the workspace can be written.
//!
//! Absent: the shell, which is the sandbox's, and what somebody else does between the look and
//! the act: whoever can move folders about under a tool can write the file without it. Hooks that
//! live in the tree (`.husky`) are code of the workspace like any other.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;
use sandbox::Policy;

use crate::beneath::DIRECTORY;
use crate::path::{Relative, lexically};

/// How far below the root a folder may lie. Beyond it nobody can say what it is part of.
const LEVELS_MAX: usize = 4_096;

/// What a file tool is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read or list what is there.
    Read,
    /// Change a file that is there.
    Change,
    /// Write a file; missing directories above it are made.
    Create,
}

/// A rule that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Git runs what lies there.
    Git,
    /// It is what the user decided for limn.
    Settings,
    /// The policy hides it: it is limn's own, or a secret.
    Hidden,
    /// The session changes nothing in the workspace.
    ReadOnly,
    /// It lies beyond the workspace and is there to be read.
    Beyond,
}

impl Rule {
    /// The sentence for the model: the rule, and what can be done.
    pub(crate) fn explain(self, path: &Relative) -> String {
        match self {
            Self::Git => format!(
                "{path} is read-only for tools: git runs what lies in a git directory. Ask the \
                 user to change it."
            ),
            Self::Settings => format!(
                "{path} is read-only for tools: `.limn` says what limn may do. Ask the user to \
                 change it."
            ),
            Self::Hidden => format!(
                "{path} is hidden from tools: limn keeps its own data there, or it is a secret. \
                 Ask the user for what you need of it."
            ),
            Self::ReadOnly => format!(
                "{path} cannot be changed: the workspace is read-only in this session. Say what \
                 you would change, or ask the user for `--preset workspace`."
            ),
            Self::Beyond => format!(
                "{path} is outside what this session may write. Write in the workspace, or ask \
                 the user for `--writable {path}`."
            ),
        }
    }
}

/// Why a place is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The system said no.
    System(Errno),
    /// A rule says no.
    Denied(Rule),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// Device and inode: what a file is, whatever it is called.
pub(crate) type Identity = (u64, u64);

/// What is protected, for one workspace.
#[derive(Debug, Default)]
pub(crate) struct Protected {
    /// Canonical as far as they exist.
    hidden: Vec<PathBuf>,
    /// The workspace, which may lie inside a folder that is open beyond it.
    workspace: PathBuf,
    /// Nothing in the workspace is changed.
    read_only: bool,
}

impl Protected {
    /// The rules with these paths hidden; they need not exist yet.
    pub(crate) fn new(hidden: &[PathBuf]) -> Self {
        let hidden = hidden.iter().map(|path| canonical(path)).collect();
        Self { hidden, ..Self::default() }
    }

    /// The same rules and what the session's policy says of a workspace.
    pub(crate) fn within(mut self, policy: &Policy, workspace: &Path) -> Self {
        workspace.clone_into(&mut self.workspace);
        // Every place is beneath one of these, so what lies elsewhere cannot be met.
        let open = policy.readable.iter().chain(&policy.writable).map(PathBuf::as_path);
        let roots: Vec<&Path> = open.chain([workspace]).collect();
        let hidden = policy.hidden.iter().map(|path| canonical(path));
        self.hidden.extend(hidden.filter(|path| roots.iter().any(|root| path.starts_with(root))));
        self.read_only |= !policy.workspace_writable;
        self
    }

    /// Whether the workspace can be changed at all.
    pub(crate) const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What is hidden, whether it exists or not.
    pub(crate) fn hidden(&self) -> &[PathBuf] {
        &self.hidden
    }

    /// What is hidden and exists now, by what it is; for who looks at many files at a time.
    pub(crate) fn hidden_now(&self) -> Vec<Identity> {
        self.hidden.iter().filter_map(|path| real(path)).collect()
    }

    /// Whether a tool may do that with `name` in `directory`, or with the directory itself. The
    /// name's last link has been followed; nothing needs to have the name yet.
    pub(crate) fn check(
        &self,
        root: &OwnedFd,
        directory: &OwnedFd,
        name: Option<&OsStr>,
        access: Access,
    ) -> Result<(), Refusal> {
        let writes = access != Access::Read;
        if !writes && self.hidden.is_empty() {
            return Ok(());
        }
        let top = identity(&rustix::fs::fstat(root)?);
        let git = at(root, ".git", AtFlags::empty()).filter(|_| writes);
        let workspaces = [Some(top), real(&self.workspace)];
        let settings = [at(root, ".limn", AtFlags::empty()), real(&self.workspace.join(".limn"))];
        let hidden = self.hidden_now();
        if let Some(name) = name {
            self.check_name(&workspaces, directory, name, writes, &hidden)?;
        }
        let mut above: Option<OwnedFd> = None;
        for level in 0..LEVELS_MAX {
            let here = above.as_ref().unwrap_or(directory);
            let now = identity(&rustix::fs::fstat(here)?);
            let name = name.filter(|_| level == 0);
            if hidden.contains(&now) {
                return Err(Refusal::Denied(Rule::Hidden));
            }
            if writes && (git == Some(now) || is_git_directory(here, name)) {
                return Err(Refusal::Denied(Rule::Git));
            }
            if writes && settings.contains(&Some(now)) {
                return Err(Refusal::Denied(Rule::Settings));
            }
            if now == top {
                return Ok(());
            }
            let next = rustix::fs::openat(here, "..", DIRECTORY, Mode::empty())?;
            if writes && at(&next, ".git", AtFlags::empty()) == Some(now) {
                return Err(Refusal::Denied(Rule::Git));
            }
            if identity(&rustix::fs::fstat(&next)?) == now {
                // It was moved out of the workspace, and this is the top of the file system.
                return Err(Errno::XDEV.into());
            }
            above = Some(next);
        }
        Err(Errno::NAMETOOLONG.into())
    }

    /// Whether folders on the way to a new file may be called that: asked before the first of them
    /// is made, so that a refusal leaves none behind.
    pub(crate) fn check_new(path: &Path) -> Result<(), Refusal> {
        if path.iter().any(|name| is_like(name, b".git")) {
            return Err(Refusal::Denied(Rule::Git));
        }
        Ok(())
    }

    /// What the name alone decides.
    fn check_name(
        &self,
        workspaces: &[Option<Identity>],
        directory: &OwnedFd,
        name: &OsStr,
        writes: bool,
        hidden: &[Identity],
    ) -> Result<(), Refusal> {
        let here = identity(&rustix::fs::fstat(directory)?);
        let is_hidden = at(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_some_and(|found| hidden.contains(&found))
            || self.hidden.iter().any(|path| {
                // It does not exist yet; a tool must not make it.
                path.file_name().is_some_and(|last| last.eq_ignore_ascii_case(name))
                    && path.parent().and_then(real) == Some(here)
            });
        if is_hidden {
            return Err(Refusal::Denied(Rule::Hidden));
        }
        // A file `.git` sends git to another directory.
        if writes && is_like(name, b".git") {
            return Err(Refusal::Denied(Rule::Git));
        }
        if writes && workspaces.contains(&Some(here)) && is_like(name, b".limn") {
            return Err(Refusal::Denied(Rule::Settings));
        }
        Ok(())
    }
}

/// Whether git would take it for one of its directories, at the latest when `name` is there too:
/// a bare repository, a submodule's, a work tree's, one that is being put together.
fn is_git_directory(directory: &OwnedFd, name: Option<&OsStr>) -> bool {
    let has = |part: &str| {
        name.is_some_and(|name| is_like(name, part.to_ascii_lowercase().as_bytes()))
            || at(directory, part, AtFlags::SYMLINK_NOFOLLOW).is_some()
    };
    has("HEAD") && (has("commondir") || (has("objects") && has("refs")))
}

/// Whether some file system would take the name for this one: they fold case, and drop dots and
/// blanks at the end or characters that do not show.
fn is_like(name: &OsStr, wanted: &[u8]) -> bool {
    let shown: Vec<u8> = name.as_bytes().iter().copied().filter(u8::is_ascii).collect();
    let end = shown.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |at| at + 1);
    shown.get(..end).is_some_and(|shown| shown.eq_ignore_ascii_case(wanted))
}

/// What has a name in a directory.
fn at(directory: impl AsFd, name: impl rustix::path::Arg, flags: AtFlags) -> Option<Identity> {
    rustix::fs::statat(directory, name, flags).ok().map(|stat| identity(&stat))
}

// What these numbers are is the platform's choice; they are only compared.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
pub(crate) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// What a path leads to.
fn real(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The path with the links of the part that exists resolved.
fn canonical(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(lexically(rest));
        }
    }
    path
}

#[cfg(test)]
mod tests;
