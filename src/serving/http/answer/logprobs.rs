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

/// The same for a form in which texts are names, so that parts of characters must not look alike: as
/// OpenAI has it there, `bytes:` and what they are.
fn named(tokenizer: &Tokenizer, id: u32) -> String {
    match tokenizer.bytes(id).map(String::from_utf8) {
        Some(Ok(text)) => text,
        Some(Err(part)) => {
            let bytes = part.as_bytes().iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", bytes.collect::<String>())
        }
        None => tokenizer.decode(&[id]).unwrap_or_default(),
    }
}

/// Those of a text that is gone on with, of which so many characters have begun before.
pub(super) fn of_text(
    tokenizer: &Tokenizer,
    tokens: &[Sampled],
    wanted: Option<usize>,
    begun: &mut usize,
) -> Option<TextLogprobs> {
    wanted?;
    let mut all = TextLogprobs::default();
    for sampled in tokens {
        let top: Map<String, Value> = sampled
            .top
            .iter()
            .map(|top| (named(tokenizer, top.id), top.logprob.max(LOGPROB_MIN).into()))
            .collect();
        // What is control is not in the text.
        let is_said = !tokenizer.is_special(sampled.id);
        let bytes = tokenizer.bytes(sampled.id).filter(|_| is_said).unwrap_or_default();
        let is_begin = |byte: &u8| byte & 0xc0 != 0x80;
        // One that goes on with a character stands where that does.
        let goes_on = bytes.first().is_some_and(|byte| !is_begin(byte));
        all.text_offset.push(begun.saturating_sub(usize::from(goes_on)));
        *begun += bytes.iter().filter(|byte| is_begin(byte)).count();
        all.tokens.push(named(tokenizer, sampled.id));
        all.token_logprobs.push(sampled.logprob.unwrap_or(LOGPROB_MIN).max(LOGPROB_MIN));
        all.top_logprobs.push(top);
    }
    Some(all)
}
