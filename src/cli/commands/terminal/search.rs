//! Words, looked for in all recordings from within the terminal, and gone to.

use std::path::Path;

use record::{Home, Library, Search};
use tui::{Answer, Found, Place, Update};

use super::driver::Driver;
use crate::error::CliError;
use crate::store::moment;

/// Sessions in which something is found and that are listed.
const SESSIONS_MAX: usize = 40;

impl Driver {
    /// Looks for words in all recordings, beside whatever else goes on, and tells the terminal.
    pub(super) fn look_for_words(&self, words: String) {
        let (settings, updates) = (self.settings(), self.updates.clone());
        tokio::task::spawn_blocking(move || {
            let update = match found(&settings.home, &words) {
                Ok(found) => Update::Answer(Answer::Found(words, found)),
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

/// Where words were found, in the newest session first. That there is no store is no failure.
fn found(home: &Path, words: &str) -> Result<Vec<Found>, CliError> {
    if !home.join("device").is_file() {
        return Ok(Vec::new());
    }
    let text = words.to_owned();
    let wanted = Search { text, shown_max: Some(SESSIONS_MAX), ..Search::default() };
    let sessions = Library::open(&Home::open(home)?)?.search(&wanted)?;
    let places = sessions.into_iter().flat_map(|session| {
        let title = session.row.status.title.unwrap_or_default();
        let (id, when) = (session.row.session.to_string(), moment(session.row.status.started_ns));
        session.excerpts.into_iter().map(move |excerpt| Found {
            place: Place { session: id.clone(), seq: excerpt.seq, call: excerpt.call },
            text: excerpt.text,
            about: format!("{title} · {} · {when}", excerpt.part.as_str()),
        })
    });
    Ok(places.collect())
}
