//! The policy itself: plain data that says what commands and file tools may do.
//!
//! A policy is put together from settings ([`crate::PolicyFile`]), which is also where one is made
//! stricter. Who enforces it makes a plan of it and carries that out. Two questions have their one
//! answer here: [`Policy::may_read`] and [`Policy::may_write`], over paths whose links have been
//! resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::host::Network;
use super::paths;

/// What a session starts from, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The workspace can be read; nothing is written but in a private `/tmp`; no network.
    ReadOnly,
    /// The workspace can be written; no network.
    #[default]
    Workspace,
    /// Like `workspace`, with the registries that the user's own settings of cargo, npm and pip
    /// name.
    Packages,
    /// Like `workspace`, with every public host.
    Network,
    /// No isolation: commands run as the user.
    Off,
}

impl Preset {
    /// All of them, the strictest first.
    pub const ALL: [Self; 5] =
        [Self::ReadOnly, Self::Workspace, Self::Packages, Self::Network, Self::Off];

    /// Its name in settings, flags and recordings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Workspace => "workspace",
            Self::Packages => "packages",
            Self::Network => "network",
            Self::Off => "off",
        }
    }
}

/// How much commands may use. Each has a limit: what grows without one takes the machine along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes and threads at a time, over the whole session.
    pub processes: u64,
    /// Memory of all that runs in the session, bytes.
    pub memory_bytes: u64,
    /// Processor time of one process, seconds.
    pub cpu_s: u64,
    /// From the start of a command to the end of all it left behind, seconds.
    pub wall_s: u64,
    /// What one command may print, bytes.
    pub output_bytes: u64,
    /// What fits into the private `/tmp`, bytes.
    pub tmp_bytes: u64,
}

impl Limits {
    /// The defaults for a machine with this much memory.
    #[must_use]
    pub const fn of_memory(bytes: u64) -> Self {
        Self {
            processes: 4_096,
            memory_bytes: bytes / 4 * 3,
            cpu_s: 6 * 3_600,
            wall_s: 24 * 3_600,
            output_bytes: 1 << 30,
            tmp_bytes: bytes / 4,
        }
    }

    /// The defaults for this machine, or for the control group that limn runs in.
    #[must_use]
    pub fn of_machine() -> Self {
        #[cfg(target_os = "linux")]
        let bytes = super::memory::bytes();
        #[cfg(not(target_os = "linux"))]
        let bytes = 8 << 30;
        Self::of_memory(bytes)
    }

    /// [`Limits::wall_s`] as a duration.
    #[must_use]
    pub const fn wall(&self) -> Duration {
        Duration::from_secs(self.wall_s)
    }

    /// Each with its name and the least that makes sense.
    fn check(&self) -> Result<(), Refusal> {
        let each = [
            ("processes", self.processes, 1),
            ("memory_bytes", self.memory_bytes, 1 << 20),
            ("cpu_s", self.cpu_s, 1),
            ("wall_s", self.wall_s, 1),
            ("output_bytes", self.output_bytes, 1),
            ("tmp_bytes", self.tmp_bytes, 1 << 12),
        ];
        match each.into_iter().find(|(_, value, least)| value < least) {
            None => Ok(()),
            Some((name, value, least)) => Err(Refusal {
                rule: format!("the limit {name} is {value}, with which nothing can run"),
                remedy: format!("set sandbox.limits.{name} to {least} or more"),
            }),
        }
    }
}

/// What commands and file tools may do. Paths are absolute and without links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it was made from, for people: what counts is below.
    pub preset: Preset,
    /// The folder that is worked in; empty where there is no isolation.
    pub workspace: PathBuf,
    /// Whether it can be written.
    pub workspace_writable: bool,
    /// Folders such as homes, of which only what is named elsewhere in here can be read.
    pub closed: Vec<PathBuf>,
    /// What can be read of them all the same, such as toolchains.
    pub readable: Vec<PathBuf>,
    /// What can be read and written beyond the workspace.
    pub writable: Vec<PathBuf>,
    /// What git writes of a repository that lies elsewhere, when the workspace is a work tree of
    /// it: commands can write it, and file tools cannot.
    pub git: Vec<PathBuf>,
    /// What listens on the machine in a file and can be spoken to all the same.
    pub sockets: Vec<PathBuf>,
    /// What can be read and never written, wherever it lies: what limn or git would act on.
    pub frozen: Vec<PathBuf>,
    /// What can be neither read nor written, wherever it lies. It need not exist.
    pub hidden: Vec<PathBuf>,
    /// Who may be spoken to.
    pub network: Network,
    /// Variables of the environment that are passed on because the user named them.
    pub env: BTreeSet<String>,
    /// Variables that commands get on top, such as where private caches lie.
    pub variables: BTreeMap<String, String>,
    /// How much commands may use.
    pub limits: Limits,
    /// About how much of a command's output a model is shown, characters.
    pub text_chars_max: usize,
}

impl Default for Policy {
    /// No isolation. It cannot be enforced: [`Policy::check`] refuses it.
    fn default() -> Self {
        Self {
            preset: Preset::Off,
            workspace: PathBuf::new(),
            workspace_writable: true,
            closed: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            git: Vec::new(),
            sockets: Vec::new(),
            frozen: Vec::new(),
            hidden: Vec::new(),
            network: Network::All,
            env: BTreeSet::new(),
            variables: BTreeMap::new(),
            limits: Limits::of_machine(),
            text_chars_max: screen::TEXT_CHARS_MAX,
        }
    }
}

impl Policy {
    /// Whether what lies at this path can be read.
    #[must_use]
    pub fn may_read(&self, path: &Path) -> bool {
        let closed = covers(&self.closed, path) && !covers(&self.read(), path);
        !closed && !covers(&self.hidden, path)
    }

    /// Whether something can be written at this path.
    #[must_use]
    pub fn may_write(&self, path: &Path) -> bool {
        !covers(&self.hidden, path) && !covers(&self.frozen, path) && covers(&self.written(), path)
    }

    /// Whether it can be enforced, and does not contradict itself. Nothing is looked up: what is
    /// checked here, whoever receives a policy can check again.
    ///
    /// # Errors
    /// The rule that is broken, and the remedy.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.preset == Preset::Off {
            return Err(Refusal {
                rule: "the preset off asks for no isolation, so there is nothing to enforce".into(),
                remedy: "choose read-only, workspace, packages or network".into(),
            });
        }
        let opened = [&self.readable, &self.writable, &self.git, &self.sockets];
        let others = [&self.closed, &self.frozen, &self.hidden];
        for path in opened.into_iter().chain(others).flatten().chain([&self.workspace]) {
            paths::check(path)?;
        }
        self.check_workspace()?;
        for open in opened.into_iter().flatten() {
            if let Some(hidden) = self.hidden.iter().find(|hidden| open.starts_with(hidden)) {
                return Err(Refusal {
                    rule: format!("{} is both opened and hidden", open.display()),
                    remedy: format!(
                        "remove it from sandbox.readable, sandbox.writable and \
                         sandbox.allow_sockets; or {0} from sandbox.hidden; or, where limn itself \
                         hides {0}, open no folder above it",
                        hidden.display()
                    ),
                });
            }
        }
        self.limits.check()
    }

    fn check_workspace(&self) -> Result<(), Refusal> {
        let shown = self.workspace.display();
        let remedy = "name a folder of its own with --workspace, or run without isolation \
                      (--sandbox off)";
        if self.workspace.parent().is_none() {
            return Err(Refusal {
                rule: "the workspace is the root of the file system, which would open everything"
                    .into(),
                remedy: remedy.into(),
            });
        }
        if let Some(home) = self.closed.iter().find(|home| home.starts_with(&self.workspace)) {
            return Err(Refusal {
                rule: format!("the workspace {shown} holds the home folder {}", home.display()),
                remedy: remedy.into(),
            });
        }
        if covers(&self.hidden, &self.workspace) {
            return Err(Refusal {
                rule: format!("the workspace {shown} lies where commands may not look"),
                remedy: remedy.into(),
            });
        }
        Ok(())
    }

    /// The roots of what can be read although it is closed.
    fn read(&self) -> Vec<PathBuf> {
        match self.preset {
            Preset::Off => vec![PathBuf::from("/")],
            _ => {
                let named = self.readable.iter().chain(&self.writable).chain([&self.workspace]);
                named.cloned().collect()
            }
        }
    }

    /// The roots of what can be written.
    fn written(&self) -> Vec<PathBuf> {
        match self.preset {
            Preset::Off => vec![PathBuf::from("/")],
            _ => {
                let workspace = self.workspace_writable.then_some(&self.workspace);
                self.writable.iter().chain(workspace).cloned().collect()
            }
        }
    }

    /// The same without what the workspace or another entry says already.
    pub(super) fn without_doubles(mut self) -> Self {
        for list in [
            &mut self.closed,
            &mut self.readable,
            &mut self.writable,
            &mut self.git,
            &mut self.sockets,
            &mut self.frozen,
            &mut self.hidden,
        ] {
            list.sort();
            // An entry beneath another says nothing new. Sorted, it comes after it.
            let mut kept: Vec<PathBuf> = Vec::new();
            for path in list.drain(..) {
                if !covers(&kept, &path) {
                    kept.push(path);
                }
            }
            *list = kept;
        }
        let Self { workspace, workspace_writable, readable, writable, .. } = &mut self;
        readable.retain(|path| !path.starts_with(&*workspace) && !covers(writable, path));
        writable.retain(|path| !(*workspace_writable && path.starts_with(&*workspace)));
        self
    }
}

/// Whether one of these paths is this one or lies above it.
pub(super) fn covers(roots: &[PathBuf], path: &Path) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}
