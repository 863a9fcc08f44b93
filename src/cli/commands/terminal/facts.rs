//! What frames a session, as the terminal shows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Archive, Home, Library};
use sandbox::Tier;
use tui::{Facts, Price, Recent};

use crate::args::RunArgs;
use crate::error::CliError;
use crate::settings::{self, ModelChoice, NO_MODEL, Settings};
use crate::store::moment;

/// Sessions that are listed.
const RECENT_MAX: usize = 20;

/// Recordings that are looked into for that.
const LOOKED_AT_MAX: usize = 60;

/// The settings, and whether they name a model.
pub(super) struct Chosen {
    pub(super) settings: Arc<Settings>,
    /// Why nothing can be asked.
    pub(super) hint: Option<String>,
}

impl Chosen {
    /// What the flags, the variables and the files say. That no model is chosen is no error here:
    /// one can be chosen in the terminal.
    pub(super) fn of(run: &RunArgs) -> Result<Self, CliError> {
        let error = match Settings::resolve(run) {
            Ok(settings) => return Ok(Self { settings: Arc::new(settings), hint: None }),
            Err(error) => error,
        };
        let somewhere = RunArgs { model: Some("scripted:".to_owned()), ..run.clone() };
        match Settings::resolve(&somewhere) {
            Ok(settings) if run.model.is_none() => {
                // One that is named and cannot be had is told of.
                let hint = if error.message == NO_MODEL { hint() } else { error.message };
                Ok(Self { settings: Arc::new(settings), hint: Some(hint) })
            }
            _ => Err(error),
        }
    }

    /// All of it but what takes a while: the recent sessions, and the tier where it has to be tried.
    pub(super) fn facts(&self, is_private: bool) -> Facts {
        let settings = &self.settings;
        let endpoint = settings.endpoint();
        let model = match &settings.model {
            _ if self.hint.is_some() => None,
            ModelChoice::Endpoint(endpoint) => Some(endpoint.model.clone()),
            ModelChoice::Scripted(path) => Some(format!("scripted:{}", path.display())),
            ModelChoice::Cassette(path) => Some(format!("cassette:{}", path.display())),
        };
        let price =
            endpoint.and_then(|it| settings.catalogue.price(&it.model)).map(|price| Price {
                input: price.input,
                cached: price.cached.unwrap_or(price.input),
                output: price.output,
            });
        Facts {
            model,
            mode: settings.approval,
            sandbox: if settings.is_unisolated() { Tier::Off.to_string() } else { String::new() },
            window: endpoint.and_then(|it| settings.catalogue.context_window(&it.model)),
            price,
            workspace: shown(&settings.workspace),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_private: is_private || settings.is_private(),
            asks_consent: settings.consent.is_none() && settings.annotator.is_none(),
            recent: Vec::new(),
            hint: self.hint.clone(),
            playback: None,
            is_watched: false,
        }
    }
}

/// Recent sessions of a folder, the newest first. That there is no store is no failure.
pub(super) fn recent(home: &Path, workspace: &Path) -> Vec<Recent> {
    if !home.join("device").is_file() {
        return Vec::new();
    }
    let Ok(home) = Home::open(home) else { return Vec::new() };
    let rows = Library::open(&home).and_then(|library| library.list());
    let here = workspace.display().to_string();
    let is_here = |id| {
        let row = Archive::open(&home, id).and_then(|archive| archive.session());
        row.is_ok_and(|row| row.environment.cwd == here)
    };
    let rows = rows.unwrap_or_default().into_iter().filter(|row| row.error.is_none());
    let fits =
        rows.take(LOOKED_AT_MAX).filter(|row| row.status.title.is_some() && is_here(row.session));
    let recent = fits.map(|row| Recent {
        id: row.session.to_string(),
        title: row.status.title.unwrap_or_default(),
        when: moment(row.status.started_ns),
    });
    recent.take(RECENT_MAX).collect()
}

/// The first screen of whoever has no model yet.
fn hint() -> String {
    let file =
        settings::user_file_path().map_or_else(|_| PathBuf::from("config.toml"), PathBuf::from);
    format!(
        "No model is chosen yet. Ways to choose one:\n  \
         a hosted one:    export OPENAI_API_KEY=…, then: limn --model NAME\n  \
         one of your own: limn --base-url http://127.0.0.1:8080/v1 --model NAME\n  \
         one trained here: limn --model local:RUN (limn models local lists them)\n  \
         for good:        model = \"NAME\" in {}\n  \
         from here:       /model NAME, or /model PROVIDER/NAME (limn models lists providers)\n\
         To see how it works without a key: limn demo",
        shown(&file)
    )
}

/// A path as people write it.
pub(super) fn shown(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
