//! The loop: everything that waits is handled, then one frame is drawn.
//!
//! A key is answered with a frame at once; what a model or a command prints waits for the next
//! sixtieth of a second, so that twenty thousand pieces are a few frames. While the user writes in an
//! editor, which then has the terminal, everything goes on but the drawing.

mod frames;
mod signals;

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::io::{self, Write};
use std::pin::Pin;
use std::time::Duration;

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Size};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep_until};

use crate::canvas::Canvas;
use crate::input::{Input, Keys};
use crate::protocol::{Command, Update};
use crate::selection::Selection;
use crate::terminal::Screen;
use crate::view::View;
use signals::Signals;

/// For how long the first frame waits to know the background.
const BACKGROUND_WAIT: Duration = Duration::from_millis(25);

/// A round that took so long is told of where nobody knows who looks; microseconds.
const LONG_ROUND_US: u64 = 10_000_000;

/// Updates that are taken before keys are looked at again.
const UPDATES_MAX: usize = 4_096;

/// Commands that may wait for a driver that has no room for more.
const UNSENT_MAX: usize = 4_096;

/// What was written in an editor, once it has ended; or what failed, in a sentence. Whoever drops it
/// ends the editor.
pub type Edited = Pin<Box<dyn Future<Output = Result<String, String>>>>;

/// What is not the terminal's: whom commands go to, and how an editor is run.
pub struct Outside {
    /// The driver.
    pub commands: mpsc::Sender<Command>,
    /// Lets the user write a text on.
    pub edit: fn(String) -> Edited,
    /// Gives a text to the clipboard of the desktop; false where none can be reached.
    pub copy: fn(&str) -> bool,
    /// Stands still until the shell lets the program go on.
    pub suspend: fn(),
    /// Whether the background is known already, so that the first frame waits for no answer.
    pub knows_background: bool,
}

/// The terminal, its keys and what they show.
pub struct Tui<W: Write> {
    canvas: Canvas<W>,
    screen: Screen<W>,
    keys: Keys,
    view: View,
    outside: Outside,
    began: Instant,
    selection: Option<Selection>,
    /// What is marked goes to the clipboard with the next frame.
    copies: bool,
    /// Commands that the driver had no room for, in their order.
    unsent: VecDeque<Command>,
    /// The editor that has the terminal.
    editor: Option<Edited>,
    /// Whether the window is in front, as far as the terminal tells.
    is_in_front: Option<bool>,
    over: bool,
    /// The terminal may have another size than when it was drawn last.
    is_resized: bool,
}

impl<W: Write> Tui<W> {
    /// Takes the process's terminal.
    ///
    /// # Errors
    /// When it cannot be set or written.
    pub fn open(out: W, keys: Keys, view: View, outside: Outside) -> io::Result<Self> {
        let screen = Screen::real(out);
        let taken = screen
            .enter(view.taste.has_mouse)
            .and_then(|()| screen.ask_background())
            .and_then(|()| screen.window());
        match taken {
            Ok(size) => Ok(Self::with(screen, size.unwrap_or_default(), keys, view, outside)),
            Err(error) => {
                screen.leave();
                Err(error)
            }
        }
    }

    /// A terminal of a given size, for whoever looks at what is written.
    #[must_use]
    pub fn fixed(out: W, size: (u16, u16), keys: Keys, view: View, outside: Outside) -> Self {
        Self::with(Screen::given(out), Size::from(size), keys, view, outside)
    }

    fn with(screen: Screen<W>, size: Size, keys: Keys, view: View, outside: Outside) -> Self {
        Self {
            canvas: Canvas::new(screen.clone(), size),
            screen,
            keys,
            view,
            outside,
            began: Instant::now(),
            selection: None,
            copies: false,
            unsent: VecDeque::new(),
            editor: None,
            is_in_front: None,
            over: false,
            is_resized: false,
        }
    }

    /// Shows and asks until the user leaves, the driver is gone or the terminal is. The terminal
    /// is given back in any case.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    pub async fn run(mut self, mut updates: mpsc::Receiver<Update>) -> io::Result<()> {
        let result = self.work(&mut updates).await;
        self.editor = None;
        self.screen.leave();
        // Nobody takes updates any more, and a driver that waits to send one could not hear this.
        drop(updates);
        // The driver hears it even when it was not the user who left.
        for command in self.unsent.into_iter().chain([Command::Leave]) {
            let _ = self.outside.commands.send(command).await;
        }
        result
    }

    async fn work(&mut self, updates: &mut mpsc::Receiver<Update>) -> io::Result<()> {
        let mut signals = Signals::new()?;
        self.await_background().await?;
        self.frame()?;
        let mut drawn = Instant::now();
        let mut is_due = false;
        let mut batch = Vec::new();
        while !self.over {
            let turn = self.next_turn(drawn, is_due);
            let is_urgent = tokio::select! {
                biased;
                () = signals.any(self.editor.is_some()) => return Ok(()),
                edited = ended(&mut self.editor) => {
                    signals.forget_keys().await?;
                    self.come_back(edited)?;
                    // No key is an answer before it is seen what there is to answer.
                    self.frame()?;
                    true
                }
                input = self.keys.next(), if self.editor.is_none() => {
                    let Some(input) = input? else { return Ok(()) };
                    self.input(input)?;
                    true
                }
                () = sleep_until(turn.unwrap_or_else(Instant::now)), if turn.is_some() => true,
                () = has_room(&self.outside.commands), if !self.unsent.is_empty() => {
                    self.send_waiting();
                    false
                }
                count = updates.recv_many(&mut batch, UPDATES_MAX) => {
                    self.over |= count == 0;
                    let asks = batch.iter().any(|update| matches!(update, Update::Decide(_)));
                    if asks {
                        // Keys that were pressed before a question are no answer to it.
                        self.drain().await?;
                        self.keys.settle();
                        self.drain().await?;
                    }
                    batch.drain(..).for_each(|update| self.update(update));
                    if asks {
                        // No key is an answer before the question is seen.
                        self.frame()?;
                        drawn = Instant::now();
                    }
                    false
                }
            };
            is_due = self.show(is_urgent, &mut drawn).await?;
        }
        // What was told last is seen, however soon the end came after it.
        if is_due { self.frame() } else { Ok(()) }
    }

    /// Takes every key that is there already; whether there was one.
    async fn drain(&mut self) -> io::Result<bool> {
        let mut had_any = false;
        while !self.over && self.editor.is_none() {
            let input = tokio::select! {
                biased;
                input = self.keys.next() => input?,
                () = ready(()) => return Ok(had_any),
            };
            had_any = true;
            match input {
                Some(input) => self.input(input)?,
                None => self.over = true,
            }
        }
        Ok(had_any)
    }

    /// Whoever's terminal is light does not see a dark frame first, if it answers at once.
    async fn await_background(&mut self) -> io::Result<()> {
        if self.outside.knows_background || !self.keys.are_of_terminal() {
            return Ok(());
        }
        let until = Instant::now() + BACKGROUND_WAIT;
        loop {
            let input = tokio::select! {
                biased;
                input = self.keys.next() => input?,
                () = sleep_until(until) => return Ok(()),
            };
            let Some(input) = input else { return Ok(()) };
            let is_answer = matches!(input, Input::Background(_));
            self.input(input)?;
            if is_answer {
                return Ok(());
            }
        }
    }

    fn update(&mut self, update: Update) {
        self.view.tick(self.now_us());
        let since = self.view.working.map(|since| self.now_us().saturating_sub(since));
        let waits = match &update {
            Update::Decide(call) => Some(self.view.question_for(*call)),
            Update::RoundOver(_) => {
                let is_long = since.is_some_and(|since| since > LONG_ROUND_US);
                let is_away = self.is_in_front == Some(false) || self.editor.is_some();
                (is_long || is_away).then(|| "the round is over".to_owned())
            }
            _ => None,
        };
        if let Some(command) = self.view.update(update) {
            self.tell(command);
        } else if let Some(text) =
            waits.filter(|_| self.is_in_front != Some(true) || self.editor.is_some())
        {
            // What cannot be written here does no harm.
            let _ = self.screen.call(self.view.taste.notify, &text);
        }
    }

    fn input(&mut self, input: Input) -> io::Result<()> {
        self.view.tick(self.now_us());
        let command = match input {
            Input::Key(key) => {
                self.selection = None;
                self.view.press(key)
            }
            Input::Paste(text) => self.view.paste(&text),
            Input::Mouse(mouse) => match self.view.mouse_attached(mouse) {
                None => {
                    self.mouse(mouse);
                    None
                }
                command => command,
            },
            Input::Background(background) => {
                self.view.set_background(background);
                None
            }
            Input::Resize => {
                self.selection = None;
                // Although it may have the size again that it had: what stood there was cut.
                self.draw_anew()?;
                None
            }
            Input::Focus(is_in_front) => {
                self.is_in_front = Some(is_in_front);
                None
            }
        };
        match command {
            Some(command) => self.carry_out(command),
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::Leave => self.over = true,
            Command::Copy(text) => self.copy(&text)?,
            Command::Mouse(is_ours) => self.screen.set_mouse(is_ours)?,
            Command::Edit(text) => {
                self.part();
                self.editor = Some((self.outside.edit)(text));
            }
            Command::Redraw => self.draw_anew()?,
            Command::Suspend => {
                self.part();
                (self.outside.suspend)();
                self.return_to()?;
            }
            command => self.tell(command),
        }
        Ok(())
    }

    /// Nothing that stands there counts.
    fn draw_anew(&mut self) -> io::Result<()> {
        let size = self.screen.window()?.unwrap_or_else(|| self.canvas.size());
        self.canvas.clear(size)
    }

    /// To the terminal, which may be far away, and to the desktop, if there is one.
    fn copy(&mut self, text: &str) -> io::Result<()> {
        let is_whole = self.screen.copy(text)?;
        let is_taken = (self.outside.copy)(text);
        self.view.say(match is_whole || is_taken {
            true => "Copied.",
            false => "Copied the beginning: a terminal takes no more.",
        });
        Ok(())
    }

    fn tell(&mut self, command: Command) {
        if matches!(command, Command::Submit(_)) {
            crate::highlight::prepare();
        }
        if self.unsent.len() >= UNSENT_MAX {
            self.view.say("Too much at once. Try that again.");
            return;
        }
        self.unsent.push_back(command);
        self.send_waiting();
    }

    /// What was asked or decided is not lost because the driver is slow.
    fn send_waiting(&mut self) {
        while let Some(command) = self.unsent.pop_front() {
            // Without a driver its updates have ended too, and that is the end.
            if let Err(TrySendError::Full(command)) = self.outside.commands.try_send(command) {
                self.unsent.push_front(command);
                return;
            }
        }
    }

    /// Lets somebody else have the terminal.
    fn part(&mut self) {
        self.keys.pause();
        self.screen.leave();
    }

    /// Takes it back.
    fn return_to(&mut self) -> io::Result<()> {
        self.screen.enter(self.view.taste.has_mouse)?;
        self.keys.resume()?;
        // The screen is blank again: nothing of the last frame counts, nor its size.
        self.canvas.forget(self.canvas.size());
        self.is_resized = true;
        Ok(())
    }

    /// The editor has ended.
    fn come_back(&mut self, edited: Result<String, String>) -> io::Result<()> {
        self.editor = None;
        self.return_to()?;
        self.view.tick(self.now_us());
        if let Some(command) = self.view.edited(edited) {
            self.tell(command);
        }
        Ok(())
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        let at = Position { x: mouse.column, y: mouse.row };
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                let area = self.view.area_of(at);
                self.selection = Some(Selection { from: at, to: at, area, is_open: true });
                self.view.hold(true);
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                self.selection.iter_mut().for_each(|selection| selection.to = at);
            }
            MouseEventKind::Up(MouseButton::Left) => {
                self.selection.iter_mut().for_each(|selection| selection.is_open = false);
                self.copies = self.selection.is_some_and(|it| it.from != it.to);
                self.selection = self.selection.filter(|_| self.copies);
                if !self.copies {
                    self.view.click(at);
                }
            }
            _ => {
                self.selection = None;
                self.view.wheel(mouse);
            }
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Waits until the driver takes a command again, or is gone.
async fn has_room(commands: &mpsc::Sender<Command>) {
    let _ = commands.reserve().await;
}

/// Waits for the editor's end; for ever, where there is none.
async fn ended(editor: &mut Option<Edited>) -> Result<String, String> {
    match editor {
        Some(editor) => editor.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
