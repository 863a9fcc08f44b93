//! The commands of a session that go on after their call was answered.

use std::collections::HashMap;
use std::future::pending;

use record::ExecFinished;
use tokio::sync::mpsc;
use toolbox::{JobEvent, Toolbox};
use trajectory::event::{Exit, OutputRef};

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

/// The execution that a report is of.
pub(crate) const fn exec(event: &JobEvent) -> u32 {
    match event {
        JobEvent::Output { exec, .. }
        | JobEvent::Input { exec, .. }
        | JobEvent::Ended { exec, .. } => *exec,
    }
}
