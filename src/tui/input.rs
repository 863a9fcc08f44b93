//! Keys and what else the terminal sends.
//!
//! The answer to the question for the background's colour comes in between the keys, whenever it
//! comes: over a slow line that may be late. It is taken out here, so that it is never typed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use crossterm::event::{
    Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent,
};
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::theme::Background;

/// Characters of an answer; what is longer was typed.
const ANSWER_CHARACTERS_MAX: usize = 40;

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
pub enum Keys {
    /// The terminal.
    Terminal {
        /// None while somebody else has the terminal.
        stream: Option<EventStream>,
        /// What has come of an answer.
        answer: Answer,
    },
    /// Whoever gives them.
    Given(mpsc::Receiver<Input>),
}

/// An answer of the terminal, among the keys.
#[derive(Debug, Default)]
pub struct Answer {
    text: Option<String>,
    had: bool,
}

impl Keys {
    /// The keys of the terminal.
    #[must_use]
    pub fn of_terminal() -> Self {
        Self::Terminal { stream: Some(EventStream::new()), answer: Answer::default() }
    }

    /// The next thing; `None` when there is nothing more to come.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub async fn next(&mut self) -> io::Result<Option<Input>> {
        loop {
            let (event, answer) = match self {
                Self::Given(keys) => return Ok(keys.recv().await),
                Self::Terminal { stream: None, .. } => std::future::pending().await,
                Self::Terminal { stream: Some(stream), answer } => {
                    let next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
                    let Some(event) = next else { return Ok(None) };
                    (event?, answer)
                }
            };
            if let Some(input) = answer.pass(event) {
                return Ok(Some(input));
            }
        }
    }

    /// Lets somebody else have the terminal.
    pub fn pause(&mut self) {
        if let Self::Terminal { stream, .. } = self {
            *stream = None;
            // To let go of the terminal the stream has rung a bell. It is heard here: who comes back
            // to it would hear nothing else, and miss a key that is pressed at that moment.
            let _ = crossterm::event::poll(Duration::ZERO);
        }
    }

    /// Takes it back.
    pub fn resume(&mut self) {
        if let Self::Terminal { stream, .. } = self {
            *stream = Some(EventStream::new());
        }
    }
}

impl Answer {
    fn pass(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => None,
            Event::Key(key) => self.pass_key(key),
            Event::Paste(text) => Some(Input::Paste(text)),
            Event::Mouse(mouse) => Some(Input::Mouse(mouse)),
            Event::Resize(..) => Some(Input::Resize),
            Event::FocusGained => Some(Input::Focus(true)),
            Event::FocusLost => Some(Input::Focus(false)),
        }
    }

    /// `ESC ] 11 ; rgb:… BEL` comes as the keys Alt-], 1, 1 and so on.
    fn pass_key(&mut self, key: KeyEvent) -> Option<Input> {
        let has = |modifier| key.modifiers.contains(modifier);
        let Some(text) = &mut self.text else {
            if !self.had && key.code == KeyCode::Char(']') && has(KeyModifiers::ALT) {
                self.text = Some(String::new());
                return None;
            }
            return Some(Input::Key(key));
        };
        let is_end = match key.code {
            KeyCode::Char('\\') => has(KeyModifiers::ALT),
            KeyCode::Char('g') => has(KeyModifiers::CONTROL),
            _ => false,
        };
        if let (KeyCode::Char(character), false) = (key.code, is_end) {
            text.push(character);
            if is_beginning(text) {
                return None;
            }
        }
        let text = self.text.take().unwrap_or_default();
        if !is_end {
            // It was no answer: the key itself still counts.
            return Some(Input::Key(key));
        }
        self.had = true;
        colour(&text).map(Input::Background)
    }
}

/// Whether an answer may begin so.
fn is_beginning(text: &str) -> bool {
    const START: &str = "11;rgb";
    text.len() <= ANSWER_CHARACTERS_MAX && (START.starts_with(text) || text.starts_with(START))
}

/// The background of an answer such as `11;rgb:1e1e/1e1e/2e2e`.
fn colour(answer: &str) -> Option<Background> {
    let (_, parts) = answer.split_once(':')?;
    let mut parts = parts.split('/').map(|part| {
        // One to four digits; the first two are what counts.
        let part = if part.len() == 1 { part.repeat(2) } else { part.to_owned() };
        u8::from_str_radix(part.get(..2)?, 16).ok()
    });
    let mut next = || parts.next().flatten();
    Some(Background::of(next()?, next()?, next()?))
}

#[cfg(test)]
mod tests;
