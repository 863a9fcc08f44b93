//! The token ids of replies: how they are packed, and how each prompt is kept as what is new of it.
//!
//! An agent's prompt is the prompt before it, the reply to that, and a little more; whole prompts
//! would grow with the square of a session. So a [`TokenLog`] remembers what the last one was and
//! packs what follows, and whoever reads puts them together again in the same order. Ids are LEB128
//! numbers one after the other; the bytes lie beside the other blobs, and an event names them.
//!
//! A server says a prompt's ids in its answer, and the answer is on record as it came. There the
//! list is taken out when it can be put back byte for byte.

use memchr::memmem;
use trajectory::event::{Cut, Sampled};

use crate::rows::Blob;

/// No prompt and no reply has more tokens; what claims to is damage.
const TOKENS_MAX: usize = 1 << 24;

const TOO_MANY: &str = "it has more tokens than any model reads";

/// What a server calls the list of a prompt's ids.
const PROMPT_KEY: &[u8] = b"\"prompt_token_ids\"";

/// The tokens of a reply, and of the prompt that it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyTokens {
    /// The request.
    pub request: u32,
    /// BLAKE3 of the JSON of the tokenizer, hexadecimal, where it is known.
    pub tokenizer: Option<String>,
    /// The ids of the prompt, where they are known.
    pub prompt: Option<Vec<u32>>,
    /// The ids that were sampled.
    pub sampled: Vec<u32>,
}

/// What the next prompt probably begins with.
#[derive(Clone, Debug, Default)]
pub struct TokenLog {
    before: Vec<u32>,
}

impl TokenLog {
    /// The event that says what the tokens of a reply were, and the bytes that it names. From the
    /// recorded response the ids of the prompt are taken out, where they can be put back.
    pub fn take(&mut self, tokens: ReplyTokens, response: &mut Vec<u8>) -> (Sampled, Blob) {
        let ReplyTokens { request, tokenizer, prompt, sampled } = tokens;
        let known = prompt.as_deref().unwrap_or_default();
        let kept = same(&self.before, known);
        let blob = Blob::new(pack(known[kept..].iter().chain(&sampled)));
        let event = Sampled {
            request,
            tokenizer,
            prompt_tokens: prompt.as_ref().map(|prompt| prompt.len() as u64),
            kept: kept as u64,
            tokens: sampled.len() as u64,
            blake3: blob.blake3().to_owned(),
            cut: cut(response, known),
        };
        self.before = following(prompt, &sampled);
        (event, blob)
    }
}

/// Puts together what [`TokenLog`] took apart, event by event.
#[derive(Debug)]
pub(crate) struct Unfold {
    /// `None` once something is missing on which the next prompt may build.
    before: Option<Vec<u32>>,
}

impl Default for Unfold {
    fn default() -> Self {
        Self { before: Some(Vec::new()) }
    }
}

impl Unfold {
    /// An event was missed: no prompt builds on what came before.
    pub(crate) fn forget(&mut self) {
        self.before = None;
    }

    /// The tokens of the next event; `bytes` are those that it names, `None` once they are
    /// redacted. `Ok(None)` when the reply's ids are gone.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn next(
        &mut self,
        event: &Sampled,
        bytes: Option<&[u8]>,
    ) -> Result<Option<ReplyTokens>, &'static str> {
        let before = self.before.take();
        let Some(bytes) = bytes else { return Ok(None) };
        // What few bytes claim again and again would otherwise fill the memory, event by event.
        if event.prompt_tokens.unwrap_or(0).saturating_add(event.tokens) > 2 * TOKENS_MAX as u64 {
            return Err(TOO_MANY);
        }
        let mut ids = unpack(bytes)?;
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (kept, count) = (number(event.kept), number(event.tokens));
        let new = number(event.prompt_tokens.unwrap_or(0)).checked_sub(kept);
        let new = new.ok_or("its prompt keeps more tokens than it has")?;
        if new.checked_add(count) != Some(ids.len()) {
            return Err("it names another number of tokens than it has");
        }
        let sampled = ids.split_off(new);
        let prompt = match before {
            _ if event.prompt_tokens.is_none() => None,
            _ if kept == 0 => Some(ids),
            None => None,
            Some(mut before) if kept <= before.len() => {
                before.truncate(kept);
                before.extend(ids);
                Some(before)
            }
            Some(_) => return Err("its prompt keeps more tokens than there were"),
        };
        let is_known = prompt.is_some() || event.prompt_tokens.is_none();
        self.before = is_known.then(|| following(prompt.clone(), &sampled));
        let (request, tokenizer) = (event.request, event.tokenizer.clone());
        Ok(Some(ReplyTokens { request, tokenizer, prompt, sampled }))
    }
}

/// What the next prompt probably begins with: nothing, where this one is not known.
fn following(prompt: Option<Vec<u32>>, sampled: &[u32]) -> Vec<u32> {
    let Some(mut all) = prompt else { return Vec::new() };
    all.extend(sampled);
    all
}

/// How many tokens two lists have in common at their beginning.
fn same(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Ids as bytes.
fn pack<'a>(ids: impl Iterator<Item = &'a u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in ids {
        let mut rest = *id;
        while rest >= 0x80 {
            bytes.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        bytes.push(rest.to_le_bytes()[0]);
    }
    bytes
}

/// Bytes as ids.
fn unpack(bytes: &[u8]) -> Result<Vec<u32>, &'static str> {
    // Each id ends with a byte below 0x80, so they are counted before memory is taken.
    let count = bytes.iter().filter(|byte| **byte < 0x80).count();
    if count > 2 * TOKENS_MAX {
        return Err(TOO_MANY);
    }
    let mut ids = Vec::with_capacity(count);
    let (mut id, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        id |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            ids.push(u32::try_from(id).map_err(|_| "a token of it is no id")?);
            (id, shift) = (0, 0);
        } else {
            shift += 7;
            if shift > 28 {
                return Err("a token of it is no id");
            }
        }
    }
    if shift == 0 { Ok(ids) } else { Err("its last token is cut off") }
}

/// A list of numbers as JSON, without its brackets.
fn spelled(ids: &[u32], spaced: bool) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(if spaced { ", " } else { "," })
}

/// Takes the ids of a prompt out of a response; where they stood. A response that spells them in
/// another way stays as it is.
fn cut(response: &mut Vec<u8>, prompt: &[u32]) -> Option<Cut> {
    if prompt.is_empty() {
        return None;
    }
    let after_key = memmem::find(response, PROMPT_KEY)? + PROMPT_KEY.len();
    let opening = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':';
    let bracket = response.get(after_key..)?.iter().position(|byte| !opening(byte))?;
    let at = after_key + bracket + 1;
    if response.get(at - 1) != Some(&b'[') {
        return None;
    }
    [false, true].into_iter().find_map(|spaced| {
        let list = spelled(prompt, spaced);
        let rest = response.get(at..)?.strip_prefix(list.as_bytes())?;
        if rest.first() != Some(&b']') {
            return None;
        }
        response.drain(at..at + list.len());
        Some(Cut { at: at as u64, spaced })
    })
}

/// Puts the ids of a prompt back where they stood.
pub(crate) fn put_back(response: &mut Vec<u8>, cut: Cut, prompt: &[u32]) {
    let Some(at) = usize::try_from(cut.at).ok().filter(|at| *at <= response.len()) else { return };
    response.splice(at..at, spelled(prompt, cut.spaced).into_bytes());
}

#[cfg(test)]
mod tests;
