//! Between the terminal and the session: commands down, notices up.
//!
//! A session begins with the first prompt, so that whoever only looks leaves nothing behind. To go
//! on with another model, the session is closed and gone on with: its recording is the same.

use std::pin::Pin;

use session::{Notice, Session, SessionError, Summary};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use trajectory::event::Ended;
use trajectory::{ApprovalMode, Body, SessionId, Usage};
use tui::{Answer, Command, Query, Update};

use super::facts::Chosen;
use super::files::Files;
use crate::args::RunArgs;
use crate::bill::Bill;
use crate::compose;
use crate::error::CliError;
use crate::store::Store;

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
struct Live {
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
    live: Option<Live>,
    /// The session that is gone on with, or runs.
    pub(super) session: Option<SessionId>,
    pub(super) usage: Usage,
    /// How much may be done without asking, where it was changed here.
    approval: Option<ApprovalMode>,
    files: Files,
    failed: Option<String>,
}

enum Happening {
    Command(Option<Command>),
    Notices(Vec<Notice>),
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
        let files = Files::of(chosen.settings.workspace.clone());
        Self {
            run,
            chosen,
            is_private,
            updates,
            commands,
            live: None,
            session: None,
            usage: Usage::default(),
            approval: None,
            files,
            failed: None,
        }
    }

    /// Works until the terminal leaves.
    pub(super) async fn run(mut self, resumed: Option<SessionId>) -> Result<Parted, CliError> {
        if let Some(id) = resumed {
            self.show_recorded(id).await;
        }
        self.tell_facts().await;
        loop {
            match self.next().await {
                Happening::Command(None | Some(Command::Leave)) => break,
                Happening::Command(Some(command)) => self.command(command).await,
                Happening::Notices(notices) => self.pass_on(notices).await,
                Happening::Ended(result) => self.ended(result).await,
            }
        }
        self.close().await;
        let settings = &self.chosen.settings;
        let bill = self.chosen.hint.is_none().then(|| Bill::of(settings));
        Ok(Parted { session: self.session, usage: self.usage, bill, failed: self.failed })
    }

    async fn next(&mut self) -> Happening {
        let Some(live) = &mut self.live else {
            return Happening::Command(self.commands.recv().await);
        };
        let mut batch = Vec::new();
        let has_notices = !live.notices.is_closed() || !live.notices.is_empty();
        // The session first: it takes the commands that wait for it, so there is room for more.
        tokio::select! {
            biased;
            result = &mut live.running => Happening::Ended(result),
            command = self.commands.recv() => Happening::Command(command),
            _ = live.notices.recv_many(&mut batch, BATCH), if has_notices => {
                Happening::Notices(batch)
            }
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Submit(text) => self.submit(text).await,
            Command::Interrupt => self.tell(session::Command::Interrupt).await,
            Command::Decide { call, decision, reason, arguments, mode } => {
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
                let mut recent = self.chosen.recent();
                let current = self.session.map(|id| id.to_string());
                recent.retain(|recent| Some(&recent.id) != current.as_ref());
                self.send(Update::Answer(Answer::Sessions(recent))).await;
            }
            Command::Order(order) => self.order(order).await,
            // These are the terminal's own business.
            Command::Copy(_)
            | Command::Edit(_)
            | Command::Mouse(_)
            | Command::Play(_)
            | Command::Leave => {}
        }
    }

    async fn tell(&mut self, command: session::Command) {
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
            self.fail(error.to_string()).await;
            return self.send(Update::RoundOver(Ended::Failed)).await;
        }
        self.tell(session::Command::Submit { text, attached: Vec::new() }).await;
    }

    async fn begin(&mut self) -> Result<(), CliError> {
        let mut options = compose::options(&self.chosen.settings, self.is_private, None)?;
        options.interactive = true;
        options.approval = self.approval.unwrap_or(options.approval);
        let session = match self.session {
            Some(id) => Session::resume(options, id).await,
            None => Session::start(options).await,
        };
        let session = session.map_err(|error| CliError::failed(error.to_string()))?;
        self.session = Some(session.id());
        let (commands, commands_end) = channel(16);
        let (notices_end, notices) = channel(1024);
        let running = Box::pin(session.run(commands_end, notices_end));
        self.live = Some(Live { commands, notices, running });
        Ok(())
    }

    async fn pass_on(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let update = match notice {
                Notice::Event(event) => Update::Event(Box::new(event)),
                Notice::Progress(progress) => Update::Progress(progress),
                Notice::Usage(usage) => {
                    self.usage += usage;
                    Update::Usage(usage)
                }
                Notice::Decide { call } => Update::Decide(call),
                Notice::RoundOver(ended) => Update::RoundOver(ended),
            };
            self.send(update).await;
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

    /// Shows what is on record of a session, which is gone on with from here.
    pub(super) async fn show_recorded(&mut self, id: SessionId) {
        let read = || -> Result<_, CliError> {
            let store = Store { home: compose::home_to_record(&self.chosen.settings.home)? };
            // What a crash left open is closed before it is shown.
            let _ = record::recover(&store.home, id);
            let archive = record::Archive::open(&store.home, id)?;
            Ok((archive.events()?, archive.status()?))
        };
        match read() {
            Err(error) => self.fail(error.to_string()).await,
            Ok((events, status)) => {
                self.send(Update::Cleared).await;
                for event in events {
                    if let Body::ConfigChanged(_) | Body::ModelChanged(_) = &event.body {
                        // What holds now are the settings of today.
                        continue;
                    }
                    self.send(Update::Event(Box::new(event))).await;
                }
                self.send(Update::Recalled(status.usage)).await;
                self.session = Some(id);
                self.is_private = status.private;
                self.usage = Usage::default();
            }
        }
    }

    /// What frames the session, told again.
    pub(super) async fn tell_facts(&self) {
        let mut facts = self.chosen.facts(self.is_private);
        facts.mode = self.approval.unwrap_or(facts.mode);
        facts.recent = self.chosen.recent();
        self.send(Update::Facts(Box::new(facts))).await;
    }
}
