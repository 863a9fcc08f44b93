//! The `messages` format: one sample a line, `{"messages": […], "tools": […], …}`, as TRL reads
//! it: arguments are objects, reasoning is `reasoning_content`.
//!
//! A row's `train` says for each message whether it gets loss. A message is trained only when
//! every part of it may be, since this format knows nothing smaller than a message, and among those
//! of trainers only one that knows the text alone; what that costs is in the ledger.
//!
//! Reasoning that a model wrote between `<think>` and `</think>` stands in its text, where it was
//! sent back; here it is `reasoning_content` too, byte for byte. A message with images has a list
//! of parts as its content; the images are files beside this one.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use trajectory::event::{Attachment, Reasoning, ReasoningField, ReasoningForm};
use trajectory::{
    Body, Event, Message, Sample, SampleMessage, Span, SpanPart, ToolCallMessage, wrapped_arguments,
};

use crate::error::DatasetError;
use crate::export::Format;
use crate::images::Placed;
use crate::ledger::Ledger;
use crate::rows::Rows;
use crate::targets::{ARGUMENT_SPELLING, Draft, Trainer};
use crate::tokens::Tokens;

/// A row: a sample and where it comes from.
#[derive(Serialize)]
struct Row<'a> {
    messages: Vec<Chat<'a>>,
    tools: Vec<Value>,
    train: Vec<bool>,
    session: &'a str,
    sample: usize,
    row: usize,
    sampled_from: Option<&'a str>,
}

/// The reasoning of each reply, by its request.
pub(crate) type Thoughts<'a> = HashMap<u32, Vec<&'a Reasoning>>;

/// Says where an image of the sample lies.
pub(crate) type Place<'a> =
    dyn FnMut(&Attachment, &mut Ledger) -> Result<Placed, DatasetError> + 'a;

/// How rows of messages are made.
#[derive(Debug, Default)]
pub struct Messages {
    /// In the form of this trainer; of none: in our own.
    pub trainer: Option<Trainer>,
    /// What a row is.
    pub rows: Rows,
    /// The model whose tokens are counted, and how many a row may have.
    pub budget: Option<Box<Tokens>>,
}

impl Messages {
    pub(crate) fn format(&self) -> Format {
        self.trainer.map_or(Format::Messages, Format::Trainer)
    }
}

/// The reasoning that can be read, reply by reply.
pub(crate) fn thoughts(events: &[Event]) -> Thoughts<'_> {
    let mut thoughts = Thoughts::new();
    for event in events {
        if let Body::Reasoning(part) = &event.body
            && part.form != ReasoningForm::Encrypted
        {
            thoughts.entry(part.request).or_default().push(part);
        }
    }
    thoughts
}

/// A sample as a row, on one line, in the form of a trainer or in the one of this file; `None` when
/// no message of it would be trained.
pub(crate) fn row(
    (session, number, row): (&str, usize, usize),
    sample: &Sample,
    trainer: Option<Trainer>,
    thoughts: &Thoughts<'_>,
    place: &mut Place<'_>,
    ledger: &mut Ledger,
) -> Result<Option<String>, DatasetError> {
    let mut counted = Ledger::default();
    let of = |message| Train::of(message, trainer, &mut counted);
    let train: Vec<Train> = sample.messages.iter().map(of).collect();
    if train.iter().all(|train| *train == Train::Nothing) {
        let note = "Samples no message of which may be trained whole.";
        ledger.lose("samples_without_a_trained_message", 1, note);
        ledger.add_left_out(&counted);
        return Ok(None);
    }
    let mut said = Ledger::default();
    let chats: Result<Vec<Chat<'_>>, DatasetError> = sample
        .messages
        .iter()
        .map(|message| {
            let own = message.request.and_then(|request| thoughts.get(&request));
            chat(&message.message, own.map_or(&[], Vec::as_slice), place, &mut said)
        })
        .collect();
    let (chats, tools) = (chats?, sample.tools.iter().map(trajectory::ToolSpec::to_chat).collect());
    if let Some(trainer) = trainer {
        // What becomes of it there is counted there.
        said.lost.remove(ARGUMENT_SPELLING);
        let value = |chat: &Chat<'_>| serde_json::to_value(chat).unwrap_or_default();
        let messages = chats.iter().map(value).collect();
        let sampled_from = sample.model.as_deref();
        let origin = json!({
            "session": session, "sample": number, "row": row, "sampled_from": sampled_from,
        });
        let draft = Draft { sample, messages, tools, train, origin };
        let Some(formed) = trainer.form(draft, ledger) else {
            ledger.add_left_out(&counted);
            return Ok(None);
        };
        keep(&counted, &said, ledger);
        return Ok(Some(formed.to_string()));
    }
    let row = Row {
        train: train.into_iter().map(|train| train == Train::Everything).collect(),
        messages: chats,
        tools,
        session,
        sample: number,
        row,
        sampled_from: sample.model.as_deref(),
    };
    keep(&counted, &said, ledger);
    Ok(serde_json::to_string(&row).ok())
}

/// Counts a row that is in the export.
fn keep(counted: &Ledger, said: &Ledger, ledger: &mut Ledger) {
    ledger.add(counted);
    ledger.add(said);
    ledger.keep("samples");
}

/// What of a message gets loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Train {
    Nothing,
    Everything,
    /// Its text, and no call.
    Text,
}

impl Train {
    /// What of a message a form can train without training what must not be.
    fn of(message: &SampleMessage, trainer: Option<Trainer>, ledger: &mut Ledger) -> Self {
        if message.spans.is_empty() {
            return Self::Nothing;
        }
        let trainable = count_parts(message, ledger);
        if trainable == message.spans.len() {
            ledger.keep("trained_messages");
            return Self::Everything;
        }
        let is_text = trainer.is_some_and(Trainer::trains_text_alone) && has_text_apart(message);
        if is_text {
            // A message that is trained, if not all of it.
            ledger.keep("trained_messages");
            ledger.keep("trained_texts");
        }
        ledger.lose(
            "trainable_parts_beside_untrained_ones",
            (trainable - usize::from(is_text)) as u64,
            "Loss is per message here, and another part of the same message may not be trained.",
        );
        if is_text { Self::Text } else { Self::Nothing }
    }
}

/// How many parts of a message may be trained.
fn count_parts(message: &SampleMessage, ledger: &mut Ledger) -> usize {
    let trainable = message.spans.iter().filter(|span| span.untrained.is_none()).count();
    for span in &message.spans {
        match span.untrained {
            Some(why) => ledger.untrain(why.as_str()),
            None => ledger.keep("trainable_parts"),
        }
    }
    trainable
}

/// Whether the text of a message may be trained, and is told from all before it: templates write a
/// thought in front of it.
fn has_text_apart(message: &SampleMessage) -> bool {
    let is_thought = |span: &Span| span.part == SpanPart::Reasoning;
    let is_text = |span: &Span| span.part == SpanPart::Content && span.untrained.is_none();
    let Message::Assistant {
        content: Some(text), reasoning_content: None, reasoning: None, ..
    } = &message.message
    else {
        return false;
    };
    !text.is_empty() && message.spans.iter().any(is_text) && !message.spans.iter().any(is_thought)
}

/// A message as trainers read it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Chat<'a> {
    Plain(&'a Message),
    Text {
        role: &'static str,
        content: String,
    },
    Parts {
        role: &'static str,
        content: Vec<Value>,
    },
    Assistant {
        role: &'static str,
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning_content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
}

#[derive(Serialize)]
pub(crate) struct Call<'a> {
    id: &'a str,
    r#type: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Box<RawValue>,
}

/// A message as trainers read it.
pub(crate) fn chat<'a>(
    message: &'a Message,
    thoughts: &[&'a Reasoning],
    place: &mut Place<'_>,
    ledger: &mut Ledger,
) -> Result<Chat<'a>, DatasetError> {
    ledger.keep("messages");
    match message {
        Message::Assistant { .. } => Ok(assistant(message, thoughts, ledger)),
        Message::User { content, attachments } if !attachments.is_empty() => {
            let placed = attachments.iter().map(|attachment| place(attachment, ledger));
            let placed: Vec<Placed> = placed.collect::<Result<_, _>>()?;
            Ok(user(content, attachments, &placed, ledger))
        }
        _ => Ok(Chat::Plain(message)),
    }
}

/// A message with attachments: a list of parts, or the text that was sent where none was shown.
fn user<'a>(
    content: &str,
    attachments: &[Attachment],
    placed: &[Placed],
    ledger: &mut Ledger,
) -> Chat<'a> {
    let role = "user";
    if !placed.iter().any(|placed| matches!(placed, Placed::At(_))) {
        let mut lines: Vec<String> =
            (!content.is_empty()).then(|| content.to_owned()).into_iter().collect();
        lines.extend(attachments.iter().map(Attachment::placeholder));
        return Chat::Text { role, content: lines.join("\n") };
    }
    let note = "Messages whose content is a list of parts, for their images; that of all others is \
                a text.";
    ledger.lose("content_of_one_type", 1, note);
    let parts = attachments.iter().zip(placed).map(|(attachment, placed)| match placed {
        Placed::At(path) => json!({ "type": "image", "image": path }),
        Placed::Missing | Placed::NotShown => {
            json!({ "type": "text", "text": attachment.placeholder() })
        }
    });
    let text = json!({ "type": "text", "text": content });
    Chat::Parts { role, content: std::iter::once(text).chain(parts).collect() }
}

fn assistant<'a>(
    message: &'a Message,
    thoughts: &[&'a Reasoning],
    ledger: &mut Ledger,
) -> Chat<'a> {
    let Message::Assistant { content, reasoning_content, reasoning, tool_calls, .. } = message
    else {
        return Chat::Plain(message);
    };
    let mut content = content.as_deref();
    let mut inline = None;
    match content.map(|content| take_out(content, thoughts)) {
        Some(Inline::Apart { thought, rest }) => {
            let note = "Reasoning that stood inside the text: here it is `reasoning_content`, and \
                        the tags around it are the template's to write.";
            ledger.lose("inline_reasoning", 1, note);
            (inline, content) = (Some(thought), Some(rest));
        }
        Some(Inline::Within) => {
            let note = "Replies whose reasoning stands in the middle of the text, and stays there.";
            ledger.lose("inline_reasoning_in_the_middle", 1, note);
        }
        Some(Inline::None) | None => {}
    }
    if reasoning.is_some() {
        let note = "Reasoning that came under the key `reasoning`: here it is `reasoning_content`.";
        ledger.lose("reasoning_key", 1, note);
        let both = u64::from(reasoning_content.is_some());
        ledger.lose("reasoning_under_two_keys", both, "Of two reasonings of a reply, the second.");
    }
    Chat::Assistant {
        role: "assistant",
        content,
        reasoning_content: reasoning_content.as_deref().or(reasoning.as_deref()).or(inline),
        tool_calls: tool_calls.iter().map(|call| self::call(call, ledger)).collect(),
    }
}

/// Reasoning within the text of a reply.
#[derive(Debug, PartialEq, Eq)]
enum Inline<'a> {
    /// There is none.
    None,
    /// It stands before the text; what it and the rest are, byte for byte.
    Apart { thought: &'a str, rest: &'a str },
    /// It cannot be told apart without changing what was written.
    Within,
}

fn take_out<'a>(content: &'a str, thoughts: &[&'a Reasoning]) -> Inline<'a> {
    let is_inline = |thought: &&&Reasoning| {
        matches!(thought.field, ReasoningField::Think | ReasoningField::ThinkOpened)
    };
    let inline: Vec<&&Reasoning> = thoughts.iter().filter(is_inline).collect();
    let thought = match inline.as_slice() {
        [] => return Inline::None,
        [thought] => *thought,
        _ => return Inline::Within,
    };
    let opening = if thought.field == ReasoningField::Think { "<think>" } else { "" };
    let rest = content
        .strip_prefix(opening)
        .and_then(|content| content.strip_prefix(thought.text.as_str()))
        .and_then(|content| content.strip_prefix("</think>"));
    match rest {
        Some(rest) if thoughts.len() == 1 => Inline::Apart { thought: &thought.text, rest },
        _ => Inline::Within,
    }
}

fn call<'a>(call: &'a ToolCallMessage, ledger: &mut Ledger) -> Call<'a> {
    ledger.keep("tool_calls");
    let arguments = arguments(&call.function.arguments, ledger);
    let function = Function { name: &call.function.name, arguments };
    Call { id: &call.id, r#type: &call.kind, function }
}

/// The arguments as an object: in the model's own spelling wherever that fits on a line.
fn arguments(raw: &str, ledger: &mut Ledger) -> Box<RawValue> {
    let raw = raw.trim();
    let object = match serde_json::from_str::<Value>(raw) {
        Ok(object @ Value::Object(_)) => {
            if !raw.contains(['\n', '\r'])
                && let Ok(as_sent) = RawValue::from_string(raw.to_owned())
            {
                return as_sent;
            }
            let note = "Line ends between the arguments' tokens, the spelling of their numbers.";
            ledger.lose(ARGUMENT_SPELLING, 1, note);
            object
        }
        Err(_) if raw.is_empty() => json!({}),
        // The fold has made an object of what was malformed; a message made elsewhere gets the
        // same one, because a column whose values have two types cannot be loaded.
        _ => return RawValue::from_string(wrapped_arguments(raw)).unwrap_or_default(),
    };
    serde_json::value::to_raw_value(&object).unwrap_or_default()
}

/// Counts what was said and is in no sample: replies cut short at the end, of reasoning alone, or
/// made of nothing that may be trained, and prompts that nobody answered.
pub(crate) fn count_left_out(events: &[Event], samples: &[Sample], ledger: &mut Ledger) {
    let held: HashSet<u64> = samples
        .iter()
        .flat_map(|sample| &sample.messages)
        .flat_map(|message| message.seqs.iter().copied())
        .collect();
    let missing = |event: &&Event| !held.contains(&event.seq);
    let (mut replies, mut prompts, mut seen) = (HashSet::new(), 0, 0);
    for event in events.iter().filter(missing) {
        match &event.body {
            Body::Reasoning(part) => drop(replies.insert(part.request)),
            Body::Message(part) => drop(replies.insert(part.request)),
            Body::ToolCall(call) => drop(replies.insert(call.request)),
            Body::Prompt(_) | Body::Steering(_) | Body::UserEdit(_) | Body::UserCommand(_) => {
                prompts += 1;
            }
            Body::Grant(grant) => prompts += u64::from(!grant.shown.is_empty()),
            Body::Observation(_) => seen += 1,
            _ => {}
        }
    }
    let replies = replies.len() as u64;
    ledger.lose("replies_in_no_sample", replies, "Replies after which nothing could be trained.");
    ledger.lose("user_messages_in_no_sample", prompts, "What the user said after the last reply.");
    ledger.lose("observations_in_no_sample", seen, "What was seen after the last trained reply.");
}

/// Counts what of the log no message holds.
pub(crate) fn count_losses(events: &[Event], ledger: &mut Ledger) {
    let mut parts: HashMap<u32, Vec<&'static str>> = HashMap::new();
    for event in events {
        match &event.body {
            Body::Reasoning(part) => {
                parts.entry(part.request).or_default().push("reasoning");
                let signatures = u64::from(part.signature.is_some());
                ledger.lose("reasoning_signatures", signatures, "Providers' signatures.");
                let of = |form| u64::from(part.form == form);
                let hidden = of(ReasoningForm::Encrypted);
                ledger.lose("encrypted_reasoning", hidden, "Reasoning that nobody can read.");
                let note = "Reasoning that was handed out as a summary: what was sampled is not \
                            known, and the message gets no loss.";
                ledger.lose("summarised_reasoning", of(ReasoningForm::Summary), note);
                let items = u64::from(part.field == ReasoningField::Item);
                let note = "Reasoning items of the Responses API: here their text alone.";
                ledger.lose("reasoning_items", items, note);
            }
            Body::Message(part) => parts.entry(part.request).or_default().push("content"),
            Body::ToolCall(call) => {
                parts.entry(call.request).or_default().push("tool_calls");
                let note = "Freeform calls: here their input is the one argument of a function.";
                ledger.lose("freeform_calls", u64::from(call.freeform), note);
                let signatures = u64::from(call.signature.is_some());
                ledger.lose("call_signatures", signatures, "Providers' signatures of calls.");
            }
            Body::Observation(_) => {
                let note = "Exit codes, durations and complete outputs of observations.";
                ledger.lose("observation_details", 1, note);
            }
            Body::Prompt(_)
            | Body::Steering(_)
            | Body::UserCommand(_)
            | Body::UserEdit(_)
            | Body::Grant(_) => {}
            Body::Compaction(_) | Body::ContextEdit(_) | Body::Rewind(_) => {
                let note = "Changes of the context: the samples are cut there.";
                ledger.lose("context_changes", 1, note);
            }
            other => {
                let name = format!("events_{}", other.kind());
                ledger.lose(&name, 1, "Events that no message holds.");
            }
        }
    }
    let out_of_order = parts.values().filter(|kinds| !in_message_order(kinds)).count();
    let note = "Replies whose parts came in another order than reasoning, text, calls.";
    ledger.lose("order_of_parts", out_of_order as u64, note);
    let requests = parts.len() as u64;
    let note = "Exchanges with the model: raw streams, usage and times.";
    ledger.lose("model_exchanges", requests, note);
}

fn in_message_order(kinds: &[&str]) -> bool {
    let rank = |kind: &&str| match *kind {
        "reasoning" => 0,
        "content" => 1,
        _ => 2,
    };
    kinds.iter().map(rank).is_sorted()
}
