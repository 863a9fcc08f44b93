//! Axolotl: `type: chat_template` with `message_field_training: train` and
//! `message_field_training_detail: train_detail`. It reads `reasoning_content`, and arguments as
//! objects.
//!
//! Its detail is stretches of the text of a message, by characters, the last one included. The tokens
//! of the text alone are laid where the message begins to differ from one with another text: so they
//! are right where nothing of the model's stands before the text, which is why a reply with a thought
//! is trained whole or not at all.

use serde_json::{Value, json};

use super::{Draft, mark, with_origin};
use crate::ledger::Ledger;
use crate::messages::Train;

pub(super) fn form(mut draft: Draft<'_>, ledger: &mut Ledger) -> Value {
    mark(&mut draft, "train", Value::Bool);
    for (message, train) in draft.messages.iter_mut().zip(&draft.train) {
        if *train == Train::Text {
            // There is text, or it would not be trained alone.
            let characters = message["content"].as_str().map_or(0, |text| text.chars().count());
            let last = characters.saturating_sub(1);
            let stretch = json!({ "begin_offset": 0, "end_offset": last, "train": true });
            message["train_detail"] = json!([stretch]);
            let note = "Replies whose text alone is trained, with the token that ends them (unless \
                        `train_on_eos` says otherwise). The template has to write text that stands \
                        beside calls: that of Llama 3.1 does not.";
            ledger.lose("ends_of_replies_trained_in_part", 1, note);
        }
    }
    with_origin(draft.messages, draft.tools, Some(draft.origin))
}
