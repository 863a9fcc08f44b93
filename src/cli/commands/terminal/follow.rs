//! A session that another limn writes, shown as it goes on.
//!
//! It has one writer, so here it can only be looked at: whoever asks is told so, and can ask when the
//! other one has ended. What is on record is read again and again: events, pieces of a reply that is
//! still arriving, and what commands print while they run.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use record::{Archive, Draft, ExecRow, Home, RecordError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use trajectory::{Body, Event, Progress, Recorded, SessionId};
use tui::Update;

use super::driver::Driver;
use crate::compose;
use crate::error::CliError;

/// How often it is looked what is new.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The most of one command's output that is taken at one look, bytes. Of one that prints more than
/// that in the meantime the last is seen, as of one whose beginning nobody saw.
const PRINTED_BYTES_MAX: u64 = 1 << 20;

/// A session that is followed.
pub(super) struct Followed {
    home: Home,
    archive: Archive,
    /// The first event that was not shown yet.
    next: u64,
    /// How much was shown of a reply that is arriving: its request, and the bytes of each part.
    shown: (u32, Vec<usize>),
    /// How much was shown of each command that runs: bytes that it printed, sizes of its terminal.
    printed: BTreeMap<u32, (u64, usize)>,
    clock: Interval,
}

/// What is new in it.
#[derive(Default)]
pub(super) struct News {
    events: Vec<Recorded<Event>>,
    /// What is told after them.
    flickers: Vec<Update>,
    /// Nobody writes it any more.
    is_over: bool,
    failed: Option<RecordError>,
}

impl Followed {
    fn of(home: Home, id: SessionId, next: u64) -> Result<Self, RecordError> {
        let archive = Archive::open(&home, id)?;
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (shown, printed) = ((0, Vec::new()), BTreeMap::new());
        Ok(Self { home, archive, next, shown, printed, clock })
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
            if news.is_over || !news.events.is_empty() || !news.flickers.is_empty() {
                return news;
            }
        }
    }

    fn read(&mut self) -> Result<News, RecordError> {
        // What runs is read first: the events that tell of its start come at least with it.
        let running = self.archive.running()?;
        let events = self.archive.events_from(self.next)?;
        self.next = events.last().map_or(self.next, |event| event.seq + 1);
        let mut flickers = self.commands(&running, &events)?;
        flickers.extend(self.words()?.into_iter().map(Update::Progress));
        Ok(News { events, flickers, ..News::default() })
    }

    /// What the commands that run did since the last look. Of one whose end is among the events, or
    /// that goes on behind its answer, nothing is told before those were.
    fn commands(
        &mut self,
        running: &[ExecRow],
        events: &[Recorded<Event>],
    ) -> Result<Vec<Update>, RecordError> {
        let is_told = |row: &&ExecRow| events.iter().any(|event| tells_of(&event.body, row.exec));
        let is_there = |exec: &u32| running.iter().any(|row| row.exec == *exec);
        self.printed.retain(|exec, _| is_there(exec));
        let mut updates = Vec::new();
        for row in running.iter().filter(|row| !is_told(row)) {
            let exec = row.exec;
            if row.call.is_none() && !self.printed.contains_key(&exec) && !self.is_told(exec)? {
                updates.push(own_started(row));
            }
            let (bytes_shown, sizes_shown) = self.printed.entry(exec).or_default();
            for size in row.sizes.get(*sizes_shown..).unwrap_or_default() {
                let size = (size.columns, size.rows);
                updates.push(Update::Progress(Progress::Resized { exec, size }));
            }
            *sizes_shown = row.sizes.len();
            let (bytes, end) = self.archive.output_from(exec, *bytes_shown, PRINTED_BYTES_MAX)?;
            *bytes_shown = end;
            if !bytes.is_empty() {
                let bytes = Arc::from(bytes);
                updates.push(Update::Progress(Progress::Output { exec, bytes }));
            }
        }
        Ok(updates)
    }

    /// Whether the end of a user's command is on record: what still runs of it is a job.
    fn is_told(&self, exec: u32) -> Result<bool, RecordError> {
        let events = self.archive.events()?;
        Ok(events.iter().any(|event| tells_of(&event.body, exec)))
    }

    /// What has come of a reply since the last look.
    fn words(&mut self) -> Result<Vec<Progress>, RecordError> {
        let mut progress = Vec::new();
        let drafts = self.archive.drafts()?;
        // One request is under way at a time.
        let Some(request) = drafts.last().map(|draft| draft.request) else { return Ok(progress) };
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
        Ok(progress)
    }
}

/// Whether an event tells what came of an execution.
fn tells_of(body: &Body, exec: u32) -> bool {
    match body {
        Body::Observation(seen) => seen.exec == Some(exec),
        Body::UserCommand(ran) => ran.exec == exec,
        Body::BackgroundExit(exit) => exit.exec == exec,
        _ => false,
    }
}

/// A command of the user's that runs: it comes on record as an event at its end.
fn own_started(row: &ExecRow) -> Update {
    let policy = row.facts.policy.as_ref();
    Update::OwnStarted {
        exec: row.exec,
        command: row.facts.argv.last().cloned().unwrap_or_default(),
        outside: policy.is_some_and(|policy| policy["outside"] == true),
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
                self.send(Update::Watched(true)).await;
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
        for update in news.flickers {
            self.send(update).await;
        }
        if !news.is_over {
            return;
        }
        self.followed = None;
        self.send(Update::Watched(false)).await;
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
