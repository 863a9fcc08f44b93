//! Held-out prompts, answered by the model as it is now: does it make calls that can be read, and
//! of the tool that was called?
//!
//! A prompt is everything before a reply that the recorded model wrote with a call in it. The reply
//! is generated greedily, so that the same model gives the same rates, and read as its family
//! writes calls. One that was cut short has the call that can be read in it, or none.

use std::sync::atomic::{AtomicBool, Ordering};

use chat::Dialect;
use serde_json::{Map, Value};
use serving::{Piece, Want};
use training::answers::Answer;
use training::data::Sample;

use crate::decoder::{Cache, Decoder};
use crate::error::Result;

/// Prompts are read in pieces of this many tokens, so that the rows of a piece stay few.
const PIECE_TOKENS: usize = 512;

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
        let replies = replies(&sample);
        // Of what stands behind the last prompt nothing is read.
        let Some(longest) = replies.last().map(|reply| reply.start) else { continue };
        if judged.replies == limits.replies as u64 {
            break;
        }
        let mut cache = Cache::new(decoder, 1, longest + limits.tokens)?;
        for reply in replies {
            if judged.replies == limits.replies as u64 {
                return Ok(judged);
            }
            let wanted = text(dialect, &sample.ids[reply.clone()]);
            let called = format.read(&wanted, false, &[]);
            let Some(called) = called.calls.first() else { continue };
            let prompt = &sample.ids[..reply.start];
            let said = generate(decoder, dialect, prompt, limits, &mut cache)?;
            if limits.is_over() {
                return Ok(judged);
            }
            let said = text(dialect, &said);
            let calls = format.read(&said, false, &[]).calls;
            let is_object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
            let valid = calls.iter().any(|call| is_object(&call.arguments));
            let exact = calls.first().is_some_and(|call| call.name == called.name);
            judged.replies += 1;
            judged.valid += u64::from(valid);
            judged.exact += u64::from(exact);
            let asked = &prompt[prompt.len().saturating_sub(ASKED_TOKENS)..];
            let asked = dialect.tokenizer().decode(asked).unwrap_or_default();
            let sample = sample.id.clone();
            judged.answers.push(Answer { sample, asked, wanted, said, valid, exact, step: 0 });
            // What was generated is not what comes next in the sample, and of the next prompt one
            // token at least is computed, as its logits are asked for.
            cache.truncate(0, reply.start - 1);
        }
    }
    Ok(judged)
}

/// Generates the likeliest tokens after a prompt, of which the cache's first slot has a beginning, up
/// to where the model stops.
///
/// # Errors
/// When memory runs out.
fn generate(
    decoder: &Decoder,
    dialect: &Dialect,
    prompt: &[u32],
    limits: Limits<'_>,
    cache: &mut Cache,
) -> Result<Vec<u32>> {
    let mut said = Vec::new();
    let (mut rest, mut answer) = (prompt.get(cache.length(0)..).unwrap_or_default(), None);
    while !rest.is_empty() && !limits.is_over() {
        let (tokens, after) = rest.split_at(rest.len().min(PIECE_TOKENS));
        let want = if after.is_empty() { Want::Best } else { Want::Nothing };
        answer = decoder.advance(cache, &[Piece { slot: 0, tokens, want }])?.pop();
        rest = after;
    }
    while let Some(serving::Answer::Best(id)) = answer.take() {
        if dialect.is_stop(id) || said.len() == limits.tokens || limits.is_over() {
            break;
        }
        said.push(id);
        let piece = Piece { slot: 0, tokens: &[id], want: Want::Best };
        answer = decoder.advance(cache, &[piece])?.pop();
    }
    Ok(said)
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
