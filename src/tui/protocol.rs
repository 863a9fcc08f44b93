//! What the terminal tells its driver, and what the driver tells it. Two small enums, and nothing
//! of the session behind them.

use trajectory::event::{ApprovalDecision, Ended, FileChange};
use trajectory::{ApprovalMode, Event, Hand, Progress, Reading, Recorded, Usage};

pub use crate::entry::Rating;
use crate::text::clean;

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A round begins with this prompt.
    Submit(String),
    /// The round that is under way is told this.
    Steer(String),
    /// The user runs a command.
    Run {
        /// The command line.
        command: String,
        /// Outside the sandbox, with all the user's rights.
        outside: bool,
    },
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
        /// Rules that allow the like of it in this folder from now on.
        always: Vec<String>,
    },
    /// Stop what goes on.
    Interrupt,
    /// Another approval mode.
    Mode(ApprovalMode),
    /// A question that only the driver can answer.
    Ask(Query),
    /// A command of the composer.
    Order(Order),
    /// The user's own hand on a command that runs.
    Hand(Hand),
    /// The playback of a session, moved.
    Play(Play),
    /// Text for the clipboard.
    Copy(String),
    /// The text of the composer, to be written on in an editor.
    Edit(String),
    /// Whether the mouse is ours.
    Mouse(bool),
    /// Draw everything anew.
    Redraw,
    /// Stand still, and give the terminal to the shell for a while.
    Suspend,
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
    /// Where words stand in all recordings.
    Search(String),
    /// The rounds that one can go back to.
    Rounds,
    /// What going back to before this round would do.
    Rewind(u32),
    /// Models that are known of.
    Models,
    /// How the files differ from when the session began.
    Changes,
    /// Whether a path is that of a picture.
    Picture {
        /// As it stands in the prompt.
        written: String,
        /// The path.
        path: String,
    },
    /// The picture that the clipboard holds.
    Clipboard,
    /// What is known of a call with these arguments, which the user has amended.
    Offer(u32, String),
}

/// A command of the composer that the driver carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Another model.
    Model(String),
    /// The conversation is replaced by a summary, which heeds these words.
    Compact(Option<String>),
    /// Go on with a session.
    Resume(String),
    /// Go on with a session, and show what was found in it.
    ResumeAt(Place),
    /// Go on with a copy of this session.
    Fork,
    /// Go back to before a round.
    Rewind(Rewind),
    /// What is known of this session.
    Status,
    /// Let this session reach a host or read a file.
    Allow(String),
    /// Write the session out into this folder.
    Export(String),
    /// Judge the session: a field and its value.
    Judge(&'static str, String),
    /// Rate a step, by the event that it is.
    Rate(u64, Rating),
    /// The pseudonym that goes into recordings from now on.
    Annotator(String),
    /// What recordings may be used for from now on: `private`, `team` or `public`.
    Consent(&'static str),
    /// Keep this session out of datasets.
    Private,
    /// Take a file back to how it was when the session began.
    Revert(String),
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
    /// A command of the user's own runs.
    OwnStarted {
        /// Its execution.
        exec: u32,
        /// The command line.
        command: String,
        /// It runs outside the sandbox.
        outside: bool,
    },
    /// A call waits for the user's word.
    Decide(u32),
    /// What is known of the call that waits, beside its arguments.
    Offer {
        /// The call.
        call: u32,
        /// Rules that would spare the user this question.
        rules: Vec<String>,
        /// What its command would do, as far as reading it can tell.
        reading: Option<Reading>,
    },
    /// What the last request took.
    Usage(Usage),
    /// What requests of the past took, by their numbers.
    Counted(Vec<(u32, Usage)>),
    /// What the user thought of steps of the past, by their events.
    Rated(Vec<(u64, Rating)>),
    /// Something goes on that can be stopped as a round can; its end is told as a round's is.
    Working,
    /// The round is over.
    RoundOver(Ended),
    /// What frames the session.
    Facts(Box<Facts>),
    /// Recent sessions of this folder, which take longer to find than the rest of the facts.
    Recent(Vec<Recent>),
    /// The name of the tier that commands run in, once it was found by trying.
    Sandbox(String),
    /// An answer to a question.
    Answer(Answer),
    /// Show this place of the session.
    GoTo(Place),
    /// A text for the composer, if nothing is written there.
    Written(String),
    /// What the user wrote in earlier sessions, the oldest first.
    Wrote(Vec<Wrote>),
    /// A remark.
    Said(String),
    /// Something could not be done.
    Failed(String),
    /// What was told so far is the past of a session, with what it took.
    Recalled(Usage),
    /// Another session follows: what was shown is no longer of this one.
    Cleared,
    /// Whether another program writes the session, which can only be looked at then.
    Watched(bool),
    /// Where the playback stands.
    Playback(Playback),
}

/// What the user wrote in an earlier session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wrote {
    /// A prompt.
    Prompt(String),
    /// A command of their own, in the sandbox.
    Inside(String),
    /// One outside it.
    Outside(String),
}

/// An answer of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Paths, the best first, and what was asked for.
    Files(String, Vec<String>),
    /// Sessions, the newest first.
    Sessions(Vec<Recent>),
    /// Where words were found, and the words.
    Found(String, Vec<Found>),
    /// Rounds, the latest first.
    Rounds(Vec<Round>),
    /// What going back would do.
    Preview(Preview),
    /// Names of models, and what is known of each.
    Models(Vec<(String, String)>),
    /// Whether something is a picture.
    Picture {
        /// What stands for it in the prompt now; nothing when it came from the clipboard.
        written: Option<String>,
        /// The words that are to stand for it, or why it is none.
        found: Result<String, String>,
    },
    /// How the files differ, or why that cannot be told.
    Changes(Result<Vec<FileChange>, String>),
}

/// A place in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The session's id.
    pub session: String,
    /// The event.
    pub seq: u64,
    /// The call that it makes or answers.
    pub call: Option<u32>,
}

/// Words that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// What stands around them.
    pub text: String,
    /// What is said of the place: in which session, what it is, when that was.
    pub about: String,
}

/// A round of this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its number.
    pub number: u32,
    /// What was asked.
    pub prompt: String,
    /// What is known of the files as they were before it.
    pub about: String,
}

/// What going back to before a round would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The round.
    pub round: u32,
    /// The conversation can go back: the round is part of it.
    pub has_conversation: bool,
    /// The files can: it is known how they were.
    pub has_files: bool,
    /// What would happen to each file, a line each.
    pub lines: Vec<String>,
    /// Files that the user changed since, and that going back would undo.
    pub edited: Vec<String>,
}

/// How to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewind {
    /// To before this round.
    pub round: u32,
    /// What of it.
    pub what: RewindWhat,
    /// What becomes of the user's own edits.
    pub edits: Edits,
}

/// What goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindWhat {
    /// The conversation and the files.
    Both,
    /// The conversation alone.
    Conversation,
    /// The files alone; the model is told.
    Files,
}

/// What becomes of files that the user changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edits {
    /// There are none: should some turn up, nothing is done.
    None,
    /// They stay.
    Keep,
    /// They are undone too.
    Undo,
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
    /// The name of the tier that commands run in; empty until it was found by trying.
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
    /// Nobody has said yet what recordings may be used for.
    pub asks_consent: bool,
    /// Recent sessions of this folder, as far as they were looked for.
    pub recent: Vec<Recent>,
    /// Why nothing can be asked yet, and what to do about it.
    pub hint: Option<String>,
    /// A recorded session is played back: nothing can be asked.
    pub playback: Option<Playback>,
    /// Another program writes the session: nothing of it can be stopped here.
    pub is_watched: bool,
}

impl Facts {
    /// The same, safe to draw: names of folders and of models are anybody's.
    pub(crate) fn cleaned(mut self) -> Self {
        let line = |text: &str| clean(text).replace('\n', "␊");
        self.model = self.model.map(|model| line(&model));
        self.sandbox = line(&self.sandbox);
        self.workspace = line(&self.workspace);
        self.hint = self.hint.map(|hint| clean(&hint));
        self.recent.iter_mut().for_each(|recent| recent.when = line(&recent.when));
        self
    }
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
