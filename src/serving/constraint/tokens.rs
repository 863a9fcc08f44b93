//! A model's tokens as a tree of bytes.

use chat::{TAGS, Tokenizer};
use llguidance::toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// Tokens of the largest vocabularies are a quarter of a million.
const SIZE_MAX: usize = 4 << 20;

/// A tokenizer as the library asks for it.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    trie: TokTrie,
    is_canonical: bool,
}

impl Tokens {
    pub(super) fn new(tokenizer: Tokenizer) -> Result<Self, String> {
        let size = tokenizer.size();
        let end = u32::try_from(size).ok().filter(|_| size <= SIZE_MAX);
        let end = end.ok_or_else(|| format!("it has {size} tokens"))?;
        let mut words: Vec<Vec<u8>> = (0..end).map(|id| word(&tokenizer, id)).collect();
        if words.iter().all(Vec::is_empty) {
            return Err("it does not say which bytes its tokens stand for".to_owned());
        }
        words.push(special(b"end"));
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
        let mut tokens = Self { tokenizer, trie, is_canonical: false };
        tokens.is_canonical = tokens.read("{\"name\": \"a\"}\n").is_some();
        Ok(tokens)
    }

    /// The token that stands for the end of a reply.
    pub(super) fn end(&self) -> u32 {
        self.trie.eos_token()
    }

    /// A text as the model's own tokenizer cuts it, when that is the same text.
    fn read(&self, text: &str) -> Option<Vec<TokenId>> {
        let ids = self.tokenizer.encode(text).ok()?.ids;
        let is_same = self.trie.decode_raw(&ids) == text.as_bytes();
        is_same.then_some(ids)
    }
}

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            self.read(text).unwrap_or_else(|| self.trie.greedy_tokenize(text.as_bytes()))
        })
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.is_canonical
    }
}

/// What a token spells: nothing where it is unknown.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let Some(bytes) = tokenizer.bytes(id) else { return Vec::new() };
    // What spells thoughts and calls is text, also where a tokenizer has a special token for it.
    let is_tag = || TAGS.iter().any(|tag| tag.as_bytes() == bytes);
    // A byte that no text has marks what is control, so a token that begins with it cannot be told.
    let is_control = tokenizer.is_special(id) && !is_tag();
    if is_control || bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return special(&bytes);
    }
    bytes
}

fn special(bytes: &[u8]) -> Vec<u8> {
    [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
}
