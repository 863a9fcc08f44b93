//! The pre-tokenized target: `tokens.jsonl`, one row a line, `{"input_ids": […], "labels": […], …}`.
//!
//! Labels are the ids themselves where the model wrote them and -100 elsewhere, so a trainer needs
//! no template and no mask. Loss is by parts here: a denied call beside a good thought costs the
//! call alone. A row says where it comes from: the session, and for each reply that is trained its
//! tokens, its request and its events.
//!
//! Where the server that sampled a reply gave its tokens, the row has exactly these, however their
//! text would be cut; the ledger counts them, and says why others were cut from their text.
//!
//! A row that is longer than asked for is left out and named, never cut: a reply without its
//! beginning is another lesson.

use std::collections::HashMap;

use chat::{Dialect, Masked, Origin, Part, Unfit, Wanted};
use record::ReplyTokens;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trajectory::event::Attachment;
use trajectory::{EventId, Message, Sample, SampleMessage, SpanPart, ToolCallMessage, ToolSpec};

use crate::error::DatasetError;
use crate::export::Format;
use crate::facts::Facts;
use crate::images::Placed;
use crate::ledger::Ledger;
use crate::messages::{self, Thoughts};
use crate::recording::Recording;
use crate::rows::Rows;
use crate::stats::{self, RowFacts};
use crate::write::{Pass, Unseen};

/// The label of a token that is not trained.
pub(crate) const UNTRAINED: i64 = -100;

/// For which model tokens are written, or counted.
#[derive(Debug)]
pub struct Tokens {
    /// The model's tokenizer and template.
    pub dialect: Dialect,
    /// Longer rows are left out.
    pub tokens_max: Option<usize>,
}

impl Tokens {
    /// How many tokens a row is for the model, where it is written as messages. An image counts as
    /// the line of text that would stand in its place.
    pub(crate) fn count(
        &self,
        recording: &Recording,
        (sample, row): (usize, &Sample),
        thoughts: &Thoughts<'_>,
        holds_reasoning: bool,
    ) -> Result<usize, DatasetError> {
        let none = Thoughts::new();
        let is_within = holds_reasoning && self.dialect.drops(Part::Reasoning);
        let thoughts = if is_within { &none } else { thoughts };
        let mut messages = chats(row, thoughts, &mut Ledger::default())?;
        if !holds_reasoning {
            for fields in messages.iter_mut().filter_map(Value::as_object_mut) {
                fields.shift_remove("reasoning_content");
            }
        }
        let tools: Vec<Value> = row.tools.iter().map(ToolSpec::to_chat).collect();
        let conversation = self.dialect.conversation(&messages, &tools, recording.began_s());
        let text = conversation.and_then(|it| self.dialect.template().render(&it, false));
        let tokens = text.and_then(|text| self.dialect.tokenizer().encode(&text));
        let session = || recording.name.clone();
        tokens.map(|tokens| tokens.ids.len()).map_err(|error| DatasetError::Chat {
            session: session(),
            sample,
            error,
        })
    }
}

/// A row that was too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverBudget {
    /// The session.
    pub session: String,
    /// The sample of it, from 0.
    pub sample: usize,
    /// The row of the sample, from 0.
    pub row: usize,
    /// How many tokens it has.
    pub tokens: usize,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) input_ids: Vec<u32>,
    pub(crate) labels: Vec<i64>,
    pub(crate) session: String,
    pub(crate) sample: usize,
    pub(crate) row: usize,
    sampled_from: Option<String>,
    pub(crate) replies: Vec<RowReply>,
}

/// A reply of which something is trained.
#[derive(Serialize, Deserialize)]
pub(crate) struct RowReply {
    /// Its first token and the one after its last.
    tokens: [usize; 2],
    /// They are the ones that the model sampled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sampled: bool,
    request: Option<u32>,
    events: Vec<EventId>,
}

/// Writes `tokens.jsonl` and reads it back.
pub(crate) fn write(
    pass: &mut Pass<'_>,
    target: &Tokens,
    rows: Rows,
) -> Result<Vec<RowFacts>, DatasetError> {
    let mut lines = pass.lines(Format::Tokens)?;
    for chosen in pass.chosen() {
        let Some(recording) = pass.open(chosen)? else { continue };
        let mut session = Session::of(recording)?;
        let samples = std::mem::take(&mut session.recording.samples);
        let events = std::mem::take(&mut session.recording.events);
        // A template without a place for reasoning was given it within the text, and so it stays.
        let thoughts = if target.dialect.drops(Part::Reasoning) {
            Thoughts::new()
        } else {
            messages::thoughts(&events)
        };
        for (number, sample) in samples.iter().enumerate() {
            if session.shows_images(sample)? {
                let note = "Samples in which the model was shown images: tokens cannot hold them.";
                pass.ledger.lose("samples_with_images", 1, note);
                continue;
            }
            for (row, part) in rows.of(sample).iter().enumerate() {
                let place = (number, row);
                let line = session.line(part, place, (target, &thoughts), pass)?;
                let Some(line) = line else { continue };
                let Facts { split, rows, .. } = &mut session.recording.facts;
                lines.put(split.as_deref(), &session.recording.name, &line)?;
                *rows += 1;
            }
        }
        pass.sessions.push(session.recording.facts);
    }
    lines.finish(|row| stats::read(Format::Tokens, row))
}

/// A session that is exported.
struct Session {
    recording: Recording,
    ids: HashMap<u64, EventId>,
    /// What was sampled for each request, as far as it is on record.
    sampled: HashMap<u32, Sampled>,
    began_s: i64,
}

/// The tokens of a reply.
struct Sampled {
    tokenizer: Option<String>,
    /// How many tokens its prompt had, and a digest over them.
    prompt: Option<(usize, blake3::Hash)>,
    ids: Vec<u32>,
}

impl Session {
    fn of(recording: Recording) -> Result<Self, DatasetError> {
        let ids = recording.events.iter().map(|event| (event.seq, event.id)).collect();
        let mut sampled = HashMap::new();
        recording.archive.reply_tokens(&mut |tokens| {
            let ReplyTokens { request, tokenizer, prompt, sampled: ids } = tokens;
            let prompt = prompt.map(|prompt| (prompt.len(), digest(&prompt)));
            sampled.insert(request, Sampled { tokenizer, prompt, ids });
        })?;
        Ok(Self { ids, sampled, began_s: recording.began_s(), recording })
    }

    fn sampled_for(&self, message: &SampleMessage) -> Option<&Sampled> {
        message.request.and_then(|request| self.sampled.get(&request))
    }

    /// Whether an image stands in the sample as an image, not as a line of text.
    fn shows_images(&self, sample: &Sample) -> Result<bool, DatasetError> {
        let mut unseen = Unseen::default();
        for message in &sample.messages {
            let Message::User { attachments, .. } = &message.message else { continue };
            for attachment in attachments {
                if !unseen.holds(attachment, sample, &self.recording.archive)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A row; `None` when nothing of it is trained, or it is too long.
    fn line(
        &self,
        sample: &Sample,
        (number, row): (usize, usize),
        (target, thoughts): (&Tokens, &Thoughts<'_>),
        pass: &mut Pass<'_>,
    ) -> Result<Option<String>, DatasetError> {
        // What is counted of a row is in the export only when the row is.
        let (mut said, mut ledger) = (Ledger::default(), Ledger::default());
        let chats = chats(sample, thoughts, &mut said)?;
        let wanted: Vec<Wanted> = sample
            .messages
            .iter()
            .zip(&chats)
            .map(|(message, chat)| wanted(message, chat, &mut ledger))
            .collect();
        let tools: Vec<Value> = sample.tools.iter().map(ToolSpec::to_chat).collect();
        let sampled: Vec<Option<&[u32]>> = sample
            .messages
            .iter()
            .map(|message| self.sampled_for(message).map(|it| it.ids.as_slice()))
            .collect();
        let conversation = (chats.as_slice(), tools.as_slice());
        let masked = target.dialect.mask_sampled(conversation, &wanted, &sampled, self.began_s);
        let masked = masked.map_err(|error| DatasetError::Chat {
            session: self.recording.name.clone(),
            sample: number,
            error,
        })?;
        count(&masked, &mut ledger);
        self.count_origins(&masked, sample, target.dialect.tokenizer().hash(), &mut ledger);
        count_respelled(&masked, sample, &mut ledger);
        if masked.replies.is_empty() {
            pass.ledger.add_left_out(&ledger);
            let note = "Rows in which nothing may be trained.";
            pass.ledger.lose("rows_without_a_trained_reply", 1, note);
            return Ok(None);
        }
        let tokens = masked.ids.len();
        if !pass.fits(&self.recording.name, (number, row), tokens, target.tokens_max) {
            return Ok(None);
        }
        pass.ledger.add(&said);
        pass.ledger.add(&ledger);
        *pass.ledger.kept.entry("tokens".to_owned()).or_default() += tokens as u64;
        let trained = masked.trained.iter().filter(|trained| **trained).count() as u64;
        *pass.ledger.kept.entry("trained_tokens".to_owned()).or_default() += trained;
        pass.ledger.keep("rows");
        Ok(serde_json::to_string(&self.row(sample, (number, row), masked)).ok())
    }

    /// Counts which replies are the tokens that were sampled, and why others are not. A recording
    /// without any says nothing of it.
    fn count_origins(&self, masked: &Masked, sample: &Sample, target: &str, ledger: &mut Ledger) {
        if self.sampled.is_empty() {
            return;
        }
        for reply in &masked.replies {
            let sampled = self.sampled_for(&sample.messages[reply.message]);
            let by = sampled.and_then(|it| it.tokenizer.as_deref());
            let (what, note) = match reply.origin {
                Origin::Sampled => {
                    ledger.keep("replies_as_sampled");
                    let prompt = sampled.and_then(|it| it.prompt);
                    let same = |(count, digest_of): (usize, blake3::Hash)| {
                        count == reply.tokens.start && digest(&masked.ids[..count]) == digest_of
                    };
                    if prompt.is_none_or(same) {
                        continue;
                    }
                    (
                        "prompts_in_other_tokens",
                        "Replies as they were sampled whose prompt stands here in other tokens \
                         than the model read.",
                    )
                }
                Origin::OtherText if by.is_some_and(|by| by != target) => (
                    "replies_of_another_tokenizer",
                    "Replies whose text was cut into tokens, since another tokenizer sampled them.",
                ),
                Origin::OtherText => (
                    "replies_the_template_spells",
                    "Replies whose text was cut into tokens, since the template spells them \
                     otherwise than they were sampled.",
                ),
                Origin::Text => (
                    "replies_of_unknown_tokens",
                    "Replies whose text was cut into tokens, since those that were sampled are not \
                     on record.",
                ),
            };
            ledger.lose(what, 1, note);
        }
    }

    fn row(&self, sample: &Sample, (number, row): (usize, usize), masked: Masked) -> Row {
        let labels = masked.ids.iter().zip(&masked.trained);
        let labels = labels.map(|(id, trained)| if *trained { i64::from(*id) } else { UNTRAINED });
        let replies = masked.replies.iter().map(|reply| {
            let message = &sample.messages[reply.message];
            RowReply {
                tokens: [reply.tokens.start, reply.tokens.end],
                sampled: reply.origin == Origin::Sampled,
                request: message.request,
                events: message.seqs.iter().filter_map(|seq| self.ids.get(seq)).copied().collect(),
            }
        });
        Row {
            labels: labels.collect(),
            replies: replies.collect(),
            input_ids: masked.ids,
            session: self.recording.name.clone(),
            sample: number,
            row,
            sampled_from: sample.model.clone(),
        }
    }
}

/// A digest over tokens.
fn digest(ids: &[u32]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
    hasher.finalize()
}

/// The messages as templates read them.
fn chats(
    sample: &Sample,
    thoughts: &Thoughts<'_>,
    ledger: &mut Ledger,
) -> Result<Vec<Value>, DatasetError> {
    let mut place = |_: &Attachment, _: &mut Ledger| Ok(Placed::NotShown);
    let chat = |message: &SampleMessage| {
        let own = message.request.and_then(|request| thoughts.get(&request));
        let own = own.map_or(&[][..], Vec::as_slice);
        let chat = messages::chat(&message.message, own, &mut place, ledger)?;
        Ok(serde_json::to_value(&chat).unwrap_or_default())
    };
    sample.messages.iter().map(chat).collect()
}

/// What of a message is trained, from what may be.
fn wanted(message: &SampleMessage, chat: &Value, ledger: &mut Ledger) -> Wanted {
    for span in &message.spans {
        match span.untrained {
            Some(why) => ledger.untrain(why.as_str()),
            None => ledger.keep("trainable_parts"),
        }
    }
    if !message.is_trained() {
        return Wanted::Nothing;
    }
    if message.spans.iter().all(|span| span.untrained.is_none()) {
        return Wanted::Everything;
    }
    let may = |part: SpanPart| {
        let span = message.spans.iter().find(|span| span.part == part);
        span.is_none_or(|span| span.untrained.is_none())
    };
    let (reasoning, content) = (may(SpanPart::Reasoning), may(SpanPart::Content));
    let calls = chat["tool_calls"].as_array().map_or(0, Vec::len);
    Wanted::Parts {
        reasoning,
        // Reasoning that stands within the text is trained with it or not at all.
        content: content && (reasoning || !chat["reasoning_content"].is_null()),
        calls: (0..calls).map(|place| may(SpanPart::ToolCall(place))).collect(),
    }
}

fn count(masked: &Masked, ledger: &mut Ledger) {
    for reply in &masked.replies {
        ledger.keep("trained_replies");
        let note = "Replies whose first token is not trained: it stands across the end of the \
                    prompt.";
        ledger.lose("first_tokens_across_the_prompt", u64::from(reply.straddles), note);
    }
    for (_, unfit) in &masked.unfit {
        let (what, note) = match unfit {
            Unfit::SpecialToken(_) => (
                "replies_that_spell_control_tokens",
                "Replies that spell a special token: it would be read as control.",
            ),
            Unfit::Changed => (
                "replies_the_template_changes",
                "Replies that the template writes otherwise than the model did.",
            ),
            Unfit::PartsTogether => (
                "replies_whose_parts_cannot_be_told_apart",
                "Replies of which only a part may be trained, and it cannot be told where it ends.",
            ),
        };
        ledger.lose(what, 1, note);
    }
    let note = "Messages of users and tools that spell a special token: it is read as control here, \
                and perhaps it was not where the model was served.";
    ledger.lose("context_that_spells_control_tokens", masked.spelled as u64, note);
    let note = "Replies without reasoning that the template writes with an empty thought, which is \
                trained with them.";
    ledger.lose("empty_thoughts", masked.empty_thoughts as u64, note);
    if masked.stop_added {
        ledger.keep("stops_added");
    }
}

/// Templates write arguments from their values: with other space, other escapes, or as tags.
fn count_respelled(masked: &Masked, sample: &Sample, ledger: &mut Ledger) {
    for reply in &masked.replies {
        let SampleMessage { message, spans, .. } = &sample.messages[reply.message];
        let Message::Assistant { tool_calls, .. } = message else { continue };
        let text = &masked.text[reply.bytes.clone()];
        let is_trained = |place: usize| {
            let mut own = spans.iter().filter(|span| span.part == SpanPart::ToolCall(place));
            own.all(|span| span.untrained.is_none())
        };
        let differs = |(place, call): &(usize, &ToolCallMessage)| {
            is_trained(*place) && !text.contains(call.function.arguments.trim())
        };
        let note = "Calls whose arguments the template spells otherwise than the model did.";
        let count = tool_calls.iter().enumerate().filter(differs).count();
        ledger.lose("arguments_the_template_spells", count as u64, note);
    }
}
