//! The policy as it is asked for: the `[sandbox]` table of settings, and what becomes of it.
//!
//! A [`PolicyFile`] is what somebody wrote; [`PolicyFile::policy`] looks at the machine and makes
//! a [`Policy`] of it, or says what is wrong. Nothing unknown, missing or contradictory is let
//! through in silence: a policy that is not what its author thinks protects nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Refusal;
use super::host::{HostPattern, Network};
use super::places::{self, beneath, canonical};
use super::rules::{Limits, Policy, Preset, covers};

/// The word that says how much network there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkWord {
    /// None, whatever the preset says.
    Off,
    /// Only the hosts of `allow_hosts`.
    Hosts,
    /// Every public host.
    All,
}

/// `[sandbox.limits]`: what is absent keeps its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    /// See [`Limits::processes`].
    pub processes: Option<u64>,
    /// See [`Limits::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// See [`Limits::cpu_s`].
    pub cpu_s: Option<u64>,
    /// See [`Limits::wall_s`].
    pub wall_s: Option<u64>,
    /// See [`Limits::output_bytes`].
    pub output_bytes: Option<u64>,
    /// See [`Limits::tmp_bytes`].
    pub tmp_bytes: Option<u64>,
}

impl LimitsFile {
    fn over(self, limits: Limits) -> Limits {
        Limits {
            processes: self.processes.unwrap_or(limits.processes),
            memory_bytes: self.memory_bytes.unwrap_or(limits.memory_bytes),
            cpu_s: self.cpu_s.unwrap_or(limits.cpu_s),
            wall_s: self.wall_s.unwrap_or(limits.wall_s),
            output_bytes: self.output_bytes.unwrap_or(limits.output_bytes),
            tmp_bytes: self.tmp_bytes.unwrap_or(limits.tmp_bytes),
        }
    }

    /// The least of both. What `self` does not set is limited all the same: by the defaults.
    fn tightened(self, by: Self, defaults: Limits) -> Self {
        let less = |ours: Option<u64>, theirs: Option<u64>, default: u64| {
            theirs.map_or(ours, |theirs| Some(theirs.min(ours.unwrap_or(default))))
        };
        Self {
            processes: less(self.processes, by.processes, defaults.processes),
            memory_bytes: less(self.memory_bytes, by.memory_bytes, defaults.memory_bytes),
            cpu_s: less(self.cpu_s, by.cpu_s, defaults.cpu_s),
            wall_s: less(self.wall_s, by.wall_s, defaults.wall_s),
            output_bytes: less(self.output_bytes, by.output_bytes, defaults.output_bytes),
            tmp_bytes: less(self.tmp_bytes, by.tmp_bytes, defaults.tmp_bytes),
        }
    }
}

/// `[sandbox]` as it is written. Paths may begin with `~/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyFile {
    /// What to start from.
    pub preset: Option<Preset>,
    /// How much network there is, where the preset's is not meant.
    pub network: Option<NetworkWord>,
    /// Hosts that may be spoken to, on top of the preset's.
    pub allow_hosts: Vec<HostPattern>,
    /// What can be read of a home.
    pub readable: Vec<PathBuf>,
    /// What can be written beyond the workspace.
    pub writable: Vec<PathBuf>,
    /// Sockets of the machine that can be spoken to.
    pub allow_sockets: Vec<PathBuf>,
    /// What can be neither.
    pub hidden: Vec<PathBuf>,
    /// Variables of the environment to pass on, secrets among them if they are named.
    pub env: Vec<String>,
    /// How much commands may use.
    pub limits: LimitsFile,
}

/// What a policy is made for.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The folder that is worked in.
    pub workspace: PathBuf,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// What limn keeps for itself, its data and its settings: hidden whatever anybody says.
    pub own: Vec<PathBuf>,
    /// Where the private caches of packages for this workspace lie, by a path without links.
    pub caches: Option<PathBuf>,
    /// Hosts that the user's own settings of cargo, npm and pip name as mirrors.
    pub mirrors: Vec<HostPattern>,
    /// The environment, in which toolchains say where they lie.
    pub variables: Vec<(OsString, OsString)>,
}

impl PolicyFile {
    /// The same with what another table takes away. What that would open counts for nothing, so it
    /// may come from anybody. Its paths may be relative to the workspace.
    #[must_use]
    pub fn tightened(self, by: &Self, workspace: &Path) -> Self {
        let mut table = self;
        if let Some(preset) = by.preset {
            table.preset = Some(table.preset.unwrap_or_default().min(preset));
        }
        if by.network == Some(NetworkWord::Off) {
            table.network = Some(NetworkWord::Off);
            table.allow_hosts.clear();
        }
        let absolute = |path: &PathBuf| match path.starts_with("~") {
            true => path.clone(),
            false => workspace.join(path),
        };
        table.hidden.extend(by.hidden.iter().map(absolute));
        table.limits = table.limits.tightened(by.limits, Limits::of_machine());
        table
    }

    /// The policy that this asks for, here.
    ///
    /// # Errors
    /// When a path is missing, entries contradict each other, or the workspace is none.
    pub fn policy(&self, around: &Surroundings) -> Result<Policy, Refusal> {
        let preset = self.preset.unwrap_or_default();
        let limits = self.limits.over(Limits::of_machine());
        let env = self.env()?;
        let home = around.home.as_deref().filter(|home| home.parent().is_some());
        let home = home.map(canonical);
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in &self.hidden {
            kept.push(canonical(&expand("hidden", path, home.as_deref())?));
        }
        kept.extend(around.own.iter().map(|path| canonical(path)));
        let readable = self.paths("readable", &self.readable, home.as_deref())?;
        let writable = self.paths("writable", &self.writable, home.as_deref())?;
        let sockets = self.sockets(home.as_deref())?;
        if preset == Preset::Off {
            // Commands do as they like. These are for the file tools, and for the environment.
            let policy = Policy { readable, writable, sockets, hidden: kept, ..Policy::default() };
            return Ok(Policy { env, limits, ..policy });
        }
        let workspace = canonical(&around.workspace);
        let mut closed: Vec<PathBuf> = places::HOMES.iter().map(PathBuf::from).collect();
        closed.extend(home.clone());
        let mut hidden: Vec<PathBuf> = places::SYSTEM_SECRETS.iter().map(PathBuf::from).collect();
        hidden.extend(home.iter().flat_map(|home| beneath(home, places::CREDENTIALS)));
        // What the user opens by its name, or works in, is meant to be open. What lies in it is no
        // more than itself: what lies beside that has to be closed by something else.
        hidden.retain(|secret| {
            let files = [&readable, &writable];
            let is_named = files.iter().any(|paths| paths.contains(secret));
            let is_entered =
                files.into_iter().chain([&sockets]).flatten().any(|open| open.starts_with(secret));
            let is_shown = !covers(&closed, secret)
                || files.iter().any(|paths| covers(paths, secret))
                || secret.starts_with(&workspace);
            let is_open = is_named || around.workspace.starts_with(secret);
            !is_open && (is_shown || !is_entered)
        });
        hidden.extend(kept);
        let toolchains = toolchains(home.as_deref(), &closed, around);
        let network = self.network(preset, &around.mirrors)?;
        let mut policy = Policy {
            preset,
            workspace_writable: preset != Preset::ReadOnly,
            closed,
            readable: toolchains.into_iter().filter(|path| !covers(&hidden, path)).collect(),
            writable,
            sockets,
            frozen: places::FROZEN.iter().map(|name| workspace.join(name)).collect(),
            hidden,
            network,
            env,
            variables: BTreeMap::new(),
            limits,
            workspace,
            ..Policy::default()
        };
        policy.readable.extend(readable);
        super::repository::open(&mut policy);
        if let Some(caches) = &around.caches
            && policy.network != Network::Off
        {
            super::caches::give(&mut policy, caches)?;
        }
        policy.check()?;
        Ok(policy.without_doubles())
    }

    fn network(&self, preset: Preset, mirrors: &[HostPattern]) -> Result<Network, Refusal> {
        let preset = match preset {
            Preset::ReadOnly | Preset::Workspace => Network::Off,
            // Which registries there are is in the user's own settings, not in ours.
            Preset::Packages => Network::Hosts(mirrors.to_vec()),
            Preset::Network | Preset::Off => Network::All,
        };
        let added = !self.allow_hosts.is_empty();
        let base = match (self.network, preset) {
            (Some(NetworkWord::Off), _) if added => {
                return Err(Refusal {
                    rule: "sandbox.network is off and sandbox.allow_hosts names hosts".into(),
                    remedy: "remove one of the two".into(),
                });
            }
            (Some(NetworkWord::Off), _) => Network::Off,
            (Some(NetworkWord::All), _) => Network::All,
            (Some(NetworkWord::Hosts), _) => Network::Hosts(Vec::new()),
            (None, preset) => preset,
        };
        Ok(self.allow_hosts.iter().cloned().fold(base, |network, host| network.allowing(host)))
    }

    fn env(&self) -> Result<BTreeSet<String>, Refusal> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let wrong = |name: &&String| name.is_empty() || !name.bytes().all(fits);
        match self.env.iter().find(wrong) {
            None => Ok(self.env.iter().cloned().collect()),
            Some(name) => Err(Refusal {
                rule: format!("sandbox.env names {name:?}, which is no name of a variable"),
                remedy: "write the name alone, such as \"GH_TOKEN\"".into(),
            }),
        }
    }

    /// The sockets, which all have to be there: what is laid open is what they are now.
    fn sockets(&self, home: Option<&Path>) -> Result<Vec<PathBuf>, Refusal> {
        let sockets = self.paths("allow_sockets", &self.allow_sockets, home)?;
        let is_socket =
            |path: &&PathBuf| path.metadata().is_ok_and(|it| it.file_type().is_socket());
        match sockets.iter().find(|path| !is_socket(path)) {
            None => Ok(sockets),
            Some(path) => Err(Refusal {
                rule: format!("sandbox.allow_sockets names {}, which is no socket", path.display()),
                remedy: "name the socket itself; a folder is opened with sandbox.readable".into(),
            }),
        }
    }

    /// The paths of a list, which all have to exist.
    fn paths(
        &self,
        key: &str,
        paths: &[PathBuf],
        home: Option<&Path>,
    ) -> Result<Vec<PathBuf>, Refusal> {
        let find = |path: &PathBuf| {
            let path = expand(key, path, home)?;
            path.canonicalize().map_err(|error| Refusal {
                rule: format!("sandbox.{key} names {}: {error}", path.display()),
                remedy: "create it, or take it off the list".into(),
            })
        };
        let found: Vec<PathBuf> = paths.iter().map(find).collect::<Result<_, _>>()?;
        let too_much = |path: &&PathBuf| path.parent().is_none() || home == Some(path.as_path());
        match found.iter().find(too_much).filter(|_| key == "writable") {
            None => Ok(found),
            Some(path) => Err(Refusal {
                rule: format!(
                    "sandbox.writable names {}, which would open everything",
                    path.display()
                ),
                remedy: "name the folder that is meant".into(),
            }),
        }
    }
}

/// The path that is meant, with `~` for the home.
fn expand(key: &str, path: &Path, home: Option<&Path>) -> Result<PathBuf, Refusal> {
    let path = match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        (Ok(_), None) => {
            return Err(Refusal {
                rule: format!("sandbox.{key} names {}, and there is no home", path.display()),
                remedy: "write the path from the root on".into(),
            });
        }
        (Err(_), _) => path.to_path_buf(),
    };
    super::paths::check(&path).map_err(|refusal| Refusal {
        rule: format!("sandbox.{key}: {}", refusal.rule),
        ..refusal
    })?;
    Ok(path)
}

/// Where toolchains lie inside the closed folders: by custom, by their variables, on the path.
fn toolchains(home: Option<&Path>, closed: &[PathBuf], around: &Surroundings) -> Vec<PathBuf> {
    let by_custom = home.map(|home| beneath(home, places::TOOLCHAINS)).unwrap_or_default();
    let variables = around.variables.iter();
    let named = variables.flat_map(|(name, value)| match name.to_str() {
        Some("PATH") => std::env::split_paths(value).collect(),
        Some(name) if places::TOOLCHAIN_VARIABLES.contains(&name) => vec![PathBuf::from(value)],
        _ => Vec::new(),
    });
    let found = by_custom.into_iter().chain(named);
    let real = found.filter(|path| path.is_absolute()).filter_map(|path| path.canonicalize().ok());
    // What would open a whole home is no toolchain.
    real.filter(|path| !closed.iter().any(|closed| closed.starts_with(path)))
        .filter(|path| home.is_none_or(|home| !home.starts_with(path)))
        .filter(|path| covers(closed, path))
        .filter(|path| !closed.iter().any(|home| path.parent() == Some(home) && is_home(home)))
        .collect()
}

/// Whether a folder is one of homes, so that its entries are homes of people.
fn is_home(folder: &Path) -> bool {
    folder == Path::new("/home") || folder == Path::new("/Users")
}
