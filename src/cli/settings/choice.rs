//! Which model answers, and where: a fold over flags, variables and the file.
//!
//! An endpoint can be named by a provider, by an address, or by the word before the slash of a
//! model's name. What is named nearer to the user wins: flags, then variables, then the file. The
//! word before the slash counts only where no endpoint is named at least as near as the model is,
//! since servers have slashes in their models' names too.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use super::catalogue::Catalogue;
use super::file::UserFile;
use super::key::KeySource;
use super::place::{variable, word_variable};
use super::provider::{OPENAI, Provider, ProviderName, names};
use super::{Settings, url};
use crate::args::{Api, RunArgs};
use crate::error::CliError;
use crate::local::{self, Launch};

/// What is said where no model is named.
pub(crate) const NO_MODEL: &str = "No model is chosen. Name one with --model, LIMN_MODEL or `model` \
                                   in config.toml; `limn demo` needs none.";

/// What answers.
#[derive(Clone, Debug)]
pub(crate) enum ModelChoice {
    /// A server.
    Endpoint(Box<Endpoint>),
    /// A file of recordings/.
    Scripted(PathBuf),
    /// Recorded streams.
    Cassette(PathBuf),
}

/// A model of a provider.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) model: String,
    pub(crate) provider: Provider,
    /// How its server is started, where limn does that: a model of this machine.
    pub(crate) local: Option<Launch>,
}

impl Endpoint {
    /// Whether both are of one server, so that what is secret to one is known to the other.
    pub(crate) fn shares_server_with(&self, other: &Self) -> bool {
        let (one, other) = (&self.provider.base_url, &other.provider.base_url);
        one == other || url::same_origin(one, other)
    }
}

/// How near to the user something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Nowhere,
    File,
    Variable,
    Flag,
}

/// An endpoint that was named apart from the model.
enum Named {
    Nothing,
    Provider(String),
    Address(String),
    /// A provider, but at this address.
    Moved(String, String),
}

pub(super) fn model(run: &RunArgs, file: &UserFile) -> Result<ModelChoice, CliError> {
    let (name, nearness) = if let Some(name) = &run.model {
        (name.clone(), Nearness::Flag)
    } else if let Some(name) = variable("LIMN_MODEL") {
        (name, Nearness::Variable)
    } else {
        (file.model.clone().unwrap_or_default(), Nearness::File)
    };
    if name.trim().is_empty() {
        return Err(CliError::usage(NO_MODEL));
    }
    if let Some(path) = name.strip_prefix("scripted:") {
        return Ok(ModelChoice::Scripted(path.into()));
    }
    if let Some(path) = name.strip_prefix("cassette:") {
        return Ok(ModelChoice::Cassette(path.into()));
    }
    if let Some(name) = name.strip_prefix(local::PREFIX) {
        let endpoint = of_this_machine(name, run, file)?;
        return Ok(ModelChoice::Endpoint(Box::new(endpoint)));
    }
    let (named, named_nearness) = named(run, file)?;
    let prefix = name.split_once('/').filter(|(prefix, model)| {
        named_nearness < nearness
            && !model.is_empty()
            && names(file).iter().any(|name| name == prefix)
    });
    let endpoint = match prefix {
        Some((prefix, model)) => {
            Endpoint { model: model.to_owned(), provider: provider(prefix, file)?, local: None }
        }
        None => Endpoint { model: name, provider: chosen(named, file)?, local: None },
    };
    finish(endpoint, run, file).map(|endpoint| ModelChoice::Endpoint(Box::new(endpoint)))
}

/// A model of this machine. What is said of other servers, in the file and in the environment, is
/// not about it.
fn of_this_machine(name: &str, run: &RunArgs, file: &UserFile) -> Result<Endpoint, CliError> {
    let found = local::find(name, file)?;
    let model = format!("{}{}", local::PREFIX, found.name);
    if !found.has_weights() {
        return Err(CliError::usage(format!(
            "{model} has saved nothing yet that could be served. Let it train on: limn train resume \
             {}",
            found.path.display()
        )));
    }
    let context = Catalogue::of(file, run.session.context_window).context_window(&model);
    let context = context.or(file.local.context.map(NonZeroU64::get));
    let launch = Launch {
        name: model.clone(),
        base: found.whole(),
        target: found.path,
        arguments: file.local.arguments(context, run.at_a_time.unwrap_or(NonZeroU32::MIN)),
        patience: file.local.patience(),
    };
    let mut provider = Provider::of_this_machine(file);
    provider.silence = run.session.silence.map(Duration::from_secs);
    provider.retries = run.session.retries;
    Ok(Endpoint { model, provider, local: Some(launch) })
}

/// What flags say of a server is said in vain where limn starts its own.
pub(crate) fn refuse_mixed(run: &RunArgs, settings: &Settings) -> Result<(), CliError> {
    match said_in_vain(run, settings) {
        None => Ok(()),
        Some((flag, model)) => Err(CliError::usage(format!(
            "{flag} is about another server than that of {model}, which limn starts itself. Leave it \
             out, or name a model of that server with --model."
        ))),
    }
}

/// The flag that is about a server, and the model whose server limn starts itself.
pub(crate) fn said_in_vain<'a>(
    run: &RunArgs,
    settings: &'a Settings,
) -> Option<(&'static str, &'a str)> {
    let endpoint = settings.endpoint().filter(|it| it.local.is_some())?;
    let flags = [
        ("--base-url", run.base_url.is_some()),
        ("--provider", run.provider.is_some()),
        ("--api-key-env", run.api_key_env.is_some()),
        ("--api responses", run.session.api == Some(Api::Responses)),
    ];
    let (flag, _) = flags.into_iter().find(|(_, is_given)| *is_given)?;
    Some((flag, &endpoint.model))
}

/// The provider that is chosen, whatever the model is: for listings.
pub(crate) fn chosen_provider(run: &RunArgs, file: &UserFile) -> Result<Provider, CliError> {
    match model(run, file) {
        Ok(ModelChoice::Endpoint(endpoint)) if endpoint.local.is_none() => Ok(endpoint.provider),
        _ => chosen(named(run, file)?.0, file),
    }
}

fn named(run: &RunArgs, file: &UserFile) -> Result<(Named, Nearness), CliError> {
    let flags = named_by(run.provider.clone(), run.base_url.clone());
    if !matches!(flags, Named::Nothing) {
        return Ok((flags, Nearness::Flag));
    }
    if let Some(name) = variable("LIMN_PROVIDER") {
        return Ok((Named::Provider(name), Nearness::Variable));
    }
    if let Some(url) = variable("OPENAI_BASE_URL") {
        return Ok((Named::Moved(OPENAI.to_owned(), url), Nearness::Variable));
    }
    let provider = file.provider.as_ref().map(|name| name.as_str().to_owned());
    match named_by(provider, file.base_url.clone()) {
        Named::Nothing => Ok((Named::Nothing, Nearness::Nowhere)),
        Named::Moved(name, _) => Err(CliError::usage(format!(
            "config.toml names both a provider and a base_url. Move the base_url into \
             [providers.{name}]."
        ))),
        named => Ok((named, Nearness::File)),
    }
}

fn named_by(provider: Option<String>, base_url: Option<String>) -> Named {
    match (provider, base_url) {
        (None, None) => Named::Nothing,
        (Some(name), None) => Named::Provider(name),
        (None, Some(url)) => Named::Address(url),
        (Some(name), Some(url)) => Named::Moved(name, url),
    }
}

fn chosen(named: Named, file: &UserFile) -> Result<Provider, CliError> {
    match named {
        Named::Nothing => provider(OPENAI, file),
        Named::Provider(name) => provider(&name, file),
        Named::Address(url) => Ok(Provider::unnamed(url)),
        Named::Moved(name, url) => Ok(provider(&name, file)?.moved(url)),
    }
}

/// A provider by its name. `OPENAI_API_KEY` goes to `OPENAI_BASE_URL` where that is set.
pub(crate) fn provider(name: &str, file: &UserFile) -> Result<Provider, CliError> {
    let provider = Provider::named(name, file)?;
    match variable("OPENAI_BASE_URL") {
        Some(base_url) if name == OPENAI => {
            let variable = Some("OPENAI_API_KEY".to_owned());
            let key = KeySource::Custom { variable, required: false };
            Ok(Provider { key, ..provider.at(base_url, file) })
        }
        _ => Ok(provider),
    }
}

/// What flags, variables and the top of the file change about the endpoint.
fn finish(mut endpoint: Endpoint, run: &RunArgs, file: &UserFile) -> Result<Endpoint, CliError> {
    let provider = &mut endpoint.provider;
    if let Some(name) = &run.api_key_env {
        provider.key = KeySource::Variable(name.clone());
    } else if let Some(name) = &file.api_key_env
        && provider.key.is_by_custom()
        && url::same_origin(&file_address(file)?, &provider.base_url)
    {
        provider.key = KeySource::Variable(name.clone());
    }
    provider.api = run.session.api.or(word_variable("LIMN_API")?).or(provider.api).or(file.api);
    provider.silence = run.session.silence.map(Duration::from_secs).or(provider.silence);
    provider.retries = run.session.retries.or(provider.retries);
    Ok(endpoint)
}

/// The address that the top of the file is about: its `api_key_env` is named for that one.
fn file_address(file: &UserFile) -> Result<String, CliError> {
    if let Some(url) = &file.base_url {
        return Ok(url.clone());
    }
    let name = file.provider.as_ref().map_or(OPENAI, ProviderName::as_str);
    Ok(Provider::named(name, file)?.base_url)
}
