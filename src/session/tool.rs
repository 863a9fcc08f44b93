//! A tool call while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Input, Invocation, Outcome};
use record::{Direction, ExecFacts, ExecFinished, ExecStarted, Mark};
use sandbox::OutputChunk;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toolbox::{Call, Toolbox};
use trajectory::event::CallStatus;

use crate::Attached;
use crate::run::micros;

/// Chunks of output that may wait to be recorded; a command that is faster waits.
const CHUNKS_WAITING_MAX: usize = 8;

/// A call that runs.
pub(crate) struct Execution {
    call: u32,
    exec: u32,
    chunks: mpsc::Receiver<OutputChunk>,
    task: JoinHandle<toolbox::Outcome>,
    stop: CancellationToken,
    began: Instant,
}

/// What came of a call.
pub(crate) struct Concluded {
    pub(crate) call: u32,
    pub(crate) outcome: Outcome,
    pub(crate) row: ExecFinished,
    pub(crate) attached: Vec<Attached>,
    /// The execution goes on as a job: the row is not for now.
    pub(crate) is_running: bool,
}

impl Execution {
    pub(crate) fn begin(toolbox: &Arc<Toolbox>, invocation: Invocation) -> Self {
        let Invocation { call, exec, name, arguments, .. } = invocation;
        let toolbox = Arc::clone(toolbox);
        Self::start(call, exec, |sender, stop| async move {
            let call = Call { exec, name: &name, arguments: &arguments };
            toolbox.run(call, sender, stop).await
        })
    }

    /// A command of the user's own, which no call asked for.
    pub(crate) fn begin_own(
        toolbox: &Arc<Toolbox>,
        exec: u32,
        command: String,
        outside: bool,
    ) -> Self {
        let toolbox = Arc::clone(toolbox);
        Self::start(0, exec, |sender, stop| async move {
            toolbox.run_own(exec, &command, outside, sender, stop).await
        })
    }

    fn start<W>(
        call: u32,
        exec: u32,
        work: impl FnOnce(mpsc::Sender<OutputChunk>, CancellationToken) -> W,
    ) -> Self
    where
        W: Future<Output = toolbox::Outcome> + Send + 'static,
    {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(sender, stop.clone()));
        Self { call, exec, chunks, task, stop, began: Instant::now() }
    }

    pub(crate) const fn exec(&self) -> u32 {
        self.exec
    }

    /// The next output; `None` when there is no more.
    pub(crate) async fn next(&mut self) -> Option<OutputChunk> {
        self.chunks.recv().await
    }

    /// Ends it; it still answers.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What came of it, once there is no more output.
    pub(crate) async fn conclude(self) -> Concluded {
        let ran = self.task.await.unwrap_or_else(|_| died(self.began.elapsed()));
        let row = ExecFinished {
            exec: self.exec,
            exit: ran.exit,
            output: ran.output.clone(),
            truncated: ran.truncated,
            facts: ran.execution.map(facts).unwrap_or_default(),
        };
        let outcome = Outcome {
            status: ran.status,
            shown: ran.shown,
            exit: ran.exit,
            output: ran.output,
            truncated: ran.truncated,
            attachments: Vec::new(),
            plan: ran.plan,
            duration_us: micros(ran.duration),
        };
        Concluded {
            call: self.call,
            outcome,
            row,
            attached: ran.attachments.into_iter().map(attached).collect(),
            is_running: ran.is_running,
        }
    }
}

/// The task is gone without an answer: a defect, told to the model so that the log stays whole.
fn died(duration: Duration) -> toolbox::Outcome {
    toolbox::Outcome {
        status: CallStatus::Error,
        shown: "The tool failed inside limn; its effects are unknown.".to_owned(),
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        plan: None,
        is_running: false,
        duration,
        execution: None,
    }
}

fn attached(attached: toolbox::Attached) -> Attached {
    let toolbox::Attached { name, media_type, bytes } = attached;
    Attached { name, media_type, bytes }
}

fn facts(execution: toolbox::ExecutionFacts) -> ExecFacts {
    ExecFacts {
        argv: execution.argv,
        cwd: Some(execution.cwd.display().to_string()),
        policy: Some(json!({ "tier": execution.policy, "environment": execution.env })),
        ..ExecFacts::default()
    }
}

/// The row of an execution that is about to begin.
pub(crate) fn started_row(invocation: &Invocation) -> ExecStarted {
    ExecStarted {
        exec: invocation.exec,
        call: Some(invocation.call),
        tool: invocation.name.clone(),
        facts: ExecFacts::default(),
    }
}

/// The end of an execution that was stopped before it did anything, and what the agent hears of it.
pub(crate) fn never_ran(invocation: &Invocation) -> (ExecFinished, Input) {
    let Invocation { call, exec, .. } = *invocation;
    let row = ExecFinished {
        exec,
        exit: None,
        output: None,
        truncated: None,
        facts: ExecFacts::default(),
    };
    let outcome = Outcome {
        status: CallStatus::Cancelled,
        shown: "Interrupted before it ran.".to_owned(),
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        plan: None,
        duration_us: 0,
    };
    (row, Input::Finished { call, outcome })
}

/// A chunk of what a terminal gave or was given, as it is recorded.
pub(crate) fn recorded_chunk(chunk: OutputChunk, direction: Direction) -> record::OutputChunk {
    let mark = |(dt_us, len)| Mark { dt_us, len };
    record::OutputChunk {
        bytes: chunk.bytes,
        marks: chunk.marks.into_iter().map(mark).collect(),
        direction,
    }
}
