//! Every action of the trajectory, as a row: what, when, how many tokens, and whether it is trained.

use std::collections::{HashMap, VecDeque};

use trajectory::event::{ApprovalDecision, CallStatus, ReasoningForm};
use trajectory::{Body, Event, LossReason, Usage};

use crate::text::headline;

/// Rows that are kept; the oldest give way.
const ROWS_MAX: usize = 50_000;

/// Columns of what a row is about.
const BRIEF_COLUMNS: usize = 160;

/// Whether what the model wrote gets loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trained {
    Yes,
    No(LossReason),
}

/// An action.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    /// Since the session's first event, microseconds.
    pub(crate) since_us: u64,
    pub(crate) kind: &'static str,
    pub(crate) brief: String,
    pub(crate) request: Option<u32>,
    pub(crate) call: Option<u32>,
    /// Nothing: the model did not write it.
    pub(crate) trained: Option<Trained>,
    /// Whether it is the first part of its reply, which tells the reply's tokens.
    pub(crate) is_first: bool,
    /// The conversation went back to before it.
    pub(crate) is_rewound: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    rows: VecDeque<Row>,
    usages: HashMap<u32, Usage>,
    /// What was counted, and whose request it was is not known yet.
    counted: Option<Usage>,
    began_ns: Option<i64>,
    last_request: Option<u32>,
    /// The row that is chosen; nothing: the end is followed.
    pub(crate) chosen: Option<usize>,
}

impl Timeline {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn row(&self, at: usize) -> Option<&Row> {
        self.rows.get(at)
    }

    /// What a request took.
    pub(crate) fn usage(&self, request: u32) -> Option<Usage> {
        self.usages.get(&request).copied()
    }

    /// What the request took whose reply this is part of.
    pub(crate) fn usage_of(&self, body: &Body) -> Option<Usage> {
        self.usage(request(body)?)
    }

    /// A request was counted; its reply's events come next.
    pub(crate) fn counted(&mut self, usage: Usage) {
        self.counted = Some(usage);
    }

    /// What requests of the past took.
    pub(crate) fn set_usages(&mut self, usages: impl IntoIterator<Item = (u32, Usage)>) {
        self.usages.extend(usages);
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        let wall_ns = event.wall_ns;
        let began_ns = *self.began_ns.get_or_insert(wall_ns);
        match &event.body {
            // The call and what came of it say all there is.
            Body::ToolStarted(_) => return,
            Body::Approval(approval) => match approval.decision {
                ApprovalDecision::Allowed => {}
                ApprovalDecision::Amended => self.untrain(approval.call, LossReason::Amended),
                ApprovalDecision::Denied => self.untrain(approval.call, LossReason::Denied),
            },
            Body::Observation(seen) => match seen.status {
                CallStatus::Ok | CallStatus::Error => {}
                CallStatus::Denied => self.untrain(seen.call, LossReason::Denied),
                CallStatus::Cancelled | CallStatus::LostInCrash => {
                    self.untrain(seen.call, LossReason::Interrupted);
                }
            },
            Body::Rewind(rewind) => {
                let gone = self.rows.iter_mut().rev().take_while(|row| row.seq > rewind.to_seq);
                gone.for_each(|row| row.is_rewound = true);
            }
            _ => {}
        }
        let request = request(&event.body);
        if let (Some(request), Some(usage)) = (request, self.counted) {
            self.usages.entry(request).or_insert(usage);
            self.counted = None;
        }
        let is_first = request.is_some() && request != self.last_request;
        self.last_request = request.or(self.last_request);
        if self.rows.len() >= ROWS_MAX {
            self.rows.pop_front();
            self.chosen = self.chosen.map(|at| at.saturating_sub(1));
        }
        self.rows.push_back(Row {
            seq: event.seq,
            since_us: u64::try_from(wall_ns.saturating_sub(began_ns) / 1_000).unwrap_or(0),
            kind: event.body.kind(),
            brief: brief(&event.body),
            request,
            call: call(&event.body),
            trained: trained(event),
            is_first,
            is_rewound: false,
        });
    }

    fn untrain(&mut self, call: u32, why: LossReason) {
        let is_it = |row: &&mut Row| row.kind == "tool_call" && row.call == Some(call);
        if let Some(row) = self.rows.iter_mut().rev().find(is_it)
            && row.trained == Some(Trained::Yes)
        {
            row.trained = Some(Trained::No(why));
        }
    }
}

const fn request(body: &Body) -> Option<u32> {
    match body {
        Body::Reasoning(part) => Some(part.request),
        Body::Message(part) => Some(part.request),
        Body::ToolCall(call) => Some(call.request),
        _ => None,
    }
}

const fn call(body: &Body) -> Option<u32> {
    match body {
        Body::ToolCall(call) => Some(call.call),
        Body::Approval(approval) => Some(approval.call),
        Body::Observation(seen) => Some(seen.call),
        _ => None,
    }
}

/// As the fold has it: what was copied, cut short, malformed or a summary gets no loss.
fn trained(event: &Event) -> Option<Trained> {
    let why = match &event.body {
        Body::Reasoning(part) if part.interrupted => Some(LossReason::Interrupted),
        Body::Reasoning(part) if part.form != ReasoningForm::Full => {
            Some(LossReason::NotFullReasoning)
        }
        Body::Message(part) if part.interrupted => Some(LossReason::Interrupted),
        Body::ToolCall(call) if call.malformed.is_some() => Some(LossReason::Malformed),
        Body::Reasoning(_) | Body::Message(_) | Body::ToolCall(_) => None,
        _ => return None,
    };
    let why = if event.copied { Some(LossReason::Copied) } else { why };
    Some(why.map_or(Trained::Yes, Trained::No))
}

fn brief(body: &Body) -> String {
    let line = |text: &str| headline(text, BRIEF_COLUMNS);
    match body {
        Body::Prompt(prompt) => line(&prompt.text),
        Body::Steering(steering) => line(&steering.text),
        Body::Reasoning(part) => line(&part.text),
        Body::Message(part) => line(&part.text),
        Body::ToolCall(call) => {
            line(&format!("{} {}", call.name, crate::card::brief(&call.arguments)))
        }
        Body::Observation(seen) => line(&seen.shown),
        Body::Approval(approval) => match &approval.reason {
            Some(reason) => line(&format!("{:?}: {reason}", approval.decision).to_lowercase()),
            None => format!("{:?}", approval.decision).to_lowercase(),
        },
        Body::UserCommand(command) => line(&command.command),
        Body::UserEdit(edit) => {
            let paths: Vec<&str> =
                edit.changes.iter().take(8).map(|change| change.path.as_str()).collect();
            line(&if paths.is_empty() { edit.told(8) } else { paths.join(", ") })
        }
        Body::Error(error) => line(&error.message),
        Body::Plan(plan) => format!("{} steps", plan.items.len()),
        Body::Checkpoint(checkpoint) => format!("{} files", checkpoint.files),
        Body::ModelChanged(model) => line(&model.model),
        Body::ConfigChanged(config) => config.approval.map_or("", |it| it.as_str()).to_owned(),
        Body::BackgroundExit(ended) => format!("job {}", ended.exec),
        Body::NetworkRequest(request) => line(&format!("{}:{}", request.host, request.port)),
        Body::RoundEnded(round) => round.ended.as_str().to_owned(),
        Body::SessionEnded(session) => session.ended.as_str().to_owned(),
        _ => String::new(),
    }
}
