//! The one fold from events to messages.
//!
//! [`Transcript::apply`] takes events in order; [`Transcript::messages`] is what a model would be
//! sent now. The live session and the exporter both use it. What was said stays as it is until an
//! event changes the context ([`Transcript::revision`] counts those), so a request is its
//! predecessor, the reply, and what came since, whenever the revision has not moved.

use std::collections::{HashMap, HashSet};

use crate::event::{
    ApprovalDecision, AssistantText, Attachment, Body, CallStatus, Compaction, ConfigChanged,
    ContextEdit, Event, Observation, Reasoning, ReasoningField, ReasoningForm, ToolCall,
};
use crate::message::{Message, ToolCallMessage, Verbatim};
use crate::reply::Part;
use crate::sample::{LossReason, RequestPoint, Span, SpanPart};
use crate::tool::ToolSpec;

/// A message with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// What is sent.
    pub message: Message,
    /// The events it stands for, by `seq`.
    pub seqs: Vec<u64>,
    /// The request it replies to, when the model wrote it.
    pub request: Option<u32>,
    /// The call it answers, when it is an observation.
    pub call: Option<u32>,
    /// What of it may be trained; empty unless the model wrote it.
    pub spans: Vec<Span>,
    /// The reply part by part, when the model wrote it: the order in which it did, and what APIs
    /// other than Chat Completions want back.
    pub parts: Vec<Part>,
    /// The model that wrote it, when one did: what a provider signed goes back to no other.
    pub model: Option<String>,
}

impl Turn {
    fn new(message: Message, seq: u64) -> Self {
        Self {
            message,
            seqs: vec![seq],
            request: None,
            call: None,
            spans: Vec::new(),
            parts: Vec::new(),
            model: None,
        }
    }

    fn first_seq(&self) -> u64 {
        self.seqs.first().copied().unwrap_or(0)
    }
}

/// The conversation as it stands after the events applied so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    turns: Vec<Turn>,
    tools: Vec<ToolSpec>,
    model: Option<String>,
    revision: u64,
    head_seq: Option<u64>,
    /// Calls of the current context: number → (turn, place among its calls).
    calls: HashMap<u32, (usize, usize)>,
    /// Calls that wait for their observation, in order.
    unanswered: Vec<u32>,
    /// What the user said since the last request. It joins the conversation when the next one is
    /// sent: whatever came while a request was under way was not seen by its reply, and servers
    /// want each call answered before anybody else speaks.
    waiting: Vec<Turn>,
    /// All that matters here, for a rewind.
    history: Vec<Past>,
}

/// What a rewind folds again.
#[derive(Clone, Debug)]
enum Past {
    Event(Box<Event>),
    /// A request was sent, after this event.
    Asked(Option<u64>),
}

impl Past {
    /// Whether it still counts after a rewind: the model, the prompt and the tools in force are
    /// those of now, not those of then.
    fn outlasts(&self, to_seq: u64) -> bool {
        match self {
            Self::Event(event) => {
                event.seq <= to_seq
                    || matches!(event.body, Body::ModelChanged(_) | Body::ConfigChanged(_))
            }
            Self::Asked(seq) => seq.is_none_or(|seq| seq <= to_seq),
        }
    }
}

impl Transcript {
    /// The fold over a whole log and the requests that were sent, in their order.
    #[must_use]
    pub fn fold(events: &[Event], points: &[RequestPoint]) -> Self {
        let mut transcript = Self::default();
        let mut points = points.iter().peekable();
        for event in events {
            while points.next_if(|point| point.head_seq < event.seq).is_some() {
                transcript.asked();
            }
            transcript.apply(event);
        }
        points.for_each(|_| transcript.asked());
        transcript
    }

    /// The turns so far, the system prompt first.
    #[must_use]
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The turns that stay as they are until the revision moves: all but a reply at the end, which
    /// may go on.
    #[must_use]
    pub fn settled_turns(&self) -> &[Turn] {
        match self.turns.split_last() {
            Some((last, before)) if last.request.is_some() => before,
            _ => &self.turns,
        }
    }

    /// A request is sent now: what the user has said since the last one joins the conversation.
    /// Called at the same places by the live session, from the events it folds, and by whoever
    /// folds the log again, from the requests on record.
    pub fn asked(&mut self) {
        self.turns.append(&mut self.waiting);
        self.history.push(Past::Asked(self.head_seq));
    }

    /// The turns of the next request, if it were sent now.
    pub fn upcoming(&self) -> impl Iterator<Item = &Turn> {
        self.turns.iter().chain(&self.waiting)
    }

    /// The conversation with something said to the model that is on no record, such as a request
    /// for a summary. For one request: nobody folds it again.
    #[must_use]
    pub fn with_instruction(&self, text: &str) -> Self {
        let message = Message::User { content: text.to_owned(), attachments: Vec::new() };
        let mut told = Self { history: Vec::new(), ..self.clone() };
        told.turns.push(Turn::new(message, self.head_seq.unwrap_or(0)));
        told
    }

    /// The messages to send, after [`Transcript::asked`]: every turn that a server accepts.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.turns.iter().map(|turn| &turn.message).filter(|message| message.is_sendable())
    }

    /// The tools on offer.
    #[must_use]
    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }

    /// The model that answers, once one is chosen.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// How often the context was changed rather than continued.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The last event applied.
    #[must_use]
    pub const fn head_seq(&self) -> Option<u64> {
        self.head_seq
    }

    /// The calls that have no observation yet, by number.
    #[must_use]
    pub fn unanswered_calls(&self) -> &[u32] {
        &self.unanswered
    }

    /// Whether this event makes the next request anything but a continuation.
    #[must_use]
    pub const fn changes_context(body: &Body) -> bool {
        matches!(
            body,
            Body::ContextEdit(_)
                | Body::Compaction(_)
                | Body::Rewind(_)
                | Body::ModelChanged(_)
                | Body::ConfigChanged(ConfigChanged { system_prompt: Some(_), .. })
                | Body::ConfigChanged(ConfigChanged { tools: Some(_), .. })
        )
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        self.head_seq = Some(event.seq);
        if Self::changes_context(&event.body) {
            self.revision += 1;
        }
        if let Body::Rewind(rewind) = &event.body {
            self.rewind(rewind.to_seq);
        } else if self.fold_one(event) {
            self.history.push(Past::Event(Box::new(event.clone())));
        }
    }

    /// Folds one event; false when it says nothing about the context.
    fn fold_one(&mut self, event: &Event) -> bool {
        let seq = event.seq;
        match &event.body {
            Body::Prompt(prompt) => self.user(&prompt.text, &prompt.attachments, seq),
            Body::Steering(steering) => self.user(&steering.text, &[], seq),
            Body::UserCommand(command) => self.user(&command.shown, &[], seq),
            Body::UserEdit(edit) => self.user(&edit.shown, &[], seq),
            Body::Grant(grant) if !grant.shown.is_empty() => self.user(&grant.shown, &[], seq),
            Body::BackgroundExit(it) if !it.shown.is_empty() => self.user(&it.shown, &[], seq),
            Body::Reasoning(part) => self.reasoning(part, event),
            Body::Message(part) => self.text(part, event),
            Body::ToolCall(call) => self.tool_call(call, event),
            Body::Approval(approval) => match approval.decision {
                ApprovalDecision::Allowed => {}
                ApprovalDecision::Amended => self.untrain(approval.call, LossReason::Amended),
                ApprovalDecision::Denied => self.untrain(approval.call, LossReason::Denied),
            },
            Body::Observation(observation) => self.observation(observation, seq),
            Body::ContextEdit(edit) => self.context_edit(edit, seq),
            Body::Compaction(compaction) => self.compaction(compaction, seq),
            Body::ConfigChanged(config) => self.config(config, seq),
            Body::ModelChanged(change) => self.model = Some(change.model.clone()),
            _ => return false,
        }
        true
    }

    fn user(&mut self, text: &str, attachments: &[Attachment], seq: u64) {
        let message = Message::User { content: text.to_owned(), attachments: attachments.to_vec() };
        self.waiting.push(Turn::new(message, seq));
    }

    /// The assistant turn that replies to this request: the last one, or a new one.
    fn reply(&mut self, request: u32, seq: u64) -> &mut Turn {
        let open = self.turns.last().is_some_and(|turn| turn.request == Some(request));
        if open {
            if let Some(turn) = self.turns.last_mut()
                && turn.seqs.last() != Some(&seq)
            {
                turn.seqs.push(seq);
            }
        } else {
            let mut turn = Turn::new(Message::empty_assistant(), seq);
            turn.request = Some(request);
            turn.model.clone_from(&self.model);
            self.turns.push(turn);
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    fn reasoning(&mut self, part: &Reasoning, event: &Event) {
        let kept = Part::Reasoning {
            text: part.text.clone(),
            field: part.field,
            form: part.form,
            signature: part.signature.clone(),
        };
        if part.form == ReasoningForm::Encrypted {
            // Nothing to read, but something to send back.
            let turn = self.reply(part.request, event.seq);
            turn.parts.push(kept);
            sign(turn, part);
            return;
        }
        let why = if event.copied {
            Some(LossReason::Copied)
        } else if part.interrupted {
            Some(LossReason::Interrupted)
        } else if part.form == ReasoningForm::Summary {
            Some(LossReason::NotFullReasoning)
        } else {
            None
        };
        let turn = self.reply(part.request, event.seq);
        turn.parts.push(kept);
        sign(turn, part);
        let Message::Assistant { content, reasoning_content, reasoning, .. } = &mut turn.message
        else {
            return;
        };
        match part.field {
            ReasoningField::ReasoningContent => {
                reasoning_content.get_or_insert_default().push_str(&part.text);
            }
            ReasoningField::Reasoning | ReasoningField::Item => {
                reasoning.get_or_insert_default().push_str(&part.text);
            }
            // The model wrote it into its text, so there it goes back, and the template of the
            // model does with it what it was trained to expect. A reply that ended before its
            // closing tag gets one: templates look for it, and what follows is no thought. Such a
            // reply was cut off, so its reasoning is not trained.
            ReasoningField::Think | ReasoningField::ThinkOpened => {
                let content = content.get_or_insert_default();
                if part.field == ReasoningField::Think {
                    content.push_str("<think>");
                }
                content.push_str(&part.text);
                content.push_str("</think>");
            }
        }
        add_span(&mut turn.spans, SpanPart::Reasoning, why);
    }

    fn text(&mut self, part: &AssistantText, event: &Event) {
        let why = if event.copied {
            Some(LossReason::Copied)
        } else {
            part.interrupted.then_some(LossReason::Interrupted)
        };
        let turn = self.reply(part.request, event.seq);
        turn.parts.push(Part::Text(part.text.clone()));
        if let Message::Assistant { content, .. } = &mut turn.message {
            content.get_or_insert_default().push_str(&part.text);
            add_span(&mut turn.spans, SpanPart::Content, why);
        }
    }

    fn tool_call(&mut self, call: &ToolCall, event: &Event) {
        let why = if event.copied {
            Some(LossReason::Copied)
        } else {
            call.malformed.is_some().then_some(LossReason::Malformed)
        };
        let turn = self.reply(call.request, event.seq);
        turn.parts.push(Part::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            freeform: call.freeform,
            signature: call.signature.clone(),
        });
        let Message::Assistant { tool_calls, .. } = &mut turn.message else { return };
        let place = tool_calls.len();
        tool_calls.push(ToolCallMessage::of(call));
        add_span(&mut turn.spans, SpanPart::ToolCall(place), why);
        self.calls.insert(call.call, (self.turns.len() - 1, place));
        self.unanswered.push(call.call);
    }

    fn untrain(&mut self, call: u32, why: LossReason) {
        let Some(&(turn, place)) = self.calls.get(&call) else { return };
        if let Some(turn) = self.turns.get_mut(turn) {
            add_span(&mut turn.spans, SpanPart::ToolCall(place), Some(why));
        }
    }

    fn observation(&mut self, observation: &Observation, seq: u64) {
        match observation.status {
            CallStatus::Ok | CallStatus::Error => {}
            CallStatus::Denied => self.untrain(observation.call, LossReason::Denied),
            CallStatus::Cancelled | CallStatus::LostInCrash => {
                self.untrain(observation.call, LossReason::Interrupted);
            }
        }
        let Some(&(turn, place)) = self.calls.get(&observation.call) else { return };
        let Some(Message::Assistant { tool_calls, .. }) =
            self.turns.get(turn).map(|turn| &turn.message)
        else {
            return;
        };
        let Some(id) = tool_calls.get(place).map(|call| call.id.clone()) else { return };
        let content = observation.shown.clone();
        let mut turn = Turn::new(Message::Tool { tool_call_id: id, content }, seq);
        turn.call = Some(observation.call);
        self.turns.push(turn);
        if !observation.attachments.is_empty() {
            // A tool message holds text only; what it shows follows when all calls are answered.
            let names: Vec<&str> =
                observation.attachments.iter().map(|image| image.name.as_str()).collect();
            let text = format!("[{}]", names.join(", "));
            self.user(&text, &observation.attachments, seq);
        }
        self.unanswered.retain(|call| *call != observation.call);
    }

    fn context_edit(&mut self, edit: &ContextEdit, seq: u64) {
        let shorter: HashMap<u32, &String> =
            edit.observations.iter().map(|item| (item.call, &item.shown)).collect();
        for turn in &mut self.turns {
            let Some(shown) = turn.call.and_then(|call| shorter.get(&call)) else { continue };
            if let Message::Tool { content, .. } = &mut turn.message {
                content.clone_from(shown);
                turn.seqs.push(seq);
            }
        }
    }

    fn compaction(&mut self, compaction: &Compaction, seq: u64) {
        let through = compaction.through_seq;
        let gone = |turn: &Turn| {
            turn.first_seq() <= through && !matches!(turn.message, Message::System { .. })
        };
        let calls_gone: HashSet<u32> = self
            .calls
            .iter()
            .filter(|(_, (turn, _))| self.turns.get(*turn).is_none_or(&gone))
            .map(|(call, _)| *call)
            .collect();
        let old = std::mem::take(&mut self.turns);
        let summary = Turn::new(
            Message::User { content: compaction.summary.clone(), attachments: Vec::new() },
            seq,
        );
        let (system, rest): (Vec<Turn>, Vec<Turn>) =
            old.into_iter().partition(|turn| matches!(turn.message, Message::System { .. }));
        let kept = rest
            .into_iter()
            .filter(|turn| !gone(turn) && turn.call.is_none_or(|call| !calls_gone.contains(&call)));
        self.turns = system.into_iter().chain([summary]).chain(kept).collect();
        self.unanswered.retain(|call| !calls_gone.contains(call));
        self.waiting.retain(|turn| !gone(turn));
        self.find_calls_again(&calls_gone);
    }

    /// After turns have moved: the calls that are left keep their order within the turns.
    fn find_calls_again(&mut self, gone: &HashSet<u32>) {
        let mut numbers: Vec<u32> =
            self.calls.keys().copied().filter(|call| !gone.contains(call)).collect();
        numbers.sort_unstable();
        let places = self.turns.iter().enumerate().flat_map(|(index, turn)| {
            let count = match &turn.message {
                Message::Assistant { tool_calls, .. } => tool_calls.len(),
                _ => 0,
            };
            (0..count).map(move |place| (index, place))
        });
        self.calls = numbers.into_iter().zip(places).collect();
    }

    fn config(&mut self, config: &ConfigChanged, seq: u64) {
        if let Some(prompt) = &config.system_prompt {
            let turn = Turn::new(Message::System { content: prompt.clone() }, seq);
            match self.turns.first_mut() {
                Some(first) if matches!(first.message, Message::System { .. }) => *first = turn,
                _ => {
                    self.turns.insert(0, turn);
                    for (turn, _) in self.calls.values_mut() {
                        *turn += 1;
                    }
                }
            }
        }
        if let Some(tools) = &config.tools {
            self.tools.clone_from(tools);
        }
    }

    /// Folds again what is left. What happened after `to_seq` stays in the log, not in the context.
    fn rewind(&mut self, to_seq: u64) {
        let mut history = std::mem::take(&mut self.history);
        history.retain(|past| past.outlasts(to_seq));
        *self = Self { revision: self.revision, head_seq: self.head_seq, ..Self::default() };
        for past in &history {
            match past {
                Past::Event(event) => {
                    self.fold_one(event);
                }
                Past::Asked(_) => self.turns.append(&mut self.waiting),
            }
        }
        self.history = history;
    }
}

/// Keeps what the provider signed. The items of the Responses API have a place of their own.
fn sign(turn: &mut Turn, part: &Reasoning) {
    if part.field != ReasoningField::Item
        && let Some(signature) = part.signature.as_deref().and_then(Verbatim::new)
        && let Message::Assistant { reasoning_details, .. } = &mut turn.message
    {
        *reasoning_details = Some(signature);
    }
}

/// Adds a stretch; stretches of the same part are one, and one reason against training it is
/// enough.
fn add_span(spans: &mut Vec<Span>, part: SpanPart, untrained: Option<LossReason>) {
    match spans.iter_mut().find(|span| span.part == part) {
        Some(span) => span.untrained = span.untrained.or(untrained),
        None => spans.push(Span { part, untrained }),
    }
}
