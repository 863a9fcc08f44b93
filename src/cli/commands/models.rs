//! `limn models`: the providers, and whether they can be used; the models of this machine.

use model::Profile;
use serde_json::{Value, json};

use crate::args::{ModelsArgs, RunArgs};
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::local::{self, Local};
use crate::print::{Out, note, safe, safe_line};
use crate::settings::{self, Catalogue, KeyState, Provider, UserFile};

pub(crate) fn run(args: &ModelsArgs) -> CliResult {
    let file = settings::user_file()?;
    if args.remote {
        return remote(args, &file);
    }
    let known = settings::provider_names(&file);
    let asks_for_local = args.provider.as_deref() == Some(local::PROVIDER);
    let names = match &args.provider {
        // A provider of the settings may have that name, too.
        Some(name) if asks_for_local && !known.contains(name) => Vec::new(),
        Some(name) => vec![name.clone()],
        None => known,
    };
    let providers: Result<Vec<Provider>, CliError> =
        names.iter().map(|name| Provider::named(name, &file)).collect();
    let mut out = Out::new();
    for provider in providers? {
        if args.json {
            out.json(&object(&provider));
        } else {
            out.line(&line(&provider));
        }
    }
    let locals =
        if asks_for_local || args.provider.is_none() { local::list(&file) } else { Vec::new() };
    for local in &locals {
        if args.json {
            out.json(&local.to_json());
        } else {
            out.line(&local_line(local));
        }
    }
    out.flush();
    if args.json {
        return Ok(Exit::Completed);
    }
    if asks_for_local && locals.is_empty() {
        note(
            "No model of this machine is known: `limn train` makes runs, and `runs` in [local] of \
             config.toml says where others lie. --model local:PATH takes any.",
        );
    } else {
        note("Choose with --model PROVIDER/MODEL or --model local:RUN, or in config.toml.");
    }
    Ok(Exit::Completed)
}

fn profile(provider: &Provider) -> String {
    provider.profile.clone().unwrap_or_else(|| Profile::detect(&provider.base_url).name)
}

fn object(provider: &Provider) -> Value {
    let (present, from, fix) = match provider.key_state() {
        KeyState::NotNeeded => (Value::Null, None, None),
        KeyState::Present(from) => (true.into(), Some(from), None),
        KeyState::Program(program) => (Value::Null, Some(program), None),
        KeyState::Missing(fix) => (false.into(), None, Some(fix)),
    };
    json!({
        "provider": provider.name,
        "base_url": provider.base_url,
        "api": model::Api::from(provider.api()).as_str(),
        "profile": profile(provider),
        "local": provider.is_local(),
        "key": present,
        "key_from": from,
        "fix": fix,
    })
}

fn line(provider: &Provider) -> String {
    let key = match provider.key_state() {
        KeyState::NotNeeded if provider.is_local() => "on this machine".to_owned(),
        KeyState::NotNeeded => "no key".to_owned(),
        KeyState::Present(from) => format!("key from {from}"),
        KeyState::Program(program) => format!("key from the program {program}"),
        KeyState::Missing(fix) => format!("no key yet. {fix}"),
    };
    format!(
        "{:<12} {:<9} {:<10} {:<56} {}",
        provider.name,
        model::Api::from(provider.api()).as_str(),
        profile(provider),
        safe(&provider.base_url),
        safe(&key),
    )
}

fn local_line(local: &Local) -> String {
    let name = format!("{}{}", local::PREFIX, local.name);
    format!(
        "{:<32} {:<56} {}",
        safe_line(&name),
        safe_line(&local.about()),
        safe_line(&local.path.display().to_string())
    )
}

/// What the provider says it has, with what the table of models knows of it.
fn remote(args: &ModelsArgs, file: &UserFile) -> CliResult {
    let provider = match &args.provider {
        Some(name) => settings::provider(name, file)?,
        None => settings::chosen_provider(&RunArgs::default(), file)?,
    };
    let key = provider.find_key()?;
    let names = compose::run(model::list(&provider.base_url, key.as_ref()))?;
    let names =
        names.map_err(|failure| CliError::new(Exit::ModelUnreachable, failure.to_string()))?;
    let catalogue = Catalogue::of(file, None);
    let mut out = Out::new();
    for name in &names {
        let facts = catalogue.facts(name);
        let window = facts.and_then(|facts| facts.context_window);
        if args.json {
            out.json(&json!({
                "provider": provider.name, "model": name, "context_window": window,
                "price": catalogue.price(name).map(|price| json!({
                    "input": price.input, "cached": price.cached, "output": price.output,
                })),
            }));
        } else {
            out.line(&safe(name));
        }
    }
    if names.is_empty() && !args.json {
        note(&format!("{} has no model to offer.", provider.name));
    }
    Ok(Exit::Completed)
}
