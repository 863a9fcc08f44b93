//! What came of a session: what is kept of it, and shown.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use trajectory::event::{Ended, Exit};
use trajectory::{Body, SessionId, Usage};

use crate::commands::exec::verdict;

/// Longer texts are kept as far as this: a session is on record, and is not kept twice.
const TEXT_CHARS_MAX: usize = 2_000;
const ARGUMENTS_CHARS_MAX: usize = 300;

/// Which of the two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// Which session of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) query: String,
    pub(super) repeat: u32,
    pub(super) side: Side,
}

/// What came of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    #[serde(flatten)]
    pub(super) key: Key,
    /// The model, as it was named.
    pub(super) model: String,
    /// A digest over the task and how it was run: what came of another is not compared with it.
    pub(super) task: String,
    pub(super) session: Option<SessionId>,
    /// How it ended; none when it did not begin.
    pub(super) ended: Option<Ended>,
    /// Whether the model answered at all.
    pub(super) reached: bool,
    /// What went wrong last.
    pub(super) error: Option<String>,
    pub(super) check: Option<Check>,
    pub(super) usage: Usage,
    pub(super) cost_usd: Option<f64>,
    /// From the prompt to the end of the round.
    pub(super) seconds: f64,
    pub(super) steps: Vec<Step>,
}

/// How the check of a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Check {
    pub(super) passed: bool,
    /// Its exit code, where it ended by itself.
    pub(super) exit: Option<i32>,
}

/// What the model did with one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) reasoning: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) calls: Vec<Call>,
}

/// A call, and what came of it in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) verdict: String,
}

impl Outcome {
    /// How many calls the model made.
    pub(super) fn calls(&self) -> usize {
        self.steps.iter().map(|step| step.calls.len()).sum()
    }

    /// Whether the task was done: as its check says, and else whether the model handed back by
    /// itself.
    pub(super) fn is_done(&self, has_check: bool) -> bool {
        match &self.check {
            Some(check) => check.passed,
            None => !has_check && self.ended == Some(Ended::Completed),
        }
    }
}

impl Check {
    pub(super) fn of(exit: Option<Exit>) -> Self {
        let code = exit.filter(|exit| !exit.timed_out).and_then(|exit| exit.code);
        Self { passed: code == Some(0), exit: code }
    }
}

/// What the model did, step by step, from the events as they come.
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: Vec<Step>,
    /// The request of each step.
    requests: Vec<u32>,
    /// Where each call stands.
    places: HashMap<u32, (usize, usize)>,
    pub(super) error: Option<String>,
    pub(super) check: Option<Check>,
}

impl Steps {
    pub(super) fn take(&mut self, body: &Body) {
        match body {
            Body::Reasoning(part) => add(&mut self.step(part.request).reasoning, &part.text),
            Body::Message(part) => add(&mut self.step(part.request).text, &part.text),
            Body::ToolCall(call) => {
                let (name, arguments) = (short(&call.name, 60), &call.arguments);
                let arguments = short(arguments, ARGUMENTS_CHARS_MAX);
                let step = self.step(call.request);
                step.calls.push(Call { name, arguments, verdict: String::new() });
                let place = step.calls.len() - 1;
                self.places.insert(call.call, (self.steps.len() - 1, place));
            }
            Body::Observation(seen) => {
                let place = self.places.get(&seen.call).copied();
                let call =
                    place.and_then(|(step, call)| self.steps.get_mut(step)?.calls.get_mut(call));
                if let Some(call) = call {
                    call.verdict = verdict(seen);
                }
            }
            Body::Error(error) => self.error = Some(short(&error.message, TEXT_CHARS_MAX)),
            Body::UserCommand(ran) => self.check = Some(Check::of(ran.exit)),
            _ => {}
        }
    }

    /// Whether the model has said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// The step of a request: the last one, or a new one.
    fn step(&mut self, request: u32) -> &mut Step {
        if self.requests.last() != Some(&request) {
            self.requests.push(request);
            self.steps.push(Step::default());
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

fn add(text: &mut String, more: &str) {
    let left = TEXT_CHARS_MAX.saturating_sub(text.chars().count());
    text.push_str(&short(more, left));
}

/// A text of at most so many characters.
fn short(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).collect();
    if short.len() < text.len() {
        short.pop();
        short.push('…');
    }
    short
}
