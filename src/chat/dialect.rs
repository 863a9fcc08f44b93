//! How one model is spoken to: its tokenizer, its chat template, and the tokens at which it stops.
//!
//! A [`Dialect`] is opened from a folder as it is published (`tokenizer.json`,
//! `tokenizer_config.json`, `chat_template.jinja`, `generation_config.json`) or from a GGUF file,
//! which holds the same. Before it is used its template is probed ([`crate::probe`]): templates
//! name things differently, and some leave things out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ChatError;
use crate::formats::Format;
use crate::gguf;
use crate::probe::{self, Part, Probe};
use crate::template::{Conversation, SOURCE_BYTES_MAX, Template};
use crate::tokenizer::{Tokenizer, read};

/// The templates that come with limn, by the names that stand for them.
const OWN: [(&str, &str); 2] = [
    ("chatml-tools", include_str!("../../assets/templates/chatml-tools.jinja")),
    ("deepseek-tools", include_str!("../../assets/templates/deepseek-tools.jinja")),
];

/// No configuration of a tokenizer is larger.
const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// What a model's files say, before any of it is used.
pub(crate) struct Source {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<String>,
    /// `bos_token` and its like, which templates may name.
    pub(crate) specials: BTreeMap<String, String>,
    /// Ids at which the model is said to stop.
    pub(crate) stops: Vec<u32>,
}

/// How one model is spoken to.
#[derive(Debug)]
pub struct Dialect {
    tokenizer: Tokenizer,
    template: Template,
    format: Option<Format>,
    probe: Probe,
    stops: BTreeSet<u32>,
}

impl Dialect {
    /// Opens a model's folder, its `tokenizer.json`, or a GGUF file; with another template in the
    /// place of the one that lies there: a file, or `chatml-tools` or `deepseek-tools`, which come
    /// with limn.
    ///
    /// # Errors
    /// When a file cannot be read, there is no template, or it does not work.
    pub fn open(path: &Path, template: Option<&Path>) -> Result<Self, ChatError> {
        let mut source = if gguf::is_gguf(path) { gguf::open(path)? } else { folder(path)? };
        if let Some(template) = template {
            let own = OWN.iter().find(|(name, _)| template == Path::new(name));
            source.template = Some(match own {
                Some((_, source)) => (*source).to_owned(),
                None => text(template, SOURCE_BYTES_MAX)?,
            });
        }
        let Some(jinja) = source.template else {
            return Err(ChatError::NoTemplate(path.to_owned()));
        };
        let format = Format::of(&jinja);
        let template = Template::new(&jinja, source.specials)?;
        let said: BTreeSet<u32> = source.stops.into_iter().collect();
        let probe = probe::probe(&source.tokenizer, &template, &said)?;
        let stops = said.into_iter().chain(probe.after_text).chain(probe.after_calls).collect();
        Ok(Self { tokenizer: source.tokenizer, template, format, probe, stops })
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Whether the template leaves this out.
    #[must_use]
    pub fn drops(&self, part: Part) -> bool {
        self.probe.drops.contains(&part)
    }

    /// How the template writes calls; `None` when it is no format that is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether the model stops at this token.
    #[must_use]
    pub fn is_stop(&self, id: u32) -> bool {
        self.stops.contains(&id)
    }

    /// The tokens at which the model stops.
    pub fn stops(&self) -> impl Iterator<Item = u32> {
        self.stops.iter().copied()
    }

    /// The token that would end a reply, where the template leaves it to whoever speaks next.
    pub(crate) fn stop_after(&self, calls: bool) -> Option<u32> {
        if calls { self.probe.after_calls } else { self.probe.after_text }
    }

    /// Whether the template writes these tokens itself, at the end of each reply.
    pub(crate) fn writes_stops(&self) -> bool {
        self.probe.writes_stops
    }

    /// A conversation as this template reads it. Messages come as Chat Completions has them, with
    /// arguments as objects and reasoning as `reasoning_content`.
    ///
    /// # Errors
    /// When the template leaves out something that is in it.
    pub fn conversation(
        &self,
        messages: &[Value],
        tools: &[Value],
        now_s: i64,
    ) -> Result<Conversation, ChatError> {
        let needed = probe::needs(messages, tools);
        let dropped: Vec<&str> = needed
            .iter()
            .filter(|part| self.probe.drops.contains(part))
            .map(|part| part.as_str())
            .collect();
        if !dropped.is_empty() {
            return Err(ChatError::Drops(dropped.join(", ")));
        }
        let shaped: Vec<Value> = messages.iter().map(|message| self.shaped(message)).collect();
        Ok(Conversation::new(&shaped, tools, now_s))
    }

    /// A message with its parts under the names that this template looks for.
    pub(crate) fn shaped(&self, message: &Value) -> Value {
        self.probe.shape.apply(message)
    }
}

/// A text file of a sensible size.
fn text(path: &Path, bytes_max: u64) -> Result<String, ChatError> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| ChatError::Format {
        path: path.to_owned(),
        reason: "it is no text".to_owned(),
    })
}

/// A JSON object that may be absent.
fn config(path: &Path) -> Result<Map<String, Value>, ChatError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&read(path, CONFIG_BYTES_MAX)?).map_err(|error| ChatError::Format {
        path: path.to_owned(),
        reason: format!("it is no JSON object ({error})"),
    })
}

/// Reads a folder as Hugging Face publishes it.
fn folder(path: &Path) -> Result<Source, ChatError> {
    let (folder, json) = if path.is_dir() {
        (path, path.join("tokenizer.json"))
    } else {
        (path.parent().unwrap_or(Path::new(".")), path.to_owned())
    };
    let tokenizer = Tokenizer::open(&json)?;
    let settings = config(&folder.join("tokenizer_config.json"))?;
    let map = config(&folder.join("special_tokens_map.json"))?;
    let mut specials = BTreeMap::new();
    for name in
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
    {
        let token = settings.get(name).or_else(|| map.get(name)).and_then(spelling);
        specials.extend(token.map(|token| (name.to_owned(), token.to_owned())));
    }
    let generation = config(&folder.join("generation_config.json"))?;
    let mut stops = numbers(generation.get("eos_token_id"));
    stops.extend(specials.get("eos_token").and_then(|token| tokenizer.id(token)));
    let own = folder.join("chat_template.jinja");
    let template = if own.exists() {
        Some(text(&own, SOURCE_BYTES_MAX)?)
    } else {
        settings.get("chat_template").and_then(chosen).map(str::to_owned)
    };
    Ok(Source { tokenizer, template, specials, stops })
}

/// A special token: its spelling, alone or in an object.
fn spelling(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// One id, or a list of them.
fn numbers(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(id) => one(id).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The template of a `chat_template`: itself, or of a list of them the one for tools, else the
/// default.
fn chosen(field: &Value) -> Option<&str> {
    if let Some(text) = field.as_str() {
        return Some(text);
    }
    let list = field.as_array()?;
    let named = |name: &str| list.iter().find(|entry| entry["name"] == name);
    let entry = named("tool_use").or_else(|| named("default")).or_else(|| list.first())?;
    entry["template"].as_str()
}
