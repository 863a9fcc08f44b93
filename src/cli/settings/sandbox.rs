//! What commands may do: `[sandbox]` of the files, variables and flags, folded into one table.
//!
//! Later wins, list by list: what a flag allows is added to what the file allows. A workspace's
//! own file comes before the flags and can only take away, unless it is trusted.

use std::path::PathBuf;

use sandbox::{HostPattern, NetworkWord, PolicyFile, Preset};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use super::place::{variable, word_variable};
use crate::args::{PresetArg, SandboxArg, SandboxArgs};
use crate::error::CliError;

/// `sandbox` as it is written: a word, or a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SandboxFile {
    Word(SandboxArg),
    Table(Box<PolicyFile>),
}

impl<'de> Deserialize<'de> for SandboxFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = SandboxFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"auto\", \"off\", or a table [sandbox]")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<SandboxFile, E> {
        match word {
            "auto" => Ok(SandboxFile::Word(SandboxArg::Auto)),
            "off" => Ok(SandboxFile::Word(SandboxArg::Off)),
            other => Err(E::unknown_variant(other, &["auto", "off"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SandboxFile, A::Error> {
        PolicyFile::deserialize(MapAccessDeserializer::new(map))
            .map(|table| SandboxFile::Table(Box::new(table)))
    }
}

impl SandboxFile {
    pub(super) fn table(self) -> PolicyFile {
        match self {
            Self::Word(SandboxArg::Auto) => PolicyFile::default(),
            Self::Word(SandboxArg::Off) => {
                PolicyFile { preset: Some(Preset::Off), ..PolicyFile::default() }
            }
            Self::Table(table) => *table,
        }
    }
}

/// What a workspace's table opens, once it is trusted.
pub(super) fn widened(ours: PolicyFile, theirs: &PolicyFile) -> PolicyFile {
    let mut table = ours;
    if matches!(theirs.network, Some(NetworkWord::All | NetworkWord::Hosts)) {
        table.network = theirs.network;
    }
    table.allow_hosts.extend(theirs.allow_hosts.iter().cloned());
    table.readable.extend(theirs.readable.iter().cloned());
    table.writable.extend(theirs.writable.iter().cloned());
    table.allow_sockets.extend(theirs.allow_sockets.iter().cloned());
    table.env.extend(theirs.env.iter().cloned());
    table
}

/// The keys of a workspace's table that open something, each with what it says.
pub(super) fn opens(theirs: &PolicyFile) -> Vec<(&'static str, String)> {
    let paths = |paths: &[PathBuf]| {
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let hosts: Vec<String> = theirs.allow_hosts.iter().map(HostPattern::to_string).collect();
    let network = match theirs.network {
        Some(NetworkWord::All) => "all",
        Some(NetworkWord::Hosts) => "hosts",
        Some(NetworkWord::Off) | None => "",
    };
    let all = [
        ("sandbox.network", network.to_owned()),
        ("sandbox.allow_hosts", hosts.join(", ")),
        ("sandbox.readable", paths(&theirs.readable)),
        ("sandbox.writable", paths(&theirs.writable)),
        ("sandbox.allow_sockets", paths(&theirs.allow_sockets)),
        ("sandbox.env", theirs.env.join(", ")),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What variables and flags make of it.
pub(super) fn with_flags(
    table: PolicyFile,
    word: Option<SandboxArg>,
    flags: &SandboxArgs,
) -> Result<PolicyFile, CliError> {
    let mut table = table;
    let preset = flags.preset.or(word_variable::<PresetArg>("LIMN_SANDBOX_PRESET")?);
    let word = word.or(word_variable("LIMN_SANDBOX")?);
    match (word, preset.map(Preset::from)) {
        (Some(SandboxArg::Off), Some(preset)) if preset != Preset::Off => {
            return Err(CliError::usage(format!(
                "Without a sandbox there is no preset {}. Drop `--sandbox off` or the preset.",
                preset.as_str()
            )));
        }
        (Some(SandboxArg::Off), _) => table.preset = Some(Preset::Off),
        (_, Some(preset)) => table.preset = Some(preset),
        (Some(SandboxArg::Auto), None) if table.preset == Some(Preset::Off) => table.preset = None,
        _ => {}
    }
    let hosts = words("LIMN_SANDBOX_ALLOW_HOSTS", ',').map(|host| {
        host.parse().map_err(|what| {
            CliError::usage(format!("LIMN_SANDBOX_ALLOW_HOSTS is not right: {what}."))
        })
    });
    let hosts: Vec<HostPattern> = hosts.collect::<Result<_, CliError>>()?;
    let hosts: Vec<HostPattern> = hosts.into_iter().chain(flags.allow_hosts.clone()).collect();
    if !hosts.is_empty() && table.network == Some(NetworkWord::Off) {
        table.network = Some(NetworkWord::Hosts);
    }
    table.allow_hosts.extend(hosts);
    for (list, name, flag) in [
        (&mut table.readable, "LIMN_SANDBOX_READABLE", &flags.readable),
        (&mut table.writable, "LIMN_SANDBOX_WRITABLE", &flags.writable),
        (&mut table.allow_sockets, "LIMN_SANDBOX_ALLOW_SOCKETS", &flags.allow_sockets),
        (&mut table.hidden, "LIMN_SANDBOX_HIDDEN", &flags.hidden),
    ] {
        list.extend(words(name, ':').map(PathBuf::from));
        // What is typed is meant from where it is typed.
        let from_here = flag.iter().map(|path| match path.starts_with("~") {
            true => path.clone(),
            false => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        });
        list.extend(from_here);
    }
    table.env.extend(words("LIMN_SANDBOX_ENV", ','));
    table.env.extend(flags.pass_env.iter().cloned());
    Ok(table)
}

/// The words of a variable that is a list.
fn words(name: &str, between: char) -> impl Iterator<Item = String> {
    let text = variable(name).unwrap_or_default();
    let words: Vec<String> = text
        .split(between)
        .map(|word| word.trim().to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    words.into_iter()
}
