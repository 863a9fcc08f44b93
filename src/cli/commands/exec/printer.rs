//! What a session does, printed.
//!
//! Without `--json`, stdout holds the answer and nothing else, so that `answer=$(limn exec …)`
//! is what it looks like; all the rest goes to stderr. What the model says between its calls is
//! no answer, and neither is what was cut off. On a terminal the text is shown as it comes.

use std::io::IsTerminal;

use serde_json::json;
use session::{Notice, SessionError, Summary};
use trajectory::event::{CallStatus, Ended, InterruptionCause, Observation};
use trajectory::{Body, Progress, SessionId};

use crate::bill::Bill;
use crate::print::{Out, headline, note, safe};

/// Columns of a thought that are shown, and bytes of it that are kept for that.
const THOUGHT_COLUMNS: usize = 100;
const THOUGHT_BYTES_MAX: usize = 4_096;

/// Prints what a session does.
pub(crate) struct Printer {
    out: Out,
    bill: Bill,
    json: bool,
    /// Text goes out as it comes, because somebody watches.
    live: bool,
    in_line: bool,
    silent: bool,
    /// What the model said last: the answer, unless it goes on.
    said: Vec<String>,
    /// What the model thinks, as far as it is told of; and how many thoughts were told of before the
    /// events came that hold them.
    thought: String,
    told: usize,
    /// Why it is asked again, as long as the event that says so, too, is to come.
    retried: Option<String>,
}

impl Printer {
    pub(crate) fn new(json: bool, bill: Bill) -> Self {
        Self {
            out: Out::new(),
            bill,
            json,
            live: !json && std::io::stdout().is_terminal(),
            in_line: false,
            silent: false,
            said: Vec::new(),
            thought: String::new(),
            told: 0,
            retried: None,
        }
    }

    /// One that prints what happens to stderr, or nothing at all.
    pub(crate) fn quiet(silent: bool) -> Self {
        Self { silent, ..Self::new(false, Bill::free()) }
    }

    pub(crate) fn begin(&mut self, id: SessionId) {
        if self.silent {
            return;
        }
        if self.json {
            self.out.json(&json!({"type": "session", "id": id}));
            self.out.flush();
        } else {
            note(&format!("session {id}"));
        }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        match notice {
            _ if self.silent => return,
            Notice::Event(event) if self.json => self.out.json(&event.to_json()),
            Notice::Event(event) => self.event(&event.body),
            Notice::Progress(Progress::Reasoning { text, .. }) if self.live => {
                if self.thought.len() < THOUGHT_BYTES_MAX {
                    self.thought.push_str(&text);
                }
                return;
            }
            Notice::Progress(Progress::Text { text, .. }) if self.live => {
                self.tell_thought();
                self.out.text(&safe(&text));
                self.in_line = !text.ends_with('\n');
            }
            Notice::Progress(Progress::Retry { reason, .. }) => self.retry(&reason),
            Notice::Progress(_)
            | Notice::Usage(_)
            | Notice::Decide { .. }
            | Notice::OwnStarted { .. }
            | Notice::OwnRefused { .. } => return,
            Notice::RoundOver(_) => {}
            Notice::Unable(told) => note(&safe(&told)),
        }
        self.out.flush();
    }

    fn event(&mut self, body: &Body) {
        match body {
            Body::Message(message) if message.interrupted => {
                if !self.live {
                    note(&format!("     … {} (cut off)", safe(message.text.trim_end())));
                }
                self.end_line();
            }
            Body::Message(message) if !self.live => self.said.push(message.text.clone()),
            Body::Message(_) => self.end_line(),
            Body::Reasoning(_) if self.told > 0 => self.told -= 1,
            Body::Reasoning(reasoning) => {
                self.thought.clear();
                self.think(&reasoning.text);
            }
            Body::ToolCall(call) => {
                self.end_line();
                self.set_aside();
                note(&format!("{:>4} > {}", call.call, brief(&call.name, &call.arguments)));
            }
            Body::Observation(seen) => note(&format!("{:>4}   {}", seen.call, verdict(seen))),
            Body::UserEdit(edit) => {
                self.end_line();
                note(&format!("     * {}", safe(&edit.told(8))));
            }
            Body::Interruption(cut) => note(match cut.cause {
                InterruptionCause::Limit => {
                    "     ! The time limit is reached. Raise it with --timeout and resume."
                }
                InterruptionCause::User | InterruptionCause::Crash => "     ! interrupted",
            }),
            Body::Error(error) => {
                self.end_line();
                if self.retried.as_ref() != Some(&error.message) {
                    note(&format!("     ! {}", safe(&error.message)));
                }
            }
            Body::RoundEnded(round) if round.ended == Ended::Completed => self.answer(),
            Body::RoundEnded(_) => self.set_aside(),
            _ => {}
        }
    }

    /// A thought is told before what comes of it, although its event comes with the whole reply.
    fn tell_thought(&mut self) {
        if !self.thought.trim().is_empty() {
            self.told += 1;
            let thought = std::mem::take(&mut self.thought);
            self.think(&thought);
        }
    }

    fn think(&mut self, thought: &str) {
        self.end_line();
        note(&format!("     ~ {}", headline(thought, THOUGHT_COLUMNS)));
    }

    /// What was said last is the answer. Into a file or a pipe goes what the model said; a
    /// terminal has seen it, made safe.
    fn answer(&mut self) {
        for text in std::mem::take(&mut self.said) {
            self.out.line(text.trim_end());
        }
    }

    /// What was said last is no answer.
    fn set_aside(&mut self) {
        for text in std::mem::take(&mut self.said) {
            note(&format!("     \" {}", safe(text.trim_end())));
        }
    }

    /// A request failed and is asked again: what was seen of its answer does not count.
    fn retry(&mut self, reason: &str) {
        let void = self.in_line;
        (self.told, self.thought) = (0, String::new());
        self.end_line();
        if void {
            note("     ! What stands above is void: the answer was cut off.");
        }
        note(&format!("     ! {}", safe(reason)));
        self.retried = Some(reason.to_owned());
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.in_line) {
            self.out.line("");
            self.out.flush();
        }
    }

    pub(crate) fn end(&mut self, id: SessionId, result: &Result<Summary, SessionError>) {
        self.end_line();
        self.set_aside();
        if !self.json {
            if let Ok(summary) = result
                && !self.silent
                && summary.usage.total() > 0
            {
                note(&self.bill.line(&summary.usage));
            }
            return;
        }
        self.out.json(&match result {
            Ok(summary) => json!({
                "type": "result", "ended": summary.ended, "session": id, "usage": summary.usage,
                "cost_usd": self.bill.cost(&summary.usage),
            }),
            Err(error) => json!({
                "type": "result", "ended": Ended::Failed, "session": id, "usage": {},
                "error": error.to_string(),
            }),
        });
        self.out.flush();
    }
}

/// One line about a call: the tool and what it is called with first, a command or a path.
fn brief(name: &str, arguments: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(arguments);
    let first = parsed
        .ok()
        .and_then(|object| object.values().find_map(|value| value.as_str().map(str::to_owned)));
    let what = first.unwrap_or_else(|| arguments.to_owned());
    let what = if what.trim() == "{}" { String::new() } else { headline(&what, 100) };
    format!("{} {what}", headline(name, 40)).trim_end().to_owned()
}

/// One line about an observation.
pub(crate) fn verdict(seen: &Observation) -> String {
    let seconds = seen.duration_us as f64 / 1e6;
    match (seen.status, seen.exit) {
        (CallStatus::Ok, Some(exit)) => match (exit.code, exit.signal) {
            _ if exit.timed_out => format!("timed out after {seconds:.1} s"),
            (Some(code), _) => format!("exit {code} after {seconds:.1} s"),
            (None, Some(signal)) => format!("killed by signal {signal} after {seconds:.1} s"),
            (None, None) => "ended".to_owned(),
        },
        (CallStatus::Ok, None) => "done".to_owned(),
        (CallStatus::Error, _) => format!("error: {}", headline(&seen.shown, 120)),
        (CallStatus::Denied, _) => headline(&seen.shown, 120),
        (CallStatus::Cancelled, _) => "cancelled".to_owned(),
        (CallStatus::LostInCrash, _) => "lost in a crash".to_owned(),
    }
}
