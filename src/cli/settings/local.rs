//! `[local]`: where models of this machine lie, and how they are served.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::args::{DeviceArg, PrecisionArg, computed_by};

/// How long a model may take to be loaded unless the settings say otherwise: tens of gigabytes from
/// a slow disk.
const WAIT_S: u64 = 600;

/// The table as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LocalFile {
    /// Folders of runs and models.
    runs: Vec<Folder>,
    /// Tokens that fit into a request and its reply.
    pub(super) context: Option<NonZeroU64>,
    slots: Option<NonZeroU32>,
    device: Option<DeviceArg>,
    precision: Option<PrecisionArg>,
    template: Option<PathBuf>,
    /// Members of each request.
    pub(super) params: Map<String, Value>,
    wait_s: Option<u64>,
}

/// A folder that is the same wherever limn is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
struct Folder(PathBuf);

impl TryFrom<PathBuf> for Folder {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        if path.is_absolute() || path.starts_with("~") {
            return Ok(Self(path));
        }
        Err(format!("{} is no absolute path: write it whole, or beginning with ~/", path.display()))
    }
}

impl LocalFile {
    /// Where runs and models are looked for.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.runs.iter().map(|folder| expanded(&folder.0))
    }

    /// How long a model may take to be loaded.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.wait_s.unwrap_or(WAIT_S))
    }

    /// What the server is told beside the model, for a context of so many tokens and so many sessions
    /// at a time.
    pub(super) fn arguments(&self, context: Option<u64>, sessions: NonZeroU32) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        if let Some(context) = context {
            add("--context", context.to_string().into());
        }
        // The requests of a session follow one another, each the last one and more.
        add("--slots", self.slots.unwrap_or(sessions).to_string().into());
        arguments.extend(computed_by(self.device, self.precision));
        if let Some(template) = &self.template {
            arguments.extend(["--template".into(), expanded(template).into()]);
        }
        arguments
    }
}

/// A path whose `~/` is the user's home.
pub(crate) fn expanded(path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}
