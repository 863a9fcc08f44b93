//! A session that another limn writes, shown as it goes on.
//!
//! It has one writer, so here it can only be looked at: whoever asks is told so, and can ask when the
//! other one has ended. What is on record is read again and again, pieces of a reply that is still
//! arriving too; what a command prints meanwhile is seen when it has ended.

use std::future::pending;
use std::time::Duration;

use record::{Archive, Draft, Home, RecordError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use trajectory::{Body, Event, Progress, Recorded, SessionId};
use tui::Update;

use super::driver::Driver;
use crate::compose;
use crate::error::CliError;

/// How often it is looked what is new.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A session that is followed.
pub(super) struct Followed {
    home: Home,
    archive: Archive,
    /// The first event that was not shown yet.
    next: u64,
    /// How much was shown of a reply that is arriving: its request, and the bytes of each part.
    shown: (u32, Vec<usize>),
    clock: Interval,
}

/// What is new in it.
#[derive(Default)]
pub(super) struct News {
    events: Vec<Recorded<Event>>,
    progress: Vec<Progress>,
    /// Nobody writes it any more.
    is_over: bool,
    failed: Option<RecordError>,
}

impl Followed {
    fn of(home: Home, id: SessionId, next: u64) -> Result<Self, RecordError> {
        let archive = Archive::open(&home, id)?;
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { home, archive, next, shown: (0, Vec::new()), clock })
    }

    /// Waits until there is something new; for ever, where nothing is followed. Whoever stops waiting
    /// has missed nothing.
    pub(super) async fn news(followed: &mut Option<Self>) -> News {
        let Some(this) = followed else { return pending().await };
        loop {
            this.clock.tick().await;
            // Asked first: what was written before the other one ended is read below.
            let is_over = !this.home.is_live(this.archive.id());
            let news = match this.read() {
                Ok(news) => News { is_over, ..news },
                Err(error) => News { is_over: true, failed: Some(error), ..News::default() },
            };
            if news.is_over || !news.events.is_empty() || !news.progress.is_empty() {
                return news;
            }
        }
    }

    fn read(&mut self) -> Result<News, RecordError> {
        let events = self.archive.events_from(self.next)?;
        self.next = events.last().map_or(self.next, |event| event.seq + 1);
        let mut progress = Vec::new();
        let drafts = self.archive.drafts()?;
        // One request is under way at a time.
        let Some(request) = drafts.last().map(|draft| draft.request) else {
            return Ok(News { events, progress, ..News::default() });
        };
        let parts: Vec<Draft> = drafts.into_iter().filter(|it| it.request == request).collect();
        let is_shorter = |(shown, part): (&usize, &Draft)| part.text.len() < *shown;
        let is_void =
            parts.len() < self.shown.1.len() || self.shown.1.iter().zip(&parts).any(is_shorter);
        if self.shown.0 == request && is_void {
            let reason = "The request is sent again.".to_owned();
            progress.push(Progress::Retry { request, reason });
        }
        if self.shown.0 != request || is_void {
            self.shown = (request, Vec::new());
        }
        self.shown.1.resize(parts.len(), 0);
        for (shown, part) in self.shown.1.iter_mut().zip(parts) {
            let text = part.text.get(*shown..).unwrap_or_default().to_owned();
            *shown = part.text.len();
            progress.extend(piece(&part, text));
        }
        Ok(News { events, progress, ..News::default() })
    }
}

/// A piece of a reply, as the terminal shows it. Arguments that are not whole say nothing yet.
fn piece(part: &Draft, text: String) -> Option<Progress> {
    let request = part.request;
    match (part.kind.as_str(), part.field) {
        _ if text.is_empty() => None,
        ("reasoning", Some(field)) => Some(Progress::Reasoning { request, field, text }),
        ("text", _) => Some(Progress::Text { request, text }),
        _ => None,
    }
}

impl Driver {
    /// Follows a session from this event on, if another limn writes it.
    pub(super) async fn follow(&mut self, id: SessionId, next: u64) {
        self.followed = None;
        let Ok(home) = compose::home_to_record(&self.chosen.settings.home) else { return };
        if !home.is_live(id) {
            return;
        }
        match Followed::of(home, id, next) {
            Ok(followed) => {
                self.followed = Some(followed);
                self.say(
                    "Another limn is writing this session. You follow it here, and can ask once \
                     the other one has ended; /fork goes on with a copy.",
                )
                .await;
            }
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    /// Nobody else adds to a session that is being written.
    pub(super) fn refuse_followed(&self) -> Result<(), CliError> {
        if self.followed.is_none() {
            return Ok(());
        }
        Err(CliError::failed(
            "Another limn is writing this session, so it can only be followed here. End the other \
             one first, or go on with a copy: /fork.",
        ))
    }

    /// Tells the session something, if it is this limn's.
    pub(super) async fn tell_own(&mut self, command: session::Command) {
        match self.refuse_followed() {
            Ok(()) => self.tell(command).await,
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    pub(super) async fn take_news(&mut self, news: News) {
        for event in news.events {
            self.changes.see(&event);
            let ended = match &event.body {
                Body::RoundEnded(round) => Some(round.ended),
                _ => None,
            };
            self.send(Update::Event(Box::new(event))).await;
            if let Some(ended) = ended {
                self.send(Update::RoundOver(ended)).await;
            }
        }
        for progress in news.progress {
            self.send(Update::Progress(progress)).await;
        }
        if !news.is_over {
            return;
        }
        self.followed = None;
        if let Some(error) = news.failed {
            return self.fail(format!("{error} It is followed no longer.")).await;
        }
        // One that died left open what recovery closes; so it is shown anew.
        if let Some(id) = self.session {
            self.show_recorded(id).await;
        }
        self.say("The other limn has ended. What you ask goes on with the session.").await;
    }
}
