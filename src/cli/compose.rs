//! Putting a session together: the model, the tools, the store, as the settings say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat::Tokenizer;
use model::{
    CassetteModel, EndpointConfig, EndpointModel, Host, Model, OUTPUT_MAX, Profile, RetryPolicy,
    ScriptedModel,
};
use record::{Archive, Home, RecordError};
use sandbox::{Policy, PolicyFile, Preset, Sandbox, Surroundings, Tier};
use serde_json::{Value, json};
use session::{Instructions, Options, Window};
use toolbox::{SearchEndpoint, Setup, Toolbox, Web};
use trajectory::event::{ConfigChanged, ModelChanged};
use trajectory::{Body, Event, SessionId};

use crate::args::RunArgs;
use crate::error::{CliError, Exit};
use crate::local::{self, Server};
use crate::packages::{self, Sources};
use crate::settings::{self, Endpoint, ModelChoice, Provider, Settings};

/// How long a model of this machine may be silent: a processor reads a long prompt for minutes, and
/// a server that dies is noticed at once.
const LOCAL_SILENCE: Duration = Duration::from_secs(3_600);

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
    /// The model of this machine that answered last, if it was one.
    local: Option<String>,
}

impl Resumable {
    /// The folder it goes on in: the one that was named, else the one it worked in last.
    pub(crate) fn goes_on_in(&self, named: Option<&Path>) -> Result<PathBuf, CliError> {
        let last = &self.workspace;
        match named {
            Some(named) => Ok(named.to_owned()),
            None if last.is_dir() => Ok(last.clone()),
            None => Err(CliError::usage(format!(
                "Session {} worked in {}, which is not there. Name the folder it goes on in with \
                 --workspace.",
                self.id,
                last.display()
            ))),
        }
    }

    /// The model it goes on with, where nobody names one: one of this machine goes on answering, as
    /// long as it is here. What was said to it is sent to nobody else unasked.
    pub(crate) fn model(&self, run: &RunArgs) -> Result<Option<String>, CliError> {
        if run.model.is_some() || settings::variable("LIMN_MODEL").is_some() {
            return Ok(run.model.clone());
        }
        let Some(model) = &self.local else { return Ok(None) };
        let name = model.strip_prefix(local::PREFIX).unwrap_or(model);
        local::find(name, &settings::user_file()?).map(|_| Some(model.clone())).map_err(|error| {
            CliError::usage(format!(
                "{error} Session {} went on with {model}; name another model with --model.",
                self.id
            ))
        })
    }
}

/// What is to be said when another session goes on in the place of the one that was asked for.
pub(crate) fn told_of_fork(asked: SessionId, goes_on: SessionId) -> Option<String> {
    (goes_on != asked).then(|| {
        format!(
            "Session {asked} began on another device and stays as it is: this is a fork of it, \
             {goes_on}."
        )
    })
}

/// The session to go on with.
pub(crate) fn find_resumable(id: &str) -> Result<Resumable, CliError> {
    let failed = |error: RecordError| CliError::new(Exit::RecordingFailed, error.to_string());
    let home = home_to_record(&settings::home()?)?;
    let id = home.find(id).map_err(|error| CliError::usage(error.to_string()))?;
    let archive = Archive::open(&home, id).map_err(failed)?;
    let began_in = archive.session().map_err(failed)?.environment.cwd;
    let events = archive.events().map_err(failed)?;
    let workspace = last_workspace(began_in, events.iter().map(|event| &**event));
    let model = events.iter().rev().find_map(|event| match &event.body {
        Body::ModelChanged(model) => Some(model),
        _ => None,
    });
    let is_local =
        |it: &&ModelChanged| it.provider == local::PROVIDER && it.model.starts_with(local::PREFIX);
    let local = model.filter(is_local).map(|it| it.model.clone());
    Ok(Resumable { id, workspace, local })
}

/// Where a session worked last.
pub(crate) fn last_workspace<'a>(
    began_in: String,
    events: impl DoubleEndedIterator<Item = &'a Event>,
) -> PathBuf {
    let moved = events.rev().find_map(|event| match &event.body {
        Body::ConfigChanged(ConfigChanged { workspace: Some(moved), .. }) => Some(moved.clone()),
        _ => None,
    });
    moved.unwrap_or(began_in).into()
}

/// Everything a session works with. The server is one that was loaded, where the model needs one.
pub(crate) fn options(
    settings: &Settings,
    private: bool,
    cassette: Option<&Path>,
    server: Option<&Arc<Server>>,
) -> Result<Options, CliError> {
    let model = model(settings, cassette, server)?;
    let window = window(settings, server.map(Arc::as_ref))?;
    options_in(settings, (model, window), private, sandbox(settings)?)
}

/// The same with a model that is there already.
pub(crate) fn options_with(
    settings: &Settings,
    model: Model,
    private: bool,
) -> Result<Options, CliError> {
    options_in(settings, (model, window(settings, None)?), private, sandbox(settings)?)
}

/// The same in a sandbox that was begun already, with the model that the settings name.
pub(crate) fn options_for_terminal(
    settings: &Settings,
    private: bool,
    sandbox: Sandbox,
    server: Option<&Arc<Server>>,
) -> Result<Options, CliError> {
    let model = model(settings, None, server)?;
    let window = window(settings, server.map(Arc::as_ref))?;
    let options = options_in(settings, (model, window), private, sandbox)?;
    Ok(Options { interactive: true, ..options })
}

fn options_in(
    settings: &Settings,
    (model, window): (Model, Window),
    private: bool,
    sandbox: Sandbox,
) -> Result<Options, CliError> {
    let tier = sandbox.tier().to_string();
    let set = settings.tool_set().into();
    let setup = Setup {
        hidden: vec![settings.home.clone()],
        set,
        web: web(settings),
        images: shows_pictures(settings),
        rules: settings.rules.clone(),
    };
    let toolbox = Toolbox::open(&settings.workspace, sandbox, &setup)
        .map_err(|error| CliError::usage(error.to_string()))?;
    Ok(Options {
        home: home_to_record(&settings.home)?,
        workspace: settings.workspace.clone(),
        model: Arc::new(model),
        retry: retry(settings),
        window,
        instructions: instructions(settings),
        toolbox: Arc::new(toolbox),
        sandbox: tier,
        approval: settings.approval,
        interactive: false,
        limits: settings.limits,
        timeout: settings.timeout,
        checkpoints: settings.checkpoints,
        fsync: settings.fsync,
        private: private || settings.is_private(),
        annotator: settings.annotator.clone(),
        config: record_of(settings),
    })
}

/// Where commands run, as the settings say.
pub(crate) fn sandbox(settings: &Settings) -> Result<Sandbox, CliError> {
    if settings.is_unisolated() {
        let policy = policy(&settings.sandbox, &settings.workspace, &settings.home)?;
        return Ok(Sandbox::off().with_policy(policy));
    }
    isolated(&settings.sandbox, &settings.workspace, &settings.home)
}

/// The policy for a workspace, with what the preset needs prepared.
fn policy(asked: &PolicyFile, workspace: &Path, home: &Path) -> Result<Policy, CliError> {
    let own = settings::user_file_path().ok().and_then(|file| file.parent().map(Path::to_owned));
    let user = std::env::var_os("HOME").map(PathBuf::from);
    let sources = match asked.preset {
        Some(Preset::Packages) => Sources::find(user.as_deref()),
        _ => Sources::default(),
    };
    let around = Surroundings {
        workspace: workspace.to_owned(),
        home: user.clone(),
        own: own.into_iter().chain([home.to_owned()]).collect(),
        caches: settings::caches(workspace),
        mirrors: sources.hosts,
        variables: std::env::vars_os().collect(),
    };
    let policy = asked.policy(&around);
    let mut policy = policy.map_err(|refusal| CliError::usage(format!("{refusal}.")))?;
    policy.variables.extend(sources.variables);
    packages::prepare(&policy, user.as_deref())?;
    Ok(policy)
}

/// The strongest isolation for a workspace.
pub(crate) fn isolated(
    asked: &PolicyFile,
    workspace: &Path,
    home: &Path,
) -> Result<Sandbox, CliError> {
    let policy = policy(asked, workspace, home)?;
    Ok(match std::env::var("LIMN_SANDBOX_TIER") {
        Err(_) => Sandbox::auto(policy),
        Ok(name) => {
            let tier = Tier::parse(&name).ok_or_else(|| {
                let known: Vec<&str> = Tier::ISOLATING.iter().map(|tier| tier.as_str()).collect();
                CliError::usage(format!(
                    "LIMN_SANDBOX_TIER is {name:?}, which is no tier. It can be one of: {}.",
                    known.join(", ")
                ))
            })?;
            Sandbox::strongest(policy, &[tier])
        }
    })
}

fn retry(settings: &Settings) -> RetryPolicy {
    let default = RetryPolicy::default();
    match settings.endpoint().and_then(|endpoint| endpoint.provider.retries) {
        Some(retries) => RetryPolicy { attempts_max: retries.saturating_add(1), ..default },
        None => default,
    }
}

/// Tokens that fit into a request and its reply: as the server says, else as far as anybody knows.
pub(crate) fn tokens_max(settings: &Settings, server: Option<&Server>) -> Option<u64> {
    let known = || settings.catalogue.context_window(&settings.endpoint()?.model);
    server.and_then(Server::context).or_else(known)
}

fn window(settings: &Settings, server: Option<&Server>) -> Result<Window, CliError> {
    let default = Window::default();
    let (shorten_at, compact_at) = (settings.context.shorten_at, settings.context.compact_at);
    let Some(endpoint) = settings.endpoint() else {
        return Ok(Window { shorten_at, compact_at, ..default });
    };
    let tokenizer = match &endpoint.local {
        // Without it tokens are estimated; whether the model can be served is the server's to say.
        Some(launch) => Tokenizer::of_model(&launch.base).ok(),
        None => endpoint
            .provider
            .tokenizer
            .as_deref()
            .map(Tokenizer::open)
            .transpose()
            .map_err(|error| CliError::usage(error.to_string()))?,
    };
    let tokens = tokens_max(settings, server);
    Ok(Window {
        tokens,
        reply_tokens: reply_tokens(settings, endpoint, tokens),
        shorten_at,
        compact_at,
        tokenizer: tokenizer.map(Arc::new),
    })
}

/// The tokens that are kept free for a reply: what the user limits replies to, else as many as
/// most replies take, as far as the model can write them.
fn reply_tokens(settings: &Settings, endpoint: &Endpoint, window: Option<u64>) -> u64 {
    let params = &endpoint.provider.params;
    let param = OUTPUT_MAX.iter().find_map(|name| params.get(*name)?.as_u64());
    let facts = settings.catalogue.facts(&endpoint.model);
    let most = facts.and_then(|facts| facts.output_max).unwrap_or(u64::MAX);
    let usual = Window::default().reply_tokens.min(most);
    // Servers refuse a request whose limit does not fit behind it, and no more is kept free.
    let window = window.unwrap_or(u64::MAX);
    let wanted = settings.context.reply_tokens.unwrap_or(usual);
    param.unwrap_or_else(|| wanted.min((window / 4).max(1)))
}

fn instructions(settings: &Settings) -> Instructions {
    if !settings.agents_md {
        return Instructions::Ignored;
    }
    let own = settings::user_file_path().ok().map(|path| path.with_file_name("AGENTS.md"));
    Instructions::Read { own }
}

fn model(
    settings: &Settings,
    cassette: Option<&Path>,
    server: Option<&Arc<Server>>,
) -> Result<Model, CliError> {
    let model = match (&settings.model, cassette) {
        (ModelChoice::Endpoint(endpoint), cassette) => {
            let config = endpoint_config(endpoint, settings, server)?;
            EndpointModel::new(config).and_then(|model| match cassette {
                Some(dir) => CassetteModel::record(model, dir).map(Model::from),
                None => Ok(Model::from(model)),
            })
        }
        (_, Some(_)) => return Err(no_cassette()),
        (ModelChoice::Scripted(path), None) => ScriptedModel::open(path).map(Model::from),
        (ModelChoice::Cassette(dir), None) => CassetteModel::open(dir).map(Model::from),
    };
    model.map_err(|error| CliError::usage(error.to_string()))
}

/// What is needed to ask a provider: its key is fetched here, and kept nowhere else.
fn endpoint_config(
    endpoint: &Endpoint,
    settings: &Settings,
    server: Option<&Arc<Server>>,
) -> Result<EndpointConfig, CliError> {
    let provider = &endpoint.provider;
    let mut config = EndpointConfig::new(&provider.base_url, &endpoint.model);
    config.profile = profile(provider)?;
    if let Some(facts) = settings.catalogue.facts(&endpoint.model) {
        config = config.with_facts(facts);
    }
    config.provider.clone_from(&provider.name);
    config.key = provider.find_key()?;
    config.api = provider.api().into();
    config.params.clone_from(&provider.params);
    // Most servers let a reply be as long as the window allows, and a limit that nobody asked for
    // would only cut it.
    let is_limited = OUTPUT_MAX.iter().any(|name| config.params.contains_key(*name));
    if !is_limited && (settings.context.reply_tokens.is_some() || config.profile.limits_output) {
        let window = tokens_max(settings, server.map(Arc::as_ref));
        let most = reply_tokens(settings, endpoint, window);
        config.params.insert("max_tokens".to_owned(), most.into());
    }
    if endpoint.local.is_some() {
        config.host = server.map(|server| Arc::<Server>::clone(server) as Arc<dyn Host>);
        config.silence = LOCAL_SILENCE;
    }
    config.silence = provider.silence.unwrap_or(config.silence);
    Ok(config)
}

/// How a provider is spoken to: as its profile says, but for its quirks.
fn profile(provider: &Provider) -> Result<Profile, CliError> {
    let name = &provider.name;
    let profile = match &provider.profile {
        None => Profile::detect(&provider.base_url),
        Some(wanted) => Profile::named(wanted).ok_or_else(|| {
            let names: Vec<&str> = Profile::names().collect();
            CliError::usage(format!(
                "The provider {name} has the profile {wanted:?}, which there is not. It can be one \
                 of: {}.",
                names.join(", ")
            ))
        })?,
    };
    let mut profile = profile.with(&provider.quirks).map_err(|what| {
        CliError::usage(format!(
            "The quirks of the provider {name} are not right: {what}. docs/settings.md names them."
        ))
    })?;
    if let Some(think) = provider.think {
        profile.think = think.into();
    }
    Ok(profile)
}

/// Whether the model can be shown pictures, as far as anybody knows.
pub(crate) fn shows_pictures(settings: &Settings) -> bool {
    let Some(endpoint) = settings.endpoint() else { return true };
    let facts = settings.catalogue.facts(&endpoint.model).and_then(|facts| facts.images);
    facts != Some(false) && profile(&endpoint.provider).is_ok_and(|profile| profile.images)
}

/// What the web tools may do.
fn web(settings: &Settings) -> Web {
    let web = &settings.web;
    let endpoint = |url: &String| SearchEndpoint {
        url: url.clone(),
        key_header: web.search_key_header.clone(),
        key: web.search_key().map(Into::into),
    };
    Web {
        fetch: web.fetch,
        search: web.search_url.as_ref().map(endpoint),
        allow_private: web.allow_private.clone(),
    }
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
        "consent": settings.consent.map(settings::Consent::as_str),
        "sandbox": if settings.is_unisolated() { "off" } else { "auto" },
        "preset": settings.sandbox.preset.unwrap_or_default(),
        "allow_hosts": settings.sandbox.allow_hosts,
        "max_steps": settings.limits.steps_max,
        "max_tokens": settings.limits.tokens_max,
        "timeout_s": settings.timeout.map(|timeout| timeout.as_secs()),
        "tools": settings.tool_set(),
        "context": settings.context,
        "rules": settings.rules,
        "web": {
            "fetch": settings.web.fetch,
            "search": settings.web.search_url.is_some(),
            "allow_private": settings.web.allow_private,
        },
        "agents_md": settings.agents_md,
        "checkpoints": settings.checkpoints,
        "fsync": settings.fsync,
    })
}
