//! The list above the prompt: what is in it, and what taking a row does.

use super::View;
use crate::commands;
use crate::composer::Edit;
use crate::keys::MenuKey;
use crate::protocol::{Command, Order, Place, Query};

/// The list above the prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Menu {
    pub(crate) rows: Vec<MenuRow>,
    pub(crate) chosen: usize,
}

impl Menu {
    /// Whether it is chosen by what the conversation shows, which then is not covered.
    pub(crate) fn is_about_what_is_shown(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.pick, Pick::Order(Order::Rewind(_))))
    }
}

/// A row of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MenuRow {
    pub(crate) label: String,
    pub(crate) about: String,
    pub(crate) pick: Pick,
}

/// What taking a row of the list does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A command, and whether something comes behind it.
    Command(&'static str, bool),
    File(String),
    Session(String),
    /// Where words were found, and the words.
    Found(Place, String),
    /// A round to go back to.
    Round(u32),
    Order(Order),
    /// A prompt that waits, by its place.
    Queued(usize),
}

impl View {
    pub(super) fn set_menu(&mut self, rows: Vec<MenuRow>) {
        let chosen = self.menu.as_ref().map_or(0, |menu| menu.chosen);
        let chosen = chosen.min(rows.len().saturating_sub(1));
        self.menu = (!rows.is_empty()).then_some(Menu { rows, chosen });
    }

    pub(super) fn press_in_menu(&mut self, key: MenuKey) -> Option<Command> {
        match key {
            MenuKey::Move { up } => {
                if let Some(menu) = &mut self.menu {
                    let count = menu.rows.len().max(1);
                    menu.chosen = (menu.chosen + if up { count - 1 } else { 1 }) % count;
                }
            }
            MenuKey::Take => return self.take_from_menu(),
            MenuKey::Close => self.menu = None,
            MenuKey::Remove if self.chosen_queued().is_none() => return self.edit(Edit::Delete),
            MenuKey::Remove => self.remove_queued(),
            MenuKey::Shift { up } => self.shift_queued(up),
        }
        None
    }

    fn take_from_menu(&mut self) -> Option<Command> {
        let menu = self.menu.take()?;
        match menu.rows.into_iter().nth(menu.chosen)?.pick {
            // What need not be said may be left out.
            Pick::Command(name, true) if self.is_written_out(name) => self.order(),
            Pick::Command(name, takes_more) => {
                self.composer.set(&format!("/{name}{}", if takes_more { " " } else { "" }));
                if takes_more { None } else { self.order() }
            }
            Pick::File(path) => {
                self.composer.complete_mention(&path);
                self.ask_for_mentioned(&path)
            }
            Pick::Queued(at) => {
                self.take_queued(at);
                None
            }
            Pick::Session(id) => self.at_rest(Command::Order(Order::Resume(id))),
            Pick::Found(place, words) => self.go_on_at(place, &words),
            Pick::Round(number) => self.at_rest(Command::Ask(Query::Rewind(number))),
            Pick::Order(order) => self.at_rest(Command::Order(order)),
        }
    }

    /// Whether a command stands there whole, and takes nothing that must be said.
    fn is_written_out(&self, name: &str) -> bool {
        let is_it = |row: &&commands::CommandRow| row.name == name && row.takes.starts_with('[');
        let is_whole = self.composer.text().strip_prefix('/') == Some(name);
        is_whole && commands::COMMANDS.iter().any(|row| is_it(&row))
    }
}
