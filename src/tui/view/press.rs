//! What each key does.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{Focus, View};
use crate::commands::{self, Typed};
use crate::composer::{Edit, Hand};
use crate::entry::Context;
use crate::keys::{self, Action, Choice, Place, Window};
use crate::protocol::{Command, Order, Query};
use crate::vim::Meaning;

/// Within this time, a second Ctrl-C leaves; microseconds.
const TWICE_US: u64 = 2_000_000;

/// Why something has to wait.
pub(super) const BUSY: &str = "A round is under way. Stop it first.";

/// Why something has to wait for the user's own command.
pub(super) const OWN_RUNS: &str = "Your command still runs. Ctrl-C stops it.";

/// What is looked for has about so many bytes.
const SEARCH_BYTES_MAX: usize = 200;

/// Rows that a turn of the mouse wheel goes.
const WHEEL_ROWS: usize = 3;

/// The conversation and what its rows depend on, borrowed apart.
macro_rules! with_context {
    ($view:ident, |$conversation:ident, $context:ident| $work:expr) => {{
        let $context = Context {
            columns: $view.room.columns,
            theme: &$view.theme,
            theme_number: $view.theme_number,
            now_us: $view.now_us,
            show_reasoning: $view.conversation.show_reasoning,
        };
        let $conversation = &mut $view.conversation;
        $work
    }};
}

impl View {
    /// Takes a key; what comes of it beyond the view is a command.
    pub fn press(&mut self, key: KeyEvent) -> Option<Command> {
        if self.panel.attached.is_some() {
            return self.press_attached(key);
        }
        let key = self.taste.keys.meant(self.place(), key)?;
        let plain = (key.modifiers - KeyModifiers::SHIFT).is_empty();
        if plain && !self.is_settled() {
            if self.has_to_wait(key.code) {
                self.settle();
                return None;
            }
            if matches!(key.code, KeyCode::Char(_)) {
                // Whoever writes on has left the list.
                self.pressed.settles_us = 0;
            }
        }
        if plain
            && self.decision.is_none()
            && matches!(key.code, KeyCode::Char(_) | KeyCode::Enter | KeyCode::Backspace)
        {
            self.pressed.type_at(self.now_us);
        }
        if self.help.is_some() {
            return self.press_in_help(key);
        }
        if self.decision.as_ref().is_some_and(|decision| decision.reason.is_some()) {
            return self.press_in_reason(key);
        }
        if self.focus == Focus::Search {
            return self.press_in_search(key);
        }
        if self.decision.is_none() && self.focus == Focus::Panel && self.panel.asks.is_some() {
            return self.press_in_question(key);
        }
        let place = self.place();
        if place == Place::Composer
            && let Some(vim) = &mut self.taste.vim
            && let Meaning::Edits(edits) = vim.press(key)
        {
            return edits.iter().filter_map(|edit| self.edit(*edit)).last();
        }
        if let Some(action) = keys::find(place, key) {
            return self.act(action);
        }
        // The list is open beside the composer: what is not for the list is for the text.
        if place == Place::Menu
            && let Some(action) = keys::find(Place::Composer, key)
        {
            return self.act(action);
        }
        match key.code {
            KeyCode::Char(letter)
                if plain && !matches!(place, Place::Decision | Place::Playback) =>
            {
                // Whoever begins to write means the prompt.
                self.focus = Focus::Composer;
                self.conversation.chosen = None;
                if letter == '!' && self.composer.take_bang() {
                    return self.offer();
                }
                self.composer.insert(letter.encode_utf8(&mut [0; 4]));
                self.offer()
            }
            _ => None,
        }
    }

    /// Whether a key would be taken for an answer to what has only just come up.
    const fn has_to_wait(&self, code: KeyCode) -> bool {
        match code {
            KeyCode::Enter => true,
            KeyCode::Tab => self.menu.is_some(),
            // Beside a list the prompt is written on.
            KeyCode::Char(_) => self.menu.is_none() || self.decision.is_some(),
            _ => false,
        }
    }

    /// Takes what was pasted.
    pub fn paste(&mut self, text: &str) -> Option<Command> {
        if self.panel.attached.is_some() {
            return self.paste_attached(text);
        }
        if let Some(reason) = self.decision.as_mut().and_then(|it| it.reason.as_mut()) {
            reason.paste(text);
            return None;
        }
        if self.facts.playback.is_some() {
            return None;
        }
        self.pressed.type_at(self.now_us);
        if self.focus == Focus::Search {
            let room = SEARCH_BYTES_MAX.saturating_sub(self.search.len());
            self.search.push_str(&crate::text::headline(text, room));
            return None;
        }
        self.focus = Focus::Composer;
        self.composer.paste(text);
        self.ask_for_picture(text).or_else(|| self.offer())
    }

    /// The mouse wheel; what is chosen with the mouse is the drawing's business.
    pub fn wheel(&mut self, event: MouseEvent) {
        match event.kind {
            MouseEventKind::ScrollUp => self.scroll(true, WHEEL_ROWS),
            MouseEventKind::ScrollDown => self.scroll(false, WHEEL_ROWS),
            _ => {}
        }
    }

    /// The part of the screen that a place is in.
    pub(crate) fn area_of(&self, at: Position) -> Rect {
        let whole = Rect { x: 0, y: 0, width: u16::MAX, height: u16::MAX };
        let parts = [self.room.seen, self.room.side];
        parts.into_iter().find(|part| part.contains(at)).unwrap_or(whole)
    }

    /// Whether the conversation stands still, whatever comes.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.conversation.hold(is_held);
    }

    /// A click without a drag: on the first row of what can be folded, it folds or unfolds it.
    pub fn click(&mut self, at: Position) {
        let row = self.room.seen.contains(at).then(|| usize::from(at.y - self.room.seen.y));
        if let Some(row) = row.filter(|_| self.help.is_none()) {
            self.conversation.click(row);
        }
    }

    fn place(&self) -> Place {
        if self.facts.playback.is_some() {
            Place::Playback
        } else if let Some(decision) = &self.decision {
            // A reason is written as a prompt is.
            if decision.reason.is_some() { Place::Composer } else { Place::Decision }
        } else if self.menu.is_some() {
            Place::Menu
        } else if self.focus == Focus::Conversation {
            Place::Conversation
        } else if self.focus == Focus::Panel {
            Place::Panel
        } else {
            Place::Composer
        }
    }

    fn act(&mut self, action: Action) -> Option<Command> {
        match action {
            // There is no prompt to go to, nothing to stop, and nobody to ask.
            Action::Switch | Action::Mode if self.facts.playback.is_some() => {}
            Action::Stop if self.facts.playback.is_some() => return Some(Command::Leave),
            Action::Play(play) => return Some(Command::Play(play)),
            Action::Stop => return self.stop(),
            Action::LeaveWhenEmpty => {
                if self.composer.is_empty() {
                    return Some(Command::Leave);
                }
                self.composer.edit(Edit::Delete);
            }
            Action::Help => self.help = Some(0),
            Action::Switch => self.switch(),
            Action::Mode => return self.set_mode(commands::next_mode(self.facts.mode)),
            Action::Scroll { up, pages } => {
                let page = self.conversation.page().saturating_sub(2).max(1);
                self.scroll(up, if pages { page } else { 1 });
            }
            Action::Ends { up: true } => self.conversation.go_to_start(),
            Action::Ends { up: false } => self.conversation.go_to_end(),
            Action::ToggleReasoning => self.conversation.toggle_reasoning(),
            Action::Window(Window::Mouse) => {
                self.taste.has_mouse = !self.taste.has_mouse;
                self.say(if self.taste.has_mouse {
                    "The mouse is ours again."
                } else {
                    "The mouse is the terminal's."
                });
                return Some(Command::Mouse(self.taste.has_mouse));
            }
            Action::Window(Window::Redraw) => return Some(Command::Redraw),
            Action::Window(Window::Suspend) => return Some(Command::Suspend),
            Action::Send { steers: false } => return self.send(),
            Action::Send { steers: true } => return self.steer(),
            Action::Queue => self.list_queued(),
            Action::Edit(edit) => return self.edit(edit),
            Action::Editor => {
                self.pressed.edits = None;
                return Some(Command::Edit(self.composer.content()));
            }
            Action::Menu(key) => return self.press_in_menu(key),
            Action::Escape => return self.escape(),
            Action::Jump { step, up } => {
                with_context!(self, |conversation, context| conversation.jump(step, up, context));
            }
            Action::Toggle => self.conversation.toggle(),
            Action::Copy => return self.copy(),
            Action::Rate(rating) => {
                let Some(seq) = self.conversation.rate(rating) else {
                    self.say("Choose a step of the model first: a thought, an answer, a call.");
                    return None;
                };
                return Some(Command::Order(Order::Rate(seq, rating)));
            }
            Action::Picture if self.composer.hand() != Hand::Model => {
                self.say("No picture goes with a command.");
            }
            Action::Picture => return Some(Command::Ask(Query::Clipboard)),
            Action::Search => {
                self.search.clear();
                self.focus = Focus::Search;
            }
            Action::SearchNext { up } => self.find(up),
            Action::Decide(choice) => return self.decide(choice),
            Action::Panel(act) => return self.act_in_panel(act),
        }
        None
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Option<Command> {
        // On the first screen, down goes to the sessions that are listed there.
        if edit == Edit::Down && self.composer.is_empty() && self.conversation.is_empty() {
            return Some(Command::Ask(Query::Sessions));
        }
        self.pressed.type_at(self.now_us);
        self.composer.edit(edit);
        match edit {
            Edit::Up | Edit::Down => None,
            _ => self.offer(),
        }
    }

    /// Ctrl-C: stops, empties, leaves; whichever there is to do.
    fn stop(&mut self) -> Option<Command> {
        let now_us = self.now_us;
        let is_second = self.pressed.stopped_us.is_some_and(|last| now_us < last + TWICE_US);
        self.pressed.stopped_us = Some(now_us);
        if is_second {
            return Some(Command::Leave);
        }
        // As long as it is so.
        self.say_for("Ctrl-C again leaves.", TWICE_US);
        self.menu = None;
        if self.working.is_some() || self.own.is_some() {
            return Some(Command::Interrupt);
        }
        self.composer.clear();
        None
    }

    fn escape(&mut self) -> Option<Command> {
        if let Some(prompt) = self.queued.pop_back() {
            if self.composer.is_empty() {
                self.composer.set(&prompt);
            } else {
                self.queued.push_back(prompt);
                self.say("Send or empty the prompt first.");
            }
            return None;
        }
        if self.own.is_none() && self.composer.hand() != Hand::Model && self.composer.is_empty() {
            self.composer.clear();
            return None;
        }
        if self.working.is_some() || self.own.is_some() {
            return Some(Command::Interrupt);
        }
        self.conversation.go_to_end();
        None
    }

    fn switch(&mut self) {
        if self.focus == Focus::Conversation || self.conversation.is_empty() {
            self.focus = Focus::Composer;
            self.conversation.chosen = None;
            return;
        }
        self.focus = Focus::Conversation;
        if self.conversation.chosen.is_none() {
            self.act(Action::Jump { step: crate::conversation::Step::Block, up: true });
        }
    }

    fn set_mode(&mut self, mode: trajectory::ApprovalMode) -> Option<Command> {
        self.facts.mode = mode;
        self.pressed.mode = Some(mode);
        Some(Command::Mode(mode))
    }

    pub(super) fn scroll(&mut self, up: bool, rows: usize) {
        with_context!(self, |conversation, context| if up {
            conversation.up(rows, context);
        } else {
            conversation.down(rows, context);
        });
    }

    pub(super) fn go_to_event(&mut self, seq: u64, call: Option<u32>) {
        with_context!(self, |conversation, context| conversation.go_to_event(seq, call, context));
    }

    /// Goes to where the chosen block has what is looked for in an event.
    pub(super) fn go_to_word(&mut self, seq: u64) {
        let word = self.search.clone();
        with_context!(self, |conversation, context| conversation.go_to_row(seq, &word, context));
    }

    fn copy(&mut self) -> Option<Command> {
        self.conversation.chosen_text().map(Command::Copy)
    }

    fn find(&mut self, up: bool) {
        if self.search.is_empty() {
            return;
        }
        let text = self.search.clone();
        let found =
            with_context!(self, |conversation, context| conversation.find(&text, up, context));
        if !found {
            self.say(format!("Nothing here holds \"{text}\"."));
        }
    }

    fn decide(&mut self, choice: Choice) -> Option<Command> {
        if self.room.is_too_small {
            return None;
        }
        let command = self.decision.as_mut()?.answer(choice)?;
        if matches!(command, Command::Edit(_)) {
            self.pressed.edits = self.decision.as_ref().map(|decision| decision.call);
            return Some(command);
        }
        if let Command::Decide { mode: Some(mode), .. } = &command {
            self.pressed.mode = Some(*mode);
        }
        self.end_question();
        Some(command)
    }

    fn press_in_help(&mut self, key: KeyEvent) -> Option<Command> {
        let at = self.help.unwrap_or(0);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.help = None;
                return self.stop();
            }
            KeyCode::Down | KeyCode::Char('j') => self.help = Some(at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.help = Some(at.saturating_sub(1)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.help = Some(at + 10),
            KeyCode::PageUp => self.help = Some(at.saturating_sub(10)),
            _ => self.help = None,
        }
        None
    }

    fn press_in_reason(&mut self, key: KeyEvent) -> Option<Command> {
        let decision = self.decision.as_mut()?;
        let action = keys::find(Place::Composer, key);
        match (action, key.code) {
            (Some(Action::Send { .. }), _) => {
                let command = decision.deny();
                self.end_question();
                Some(command)
            }
            (Some(Action::Escape), _) => {
                decision.reason = None;
                None
            }
            (Some(Action::Stop), _) => {
                self.end_question();
                self.stop()
            }
            (Some(Action::Edit(edit)), _) if !matches!(edit, Edit::Up | Edit::Down) => {
                decision.reason.as_mut()?.edit(edit);
                None
            }
            (None, KeyCode::Char(letter)) => {
                decision.reason.as_mut()?.insert(letter.encode_utf8(&mut [0; 4]));
                None
            }
            _ => None,
        }
    }

    fn press_in_search(&mut self, key: KeyEvent) -> Option<Command> {
        match (key.code, keys::find(Place::Composer, key)) {
            (KeyCode::Enter, _) => {
                self.focus = Focus::Conversation;
                self.conversation.chosen = None;
                self.find(true);
            }
            (_, Some(Action::Escape | Action::Stop)) => self.focus = Focus::Conversation,
            (KeyCode::Backspace, _) => {
                self.search.pop();
            }
            (KeyCode::Char(letter), None) if self.search.len() < SEARCH_BYTES_MAX => {
                self.search.push_str(&crate::text::clean(letter.encode_utf8(&mut [0; 4])));
            }
            _ => {}
        }
        None
    }

    /// Says why the session cannot be closed now, if it cannot.
    fn says_busy(&mut self) -> bool {
        if self.working.is_some() {
            self.say(BUSY);
        } else if self.own.is_some() {
            self.say(OWN_RUNS);
        }
        self.working.is_some() || self.own.is_some()
    }

    /// The command, unless something is under way that it would end.
    pub(super) fn at_rest(&mut self, command: Command) -> Option<Command> {
        (!self.says_busy()).then_some(command)
    }

    /// Carries out the command that is written.
    pub(super) fn order(&mut self) -> Option<Command> {
        let line = self.composer.content();
        let typed = commands::parse(&line);
        if let Typed::Wrong(what) = typed {
            self.say(what);
            return None;
        }
        self.composer.take();
        match typed {
            Typed::Help => self.help = Some(0),
            Typed::Copy => return self.copy(),
            Typed::Panel(page) => return self.open_panel(page),
            Typed::List(query @ Query::Search(_)) => {
                self.say("Looking through the recordings …");
                return Some(Command::Ask(query));
            }
            Typed::List(_) | Typed::Driver(Command::Order(Order::Fork | Order::Model(_)))
                if self.says_busy() => {}
            Typed::List(query) => return Some(Command::Ask(query)),
            Typed::Driver(Command::Mode(mode)) => return self.set_mode(mode),
            Typed::Driver(Command::Order(Order::Compact(words))) if self.working.is_none() => {
                self.working = Some(self.now_us);
                self.pressed.sums_up = true;
                return Some(Command::Order(Order::Compact(words)));
            }
            Typed::Driver(Command::Order(Order::Compact(_))) => self.say(BUSY),
            Typed::Driver(command) => return Some(command),
            Typed::Wrong(_) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests;
