//! The loop: wait for something to happen, let the agent decide, record, show.

use std::future::pending;
use std::time::Duration;

use agent::{Effect, Input, Remedy};
use record::{Blob, Direction, NewEvent, ReplyTokens, RequestFinished, Row, Write};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use toolbox::{JobEvent, Toolbox};
use trajectory::event::{
    Attachment, Ended, ErrorEvent, ErrorStage, InterruptionCause, NetworkRequest, Prompt,
};
use trajectory::{Body, Part, Progress, Usage, Verdict};

use crate::checkpoints::{Checkpoints, Told};
use crate::context::Fit;
use crate::effects::{Held, never_answered};
use crate::error::SessionError;
use crate::jobs::Jobs;
use crate::network::Network;
use crate::own::Own;
use crate::request::{Asking, Purpose, Sent};
use crate::tool::{Concluded, Execution};
use crate::{Attached, Command, Notice, Session, Summary};

/// What can happen.
enum Happening {
    Command(Option<Command>),
    Progress(Vec<Progress>),
    Replied,
    Output(sandbox::OutputChunk),
    Finished,
    /// Output of the user's own command, or its end.
    Own(Option<sandbox::OutputChunk>),
    Job(JobEvent),
    Network(NetworkRequest),
    /// A checkpoint.
    Taken(Told),
    /// It is time to ask again.
    Due,
    TimeUp,
}

/// A request that waits to be sent again.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    attempt: u32,
}

/// A session while it runs.
pub(crate) struct Loop {
    pub(crate) session: Session,
    notices: mpsc::Sender<Notice>,
    asking: Option<Asking>,
    pause: Option<Pause>,
    pub(crate) running: Option<Execution>,
    pub(crate) own: Option<Own>,
    pub(crate) jobs: Jobs,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) held: Option<Held>,
    network: Network,
    /// Rows and bytes that belong to the next events, in the same transaction.
    pub(crate) rows: Vec<Row>,
    blobs: Vec<Blob>,
    /// What goes before the next events.
    before: Vec<Body>,
    /// The last request, as it was sent.
    sent: Option<Sent>,
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
    let jobs = Jobs::of(&session.options.toolbox);
    let checkpoints = Checkpoints::of(&session.options, session.left_at);
    let network = Network::of(&session.options.toolbox);
    let mut this = Loop {
        session,
        notices,
        asking: None,
        pause: None,
        running: None,
        own: None,
        jobs,
        checkpoints,
        held: None,
        network,
        rows: Vec::new(),
        blobs: Vec::new(),
        before: Vec::new(),
        sent: None,
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
        self.drop_own().await;
        self.drop_jobs().await;
        self.checkpoints.stop().await;
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
        let due = self.pause.map(|pause| pause.until);
        let due = async {
            match due {
                Some(until) => sleep_until(until).await,
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
        let own = Own::next(&mut self.own);
        let job = self.jobs.next();
        let request = self.network.next();
        let taken = self.checkpoints.taken();
        tokio::select! {
            biased;
            command = commands.recv(), if self.driven => Happening::Command(command),
            progress = reply => progress.map_or(Happening::Replied, Happening::Progress),
            chunk = tool => chunk.map_or(Happening::Finished, Happening::Output),
            chunk = own => Happening::Own(chunk),
            event = job => Happening::Job(event),
            request = request => Happening::Network(request),
            told = taken => Happening::Taken(told),
            () = due => Happening::Due,
            () = time_up => Happening::TimeUp,
        }
    }

    async fn take(&mut self, happening: Happening) -> Result<(), SessionError> {
        match happening {
            Happening::Command(command) => {
                self.driven = command.is_some();
                let input = match command {
                    None => Input::Close,
                    Some(Command::Allow(what)) => return self.allow(&what).await,
                    Some(Command::Hand(hand)) => return self.lend(hand).await,
                    Some(Command::Run { command, outside }) => {
                        return self.run_own(command, outside).await;
                    }
                    Some(Command::Interrupt) if self.stop_own() => return Ok(()),
                    Some(command) => match self.input(command) {
                        Some(input) => input,
                        None => return Ok(()),
                    },
                };
                self.hear(input).await
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
            Happening::Own(chunk) => self.hear_own(chunk).await,
            Happening::Job(event) => self.job(event).await,
            Happening::Network(request) => self.record(vec![request.into()], false).await,
            Happening::Taken(told) => {
                self.tell(told).await?;
                if self.checkpoints.is_at_rest() { self.release().await } else { Ok(()) }
            }
            Happening::Due => {
                if let (Some(pause), Some(sent)) = (self.pause.take(), &mut self.sent) {
                    self.asking = Some(Asking::again(&self.session, sent, pause.attempt));
                }
                Ok(())
            }
            Happening::TimeUp => {
                self.hear(Input::Interrupt(InterruptionCause::Limit)).await?;
                self.hear(Input::Close).await
            }
        }
    }

    async fn output(&mut self, chunk: sandbox::OutputChunk) -> Result<(), SessionError> {
        let Some(exec) = self.running.as_ref().map(Execution::exec) else { return Ok(()) };
        let bytes = chunk.bytes.clone();
        self.session
            .recorder
            .output(exec, crate::tool::recorded_chunk(chunk, Direction::Out))
            .await?;
        self.show(Notice::Progress(Progress::Output { exec, bytes })).await;
        Ok(())
    }

    async fn replied(&mut self) -> Result<(), SessionError> {
        let Some(asking) = self.asking.take() else { return Ok(()) };
        let request = asking.request();
        let mut concluded = asking.conclude(&self.session.options.retry).await?;
        self.unreachable = concluded.unreachable;
        if let Input::Reply { usage, parts, verdicts, .. } = &mut concluded.input {
            self.usage += *usage;
            self.session.context.counted(*usage);
            *verdicts = judge(&self.session.options.toolbox, parts);
            let usage = *usage;
            self.show(Notice::Usage(usage)).await;
        }
        if let Some(told) = concluded.overflow {
            self.session.context.overflowed(&self.session.transcript, told);
        }
        if let Input::ReplyFailed { remedy: Remedy::AskAgain { .. }, message, .. } =
            &concluded.input
        {
            // What had come is void from here on: it is about to come again.
            let retry = Progress::Retry { request, reason: message.clone() };
            self.session.recorder.draft(&retry).await?;
            self.show(Notice::Progress(retry)).await;
        }
        if let Some(message) = concluded.skipped {
            let request = Some(request);
            let error = ErrorEvent { stage: ErrorStage::Model, message, request };
            self.record(vec![error.into()], false).await?;
        }
        if let Some(tokens) = concluded.tokens {
            self.keep_tokens(tokens, &mut concluded.row);
        }
        // With the reply's events, in one transaction: it takes the place of the drafts.
        self.rows.push(Row::from(concluded.row));
        self.decide(concluded.input).await
    }

    /// The tokens of a reply go on record with it.
    fn keep_tokens(&mut self, tokens: ReplyTokens, row: &mut RequestFinished) {
        let Session { options, tokens: log, .. } = &mut self.session;
        let tokenizer = options.window.tokenizer.as_ref().map(|it| it.hash().to_owned());
        let response = row.response.get_or_insert_default();
        let (event, blob) = log.take(ReplyTokens { tokenizer, ..tokens }, response);
        self.before.push(event.into());
        self.blobs.push(blob);
    }

    async fn finished(&mut self) -> Result<(), SessionError> {
        let Some(execution) = self.running.take() else { return Ok(()) };
        let exec = execution.exec();
        let concluded = execution.conclude().await;
        let Concluded { call, mut outcome, row, attached, is_running } = concluded;
        if is_running {
            self.jobs.goes_on(row);
        } else {
            self.rows.push(Row::from(row));
        }
        outcome.attachments = self.attach(attached);
        self.checkpoints.ran(exec, self.session.agent.round(), is_running);
        self.decide(Input::Finished { call, outcome }).await?;
        self.jobs_came_early().await
    }

    /// Lets the agent decide, and does what it says: events first, and what depends on them after
    /// they are on record.
    pub(crate) async fn decide(&mut self, input: Input) -> Result<(), SessionError> {
        let mut next = Some(input);
        while let Some(input) = next {
            next = self.follow(input).await?;
        }
        Ok(())
    }

    /// Puts events on record, with the rows and bytes that wait for them, and shows them.
    pub(crate) async fn record(
        &mut self,
        bodies: Vec<Body>,
        durable: bool,
    ) -> Result<(), SessionError> {
        self.record_in(self.session.agent.round(), bodies, durable).await
    }

    pub(crate) async fn record_in(
        &mut self,
        round: u32,
        bodies: Vec<Body>,
        durable: bool,
    ) -> Result<(), SessionError> {
        if bodies.is_empty() && self.rows.is_empty() {
            // Bytes wait for the event that names them.
            return Ok(());
        }
        let bodies = self.before.drain(..).chain(bodies).collect();
        let mut write = events_write(round, bodies);
        write.rows = std::mem::take(&mut self.rows);
        write.blobs = std::mem::take(&mut self.blobs);
        let durability = self.session.options.durability(durable);
        let recorded = self.session.recorder.commit(write, durability).await?;
        for event in recorded {
            self.session.transcript.apply(&event);
            self.session.context.apply(&event, &self.session.transcript);
            if matches!(event.body, Body::Prompt(_)) {
                self.checkpoints.round_began(event.round);
            }
            self.show(Notice::Event(event)).await;
        }
        Ok(())
    }

    /// Does what the agent said; what that brings about at once, the agent hears next.
    pub(crate) async fn perform(&mut self, effect: Effect) -> Result<Option<Input>, SessionError> {
        match effect {
            Effect::Emit(_) => {}
            Effect::Ask { request } => return self.ask(request).await,
            Effect::AskSummary { request, words } => {
                self.send(request, Purpose::Summary { words });
            }
            Effect::AskAgain { attempt, wait, .. } => {
                self.pause = Some(Pause { until: Instant::now() + wait, attempt });
            }
            Effect::Compact { request, summary, whole } => {
                let Session { context, transcript, .. } = &mut self.session;
                let compaction = context.compaction(transcript, request, summary.as_deref(), whole);
                self.record(vec![compaction.into()], false).await?;
            }
            Effect::StopAsking => {
                if let Some(asking) = &self.asking {
                    asking.stop();
                }
                if self.pause.take().is_some() {
                    return Ok(Some(never_answered()));
                }
                return self.give_up().await;
            }
            Effect::Run(invocation) => {
                let toolbox = &self.session.options.toolbox;
                self.running = Some(Execution::begin(toolbox, invocation));
            }
            Effect::StopRunning { .. } => {
                if let Some(execution) = &self.running {
                    execution.stop();
                }
                return self.give_up().await;
            }
            Effect::Decide { call } => self.show(Notice::Decide { call }).await,
            Effect::RoundOver(ended) => {
                self.ended = ended;
                self.show(Notice::RoundOver(ended)).await;
            }
            Effect::Closed => self.closed = true,
        }
        Ok(None)
    }

    /// Sends the next request, once the context fits.
    async fn ask(&mut self, request: u32) -> Result<Option<Input>, SessionError> {
        loop {
            match self.session.context.fit(&self.session.transcript) {
                Fit::Fits => break,
                Fit::Shorten(edit) => self.record(vec![edit.into()], false).await?,
                Fit::Overfull { can_be_asked } => {
                    return Ok(Some(Input::Overfull { can_be_asked }));
                }
            }
        }
        self.send(request, Purpose::Step);
        Ok(None)
    }

    fn send(&mut self, request: u32, purpose: Purpose) {
        let asking = Asking::begin(&mut self.session, &mut self.sent, request, purpose);
        self.asking = Some(asking);
    }

    /// What the agent hears of a command.
    fn input(&mut self, command: Command) -> Option<Input> {
        Some(match command {
            Command::Submit { text, attached } => {
                let attachments = self.attach(attached);
                Input::Submit(Prompt { text, attachments })
            }
            Command::Decide { call, decision, reason, arguments } => {
                Input::Decided { call, decision, reason, arguments }
            }
            Command::Steer(text) => Input::Steer(text),
            Command::Compact { words } => Input::Compact { words },
            Command::Approval(mode) => Input::Approval(mode),
            // Taken before: what the user does with commands is nothing for the agent.
            Command::Allow(_) | Command::Hand(_) | Command::Run { .. } => return None,
            Command::Interrupt => Input::Interrupt(InterruptionCause::User),
            Command::Close => Input::Close,
        })
    }

    /// Takes in what is handed to the model whole; its bytes go on record with the next events.
    fn attach(&mut self, attached: Vec<Attached>) -> Vec<Attachment> {
        let mut attachments = Vec::new();
        for attached in attached {
            let (attachment, blob) = self.session.media.take(attached);
            attachments.push(attachment);
            self.blobs.push(blob);
        }
        attachments
    }

    /// Tells the driver. One that went away is not told; the recording goes on.
    pub(crate) async fn show(&self, notice: Notice) {
        let _ = self.notices.send(notice).await;
    }
}

/// What the user's rules say to the calls of a reply.
fn judge(toolbox: &Toolbox, parts: &[Part]) -> Vec<Option<Verdict>> {
    let calls = parts.iter().filter_map(|part| match part {
        Part::ToolCall { name, arguments, .. } => Some((name, arguments)),
        Part::Reasoning { .. } | Part::Text(_) => None,
    });
    calls.map(|(name, arguments)| toolbox.judge(name, arguments)).collect()
}

/// Microseconds, as they are recorded.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
