//! Tokens and what they cost, told.
//!
//! Costs are computed when they are shown, from the table of models as it is then: a recording
//! holds the tokens that the provider counted, not the prices of a day.

use model::Price;
use trajectory::Usage;

use crate::print::thousands;
use crate::settings::{Catalogue, ModelChoice, Settings};

/// What a model's tokens cost.
pub(crate) struct Bill {
    price: Option<Price>,
}

impl Bill {
    /// The bill of a session with these settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        match &settings.model {
            ModelChoice::Endpoint(endpoint) => {
                Self { price: settings.catalogue.price(&endpoint.model) }
            }
            ModelChoice::Scripted(_) | ModelChoice::Cassette(_) => Self::free(),
        }
    }

    /// The bill of a model by its name.
    pub(crate) fn of_model(catalogue: &Catalogue, model: Option<&str>) -> Self {
        Self { price: model.and_then(|model| catalogue.price(model)) }
    }

    /// Nothing is known to cost anything.
    pub(crate) const fn free() -> Self {
        Self { price: None }
    }

    /// US dollars, where the price is known.
    pub(crate) fn cost(&self, usage: &Usage) -> Option<f64> {
        self.price.as_ref().map(|price| price.cost(usage))
    }

    /// `1,234 tokens in (1,000 cached), 56 out (20 reasoning), $0.0012`.
    pub(crate) fn line(&self, usage: &Usage) -> String {
        tokens_and(usage, self.cost(usage))
    }
}

/// Tokens in a line, and what they cost, where that is known.
pub(crate) fn tokens_and(usage: &Usage, cost: Option<f64>) -> String {
    let of = |part: u64, word: &str| match part {
        0 => String::new(),
        part => format!(" ({} {word})", thousands(part)),
    };
    let (cached, reasoning) =
        (of(usage.cached_tokens, "cached"), of(usage.reasoning_tokens, "reasoning"));
    let (input, output) = (thousands(usage.input_tokens), thousands(usage.output_tokens));
    let cost = cost.map(|cost| format!(", {}", dollars(cost))).unwrap_or_default();
    format!("{input} tokens in{cached}, {output} out{reasoning}{cost}")
}

/// `$0.0042`, `$1.25`, `$1,250.00`: as exact as it is worth.
pub(crate) fn dollars(cost: f64) -> String {
    if cost >= 1000.0 {
        // Whole numbers of cents fit well into an f64 here.
        let cents = (cost * 100.0).round() as u64;
        return format!("${}.{:02}", thousands(cents / 100), cents % 100);
    }
    match cost {
        0.0 => "$0".to_owned(),
        cost if cost < 0.00005 => "<$0.0001".to_owned(),
        cost if cost < 0.1 => format!("${cost:.4}"),
        cost => format!("${cost:.2}"),
    }
}
