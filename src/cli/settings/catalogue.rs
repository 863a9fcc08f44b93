//! What is known about models, with the user's `[models]` on top of the built-in table.

use model::{ModelFacts, Price};
use serde::Deserialize;

use super::file::UserFile;
use crate::args::ToolsArg;
use crate::local;

/// What tokens of this machine cost.
const FREE: Price = Price { input: 0.0, cached: None, output: 0.0 };

/// A table of `[models]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelFile {
    context_window: Option<u64>,
    output_max: Option<u64>,
    price: Option<PriceFile>,
    images: Option<bool>,
    reasoning: Option<bool>,
    tools: Option<ToolsArg>,
}

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    input: Dollars,
    cached: Option<Dollars>,
    output: Dollars,
}

/// A price that is one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Dollars(f64);

impl TryFrom<f64> for Dollars {
    type Error = String;

    fn try_from(dollars: f64) -> Result<Self, String> {
        if dollars.is_finite() && dollars >= 0.0 {
            Ok(Self(dollars))
        } else {
            Err(format!("{dollars} is no price: dollars for a million tokens, such as 0.5"))
        }
    }
}

/// The table of models.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    table: model::Catalogue,
    /// Tool sets that only the user can ask for, by the pattern they stand under.
    own_tools: Vec<(String, ToolsArg)>,
    /// What `--context-window` says of the model that is chosen.
    window: Option<u64>,
}

impl Catalogue {
    /// The built-in table with what the file says on top.
    pub(crate) fn of(file: &UserFile, window: Option<u64>) -> Self {
        let own = file.models.iter();
        let facts = own.clone().map(|(pattern, model)| facts(pattern, model)).collect();
        let own_tools = own.filter_map(|(pattern, model)| Some((pattern.clone(), model.tools?)));
        Self {
            table: model::Catalogue::builtin().with(facts),
            own_tools: own_tools.collect(),
            window,
        }
    }

    /// All that is known of a model. What one of this machine is called says nothing about what it
    /// is, so the built-in table is not about it.
    pub(crate) fn facts(&self, model: &str) -> Option<&ModelFacts> {
        if is_local(model) { self.table.find_own(model) } else { self.table.find(model) }
    }

    /// What its tokens cost.
    pub(crate) fn price(&self, model: &str) -> Option<Price> {
        let price = self.facts(model).and_then(|facts| facts.price);
        price.or_else(|| is_local(model).then_some(FREE))
    }

    /// How many tokens it can hold.
    pub(crate) fn context_window(&self, model: &str) -> Option<u64> {
        self.window.or_else(|| self.facts(model)?.context_window)
    }

    /// The tool set that it does best with.
    pub(crate) fn tools(&self, model: &str) -> ToolsArg {
        let Some(facts) = self.facts(model) else { return ToolsArg::Edit };
        let own = self.own_tools.iter().find(|(pattern, _)| *pattern == facts.pattern);
        match (own, facts.tools) {
            (Some((_, tools)), _) => *tools,
            (None, Some(model::ToolSet::Patch)) => ToolsArg::Patch,
            (None, _) => ToolsArg::Edit,
        }
    }

    /// The day of the built-in table.
    pub(crate) fn date(&self) -> &str {
        self.table.date()
    }
}

fn is_local(model: &str) -> bool {
    model.starts_with(local::PREFIX)
}

fn facts(pattern: &str, model: &ModelFile) -> ModelFacts {
    ModelFacts {
        pattern: pattern.to_owned(),
        context_window: model.context_window,
        output_max: model.output_max,
        images: model.images,
        reasoning: model.reasoning,
        tools: model.tools.and_then(|tools| match tools {
            ToolsArg::Edit => Some(model::ToolSet::Edit),
            ToolsArg::Patch => Some(model::ToolSet::Patch),
            ToolsArg::Sii => None,
        }),
        price: model.price.map(|price| Price {
            input: price.input.0,
            cached: price.cached.map(|cached| cached.0),
            output: price.output.0,
        }),
    }
}
