//! Axolotl: `type: chat_template` with `message_field_training: train`. It reads
//! `reasoning_content`, and arguments as objects.

use serde_json::Value;

use super::{Draft, mark, with_origin};

pub(super) fn form(mut draft: Draft<'_>) -> Value {
    mark(&mut draft, "train", Value::Bool);
    with_origin(draft.messages, draft.tools, Some(draft.origin))
}
