//! The checklist of what is to be done.
//!
//! The whole list comes each time; the session records it and shows it. Nothing is kept here.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::{Plan, PlanItem, PlanStatus};

use crate::answer::{Answer, Failure, count};
use crate::beneath::Workspace;

const ITEMS_MAX: usize = 50;
const TEXT_CHARS_MAX: usize = 500;

/// Sets the checklist of a longer task. Keep one item in progress.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// All items, each time.
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) text: String,
    pub(crate) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    InProgress,
    Completed,
}

impl From<Status> for PlanStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::InProgress => Self::InProgress,
            Status::Completed => Self::Completed,
        }
    }
}

/// Runs the tool.
pub(crate) fn run(
    _workspace: &Workspace,
    input: &Input,
    _cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    if input.items.len() > ITEMS_MAX {
        let items = input.items.len();
        return Err(Failure::Error(format!(
            "The plan has {items} items; the most is {ITEMS_MAX}. Nothing was changed."
        )));
    }
    let mut items = Vec::with_capacity(input.items.len());
    for (index, item) in input.items.iter().enumerate() {
        let text = item.text.trim();
        if text.is_empty() {
            return Err(Failure::Error(format!(
                "items[{index}] has no text. Nothing was changed."
            )));
        }
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        items.push(PlanItem { text, status: item.status.into() });
    }
    let number = |status| items.iter().filter(|item| item.status == status).count();
    let (done, doing) = (number(PlanStatus::Completed), number(PlanStatus::InProgress));
    let shown = if items.is_empty() {
        "The plan is empty now.".to_owned()
    } else {
        let of = count(items.len(), "item");
        format!("Plan of {of}: {done} completed, {doing} in progress.")
    };
    Ok(Answer { shown, plan: Some(Plan { items }), ..Answer::default() })
}

#[cfg(test)]
mod tests;
