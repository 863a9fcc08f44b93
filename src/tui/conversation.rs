//! The conversation: recorded events and what flickers between them, folded into blocks.
//!
//! What is being written is shown at once and replaced by the event that completes it. Nothing is
//! read twice: an event changes the block it is about, and a frame lays out only what it shows
//! ([`scroll`]).

mod find;
mod live;
mod scroll;
mod terminals;

use trajectory::event::{
    CallStatus, Ended, InterruptionCause, Observation, RoundEnded, ToolCall, UserCommand,
};
use trajectory::{Body, Event};

use crate::card::{Card, State};
use crate::entry::{Block, Context, Entry, NoteKind, Rating};
use crate::text::{duration, kept, short_number};

use find::Found;
use scroll::Scroll;
pub(crate) use scroll::Step;

/// Blocks that are kept; the oldest give way.
const ENTRIES_MAX: usize = 20_000;

/// Blocks at the end that what is being written can be about.
const RECENT: usize = 200;

/// Tools whose call is the checklist.
const PLAN_TOOLS: &[&str] = &["plan", "todo_write"];

/// Everything that was said and done.
#[derive(Default)]
pub(crate) struct Conversation {
    entries: Vec<Entry>,
    scroll: Scroll,
    found: Found,
    /// The block that is chosen.
    pub(crate) chosen: Option<usize>,
    /// Whether all reasoning is shown whole.
    pub(crate) show_reasoning: bool,
    /// When the round began, by the log's clock, and what it did.
    round: Round,
    /// The event that was folded last.
    seq: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    began_ns: i64,
    calls: u32,
    /// When the model began its present reply, or the last call ended.
    step_ns: i64,
}

impl Conversation {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, mut entry: Entry) {
        entry.seq = self.seq;
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(0);
            self.renumber(&[0]);
        }
        self.entries.push(entry);
    }

    /// A remark.
    pub(crate) fn note(&mut self, kind: NoteKind, text: &str) {
        let text = kept(text);
        let last = self.entries.last().map(|entry| &entry.block);
        let is_said = matches!(last, Some(Block::Note { text: last, .. }) if *last == text);
        if !is_said {
            self.push(Entry::new(Block::Note { kind, text }));
        }
    }

    /// Something is on record.
    pub(crate) fn apply(&mut self, event: &Event, now_us: u64) {
        let wall_ns = event.wall_ns;
        self.seq = event.seq;
        self.take(&event.body, wall_ns, now_us);
    }

    fn take(&mut self, body: &Body, wall_ns: i64, now_us: u64) {
        match body {
            Body::Prompt(prompt) => {
                self.round = Round { began_ns: wall_ns, calls: 0, step_ns: wall_ns };
                let attachments = prompt.attachments.len();
                self.push(Entry::new(Block::User { text: kept(&prompt.text), attachments }));
            }
            Body::Reasoning(reasoning) => {
                self.reasoning(&reasoning.text, reasoning.request, wall_ns);
            }
            Body::Message(message) => {
                self.message(&message.text, message.request, message.interrupted);
            }
            Body::ToolCall(call) => self.call(call),
            Body::Approval(approval) => self.card(approval.call, |card| card.decide(approval)),
            Body::ToolStarted(started) => {
                self.card(started.call, |card| card.start(started.exec, now_us));
            }
            Body::Observation(seen) => {
                self.round.step_ns = wall_ns;
                self.observe(seen);
            }
            Body::BackgroundExit(ended) => {
                let exit = ended.exit;
                self.card_of(ended.exec, |card| card.end(exit));
            }
            Body::Plan(plan) => self.plan(plan.items.clone()),
            Body::RoundEnded(round) => self.end_round(round, wall_ns),
            Body::Interruption(interruption) => self.note(
                NoteKind::Error,
                match interruption.cause {
                    InterruptionCause::User => "Interrupted by you.",
                    InterruptionCause::Crash => "Cut short: the program ended here.",
                    InterruptionCause::Limit => "The time limit is reached.",
                },
            ),
            Body::Error(error) => self.error(&error.message),
            body => self.others(body),
        }
    }

    fn others(&mut self, body: &Body) {
        match body {
            Body::Steering(steering) => {
                let text = kept(&steering.text);
                self.push(Entry::new(Block::User { text, attachments: 0 }));
            }
            Body::Compaction(_) => self.note(
                NoteKind::Info,
                "The conversation so far was replaced by a summary, to make room.",
            ),
            Body::ContextEdit(edit) => {
                let count = edit.observations.len();
                self.note(
                    NoteKind::Info,
                    &format!("Older outputs were shortened for the model: {count}."),
                );
            }
            Body::UserEdit(edit) => {
                self.note(NoteKind::Info, &edit.told(8));
            }
            Body::UserCommand(ran) => self.own_ended(ran),
            Body::Grant(grant) => {
                self.note(NoteKind::Info, &format!("Allowed for this session: {}", grant.scope));
            }
            Body::Rewind(_) => self.note(NoteKind::Info, "The conversation went back from here."),
            Body::NetworkRequest(request) if !request.allowed => {
                // As it is typed: without a port, those of the web are meant.
                let port = match request.port {
                    80 | 443 => String::new(),
                    port => format!(":{port}"),
                };
                let host = format!("{}{port}", request.host);
                let text = format!("Refused: the network, {host}. /allow {host} opens it.");
                self.note(NoteKind::Info, &text);
            }
            _ => {}
        }
    }

    /// A command of the user's own runs.
    pub(crate) fn own_started(&mut self, exec: u32, command: &str, outside: bool, now_us: u64) {
        let card = Card::own(exec, &kept(command), outside, now_us);
        self.push(Entry::new(Block::Card(Box::new(card))));
    }

    fn own_ended(&mut self, ran: &UserCommand) {
        let is_it = |entry: &Entry| match &entry.block {
            Block::Card(card) => card.exec == Some(ran.exec),
            _ => false,
        };
        if !self.entries.iter().any(is_it) {
            self.own_started(ran.exec, &ran.command, ran.outside_sandbox, 0);
        }
        self.card_of(ran.exec, |card| card.finish_own(ran));
    }

    /// The call waits for the user's word. It is chosen, so that it is what is unfolded.
    pub(crate) fn asked(&mut self, call: u32) {
        self.card(call, |card| card.state = State::Asked);
        if let Some(at) = self.entries.iter().rposition(|entry| entry.is_call(call)) {
            self.chosen = Some(at);
            self.keep_in_sight(at);
        }
    }

    /// The user has spoken.
    pub(crate) fn decided(&mut self, call: u32) {
        let is_it = |at: &usize| self.entries.get(*at).is_some_and(|entry| entry.is_call(call));
        self.chosen = self.chosen.filter(|at| !is_it(at));
        self.let_go();
    }

    /// The call with this number.
    pub(crate) fn find_card(&self, call: u32) -> Option<&Card> {
        self.entries.iter().rev().find_map(|entry| match &entry.block {
            Block::Card(card) if card.call == call => Some(card.as_ref()),
            _ => None,
        })
    }

    fn remove(&mut self, is_gone: impl Fn(&Entry) -> bool) {
        let gone = self.entries.iter().enumerate().filter(|(_, entry)| is_gone(entry));
        let gone: Vec<usize> = gone.map(|(at, _)| at).collect();
        if !gone.is_empty() {
            self.entries.retain(|entry| !is_gone(entry));
            self.renumber(&gone);
        }
    }

    /// The entries with these numbers, in order, are gone: those behind them have others now.
    fn renumber(&mut self, gone: &[usize]) {
        self.chosen = self.chosen.and_then(|at| scroll::renumbered(at, gone));
        self.scroll.renumber(gone, self.entries.len());
    }

    fn find_live(&mut self, request: u32, is_it: impl Fn(&Block) -> bool) -> Option<&mut Entry> {
        let seq = self.seq;
        let mut recent = self.recent();
        let found = recent.find(|entry| entry.live == Some(request) && is_it(&entry.block))?;
        found.seq = seq;
        Some(found)
    }

    /// The last blocks, in their order.
    fn recent(&mut self) -> impl DoubleEndedIterator<Item = &mut Entry> {
        let from = self.entries.len().saturating_sub(RECENT);
        self.entries.iter_mut().skip(from)
    }

    /// Rates the chosen step; its event.
    pub(crate) fn rate(&mut self, rating: Rating) -> Option<u64> {
        let entry = self.entries.get_mut(self.chosen?)?;
        if !entry.is_step() || entry.live.is_some() {
            return None;
        }
        entry.rating = Some(rating);
        Some(entry.seq)
    }

    /// A step was rated when it was looked at before.
    pub(crate) fn rated(&mut self, seq: u64, rating: Rating) {
        let is_it = |entry: &&mut Entry| entry.seq == seq && entry.is_step();
        if let Some(entry) = self.entries.iter_mut().rev().find(is_it) {
            entry.rating = Some(rating);
        }
    }

    fn reasoning(&mut self, text: &str, request: u32, wall_ns: i64) {
        let took_us =
            u64::try_from(wall_ns.saturating_sub(self.round.step_ns) / 1_000).unwrap_or(0);
        let is_it = |block: &Block| matches!(block, Block::Reasoning { .. });
        match self.find_live(request, is_it) {
            Some(entry) => {
                entry.settle(text);
                if let Block::Reasoning { took_us: took, .. } = &mut entry.block {
                    *took = took_us;
                }
            }
            None if text.trim().is_empty() => {}
            None => self.push(Entry::new(Block::Reasoning { text: kept(text), took_us })),
        }
    }

    fn message(&mut self, text: &str, request: u32, was_interrupted: bool) {
        let is_it = |block: &Block| matches!(block, Block::Text { .. });
        match self.find_live(request, is_it) {
            Some(entry) => {
                entry.settle(text);
                if let Block::Text { interrupted, .. } = &mut entry.block {
                    *interrupted = was_interrupted;
                }
            }
            None if text.trim().is_empty() => {}
            None => {
                let block = Block::Text { text: kept(text), interrupted: was_interrupted };
                self.push(Entry::new(block));
            }
        }
    }

    fn write_call(&mut self, request: u32, index: u32, name: Option<&str>, arguments: &str) {
        let is_it = |entry: &&mut Entry| {
            let is_card = matches!(entry.block, Block::Card(_));
            is_card && entry.live == Some(request) && entry.index == index
        };
        if !self.recent().any(|entry| is_it(&entry)) {
            let block = Block::Card(Box::new(Card::begun(name.unwrap_or_default())));
            let mut entry = Entry::live(block, request);
            entry.index = index;
            self.push(entry);
        }
        if let Some(entry) = self.recent().rev().find(is_it) {
            entry.touch();
            if let Block::Card(card) = &mut entry.block {
                card.write(name, arguments);
            }
        }
    }

    fn call(&mut self, call: &ToolCall) {
        self.round.calls += 1;
        let card = Box::new(Card::recorded(call));
        let is_it = |block: &Block| matches!(block, Block::Card(_));
        match self.find_live(call.request, is_it) {
            Some(entry) => {
                entry.block = Block::Card(card);
                entry.live = None;
                entry.touch();
            }
            None => self.push(Entry::new(Block::Card(card))),
        }
    }

    fn card(&mut self, call: u32, change: impl FnOnce(&mut Card)) {
        self.change_card(|card| card.call == call, change);
    }

    fn card_of(&mut self, exec: u32, change: impl FnOnce(&mut Card)) {
        self.change_card(|card| card.exec == Some(exec), change);
    }

    fn change_card(&mut self, is_it: impl Fn(&Card) -> bool, change: impl FnOnce(&mut Card)) {
        for entry in self.entries.iter_mut().rev() {
            if let Block::Card(card) = &mut entry.block
                && is_it(card)
            {
                change(card);
                entry.touch();
                return;
            }
        }
    }

    fn observe(&mut self, seen: &Observation) {
        self.card(seen.call, |card| card.finish(seen));
    }

    /// The checklist stands where it was changed last, and takes the place of its call.
    fn plan(&mut self, items: Vec<trajectory::event::PlanItem>) {
        self.remove(|entry| match &entry.block {
            Block::Plan(_) => true,
            Block::Card(card) => {
                PLAN_TOOLS.contains(&card.name.as_str())
                    && card.state == State::Done(CallStatus::Ok)
            }
            _ => false,
        });
        if !items.is_empty() {
            self.push(Entry::new(Block::Plan(items)));
        }
    }

    fn error(&mut self, message: &str) {
        // A retry was told before it was recorded.
        let text = kept(message);
        let is_told = |entry: &Entry| match &entry.block {
            Block::Note { kind: NoteKind::Retry, text: told } => *told == text,
            _ => false,
        };
        if !self.entries.iter().rev().take(4).any(is_told) {
            self.note(NoteKind::Error, message);
        }
    }

    fn end_round(&mut self, round: &RoundEnded, wall_ns: i64) {
        self.remove(|entry| entry.live.is_some());
        let took = u64::try_from(wall_ns.saturating_sub(self.round.began_ns) / 1_000).unwrap_or(0);
        let calls = match self.round.calls {
            0 => String::new(),
            1 => " · 1 call".to_owned(),
            calls => format!(" · {calls} calls"),
        };
        let tokens = match round.usage.total() {
            0 => String::new(),
            tokens => format!(" · {} tokens", short_number(tokens)),
        };
        let ended = match round.ended {
            Ended::Completed => "✓",
            Ended::Failed => "failed",
            Ended::Interrupted => "interrupted",
            Ended::Limit => "stopped at a limit",
        };
        self.note(NoteKind::End, &format!("{ended} {}{calls}{tokens}", duration(took)));
    }

    /// Everything looks different now.
    pub(crate) fn touch_all(&mut self) {
        self.entries.iter_mut().for_each(Entry::forget);
    }

    /// Whether something on it moves by itself.
    pub(crate) fn is_moving(&self) -> bool {
        self.entries.iter().rev().take(50).any(Entry::is_moving)
    }

    /// Folds or unfolds the block that is chosen, or the last that can be.
    pub(crate) fn toggle(&mut self) {
        let last = || self.entries.iter().rposition(Entry::can_fold);
        let Some(at) = self.chosen.or_else(last) else { return };
        let show = self.show_reasoning;
        if let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.can_fold()) {
            let by_itself = matches!(entry.block, Block::Reasoning { .. }) && show;
            entry.open = Some(!entry.open.unwrap_or(by_itself));
            entry.touch();
        }
    }

    /// Folds or unfolds the block whose first row stands in that row of what is seen.
    pub(crate) fn click(&mut self, row: usize) {
        if let Some(at) = self.scroll.first_row_of(row) {
            let chosen = self.chosen.replace(at);
            self.toggle();
            self.chosen = chosen;
        }
    }

    /// Shows the chosen block whole.
    pub(crate) fn unfold(&mut self) {
        let chosen = self.chosen.and_then(|at| self.entries.get_mut(at));
        if let Some(entry) = chosen.filter(|entry| entry.can_fold()) {
            entry.open = Some(true);
            entry.touch();
        }
    }

    /// Shows or hides all reasoning.
    pub(crate) fn toggle_reasoning(&mut self) {
        self.show_reasoning = !self.show_reasoning;
        for entry in &mut self.entries {
            if matches!(entry.block, Block::Reasoning { .. }) {
                entry.open = None;
                entry.touch();
            }
        }
    }

    /// The text of the chosen block, or of the last thing the model said.
    pub(crate) fn chosen_text(&self) -> Option<String> {
        let last =
            || self.entries.iter().rposition(|entry| matches!(entry.block, Block::Text { .. }));
        Some(self.entries.get(self.chosen.or_else(last)?)?.copied())
    }
}

#[cfg(test)]
mod tests;
