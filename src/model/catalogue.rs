//! What is known of models: the size of their context, what they see, what they cost.
//!
//! The table is `assets/models.toml`, with its date; it is built in, and every row may be
//! overridden by the settings. A model that is not in it is as good as any other: nothing here
//! is needed to ask it.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use trajectory::Usage;

const TEXT: &str = include_str!("../../assets/models.toml");
static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    // A test reads it; a broken table would be an empty one.
    toml::from_str(TEXT).unwrap_or_default()
});
const TOKENS_PER_PRICE: f64 = 1e6;

/// Which tools a model does best with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolSet {
    /// One freeform `apply_patch`.
    Patch,
    /// `edit` and `write`.
    Edit,
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the input that is not read from a cache.
    pub input: f64,
    /// Of the input that is; as the input, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Of the output, reasoning included.
    pub output: f64,
}

impl Price {
    /// What these tokens cost, in US dollars.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        let sum = fresh as f64 * self.input
            + cached as f64 * self.cached.unwrap_or(self.input)
            + usage.output_tokens as f64 * self.output;
        sum / TOKENS_PER_PRICE
    }
}

/// What is known of the models whose names fit a pattern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// The names: `*` stands for anything, `?` for one character; capitals do not matter.
    pub pattern: String,
    /// Tokens that input and output share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The most tokens of one reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_max: Option<u64>,
    /// Whether it sees images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<bool>,
    /// Whether it reasons before it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<bool>,
    /// The tools it does best with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolSet>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl ModelFacts {
    /// These facts, and where they are silent, those.
    fn or(self, other: &Self) -> Self {
        Self {
            pattern: self.pattern,
            context_window: self.context_window.or(other.context_window),
            output_max: self.output_max.or(other.output_max),
            images: self.images.or(other.images),
            reasoning: self.reasoning.or(other.reasoning),
            tools: self.tools.or(other.tools),
            price: self.price.or(other.price),
        }
    }

    /// How much of the pattern is said outright; of two that fit, the one that says more counts.
    fn weight(&self) -> usize {
        self.pattern.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count()
    }
}

/// The table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    date: String,
    models: Vec<ModelFacts>,
    /// From the settings: they come before everything built in.
    #[serde(skip)]
    overrides: Vec<ModelFacts>,
}

impl Catalogue {
    /// The table that limn brings along.
    #[must_use]
    pub fn builtin() -> Self {
        BUILTIN.clone()
    }

    /// The same with rows of the settings before it. A row need not say everything: what it leaves
    /// out is taken from the table.
    #[must_use]
    pub fn with(mut self, overrides: Vec<ModelFacts>) -> Self {
        let filled = overrides.into_iter().map(|row| match self.find(&row.pattern) {
            Some(known) => row.or(known),
            None => row,
        });
        let filled: Vec<ModelFacts> = filled.collect();
        self.overrides.extend(filled);
        self
    }

    /// The day on which the table was true.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// What is known of the model with this name, as a provider or a gateway calls it: without
    /// what stands before a slash (`openai/gpt-5`) and behind a colon (`qwen3:free`) it is looked
    /// for when it is not there as it is.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<&ModelFacts> {
        self.find_own(model).or_else(|| find(&self.models, model))
    }

    /// What the settings alone say of it: of a model whose name says nothing about what it is.
    #[must_use]
    pub fn find_own(&self, model: &str) -> Option<&ModelFacts> {
        find(&self.overrides, model)
    }
}

fn find<'a>(rows: &'a [ModelFacts], model: &str) -> Option<&'a ModelFacts> {
    let model = model.trim().to_ascii_lowercase();
    let bare = model.rsplit_once('/').map_or(model.as_str(), |(_, name)| name);
    let plain = bare.split_once(':').map_or(bare, |(name, _)| name);
    let names = [model.as_str(), bare, plain];
    names.iter().find_map(|name| {
        let fitting = rows
            .iter()
            .filter(|row| fits(row.pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()));
        // Of rows that say as much, the later one counts.
        fitting.max_by_key(|row| row.weight())
    })
}

/// Whether a name fits a pattern. Linear but for the last star, which alone is tried again.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(b'?') => (at, place) = (at + 1, place + 1),
            Some(byte) if name.get(place) == Some(byte) => (at, place) = (at + 1, place + 1),
            _ => match star {
                Some((from, taken)) => {
                    star = Some((from, taken + 1));
                    (at, place) = (from + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
