//! A workspace's own settings file, and how far it is believed.
//!
//! What makes things stricter is taken as it is. Everything else, such as another server, an
//! allowed host or a command that runs without asking, is taken only from a file that the user has
//! trusted as it is now; until then a session does not begin, and says why. Whoever gives you a
//! folder decides nothing about your keys.

use std::collections::BTreeMap;
use std::path::Path;

use sandbox::PolicyFile;
use serde::Deserialize;
use trajectory::ApprovalMode;

use super::catalogue::ModelFile;
use super::file::{UserFile, read_text, refuse};
use super::provider::{ProviderFile, ProviderName};
use super::rules::RulesFile;
use super::trust::Trusted;
use super::{sandbox as table, tighter};
use crate::args::{Api, ToolsArg};
use crate::error::CliError;
use crate::print::safe_line;

/// Where it lies in a workspace.
pub(crate) const PLACE: &str = ".limn/config.toml";

const HINT: &str = "A workspace may make stricter approval, max_steps, max_tokens, timeout, \
                    sandbox.preset, sandbox.network, sandbox.hidden, sandbox.limits, rules.ask and \
                    rules.deny, and set some others once it is trusted (`limn trust`); everything \
                    else belongs into your own config.toml.";

/// A workspace's file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkspaceFile {
    pub(super) approval: Option<ApprovalMode>,
    pub(super) max_steps: Option<u32>,
    pub(super) max_tokens: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) sandbox: PolicyFile,
    pub(super) rules: RulesFile,
    model: Option<String>,
    provider: Option<ProviderName>,
    base_url: Option<String>,
    api_key_env: Option<String>,
    api: Option<Api>,
    tools: Option<ToolsArg>,
    providers: BTreeMap<ProviderName, ProviderFile>,
    models: BTreeMap<String, ModelFile>,
}

/// What a file asks for beyond making things stricter: a key, and what it says.
pub(crate) type Ask = (String, String);

/// A workspace's file that was read.
pub(crate) struct Found {
    pub(super) file: WorkspaceFile,
    /// The hash of its text.
    pub(crate) digest: String,
    pub(crate) asks: Vec<Ask>,
}

/// Reads the file of a workspace, if there is one.
pub(crate) fn find(workspace: &Path) -> Result<Option<Found>, CliError> {
    let path = workspace.join(PLACE);
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let file: WorkspaceFile =
        super::file::parse(&text).map_err(|told| refuse(&path, told, HINT))?;
    // For the words of what is asked for: it has been parsed, so it is a table.
    let written: toml::Table = toml::from_str(&text).unwrap_or_default();
    let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
    let asks = file.asks(&written);
    Ok(Some(Found { file, digest, asks }))
}

impl WorkspaceFile {
    fn asks(&self, written: &toml::Table) -> Vec<Ask> {
        let mut asks: Vec<Ask> = Vec::new();
        for key in ["model", "provider", "base_url", "api_key_env", "api", "tools"] {
            asks.extend(written.get(key).map(|value| (key.to_owned(), value.to_string())));
        }
        for key in ["providers", "models"] {
            let tables = written.get(key).and_then(toml::Value::as_table);
            for (name, value) in tables.into_iter().flatten() {
                asks.push((format!("{key}.{name}"), value.to_string()));
            }
        }
        let allowed = self.rules.allowed();
        if !allowed.is_empty() {
            asks.push(("rules.allow".to_owned(), allowed.join(", ")));
        }
        let opens = table::opens(&self.sandbox);
        asks.extend(opens.into_iter().map(|(key, value)| (key.to_owned(), value)));
        asks
    }
}

/// The user's settings and the workspace's, as far as it is believed. What it hides is hidden in
/// `work`, which is the workspace or a copy of it.
pub(super) fn applied(
    file: UserFile,
    workspace: &Path,
    work: &Path,
    home: &Path,
) -> Result<UserFile, CliError> {
    let Some(found) = find(workspace)? else { return Ok(file) };
    let theirs = found.file;
    let mut file = file;
    if !found.asks.is_empty() {
        if !Trusted::read(home)?.is_trusted(workspace, &found.digest) {
            return Err(untrusted(workspace, &found.asks));
        }
        file = trusted(file, &theirs);
    }
    let table = file.sandbox.take().map(super::sandbox::SandboxFile::table).unwrap_or_default();
    let table = table.tightened(&theirs.sandbox, work);
    file.sandbox = Some(super::sandbox::SandboxFile::Table(Box::new(table)));
    file.approval = theirs
        .approval
        .map_or(file.approval, |theirs| Some(file.approval.unwrap_or_default().min(theirs)));
    file.max_steps = tighter(file.max_steps, theirs.max_steps);
    file.max_tokens = tighter(file.max_tokens, theirs.max_tokens);
    file.timeout = tighter(file.timeout, theirs.timeout);
    file.rules.tighten(theirs.rules);
    Ok(file)
}

fn trusted(ours: UserFile, theirs: &WorkspaceFile) -> UserFile {
    let mut file = ours;
    let names_server = theirs.provider.is_some() || theirs.base_url.is_some();
    if names_server {
        // An address and a provider exclude each other, and a key belongs to its server.
        file.provider.clone_from(&theirs.provider);
        file.base_url.clone_from(&theirs.base_url);
        file.api_key_env.clone_from(&theirs.api_key_env);
    }
    file.model = theirs.model.clone().or(file.model);
    file.api = theirs.api.or(file.api);
    file.tools = theirs.tools.or(file.tools);
    for (name, provider) in &theirs.providers {
        file.providers.insert(name.clone(), provider.clone());
    }
    for (name, model) in &theirs.models {
        file.models.insert(name.clone(), model.clone());
    }
    file.rules.allow(&theirs.rules);
    let table = file.sandbox.take().map(super::sandbox::SandboxFile::table).unwrap_or_default();
    let table = super::sandbox::widened(table, &theirs.sandbox);
    file.sandbox = Some(super::sandbox::SandboxFile::Table(Box::new(table)));
    file
}

fn untrusted(workspace: &Path, asks: &[Ask]) -> CliError {
    let keys: Vec<String> = asks.iter().map(|(key, _)| safe_line(key)).collect();
    CliError::usage(format!(
        "{} asks for more than a workspace may decide ({}), and nobody has trusted it as it is \
         now. See what it says and trust it with `limn trust {}`, or take these keys out.",
        workspace.join(PLACE).display(),
        keys.join(", "),
        workspace.display(),
    ))
}
