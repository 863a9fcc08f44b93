//! What can go wrong between messages and tokens.

use std::path::PathBuf;

/// Why a conversation cannot be written as a model reads it.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file of the model cannot be read.
    #[error("Cannot read {}: {source}. Name a folder with tokenizer.json, as it is published with a model, or a GGUF file.", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the model is not what it should be.
    #[error("{} cannot be used: {reason}. Take the one that was published with the model.", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no chat template.
    #[error("{} has no chat template. Name one with --template; `--template chatml-tools` serves models of the ChatML form, `deepseek-tools` those of DeepSeek.", .0.display())]
    NoTemplate(PathBuf),
    /// The template is no Jinja, or fails at work.
    #[error("The chat template fails{}: {reason}. Name another one with --template.", at(*line))]
    Template {
        /// The line, from 1, when it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The template refuses the conversation.
    #[error(
        "The chat template refuses the conversation: {0}. Name one that takes it with --template."
    )]
    Refused(String),
    /// The template leaves out what the conversation holds.
    #[error(
        "The chat template drops {0}. Name one that keeps it; `--template chatml-tools` keeps everything, for models of the ChatML form; `deepseek-tools` does for DeepSeek."
    )]
    Drops(String),
    /// What comes later changes how earlier messages are written.
    #[error(
        "Message {message} is written otherwise once others follow it: {what}, at byte {at}, near {near:?}. Export a row for each round (--rows round), or name a template for training with --template."
    )]
    NotPrefixStable {
        /// The message, from 0.
        message: usize,
        /// What differs.
        what: &'static str,
        /// Where in the text.
        at: usize,
        /// The text around it.
        near: String,
    },
    /// The two ways to the mask disagree.
    #[error(
        "Message {message}: the template marks bytes {marked:?} as generated, and what the model was asked to go on from gives {prompted:?}, near {near:?}. The template's generation tags are wrong: correct them, or name another one with --template."
    )]
    MasksDiffer {
        /// The message, from 0.
        message: usize,
        /// What the template's generation tags mark, nothing when they mark nothing there.
        marked: Option<std::ops::Range<usize>>,
        /// What rendering the prompt alone gives.
        prompted: std::ops::Range<usize>,
        /// The text where they part.
        near: String,
    },
    /// Nothing ends a message.
    #[error(
        "Message {message} ends without a token at which the model stops, near {near:?}. Name a template that writes one with --template, or a tokenizer that has it."
    )]
    NoTerminator {
        /// The message, from 0.
        message: usize,
        /// The text at its end.
        near: String,
    },
    /// The tokenizer cannot read the text.
    #[error("The tokenizer cannot read the rendered text: {0}. It does not fit the chat template.")]
    Tokens(String),
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(" in line {line}")).unwrap_or_default()
}

/// A little of the text around a place, for an error.
pub(crate) fn near(text: &str, at: usize) -> String {
    const AROUND: usize = 40;
    let at = text.floor_char_boundary(at.min(text.len()));
    let from = text.floor_char_boundary(at.saturating_sub(AROUND));
    let to = text.ceil_char_boundary((at + AROUND).min(text.len()));
    text[from..to].to_owned()
}
