//! What keeps a model from being set up. What goes wrong later, while asking, is a `Failure`.

use std::io;
use std::path::PathBuf;

/// A model cannot be set up as asked. Each says in one sentence what is wrong and in one what to
/// do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The base URL is none.
    #[error(
        "The base URL {url:?} cannot be used: {reason}. \
         Give one such as http://127.0.0.1:8080/v1 (--base-url, or OPENAI_BASE_URL)."
    )]
    BaseUrl {
        /// The URL as given; a password in it is left out.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key cannot be sent.
    #[error(
        "The API key holds characters that no HTTP header may hold. \
         Set it again (OPENAI_API_KEY), without line breaks and quotes."
    )]
    Key,
    /// A sampling parameter has a name that is taken.
    #[error(
        "The parameter {name:?} is written by limn itself. Remove it from the model's parameters."
    )]
    Parameter {
        /// Its name.
        name: String,
    },
    /// A script cannot be played.
    #[error("{file}:{line}: {reason}. Mend the script; its format is limn-script, version 1.")]
    Script {
        /// The file.
        file: String,
        /// The line, from 1; 0 when the fault has no line.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A file or folder cannot be used.
    #[error("{} cannot be used: {source}. Check that it is there and may be read.", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
