//! Going back, going on with a copy, and choosing another model: what the terminal shows before, and
//! what is done after.
//!
//! All of it reads or writes recordings and files, so it is done on a thread of its own.

use record::{Library, Status};
use trajectory::{Body, Event, Recorded, SessionId, Usage};
use tui::{Answer, Edits, Preview, Query, Rating, Rewind, RewindWhat, Round, Update};

use super::driver::{Driver, changes_of};
use crate::args::{RewindArgs, RunArgs};
use crate::commands::rewind::{self, Went};
use crate::compose;
use crate::error::CliError;
use crate::local;
use crate::print::thousands;
use crate::settings::{self, Catalogue, Settings, UserFile};

/// The name of a model, and what is known of it.
type Row = (String, String);

/// Models that are listed.
const MODELS_MAX: usize = 200;

/// What is on record of a session.
pub(super) struct Past {
    events: Vec<Recorded<Event>>,
    status: Status,
    usages: Vec<(u32, Usage)>,
    /// What was thought of its steps, by their events; the latest last.
    rated: Vec<(u64, Rating)>,
}

impl Past {
    pub(super) fn read(settings: &Settings, id: SessionId) -> Result<Self, CliError> {
        let home = compose::home_to_record(&settings.home)?;
        // What a crash left open is closed before it is shown.
        let _ = record::recover(&home, id);
        let archive = record::Archive::open(&home, id)?;
        let requests = archive.requests()?.into_iter();
        let usages = requests.filter_map(|row| Some((row.request, row.end?.usage?))).collect();
        let rated = Library::open(&home)?.annotations(id)?.into_iter().filter_map(|said| {
            let rating = Rating::parse(&said.value).filter(|_| said.field == "rating")?;
            Some((said.target.parse().ok()?, rating))
        });
        let rated = rated.collect();
        Ok(Self { events: archive.events()?, status: archive.status()?, usages, rated })
    }
}

/// Does what waits for disks and servers, beside whatever else goes on.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(CliError::failed("This failed inside limn. Nothing is lost; please report it."))
    })
}

impl Driver {
    /// Answers a question about the past or about models.
    pub(super) async fn answer(&mut self, query: Query) {
        let answer = match query {
            Query::Rounds => self.rounds().await.map(Answer::Rounds),
            Query::Rewind(round) => self.preview(round).await.map(Answer::Preview),
            Query::Models => return self.look_for_models(),
            Query::Files(_)
            | Query::Sessions
            | Query::Search(_)
            | Query::Changes
            | Query::Picture { .. }
            | Query::Clipboard
            | Query::Offer(..) => return,
        };
        match answer {
            Ok(answer) => self.send(Update::Answer(answer)).await,
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    async fn rounds(&self) -> Result<Vec<Round>, CliError> {
        let Some(id) = self.session else { return Ok(Vec::new()) };
        let settings = self.settings();
        let rounds = beside(move || rewind::rounds(&compose::home_to_record(&settings.home)?, id));
        let told = |round: rewind::Round| Round {
            number: round.number,
            about: match (round.before, round.is_rewound) {
                (_, true) => "taken back".to_owned(),
                (None, _) => "its files are not known".to_owned(),
                (Some(_), _) => format!("{} files", thousands(round.files)),
            },
            prompt: round.prompt,
        };
        Ok(rounds.await?.into_iter().rev().map(told).collect())
    }

    async fn preview(&self, number: u32) -> Result<Preview, CliError> {
        let round = self.rounds_by_number(number).await?;
        let mut preview = Preview {
            round: number,
            has_conversation: !round.is_rewound,
            has_files: round.before.is_some(),
            ..Preview::default()
        };
        if preview.has_files {
            let way = Rewind { round: number, what: RewindWhat::Files, edits: Edits::None };
            let went = self.go_back(way, true).await?;
            preview.lines = went.notes.iter().cloned().chain(went.lines()).collect();
            preview.edited = went.edited().collect();
        }
        Ok(preview)
    }

    async fn rounds_by_number(&self, number: u32) -> Result<rewind::Round, CliError> {
        let id = self.session_or_say()?;
        let settings = self.settings();
        let rounds = beside(move || rewind::rounds(&compose::home_to_record(&settings.home)?, id));
        let round = rounds.await?.into_iter().find(|round| round.number == number);
        round.ok_or_else(|| CliError::usage(format!("There is no round {number} here.")))
    }

    async fn go_back(&self, way: Rewind, dry_run: bool) -> Result<Went, CliError> {
        let id = self.session_or_say()?;
        let settings = self.settings();
        let args = RewindArgs {
            id: id.to_string(),
            to: Some(way.round),
            files: way.what == RewindWhat::Files,
            conversation: way.what == RewindWhat::Conversation,
            both: false,
            dry_run,
            keep_mine: way.edits == Edits::Keep,
            overwrite: way.edits == Edits::Undo,
            workspace: Some(settings.workspace.clone()),
            json: false,
        };
        beside(move || rewind::go_back(&compose::home_to_record(&settings.home)?, id, &args)).await
    }

    /// Goes back to before a round, and on from there.
    pub(super) async fn rewind(&mut self, way: Rewind) -> Result<String, CliError> {
        let id = self.session_or_say()?;
        // Nobody else may write the recording meanwhile.
        self.close().await;
        let went = self.go_back(way, false).await?;
        if went.stopped {
            return Err(CliError::failed(
                "You changed files meanwhile, so nothing was done. /rewind shows them.",
            ));
        }
        self.look_around();
        self.show_recorded(id).await;
        let what = match way.what {
            RewindWhat::Both => "The conversation and the files are",
            RewindWhat::Conversation => "The conversation is",
            RewindWhat::Files => "The files are",
        };
        if way.what != RewindWhat::Files {
            // What was asked there is what one wants to ask otherwise.
            self.send(Update::Written(went.round.prompt)).await;
        }
        Ok(format!("{what} as before round {}. What was there stays on record.", way.round))
    }

    /// Goes on with a copy of this session.
    pub(super) async fn fork(&mut self) -> Result<String, CliError> {
        let id = self.session_or_say()?;
        self.close().await;
        let settings = self.settings();
        let forked =
            beside(move || Ok(record::fork(&compose::home_to_record(&settings.home)?, id, None)?));
        let forked = forked.await?;
        self.look_around();
        self.show_recorded(forked).await;
        Ok(format!(
            "You go on with a copy from here: {forked}. The original is {id}, and stays as it is."
        ))
    }

    /// Shows what is on record of a session, which is gone on with from here.
    pub(super) async fn show_recorded(&mut self, id: SessionId) {
        match Past::read(&self.chosen.settings, id) {
            Ok(past) => self.show(id, past).await,
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    pub(super) async fn show(&mut self, id: SessionId, past: Past) {
        self.send(Update::Cleared).await;
        self.send(Update::Counted(past.usages)).await;
        self.changes = changes_of(&self.chosen);
        let seen = past.events.last().map_or(0, |event| event.seq + 1);
        for event in past.events {
            self.changes.see(&event);
            if let Body::ConfigChanged(_) | Body::ModelChanged(_) = &event.body {
                // What holds now are the settings of today.
                continue;
            }
            self.send(Update::Event(Box::new(event))).await;
        }
        self.send(Update::Rated(past.rated)).await;
        self.send(Update::Recalled(past.status.usage)).await;
        self.session = Some(id);
        self.is_private = past.status.private;
        self.usage = Usage::default();
        // What its next request holds is known when that is counted.
        self.context_tokens = 0;
        self.follow(id, seen).await;
    }

    /// Tells of the models that the provider has, beside whatever else goes on.
    fn look_for_models(&self) {
        let run = RunArgs { model: None, ..self.run.clone() };
        let updates = self.updates.clone();
        tokio::task::spawn_blocking(move || {
            // Without a terminal nobody asks any more.
            let tell = |update| drop(updates.blocking_send(update));
            match models(&run) {
                Ok((models, missing)) => {
                    if let Some(error) = missing {
                        tell(Update::Said(error.to_string()));
                    }
                    tell(Update::Answer(Answer::Models(models)));
                }
                Err(error) => tell(Update::Failed(error.to_string())),
            }
        });
    }
}

/// The models of this machine, and those that the provider has to offer; what kept it from offering
/// some, where there are others.
fn models(run: &RunArgs) -> Result<(Vec<Row>, Option<CliError>), CliError> {
    let file = settings::user_file()?;
    let mut rows: Vec<Row> = local::list(&file)
        .iter()
        .filter(|it| it.has_weights())
        .map(|it| (format!("{}{}", local::PREFIX, it.name), it.about()))
        .collect();
    match offered(run, &file) {
        Ok(offered) => rows.extend(offered),
        Err(error) if rows.is_empty() => return Err(error),
        Err(error) => return Ok((rows, Some(error))),
    }
    Ok((rows, None))
}

/// What the provider has to offer.
fn offered(run: &RunArgs, file: &UserFile) -> Result<Vec<Row>, CliError> {
    let provider = settings::chosen_provider(run, file)?;
    let key = provider.find_key()?;
    let names = compose::run(model::list(&provider.base_url, key.as_ref()))?;
    let names = names.map_err(|failure| {
        CliError::failed(format!("{failure} /model NAME takes a name all the same."))
    })?;
    let catalogue = Catalogue::of(file, None);
    let about = |name: &str| match catalogue.facts(name).and_then(|it| it.context_window) {
        Some(window) => format!("{} tokens", thousands(window)),
        None => String::new(),
    };
    let names = names.into_iter().take(MODELS_MAX);
    Ok(names.map(|name| (name.clone(), about(&name))).collect())
}
