//! What goes into a tool, and what comes out.

use std::path::PathBuf;
use std::time::Duration;

use trajectory::event::{CallStatus, Exit, OutputRef, Plan, Truncation};

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: CallStatus,
    /// What the model is shown, exactly; never longer than [`SHOWN_BYTES_MAX`].
    pub shown: String,
    /// How its process ended, when it was one.
    pub exit: Option<Exit>,
    /// All that its process printed, when it was one.
    pub output: Option<OutputRef>,
    /// What `shown` leaves out, when it does.
    pub truncated: Option<Truncation>,
    /// Images that the model is shown beside the text.
    pub attachments: Vec<Attached>,
    /// The checklist, when the call changed it.
    pub plan: Option<Plan>,
    /// The command goes on in the background; how it ends comes as a [`crate::JobEvent`].
    pub is_running: bool,
    /// How long it ran.
    pub duration: Duration,
    /// What was run, when a process was.
    pub execution: Option<ExecutionFacts>,
}

/// An image, or another file that is handed to the model whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The name it had.
    pub name: String,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What was run: everything that decides what a command sees, but no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionFacts {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The directory it started in.
    pub cwd: PathBuf,
    /// The names of its environment variables, sorted; values are not kept.
    pub env: Vec<String>,
    /// The name of the sandbox's tier it ran under.
    pub policy: String,
}

/// The longest text that a tool shows, bytes.
pub const SHOWN_BYTES_MAX: usize = 256 << 10;

impl Outcome {
    /// An outcome without a process.
    pub(crate) fn told(status: CallStatus, shown: String) -> Self {
        Self {
            status,
            shown,
            exit: None,
            output: None,
            truncated: None,
            attachments: Vec::new(),
            plan: None,
            is_running: false,
            duration: Duration::ZERO,
            execution: None,
        }
    }

    /// The outcome with a text that fits: each tool keeps its own bound, this one holds for
    /// whatever they overlooked.
    pub(crate) fn bounded(mut self) -> Self {
        if self.shown.len() > SHOWN_BYTES_MAX {
            let end = self.shown.floor_char_boundary(SHOWN_BYTES_MAX - 64);
            let left = self.shown.get(end..).unwrap_or_default();
            let chars_omitted = left.chars().count() as u64;
            let lines_omitted = left.lines().count() as u64;
            self.shown.truncate(end);
            self.shown.push_str(&format!("\n[{chars_omitted} more characters]"));
            self.truncated.get_or_insert(Truncation { lines_omitted, chars_omitted });
        }
        self
    }
}
