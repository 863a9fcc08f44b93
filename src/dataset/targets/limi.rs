//! LIMI's own form: `messages` and `tools`, nothing else. Its trainer trains every reply, so a row
//! with one that must not be trained is left out.

use serde_json::{Value, json};

use super::{Draft, without_origin, without_reasoning, without_untrained};
use crate::ledger::Ledger;

pub(super) fn form(mut draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
    without_untrained(&draft, ledger)?;
    without_reasoning(&mut draft.messages, ledger);
    without_origin(ledger);
    Some(json!({ "messages": draft.messages, "tools": draft.tools }))
}
