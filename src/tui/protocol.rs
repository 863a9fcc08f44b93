//! What the terminal tells its driver, and what the driver tells it. Two small enums, and nothing
//! of the session behind them.

use trajectory::event::{ApprovalDecision, Ended};
use trajectory::{ApprovalMode, Event, Progress, Recorded, Usage};

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A round begins with this prompt.
    Submit(String),
    /// A call that waited is decided.
    Decide {
        /// The call.
        call: u32,
        /// What was decided.
        decision: ApprovalDecision,
        /// Why.
        reason: Option<String>,
        /// The user's arguments, when amended.
        arguments: Option<String>,
        /// The mode from here on, when it changes with it.
        mode: Option<ApprovalMode>,
    },
    /// Stop what goes on.
    Interrupt,
    /// Another approval mode.
    Mode(ApprovalMode),
    /// A question that only the driver can answer.
    Ask(Query),
    /// A command of the composer.
    Order(Order),
    /// The playback of a session, moved.
    Play(Play),
    /// Text for the clipboard.
    Copy(String),
    /// The text of the composer, to be written on in an editor.
    Edit(String),
    /// Whether the mouse is ours.
    Mouse(bool),
    /// The end.
    Leave,
}

/// A question to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Paths of the workspace that look like this.
    Files(String),
    /// Recent sessions of this folder.
    Sessions,
}

/// A command of the composer that the driver carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Another model.
    Model(String),
    /// Go on with a session.
    Resume(String),
    /// What is known of this session.
    Status,
    /// Write the session out into this folder.
    Export(String),
    /// Judge the session: a field and its value.
    Judge(&'static str, String),
    /// Keep this session out of datasets.
    Private,
}

/// How a playback is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Stand still, or go on.
    Pause,
    /// Twice as fast, or half.
    Speed {
        /// Which of the two.
        faster: bool,
    },
    /// To the event before or behind.
    Event {
        /// Which of the two.
        back: bool,
    },
    /// To the prompt before or behind.
    Round {
        /// Which of the two.
        back: bool,
    },
    /// To so many tenths of the whole.
    Tenths(u8),
}

/// Where a playback stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Playback {
    /// Microseconds since the session began, pauses shortened.
    pub at_us: u64,
    /// All of them.
    pub length_us: u64,
    /// Events that have happened.
    pub events: usize,
    /// All of them.
    pub events_all: usize,
    /// How many times as fast as it happened.
    pub speed: f64,
    /// It stands still.
    pub is_paused: bool,
}

/// What the driver has to tell.
#[derive(Clone, Debug)]
pub enum Update {
    /// Something is on record.
    Event(Box<Recorded<Event>>),
    /// Something is on its way.
    Progress(Progress),
    /// A call waits for the user's word.
    Decide(u32),
    /// What the last request took.
    Usage(Usage),
    /// The round is over.
    RoundOver(Ended),
    /// What frames the session.
    Facts(Box<Facts>),
    /// An answer to a question.
    Answer(Answer),
    /// A remark.
    Said(String),
    /// Something could not be done.
    Failed(String),
    /// What was told so far is the past of a session, with what it took.
    Recalled(Usage),
    /// Another session follows: what was shown is no longer of this one.
    Cleared,
    /// Where the playback stands.
    Playback(Playback),
    /// The driver is gone.
    Gone,
}

/// An answer of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Paths, the best first, and what was asked for.
    Files(String, Vec<String>),
    /// Sessions, the newest first.
    Sessions(Vec<Recent>),
}

/// A session of this folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Its id.
    pub id: String,
    /// What was asked first.
    pub title: String,
    /// When, as people say it.
    pub when: String,
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of input that is not read from a cache.
    pub input: f64,
    /// Of input that is.
    pub cached: f64,
    /// Of output.
    pub output: f64,
}

/// What frames a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The model's name; none when none is chosen.
    pub model: Option<String>,
    /// How much the agent may do without asking.
    pub mode: ApprovalMode,
    /// The name of the tier that commands run in.
    pub sandbox: String,
    /// Tokens that the model can hold.
    pub window: Option<u64>,
    /// What its tokens cost.
    pub price: Option<Price>,
    /// The folder that is worked in.
    pub workspace: String,
    /// The version of the program.
    pub version: String,
    /// Kept out of datasets.
    pub is_private: bool,
    /// Recent sessions of this folder.
    pub recent: Vec<Recent>,
    /// Why nothing can be asked yet, and what to do about it.
    pub hint: Option<String>,
    /// A recorded session is played back: nothing can be asked.
    pub playback: Option<Playback>,
}

impl Price {
    pub(crate) fn cost(self, usage: &Usage) -> f64 {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        let sum = fresh as f64 * self.input
            + cached as f64 * self.cached
            + usage.output_tokens as f64 * self.output;
        sum / 1e6
    }
}
