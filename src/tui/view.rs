//! What the terminal shows, and what its keys do.
//!
//! A [`View`] folds what is recorded ([`View::apply`]) and what flickers ([`View::progress`]), and
//! turns keys into commands ([`View::press`]). It reads no clock, no file and no terminal: time is
//! told to it, and what it wants to know it asks the driver for.

mod answers;
mod found;
mod hand;
mod menu;
mod panel;
mod picture;
mod press;

use std::collections::VecDeque;

use ratatui::layout::{Position, Rect};
use trajectory::event::Ended;
use trajectory::{ApprovalMode, Body, Event, Progress, Recorded, Usage};

use crate::composer::{Composer, Hand};
use crate::conversation::Conversation;
use crate::decision::Decision;
use crate::entry::NoteKind;
use crate::panel::Panel;
use crate::protocol::{Command, Facts, Query, Update};
use crate::selection::Tab;
use crate::taste::Taste;
use crate::text::clean;
use crate::theme::{Background, Depth, Theme};

pub(crate) use menu::{Menu, MenuRow, Pick};

/// For how long a remark above the status line stays, microseconds.
const TOAST_US: u64 = 4_000_000;

/// Whoever typed so short a time ago is typing, microseconds.
const TYPING_US: u64 = 1_000_000;

/// For how long nothing may be typed before what is typed counts again, microseconds.
const SETTLE_US: u64 = 700_000;

/// Prompts that may wait.
const QUEUED_MAX: usize = 50;

/// Where the keys go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Focus {
    /// A prompt is written.
    #[default]
    Composer,
    /// Blocks are chosen.
    Conversation,
    /// What is looked for is written.
    Search,
    /// Rows of the panel are chosen.
    Panel,
}

/// The room that there was when it was drawn last.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Columns of the conversation.
    pub(crate) columns: usize,
    /// Whether conversation and panel stand side by side.
    pub(crate) is_beside: bool,
    /// Whether there was too little of it for anything, a question too.
    pub(crate) is_too_small: bool,
    /// Where the conversation is, as far as it is seen.
    pub(crate) seen: Rect,
    /// Where the panel is, as far as it is seen.
    pub(crate) side: Rect,
    /// The tabs, which are drawn as blanks.
    pub(crate) tabs: Vec<Tab>,
    /// Where the cursor is, if it is seen.
    pub(crate) cursor: Option<Position>,
}

/// What the session took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    /// Tokens of the last request and its reply.
    pub(crate) context_tokens: u64,
}

/// What was pressed that later keys depend on; times in microseconds.
#[derive(Debug, Default)]
struct Pressed {
    /// The approval mode that was chosen here, which outlasts other settings.
    mode: Option<ApprovalMode>,
    /// A summary was asked for, so what goes on is no round.
    sums_up: bool,
    /// When Ctrl-C was pressed last.
    stopped_us: Option<u64>,
    /// When something was typed or pasted last that was no answer.
    typed_us: Option<u64>,
    /// Until when letters are taken for the end of what was being typed.
    settles_us: u64,
    /// The call that is written on in an editor; none while that is the prompt.
    edits: Option<u32>,
}

impl Pressed {
    /// Something is typed: the next ctrl-c is no second one in a row.
    const fn type_at(&mut self, now_us: u64) {
        self.typed_us = Some(now_us);
        self.stopped_us = None;
    }
}

/// The whole terminal, without the terminal.
pub struct View {
    pub(crate) conversation: Conversation,
    pub(crate) composer: Composer,
    pub(crate) decision: Option<Decision>,
    pub(crate) facts: Facts,
    pub(crate) menu: Option<Menu>,
    pub(crate) focus: Focus,
    pub(crate) search: String,
    /// Prompts that wait until the round is over.
    pub(crate) queued: VecDeque<String>,
    /// Since when a round is under way.
    pub(crate) working: Option<u64>,
    /// The execution of the user's own command that runs.
    pub(crate) own: Option<u32>,
    /// A remark, and until when it stands.
    pub(crate) toast: Option<(String, u64)>,
    /// How far the help is scrolled, when it is open.
    pub(crate) help: Option<usize>,
    pub(crate) spent: Spent,
    pub(crate) theme: Theme,
    pub(crate) theme_number: u32,
    pub(crate) now_us: u64,
    pressed: Pressed,
    pub(crate) panel: Panel,
    pub(crate) taste: Taste,
    pub(crate) room: Room,
}

impl View {
    /// An empty terminal.
    #[must_use]
    pub fn new(facts: Facts, background: Background, depth: Depth) -> Self {
        Self {
            conversation: Conversation::default(),
            composer: Composer::default(),
            decision: None,
            facts: facts.cleaned(),
            menu: None,
            focus: Focus::Composer,
            search: String::new(),
            queued: VecDeque::new(),
            working: None,
            own: None,
            toast: None,
            help: None,
            spent: Spent::default(),
            theme: Theme::new(background, depth),
            theme_number: 0,
            now_us: 0,
            pressed: Pressed::default(),
            panel: Panel::default(),
            taste: Taste::default(),
            room: Room {
                columns: 80,
                is_beside: true,
                is_too_small: false,
                seen: Rect::ZERO,
                side: Rect::ZERO,
                tabs: Vec::new(),
                cursor: None,
            },
        }
    }

    /// As the user likes it. What was wrong in a file of theirs is told where they look.
    #[must_use]
    pub fn liked(mut self, taste: Taste, background: Background, wrong: &[String]) -> Self {
        self.theme = Theme::with(background, self.theme.depth(), &taste.theme);
        self.taste = taste;
        wrong.iter().for_each(|wrong| self.conversation.note(NoteKind::Error, wrong));
        self
    }

    /// Takes what the driver tells; what comes of it goes back to it.
    pub fn update(&mut self, update: Update) -> Option<Command> {
        match update {
            Update::Event(event) => {
                let is_stale = self.apply(&event);
                return is_stale.then(|| self.ask_for_changes()).flatten();
            }
            Update::Progress(progress) => self.progress(&progress),
            Update::Decide(call) => self.ask(call),
            Update::Offer { call, rules, reading } => {
                if let Some(decision) = self.decision.as_mut().filter(|it| it.call == call) {
                    decision.offered(&rules, reading);
                }
            }
            Update::Usage(usage) => {
                self.spent.usage += usage;
                self.spent.context_tokens = usage.total();
                self.panel.counted(usage);
            }
            Update::OwnStarted { exec, command, outside } => {
                self.own = Some(exec);
                self.panel.jobs.own(exec, &command);
                self.conversation.own_started(exec, &command, outside, self.now_us);
                self.conversation.go_to_end();
            }
            Update::Counted(usages) => self.panel.timeline.set_usages(usages),
            Update::Rated(rated) => {
                rated.into_iter().for_each(|(seq, rating)| self.conversation.rated(seq, rating));
            }
            Update::Working => {
                self.working.get_or_insert(self.now_us);
            }
            Update::RoundOver(ended) => return self.round_over(ended),
            Update::Facts(facts) => self.frame(*facts),
            Update::Recent(recent) => self.facts.recent = recent,
            Update::Sandbox(tier) => self.facts.sandbox = clean(&tier),
            Update::Answer(answer) => {
                self.answered(answer);
                let changes = &self.panel.changes;
                let asks_again = changes.is_stale && !changes.is_asked;
                return asks_again.then(|| self.ask_for_changes()).flatten();
            }
            Update::GoTo(place) => self.go_to_found(&place),
            Update::Written(text) => {
                if self.composer.is_empty() {
                    self.composer.set(&text);
                }
            }
            Update::Wrote(earlier) => self.composer.remember_earlier(earlier),
            Update::Said(text) => self.conversation.note(NoteKind::Info, &text),
            Update::Failed(text) => self.conversation.note(NoteKind::Error, &text),
            Update::Watched(is_watched) => self.facts.is_watched = is_watched,
            Update::Cleared => self.clear(),
            Update::Recalled(usage) => {
                self.working = None;
                self.own = None;
                self.end_question();
                self.spent.usage = usage;
                self.conversation.go_to_end();
            }
            Update::Playback(playback) => self.facts.playback = Some(playback),
        }
        None
    }

    /// Nothing of a session is shown.
    fn clear(&mut self) {
        self.conversation = Conversation::default();
        self.own = None;
        self.facts.is_watched = false;
        let (is_open, page) = (self.panel.is_open, self.panel.page);
        self.panel = Panel { is_open, page, ..Panel::default() };
        self.spent.usage = Usage::default();
        self.spent.context_tokens = 0;
    }

    /// Other settings hold. What was chosen or found meanwhile stays: it is newer.
    fn frame(&mut self, facts: Facts) {
        let before = std::mem::replace(&mut self.facts, facts.cleaned());
        self.facts.mode = self.pressed.mode.unwrap_or(self.facts.mode);
        if self.facts.recent.is_empty() {
            self.facts.recent = before.recent;
        }
        if self.facts.sandbox.is_empty() {
            self.facts.sandbox = before.sandbox;
        }
        self.facts.is_watched = before.is_watched;
    }

    /// Something is on record. Says whether the panel should compare the files anew.
    pub fn apply(&mut self, event: &Recorded<Event>) -> bool {
        match &event.body {
            Body::Prompt(prompt) => {
                self.working.get_or_insert(self.now_us);
                self.composer.remember(Hand::Model, &prompt.text);
            }
            Body::UserCommand(ran) => {
                let hand = if ran.outside_sandbox { Hand::Outside } else { Hand::Inside };
                // What comes from another session is not what this user typed.
                if !event.copied {
                    self.composer.remember(hand, &ran.command);
                }
                self.own = self.own.filter(|exec| *exec != ran.exec);
            }
            Body::ConfigChanged(config) => {
                self.facts.mode = config.approval.unwrap_or(self.facts.mode);
                if let Some(sandbox) = &config.sandbox {
                    self.facts.sandbox.clone_from(sandbox);
                }
            }
            Body::ModelChanged(model) => self.facts.model = Some(clean(&model.model)),
            Body::Approval(approval)
                if self.decision.as_ref().is_some_and(|it| it.call == approval.call) =>
            {
                self.end_question();
            }
            Body::Interruption(_) | Body::RoundEnded(_) => self.end_question(),
            // What the next request holds is not known before it is counted.
            Body::Compaction(_) | Body::Rewind(_) => self.spent.context_tokens = 0,
            _ => {}
        }
        if let Some(usage) = self.panel.timeline.usage_of(&event.body) {
            self.spent.context_tokens = usage.total();
        }
        self.conversation.apply(event, self.now_us);
        let is_stale = self.panel.apply(event);
        self.leave_what_ended();
        is_stale
    }

    /// Something is on its way.
    pub fn progress(&mut self, progress: &Progress) {
        self.conversation.progress(progress, &self.theme);
    }

    /// The time, by a clock that only goes forward; microseconds.
    pub fn tick(&mut self, now_us: u64) {
        self.now_us = now_us;
        if self.toast.as_ref().is_some_and(|(_, until)| now_us > *until) {
            self.toast = None;
        }
    }

    /// Whether it looks different after a while, without anything happening.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.working.is_some()
            || self.own.is_some()
            || self.toast.is_some()
            || self.conversation.is_moving()
            || !self.is_settled()
    }

    /// The terminal's background is known now.
    pub fn set_background(&mut self, background: Background) {
        self.theme = Theme::with(background, self.theme.depth(), &self.taste.theme);
        self.theme_number += 1;
        self.conversation.touch_all();
    }

    /// A remark that goes away by itself.
    pub fn say(&mut self, text: impl Into<String>) {
        self.say_for(text, TOAST_US);
    }

    /// Says what holds for so long.
    fn say_for(&mut self, text: impl Into<String>, time_us: u64) {
        self.toast = Some((text.into(), self.now_us + time_us));
    }

    /// Puts the first prompt in and sends it.
    pub fn begin(&mut self, prompt: &str) -> Option<Command> {
        self.composer.insert(prompt);
        self.send()
    }

    /// How somebody is called to a question.
    pub(crate) fn question_for(&self, call: u32) -> String {
        let name = self.conversation.find_card(call).map_or("a call", |card| card.name.as_str());
        format!("{name} waits for your word")
    }

    fn ask(&mut self, call: u32) {
        self.conversation.asked(call);
        if let Some(card) = self.conversation.find_card(call) {
            self.decision = Some(Decision::new(call, &card.name, &card.arguments));
            self.menu = None;
            self.help = None;
            if self.focus == Focus::Search {
                self.focus = Focus::Conversation;
            }
            // A letter that was meant for the prompt is no answer, however long one thinks over it.
            let is_typing =
                self.pressed.typed_us.is_some_and(|typed| self.now_us < typed + TYPING_US);
            if is_typing || self.is_writing() {
                self.settle();
            }
        }
    }

    /// The question is answered, or void.
    fn end_question(&mut self) {
        if let Some(decision) = self.decision.take() {
            self.conversation.decided(decision.call);
            self.pressed.settles_us = 0;
        }
    }

    /// Whether something is begun that is not sent.
    fn is_writing(&self) -> bool {
        !self.composer.is_empty() || self.composer.hand() != Hand::Model
    }

    /// Whether what is typed counts, or is the end of what was meant for something else.
    pub(crate) const fn is_settled(&self) -> bool {
        self.now_us >= self.pressed.settles_us
    }

    /// Nothing typed counts until nothing was typed for a moment.
    const fn settle(&mut self) {
        self.pressed.settles_us = self.now_us + SETTLE_US;
    }

    fn round_over(&mut self, ended: Ended) -> Option<Command> {
        self.pressed.sums_up = false;
        self.working = None;
        self.end_question();
        if matches!(ended, Ended::Failed | Ended::Limit) {
            // Whatever was in the way still is: what waits is sent when the user says so.
            return None;
        }
        self.send_queued()
    }

    fn send_queued(&mut self) -> Option<Command> {
        let next = self.queued.pop_front()?;
        self.working = Some(self.now_us);
        self.list_queued_again();
        Some(Command::Submit(next))
    }

    /// Sends what is written, or lets it wait.
    fn send(&mut self) -> Option<Command> {
        self.menu = None;
        if self.composer.text().trim().is_empty() {
            return if self.working.is_none() { self.send_queued() } else { None };
        }
        if self.composer.hand() != Hand::Model {
            return self.run_own();
        }
        if self.is_order() {
            return self.order();
        }
        if self.working.is_none()
            && let Some(hint) = self.facts.hint.clone()
        {
            self.conversation.note(NoteKind::Error, &hint);
            return None;
        }
        if self.working.is_some() && self.queued.len() >= QUEUED_MAX {
            self.say("Enough prompts wait already.");
            return None;
        }
        let prompt = self.composer.take();
        self.conversation.go_to_end();
        if self.working.is_some() {
            self.queued.push_back(prompt);
            return None;
        }
        self.working = Some(self.now_us);
        self.pressed.typed_us = None;
        Some(Command::Submit(prompt))
    }

    /// Whether a command is written: a path is none.
    fn is_order(&self) -> bool {
        if self.composer.hand() != Hand::Model {
            return false;
        }
        let text = self.composer.text();
        let name = text.strip_prefix('/').map(|rest| rest.split_whitespace().next().unwrap_or(""));
        name.is_some_and(|name| !name.contains('/')) && !text.contains('\n')
    }

    /// The list that fits what is written; a question, where only the driver knows.
    fn offer(&mut self) -> Option<Command> {
        if self.composer.hand() != Hand::Model {
            self.menu = None;
            return None;
        }
        let text = self.composer.text();
        if let Some(start) = text.strip_prefix('/')
            && !start.contains(char::is_whitespace)
        {
            let fits = crate::commands::COMMANDS.iter().filter(|row| row.name.starts_with(start));
            let row = |row: &crate::commands::CommandRow| MenuRow {
                label: format!("/{} {}", row.name, row.takes),
                about: row.about.to_owned(),
                pick: Pick::Command(row.name, !row.takes.is_empty()),
            };
            self.set_menu(fits.map(row).collect());
            return None;
        }
        match self.composer.mention() {
            Some(word) if word.len() <= 200 => Some(Command::Ask(Query::Files(word.to_owned()))),
            _ => {
                self.menu = None;
                None
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
