//! Log-probabilities in the forms of the two routes.

use chat::Tokenizer;
use serde_json::{Map, Value};

use crate::job::Sampled;
use crate::protocol::{TextLogprobs, TokenLogprob, TokenLogprobs};

/// JSON has no smaller number than any; this is what OpenAI says for it.
const LOGPROB_MIN: f32 = -9999.0;

/// Those of a conversation's reply; `None` when they were not asked for.
pub(super) fn of_chat(
    tokenizer: &Tokenizer,
    tokens: &[Sampled],
    wanted: Option<usize>,
) -> Option<TokenLogprobs> {
    wanted?;
    let content = tokens
        .iter()
        .map(|sampled| {
            let top = sampled.top.iter().map(|top| token(tokenizer, top.id, top.logprob));
            TokenLogprob {
                top_logprobs: Some(top.collect()),
                ..token(tokenizer, sampled.id, sampled.logprob.unwrap_or(LOGPROB_MIN))
            }
        })
        .collect();
    Some(TokenLogprobs { content })
}

fn token(tokenizer: &Tokenizer, id: u32, logprob: f32) -> TokenLogprob {
    let bytes = tokenizer.bytes(id);
    TokenLogprob {
        token: spelled(tokenizer, id),
        logprob: logprob.max(LOGPROB_MIN),
        bytes,
        top_logprobs: None,
    }
}

/// A token as a text. A part of a character is none, and is shown as a sign for that.
fn spelled(tokenizer: &Tokenizer, id: u32) -> String {
    match tokenizer.bytes(id) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => tokenizer.decode(&[id]).unwrap_or_default(),
    }
}

/// Those of a text that is gone on with, of which so many characters were said before.
pub(super) fn of_text(
    tokenizer: &Tokenizer,
    tokens: &[Sampled],
    wanted: Option<usize>,
    offset: &mut usize,
) -> Option<TextLogprobs> {
    wanted?;
    let mut all = TextLogprobs::default();
    for sampled in tokens {
        let text = spelled(tokenizer, sampled.id);
        let top: Map<String, Value> = sampled
            .top
            .iter()
            .map(|top| (spelled(tokenizer, top.id), top.logprob.max(LOGPROB_MIN).into()))
            .collect();
        all.text_offset.push(*offset);
        *offset += text.chars().count();
        all.tokens.push(text);
        all.token_logprobs.push(sampled.logprob.unwrap_or(LOGPROB_MIN).max(LOGPROB_MIN));
        all.top_logprobs.push(top);
    }
    Some(all)
}
