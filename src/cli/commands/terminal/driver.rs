//! Between the terminal and the session: commands down, notices up.
//!
//! A session begins with the first prompt, so that whoever only looks leaves nothing behind. To go
//! on with another model, the session is closed and gone on with: its recording is the same.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use model::HostFailure;
use sandbox::Sandbox;
use session::{Notice, Session, SessionError, Summary};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use toolbox::Toolbox;
use trajectory::event::Ended;
use trajectory::{ApprovalMode, Body, SessionId, Usage};
use tui::{Answer, Command, Query, Recent, Update};

use super::changes::Changes;
use super::facts::{Chosen, recent};
use super::files::Files;
use super::follow::{Followed, News};
use super::history;
use super::offers::{Asked, offer_amended};
use super::pictures::Pictures;
use super::prepared::Prepared;
use super::served::Served;
use crate::args::RunArgs;
use crate::bill::Bill;
use crate::compose;
use crate::error::CliError;
use crate::settings::{self, Settings};

/// Notices that are handed on together.
const BATCH: usize = 256;

/// What is left when it is over.
pub(super) struct Parted {
    pub(super) session: Option<SessionId>,
    pub(super) usage: Usage,
    pub(super) bill: Option<Bill>,
    /// The recording could not be written.
    pub(super) failed: Option<String>,
}

/// A session that runs.
pub(super) struct Live {
    pub(super) toolbox: Arc<Toolbox>,
    commands: Sender<session::Command>,
    notices: Receiver<Notice>,
    running: Pin<Box<dyn Future<Output = Result<Summary, SessionError>>>>,
}

/// The driver.
pub(super) struct Driver {
    pub(super) run: RunArgs,
    pub(super) chosen: Chosen,
    pub(super) is_private: bool,
    pub(super) updates: Sender<Update>,
    commands: Receiver<Command>,
    pub(super) live: Option<Live>,
    /// The session that is gone on with, or runs.
    pub(super) session: Option<SessionId>,
    /// Somebody else writes it.
    pub(super) followed: Option<Followed>,
    pub(super) usage: Usage,
    /// Tokens of the last request and its reply.
    pub(super) context_tokens: u64,
    /// How much may be done without asking, where it was changed here.
    pub(super) approval: Option<ApprovalMode>,
    /// Hosts and files that were allowed here: another model goes on with them.
    pub(super) allowed: Vec<String>,
    files: Files,
    /// What calls of this round want to do.
    pub(super) asked: HashMap<u32, Asked>,
    pub(super) changes: Changes,
    pub(super) pictures: Pictures,
    /// The sandbox of the next session, which is begun before anybody asks for it.
    pub(super) sandbox: Prepared,
    pub(super) served: Served,
    /// The tier that commands run in, once it is known.
    pub(super) tier: Option<String>,
    failed: Option<String>,
}

enum Happening {
    Command(Option<Command>),
    Sandbox(Result<Box<Sandbox>, CliError>),
    /// What the clipboard holds.
    Pasted(Result<Vec<u8>, CliError>),
    /// Whether the model of this machine that is chosen can be asked.
    Loaded(Result<(), HostFailure>),
    Notices(Vec<Notice>),
    /// What another limn did in the session that is followed.
    News(News),
    Ended(Result<Summary, SessionError>),
}

impl Driver {
    pub(super) fn new(
        run: RunArgs,
        chosen: Chosen,
        is_private: bool,
        updates: Sender<Update>,
        commands: Receiver<Command>,
    ) -> Self {
        let files = files_of(&chosen);
        let changes = changes_of(&chosen);
        Self {
            run,
            chosen,
            is_private,
            updates,
            commands,
            live: None,
            session: None,
            followed: None,
            usage: Usage::default(),
            context_tokens: 0,
            approval: None,
            allowed: Vec::new(),
            files,
            asked: HashMap::new(),
            changes,
            pictures: Pictures::default(),
            sandbox: Prepared::Not,
            served: Served::default(),
            tier: None,
            failed: None,
        }
    }

    /// Works until the terminal leaves.
    pub(super) async fn run(mut self, resumed: Option<SessionId>) -> Result<Parted, CliError> {
        self.prepare();
        history::tell(self.settings(), resumed, self.updates.clone());
        if let Some(id) = resumed {
            self.show_recorded(id).await;
            self.tell_facts().await;
        }
        self.serve().await;
        loop {
            match self.next().await {
                Happening::Command(None | Some(Command::Leave)) => break,
                Happening::Command(Some(command)) => self.command(command).await,
                Happening::Sandbox(begun) => self.sandbox_begun(begun).await,
                Happening::Pasted(pasted) => self.pasted(pasted).await,
                Happening::Loaded(loaded) => self.loaded(loaded).await,
                Happening::Notices(notices) => self.pass_on(notices).await,
                Happening::News(news) => self.take_news(news).await,
                Happening::Ended(result) => self.ended(result).await,
            }
        }
        self.close().await;
        self.unserve().await;
        let settings = &self.chosen.settings;
        let bill = self.chosen.hint.is_none().then(|| Bill::of(settings));
        Ok(Parted { session: self.session, usage: self.usage, bill, failed: self.failed })
    }

    async fn next(&mut self) -> Happening {
        let (sandbox, pasted) = (self.sandbox.begun(), self.pictures.pasted());
        let loaded = self.served.loaded();
        let Some(live) = &mut self.live else {
            return tokio::select! {
                biased;
                command = self.commands.recv() => Happening::Command(command),
                begun = sandbox => Happening::Sandbox(begun),
                pasted = pasted => Happening::Pasted(pasted),
                loaded = loaded => Happening::Loaded(loaded),
                news = Followed::news(&mut self.followed) => Happening::News(news),
            };
        };
        let mut batch = Vec::new();
        let has_notices = !live.notices.is_closed() || !live.notices.is_empty();
        // A command brings two at most to the session, which takes them only while it is waited for
        // here: one for which there is no room would never get any.
        let (room, commands) = (live.commands.clone(), &mut self.commands);
        let command = async {
            let _room = room.reserve_many(2).await;
            commands.recv().await
        };
        tokio::select! {
            biased;
            result = &mut live.running => Happening::Ended(result),
            command = command => Happening::Command(command),
            begun = sandbox => Happening::Sandbox(begun),
            pasted = pasted => Happening::Pasted(pasted),
            loaded = loaded => Happening::Loaded(loaded),
            _ = live.notices.recv_many(&mut batch, BATCH), if has_notices => {
                Happening::Notices(batch)
            }
        }
    }

    pub(super) async fn command(&mut self, command: Command) {
        let Some(command) = self.put_off(command).await else { return };
        match command {
            Command::Submit(text) => self.submit(text).await,
            // What waited for a model has no session yet that could be told, and begins one.
            Command::Steer(text) if self.live.is_none() && self.followed.is_none() => {
                self.submit(text).await;
            }
            Command::Steer(text) => self.tell_own(session::Command::Steer(text)).await,
            Command::Run { command, outside } => self.run_own(command, outside).await,
            Command::Interrupt if self.stop_loading().await => {}
            Command::Interrupt => self.tell_own(session::Command::Interrupt).await,
            Command::Decide { call, decision, reason, arguments, mode, always } => {
                self.allow_always(&always).await;
                if let Some(mode) = mode {
                    self.set_mode(mode).await;
                }
                self.tell(session::Command::Decide { call, decision, reason, arguments }).await;
            }
            Command::Mode(mode) => self.set_mode(mode).await,
            Command::Ask(Query::Files(wanted)) => {
                self.files.answer(wanted, self.updates.clone());
            }
            Command::Ask(Query::Sessions) => {
                let current = self.session.map(|id| id.to_string());
                self.look_for_sessions(move |mut recent| {
                    recent.retain(|recent| Some(&recent.id) != current.as_ref());
                    Update::Answer(Answer::Sessions(recent))
                });
            }
            Command::Ask(Query::Search(words)) => self.look_for_words(words),
            Command::Ask(Query::Picture { written, path }) => {
                let found = self.pictures.take(&path, &self.chosen.settings.workspace);
                self.picture(Some(written), found).await;
            }
            Command::Ask(Query::Clipboard) => self.pictures.paste(),
            Command::Ask(Query::Offer(call, arguments)) => {
                self.send(offer_amended(call, &arguments)).await;
            }
            Command::Ask(Query::Changes) => self.changes.answer(self.updates.clone()),
            Command::Ask(query) => self.answer(query).await,
            Command::Order(order) => self.order(order).await,
            Command::Hand(hand) => self.tell(session::Command::Hand(hand)).await,
            // These are the terminal's own business.
            Command::Copy(_)
            | Command::Edit(_)
            | Command::Mouse(_)
            | Command::Redraw
            | Command::Suspend
            | Command::Play(_)
            | Command::Leave => {}
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.chosen.settings)
    }

    /// Allows for good, in this session and in the user's settings.
    async fn allow_always(&mut self, rules: &[String]) {
        if rules.is_empty() {
            return;
        }
        if let Some(live) = &self.live {
            live.toolbox.allow(rules.iter().cloned());
        }
        match settings::remember(&self.chosen.settings.workspace, rules) {
            Ok(path) => {
                let rules = rules.join(", ");
                self.say(format!(
                    "Allowed here from now on: {rules}. It is in {}.",
                    path.display()
                ))
                .await;
            }
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    pub(super) async fn tell(&mut self, command: session::Command) {
        if let Some(live) = &self.live {
            // A session that has just ended has nothing to do.
            let _ = live.commands.send(command).await;
        }
    }

    pub(super) async fn send(&self, update: Update) {
        // Without a terminal nobody is told; the recording goes on.
        let _ = self.updates.send(update).await;
    }

    pub(super) async fn say(&self, text: impl Into<String>) {
        self.send(Update::Said(text.into())).await;
    }

    pub(super) async fn fail(&self, text: impl Into<String>) {
        self.send(Update::Failed(text.into())).await;
    }

    async fn set_mode(&mut self, mode: ApprovalMode) {
        self.approval = Some(mode);
        self.tell(session::Command::Approval(mode)).await;
    }

    /// A round begins; so does the session, if it has not.
    async fn submit(&mut self, text: String) {
        if self.live.is_none()
            && let Err(error) = self.begin().await
        {
            return self.give_back(text, &error).await;
        }
        match self.pictures.of(&text) {
            Ok(attached) => self.tell(session::Command::Submit { text, attached }).await,
            Err(error) => self.give_back(text, &error).await,
        }
    }

    /// What could not be asked stands in the prompt again.
    async fn give_back(&self, text: String, error: &CliError) {
        self.fail(error.to_string()).await;
        self.send(Update::RoundOver(Ended::Failed)).await;
        self.send(Update::Written(text)).await;
    }

    /// The user runs a command: that too is a session.
    async fn run_own(&mut self, command: String, outside: bool) {
        if self.live.is_none()
            && let Err(error) = self.begin().await
        {
            return self.fail(error.to_string()).await;
        }
        self.tell(session::Command::Run { command, outside }).await;
    }

    /// Has the conversation replaced by a summary; that it is over is told as a round's end is.
    pub(super) async fn compact(&mut self, words: Option<String>) -> Result<(), CliError> {
        if self.session.is_none() {
            return Err(CliError::failed(
                "There is no conversation yet. It begins with the first prompt.",
            ));
        }
        if self.live.is_none() {
            self.begin().await?;
        }
        self.tell(session::Command::Compact { words }).await;
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), CliError> {
        self.refuse_followed()?;
        let sandbox = self.take_sandbox().await?;
        let settings = &self.chosen.settings;
        let server = self.served.server();
        let mut options =
            compose::options_for_terminal(settings, self.is_private, *sandbox, server)?;
        let toolbox = Arc::clone(&options.toolbox);
        options.approval = self.approval.unwrap_or(options.approval);
        let session = match self.session {
            Some(id) => Session::resume(options, id).await,
            None => Session::start(options).await,
        };
        let session = session.map_err(|error| CliError::failed(error.to_string()))?;
        if let Some(before) = self.session.replace(session.id())
            && let Some(told) = compose::told_of_fork(before, session.id())
        {
            self.say(told).await;
        }
        let (commands, commands_end) = channel(16 + self.allowed.len());
        let (notices_end, notices) = channel(1024);
        for what in &self.allowed {
            // The session is not there yet, so it is sent, and heard first.
            let _ = commands.try_send(session::Command::Allow(what.clone()));
        }
        let running = Box::pin(session.run(commands_end, notices_end));
        self.live = Some(Live { toolbox, commands, notices, running });
        Ok(())
    }

    async fn pass_on(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let refused = self.remember_call(&notice);
            let update = match notice {
                Notice::Event(event) => {
                    self.changes.see(&event);
                    if let Body::Compaction(_) = &event.body {
                        // What it comes to is known with the next request.
                        self.context_tokens = 0;
                    }
                    Update::Event(Box::new(event))
                }
                Notice::Progress(progress) => Update::Progress(progress),
                Notice::Usage(usage) => {
                    self.usage += usage;
                    self.context_tokens = usage.total();
                    Update::Usage(usage)
                }
                Notice::Decide { call } => {
                    self.send(Update::Decide(call)).await;
                    self.offer(call)
                }
                Notice::OwnStarted { exec, command, outside } => {
                    Update::OwnStarted { exec, command, outside }
                }
                Notice::OwnRefused { command } => Update::Failed(format!(
                    "Your command still runs, so this was not started: {command}. Stop the first \
                     with ctrl-c."
                )),
                Notice::RoundOver(ended) => Update::RoundOver(ended),
                Notice::Unable(told) => Update::Failed(told),
            };
            self.send(update).await;
            if let Some(told) = refused {
                self.say(told).await;
            }
        }
    }

    async fn ended(&mut self, result: Result<Summary, SessionError>) {
        if let Some(mut live) = self.live.take() {
            let mut rest = Vec::new();
            while let Ok(notice) = live.notices.try_recv() {
                rest.push(notice);
            }
            self.pass_on(rest).await;
        }
        if let Err(error) = result {
            self.failed = Some(error.to_string());
            self.fail(error.to_string()).await;
            self.send(Update::RoundOver(Ended::Failed)).await;
        }
    }

    /// Closes the session in order, and waits for it.
    pub(super) async fn close(&mut self) {
        self.tell(session::Command::Interrupt).await;
        self.tell(session::Command::Close).await;
        while let Some(live) = &mut self.live {
            let mut batch = Vec::new();
            let result = tokio::select! {
                biased;
                count = live.notices.recv_many(&mut batch, BATCH), if !live.notices.is_closed() => {
                    if count > 0 { self.pass_on(batch).await; }
                    continue;
                }
                result = &mut live.running => result,
            };
            self.ended(result).await;
        }
    }

    /// Finds out what takes a while, beside whatever else goes on.
    pub(super) fn look_around(&mut self) {
        self.prepare();
        self.look_for_sessions(Update::Recent);
    }

    fn prepare(&mut self) {
        self.files = files_of(&self.chosen);
        self.sandbox = Prepared::begin(&self.chosen.settings);
    }

    /// Tells of the recent sessions of the folder, in whatever form.
    fn look_for_sessions(&self, told: impl FnOnce(Vec<Recent>) -> Update + Send + 'static) {
        let (settings, updates) = (Arc::clone(&self.chosen.settings), self.updates.clone());
        tokio::task::spawn_blocking(move || {
            let recent = recent(&settings.home, &settings.workspace);
            // Without a terminal nobody asks any more.
            let _ = updates.blocking_send(told(recent));
        });
    }

    /// Tokens that fit into the model's context.
    pub(super) fn window(&self) -> Option<u64> {
        let server = self.served.server().map(Arc::as_ref);
        compose::tokens_max(&self.chosen.settings, server)
    }

    /// What frames the session, told again.
    pub(super) async fn tell_facts(&self) {
        let mut facts = self.chosen.facts(self.is_private);
        facts.mode = self.approval.unwrap_or(facts.mode);
        facts.window = self.window();
        self.send(Update::Facts(Box::new(facts))).await;
    }
}

/// Where the files of a session are compared.
pub(super) fn changes_of(chosen: &Chosen) -> Changes {
    Changes::of(chosen.settings.workspace.clone(), chosen.settings.home.clone())
}

/// Where the names of files are looked for.
fn files_of(chosen: &Chosen) -> Files {
    Files::of(chosen.settings.workspace.clone(), chosen.settings.home.clone())
}
