//! Parameters under the names that a server knows.
//!
//! Two things are said in one way in the settings and in another by nearly every server: how much
//! a reply may hold, and how much a model should think. What is written in a server's own words
//! goes through as it is.

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::profile::{EffortForm, Profile};

/// The names of the limit on output tokens: each is sent under the name that the server knows.
pub const OUTPUT_MAX: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
/// What servers call the wish for the ids of tokens.
const TOKEN_IDS: &str = "return_token_ids";
const EFFORT: &str = "reasoning_effort";
/// Tokens of thought for each effort, where a server wants a number.
const BUDGETS: [(&str, u64); 4] =
    [("minimal", 1_024), ("low", 4_096), ("medium", 12_288), ("high", 24_576)];
const BUDGET_MAX: u64 = 49_152;
/// The efforts that templates of open models know by name.
const TEMPLATE_EFFORTS: [&str; 3] = ["low", "medium", "high"];

/// The parameters as they are sent.
pub(super) fn as_sent(
    api: Api,
    profile: &Profile,
    params: &Map<String, Value>,
) -> Map<String, Value> {
    let mut sent = Map::new();
    for (key, value) in params {
        if OUTPUT_MAX.contains(&key.as_str()) {
            let name = match api {
                Api::Chat => profile.output_max_key.as_str(),
                Api::Responses => "max_output_tokens",
            };
            merge(&mut sent, name, value.clone());
        } else if key == EFFORT {
            effort(api, profile.effort, value, &mut sent);
        } else {
            merge(&mut sent, key, value.clone());
        }
    }
    if api == Api::Chat && profile.token_ids && !sent.contains_key(TOKEN_IDS) {
        sent.insert(TOKEN_IDS.to_owned(), true.into());
    }
    sent
}

fn effort(api: Api, form: EffortForm, value: &Value, sent: &mut Map<String, Value>) {
    let word = value.as_str().unwrap_or_default();
    let state = if word == "none" { "disabled" } else { "enabled" };
    match (api, form) {
        // A summary is all that is handed out of reasoning there; without asking there is none.
        (Api::Responses, _) => {
            merge(sent, "reasoning", json!({ "effort": value, "summary": "auto" }));
        }
        (Api::Chat, EffortForm::Plain) => merge(sent, EFFORT, value.clone()),
        (Api::Chat, EffortForm::Nested) => merge(sent, "reasoning", json!({ "effort": value })),
        (Api::Chat, EffortForm::Switch) => merge(sent, "thinking", json!({ "type": state })),
        (Api::Chat, EffortForm::Budget) => {
            let budget = BUDGETS.iter().find(|(name, _)| *name == word);
            let budget = budget.map_or(BUDGET_MAX, |(_, tokens)| *tokens);
            let thinking = match state {
                "enabled" => json!({ "type": state, "budget_tokens": budget }),
                _ => json!({ "type": state }),
            };
            merge(sent, "thinking", thinking);
        }
        (Api::Chat, EffortForm::Template) => {
            let on = word != "none";
            merge(sent, "chat_template_kwargs", json!({ "enable_thinking": on }));
            if TEMPLATE_EFFORTS.contains(&word) {
                merge(sent, EFFORT, value.clone());
            }
        }
    }
}

/// Sets a parameter; an object joins one that is there.
fn merge(sent: &mut Map<String, Value>, key: &str, value: Value) {
    match (sent.get_mut(key), value) {
        (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
        (_, value) => {
            sent.insert(key.to_owned(), value);
        }
    }
}
