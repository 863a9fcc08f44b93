//! A model's own tokenizer, in the form in which Hugging Face publishes it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// No tokenizer is larger.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("Cannot read the tokenizer {}: {source}. Name a tokenizer.json.", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no tokenizer.
    #[error("{} is no tokenizer.json that can be read: {reason}. Take the one that was published with the model.", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A model's tokenizer.
pub struct Tokenizer(tokenizers::Tokenizer);

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let io = |source| TokenizerError::Io { path: path.to_owned(), source };
        let about = fs::metadata(path).map_err(io)?;
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            let reason = "it is no regular file of a sensible size".to_owned();
            return Err(TokenizerError::Format { path: path.to_owned(), reason });
        }
        let json = fs::read(path).map_err(io)?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(&json).map_err(|error| {
            TokenizerError::Format { path: path.to_owned(), reason: error.to_string() }
        })?;
        Ok(Self(tokenizer))
    }

    /// How many tokens a text is, without those that a template puts around it. `None` when the
    /// tokenizer cannot read it.
    #[must_use]
    pub fn count(&self, text: &str) -> Option<usize> {
        self.0.encode_fast(text, false).ok().map(|encoding| encoding.len())
    }
}
