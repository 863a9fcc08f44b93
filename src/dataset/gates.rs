//! Quality gates: what keeps a session out of a dataset unless somebody says why it may stay.
//!
//! They need no people: each is told from the events alone. A session that fails one is left out
//! and named; a gate that is waived, with a reason, names what it would have left out.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use trajectory::event::{CallStatus, Ended};
use trajectory::{Body, Event, Message, Sample, SampleMessage};

#[cfg(test)]
mod tests;

/// Something that a session of a dataset should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Its last round did not end by itself, or not with an answer.
    Unfinished,
    /// A call without a result, or a result without a call.
    Unpaired,
    /// The same calls with the same results, over and over.
    Loops,
    /// Half of its calls or more were denied, or were of tools that it did not have.
    Refused,
    /// What an earlier session of the dataset is, word for word.
    Duplicates,
    /// Rows of more tokens than were asked for.
    Budget,
}

/// How often something has to come, one after the other, to be a loop.
const REPETITIONS: usize = 4;

/// No loop that is looked for has more calls than this in one turn.
const PERIOD_MAX: usize = 3;

impl Gate {
    /// Every gate there is.
    pub const ALL: [Self; 6] = [
        Self::Unfinished,
        Self::Unpaired,
        Self::Loops,
        Self::Refused,
        Self::Duplicates,
        Self::Budget,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Unpaired => "unpaired",
            Self::Loops => "loops",
            Self::Refused => "refused",
            Self::Duplicates => "duplicates",
            Self::Budget => "budget",
        }
    }

    /// What it finds, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Unfinished => "The last round did not come to an answer.",
            Self::Unpaired => "A call has no result, or a result no call.",
            Self::Loops => "The same calls with the same results, four times in a row or more.",
            Self::Refused => "Half of the calls or more were denied or of tools not on offer.",
            Self::Duplicates => "Word for word an earlier session of the dataset.",
            Self::Budget => "A row has more tokens than were asked for.",
        }
    }
}

/// Gates that are waived, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Waivers(pub BTreeMap<Gate, String>);

impl Waivers {
    /// Adds one, written `GATE=REASON`.
    ///
    /// # Errors
    /// When there is no such gate, or no reason is given.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (name, reason) = text.split_once('=').unwrap_or((text, ""));
        let Some(gate) = Gate::ALL.into_iter().find(|gate| gate.as_str() == name.trim()) else {
            let names = Gate::ALL.map(Gate::as_str).join(", ");
            return Err(format!("There is no gate {name:?}. There are {names}."));
        };
        if reason.trim().is_empty() {
            return Err(format!("A waiver needs a reason. Write --waive {name}=REASON."));
        }
        self.0.insert(gate, reason.trim().to_owned());
        Ok(())
    }
}

/// What a gate found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Sessions that failed it, by id.
    pub sessions: Vec<String>,
    /// Why they are in the dataset all the same; none when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// What all gates found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gates {
    pub(crate) waivers: Waivers,
    pub(crate) found: BTreeMap<Gate, Found>,
    seen: HashSet<blake3::Hash>,
}

impl Gates {
    pub(crate) fn new(waivers: &Waivers) -> Self {
        Self { waivers: waivers.clone(), ..Self::default() }
    }

    /// Whether a session may be in the dataset. Sessions come in the order of their ids.
    pub(crate) fn pass(&mut self, id: &str, events: &[Event], samples: &[Sample]) -> bool {
        let is_duplicate = !samples.is_empty() && self.seen.contains(&words(samples));
        let failed = [
            (Gate::Unfinished, is_unfinished(events)),
            (Gate::Unpaired, is_unpaired(events)),
            (Gate::Loops, has_loop(&exchanges(events))),
            (Gate::Refused, is_refused(events)),
            (Gate::Duplicates, is_duplicate),
        ];
        let mut may = true;
        for (gate, _) in failed.into_iter().filter(|(_, failed)| *failed) {
            may &= self.fail(gate, id);
        }
        if may {
            // What was left out cannot be doubled.
            self.seen.insert(words(samples));
        }
        may
    }

    /// Notes that a session failed a gate; whether it may stay all the same.
    pub(crate) fn fail(&mut self, gate: Gate, id: &str) -> bool {
        let waived = self.waivers.0.get(&gate).cloned();
        let found = self.found.entry(gate).or_default();
        found.waived = waived;
        if found.sessions.last().is_none_or(|last| last != id) {
            found.sessions.push(id.to_owned());
        }
        found.waived.is_some()
    }
}

/// The last round ended by itself, and its last word was an answer.
fn is_unfinished(events: &[Event]) -> bool {
    let rounds = events.iter().rev();
    let last = rounds.clone().find_map(|event| match &event.body {
        Body::RoundEnded(round) => Some(round.ended),
        // A round that has begun since has not ended.
        Body::Prompt(_) => Some(Ended::Interrupted),
        _ => None,
    });
    let answers = rounds.clone().find_map(|event| match &event.body {
        Body::Message(message) => Some(!message.interrupted && !message.text.trim().is_empty()),
        Body::ToolCall(_) | Body::Observation(_) | Body::Prompt(_) => Some(false),
        _ => None,
    });
    last != Some(Ended::Completed) || answers != Some(true)
}

fn is_unpaired(events: &[Event]) -> bool {
    let (mut open, mut known) = (HashSet::new(), HashSet::new());
    for event in events {
        match &event.body {
            Body::ToolCall(call) => {
                if !known.insert(call.call) {
                    return true;
                }
                open.insert(call.call);
            }
            Body::Observation(seen) if !open.remove(&seen.call) => return true,
            _ => {}
        }
    }
    !open.is_empty()
}

/// What was called and what came of it, in the order of the results.
fn exchanges(events: &[Event]) -> Vec<[&str; 3]> {
    let mut calls = HashMap::new();
    let mut exchanges = Vec::new();
    for event in events {
        match &event.body {
            Body::ToolCall(call) => {
                calls.insert(call.call, (call.name.as_str(), call.arguments.as_str()));
            }
            Body::Observation(seen) => {
                let call = calls.get(&seen.call);
                exchanges.extend(call.map(|(name, raw)| [*name, *raw, seen.shown.as_str()]));
            }
            // Who is told something new may try the same again.
            Body::Prompt(_) | Body::Steering(_) => exchanges.push(["", "", ""]),
            _ => {}
        }
    }
    exchanges
}

fn has_loop(exchanges: &[[&str; 3]]) -> bool {
    (1..=PERIOD_MAX).any(|period| {
        let mut run = 0;
        exchanges.iter().zip(exchanges.iter().skip(period)).any(|(before, now)| {
            run = if before == now && !now[0].is_empty() { run + 1 } else { 0 };
            run >= period * (REPETITIONS - 1)
        })
    })
}

fn is_refused(events: &[Event]) -> bool {
    let tools = events.iter().filter_map(|event| match &event.body {
        Body::ConfigChanged(config) => config.tools.as_ref(),
        _ => None,
    });
    let offered: HashSet<&str> = tools.flatten().map(|tool| tool.name.as_str()).collect();
    let (mut calls, mut refused) = (HashSet::new(), HashSet::new());
    for event in events {
        match &event.body {
            Body::ToolCall(call) => {
                calls.insert(call.call);
                if !offered.contains(call.name.as_str()) {
                    refused.insert(call.call);
                }
            }
            Body::Observation(seen) if seen.status == CallStatus::Denied => {
                refused.insert(seen.call);
            }
            _ => {}
        }
    }
    !calls.is_empty() && refused.len() * 2 >= calls.len()
}

/// All that was said, without what no two sessions share: ids and numbers.
fn words(samples: &[Sample]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut part = |kind: u8, text: &str| {
        hasher.update(&[kind]).update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    for SampleMessage { message, .. } in samples.iter().flat_map(|sample| &sample.messages) {
        match message {
            Message::System { content } => part(0, content),
            Message::User { content, attachments } => {
                part(1, content);
                attachments.iter().for_each(|attachment| part(2, &attachment.blake3));
            }
            Message::Tool { content, .. } => part(3, content),
            Message::Assistant { content, reasoning_content, reasoning, tool_calls, .. } => {
                part(4, content.as_deref().unwrap_or_default());
                let thought = reasoning_content.as_deref().or(reasoning.as_deref());
                part(5, thought.unwrap_or_default());
                for call in tool_calls {
                    part(6, &call.function.name);
                    part(7, &call.function.arguments);
                }
            }
        }
    }
    hasher.finalize()
}
