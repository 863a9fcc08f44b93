//! LIMI's own form: `messages` and `tools`, nothing else. Its trainer trains every reply, so a row
//! with one that must not be trained is left out.

use serde_json::{Value, json};

use super::{Draft, without_origin, without_reasoning};
use crate::ledger::Ledger;

pub(super) fn form(mut draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
    let untrained = |(message, train): (&Value, &bool)| message["role"] == "assistant" && !train;
    if draft.messages.iter().zip(&draft.train).any(untrained) {
        let note = "Rows with a reply that must not be trained: this form trains every reply.";
        ledger.lose("rows_with_an_untrained_reply", 1, note);
        return None;
    }
    without_reasoning(&mut draft.messages, ledger);
    without_origin(ledger);
    Some(json!({ "messages": draft.messages, "tools": draft.tools }))
}
