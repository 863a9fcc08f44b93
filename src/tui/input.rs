//! Keys and what else the terminal sends.

mod csi;
mod decoder;
mod tty;

use std::io;

use crossterm::event::{KeyEvent, MouseEvent};
use tokio::sync::mpsc;

use crate::theme::Background;
use tty::Tty;

/// What the terminal sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// Something was pasted.
    Paste(String),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal has another size now.
    Resize,
    /// The colour behind the text.
    Background(Background),
    /// The window came to the front, or went behind others.
    Focus(bool),
}

/// Where keys come from.
pub struct Keys(Source);

enum Source {
    /// The terminal.
    Terminal(Tty),
    /// Whoever gives them.
    Given(mpsc::Receiver<Input>),
}

impl Keys {
    /// The keys of the process's terminal, which is its standard input.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn of_terminal() -> io::Result<Self> {
        Tty::open().map(|tty| Self(Source::Terminal(tty)))
    }

    /// What somebody gives.
    #[must_use]
    pub const fn given(keys: mpsc::Receiver<Input>) -> Self {
        Self(Source::Given(keys))
    }

    /// Whether it is a terminal, which answers questions.
    pub(crate) const fn are_of_terminal(&self) -> bool {
        matches!(self.0, Source::Terminal(_))
    }

    /// The next thing; `None` when there is nothing more to come.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Input>> {
        match &mut self.0 {
            Source::Terminal(tty) => tty.next().await,
            Source::Given(keys) => Ok(keys.recv().await),
        }
    }

    /// What may be the beginning of something longer is the key that it may be.
    pub(crate) fn settle(&mut self) {
        if let Source::Terminal(tty) = &mut self.0 {
            tty.settle_key();
        }
    }

    /// Lets somebody else have the terminal.
    pub fn pause(&mut self) {
        if let Source::Terminal(tty) = &mut self.0 {
            tty.pause();
        }
    }

    /// Takes it back.
    ///
    /// # Errors
    /// When it cannot be waited for any more.
    pub fn resume(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Source::Terminal(tty) => tty.resume(),
            Source::Given(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
