//! A model that plays a script: the same words every time, with the tools really running.
//!
//! It keeps no position. Where the script stands is read from the messages of each request, so a
//! resumed, rewound or forked session goes on at the right place. What it "sends" is the stream a
//! server would have sent, read by the same decoder; that stream is the raw response on record.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use trajectory::event::{ModelChanged, ThinkTags};
use trajectory::{Message, Progress};

use crate::api::Api;
use crate::encode::{Encoder, Request};
use crate::endpoint::send;
use crate::error::ModelError;
use crate::exchange::Exchange;
use crate::failure::{FailureKind, Fault, tame};
use crate::peer::Peer;
use crate::profile::Profile;
use crate::receive::{Ending, Head};
use crate::script::{Script, Turn};

/// The name under which it answers, and its provider's.
const NAME: &str = "scripted";
const WORDS_PER_PIECE: usize = 3;
const ARGUMENT_CHARACTERS_PER_PIECE: usize = 64;
/// The longest an observation is quoted when it is not the expected one.
const QUOTE_CHARACTERS_MAX: usize = 600;

/// A model that plays a script.
#[derive(Debug)]
pub struct ScriptedModel {
    file: String,
    script: Script,
    encoder: Encoder,
}

impl ScriptedModel {
    /// Reads a script from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is no script: file and line are named.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Takes a script that is at hand; `file` is its name in messages.
    ///
    /// # Errors
    /// When it is no script: the line is named.
    pub fn parse(file: &str, text: &str) -> Result<Self, ModelError> {
        let script = Script::parse(file, text)?;
        // It sees no images, and what a script says in angle brackets is text.
        let profile = Profile {
            name: NAME.to_owned(),
            images: false,
            think: ThinkTags::Plain,
            ..Profile::default()
        };
        let encoder = Encoder::new(NAME, Api::Chat, profile, &Map::new())?;
        Ok(Self { file: file.to_owned(), script, encoder })
    }

    /// The same script at another pace: a pause before each piece of a reply.
    #[must_use]
    pub fn with_delay(mut self, delay_ms: u64) -> Self {
        self.script.delay_ms = delay_ms;
        self
    }

    /// The prompts, round by round, for a demo that types them.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        self.script.rounds.iter().map(|round| round.prompt.as_str())
    }

    /// The script's title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.script.title
    }

    /// Who wrote the script, in its own words.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.script.about
    }

    /// Where the task comes from, and under which licence.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.script.source.as_deref()
    }

    /// The event that says which model answers from here on.
    #[must_use]
    pub fn description(&self) -> ModelChanged {
        ModelChanged { provider: NAME.to_owned(), profile: None, ..self.encoder.description() }
    }

    /// What writes this model's requests.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Says the next turn: the work within [`crate::Model::ask`]. A fault when the script has no
    /// such turn, or what came is not what it expects.
    pub(crate) async fn play(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let (place, turn) = self.next_turn(request)?;
        let peer = Peer::named(&self.file);
        let delay = Duration::from_millis(self.script.delay_ms);
        let mut out = Vec::new();
        exchange.begin(Head::of_stream(), false);
        for event in stream(place, turn) {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let pushed = exchange.push(event.as_bytes(), &mut out, &peer);
            send(sink, &mut out).await;
            pushed?;
        }
        exchange.end(Ending::Clean, &mut out, &peer)
    }

    /// The turn that answers this request, if everything so far went as scripted.
    fn next_turn(&self, request: &Request) -> Result<(Place, &Turn), Fault> {
        let messages = request.messages.iter().map(|json| serde_json::from_str(json));
        let messages: Vec<Message> = messages
            .collect::<Result<_, _>>()
            .map_err(|error| self.fault(format!("cannot read the request's messages ({error})")))?;
        let place = self.place(&messages);
        let numbers = format!("round {}, turn {}", place.round + 1, place.turn + 1);
        let turn = self.script.rounds.get(place.round).and_then(|r| r.turns.get(place.turn));
        let Some(turn) = turn else {
            let has = self.script.rounds.len();
            return Err(self.fault(format!("has nothing for {numbers} (it has {has} rounds)")));
        };
        let observations = since_last_reply(&messages);
        let missing = turn
            .expect
            .iter()
            .find(|text| !observations.iter().any(|seen| seen.contains(text.as_str())));
        match missing {
            None => Ok((place, turn)),
            Some(text) => {
                let came = match observations.as_slice() {
                    [] => "no observation".to_owned(),
                    seen => format!("{:?}", tame(&seen.join(" | "), QUOTE_CHARACTERS_MAX)),
                };
                Err(self
                    .fault(format!("{numbers} expected {text:?} to be observed, but got {came}")))
            }
        }
    }

    /// A prompt of the script begins its round. Any other prompt begins the next round when the
    /// current one is finished, and is taken for a remark when it is not.
    fn place(&self, messages: &[Message]) -> Place {
        let rounds = &self.script.rounds;
        let mut place = Place { round: 0, turn: 0 };
        let mut begun = false;
        for message in messages {
            match message {
                Message::User { content, .. } => {
                    let first = if begun { place.round + 1 } else { 0 };
                    let same = |prompt: &str| prompt.trim() == content.trim();
                    let named = rounds.iter().skip(first).position(|r| same(&r.prompt));
                    let finished =
                        rounds.get(place.round).is_none_or(|round| place.turn >= round.turns.len());
                    if let Some(skipped) = named {
                        place = Place { round: first + skipped, turn: 0 };
                    } else if begun && finished {
                        place = Place { round: place.round + 1, turn: 0 };
                    }
                    begun = true;
                }
                Message::Assistant { .. } => place.turn += 1,
                Message::System { .. } | Message::Tool { .. } => {}
            }
        }
        place
    }

    fn fault(&self, what: String) -> Fault {
        Fault::new(
            FailureKind::Unscripted,
            format!("The script {} {what}.", self.file),
            "Mend the script or what the tools do, and play it from the start.",
        )
    }
}

/// A place in the script, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    round: usize,
    turn: usize,
}

fn since_last_reply(messages: &[Message]) -> Vec<&str> {
    let mut observations: Vec<&str> = messages
        .iter()
        .rev()
        .take_while(|message| !matches!(message, Message::Assistant { .. }))
        .filter_map(|message| match message {
            Message::Tool { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    observations.reverse();
    observations
}

/// The events of a turn, as a server would have sent them.
fn stream(place: Place, turn: &Turn) -> Vec<String> {
    let name = format!("r{}t{}", place.round + 1, place.turn + 1);
    let event = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": format!("script-{name}"),
            "object": "chat.completion.chunk",
            "model": NAME,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        format!("data: {chunk}\n\n")
    };
    let mut deltas = Vec::new();
    for piece in words(turn.reasoning.as_deref().unwrap_or_default()) {
        deltas.push(json!({"reasoning_content": piece}));
    }
    for piece in words(turn.text.as_deref().unwrap_or_default()) {
        deltas.push(json!({"content": piece}));
    }
    for (index, call) in turn.calls.iter().enumerate() {
        let id = format!("call_{name}c{}", index + 1);
        let function = json!({"name": call.name, "arguments": ""});
        let first = json!({"index": index, "id": id, "type": "function", "function": function});
        deltas.push(json!({"tool_calls": [first]}));
        let arguments = Value::Object(call.arguments.clone()).to_string();
        for piece in characters(&arguments) {
            let next = json!({"index": index, "function": {"arguments": piece}});
            deltas.push(json!({"tool_calls": [next]}));
        }
    }
    let reason = if turn.calls.is_empty() { "stop" } else { "tool_calls" };
    let mut events: Vec<String> =
        deltas.into_iter().map(|delta| event(delta, Value::Null)).collect();
    events.push(event(json!({}), reason.into()));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// A few words a piece, white space kept.
fn words(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    words.chunks(WORDS_PER_PIECE).map(<[&str]>::concat).collect()
}

fn characters(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let pieces = characters.chunks(ARGUMENT_CHARACTERS_PER_PIECE);
    pieces.map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests;
