//! Held-out prompts, answered by the model as it is now: does it make calls that can be read, and
//! of the tool that was called?
//!
//! A prompt is everything before a reply that the recorded model wrote with a call in it. The reply
//! is generated greedily, so that the same model gives the same rates, and read as its family
//! writes calls. One that was cut short has the call that can be read in it, or none.

use std::sync::atomic::{AtomicBool, Ordering};

use chat::{Dialect, Format};
use serde_json::{Map, Value};
use serving::{Piece, Want};
use training::answers::Answer;
use training::data::Sample;

use crate::decoder::{Cache, Decoder};
use crate::error::Result;

/// Prompts are read in pieces of this many tokens, so that the rows of a piece stay few.
const PIECE_TOKENS: usize = 512;

/// Prompts of a sample that are answered at once, where keys and values of that many texts are no more
/// than this.
const AT_ONCE: usize = 8;
const CACHE_BYTES: u64 = 1 << 30;

/// Of a prompt, as much as this is kept with its answer.
const ASKED_TOKENS: usize = 200;

/// What is generated, how much of it, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Replies, of all samples together.
    pub replies: usize,
    /// Tokens of one.
    pub tokens: usize,
    /// Set when nothing more is wanted: a reply that is being written is then left out.
    pub stop: &'a AtomicBool,
}

impl Limits<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What the replies came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Prompts that were answered by a call when they were recorded.
    pub replies: u64,
    /// Of these, answered with a call whose arguments are an object.
    pub valid: u64,
    /// Of these, answered with a call of the tool that was called.
    pub exact: u64,
    /// What was said.
    pub answers: Vec<Answer>,
}

impl Judged {
    /// The share of replies that are so; `None` without replies.
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    #[must_use]
    pub fn rate(&self, of: u64) -> Option<f64> {
        (self.replies > 0).then(|| of as f64 / self.replies as f64)
    }
}

/// Answers the prompts of held-out samples.
///
/// # Errors
/// When memory runs out, or a sample cannot be read.
pub fn judge(
    decoder: &Decoder,
    dialect: &Dialect,
    samples: &mut dyn Iterator<Item = Result<Sample>>,
    limits: Limits<'_>,
) -> Result<Judged> {
    let mut judged = Judged::default();
    let Some(format) = dialect.format() else { return Ok(judged) };
    for sample in samples {
        let sample = sample?;
        let left = limits.replies.saturating_sub(judged.answers.len());
        if left == 0 {
            break;
        }
        let asked = asked(dialect, format, &sample, left);
        // Of what stands behind the last prompt nothing is read.
        let Some(longest) = asked.last().map(|asked| asked.prompt.len()) else { continue };
        let slots = slots(decoder, asked.len(), longest + limits.tokens);
        let mut cache = Cache::new(decoder, slots, longest + limits.tokens)?;
        let mut known = 0;
        for group in asked.chunks(slots) {
            let prompts: Vec<&[u32]> = group.iter().map(|asked| asked.prompt).collect();
            let said = generate(decoder, dialect, (&prompts, known), limits, &mut cache)?;
            if limits.is_over() {
                return Ok(judged);
            }
            for (asked, said) in group.iter().zip(said) {
                judged.count(dialect, format, &sample.id, asked, &said);
                known = asked.prompt.len();
            }
        }
    }
    Ok(judged)
}

impl Judged {
    /// Counts what was said after a prompt.
    fn count(
        &mut self,
        dialect: &Dialect,
        format: Format,
        sample: &str,
        asked: &Asked<'_>,
        said: &[u32],
    ) {
        let said = text(dialect, said);
        let calls = format.read(&said, false, &[]).calls;
        let is_object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
        let valid = calls.iter().any(|call| is_object(&call.arguments));
        let exact = calls.first().is_some_and(|call| call.name == asked.tool);
        self.replies += 1;
        self.valid += u64::from(valid);
        self.exact += u64::from(exact);
        let end = &asked.prompt[asked.prompt.len().saturating_sub(ASKED_TOKENS)..];
        self.answers.push(Answer {
            sample: sample.to_owned(),
            asked: dialect.tokenizer().decode(end).unwrap_or_default(),
            wanted: asked.wanted.clone(),
            said,
            valid,
            exact,
            step: 0,
        });
    }
}

/// A prompt that was answered by a call when it was recorded.
struct Asked<'a> {
    prompt: &'a [u32],
    /// What was answered.
    wanted: String,
    /// The tool that was called first.
    tool: String,
}

/// The prompts of a sample, so many at most, each the beginning of the next.
fn asked<'a>(
    dialect: &Dialect,
    format: Format,
    sample: &'a Sample,
    count: usize,
) -> Vec<Asked<'a>> {
    let asked = replies(sample).into_iter().filter_map(|reply| {
        let wanted = text(dialect, &sample.ids[reply.clone()]);
        let tool = format.read(&wanted, false, &[]).calls.into_iter().next()?.name;
        Some(Asked { prompt: &sample.ids[..reply.start], wanted, tool })
    });
    asked.take(count).collect()
}

/// The texts that are held at once: as many as are asked and there is room for, and one in any case.
fn slots(decoder: &Decoder, asked: usize, tokens: usize) -> usize {
    let fits = |slots: &usize| {
        Cache::bytes(decoder.shape(), decoder.kind(), *slots, tokens) <= CACHE_BYTES
    };
    (1..=asked.min(AT_ONCE)).rev().find(fits).unwrap_or(1)
}

/// Generates the likeliest tokens after prompts, each in a slot and the beginning of the next, up to
/// where the model stops. So many tokens in the last slot are the beginning of the first prompt.
///
/// # Errors
/// When memory runs out.
fn generate(
    decoder: &Decoder,
    dialect: &Dialect,
    (prompts, known): (&[&[u32]], usize),
    limits: Limits<'_>,
    cache: &mut Cache,
) -> Result<Vec<Vec<u32>>> {
    let mut said = vec![Vec::new(); prompts.len()];
    // The slots in which something is said, and what is next.
    let mut open = read(decoder, (prompts, known), limits, cache)?;
    while !limits.is_over() {
        open.retain(|(slot, id)| !dialect.is_stop(*id) && said[*slot].len() < limits.tokens);
        if open.is_empty() {
            break;
        }
        let mut pieces = Vec::with_capacity(open.len());
        for (slot, id) in &open {
            said[*slot].push(*id);
            let tokens = std::slice::from_ref(id);
            pieces.push(Piece { slot: *slot, tokens, want: Want::Best });
        }
        let answers = decoder.advance(cache, &pieces)?;
        let slots = open.iter().map(|(slot, _)| *slot);
        open = slots.zip(answers).filter_map(best).collect();
    }
    Ok(said)
}

/// Reads prompts into their slots; the first token after each.
fn read(
    decoder: &Decoder,
    (prompts, known): (&[&[u32]], usize),
    limits: Limits<'_>,
    cache: &mut Cache,
) -> Result<Vec<(usize, u32)>> {
    let mut first = Vec::new();
    let mut before = (cache.slots() - 1, known);
    for (slot, prompt) in prompts.iter().enumerate() {
        if limits.is_over() {
            break;
        }
        // One token at least is computed, as its logits are asked for.
        let known = before.1.min(prompt.len() - 1);
        cache.copy(before.0, slot, known)?;
        before = (slot, prompt.len());
        let mut rest = &prompt[known..];
        while !rest.is_empty() && !limits.is_over() {
            let (tokens, after) = rest.split_at(rest.len().min(PIECE_TOKENS));
            let want = if after.is_empty() { Want::Best } else { Want::Nothing };
            let answers = decoder.advance(cache, &[Piece { slot, tokens, want }])?;
            first.extend(answers.into_iter().filter_map(|answer| best((slot, answer))));
            rest = after;
        }
    }
    Ok(first)
}

/// The slot with the token that is likeliest there, where that was asked for.
fn best((slot, answer): (usize, serving::Answer)) -> Option<(usize, u32)> {
    match answer {
        serving::Answer::Best(id) => Some((slot, id)),
        _ => None,
    }
}

/// The stretches of a sample that are trained: what the model wrote, reply by reply.
fn replies(sample: &Sample) -> Vec<std::ops::Range<usize>> {
    let mut all: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, is_trained) in sample.trained.iter().enumerate().skip(1) {
        if !is_trained {
            continue;
        }
        match all.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            _ => all.push(at..at + 1),
        }
    }
    all
}

/// A reply as text, without the token at which the model stopped.
fn text(dialect: &Dialect, ids: &[u32]) -> String {
    let end = ids.iter().position(|id| dialect.is_stop(*id)).unwrap_or(ids.len());
    dialect.tokenizer().decode(&ids[..end]).unwrap_or_default()
}
