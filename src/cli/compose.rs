//! Putting a session together: the model, the tools, the store, as the settings say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{ApiKey, CassetteModel, EndpointConfig, EndpointModel, Model, ScriptedModel};
use record::{Archive, Home, RecordError};
use sandbox::Sandbox;
use serde_json::{Value, json};
use session::Options;
use toolbox::{Setup, Toolbox};
use trajectory::event::ConfigChanged;
use trajectory::{Body, SessionId};

use crate::args::SandboxArg;
use crate::error::{CliError, Exit};
use crate::settings::{self, ModelChoice, Settings};

/// Runs a session on one thread, since waiting is all it does there. What hangs in a file system
/// does not keep the program from ending.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| CliError::failed(format!("Cannot start the event loop: {error}.")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(result)
}

/// The data folder for writing. That it cannot be used means that nothing can be recorded.
pub(crate) fn home_to_record(path: &Path) -> Result<Home, CliError> {
    Home::open(path).map_err(|error| CliError::new(Exit::RecordingFailed, error.to_string()))
}

/// A session to go on with.
pub(crate) struct Resumable {
    pub(crate) id: SessionId,
    /// Where it worked last.
    pub(crate) workspace: PathBuf,
}

/// The session to go on with.
pub(crate) fn find_resumable(id: &str) -> Result<Resumable, CliError> {
    let failed = |error: RecordError| CliError::new(Exit::RecordingFailed, error.to_string());
    let home = home_to_record(&settings::home()?)?;
    let id = home.find(id).map_err(|error| CliError::usage(error.to_string()))?;
    let archive = Archive::open(&home, id).map_err(failed)?;
    let mut workspace = archive.session().map_err(failed)?.environment.cwd;
    for event in archive.events().map_err(failed)? {
        if let Body::ConfigChanged(ConfigChanged { workspace: Some(moved), .. }) = &event.body {
            workspace.clone_from(moved);
        }
    }
    Ok(Resumable { id, workspace: workspace.into() })
}

/// Everything a session works with.
pub(crate) fn options(
    settings: &Settings,
    private: bool,
    cassette: Option<&Path>,
) -> Result<Options, CliError> {
    options_with(settings, model(&settings.model, cassette)?, private)
}

/// The same with a model that is there already.
pub(crate) fn options_with(
    settings: &Settings,
    model: Model,
    private: bool,
) -> Result<Options, CliError> {
    let sandbox = match settings.sandbox {
        SandboxArg::Auto => Sandbox::auto(),
        SandboxArg::Off => Sandbox::off(),
    };
    let tier = sandbox.tier().to_string();
    let setup = Setup { hidden: vec![settings.home.clone()], ..Setup::default() };
    let toolbox = Toolbox::open(&settings.workspace, sandbox, &setup)
        .map_err(|error| CliError::usage(error.to_string()))?;
    Ok(Options {
        home: home_to_record(&settings.home)?,
        workspace: settings.workspace.clone(),
        model: Arc::new(model),
        toolbox: Arc::new(toolbox),
        sandbox: tier,
        approval: settings.approval,
        interactive: false,
        limits: settings.limits,
        timeout: settings.timeout,
        fsync: settings.fsync,
        private,
        annotator: settings.annotator.clone(),
        config: record_of(settings),
    })
}

fn model(choice: &ModelChoice, cassette: Option<&Path>) -> Result<Model, CliError> {
    let model = match (choice, cassette) {
        (ModelChoice::Endpoint { model, base_url, key }, cassette) => {
            let mut config = EndpointConfig::new(base_url, model);
            config.key = key.as_deref().map(ApiKey::new);
            EndpointModel::new(config).and_then(|server| match cassette {
                Some(dir) => CassetteModel::record(server, dir).map(Model::from),
                None => Ok(Model::from(server)),
            })
        }
        (_, Some(_)) => return Err(no_cassette()),
        (ModelChoice::Scripted(path), None) => ScriptedModel::open(path).map(Model::from),
        (ModelChoice::Cassette(dir), None) => CassetteModel::open(dir).map(Model::from),
    };
    model.map_err(|error| CliError::usage(error.to_string()))
}

fn no_cassette() -> CliError {
    CliError::usage(
        "--cassette records what an endpoint answers. Name a model of an endpoint with --model.",
    )
}

/// The settings in force, as they go on record: no key, no path but the workspace's.
fn record_of(settings: &Settings) -> Value {
    json!({
        "approval": settings.approval,
        "sandbox": match settings.sandbox { SandboxArg::Auto => "auto", SandboxArg::Off => "off" },
        "max_steps": settings.limits.steps_max,
        "max_tokens": settings.limits.tokens_max,
        "timeout_s": settings.timeout.map(|timeout| timeout.as_secs()),
        "fsync": settings.fsync,
    })
}
