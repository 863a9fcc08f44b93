//! The commands of the composer that need more than the screen.

use std::path::Path;

use dataset::{Messages, Said, Target};
use record::{Library, Outcome};
use sandbox::HostPattern;
use trajectory::event::Ended;
use tui::{Order, Rating, Update};

use super::back::{Past, beside};
use super::driver::Driver;
use super::facts::Chosen;
use crate::args::RunArgs;
use crate::bill::{Bill, tokens_and};
use crate::commands::annotate;
use crate::compose;
use crate::error::CliError;
use crate::print::thousands;
use crate::settings;

impl Driver {
    pub(super) async fn order(&mut self, order: Order) {
        let done = match order {
            Order::Compact(words) => {
                if let Err(error) = self.compact(words).await {
                    self.fail(error.to_string()).await;
                    self.send(Update::RoundOver(Ended::Failed)).await;
                }
                return;
            }
            Order::Model(name) => self.change_model(name).await,
            Order::Resume(id) => self.go_on_with(&id).await,
            Order::ResumeAt(place) => self.go_on_at(place).await,
            Order::Rewind(way) => self.rewind(way).await,
            Order::Fork => self.fork().await,
            Order::Status => Ok(self.status()),
            Order::Allow(host) => self.allow(host).await,
            Order::Export(dir) => self.export(&dir).await,
            Order::Judge(field, value) => self.judge(field, &value),
            Order::Rate(seq, rating) => self.rate(seq, rating),
            Order::Annotator(name) => self.set("annotator", &name).await,
            Order::Consent(consent) => self.set("consent", consent).await,
            Order::Revert(path) => self.revert(path).await,
            Order::Private => self.keep_private().await,
        };
        match done {
            Ok(text) => self.say(text).await,
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    async fn change_model(&mut self, name: String) -> Result<String, CliError> {
        let run = RunArgs { model: Some(name.clone()), ..self.run.clone() };
        let chosen = Chosen::of(&run)?;
        self.close().await;
        self.run = run;
        self.chosen = chosen;
        self.look_around();
        self.tell_facts().await;
        self.serve().await;
        Ok(format!("From here on, {name} answers."))
    }

    pub(super) async fn go_on_with(&mut self, id: &str) -> Result<String, CliError> {
        let found = compose::find_resumable(id)?;
        let run = RunArgs { workspace: Some(found.goes_on_in(None)?), ..self.run.clone() };
        let chosen = Chosen::of(&run)?;
        // It may be this one: all of it is on record first.
        self.close().await;
        let past = Past::read(&chosen.settings, found.id)?;
        self.run = run;
        self.chosen = chosen;
        self.allowed.clear();
        self.look_around();
        self.show(found.id, past).await;
        self.serve().await;
        self.tell_facts().await;
        if self.followed.is_some() {
            return Ok("You follow this session from here.".to_owned());
        }
        Ok("You go on with this session from here.".to_owned())
    }

    /// Lets the session reach a host or read a file: the one that runs, else the one that begins
    /// here. What comes of it is told by the session.
    async fn allow(&mut self, what: String) -> Result<String, CliError> {
        if !what.starts_with(['/', '~']) {
            what.parse::<HostPattern>().map_err(|told| CliError::failed(format!("{told}.")))?;
        }
        self.allowed.push(what.clone());
        self.tell(session::Command::Allow(what.clone())).await;
        Ok(format!("/allow {what}: the session says what comes of it."))
    }

    fn status(&self) -> String {
        let settings = &self.chosen.settings;
        let mut lines = Vec::new();
        match self.session {
            Some(id) => {
                lines.push(format!("session    {id}"));
                let file = settings.home.join("sessions").join(format!("{id}.db"));
                lines.push(format!("recorded   {}", file.display()));
            }
            None => lines.push("session    none yet: it begins with the first prompt".to_owned()),
        }
        match settings.endpoint() {
            Some(endpoint) => {
                lines.push(format!("model      {} of {}", endpoint.model, endpoint.provider.name));
                lines.push(match &endpoint.local {
                    Some(launch) => format!("served     from {}, by limn", launch.target.display()),
                    None => format!("server     {}", endpoint.provider.base_url),
                });
            }
            None => lines.push("model      none of a server".to_owned()),
        }
        lines.push(format!("workspace  {}", settings.workspace.display()));
        let tier = self.tier.as_deref().unwrap_or("not known yet");
        lines.push(format!("sandbox    {tier}"));
        let approval = self.approval.unwrap_or(settings.approval);
        lines.push(format!("approval   {}", approval.as_str()));
        lines.extend(self.judged().map(|outcome| format!("judged     {outcome}")));
        lines.push(format!("context    {}", self.context()));
        let cost = Bill::of(settings).cost(&self.usage);
        lines.push(format!("since then {}", tokens_and(&self.usage, cost)));
        if cost.is_some() {
            lines.push(format!("prices     as of {}", settings.catalogue.date()));
        }
        lines.join("\n")
    }

    /// How the user judged this session, if they did.
    fn judged(&self) -> Option<&'static str> {
        let id = self.session?;
        let home = compose::home_to_record(&self.chosen.settings.home).ok()?;
        let outcome = Library::open(&home).ok()?.outcome(id).ok()??;
        Some(outcome.as_str())
    }

    /// How full the model's context is.
    fn context(&self) -> String {
        match (self.context_tokens, self.window().filter(|window| *window > 0)) {
            (0, _) => "told with the next reply".to_owned(),
            (tokens, None) => format!("{} tokens; how many fit is not known", thousands(tokens)),
            (tokens, Some(window)) => format!(
                "{} of {} tokens, {} %",
                thousands(tokens),
                thousands(window),
                tokens.saturating_mul(100) / window
            ),
        }
    }

    pub(super) fn session_or_say(&self) -> Result<trajectory::SessionId, CliError> {
        self.session.ok_or_else(|| {
            CliError::failed("There is no session yet. It begins with the first prompt.")
        })
    }

    async fn export(&self, dir: &str) -> Result<String, CliError> {
        let id = self.session_or_say()?;
        let settings = self.settings();
        let out = settings.workspace.join(Path::new(dir));
        let exported = beside(move || {
            let home = compose::home_to_record(&settings.home)?;
            let order = dataset::Order::of(&home, &[id])?;
            let target = Target::Messages(Messages::default());
            Ok(dataset::export(&home, &order, &target, &out)?)
        });
        let report = exported.await?;
        Ok(format!("{} samples were written to {}.", report.samples, report.out.display()))
    }

    fn rate(&self, seq: u64, rating: Rating) -> Result<String, CliError> {
        let id = self.session_or_say()?;
        let settings = &self.chosen.settings;
        let library = Library::open(&compose::home_to_record(&settings.home)?)?;
        let rated = ("rating", rating.as_str());
        library.annotate_step(id, seq, rated, "user", settings.annotator.as_deref())?;
        Ok(format!("Noted, beside the recording: step {seq} is {}", rating.as_str()))
    }

    fn judge(&self, field: &'static str, value: &str) -> Result<String, CliError> {
        let id = self.session_or_say()?;
        let settings = &self.chosen.settings;
        let library = Library::open(&compose::home_to_record(&settings.home)?)?;
        let annotator = settings.annotator.as_deref();
        match Outcome::parse(value).filter(|_| field == "outcome") {
            Some(outcome) => library.set_outcome(id, outcome, "user", annotator)?,
            None if field == "tag" => {
                let (tag, answer) = match value.strip_prefix('-') {
                    Some(tag) => (tag, "no"),
                    None => (value, "yes"),
                };
                let tag = Said::tag_field(annotate::word(tag)?);
                library.annotate(id, &tag, answer, "user", annotator)?;
            }
            None => library.annotate(id, field, value, "user", annotator)?,
        }
        Ok(format!("Noted, beside the recording: {field} {value}"))
    }

    /// Sets something for good, in the user's own settings.
    async fn set(&mut self, key: &str, value: &str) -> Result<String, CliError> {
        let path = settings::set_at_top(key, value)?;
        let chosen = Chosen::of(&self.run)?;
        self.chosen = chosen;
        self.tell_facts().await;
        let from = if self.session.is_some() { ", from the next session on" } else { "" };
        Ok(format!("{key} is {value}{from}. It is in {}.", path.display()))
    }

    async fn revert(&mut self, path: String) -> Result<String, CliError> {
        let done = self.changes.revert(path).await;
        self.changes.answer(self.updates.clone());
        done
    }

    async fn keep_private(&mut self) -> Result<String, CliError> {
        if self.session.is_some() {
            return Err(CliError::failed(
                "This session has begun already. `limn --private` begins one that is kept out of \
                 datasets.",
            ));
        }
        self.is_private = true;
        self.tell_facts().await;
        Ok("This session will be kept out of datasets.".to_owned())
    }
}
