//! The fold and the cut rule, on random sessions.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use crate::event::{
    ApprovalDecision, ApprovalEvent, AssistantText, CallStatus, Compaction, ConfigChanged,
    ContextEdit, DecidedBy, ModelChanged, Observation, Prompt, Reasoning, ReasoningField,
    ReasoningForm, Rewind, ShortenedObservation, Steering, ToolCall,
};
use crate::*;

/// What a session can do next; numbers pick targets among what is there.
#[derive(Clone, Debug)]
enum Action {
    Prompt,
    Steer,
    /// A request and its reply.
    Step(Step),
    /// A request that nobody answered.
    LostRequest,
    Observe(CallStatus),
    Amend,
    Shorten(usize),
    Compact(usize),
    Rewind(usize),
    ChangeModel,
    ChangeTools,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    calls: usize,
    malformed: bool,
    reasoning: bool,
    interrupted: bool,
    /// The user speaks while the model works.
    meanwhile: bool,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Prompt),
        1 => Just(Action::Steer),
        8 => (0..3usize, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1),
              prop::bool::weighted(0.2)).prop_map(
            |(calls, malformed, reasoning, interrupted, meanwhile)| Action::Step(Step {
                calls, malformed, reasoning, interrupted, meanwhile,
            })
        ),
        1 => Just(Action::LostRequest),
        8 => prop_oneof![
            6 => Just(CallStatus::Ok),
            1 => Just(CallStatus::Error),
            1 => Just(CallStatus::Denied),
            1 => Just(CallStatus::Cancelled),
        ].prop_map(Action::Observe),
        1 => Just(Action::Amend),
        1 => any::<usize>().prop_map(Action::Shorten),
        1 => any::<usize>().prop_map(Action::Compact),
        1 => any::<usize>().prop_map(Action::Rewind),
        1 => Just(Action::ChangeModel),
        1 => Just(Action::ChangeTools),
    ]
}

/// A session as it grows, with the requests that were really sent.
struct Story {
    run: RunId,
    events: Vec<Event>,
    live: Transcript,
    points: Vec<RequestPoint>,
    /// For each request: the exact messages sent, and the message that came back.
    sent: Vec<(Vec<String>, Option<Message>)>,
    calls: u32,
}

impl Story {
    fn new() -> Self {
        let mut story = Self {
            run: RunId::new(),
            events: Vec::new(),
            live: Transcript::default(),
            points: Vec::new(),
            sent: Vec::new(),
            calls: 0,
        };
        let config = ConfigChanged { system_prompt: Some("sys".into()), ..Default::default() };
        story.emit(config.into());
        story
    }

    fn emit(&mut self, body: Body) {
        let seq = self.events.len() as u64;
        let event = Event {
            id: EventId::new(),
            seq,
            parent: self.events.last().map(|event| event.id),
            run: self.run,
            round: 0,
            source: body.source(),
            wall_ns: seq as i64,
            mono_ns: seq,
            copied: false,
            body,
        };
        self.live.apply(&event);
        self.events.push(event);
    }

    fn seq(&self, pick: usize) -> u64 {
        (pick % self.events.len()) as u64
    }

    fn ask(&mut self) -> u32 {
        let request = self.sent.len() as u32 + 1;
        let head_seq = self.events.len() as u64 - 1;
        self.points.push(RequestPoint { request, head_seq });
        self.live.asked();
        self.sent.push((self.live.messages().map(Message::to_json).collect(), None));
        request
    }

    fn step(&mut self, step: Step) {
        let Step { calls, malformed, reasoning, interrupted, meanwhile } = step;
        let request = self.ask();
        if meanwhile {
            self.emit(Steering { text: "wait".into() }.into());
        }
        if reasoning {
            self.emit(Body::Reasoning(Reasoning {
                request,
                text: format!("thinking about {request}"),
                form: ReasoningForm::Full,
                field: ReasoningField::ReasoningContent,
                signature: None,
                interrupted,
            }));
        }
        if calls == 0 || request.is_multiple_of(2) {
            let text = format!("text {request}");
            self.emit(Body::Message(AssistantText { request, text, interrupted }));
        }
        for index in 0..if interrupted { 0 } else { calls } {
            self.calls += 1;
            self.emit(Body::ToolCall(ToolCall {
                request,
                call: self.calls,
                // Servers repeat ids; nothing may hang on them.
                id: format!("call_{index}"),
                name: "shell".into(),
                arguments: if malformed { "{oops".into() } else { "{}".into() },
                malformed: malformed.then(|| "oops".into()),
                freeform: false,
                signature: None,
            }));
        }
        let reply = self.live.turns().iter().rfind(|turn| turn.request == Some(request));
        self.sent[request as usize - 1].1 = reply.map(|turn| turn.message.clone());
    }

    fn act(&mut self, action: Action) {
        let waiting = self.live.unanswered_calls().first().copied();
        match action {
            Action::Prompt => {
                self.emit(Prompt { text: "do it".into(), ..Default::default() }.into());
            }
            Action::Steer => self.emit(Steering { text: "rather so".into() }.into()),
            // An agent never asks while a call is open.
            Action::Step(_) | Action::LostRequest if waiting.is_some() => {}
            Action::Step(step) => self.step(step),
            Action::LostRequest => {
                self.ask();
            }
            Action::Observe(status) => {
                if let Some(call) = waiting {
                    self.emit(observation(call, status, &format!("saw {call}")));
                }
            }
            Action::Amend => {
                if let Some(call) = waiting {
                    self.emit(Body::Approval(ApprovalEvent {
                        call,
                        decision: ApprovalDecision::Amended,
                        by: DecidedBy::User,
                        reason: None,
                        arguments: Some("{}".into()),
                    }));
                }
            }
            Action::Shorten(pick) => self.emit(Body::ContextEdit(ContextEdit {
                observations: vec![ShortenedObservation {
                    call: (pick as u32 % (self.calls + 1)).max(1),
                    shown: "[shortened]".into(),
                }],
                reason: "budget".into(),
            })),
            Action::Compact(pick) => self.emit(Body::Compaction(Compaction {
                through_seq: self.seq(pick),
                summary: "what happened so far".into(),
                request: None,
            })),
            Action::Rewind(pick) => {
                let to_seq = self.seq(pick);
                self.emit(Rewind { to_seq }.into());
            }
            Action::ChangeModel => self.emit(Body::ModelChanged(ModelChanged {
                model: format!("model-{}", self.events.len()),
                provider: "p".into(),
                endpoint: None,
                api: "chat".into(),
                params: json!({}),
                ..ModelChanged::default()
            })),
            Action::ChangeTools => self.emit(Body::ConfigChanged(ConfigChanged {
                tools: Some(Vec::new()),
                ..Default::default()
            })),
        }
    }
}

fn observation(call: u32, status: CallStatus, shown: &str) -> Body {
    Body::Observation(Observation {
        call,
        status,
        shown: shown.into(),
        exec: None,
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 0,
    })
}

fn story(actions: Vec<Action>) -> Story {
    let mut story = Story::new();
    for action in actions {
        story.act(action);
    }
    story
}

fn json_of(messages: &[SampleMessage]) -> Vec<String> {
    messages.iter().map(|message| message.message.to_json()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..Default::default() })]

    /// Invariant 13: what stands before every trained token is a request that was sent, and the
    /// trained reply is the reply to it. Invariant 12: no reply is trained twice.
    #[test]
    fn the_prefix_of_every_trained_reply_is_a_request_that_was_sent(
        actions in prop::collection::vec(action(), 0..60)
    ) {
        let story = story(actions);
        let mut trained = HashSet::new();
        for sample in samples(&story.events, &story.points) {
            for (place, message) in sample.messages.iter().enumerate() {
                if !message.is_trained() {
                    continue;
                }
                let request = message.request.unwrap();
                let (sent, reply) = &story.sent[request as usize - 1];
                prop_assert_eq!(&json_of(&sample.messages[..place]), sent);
                prop_assert_eq!(Some(&message.message), reply.as_ref());
                prop_assert!(trained.insert(request), "request {} is trained twice", request);
            }
            prop_assert!(sample.messages.last().unwrap().is_trained());
        }
    }

    /// Nothing that may be trained is lost by the cutting: every reply that has a trainable part
    /// is in some sample.
    #[test]
    fn every_trainable_reply_is_trained(actions in prop::collection::vec(action(), 0..60)) {
        let story = story(actions);
        let trained: HashSet<u32> = samples(&story.events, &story.points)
            .iter()
            .flat_map(|sample| sample.messages.iter())
            .filter(|message| message.is_trained())
            .filter_map(|message| message.request)
            .collect();
        let whole = |event: &&Event| match &event.body {
            Body::Message(text) => !text.interrupted,
            _ => false,
        };
        for event in story.events.iter().filter(whole) {
            let Body::Message(text) = &event.body else { continue };
            prop_assert!(trained.contains(&text.request), "request {} is lost", text.request);
        }
    }

    /// A context a server accepts: every tool message answers a call of the assistant message
    /// before it, each once, and a new fold over the log gives the same messages.
    #[test]
    fn every_fold_is_a_conversation(actions in prop::collection::vec(action(), 0..60)) {
        let story = story(actions);
        let mut open: Vec<String> = Vec::new();
        for message in story.live.messages() {
            match message {
                Message::Assistant { tool_calls, .. } => {
                    prop_assert!(open.is_empty(), "unanswered: {:?}", open);
                    open = tool_calls.iter().map(|call| call.id.clone()).collect();
                }
                Message::Tool { tool_call_id, .. } => {
                    let place = open.iter().position(|id| id == tool_call_id);
                    prop_assert!(place.is_some(), "{} answers nothing", tool_call_id);
                    open.remove(place.unwrap());
                }
                _ => prop_assert!(open.is_empty(), "unanswered: {:?}", open),
            }
        }
        let again = Transcript::fold(&story.events, &story.points);
        prop_assert_eq!(again.turns(), story.live.turns());
    }

    /// A message is what it was after JSON: null, absent and empty stay different.
    #[test]
    fn messages_survive_json(content in prop::option::of(".*"), reasoning in prop::option::of(".*"),
                             arguments in ".*", id in ".*") {
        for message in [
            Message::Assistant {
                content: content.clone(),
                reasoning_content: reasoning.clone(),
                reasoning: None,
                reasoning_details: None,
                tool_calls: vec![ToolCallMessage::function(id.clone(), "t".into(), arguments)],
            },
            Message::Tool { tool_call_id: id, content: content.unwrap_or_default() },
        ] {
            let json = message.to_json();
            let back: Message = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, &message);
            prop_assert_eq!(back.to_json(), json);
        }
    }
}

#[test]
fn a_plain_session_is_one_sample() {
    let story = story(vec![
        Action::Prompt,
        Action::Step(Step { calls: 2, malformed: false, reasoning: true, ..Step::default() }),
        Action::Observe(CallStatus::Ok),
        Action::Observe(CallStatus::Denied),
        Action::Step(Step { calls: 0, malformed: false, reasoning: true, ..Step::default() }),
    ]);
    let samples = samples(&story.events, &story.points);
    assert_eq!(samples.len(), 1);
    let roles: Vec<&str> =
        samples[0].messages.iter().map(|message| message.message.role()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "assistant"]);
    let calls: Vec<Option<LossReason>> =
        samples[0].messages[2].spans.iter().map(|span| span.untrained).collect();
    assert_eq!(calls, [None, None, Some(LossReason::Denied)]);
}

#[test]
fn a_shortened_observation_cuts_the_sample() {
    let step =
        || Action::Step(Step { calls: 1, malformed: false, reasoning: false, ..Step::default() });
    let story = story(vec![
        Action::Prompt,
        step(),
        Action::Observe(CallStatus::Ok),
        Action::Shorten(1),
        Action::Step(Step { calls: 0, malformed: false, reasoning: false, ..Step::default() }),
    ]);
    let samples = samples(&story.events, &story.points);
    assert_eq!(samples.len(), 2);
    assert!(json_of(&samples[1].messages)[3].contains("[shortened]"));
    let context: Vec<_> = samples[1].messages[2].spans.iter().map(|span| span.untrained).collect();
    assert_eq!(context, [Some(LossReason::Context)]);
}

#[test]
fn copied_context_is_never_trained() {
    let mut story = story(vec![
        Action::Prompt,
        Action::Step(Step { calls: 0, malformed: false, reasoning: true, ..Step::default() }),
    ]);
    for event in &mut story.events {
        event.copied = true;
    }
    assert!(samples(&story.events, &story.points).is_empty());
}

#[test]
fn what_the_user_says_meanwhile_comes_after_the_reply_and_its_observations() {
    let mut story = story(vec![
        Action::Prompt,
        Action::Step(Step { calls: 2, meanwhile: true, ..Step::default() }),
        Action::Observe(CallStatus::Ok),
        Action::Steer,
        Action::Observe(CallStatus::Ok),
    ]);
    story.ask();
    let roles: Vec<&str> = story.live.messages().map(Message::role).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "user", "user"]);
}

#[test]
fn rewinding_keeps_the_model_and_the_tools_in_force() {
    let mut story = story(vec![Action::Prompt, Action::ChangeModel]);
    let model = story.live.model().map(str::to_owned);
    assert!(model.is_some());
    story.emit(Rewind { to_seq: 1 }.into());
    assert_eq!(story.live.model().map(str::to_owned), model);
}

#[test]
fn bodies_survive_json_and_unknown_kinds_are_left_alone() {
    let story = story(vec![
        Action::Prompt,
        Action::Step(Step { calls: 1, malformed: true, reasoning: true, ..Step::default() }),
        Action::Observe(CallStatus::Error),
        Action::Shorten(0),
        Action::Compact(1),
        Action::Rewind(2),
        Action::ChangeModel,
    ]);
    for event in &story.events {
        let json = serde_json::to_vec(&event.body).unwrap();
        let back = Body::decode(event.body.kind(), &json).unwrap();
        assert_eq!(back.as_ref(), Some(&event.body));
    }
    assert_eq!(Body::decode("telepathy", b"{}").unwrap(), None);
    assert!(Body::decode("prompt", b"[1]").is_err());
    assert_eq!(Body::KINDS.len(), 26);
}

#[test]
fn rewinding_forgets_and_keeps_what_came_before() {
    let mut story = story(vec![
        Action::Prompt,
        Action::Step(Step { calls: 0, malformed: false, reasoning: false, ..Step::default() }),
    ]);
    let before: Vec<String> = story.live.messages().map(Message::to_json).collect();
    assert_eq!(before.len(), 3);
    let head = story.events.len() as u64 - 1;
    story.act(Action::Prompt);
    story.act(Action::Compact(1));
    story.emit(Rewind { to_seq: head }.into());
    assert_eq!(story.live.messages().map(Message::to_json).collect::<Vec<_>>(), before);
}

#[test]
fn only_what_is_no_object_is_arguments_as_object() {
    for (arguments, expected) in [
        (r#"{"a": 1}"#, None),
        (r#" {"a": 1, "a": [1e999]} "#, None),
        ("", Some("{}")),
        (" \n", Some("{}")),
        ("[1]", Some(r#"{"malformed":"[1]"}"#)),
        (r#"{"a":"#, Some(r#"{"malformed":"{\"a\":"}"#)),
        ("null", Some(r#"{"malformed":"null"}"#)),
    ] {
        assert_eq!(arguments_as_object(arguments).as_deref(), expected, "{arguments}");
    }
}

proptest! {
    /// What goes back is always an object, and the text is in it.
    #[test]
    fn what_goes_back_is_an_object(arguments in ".*") {
        let back = arguments_as_object(&arguments).unwrap_or_else(|| arguments.clone());
        let value: serde_json::Value = serde_json::from_str(&back).unwrap();
        prop_assert!(value.is_object());
        if !arguments.trim().is_empty() && back != arguments {
            prop_assert_eq!(value["malformed"].as_str(), Some(arguments.as_str()));
        }
    }
}
