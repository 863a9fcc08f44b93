//! What the driver answers: lists to choose from.

use super::{MenuRow, Pick, View};
use crate::entry::NoteKind;
use crate::protocol::{Answer, Edits, Found, Order, Preview, Recent, Rewind, RewindWhat, Round};
use crate::text::{clean, headline};

/// Columns of a prompt or a title in a list.
const TITLE_COLUMNS: usize = 60;

/// Files that are named before one goes back.
const LINES_SHOWN: usize = 30;

impl View {
    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Files(asked, paths) => {
                if self.composer.mention() != Some(asked.as_str()) {
                    return;
                }
                let row = |path: String| MenuRow {
                    label: clean(&path),
                    about: String::new(),
                    pick: Pick::File(path),
                };
                self.set_menu(paths.into_iter().map(row).collect());
            }
            Answer::Picture { written, found } => self.pictured(written.as_deref(), found),
            Answer::Sessions(sessions) => {
                let row = |session: Recent| MenuRow {
                    label: headline(&session.title, TITLE_COLUMNS),
                    about: session.when,
                    pick: Pick::Session(session.id),
                };
                let rows = sessions.into_iter().map(row).collect();
                self.choose_from(rows, "/resume", "There is no other session of this folder.");
            }
            Answer::Found(words, found) => {
                // They have been looked through.
                self.toast = None;
                let row = |found: Found| MenuRow {
                    label: headline(&found.text, TITLE_COLUMNS),
                    about: headline(&found.about, TITLE_COLUMNS),
                    pick: Pick::Found(found.place, words.clone()),
                };
                let rows = found.into_iter().map(row).collect();
                let again = format!("/search {}", clean(&words));
                self.choose_from(rows, &again, "No recording has these words in one place.");
            }
            Answer::Rounds(rounds) => {
                let row = |round: Round| MenuRow {
                    label: format!(
                        "{:>3}  {}",
                        round.number,
                        headline(&round.prompt, TITLE_COLUMNS)
                    ),
                    about: round.about,
                    pick: Pick::Round(round.number),
                };
                let rows = rounds.into_iter().map(row).collect();
                self.choose_from(rows, "/rewind", "There is no round to go back to yet.");
            }
            Answer::Models(models) => {
                let row = |(name, about): (String, String)| MenuRow {
                    label: clean(&name),
                    about: headline(&about, TITLE_COLUMNS),
                    pick: Pick::Order(Order::Model(name)),
                };
                let rows = models.into_iter().map(row).collect();
                let nothing = "No model is known here. /model NAME takes any name.";
                self.choose_from(rows, "/model", nothing);
            }
            Answer::Changes(answer) => self.panel.changes.answered(answer),
            Answer::Preview(preview) => self.preview(&preview),
        }
    }

    /// Opens a list that was asked for, unless something else is done by now: then it is told what
    /// asks for it again.
    fn choose_from(&mut self, rows: Vec<MenuRow>, again: &str, nothing: &str) {
        if rows.is_empty() {
            self.menu = None;
            self.say(nothing);
        } else if self.is_writing() || self.decision.is_some() || self.panel.attached.is_some() {
            self.say(format!("The list is ready: {again} shows it."));
        } else {
            self.menu = None;
            self.set_menu(rows);
            // A key that was on its way when the list came takes nothing from it.
            self.settle();
        }
    }

    /// Says what going back would do, and lets the user choose how.
    fn preview(&mut self, preview: &Preview) {
        let round = preview.round;
        let text = if !preview.has_files {
            "How the files were before this round is not known.".to_owned()
        } else if preview.lines.is_empty() {
            format!("The files are as they were before round {round}.")
        } else {
            let shown = preview.lines.iter().take(LINES_SHOWN).map(|line| headline_of(line));
            let shown: Vec<String> = shown.collect();
            let more = match preview.lines.len().saturating_sub(LINES_SHOWN) {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            let head = format!("Going back to before round {round} would do this to the files:");
            format!("{head}\n{}{more}", shown.join("\n"))
        };
        self.conversation.note(NoteKind::Info, &text);
        if !preview.edited.is_empty() {
            let named: Vec<&str> =
                preview.edited.iter().take(LINES_SHOWN).map(String::as_str).collect();
            let text = format!("You changed these yourself since: {}", named.join(", "));
            self.conversation.note(NoteKind::Error, &text);
        }
        self.conversation.go_to_end();
        let rows = ways_back(preview);
        let nothing = "This round was taken back already, and its files are not known.";
        self.choose_from(rows, "/rewind", nothing);
    }
}

fn headline_of(line: &str) -> String {
    let text = line.trim_start();
    let indent = line.len() - text.len();
    format!("{}{}", " ".repeat(indent), headline(text, 200))
}

fn ways_back(preview: &Preview) -> Vec<MenuRow> {
    let row = |label: &str, about: &str, what, edits| MenuRow {
        label: label.to_owned(),
        about: about.to_owned(),
        pick: Pick::Order(Order::Rewind(Rewind { round: preview.round, what, edits })),
    };
    let edits: &[(Edits, &str)] = if preview.edited.is_empty() {
        &[(Edits::None, "")]
    } else {
        &[
            (Edits::Keep, "what you changed yourself stays"),
            (Edits::Undo, "and undo what you changed"),
        ]
    };
    let mut rows = Vec::new();
    if preview.has_conversation && preview.has_files {
        let both = edits.iter().map(|(edits, about)| {
            row("the conversation and the files", about, RewindWhat::Both, *edits)
        });
        rows.extend(both);
    }
    if preview.has_conversation {
        let about = "the files stay as they are";
        rows.push(row("the conversation", about, RewindWhat::Conversation, Edits::None));
    }
    if preview.has_files {
        let files = edits.iter().map(|(edits, about)| {
            let about = if about.is_empty() { "the model is told" } else { about };
            row("the files", about, RewindWhat::Files, *edits)
        });
        rows.extend(files);
    }
    rows
}

#[cfg(test)]
mod tests;
