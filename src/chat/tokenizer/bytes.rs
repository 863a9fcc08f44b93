//! Byte-level BPE, the tokenizer of nearly every open model, without the bookkeeping of the library
//! that knows every kind: it keeps for each byte where it was before it was normalized, which costs
//! most of its time, and here nothing is moved.
//!
//! The model itself, the merges, is the library's; what is done here is to cut a text at control
//! tokens and into words. A pipeline that is anything but that is not taken ([`Bytes::of`]), a text
//! that a normalizer might change goes to the library, and tests compare the two.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use regex::Regex;
use serde_json::Value;
use tokenizers::Model;

use super::Tokens;

#[cfg(test)]
mod tests;

/// Words that are remembered: longer ones do not come twice, and no text has more that do.
const WORD_BYTES_MAX: usize = 64;
const WORDS_MAX: usize = 1 << 17;

/// How the patterns of pre-tokenizers end: of several spaces before a word, the last one is left to
/// the word. The rest of a pattern is regular; this is done by hand.
const TAIL: &str = r"|\s+(?!\S)|\s+";

/// What `ByteLevel` cuts with by itself, but for the tail.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";

/// A cut of a text into smaller pieces.
#[derive(Debug)]
enum Cut {
    /// At what matches, which is a piece of its own.
    Pattern(Regex),
    /// The same for a pattern that ends with [`TAIL`]: all of it, and what stands before the tail.
    Tailed(Regex, Regex),
    /// Each digit is a piece.
    Digits,
}

/// The tokens of words that came already.
#[derive(Debug, Default)]
struct Words {
    places: HashMap<Box<str>, Range<usize>>,
    /// An id, and how many bytes it stands for.
    tokens: Vec<(u32, usize)>,
}

impl Words {
    fn of(&self, word: &str) -> Option<&[(u32, usize)]> {
        self.places.get(word).map(|place| &self.tokens[place.clone()])
    }

    fn learn(&mut self, word: &str, read: Vec<(u32, usize)>) {
        // Another thread may have been faster.
        if self.places.len() < WORDS_MAX && !self.places.contains_key(word) {
            let from = self.tokens.len();
            self.tokens.extend(read);
            self.places.insert(word.into(), from..self.tokens.len());
        }
    }
}

/// A tokenizer of this kind.
#[derive(Debug)]
pub(super) struct Bytes {
    /// Control tokens and their like.
    added: Option<Regex>,
    cuts: Vec<Cut>,
    /// Whether texts are brought into the composed form first.
    is_composed: bool,
    alphabet: Vec<char>,
    /// Held for a word at a time, and by many at once: a long text keeps nobody waiting.
    words: RwLock<Words>,
}

impl Bytes {
    /// The parts of a `tokenizer.json`; `None` when it is of another kind.
    pub(super) fn of(json: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(json).ok()?;
        let model = &json["model"];
        let is_empty = |key: &str| model[key].as_str().unwrap_or_default().is_empty();
        let is_plain = model["type"].as_str().unwrap_or("BPE") == "BPE"
            && model["dropout"].is_null()
            && model["byte_fallback"] != true
            && is_empty("continuing_subword_prefix")
            && is_empty("end_of_word_suffix");
        let is_composed = match &json["normalizer"] {
            Value::Null => false,
            normalizer if normalizer["type"] == "NFC" => true,
            _ => return None,
        };
        if !is_plain {
            return None;
        }
        let cuts = cuts(&json["pre_tokenizer"])?;
        let added = added(json["added_tokens"].as_array(), is_composed)?;
        let words = RwLock::default();
        Some(Self { added, cuts, is_composed, alphabet: alphabet(), words })
    }

    /// A text as tokens; `plain` is how the library reads what stands between control tokens, for
    /// what is not taken here. `None` when the model has not a token for every byte.
    pub(super) fn encode<E>(
        &self,
        text: &str,
        inner: &tokenizers::Tokenizer,
        plain: impl Fn(&str) -> Result<Tokens, E>,
    ) -> Option<Result<Tokens, E>> {
        let mut tokens = Tokens::default();
        let mut from = 0;
        let found = self.added.iter().flat_map(|added| added.find_iter(text));
        let ends = found.map(|it| it.range()).chain(std::iter::once(text.len()..text.len()));
        for control in ends {
            let (begin, piece) = (from, &text[from..control.start]);
            from = control.end;
            if self.is_composed && !piece.chars().all(stays) {
                match plain(piece) {
                    Err(error) => return Some(Err(error)),
                    Ok(read) => tokens.extend(read, begin),
                }
            } else {
                self.piece(text, begin..control.start, inner, &mut tokens)?;
            }
            if !control.is_empty() {
                tokens.ids.push(inner.token_to_id(&text[control.clone()])?);
                tokens.places.push(control);
            }
        }
        Some(Ok(tokens))
    }

    /// A stretch of a text without control tokens.
    fn piece(
        &self,
        text: &str,
        stretch: Range<usize>,
        inner: &tokenizers::Tokenizer,
        tokens: &mut Tokens,
    ) -> Option<()> {
        let mut pieces = vec![stretch];
        for cut in &self.cuts {
            let mut smaller = Vec::with_capacity(pieces.len());
            for piece in pieces {
                cut.apply(&text[piece.clone()], piece.start, &mut smaller);
            }
            pieces = smaller;
        }
        for Range { start, end } in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            let mut at = start;
            let mut push = |id: u32, bytes: usize| {
                // Tokens that share a character have its bytes in common.
                let (from, to) =
                    (text.floor_char_boundary(at), text.ceil_char_boundary(at + bytes));
                at += bytes;
                tokens.ids.push(id);
                tokens.places.push(from..to);
            };
            let word = &text[start..end];
            let is_short = word.len() <= WORD_BYTES_MAX;
            if is_short {
                let words = self.words.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(known) = words.of(word) {
                    known.iter().for_each(|(id, bytes)| push(*id, *bytes));
                    continue;
                }
            }
            let read = self.word(word, inner)?;
            read.iter().for_each(|(id, bytes)| push(*id, *bytes));
            if is_short {
                self.words.write().unwrap_or_else(PoisonError::into_inner).learn(word, read);
            }
        }
        Some(())
    }

    /// The tokens of a word, which together are all of it.
    fn word(&self, word: &str, inner: &tokenizers::Tokenizer) -> Option<Vec<(u32, usize)>> {
        let spelt: String =
            word.bytes().filter_map(|byte| self.alphabet.get(usize::from(byte))).collect();
        let read = inner.get_model().tokenize(&spelt).ok()?;
        // A letter stands for a byte.
        let tokens: Vec<(u32, usize)> =
            read.iter().map(|token| (token.id, token.value.chars().count())).collect();
        let bytes: usize = tokens.iter().map(|(_, bytes)| bytes).sum();
        (bytes == word.len()).then_some(tokens)
    }
}

impl Tokens {
    /// Takes the tokens of what follows, which begins at this byte.
    fn extend(&mut self, more: Self, begin: usize) {
        self.ids.extend(more.ids);
        self.places.extend(more.places.into_iter().map(|it| it.start + begin..it.end + begin));
    }
}

impl Cut {
    /// A step of a pre-tokenizer.
    fn of(step: &Value) -> Option<Self> {
        let pattern = &step["pattern"];
        let pattern = match (pattern["Regex"].as_str(), pattern["String"].as_str()) {
            (Some(pattern), _) => pattern.to_owned(),
            (None, Some(text)) => regex::escape(text),
            (None, None) => return None,
        };
        let is_isolated = step["behavior"] == "Isolated" && step["invert"] != true;
        if !is_isolated || has_possessive(&pattern) {
            return None;
        }
        match pattern.strip_suffix(TAIL) {
            Some(head) => Self::tailed(head),
            None => Some(Self::Pattern(Regex::new(&pattern).ok()?)),
        }
    }

    fn tailed(head: &str) -> Option<Self> {
        Some(Self::Tailed(Regex::new(&format!(r"{head}|\s+")).ok()?, Regex::new(head).ok()?))
    }

    fn apply(&self, text: &str, begin: usize, pieces: &mut Vec<Range<usize>>) {
        let mut done = 0;
        let mut push = |piece: Range<usize>| {
            for piece in [done..piece.start, piece.clone()] {
                if !piece.is_empty() {
                    pieces.push(piece.start + begin..piece.end + begin);
                }
            }
            done = piece.end;
        };
        match self {
            Self::Digits => {
                for (at, c) in text.char_indices().filter(|(_, c)| c.is_numeric()) {
                    push(at..at + c.len_utf8());
                }
            }
            Self::Pattern(pattern) => pattern.find_iter(text).for_each(|it| push(it.range())),
            Self::Tailed(pattern, head) => {
                let mut from = 0;
                while let Some(found) = pattern.find_at(text, from) {
                    let mut piece = found.range();
                    piece.end -= left_to_the_word(text, &piece, head);
                    from = piece.end;
                    let is_empty = piece.is_empty();
                    push(piece);
                    if is_empty {
                        // The same would be found here for ever.
                        let Some(next) = text[from..].chars().next() else { break };
                        from += next.len_utf8();
                    }
                }
            }
        }
        push(text.len()..text.len());
    }
}

/// Whether something repeated gives nothing back (`a?+`, `a{1,2}+`): the library's engine reads it
/// so, and the one here as a repetition of a repetition. Some that only look like it count as well.
fn has_possessive(pattern: &str) -> bool {
    // Without what is escaped and what stands in classes, where these signs are themselves.
    let (mut outside, mut depth) = (String::new(), 0_usize);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            outside.push(c);
        }
    }
    let is_count = |count: &str| count.chars().all(|c| c.is_ascii_digit() || c == ',');
    let is_repeated = |before: &str| {
        let count = before.strip_suffix('}').and_then(|before| before.rsplit_once('{'));
        before.ends_with(['?', '*', '+']) || count.is_some_and(|(_, count)| is_count(count))
    };
    outside.match_indices('+').any(|(at, _)| is_repeated(&outside[..at]))
}

/// How many bytes of a match are left to the word after it: of more than one space, the last.
fn left_to_the_word(text: &str, piece: &Range<usize>, head: &Regex) -> usize {
    let found = &text[piece.clone()];
    let Some(last) = found.chars().next_back().filter(|last| last.is_whitespace()) else {
        return 0;
    };
    if piece.end == text.len() || last.len_utf8() == found.len() || !found.trim().is_empty() {
        return 0;
    }
    // What stands before the tail of the pattern may have matched it, and then all of it.
    let is_head = head.find_at(text, piece.start).is_some_and(|it| it.start() == piece.start);
    if is_head { 0 } else { last.len_utf8() }
}

fn cuts(pre_tokenizer: &Value) -> Option<Vec<Cut>> {
    let steps = match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) => steps.as_slice(),
        None => std::slice::from_ref(pre_tokenizer),
    };
    let (last, before) = steps.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
        return None;
    }
    let mut cuts = Vec::new();
    for step in before {
        cuts.push(match step["type"].as_str()? {
            "Split" => Cut::of(step)?,
            "Digits" if step["individual_digits"] == true => Cut::Digits,
            _ => return None,
        });
    }
    if last["use_regex"] != false {
        cuts.push(Cut::tailed(GPT2)?);
    }
    Some(cuts)
}

/// A pattern of all control tokens, the longest first; none of them is found in any but the plain
/// way.
fn added(tokens: Option<&Vec<Value>>, is_composed: bool) -> Option<Option<Regex>> {
    let tokens = tokens.map_or(&[][..], Vec::as_slice);
    let mut spellings = Vec::new();
    for token in tokens {
        let is_plain = ["single_word", "lstrip", "rstrip"].iter().all(|key| token[*key] != true);
        // Those that are looked for in the composed text are looked for after all others.
        let is_first = token["normalized"] == false;
        let is_like_all = is_first == (tokens.first()?["normalized"] == false);
        if !is_plain || !is_like_all || (is_composed && !is_first) {
            return None;
        }
        spellings.extend(token["content"].as_str().filter(|it| !it.is_empty()));
    }
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    let escaped: Vec<String> = spellings.into_iter().map(regex::escape).collect();
    if escaped.is_empty() {
        return Some(None);
    }
    Regex::new(&escaped.join("|")).ok().map(Some)
}

/// Whether a character is the same in the composed form whatever stands beside it. There are many
/// more; these are what most texts are made of.
const fn stays(c: char) -> bool {
    matches!(c,
        '\0'..='\u{2ff}'
        | '\u{400}'..='\u{482}' | '\u{48a}'..='\u{52f}'
        | '\u{2010}'..='\u{2027}' | '\u{2500}'..='\u{25ff}' | '\u{2700}'..='\u{27bf}'
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}'
        | '\u{fffd}' | '\u{1f300}'..='\u{1faff}')
}

/// The letter that stands for each byte.
pub(super) fn alphabet() -> Vec<char> {
    let mut next = 256u32;
    let letter = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => {
            let letter = char::from_u32(next).unwrap_or_default();
            next += 1;
            letter
        }
    };
    (0..=u8::MAX).map(letter).collect()
}
