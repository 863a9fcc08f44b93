//! A command that the user ran: a card like that of a call; and what is copied of any command.

use serde_json::{Map, Value};
use trajectory::event::{CallStatus, UserCommand};

use super::{Card, State};
use crate::text::{headline, kept};

impl Card {
    /// A command of the user's own, which runs.
    pub(crate) fn own(exec: u32, command: &str, outside: bool, now_us: u64) -> Self {
        let mut card = Self::begun(if outside { "you, outside the sandbox:" } else { "you:" });
        card.arguments = command.to_owned();
        card.brief = headline(command, 400);
        card.is_own = true;
        card.start(exec, now_us);
        card
    }

    /// The user's command is over, or goes on by itself.
    pub(crate) fn finish_own(&mut self, ran: &UserCommand) {
        self.state = State::Done(CallStatus::Ok);
        self.exit = ran.exit;
        self.duration_us = ran.duration_us;
        // The command is told above it.
        let shown = ran.shown.split_once("\n$ ").map_or(ran.shown.as_str(), |(_, shown)| shown);
        let output = shown.strip_prefix(ran.command.as_str()).unwrap_or(shown);
        self.shown = kept(output.trim_start_matches('\n'));
        if ran.exit.is_some() {
            self.close();
        }
    }

    /// What is copied of it: of a command, the command as it would be typed, and what it printed.
    pub(crate) fn copied(&self) -> String {
        let fields = || serde_json::from_str::<Map<String, Value>>(&self.arguments).ok();
        let command = match self.is_own {
            true => Some(self.arguments.clone()),
            false => fields().and_then(|fields| Some(fields.get("command")?.as_str()?.to_owned())),
        };
        match command {
            Some(command) => format!("{}\n\n{}", kept(&command), self.shown),
            None => self.plain(),
        }
    }
}
