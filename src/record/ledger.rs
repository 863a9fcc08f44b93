//! What the recorder remembers of a session in order to refuse what contradicts it: each call has
//! one terminal result, ordinals are used once, a round ends with every call answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use trajectory::{Body, Event, EventId};

use crate::archive::EventRow;
use crate::chain::Digest;
use crate::rows::{Ordinals, Row, Write};

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    /// The model made it.
    Called,
    /// It runs, as this execution.
    Started(u32),
    /// It has its observation.
    Answered,
}

/// Where the last request stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastRequest {
    pub(crate) request: u32,
    pub(crate) attempt: u32,
    pub(crate) messages: usize,
}

/// The session so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) next_seq: u64,
    pub(crate) head: Digest,
    pub(crate) last_id: Option<EventId>,
    /// The highest numbers so far.
    pub(crate) last: Ordinals,
    /// The prompt of the round that is running.
    pub(crate) open_prompt_seq: Option<u64>,
    /// Nothing but a session's end since its last activity.
    pub(crate) ended: bool,
    pub(crate) calls: HashMap<u32, CallState>,
    pub(crate) open_calls: BTreeSet<u32>,
    /// Results in the round that is running of which nobody can read whose they are.
    unread_results: usize,
    pub(crate) last_request: LastRequest,
    /// Requests without an end.
    pub(crate) open_requests: BTreeSet<(u32, u32)>,
    /// Executions: whether they still run.
    pub(crate) execs: BTreeMap<u32, bool>,
}

/// What a write changes, once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    calls: HashMap<u32, CallState>,
    last_request: Option<LastRequest>,
    requests: BTreeMap<(u32, u32), bool>,
    execs: BTreeMap<u32, bool>,
    answered: usize,
    opened: usize,
}

impl Ledger {
    /// A session without events.
    pub(crate) fn new(head: Digest) -> Self {
        Self { head, ..Self::default() }
    }

    /// Whether this may follow what is on record; what it changes, or the contradiction.
    pub(crate) fn admit(&self, write: &Write) -> Result<Change, String> {
        let mut change = Change::default();
        for event in &write.events {
            self.admit_event(&event.body, &mut change)?;
        }
        for row in &write.rows {
            self.admit_row(row, &mut change)?;
        }
        Ok(change)
    }

    fn call(&self, number: u32, change: &Change) -> Option<CallState> {
        change.calls.get(&number).or_else(|| self.calls.get(&number)).copied()
    }

    fn admit_event(&self, body: &Body, change: &mut Change) -> Result<(), String> {
        match body {
            Body::ToolCall(call) => {
                if self.call(call.call, change).is_some() {
                    return Err(format!("call {} was made before.", call.call));
                }
                change.calls.insert(call.call, CallState::Called);
                change.opened += 1;
            }
            Body::ToolStarted(started) => match self.call(started.call, change) {
                Some(CallState::Called) => {
                    change.calls.insert(started.call, CallState::Started(started.exec));
                }
                Some(_) => return Err(format!("call {} was started before.", started.call)),
                None => return Err(format!("call {} starts but was never made.", started.call)),
            },
            Body::Observation(observation) => match self.call(observation.call, change) {
                Some(CallState::Answered) => {
                    return Err(format!("call {} has its result already.", observation.call));
                }
                Some(_) => {
                    change.calls.insert(observation.call, CallState::Answered);
                    change.answered += 1;
                }
                None => {
                    let call = observation.call;
                    return Err(format!("a result came for call {call}, which was never made."));
                }
            },
            Body::RoundEnded(_) => {
                let open = (self.open_calls.len() + change.opened).saturating_sub(change.answered);
                if open > 0 {
                    return Err(format!("the round ends while {open} calls have no result."));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn admit_row(&self, row: &Row, change: &mut Change) -> Result<(), String> {
        match row {
            Row::RequestStarted(row) => {
                let last = change.last_request.unwrap_or(self.last_request);
                let (request, attempt) = (row.request, row.attempt);
                if (request, attempt) <= (last.request, last.attempt) {
                    return Err(format!("request {request}.{attempt} comes out of order."));
                }
                if row.kept > last.messages {
                    let (kept, had) = (row.kept, last.messages);
                    return Err(format!(
                        "request {request} keeps {kept} messages of a request that had {had}."
                    ));
                }
                let messages = row.kept + row.added.len();
                change.last_request = Some(LastRequest { request, attempt, messages });
                change.requests.insert((request, attempt), true);
            }
            Row::RequestFinished(row) => {
                let key = (row.request, row.attempt);
                let open = change.requests.get(&key).copied();
                if !open.unwrap_or_else(|| self.open_requests.contains(&key)) {
                    return Err(format!("request {}.{} ends but is not open.", key.0, key.1));
                }
                change.requests.insert(key, false);
            }
            Row::ExecStarted(row) => {
                if change.execs.contains_key(&row.exec) || self.execs.contains_key(&row.exec) {
                    return Err(format!("execution {} was started before.", row.exec));
                }
                change.execs.insert(row.exec, true);
            }
            Row::ExecFinished(row) => {
                let running = change.execs.get(&row.exec).or_else(|| self.execs.get(&row.exec));
                if running != Some(&true) {
                    return Err(format!("execution {} ends but does not run.", row.exec));
                }
                change.execs.insert(row.exec, false);
            }
            Row::ExecTrees(row) => self.admit_started(row.exec, change)?,
            Row::ExecResized(row) => self.admit_started(row.exec, change)?,
        }
        Ok(())
    }

    fn admit_started(&self, exec: u32, change: &Change) -> Result<(), String> {
        if change.execs.contains_key(&exec) || self.execs.contains_key(&exec) {
            return Ok(());
        }
        Err(format!("execution {exec} was never started."))
    }

    /// Takes over what a committed write changed.
    pub(crate) fn settle(&mut self, change: Change, events: &[Event]) {
        for (call, state) in change.calls {
            self.set_call(call, state);
        }
        if let Some(last) = change.last_request {
            self.set_last_request(last);
        }
        for (key, open) in change.requests {
            if open {
                self.open_requests.insert(key);
            } else {
                self.open_requests.remove(&key);
            }
        }
        for (exec, running) in change.execs {
            self.set_exec(exec, running);
        }
        for event in events {
            self.pass(event.body.kind(), event.round, event.seq);
        }
    }

    pub(crate) fn set_last_request(&mut self, last: LastRequest) {
        self.last.request = self.last.request.max(last.request);
        self.last_request = last;
    }

    /// Notes an execution, and whether it still runs.
    pub(crate) fn set_exec(&mut self, exec: u32, running: bool) {
        self.last.exec = self.last.exec.max(exec);
        self.execs.insert(exec, running);
    }

    fn set_call(&mut self, call: u32, state: CallState) {
        self.last.call = self.last.call.max(call);
        if let CallState::Started(exec) = state {
            self.last.exec = self.last.exec.max(exec);
        }
        self.calls.insert(call, state);
        if state == CallState::Answered {
            self.open_calls.remove(&call);
        } else {
            self.open_calls.insert(call);
        }
    }

    /// Notes where the session stands after an event.
    fn pass(&mut self, kind: &str, round: u32, seq: u64) {
        self.last.round = self.last.round.max(round);
        match kind {
            "prompt" => self.open_prompt_seq = Some(seq),
            "round_ended" => {
                self.open_prompt_seq = None;
                // It was let in because every call had its result, whether it can be read or not.
                for call in std::mem::take(&mut self.open_calls) {
                    self.set_call(call, CallState::Answered);
                }
                self.unread_results = 0;
            }
            _ => {}
        }
        self.ended = match kind {
            "session_ended" => true,
            "redaction" => self.ended,
            _ => false,
        };
    }

    /// Takes an event that is on record, when a session is opened again. Nothing is refused here,
    /// and nothing is decoded: what was redacted, or is of a newer limn, counts as well.
    pub(crate) fn replay(&mut self, row: &EventRow) {
        let numbers = Numbers::of(row);
        if let Some(request) = numbers.request {
            self.last.request = self.last.request.max(request);
        }
        if let Some(exec) = numbers.exec {
            self.last.exec = self.last.exec.max(exec);
        }
        match (row.kind.as_str(), numbers.call) {
            ("tool_call", call) => {
                // Calls are numbered in the order in which they are made.
                let call = call.unwrap_or_else(|| self.last.call.saturating_add(1));
                self.set_call(call, CallState::Called);
            }
            ("tool_started", Some(call)) => {
                self.set_call(call, numbers.exec.map_or(CallState::Called, CallState::Started));
            }
            ("observation", Some(call)) => self.set_call(call, CallState::Answered),
            ("observation", None) => self.unread_results += 1,
            _ => {}
        }
        self.pass(&row.kind, row.round, row.seq);
    }

    /// Takes an execution that is on record. It tells that a call has started, too, where the event
    /// that said so cannot be read.
    pub(crate) fn replay_exec(&mut self, exec: u32, call: Option<u32>, running: bool) {
        self.set_exec(exec, running);
        self.last.call = self.last.call.max(call.unwrap_or(0));
        if let Some(call) = call
            && self.calls.get(&call) == Some(&CallState::Called)
        {
            self.set_call(call, CallState::Started(exec));
        }
    }

    /// Lets results that cannot be read count for as many calls: those first whose execution has
    /// ended, since it ends with its result, then the oldest. No call is answered twice.
    pub(crate) fn settle_unread_results(&mut self) {
        let has_ended = |call: &u32| match self.calls.get(call) {
            Some(CallState::Started(exec)) => self.execs.get(exec) == Some(&false),
            _ => false,
        };
        let mut open: Vec<u32> = self.open_calls.iter().copied().collect();
        open.sort_by_key(|call| !has_ended(call));
        open.truncate(std::mem::take(&mut self.unread_results));
        for call in open {
            self.set_call(call, CallState::Answered);
        }
    }
}

/// What a body says of the numbering, as far as it can be read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Numbers {
    request: Option<u32>,
    call: Option<u32>,
    exec: Option<u32>,
}

impl Numbers {
    fn of(row: &EventRow) -> Self {
        let body = row.body.as_deref().unwrap_or_default();
        serde_json::from_str(body).unwrap_or_default()
    }
}
