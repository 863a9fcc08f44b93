//! OpenAI's fine-tuning of chat models: arguments as text, `weight` 0 or 1 for each reply. There is
//! no place for reasoning, and images would have to be addresses on the web.

use serde_json::Value;
use trajectory::Message;

use super::{Draft, mark, with_origin, without_origin, without_reasoning};
use crate::ledger::Ledger;

pub(super) fn form(mut draft: Draft<'_>, ledger: &mut Ledger) -> Value {
    without_reasoning(&mut draft.messages, ledger);
    mark(&mut draft, "weight", |train| u8::from(train).into());
    for (message, sampled) in draft.messages.iter_mut().zip(&draft.sample.messages) {
        let Message::Assistant { tool_calls, .. } = &sampled.message else { continue };
        for (place, call) in tool_calls.iter().enumerate() {
            // Here they stand as the model wrote them.
            message["tool_calls"][place]["function"]["arguments"] =
                call.function.arguments.as_str().into();
        }
    }
    // An unknown key makes the service refuse the file.
    without_origin(ledger);
    with_origin(draft.messages, draft.tools, None)
}
