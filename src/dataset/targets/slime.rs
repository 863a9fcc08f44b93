//! slime: messages as the template reads them, `step_loss_mask` 0 or 1 for each reply.

use serde_json::Value;

use super::{Draft, mark, with_origin};

pub(super) fn form(mut draft: Draft<'_>) -> Value {
    mark(&mut draft, "step_loss_mask", |train| u8::from(train).into());
    with_origin(draft.messages, draft.tools, Some(draft.origin))
}
