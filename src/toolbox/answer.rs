//! What a tool brings back, before it is an outcome.

use trajectory::event::{Plan, Truncation};

use crate::outcome::Attached;

/// What the model is told, when the tool did its work.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The text.
    pub(crate) shown: String,
    /// What the text leaves out.
    pub(crate) truncated: Option<Truncation>,
    /// Images beside the text.
    pub(crate) attachments: Vec<Attached>,
    /// The checklist, when it was changed.
    pub(crate) plan: Option<Plan>,
}

impl From<String> for Answer {
    fn from(shown: String) -> Self {
        Self { shown, ..Self::default() }
    }
}

/// Why a tool did not do its work, in words for the model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not.
    Error(String),
    /// A rule forbids it; the text names the rule and the remedy.
    Denied(String),
    /// It was stopped; the text says what had been done.
    Cancelled(String),
}

impl From<String> for Failure {
    fn from(shown: String) -> Self {
        Self::Error(shown)
    }
}

/// A count with its noun, as in `1 line`, `12 lines`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A size for people: exact below 1 KiB, then one decimal.
pub(crate) fn size(bytes: u64) -> String {
    let mut units = ["KB", "MB", "GB", "TB", "PB"].into_iter();
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Precise to far more than the decimal that is shown.
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64 / 1024.0;
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}
