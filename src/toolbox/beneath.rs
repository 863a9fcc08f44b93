//! The workspace as the file tools see it: a directory that is open, and nothing outside it.
//!
//! Every path is resolved from a descriptor opened at start, by `openat2` with `RESOLVE_BENEATH`
//! and `RESOLVE_NO_MAGICLINKS`; so a symbolic link swapped in at the last moment leads nowhere.
//! Where the kernel has no `openat2`, a walk opens one component after the other without
//! following links and reads the links itself. The walk also takes the one thing `openat2`
//! refuses needlessly: an absolute link whose target is inside.
//!
//! What the session's policy opens beyond the workspace are further roots of the same kind: a path
//! into one of them is absolute, and is resolved beneath that root. Of a file that is open alone
//! the root is its folder, of which nothing but this name can be reached.
//!
//! Every place that is handed out has passed [`Protected::check`]: who may do what inside.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sandbox::Policy;

use crate::path::{Relative, lexically};
use crate::protected::{Access, Identity, Protected, Refusal, Rule};

/// How many symbolic links one path may pass, as in the kernel.
const LINKS_MAX: usize = 40;

/// How many files can be opened while a session runs.
pub(crate) const GRANTED_MAX: usize = 32;

/// How often a lookup that a rename disturbed is tried again.
const ATTEMPTS_MAX: usize = 128;

/// Flags of a directory that is only walked through.
#[cfg(target_os = "linux")]
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(crate) const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// How paths are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// `openat2`.
    Kernel,
    /// Component by component.
    Walk,
}

/// The open workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    named: PathBuf,
    directory: OwnedFd,
    resolver: Resolver,
    protected: Protected,
    beyond: Vec<Root>,
    /// What was opened since, in order.
    granted: [OnceLock<Root>; GRANTED_MAX],
}

/// A folder or a file beyond the workspace that the policy opens.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// The folder itself, or the one in which the file lies.
    directory: OwnedFd,
    is_file: bool,
    writable: bool,
}

impl Root {
    fn open(path: &Path, writable: bool) -> Option<Self> {
        let is_file = !path.is_dir();
        let folder = if is_file { path.parent()? } else { path };
        let directory = rustix::fs::open(folder, DIRECTORY, Mode::empty()).ok()?;
        Some(Self { path: path.to_path_buf(), directory, is_file, writable })
    }

    fn reaches(&self, path: &Path) -> bool {
        if self.is_file { path == self.path } else { path.starts_with(&self.path) }
    }

    /// Where paths are resolved from.
    fn folder(&self) -> &Path {
        let above = self.path.parent().filter(|_| self.is_file);
        above.unwrap_or(&self.path)
    }
}

/// Where a path is resolved from.
#[derive(Clone, Copy)]
struct Base<'a> {
    directory: &'a OwnedFd,
    /// The paths that it is known by.
    names: [&'a Path; 2],
    is_file: bool,
    writable: bool,
}

/// A directory of the workspace and a name in it that is no symbolic link.
pub(crate) struct Place {
    pub(crate) directory: OwnedFd,
    pub(crate) name: OsString,
    /// The file alone is open, and nothing beside it: it stays the file that it is.
    pub(crate) is_alone: bool,
}

impl Place {
    /// Opens the file to read it. It never blocks on a FIFO and never takes a terminal.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let name = self.name.as_os_str();
        rustix::fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, Mode::empty())
    }
}

impl Workspace {
    /// Opens a folder.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let named = lexically(&std::path::absolute(path)?);
        let root = std::fs::canonicalize(path)?;
        let directory = rustix::fs::open(&root, DIRECTORY, Mode::empty())?;
        let resolver = probe(&directory);
        let protected = Protected::default();
        let (beyond, granted) = (Vec::new(), Default::default());
        Ok(Self { root, named, directory, resolver, protected, beyond, granted })
    }

    /// The same workspace, with these paths hidden.
    pub(crate) fn hiding(self, hidden: &[PathBuf]) -> Self {
        Self { protected: Protected::new(hidden), ..self }
    }

    /// The same workspace, by the rules of a policy, with the folders that it opens.
    pub(crate) fn within(mut self, policy: &Policy) -> Self {
        let readable = policy.readable.iter().filter_map(|path| Root::open(path, false));
        let writable = policy.writable.iter().filter_map(|path| Root::open(path, true));
        self.beyond = readable.chain(writable).collect();
        // Of nested folders the innermost says what may be done.
        self.beyond.sort_by_key(|root| std::cmp::Reverse(root.path.as_os_str().len()));
        let protected = self.protected.within(policy, &self.root);
        Self { protected, ..self }
    }

    /// What is hidden here.
    pub(crate) fn hidden(&self) -> &[PathBuf] {
        self.protected.hidden()
    }

    /// Whether an absolute path is, or lies in, what the policy opens beyond the workspace.
    pub(crate) fn is_beyond(&self, path: &Path) -> bool {
        self.roots_beyond().any(|root| root.reaches(path))
    }

    fn roots_beyond(&self) -> impl Iterator<Item = &Root> {
        self.beyond.iter().chain(self.granted.iter().filter_map(OnceLock::get))
    }

    /// Whether one more file can be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.granted.iter().any(|place| place.get().is_none())
    }

    /// Opens a file beyond the workspace to be read, from now on; false when too many are open.
    pub(crate) fn open_file(&self, path: &Path) -> bool {
        let Some(mut root) = Root::open(path, false).filter(|root| root.is_file) else {
            return false;
        };
        for place in &self.granted {
            match place.set(root) {
                Ok(()) => return true,
                Err(back) => root = back,
            }
        }
        false
    }

    /// Where a path is resolved from, and what is left of it.
    fn base<'a>(&'a self, path: &'a Path) -> Result<(Base<'a>, &'a Path), Errno> {
        if !path.is_absolute() {
            let names = [self.root.as_path(), self.named.as_path()];
            let writable = !self.protected.is_read_only();
            let base = Base { directory: &self.directory, names, is_file: false, writable };
            return Ok((base, path));
        }
        let found = self.roots_beyond().filter(|root| root.reaches(path)).find_map(|root| {
            let Root { directory, is_file, writable, .. } = root;
            let names = [root.folder(); 2];
            let base = Base { directory, names, is_file: *is_file, writable: *writable };
            Some((base, path.strip_prefix(root.folder()).ok()?))
        });
        found.ok_or(Errno::XDEV)
    }

    /// The same workspace, looked up the other way.
    #[cfg(test)]
    pub(crate) fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// Its canonical path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The path it was opened by, made absolute.
    pub(crate) fn named(&self) -> &Path {
        &self.named
    }

    /// Opens a directory beneath, to work in.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.look_up(path, DIRECTORY)
    }

    /// Opens a directory beneath, to list it.
    pub(crate) fn open_listing(&self, path: &Path) -> Result<OwnedFd, Refusal> {
        let directory = self.look_up(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        self.protected.check(self.base(path)?.0.directory, &directory, None, Access::Read)?;
        Ok(directory)
    }

    /// What is hidden and exists now.
    pub(crate) fn hidden_now(&self) -> Vec<Identity> {
        self.protected.hidden_now()
    }

    /// Finds where a file lies or would lie, behind all links, and whether a tool may go there.
    pub(crate) fn place(&self, path: &Relative, access: Access) -> Result<Place, Refusal> {
        let mut path = path.as_path().to_path_buf();
        for _ in 0..=LINKS_MAX {
            let (base, _) = self.base(&path)?;
            if access != Access::Read && !base.writable {
                let rule = if path.is_absolute() { Rule::Beyond } else { Rule::ReadOnly };
                return Err(Refusal::Denied(rule));
            }
            let name = path.file_name().ok_or(Errno::ISDIR)?.to_os_string();
            let above = path.parent().unwrap_or(Path::new("")).to_path_buf();
            let directory = match self.open_directory(&above) {
                _ if base.is_file => rustix::io::fcntl_dupfd_cloexec(base.directory, 0)?,
                Err(Errno::NOENT) if access == Access::Create => self.make_directories(&above)?,
                other => other?,
            };
            match rustix::fs::readlinkat(&directory, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    path = match self.strip(base, &target) {
                        Ok(Some(inside)) if path.is_absolute() => base.names[0].join(inside),
                        Ok(Some(inside)) => inside,
                        Ok(None) => above.join(target),
                        // From one folder that is open into another.
                        Err(_) if self.is_beyond(&target) => target,
                        Err(error) => return Err(error.into()),
                    };
                }
                Err(Errno::INVAL | Errno::NOENT) => {
                    let name_seen = Some(name.as_os_str());
                    self.protected.check(base.directory, &directory, name_seen, access)?;
                    return Ok(Place { directory, name, is_alone: base.is_file });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::LOOP.into())
    }

    /// What an absolute target means inside; `None` for a relative one.
    fn strip(&self, base: Base<'_>, target: &Path) -> Result<Option<PathBuf>, Errno> {
        if !target.is_absolute() {
            return Ok(None);
        }
        let [root, named] = base.names;
        let inside = target.strip_prefix(root).or_else(|_| target.strip_prefix(named));
        inside.map(|inside| Some(inside.to_path_buf())).map_err(|_| Errno::XDEV)
    }

    fn make_directories(&self, path: &Path) -> Result<OwnedFd, Refusal> {
        Protected::check_new(path)?;
        let (base, inside) = self.base(path)?;
        let mut made = if path.is_absolute() { base.names[0].to_owned() } else { PathBuf::new() };
        let mut directory = self.open_directory(&made)?;
        for component in inside.components() {
            made.push(component);
            directory = match self.open_directory(&made) {
                Err(Errno::NOENT) => {
                    let Component::Normal(name) = component else {
                        return Err(Errno::NOENT.into());
                    };
                    let root = base.directory;
                    self.protected.check(root, &directory, Some(name), Access::Create)?;
                    match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => self.open_directory(&made)?,
                        Err(error) => return Err(error.into()),
                    }
                }
                other => other?,
            };
        }
        Ok(directory)
    }

    fn look_up(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (base, path) = self.base(path)?;
        match self.resolver {
            Resolver::Kernel => match beneath(base.directory, path, flags) {
                Err(Errno::XDEV) => self.walk(base, path, flags),
                other => other,
            },
            Resolver::Walk => self.walk(base, path, flags),
        }
    }

    /// One component after the other, no link followed by the kernel. Going up pops what was
    /// opened on the way down, so it cannot pass the root.
    fn walk(&self, base: Base<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut below: Vec<OwnedFd> = Vec::new();
        let mut pending = Vec::new();
        push_components(&mut pending, path);
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                below.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let here = below.last().unwrap_or(base.directory);
            match rustix::fs::readlinkat(here, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    match self.strip(base, &target)? {
                        Some(inside) => {
                            below.clear();
                            push_components(&mut pending, &inside);
                        }
                        None => push_components(&mut pending, &target),
                    }
                }
                Err(Errno::INVAL) if pending.is_empty() => {
                    return rustix::fs::openat(
                        here,
                        &name,
                        flags | OFlags::NOFOLLOW,
                        Mode::empty(),
                    );
                }
                Err(Errno::INVAL) => {
                    let flags = DIRECTORY | OFlags::NOFOLLOW;
                    let next = rustix::fs::openat(here, &name, flags, Mode::empty())?;
                    below.push(next);
                }
                Err(error) => return Err(error),
            }
        }
        rustix::fs::openat(below.last().unwrap_or(base.directory), ".", flags, Mode::empty())
    }
}

/// Puts the components on the stack, the first on top.
fn push_components(pending: &mut Vec<OsString>, path: &Path) {
    let at = pending.len();
    pending.extend(path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    }));
    if let Some(added) = pending.get_mut(at..) {
        added.reverse();
    }
}

#[cfg(target_os = "linux")]
fn beneath(directory: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;

    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..ATTEMPTS_MAX {
        match rustix::fs::openat2(directory, path, flags, Mode::empty(), rules) {
            // A rename elsewhere crossed the lookup of a `..`: the kernel asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(not(target_os = "linux"))]
fn beneath(_directory: &OwnedFd, _path: &Path, _flags: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// A seccomp filter may refuse `openat2` with any error, so it is tried.
fn probe(directory: &OwnedFd) -> Resolver {
    match beneath(directory, Path::new("."), DIRECTORY) {
        Ok(_) => Resolver::Kernel,
        Err(_) => Resolver::Walk,
    }
}

/// A name as text, with what would disturb a terminal or a line made visible.
pub(crate) fn printable(name: &OsStr) -> String {
    let text = String::from_utf8_lossy(name.as_bytes());
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests;
