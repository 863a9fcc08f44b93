//! A model's own tokenizer, in the form in which Hugging Face publishes it.

mod bytes;
mod spelling;

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tokenizers::PostProcessorWrapper;

use bytes::Bytes;
use spelling::Spelling;

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

/// A model's tokenizer. A copy is the same one.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// The quick way, where the tokenizer is of that kind.
    bytes: Option<Arc<Bytes>>,
    /// `None` when what its tokens stand for is not known.
    spelling: Option<Arc<Spelling>>,
    hash: String,
    /// What its post-processor put before a text.
    begin: Arc<[u32]>,
    /// What parts a text, written out.
    controls: Arc<[String]>,
    /// The special tokens: control, never text.
    specials: Arc<[(String, u32)]>,
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
        let (begin, controls) = (begin(&inner), controls(&inner));
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
        let (bytes, spelling) = (Bytes::of(json).map(Arc::new), Spelling::of(json).map(Arc::new));
        Ok(Self {
            inner: Arc::new(inner),
            bytes,
            spelling,
            hash,
            begin,
            controls,
            specials: specials.into(),
        })
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

    /// One more than the highest id. A model may compute logits for more than these.
    #[must_use]
    pub fn size(&self) -> usize {
        let highest = self.inner.get_vocab(true).into_values().max();
        highest.and_then(|id| usize::try_from(id).ok()).map_or(0, |id| id + 1)
    }

    /// The bytes that a token stands for; those of a character may be several tokens. `None` when
    /// the token is unknown, or the tokenizer of a kind that does not say.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.inner.id_to_token(id)?;
        if self.inner.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id) {
            return Some(token.into_bytes());
        }
        Some(self.spelling.as_ref()?.bytes(&token))
    }

    /// Whether a token is special: control, never text.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.iter().any(|(_, special)| *special == id)
    }

    /// The spellings of tokens with which a template parts a text: the special ones, and those that
    /// some models have beside them and spell alike, as `<｜User｜>`. None is a single sign.
    pub fn controls(&self) -> impl Iterator<Item = &str> {
        self.controls.iter().map(String::as_str)
    }

    /// The tokens that it puts before a text by itself, where no template does.
    #[must_use]
    pub fn begin(&self) -> &[u32] {
        &self.begin
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

/// What a post-processor puts before a text.
fn begin(tokenizer: &tokenizers::Tokenizer) -> Arc<[u32]> {
    let ids = |special: bool| tokenizer.encode("a", special).ok().map(|it| it.get_ids().to_vec());
    let (Some(with), Some(without)) = (ids(true), ids(false)) else { return Arc::default() };
    let at = with.windows(without.len().max(1)).position(|window| window == without);
    at.map_or(Arc::default(), |at| with[..at].into())
}

/// Spellings of tokens with which a template parts a text.
fn controls(tokenizer: &tokenizers::Tokenizer) -> Arc<[String]> {
    let is_alike = |spelling: &str| {
        [("<|", "|>"), ("<｜", "｜>")]
            .iter()
            .any(|(open, close)| spelling.starts_with(open) && spelling.ends_with(close))
    };
    tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .filter(|token| token.special || is_alike(&token.content))
        .map(|token| token.content)
        .filter(|spelling| spelling.chars().nth(1).is_some())
        .collect()
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
