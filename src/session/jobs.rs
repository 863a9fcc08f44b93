//! The commands of a session that go on after their call was answered.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use record::{Direction, ExecFinished, Row};
use tokio::sync::mpsc;
use toolbox::{JobEvent, Toolbox};
use trajectory::Progress;
use trajectory::event::{BackgroundExit, Exit, OutputRef};

use crate::Notice;
use crate::error::SessionError;
use crate::run::Loop;
use crate::tool::{Execution, recorded_chunk};

/// Jobs as the loop sees them: what they report, and what goes on record when they end.
pub(crate) struct Jobs {
    events: Option<mpsc::Receiver<JobEvent>>,
    /// What is known of each that goes on.
    rows: HashMap<u32, ExecFinished>,
    /// What was reported before the call itself was answered.
    early: Vec<JobEvent>,
}

impl Jobs {
    pub(crate) fn of(toolbox: &Toolbox) -> Self {
        Self { events: toolbox.jobs(), rows: HashMap::new(), early: Vec::new() }
    }

    /// The next report; waits for ever when there are no jobs.
    pub(crate) async fn next(&mut self) -> JobEvent {
        let next = match &mut self.events {
            Some(events) => events.recv().await,
            None => None,
        };
        match next {
            Some(event) => event,
            None => pending().await,
        }
    }

    /// The execution of a call that was answered goes on; the row is for its end.
    pub(crate) fn goes_on(&mut self, row: ExecFinished) {
        self.rows.insert(row.exec, row);
    }

    /// The row of a job that has ended.
    pub(crate) fn ended(
        &mut self,
        exec: u32,
        exit: Exit,
        output: Option<OutputRef>,
    ) -> Option<ExecFinished> {
        let row = self.rows.remove(&exec)?;
        Some(ExecFinished { exit: Some(exit), output, ..row })
    }

    /// Keeps a report until its call is answered.
    pub(crate) fn came_early(&mut self, event: JobEvent) {
        self.early.push(event);
    }

    /// What was kept.
    pub(crate) fn take_early(&mut self) -> Vec<JobEvent> {
        std::mem::take(&mut self.early)
    }

    /// Ends all jobs; their last reports are taken meanwhile.
    pub(crate) async fn stop(
        &mut self,
        toolbox: &Toolbox,
        take: &mut (dyn FnMut(JobEvent) + Send),
    ) {
        let stopping = toolbox.stop_jobs();
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                biased;
                event = self.next() => take(event),
                () = &mut stopping => return,
            }
        }
    }
}

impl Loop {
    /// What a job does goes on record, and to whoever looks on.
    pub(crate) async fn job(&mut self, event: JobEvent) -> Result<(), SessionError> {
        let own = self.own.as_ref().map(|own| &own.execution);
        let mut unanswered = self.running.iter().chain(own).map(Execution::exec);
        if unanswered.any(|it| it == exec(&event)) {
            self.jobs.came_early(event);
            return Ok(());
        }
        match event {
            JobEvent::Output { exec, chunk } => {
                let bytes = chunk.bytes.clone();
                let chunk = recorded_chunk(chunk, Direction::Out);
                self.session.recorder.output(exec, chunk).await?;
                self.show(Notice::Progress(Progress::Output { exec, bytes })).await;
                Ok(())
            }
            JobEvent::Input { exec, chunk } => {
                let chunk = recorded_chunk(chunk, Direction::In);
                Ok(self.session.recorder.output(exec, chunk).await?)
            }
            JobEvent::Ended { exec, exit, output, shown, .. } => {
                let row = self.jobs.ended(exec, exit, output.clone());
                self.checkpoints.job_ended(exec, self.session.agent.round());
                self.rows.extend(row.map(Row::from));
                let ended = BackgroundExit { exec, exit, output, shown };
                self.record(vec![ended.into()], false).await
            }
        }
    }

    /// What a job did while its call was being answered comes after the answer.
    pub(crate) async fn jobs_came_early(&mut self) -> Result<(), SessionError> {
        for event in self.jobs.take_early() {
            self.job(event).await?;
        }
        Ok(())
    }

    /// Ends the jobs: they do not outlive their session.
    pub(crate) async fn stop_jobs(&mut self) -> Result<(), SessionError> {
        let toolbox = Arc::clone(&self.session.options.toolbox);
        let mut events = Vec::new();
        self.jobs.stop(&toolbox, &mut |event| events.push(event)).await;
        for event in events {
            self.job(event).await?;
        }
        Ok(())
    }

    /// Ends the jobs of a session that can record nothing more.
    pub(crate) async fn drop_jobs(&mut self) {
        let toolbox = Arc::clone(&self.session.options.toolbox);
        self.jobs.stop(&toolbox, &mut |_| {}).await;
    }
}

/// The execution that a report is of.
pub(crate) const fn exec(event: &JobEvent) -> u32 {
    match event {
        JobEvent::Output { exec, .. }
        | JobEvent::Input { exec, .. }
        | JobEvent::Ended { exec, .. } => *exec,
    }
}
