//! Commands that the user runs, beside whatever the agent does.
//!
//! One runs at a time. Its intent is on record before it starts, all it prints as it comes, and when
//! it is over one event tells the model of it, with its next request. One that goes on in the
//! background is a job like any other.

use std::future::pending;

use record::{Direction, ExecFacts, ExecStarted, Row};
use sandbox::OutputChunk;
use serde_json::{Value, json};
use trajectory::Progress;
use trajectory::event::UserCommand;

use crate::Notice;
use crate::error::SessionError;
use crate::run::Loop;
use crate::tool::{Concluded, Execution, recorded_chunk};

/// The tool of executions that no call asked for, on record.
const TOOL: &str = "user_command";

/// A command of the user's while it runs.
pub(crate) struct Own {
    pub(crate) execution: Execution,
    command: String,
    outside: bool,
}

impl Own {
    /// The next output of the command that runs; `None` when it has ended. Waits for ever where
    /// there is none.
    pub(crate) async fn next(own: &mut Option<Self>) -> Option<OutputChunk> {
        match own {
            Some(own) => own.execution.next().await,
            None => pending().await,
        }
    }
}

impl Loop {
    /// Starts one; a second while one runs is not started, and that is said.
    pub(crate) async fn run_own(
        &mut self,
        command: String,
        outside: bool,
    ) -> Result<(), SessionError> {
        if self.own.is_some() {
            self.show(Notice::OwnRefused { command }).await;
            return Ok(());
        }
        let exec = self.session.agent.next_exec();
        let tier = if outside { "off" } else { &self.session.options.sandbox };
        let facts = ExecFacts {
            argv: vec!["sh".to_owned(), "-c".to_owned(), command.clone()],
            policy: Some(json!({ "tier": tier, "outside": outside })),
            ..ExecFacts::default()
        };
        let row = ExecStarted { exec, call: None, tool: TOOL.to_owned(), facts };
        self.rows.push(Row::from(row));
        self.record(Vec::new(), true).await?;
        self.show(Notice::OwnStarted { exec, command: command.clone(), outside }).await;
        self.checkpoints.own_started(exec);
        let toolbox = &self.session.options.toolbox;
        let execution = Execution::begin_own(toolbox, exec, command.clone(), outside);
        self.own = Some(Own { execution, command, outside });
        Ok(())
    }

    /// Ends the one that runs; false when none does.
    pub(crate) fn stop_own(&self) -> bool {
        self.own.as_ref().map(|own| own.execution.stop()).is_some()
    }

    /// It printed something, or has ended.
    pub(crate) async fn hear_own(
        &mut self,
        chunk: Option<OutputChunk>,
    ) -> Result<(), SessionError> {
        let Some(chunk) = chunk else { return self.own_ended().await };
        let Some(exec) = self.own.as_ref().map(|own| own.execution.exec()) else { return Ok(()) };
        let bytes = chunk.bytes.clone();
        self.session.recorder.output(exec, recorded_chunk(chunk, Direction::Out)).await?;
        self.show(Notice::Progress(Progress::Output { exec, bytes })).await;
        Ok(())
    }

    async fn own_ended(&mut self) -> Result<(), SessionError> {
        let Some(Own { execution, command, outside }) = self.own.take() else { return Ok(()) };
        let exec = execution.exec();
        let Concluded { outcome, mut row, is_running, .. } = execution.conclude().await;
        if let Some(policy) = row.facts.policy.as_mut().and_then(Value::as_object_mut) {
            policy.insert("outside".to_owned(), outside.into());
        }
        if is_running {
            self.jobs.goes_on(row);
        } else {
            self.rows.push(Row::from(row));
            self.checkpoints.job_ended(exec, self.session.agent.round());
        }
        let shown = shown(&command, outside, &outcome.shown);
        let ended = UserCommand {
            command,
            exec,
            shown,
            outside_sandbox: outside,
            exit: outcome.exit,
            duration_us: outcome.duration_us,
        };
        self.record(vec![ended.into()], false).await?;
        self.jobs_came_early().await
    }

    /// The session ends: so does the user's command, and what came of it is on record.
    pub(crate) async fn end_own(&mut self) -> Result<(), SessionError> {
        self.stop_own();
        while self.own.is_some() {
            let chunk = Own::next(&mut self.own).await;
            self.hear_own(chunk).await?;
        }
        Ok(())
    }

    /// The same where nothing more can be recorded.
    pub(crate) async fn drop_own(&mut self) {
        if let Some(Own { mut execution, .. }) = self.own.take() {
            execution.stop();
            while execution.next().await.is_some() {}
            execution.conclude().await;
        }
    }
}

/// What the model is shown of it.
fn shown(command: &str, outside: bool, output: &str) -> String {
    let place = if outside { " outside the sandbox" } else { "" };
    format!("[The user ran a command{place}.]\n$ {command}\n{output}")
}

#[cfg(test)]
mod tests;
