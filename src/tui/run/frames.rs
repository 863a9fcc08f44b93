//! When a frame is drawn, and how it goes out.
//!
//! From a key to what it shows there is nothing but what that takes: what can be done behind the frame
//! is done behind it.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::Tui;
use crate::draw;

/// Between two frames that no key asked for.
const FRAME: Duration = Duration::from_millis(16);

/// Between two frames of something that moves by itself.
const TURN: Duration = Duration::from_millis(120);

impl<W: Write> Tui<W> {
    /// Takes the keys that are there and draws a frame, unless that can wait; then it is due. A key
    /// that comes alone is shown before others are looked for, of many all but the first together.
    pub(super) async fn show(&mut self, is_urgent: bool, drawn: &mut Instant) -> io::Result<bool> {
        let is_shown = is_urgent && drawn.elapsed() >= FRAME;
        if is_shown {
            self.frame()?;
            *drawn = Instant::now();
        }
        let has_more = self.drain().await?;
        if is_shown && !has_more {
            return Ok(false);
        }
        if !is_urgent && !has_more && drawn.elapsed() < FRAME {
            return Ok(true);
        }
        self.frame()?;
        *drawn = Instant::now();
        Ok(false)
    }

    /// When the next frame is due that no key asks for.
    pub(super) fn next_turn(&self, drawn: Instant, is_due: bool) -> Option<Instant> {
        match (is_due, self.view.is_moving()) {
            _ if self.editor.is_some() => None,
            _ if self.is_resized => Some(drawn),
            (true, _) => Some(drawn + FRAME),
            (false, true) => Some(drawn + TURN),
            (false, false) => None,
        }
    }

    /// Draws a frame, unless an editor has the terminal.
    pub(super) fn frame(&mut self) -> io::Result<()> {
        if self.editor.is_some() {
            return Ok(());
        }
        self.view.tick(self.now_us());
        // What is being marked stays where it is until it is copied.
        self.view.hold(self.copies || self.selection.is_some_and(|selection| selection.is_open));
        if std::mem::take(&mut self.is_resized)
            && let Some(size) = self.screen.window()?
            && size != self.canvas.size()
        {
            self.canvas.clear(size)?;
        }
        let copies = std::mem::take(&mut self.copies);
        let mut copied = None;
        draw(&mut self.view, self.canvas.next());
        if let Some(selection) = self.selection {
            copied = copies.then(|| selection.text(self.canvas.next(), &self.view.room.tabs));
            selection.mark(self.canvas.next());
        }
        self.canvas.show(self.view.room.cursor)?;
        // What nobody waits for comes when the frame is out: to make room for the next one, and to
        // ask for the size, which is told of too, but not to be missed.
        self.canvas.turn();
        if let Some(size) = self.screen.window()? {
            self.is_resized = size != self.canvas.size();
        }
        if let Some(command) = self.view.fit() {
            self.tell(command);
        }
        if let Some(text) = copied {
            self.copy(&text)?;
        }
        Ok(())
    }
}
