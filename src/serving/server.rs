//! What is served, before it is: how the model is spoken to, under which names, and for whom.
//!
//! A model whose own template drops tools would be offered them and never see one, so it is served
//! with one of the templates that come with limn, where it has the tokens that these are made of.
//! Whatever is served otherwise than the model's files say is a notice, for the user to read.

use std::fmt;
use std::path::{Path, PathBuf};

use chat::{ChatError, Dialect, Part, Tokenizer};
use secrecy::SecretString;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::prompt::Controls;

#[cfg(test)]
mod tests;

/// No file of settings for generation is larger.
const GENERATION_BYTES_MAX: u64 = 1 << 20;

/// The templates that come with limn, each with a token that its models have.
const OWN: [(&str, &str); 2] =
    [("chatml-tools", "<|im_start|>"), ("deepseek-tools", "<｜tool▁calls▁begin｜>")];

/// What a template has to hold for tools to be of use.
const FOR_TOOLS: [Part; 3] = [Part::Tools, Part::Calls, Part::ToolRole];

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The model's files cannot be used.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// Its settings for generation cannot be used.
    #[error("{} cannot be used: {reason}. Correct it, or remove it.", path.display())]
    Generation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others could ask without a key.
    #[error(
        "Serving on {0} lets every machine that reaches it ask. Set a key (--key-file, or LIMN_SERVE_KEY), or serve on 127.0.0.1."
    )]
    KeyNeeded(String),
    /// A key that no header can carry, or that is none.
    #[error("The key is empty, or not plain ASCII in one line. Choose another one.")]
    Key,
    /// The address is no address, or taken.
    #[error("Cannot listen on {host}:{port}: {source}. Choose another one with --host and --port.")]
    Listen {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model that the engine does not have, or a name that is there twice.
    #[error("The model {0:?} cannot be served. Give each name once, for a model that is there.")]
    Model(String),
    /// The thread that generates has failed.
    #[error("What generates replies has failed, and none can come any more. Serve again.")]
    Scheduler,
    /// The system gives no threads or no events.
    #[error("The server cannot begin: {0}. Free some of the system's resources.")]
    System(#[source] std::io::Error),
}

/// A model, by the name under which it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name.
    pub name: String,
    /// Which of the engine's models it is.
    pub variant: usize,
}

/// How the next token is chosen where a request does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) top_k: usize,
    pub(crate) min_p: f32,
    pub(crate) repetition_penalty: f32,
}

impl Default for Defaults {
    /// As OpenAI's.
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: 0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

/// What is served.
pub struct Server {
    pub(crate) dialect: Dialect,
    /// What no client may spell as such.
    pub(crate) controls: Controls,
    pub(crate) models: Vec<Model>,
    pub(crate) defaults: Defaults,
    pub(crate) key: Option<SecretString>,
    /// Why tools are refused, when they are.
    pub(crate) no_tools: Option<String>,
    notices: Vec<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("models", &self.models)
            .field("defaults", &self.defaults)
            .field("notices", &self.notices)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens a model's folder or a GGUF file, to be served under its own name; with another
    /// template in the place of its own: a file, or one that comes with limn by its name.
    ///
    /// # Errors
    /// When its tokenizer, its template or its settings for generation cannot be used.
    pub fn open(model: &Path, template: Option<&Path>) -> Result<Self, ServeError> {
        let mut notices = Vec::new();
        let dialect = match template {
            Some(template) => Dialect::open(model, Some(template))?,
            None => choose(model, &mut notices)?,
        };
        let no_tools = dropped(&dialect).map(|dropped| {
            let reason = format!("The chat template drops {dropped}");
            notices.push(format!("{reason}: requests with tools are refused."));
            reason
        });
        if dialect.drops(Part::Reasoning) {
            notices.push(
                "The chat template drops reasoning: thoughts of earlier replies are left out of the prompt."
                    .to_owned(),
            );
        }
        if no_tools.is_none() && dialect.format().is_none() {
            notices.push(
                "The chat template writes tool calls in a form that is not known here: calls come as text."
                    .to_owned(),
            );
        }
        let fault = |reason| ChatError::Format { path: model.to_owned(), reason };
        let controls = Controls::new(dialect.tokenizer()).map_err(fault)?;
        let name = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
        Ok(Self {
            dialect,
            controls,
            models: vec![Model { name: name.into_owned(), variant: 0 }],
            defaults: defaults(model)?,
            key: None,
            no_tools,
            notices,
        })
    }

    /// The same under these names. The first is that of requests that name none.
    #[must_use]
    pub fn with_models(self, models: Vec<Model>) -> Self {
        Self { models, ..self }
    }

    /// The same for those alone who have this key.
    #[must_use]
    pub fn with_key(self, key: SecretString) -> Self {
        Self { key: Some(key), ..self }
    }

    /// What a user should know of how it is served, a sentence each.
    pub(crate) fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The model's tokenizer.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        self.dialect.tokenizer()
    }

    /// The model of a request.
    pub(crate) fn model(&self, name: Option<&str>) -> Option<&Model> {
        match name {
            Some(name) => self.models.iter().find(|model| model.name == name),
            None => self.models.first(),
        }
    }
}

/// What of tools a template drops, in words.
fn dropped(dialect: &Dialect) -> Option<String> {
    let dropped: Vec<&str> =
        FOR_TOOLS.into_iter().filter(|part| dialect.drops(*part)).map(Part::as_str).collect();
    (!dropped.is_empty()).then(|| dropped.join(", "))
}

/// The model's own template, or the one of ours that keeps what it drops.
fn choose(model: &Path, notices: &mut Vec<String>) -> Result<Dialect, ServeError> {
    let own = Dialect::open(model, None);
    let why = match &own {
        Ok(dialect) => match dropped(dialect) {
            Some(dropped) => format!("The model's own chat template drops {dropped}"),
            None => return Ok(own?),
        },
        Err(ChatError::NoTemplate(_)) => "The model has no chat template".to_owned(),
        Err(_) => return Ok(own?),
    };
    let tokenizer = match &own {
        Ok(dialect) => dialect.tokenizer(),
        Err(_) => &Tokenizer::of_model(model)?,
    };
    let own_form = OWN.iter().find(|(_, token)| tokenizer.id(token).is_some());
    let Some((name, _)) = own_form else { return Ok(own?) };
    let dialect = Dialect::open(model, Some(Path::new(name)))?;
    notices.push(format!("{why}: it is served with `{name}`, which keeps them."));
    Ok(dialect)
}

/// What the model's publisher says of sampling, in `generation_config.json`.
fn defaults(model: &Path) -> Result<Defaults, ServeError> {
    let path = model.join("generation_config.json");
    let bad = |reason: String| ServeError::Generation { path: path.clone(), reason };
    // A GGUF file has none, and a folder need not.
    let Ok(about) = std::fs::metadata(&path) else { return Ok(Defaults::default()) };
    if !about.is_file() || about.len() > GENERATION_BYTES_MAX {
        return Err(bad("it is no regular file of a sensible size".to_owned()));
    }
    let json = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
    let said: Map<String, Value> =
        serde_json::from_slice(&json).map_err(|error| bad(error.to_string()))?;
    let usual = Defaults::default();
    let number = |name: &str, usual: f32, (min, max): (f64, f64)| -> Result<f32, ServeError> {
        let Some(value) = said.get(name).filter(|value| !value.is_null()) else {
            return Ok(usual);
        };
        match value.as_f64() {
            Some(number) if (min..=max).contains(&number) => Ok(number as f32),
            _ => Err(bad(format!("its {name} is {value}, and not from {min} to {max}"))),
        }
    };
    let penalty = usual.repetition_penalty;
    Ok(Defaults {
        temperature: number("temperature", usual.temperature, (0.0, 100.0))?,
        top_p: number("top_p", usual.top_p, (0.0, 1.0))?,
        top_k: number("top_k", usual.top_k as f32, (0.0, 1e9))? as usize,
        min_p: number("min_p", usual.min_p, (0.0, 1.0))?,
        repetition_penalty: number("repetition_penalty", penalty, (1e-3, 100.0))?,
    })
}
