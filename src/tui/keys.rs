//! Every key, in one table: what it does, where, and how it is told. The help is made from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::composer::Edit;
use crate::conversation::Step;
use crate::entry::Rating;
use crate::panel::Act;
use crate::protocol::Play;
use crate::taste::OwnKeys;

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Everywhere.
    Anywhere,
    /// While a prompt is written.
    Composer,
    /// While the list above the prompt is open.
    Menu,
    /// While blocks are chosen.
    Conversation,
    /// While a call waits for the user's word.
    Decision,
    /// While rows of the panel are chosen.
    Panel,
    /// While a command has the keyboard.
    Attached,
    /// While a session is played back; the keys of the conversation do what they do there.
    Playback,
}

impl Place {
    /// All of them, in the order of the help.
    pub(crate) const ALL: [Self; 8] = [
        Self::Anywhere,
        Self::Composer,
        Self::Menu,
        Self::Conversation,
        Self::Panel,
        Self::Attached,
        Self::Decision,
        Self::Playback,
    ];

    /// Its name in a file of the user's own keys.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Anywhere => "everywhere",
            Self::Composer => "writing",
            Self::Menu => "list",
            Self::Conversation => "conversation",
            Self::Panel => "panel",
            Self::Attached => "attached",
            Self::Decision => "decision",
            Self::Playback => "playback",
        }
    }

    /// Its heading.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Everywhere",
            Self::Composer => "Writing",
            Self::Menu => "In the list above the prompt",
            Self::Conversation => "In the conversation",
            Self::Panel => "In the panel",
            Self::Attached => "Attached to a command",
            Self::Decision => "When a call waits for you",
            Self::Playback => "When a session is played back",
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ctrl-C.
    Stop,
    LeaveWhenEmpty,
    Help,
    /// Into the conversation and back.
    Switch,
    Mode,
    Scroll {
        up: bool,
        pages: bool,
    },
    Ends {
        up: bool,
    },
    ToggleReasoning,
    Mouse,
    /// Sends what is written; into the round that is under way, or behind it.
    Send {
        steers: bool,
    },
    /// The prompts that wait.
    Queue,
    Edit(Edit),
    Editor,
    /// In the list above the prompt.
    Menu(MenuKey),
    /// Takes a prompt back, or stops what goes on.
    Escape,
    Jump {
        step: Step,
        up: bool,
    },
    Toggle,
    Copy,
    Rate(Rating),
    Search,
    SearchNext {
        up: bool,
    },
    Decide(Choice),
    /// The picture that the clipboard holds.
    Picture,
    /// Draws everything anew.
    Redraw,
    /// Gives the terminal to the shell for a while.
    Suspend,
    /// Something in the panel.
    Panel(Act),
    Play(Play),
}

/// What a key does in the list above the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MenuKey {
    Move {
        up: bool,
    },
    Take,
    Close,
    /// Takes a prompt that waits out of the list.
    Remove,
    /// Moves it.
    Shift {
        up: bool,
    },
}

/// An answer to a call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This once.
    Allow,
    /// This, and whatever comes.
    AllowAll,
    /// This, and the like of it in this folder.
    AllowAlways,
    /// Write on it first.
    Edit,
    /// No, with a reason.
    Deny,
    /// Take a hunk in, or leave it out.
    Hunk,
    NextHunk,
    PreviousHunk,
}

/// A row of the table.
pub(crate) struct Binding {
    pub(crate) place: Place,
    pub(crate) keys: &'static [&'static str],
    pub(crate) action: Action,
    pub(crate) about: &'static str,
}

macro_rules! keys {
    ($($place:ident { $($($key:literal)|+ => $action:expr, $about:literal;)+ })+) => {
        &[$($(Binding {
            place: Place::$place,
            keys: &[$($key),+],
            action: $action,
            about: $about,
        }),+),+]
    };
}

/// The table.
pub(crate) const KEYS: &[Binding] = keys! {
    Anywhere {
        "ctrl-c" => Action::Stop, "stop what goes on; empty the prompt; twice: leave";
        "ctrl-d" => Action::LeaveWhenEmpty, "leave, when nothing is written";
        "f1" => Action::Help, "every key and every command";
        "shift-tab" => Action::Mode, "the next approval mode";
        "pageup" => Action::Scroll { up: true, pages: true }, "a page up";
        "pagedown" => Action::Scroll { up: false, pages: true }, "a page down";
        "shift-up" => Action::Scroll { up: true, pages: false }, "a row up";
        "shift-down" => Action::Scroll { up: false, pages: false }, "a row down";
        "ctrl-home" => Action::Ends { up: true }, "to the beginning";
        "ctrl-end" => Action::Ends { up: false }, "to the end, and follow it";
        "alt-up" => Action::Jump { step: Step::Round, up: true }, "to the prompt before";
        "alt-down" => Action::Jump { step: Step::Round, up: false }, "to the prompt behind";
        "ctrl-o" => Action::Toggle, "fold or unfold the chosen block, or the last";
        "ctrl-t" => Action::ToggleReasoning, "show or hide all reasoning";
        "f3" => Action::Panel(Act::Toggle), "the panel: open it, go into it, close it";
        "f2" => Action::Mouse, "leave the mouse to the terminal, or take it back";
        "ctrl-l" => Action::Redraw, "draw the screen anew";
        "ctrl-z" => Action::Suspend, "stand still and leave the terminal to the shell; `fg` comes back";
    }
    Composer {
        "enter" => Action::Send { steers: false }, "send; while the model works: queue";
        "ctrl-s" => Action::Send { steers: true }, "while the model works: tell it now, at its next step";
        "ctrl-q" => Action::Queue, "the prompts that wait: take one back, remove, reorder";
        "alt-enter" | "shift-enter" | "ctrl-j" => Action::Edit(Edit::NewLine), "a new line";
        "tab" => Action::Switch, "into the conversation";
        "esc" => Action::Escape, "stop what goes on; take a queued prompt back";
        "up" => Action::Edit(Edit::Up), "a row up; from the first, the prompt before";
        "down" => Action::Edit(Edit::Down), "a row down; from the last, the prompt behind";
        "left" | "ctrl-b" => Action::Edit(Edit::Left), "a character left";
        "right" | "ctrl-f" => Action::Edit(Edit::Right), "a character right";
        "ctrl-left" | "alt-left" | "alt-b" => Action::Edit(Edit::WordLeft), "a word left";
        "ctrl-right" | "alt-right" | "alt-f" => Action::Edit(Edit::WordRight), "a word right";
        "home" | "ctrl-a" => Action::Edit(Edit::Home), "to the line's beginning";
        "end" | "ctrl-e" => Action::Edit(Edit::End), "to the line's end";
        "backspace" | "ctrl-h" => Action::Edit(Edit::Backspace), "delete backwards";
        "delete" => Action::Edit(Edit::Delete), "delete forwards";
        "ctrl-w" | "alt-backspace" | "ctrl-backspace" => Action::Edit(Edit::DeleteWord), "delete a word";
        "ctrl-u" => Action::Edit(Edit::DeleteToStart), "delete to the line's beginning";
        "ctrl-k" => Action::Edit(Edit::DeleteToEnd), "delete to the line's end";
        "ctrl-y" => Action::Edit(Edit::PutBack), "put back what was deleted";
        "ctrl-v" => Action::Picture, "put in the picture that the clipboard holds";
        "ctrl-g" => Action::Editor, "write in $VISUAL or $EDITOR";
    }
    Menu {
        "up" | "ctrl-p" => Action::Menu(MenuKey::Move { up: true }), "the row above";
        "down" | "ctrl-n" => Action::Menu(MenuKey::Move { up: false }), "the row below";
        "tab" | "enter" => Action::Menu(MenuKey::Take), "take it";
        "esc" => Action::Menu(MenuKey::Close), "close the list";
        "delete" => Action::Menu(MenuKey::Remove), "of prompts that wait: remove it";
        "alt-up" => Action::Menu(MenuKey::Shift { up: true }), "of prompts that wait: sooner";
        "alt-down" => Action::Menu(MenuKey::Shift { up: false }), "of prompts that wait: later";
    }
    Conversation {
        "up" | "k" => Action::Jump { step: Step::Block, up: true }, "the block above";
        "down" | "j" => Action::Jump { step: Step::Block, up: false }, "the block below";
        "[" => Action::Jump { step: Step::Round, up: true }, "to the prompt before";
        "]" => Action::Jump { step: Step::Round, up: false }, "to the prompt behind";
        "e" => Action::Jump { step: Step::Error, up: true }, "to the failure before";
        "E" => Action::Jump { step: Step::Error, up: false }, "to the failure behind";
        "c" => Action::Jump { step: Step::Edit, up: true }, "to the change before";
        "C" => Action::Jump { step: Step::Edit, up: false }, "to the change behind";
        "enter" | "space" => Action::Toggle, "fold or unfold";
        "y" => Action::Copy, "copy the block as plain text";
        "+" => Action::Rate(Rating::Good), "this step was good";
        "-" => Action::Rate(Rating::Bad), "this step was bad";
        "=" => Action::Rate(Rating::Neutral), "this step was neither";
        "/" => Action::Search, "search";
        "n" => Action::SearchNext { up: true }, "the match before";
        "N" => Action::SearchNext { up: false }, "the match behind";
        "g" => Action::Ends { up: true }, "to the beginning";
        "G" => Action::Ends { up: false }, "to the end";
        "?" => Action::Help, "every key and every command";
        "tab" | "esc" | "i" => Action::Switch, "back to the prompt";
    }
    Panel {
        "up" | "k" => Action::Panel(Act::Move { up: true, page: false }), "the row above";
        "down" | "j" => Action::Panel(Act::Move { up: false, page: false }), "the row below";
        "left" | "h" => Action::Panel(Act::Turn { back: true }), "the page before";
        "right" | "l" => Action::Panel(Act::Turn { back: false }), "the page behind";
        "pageup" => Action::Panel(Act::Move { up: true, page: true }), "a page up; of changes, in the diff";
        "pagedown" => Action::Panel(Act::Move { up: false, page: true }), "a page down; of changes, in the diff";
        "home" | "g" => Action::Panel(Act::End { up: true }), "the first row";
        "end" | "G" => Action::Panel(Act::End { up: false }), "the last row";
        "enter" => Action::Panel(Act::Enter), "timeline: go there; terminals: attach";
        "r" => Action::Panel(Act::Revert), "changes: take the file back to how it was";
        "x" => Action::Panel(Act::Stop), "terminals: end the command";
        "tab" | "esc" | "i" => Action::Panel(Act::Leave), "back to the prompt; the panel stays";
        "?" => Action::Help, "every key and every command";
    }
    Attached {
        "ctrl-]" | "ctrl-5" => Action::Panel(Act::Leave), "give the keyboard back; every other key is the command's";
    }
    Decision {
        "y" | "enter" => Action::Decide(Choice::Allow), "allow it, this once, with the hunks that are taken";
        "a" => Action::Decide(Choice::AllowAll), "allow it, and go on in the mode auto";
        "p" => Action::Decide(Choice::AllowAlways), "allow it, and the like of it in this folder for good: the rule is shown";
        "e" | "ctrl-g" => Action::Decide(Choice::Edit), "write on it in $VISUAL or $EDITOR first; what runs is yours";
        "n" | "esc" => Action::Decide(Choice::Deny), "deny it; a reason may be given";
        "space" => Action::Decide(Choice::Hunk), "take a hunk, or leave it out";
        "down" | "j" => Action::Decide(Choice::NextHunk), "the next hunk";
        "up" | "k" => Action::Decide(Choice::PreviousHunk), "the hunk before";
    }
    Playback {
        "space" => Action::Play(Play::Pause), "stand still, or go on";
        "right" | "." => Action::Play(Play::Event { back: false }), "the next event";
        "left" | "," => Action::Play(Play::Event { back: true }), "the event before";
        "]" => Action::Play(Play::Round { back: false }), "to the next prompt";
        "[" => Action::Play(Play::Round { back: true }), "to the prompt before";
        "+" | "=" => Action::Play(Play::Speed { faster: true }), "twice as fast";
        "-" => Action::Play(Play::Speed { faster: false }), "half as fast";
        "0" => Action::Play(Play::Tenths(0)), "to the beginning; 1 to 9: to so many tenths";
        "q" | "esc" => Action::Stop, "leave";
    }
};

/// What a key does there; what it does everywhere comes last.
pub(crate) fn find(place: Place, key: KeyEvent) -> Option<Action> {
    let name = name(key)?;
    if let (Place::Playback, Some(tenths @ 1..=9)) = (place, name.parse().ok()) {
        return Some(Action::Play(Play::Tenths(tenths)));
    }
    let places = match place {
        Place::Playback => &[place, Place::Conversation, Place::Anywhere][..],
        _ => &[place, Place::Anywhere],
    };
    places.iter().find_map(|place| {
        let here = KEYS.iter().filter(|binding| binding.place == *place);
        here.filter(|binding| binding.keys.contains(&name.as_str()))
            .map(|binding| binding.action)
            .next()
    })
}

/// What a key is called, as in the table.
pub(crate) fn name(key: KeyEvent) -> Option<String> {
    let mut name = String::new();
    let mut add = |modifier, word| {
        if key.modifiers.contains(modifier) {
            name.push_str(word);
        }
    };
    add(KeyModifiers::CONTROL, "ctrl-");
    add(KeyModifiers::ALT, "alt-");
    let is_letter = matches!(key.code, KeyCode::Char(_) | KeyCode::BackTab);
    if !is_letter {
        add(KeyModifiers::SHIFT, "shift-");
    }
    match key.code {
        KeyCode::Char(' ') => name.push_str("space"),
        // A terminal may send capitals with or without saying shift.
        KeyCode::Char(letter) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            name.extend(letter.to_lowercase());
        }
        KeyCode::Char(letter) => name.push(letter),
        KeyCode::BackTab => name.push_str("shift-tab"),
        KeyCode::Enter => name.push_str("enter"),
        KeyCode::Tab => name.push_str("tab"),
        KeyCode::Esc => name.push_str("esc"),
        KeyCode::Up => name.push_str("up"),
        KeyCode::Down => name.push_str("down"),
        KeyCode::Left => name.push_str("left"),
        KeyCode::Right => name.push_str("right"),
        KeyCode::Home => name.push_str("home"),
        KeyCode::End => name.push_str("end"),
        KeyCode::PageUp => name.push_str("pageup"),
        KeyCode::PageDown => name.push_str("pagedown"),
        KeyCode::Backspace => name.push_str("backspace"),
        KeyCode::Delete => name.push_str("delete"),
        KeyCode::F(number) => name.push_str(&format!("f{number}")),
        _ => return None,
    }
    Some(name)
}

/// The keys of a place and what they do, as the help tells them: those that are in force.
pub(crate) fn told(place: Place, own: &OwnKeys) -> Vec<(String, &'static str)> {
    let here = KEYS.iter().filter(|binding| binding.place == place);
    here.map(|binding| (own.in_force(place, binding.keys).join(", "), binding.about)).collect()
}

#[cfg(test)]
mod tests;
