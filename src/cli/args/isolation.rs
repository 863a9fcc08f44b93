//! Flags about what commands may do.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sandbox::{HostPattern, Preset};

/// What commands may do in their isolation. Each adds to the settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What commands may do")]
pub(crate) struct SandboxArgs {
    /// What to start from.
    #[arg(long, value_enum)]
    pub(crate) preset: Option<PresetArg>,
    /// A host that may be spoken to: `example.com`, `*.example.com`, `example.com:8443`, an
    /// address. May be repeated.
    #[arg(long = "allow-host", value_name = "HOST")]
    pub(crate) allow_hosts: Vec<HostPattern>,
    /// Something in a home folder that may be read. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) readable: Vec<PathBuf>,
    /// Something beyond the workspace that may be written. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) writable: Vec<PathBuf>,
    /// A socket of the machine that may be spoken to, such as that of an agent or a bus: whoever
    /// listens there does what it is asked for with all of its own rights. May be repeated.
    #[arg(long = "allow-socket", value_name = "PATH")]
    pub(crate) allow_sockets: Vec<PathBuf>,
    /// Something that may be neither read nor written. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) hidden: Vec<PathBuf>,
    /// A variable of the environment that commands get, a secret too. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) pass_env: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// Read the workspace; no network.
    ReadOnly,
    /// Write in the workspace; no network.
    Workspace,
    /// The same, and the registries that the settings of cargo, npm and pip name.
    Packages,
    /// The same, and every public host.
    Network,
    /// No isolation, as `--sandbox off`.
    Off,
}

impl From<PresetArg> for Preset {
    fn from(preset: PresetArg) -> Self {
        match preset {
            PresetArg::ReadOnly => Self::ReadOnly,
            PresetArg::Workspace => Self::Workspace,
            PresetArg::Packages => Self::Packages,
            PresetArg::Network => Self::Network,
            PresetArg::Off => Self::Off,
        }
    }
}
