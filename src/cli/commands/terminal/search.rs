//! Words, looked for in all recordings from within the terminal, and gone to.

use std::path::Path;

use record::{Home, Library, Outcome, Search};
use tui::{Answer, Found, Place, Update};

use super::driver::Driver;
use crate::error::CliError;
use crate::store::{moment, parse_time};

/// Sessions in which something is found and that are listed.
const SESSIONS_MAX: usize = 40;

impl Driver {
    /// Looks for words in all recordings, beside whatever else goes on, and tells the terminal.
    pub(super) fn look_for_words(&self, typed: String) {
        let (settings, updates) = (self.settings(), self.updates.clone());
        tokio::task::spawn_blocking(move || {
            let update = match found(&settings.home, &typed) {
                Ok((words, found)) => Update::Answer(Answer::Found(words, found)),
                Err(error) => Update::Failed(error.to_string()),
            };
            // Without a terminal nobody asks any more.
            let _ = updates.blocking_send(update);
        });
    }

    /// Goes on with the session in which something was found, and shows it there.
    pub(super) async fn go_on_at(&mut self, place: Place) -> Result<String, CliError> {
        let is_here = self.session.is_some_and(|id| id.to_string() == place.session);
        let told = if is_here {
            "It is in this session.".to_owned()
        } else {
            self.go_on_with(&place.session).await?
        };
        self.send(Update::GoTo(place)).await;
        Ok(told)
    }
}

/// What is typed: words, and what narrows them down as the flags of `limn sessions` do. Between
/// quotes everything is a word.
fn wanted(typed: &str) -> Result<Search, CliError> {
    let mut wanted = Search { shown_max: Some(SESSIONS_MAX), ..Search::default() };
    let mut words = Vec::new();
    let mut is_quoted = false;
    for word in typed.split_whitespace() {
        let is_plain = !is_quoted && !word.contains('"');
        is_quoted ^= word.matches('"').count() % 2 == 1;
        let narrowing = word.split_once(':').filter(|(_, value)| is_plain && !value.is_empty());
        match narrowing.map(|(name, value)| (name, value.to_owned())) {
            Some(("file", value)) => wanted.file = Some(value),
            Some(("tool", value)) => wanted.tool = Some(value),
            Some(("model", value)) => wanted.model = Some(value),
            Some(("tag", value)) => wanted.tags.push(value),
            Some(("since", value)) => wanted.since_ns = Some(time("since", &value)?),
            Some(("until", value)) => wanted.until_ns = Some(time("until", &value)?),
            Some(("outcome", value)) => {
                let outcome = Outcome::parse(&value).ok_or_else(|| {
                    CliError::usage(format!(
                        "outcome:{value} is none: success, failure or unknown."
                    ))
                });
                wanted.outcome = Some(outcome?);
            }
            _ => words.push(word),
        }
    }
    wanted.text = words.join(" ");
    Ok(wanted)
}

fn time(name: &str, value: &str) -> Result<i64, CliError> {
    parse_time(value).map_err(|wrong| CliError::usage(format!("{name}:{value} is {wrong}.")))
}

/// The words that were looked for, and where they were found, in the newest session first; without
/// words, the sessions. That there is no store is no failure.
fn found(home: &Path, typed: &str) -> Result<(String, Vec<Found>), CliError> {
    let wanted = wanted(typed)?;
    if !home.join("device").is_file() {
        return Ok((wanted.text, Vec::new()));
    }
    let sessions = Library::open(&Home::open(home)?)?.search(&wanted)?;
    let mut places = Vec::new();
    for session in sessions.into_iter().take(SESSIONS_MAX) {
        let title = session.row.status.title.unwrap_or_default();
        let (id, when) = (session.row.session.to_string(), moment(session.row.status.started_ns));
        let place = |seq, call| Place { session: id.clone(), seq, call };
        if wanted.text.is_empty() {
            places.push(Found { place: place(0, None), text: title, about: when });
            continue;
        }
        places.extend(session.excerpts.into_iter().map(|excerpt| Found {
            place: place(excerpt.seq, excerpt.call),
            text: excerpt.text,
            about: format!("{title} · {} · {when}", excerpt.part.as_str()),
        }));
    }
    Ok((wanted.text, places))
}

#[cfg(test)]
mod tests;
