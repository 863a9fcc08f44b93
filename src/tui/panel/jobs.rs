//! Commands that run, in front or in the background, and some that have ended.

use std::collections::HashMap;

use trajectory::event::{CallStatus, Exit};
use trajectory::{Body, Event};

use crate::card;
use crate::text::headline;

/// Commands that are listed; those that ended first give way.
const ROWS_MAX: usize = 50;

/// Tools whose execution is a command in a terminal.
const COMMAND_TOOLS: &[&str] = &["shell", "run_shell_command"];

/// What a command is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    /// Its call waits for it.
    Running,
    /// It goes on after its call was answered.
    Background,
    /// It is over; how, where that is known.
    Ended(Option<Exit>),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobRow {
    pub(crate) exec: u32,
    /// Nothing: it is the user's own.
    pub(crate) call: Option<u32>,
    pub(crate) title: String,
    pub(crate) state: JobState,
}

impl JobRow {
    pub(crate) const fn runs(&self) -> bool {
        !matches!(self.state, JobState::Ended(_))
    }
}

/// Those of a session, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    rows: Vec<JobRow>,
    /// Calls of commands that have not begun, and what they are called.
    waiting: HashMap<u32, String>,
    /// The row that is chosen; nothing: the newest that runs, or else the newest.
    chosen: Option<usize>,
}

impl Jobs {
    /// The row that is chosen.
    pub(crate) fn chosen(&self) -> usize {
        let running = || self.rows.iter().rposition(JobRow::runs);
        let last = self.rows.len().saturating_sub(1);
        self.chosen.or_else(running).unwrap_or(last)
    }

    pub(crate) const fn choose(&mut self, row: usize) {
        self.chosen = Some(row);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn rows(&self) -> &[JobRow] {
        &self.rows
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.rows.iter().filter(|row| row.runs()).count()
    }

    pub(crate) fn find(&self, exec: u32) -> Option<&JobRow> {
        self.rows.iter().find(|row| row.exec == exec)
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match &event.body {
            Body::ToolCall(call) if COMMAND_TOOLS.contains(&call.name.as_str()) => {
                self.waiting.insert(call.call, headline(&card::brief(&call.arguments), 100));
            }
            Body::Approval(approval) => {
                if let (Some(title), Some(arguments)) =
                    (self.waiting.get_mut(&approval.call), &approval.arguments)
                {
                    *title = headline(&card::brief(arguments), 100);
                }
            }
            Body::ToolStarted(started) => {
                if let Some(title) = self.waiting.remove(&started.call) {
                    let (exec, call) = (started.exec, Some(started.call));
                    self.push(JobRow { exec, call, title, state: JobState::Running });
                }
            }
            Body::Observation(seen) => {
                self.waiting.remove(&seen.call);
                let goes_on = seen.status == CallStatus::Ok && seen.exit.is_none();
                let state = if goes_on { JobState::Background } else { JobState::Ended(seen.exit) };
                let mut rows = self.rows.iter_mut().rev();
                if let Some(row) = rows.find(|row| row.call == Some(seen.call)) {
                    row.state = state;
                }
            }
            Body::UserCommand(ran) => {
                self.own(ran.exec, &ran.command);
                if let Some(row) = self.rows.iter_mut().find(|row| row.exec == ran.exec) {
                    row.state = match ran.exit {
                        Some(exit) => JobState::Ended(Some(exit)),
                        None => JobState::Background,
                    };
                }
            }
            Body::BackgroundExit(ended) => {
                if let Some(row) = self.rows.iter_mut().find(|row| row.exec == ended.exec) {
                    row.state = JobState::Ended(Some(ended.exit));
                }
            }
            // Nothing outlives its session.
            Body::SessionEnded(_) => {
                for row in self.rows.iter_mut().filter(|row| row.runs()) {
                    row.state = JobState::Ended(None);
                }
            }
            _ => {}
        }
    }

    /// A command of the user's own runs.
    pub(crate) fn own(&mut self, exec: u32, command: &str) {
        if self.find(exec).is_none() {
            let title = headline(command, 100);
            self.push(JobRow { exec, call: None, title, state: JobState::Running });
        }
    }

    fn push(&mut self, row: JobRow) {
        if self.rows.len() >= ROWS_MAX {
            let oldest = self.rows.iter().position(|row| !row.runs()).unwrap_or(0);
            self.rows.remove(oldest);
            self.chosen = self.chosen.map(|at| if at > oldest { at - 1 } else { at });
        }
        self.rows.push(row);
    }
}
