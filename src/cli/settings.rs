//! What was meant: settings files, environment and flags, folded into one answer.
//!
//! Later wins: the user's `config.toml`, the workspace's `.limn/config.toml` (which may only
//! tighten, unless it is trusted), `LIMN_*` and `OPENAI_*`, flags. An unknown key is an error that names it.

mod catalogue;
mod choice;
mod command;
mod context;
mod file;
mod key;
pub(crate) mod keyring;
mod local;
mod place;
mod provider;
mod rules;
mod sandbox;
mod terminal;
mod trust;
mod url;
mod web;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::sandbox::{PolicyFile, Preset};
use agent::Limits;
use toolbox::Rules;
use trajectory::ApprovalMode;

use crate::args::{ApprovalArg, RunArgs, ToolsArg};
use crate::error::CliError;
use place::{number_variable, word_variable};

pub(crate) use catalogue::Catalogue;
pub(crate) use choice::{
    Endpoint, ModelChoice, NO_MODEL, chosen_provider, provider, refuse_mixed, said_in_vain,
};
pub(crate) use context::ContextSettings;
pub(crate) use file::{Consent, UserFile, set_at_top, user_file};
pub(crate) use key::KeyState;
pub(crate) use local::expanded;
pub(crate) use place::{CACHES_DEPTH, cache, caches, home, user_file_path, variable};
pub(crate) use provider::{Provider, names as provider_names};
pub(crate) use rules::remember;
pub(crate) use terminal::TerminalFile;
pub(crate) use trust::{Entry, Trusted};
pub(crate) use url::is_loopback;
pub(crate) use web::WebSettings;
pub(crate) use workspace::{Found, PLACE as WORKSPACE_FILE, find as workspace_file};

/// Everything a session needs to know.
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) model: ModelChoice,
    pub(crate) catalogue: Catalogue,
    /// The names and shapes of the tools; none: as the model does best with them.
    pub(crate) tools: Option<ToolsArg>,
    pub(crate) approval: ApprovalMode,
    /// What commands may do, as it is asked for; the preset `off` is no isolation.
    pub(crate) sandbox: PolicyFile,
    pub(crate) limits: Limits,
    pub(crate) timeout: Option<Duration>,
    pub(crate) context: ContextSettings,
    pub(crate) web: WebSettings,
    pub(crate) rules: Rules,
    /// Whether AGENTS.md files are read.
    pub(crate) agents_md: bool,
    pub(crate) checkpoints: bool,
    pub(crate) fsync: bool,
    pub(crate) annotator: Option<String>,
    pub(crate) terminal: TerminalFile,
    /// What recordings may be used for, where the user has said so.
    pub(crate) consent: Option<Consent>,
}

impl Settings {
    /// Folds everything together.
    pub(crate) fn resolve(run: &RunArgs) -> Result<Self, CliError> {
        Self::resolve_copy(run, None)
    }

    /// The same where the folder to work in is a copy of another: what is said, trusted and allowed
    /// there holds in it.
    pub(crate) fn resolve_copy(run: &RunArgs, of: Option<&Path>) -> Result<Self, CliError> {
        let workspace = workspace(run.workspace.as_deref().unwrap_or(Path::new(".")))?;
        let original = of.map_or_else(|| Ok(workspace.clone()), self::workspace)?;
        let home = home()?;
        let mut file = workspace::applied(user_file()?, &original, &workspace, &home)?;
        let allowed = std::mem::take(&mut file.allowed);
        file.rules.remembered(allowed, &original);
        let approval = file.approval.unwrap_or_default();
        let table = file.sandbox.take().map(sandbox::SandboxFile::table).unwrap_or_default();
        let session = &run.session;
        let limits = Limits {
            steps_max: session.max_steps.or(number_variable("LIMN_MAX_STEPS")?).or(file.max_steps),
            tokens_max: session
                .max_tokens
                .or(number_variable("LIMN_MAX_TOKENS")?)
                .or(file.max_tokens),
        };
        let timeout = session.timeout.or(number_variable("LIMN_TIMEOUT")?).or(file.timeout);
        let model = choice::model(run, &file)?;
        Ok(Self {
            home,
            model,
            catalogue: Catalogue::of(&file, session.context_window),
            tools: session.tools.or(word_variable("LIMN_TOOLS")?).or(file.tools),
            approval: session
                .approval
                .or(word_variable("LIMN_APPROVAL")?)
                .map_or(approval, ApprovalMode::from),
            sandbox: sandbox::with_flags(table, session.sandbox, &session.isolation)?,
            limits,
            timeout: timeout.map(Duration::from_secs),
            context: file.context.into(),
            web: WebSettings::of(file.web),
            rules: rules::in_force(file.rules),
            agents_md: file.agents_md.unwrap_or(true),
            checkpoints: !run.no_checkpoints && file.checkpoints.unwrap_or(true),
            fsync: !session.no_fsync && file.fsync.unwrap_or(true),
            annotator: file.annotator,
            terminal: file.terminal,
            consent: file.consent,
            workspace,
        })
    }

    /// Settings that come from nowhere: for a session that has to be the same everywhere.
    pub(crate) fn bare(home: PathBuf, workspace: PathBuf, model: ModelChoice) -> Self {
        let file = UserFile::default();
        Self {
            home,
            workspace,
            model,
            catalogue: Catalogue::of(&file, None),
            tools: None,
            approval: ApprovalMode::default(),
            sandbox: PolicyFile::default(),
            limits: Limits::default(),
            timeout: None,
            context: file.context.into(),
            web: WebSettings::of(file.web),
            rules: Rules::default(),
            agents_md: false,
            checkpoints: true,
            fsync: true,
            annotator: None,
            terminal: file.terminal,
            consent: None,
        }
    }

    /// Whether no recording is to go into a dataset.
    pub(crate) fn is_private(&self) -> bool {
        self.consent == Some(Consent::Private)
    }

    /// Whether commands run without isolation.
    pub(crate) fn is_unisolated(&self) -> bool {
        self.sandbox.preset == Some(Preset::Off)
    }

    /// The server that is asked, when one is.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.model {
            ModelChoice::Endpoint(endpoint) => Some(endpoint),
            ModelChoice::Scripted(_) | ModelChoice::Cassette(_) => None,
        }
    }

    /// The names and shapes of the tools: those that were asked for, else those that the model
    /// does best with.
    pub(crate) fn tool_set(&self) -> ToolsArg {
        let by_model = || self.endpoint().map(|endpoint| self.catalogue.tools(&endpoint.model));
        self.tools.or_else(by_model).unwrap_or(ToolsArg::Edit)
    }
}

fn tighter<T: Ord>(ours: Option<T>, theirs: Option<T>) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}

fn workspace(path: &Path) -> Result<PathBuf, CliError> {
    let shown = path.display();
    let real = fs::canonicalize(path).map_err(|error| {
        CliError::usage(format!(
            "Cannot open the workspace {shown}: {error}. Name an existing folder with --workspace."
        ))
    })?;
    if !real.is_dir() {
        return Err(CliError::usage(format!(
            "The workspace {shown} is a file. Name a folder with --workspace."
        )));
    }
    Ok(real)
}

impl From<ApprovalArg> for ApprovalMode {
    fn from(arg: ApprovalArg) -> Self {
        match arg {
            ApprovalArg::ReadOnly => Self::ReadOnly,
            ApprovalArg::Ask => Self::Ask,
            ApprovalArg::Auto => Self::Auto,
            ApprovalArg::All => Self::All,
        }
    }
}

#[cfg(test)]
mod tests;
