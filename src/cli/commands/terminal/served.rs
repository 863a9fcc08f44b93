//! The server of a model of this machine: loaded while the user reads and writes, ended when another
//! model is chosen or the terminal is left.
//!
//! While it is loaded the terminal shows that something goes on, as in a round: what is asked
//! meanwhile waits, and what stops a round stops the loading.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use model::HostFailure;
use tokio::task::JoinHandle;
use trajectory::event::Ended;
use tui::{Command, Order, Update};

use super::driver::Driver;
use crate::local::{Launch, Server};
use crate::print::thousands;

/// The server, and how far it is.
#[derive(Default)]
pub(super) struct Served {
    server: Option<Arc<Server>>,
    loading: Option<JoinHandle<Result<(), HostFailure>>>,
    /// It has answered; should it die, the next request starts it again.
    is_loaded: bool,
    /// What waits until it does.
    waiting: VecDeque<Command>,
}

impl Served {
    pub(super) const fn server(&self) -> Option<&Arc<Server>> {
        self.server.as_ref()
    }

    /// Until one that is being loaded answers, or cannot; for ever, where none is. It is handed out
    /// once.
    pub(super) async fn loaded(&mut self) -> Result<(), HostFailure> {
        let Some(task) = &mut self.loading else { return pending().await };
        let loaded = task.await;
        self.loading = None;
        loaded.unwrap_or_else(|_| {
            Err(HostFailure {
                message: "Loading the model failed inside limn.".to_owned(),
                hint: "Please report this.".to_owned(),
            })
        })
    }
}

impl Driver {
    /// Has a server for the model that is chosen, and none for another.
    pub(super) async fn serve(&mut self) {
        let launch = self.launch();
        let served = self.served.server.as_ref().map(|server| server.launch());
        if launch.as_ref() == served {
            if launch.is_some() && !self.served.is_loaded {
                self.load().await;
            }
            return;
        }
        self.unserve().await;
        let Some(launch) = launch else { return };
        let updates = self.updates.clone();
        let tell = move |told: &str| {
            // Where too much waits to be shown, this may be missed.
            let _ = updates.try_send(Update::Said(told.to_owned()));
        };
        match Server::new(&launch, Box::new(tell)) {
            Ok(server) => {
                self.served.server = Some(Arc::new(server));
                self.load().await;
            }
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    /// Ends the server, and waits for that.
    pub(super) async fn unserve(&mut self) {
        if let Some(loading) = self.served.loading.take() {
            loading.abort();
            self.forget_waiting().await;
        }
        if let Some(server) = std::mem::take(&mut self.served).server {
            server.stop().await;
        }
    }

    /// What needs the model waits until that is loaded; anything else is handed back.
    pub(super) async fn put_off(&mut self, command: Command) -> Option<Command> {
        let needs_it = matches!(
            command,
            Command::Submit(_)
                | Command::Steer(_)
                | Command::Run { .. }
                | Command::Order(Order::Compact(_))
        );
        if !needs_it || self.served.is_loaded || self.launch().is_none() {
            return Some(command);
        }
        // First: a server that is given up takes with it what waited for that one.
        self.serve().await;
        self.served.waiting.push_back(command);
        if self.served.loading.is_none() {
            // It was told why.
            self.forget_waiting().await;
        }
        None
    }

    /// The model answers, or cannot.
    pub(super) async fn loaded(&mut self, loaded: Result<(), HostFailure>) {
        if let Err(failure) = loaded {
            self.fail(failure.to_string()).await;
            return self.forget_waiting().await;
        }
        self.served.is_loaded = true;
        self.tell_facts().await;
        if let Some(server) = &self.served.server {
            let (name, tokens) = (&server.launch().name, server.context().unwrap_or_default());
            self.say(format!("{name} is loaded: {} tokens fit.", thousands(tokens))).await;
        }
        let waiting = std::mem::take(&mut self.served.waiting);
        let begins_round =
            |it: &Command| matches!(it, Command::Submit(_) | Command::Steer(_) | Command::Order(_));
        if !waiting.iter().any(begins_round) {
            self.send(Update::RoundOver(Ended::Completed)).await;
        }
        for command in waiting {
            self.command(command).await;
        }
    }

    /// Gives up loading; whether there was something to give up.
    pub(super) async fn stop_loading(&mut self) -> bool {
        let Some(loading) = self.served.loading.take() else { return false };
        // What was being started is ended with the task.
        loading.abort();
        self.say("It is not loaded any more; the next prompt loads it again.").await;
        self.forget_waiting().await;
        true
    }

    /// Nothing goes on, and what waited is not done: what was said is handed back, a command of the
    /// user's is told, and the prompts that wait in the terminal stay there.
    async fn forget_waiting(&mut self) {
        let mut said: Vec<String> = Vec::new();
        for command in std::mem::take(&mut self.served.waiting) {
            match command {
                Command::Submit(text) | Command::Steer(text) => said.push(text),
                Command::Run { command, .. } => {
                    self.fail(format!("Your command was not run: {command}. ↑ brings it back."))
                        .await;
                }
                _ => {}
            }
        }
        self.send(Update::RoundOver(Ended::Failed)).await;
        if !said.is_empty() {
            self.send(Update::Written(said.join("\n\n"))).await;
        }
    }

    async fn load(&mut self) {
        let Some(server) = &self.served.server else { return };
        if self.served.loading.is_none() {
            let server = Arc::clone(server);
            self.served.loading = Some(tokio::spawn(async move { server.ready().await.map(drop) }));
        }
        self.send(Update::Working).await;
    }

    /// How the server of the model that is chosen is started, where limn does that.
    fn launch(&self) -> Option<Launch> {
        self.chosen.settings.endpoint()?.local.clone()
    }
}
