//! A model's own tokenizer, in the form in which Hugging Face publishes it.

mod bytes;

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;

use tokenizers::PostProcessorWrapper;

use bytes::Bytes;

use crate::error::ChatError;
use crate::gguf;

/// No tokenizer is larger.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The ids.
    pub ids: Vec<u32>,
    /// Which bytes of the text each one stands for. Tokens that share a character have its bytes
    /// in common.
    pub places: Vec<Range<usize>>,
}

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The quick way, where the tokenizer is of that kind.
    bytes: Option<Bytes>,
    hash: String,
    /// The special tokens: control, never text.
    specials: Vec<(String, u32)>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self, ChatError> {
        let json = read(path, FILE_BYTES_MAX)?;
        Self::from_json(&json).map_err(|reason| ChatError::Format { path: path.to_owned(), reason })
    }

    /// Reads the tokenizer of a model: in its folder, as a `tokenizer.json`, or in a GGUF file.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn of_model(path: &Path) -> Result<Self, ChatError> {
        if gguf::is_gguf(path) {
            Ok(gguf::open(path)?.tokenizer)
        } else if path.is_dir() {
            Self::open(&path.join("tokenizer.json"))
        } else {
            Self::open(path)
        }
    }

    /// Reads the JSON of a tokenizer; the error says what is wrong with it.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        // A post-processor adds what templates write themselves, and may shrink the places of
        // tokens to what is not space.
        inner.with_post_processor(None::<PostProcessorWrapper>);
        // What is cut off or filled up is never what the model read.
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        inner.with_padding(None);
        let mut specials: Vec<(String, u32)> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(id, token)| (token.content, id))
            .collect();
        specials.sort_by_key(|(_, id)| *id);
        let hash = blake3::hash(json).to_hex().to_string();
        Ok(Self { inner, bytes: Bytes::of(json), hash, specials })
    }

    /// BLAKE3 of its JSON, hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// A text as tokens, without any that a template would put around it.
    ///
    /// # Errors
    /// When the tokenizer cannot read it.
    pub fn encode(&self, text: &str) -> Result<Tokens, ChatError> {
        let plain = |text: &str| self.encode_plain(text);
        let read = self.bytes.as_ref().and_then(|bytes| bytes.encode(text, &self.inner, plain));
        read.unwrap_or_else(|| self.encode_plain(text))
    }

    /// The same by the library alone.
    fn encode_plain(&self, text: &str) -> Result<Tokens, ChatError> {
        let encoding =
            self.inner.encode(text, false).map_err(|error| ChatError::Tokens(error.to_string()))?;
        let places = encoding.get_offsets().iter().map(|&(start, end)| start..end).collect();
        Ok(Tokens { ids: encoding.get_ids().to_vec(), places })
    }

    /// How many tokens a text is, without those that a template puts around it. `None` when the
    /// tokenizer cannot read it.
    #[must_use]
    pub fn count(&self, text: &str) -> Option<usize> {
        self.encode(text).ok().map(|tokens| tokens.ids.len())
    }

    /// The text of tokens, special ones included; `None` when one is unknown.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> Option<String> {
        self.inner.decode(ids, false).ok()
    }

    /// Whether tokens are exactly this text, every one of them known.
    #[must_use]
    pub fn spells(&self, ids: &[u32], text: &str) -> bool {
        if ids.iter().any(|id| self.inner.id_to_token(*id).is_none()) {
            return false;
        }
        if self.decode(ids).as_deref() == Some(text) {
            return true;
        }
        // Some decoders drop the space before the first word of a text, and here it is none.
        let Some(first) = ids.first() else { return false };
        let (before, behind) = (self.decode(&[*first]), self.decode(&[&[*first], ids].concat()));
        let behind = before.zip(behind);
        behind.is_some_and(|(before, behind)| behind.strip_prefix(&before) == Some(text))
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether a token is special: control, never text.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.iter().any(|(_, special)| *special == id)
    }

    /// The first special token whose spelling stands in a text: written out it would be read as
    /// control.
    #[must_use]
    pub fn special_in(&self, text: &str) -> Option<&str> {
        let mut spellings = self.specials.iter().map(|(spelling, _)| spelling.as_str());
        spellings
            .find(|spelling| memchr::memmem::find(text.as_bytes(), spelling.as_bytes()).is_some())
    }
}

/// Reads a file of a sensible size.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ChatError> {
    let io = |source| ChatError::Io { path: path.to_owned(), source };
    let about = fs::metadata(path).map_err(io)?;
    if !about.is_file() || about.len() > bytes_max {
        let reason = "it is no regular file of a sensible size".to_owned();
        return Err(ChatError::Format { path: path.to_owned(), reason });
    }
    fs::read(path).map_err(io)
}
