//! The loop: wait for something to happen, let the agent decide, record, show.

use std::future::pending;
use std::time::Duration;

use agent::{Effect, Input};
use record::{NewEvent, Row, Write};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use trajectory::event::{Ended, ErrorEvent, ErrorStage, InterruptionCause};
use trajectory::{Body, Progress, Usage};

use crate::error::SessionError;
use crate::request::Asking;
use crate::tool::Execution;
use crate::{Command, Notice, Session, Summary};

/// What can happen.
enum Happening {
    Command(Option<Command>),
    Progress(Vec<Progress>),
    Replied,
    Output(sandbox::OutputChunk),
    Finished,
    TimeUp,
}

/// A session while it runs.
pub(crate) struct Loop {
    pub(crate) session: Session,
    notices: mpsc::Sender<Notice>,
    asking: Option<Asking>,
    running: Option<Execution>,
    /// Rows that belong to the next events, in the same transaction.
    rows: Vec<Row>,
    /// The messages of the last request, as they were sent.
    pub(crate) last_sent: Vec<String>,
    usage: Usage,
    unreachable: bool,
    ended: Ended,
    /// The driver still holds its end.
    driven: bool,
    closed: bool,
}

/// A transaction of events alone.
pub(crate) fn events_write(round: u32, bodies: Vec<Body>) -> Write {
    let event = |body: Body| NewEvent { round, source: body.source(), body };
    Write { events: bodies.into_iter().map(event).collect(), ..Write::default() }
}

pub(crate) async fn run(
    mut session: Session,
    mut commands: mpsc::Receiver<Command>,
    notices: mpsc::Sender<Notice>,
) -> Result<Summary, SessionError> {
    // A limit beyond what a clock can hold is none.
    let deadline = session.options.timeout.and_then(|it| Instant::now().checked_add(it));
    let shown_late = std::mem::take(&mut session.shown_late);
    let mut this = Loop {
        session,
        notices,
        asking: None,
        running: None,
        rows: Vec::new(),
        last_sent: Vec::new(),
        usage: Usage::default(),
        unreachable: false,
        ended: Ended::Completed,
        driven: true,
        closed: false,
    };
    for event in shown_late {
        this.show(Notice::Event(event)).await;
    }
    if let Err(error) = this.work(&mut commands, deadline).await {
        this.drop_everything().await;
        return Err(error);
    }
    let summary = Summary { ended: this.ended, usage: this.usage, unreachable: this.unreachable };
    this.session.recorder.close().await?;
    Ok(summary)
}

impl Loop {
    async fn work(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        deadline: Option<Instant>,
    ) -> Result<(), SessionError> {
        let mut time_is_up = false;
        while !self.closed {
            let happening = self.wait(commands, deadline.filter(|_| !time_is_up)).await;
            time_is_up |= matches!(happening, Happening::TimeUp);
            self.take(happening).await?;
        }
        Ok(())
    }

    /// Nothing more can be recorded, so nothing may go on: what runs is ended, and waited for.
    async fn drop_everything(&mut self) {
        if let Some(asking) = self.asking.take() {
            asking.stop();
        }
        if let Some(mut execution) = self.running.take() {
            execution.stop();
            while execution.next().await.is_some() {}
            execution.conclude().await;
        }
    }

    async fn wait(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        deadline: Option<Instant>,
    ) -> Happening {
        let time_up = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let asking = &mut self.asking;
        let reply = async {
            match asking {
                Some(asking) => asking.next().await,
                None => pending().await,
            }
        };
        let running = &mut self.running;
        let tool = async {
            match running {
                Some(execution) => execution.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            command = commands.recv(), if self.driven => Happening::Command(command),
            progress = reply => progress.map_or(Happening::Replied, Happening::Progress),
            chunk = tool => chunk.map_or(Happening::Finished, Happening::Output),
            () = time_up => Happening::TimeUp,
        }
    }

    async fn take(&mut self, happening: Happening) -> Result<(), SessionError> {
        match happening {
            Happening::Command(command) => {
                self.driven = command.is_some();
                self.decide(command.map_or(Input::Close, input)).await
            }
            Happening::Progress(pieces) => {
                for piece in pieces {
                    self.session.recorder.draft(&piece).await?;
                    self.show(Notice::Progress(piece)).await;
                }
                Ok(())
            }
            Happening::Output(chunk) => self.output(chunk).await,
            Happening::Replied => self.replied().await,
            Happening::Finished => self.finished().await,
            Happening::TimeUp => {
                self.decide(Input::Interrupt(InterruptionCause::Limit)).await?;
                self.decide(Input::Close).await
            }
        }
    }

    async fn output(&mut self, chunk: sandbox::OutputChunk) -> Result<(), SessionError> {
        let Some(exec) = self.running.as_ref().map(Execution::exec) else { return Ok(()) };
        let bytes = chunk.bytes.clone();
        self.session.recorder.output(exec, crate::tool::recorded_chunk(chunk)).await?;
        self.show(Notice::Progress(Progress::Output { exec, bytes })).await;
        Ok(())
    }

    async fn replied(&mut self) -> Result<(), SessionError> {
        let Some(asking) = self.asking.take() else { return Ok(()) };
        let request = asking.request();
        let concluded = asking.conclude().await?;
        self.unreachable = concluded.unreachable;
        if let Input::Reply { usage, .. } = &concluded.input {
            self.usage += *usage;
        }
        if let Some(message) = concluded.skipped {
            let request = Some(request);
            let error = ErrorEvent { stage: ErrorStage::Model, message, request };
            self.record(vec![error.into()], false).await?;
        }
        // With the reply's events, in one transaction: it takes the place of the drafts.
        self.rows.push(Row::from(concluded.row));
        self.decide(concluded.input).await
    }

    async fn finished(&mut self) -> Result<(), SessionError> {
        let Some(execution) = self.running.take() else { return Ok(()) };
        let (call, outcome, row) = execution.conclude().await;
        self.rows.push(Row::from(row));
        self.decide(Input::Finished { call, outcome }).await
    }

    /// Lets the agent decide, and does what it says: events first, and what depends on them after
    /// they are on record.
    async fn decide(&mut self, input: Input) -> Result<(), SessionError> {
        let effects = self.session.agent.handle(input);
        let mut bodies = Vec::new();
        for effect in effects {
            let effect = match effect {
                Effect::Emit(body) => {
                    bodies.push(body);
                    continue;
                }
                effect => effect,
            };
            let durable = match &effect {
                Effect::Run(invocation) => {
                    self.rows.push(Row::from(crate::tool::started_row(invocation)));
                    invocation.effect.has_side_effects()
                }
                Effect::RoundOver(_) | Effect::Closed => true,
                _ => false,
            };
            self.record(std::mem::take(&mut bodies), durable).await?;
            self.perform(effect).await?;
        }
        self.record(bodies, false).await
    }

    async fn record(&mut self, bodies: Vec<Body>, durable: bool) -> Result<(), SessionError> {
        let mut write = events_write(self.session.agent.round(), bodies);
        write.rows = std::mem::take(&mut self.rows);
        if write.events.is_empty() && write.rows.is_empty() {
            return Ok(());
        }
        let durability = self.session.options.durability(durable);
        let recorded = self.session.recorder.commit(write, durability).await?;
        for event in recorded {
            self.session.transcript.apply(&event);
            self.show(Notice::Event(event)).await;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), SessionError> {
        match effect {
            Effect::Emit(_) => {}
            Effect::Ask { request } => self.asking = Some(Asking::begin(self, request)),
            Effect::StopAsking => {
                if let Some(asking) = &self.asking {
                    asking.stop();
                }
            }
            Effect::Run(invocation) => {
                let toolbox = &self.session.options.toolbox;
                self.running = Some(Execution::begin(toolbox, invocation));
            }
            Effect::StopRunning { .. } => {
                if let Some(execution) = &self.running {
                    execution.stop();
                }
            }
            Effect::Decide { call } => self.show(Notice::Decide { call }).await,
            Effect::RoundOver(ended) => {
                self.ended = ended;
                self.show(Notice::RoundOver(ended)).await;
            }
            Effect::Closed => self.closed = true,
        }
        Ok(())
    }

    /// Tells the driver. One that went away is not told; the recording goes on.
    async fn show(&self, notice: Notice) {
        let _ = self.notices.send(notice).await;
    }
}

fn input(command: Command) -> Input {
    match command {
        Command::Submit(prompt) => Input::Submit(prompt),
        Command::Decide { call, decision, reason, arguments } => {
            Input::Decided { call, decision, reason, arguments }
        }
        Command::Interrupt => Input::Interrupt(InterruptionCause::User),
        Command::Close => Input::Close,
    }
}

/// Microseconds, as they are recorded.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
