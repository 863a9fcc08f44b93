//! Going on from the last request gives what doing everything again gives.

use std::sync::Arc;

use model::{Api, EndpointConfig, EndpointModel, Model, Profile};
use proptest::prelude::*;
use trajectory::event::{
    AssistantText, BackgroundExit, CallStatus, Compaction, ConfigChanged, ContextEdit, Exit,
    ModelChanged, Observation, Prompt, Reasoning, ReasoningField, ReasoningForm, Rewind,
    ShortenedObservation, ToolCall,
};
use trajectory::{Body, Event, EventId, MessageDigest, RunId, ToolEffect, ToolSpec, Transcript};

use super::Continued;

/// What may happen next. Numbers pick among what is there; nothing keeps to what an agent does.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Asked,
    Prompt,
    JobEnded,
    Reasoning,
    Text,
    Call { freeform: bool, malformed: bool },
    Observation(u32),
    Shortened(u32),
    Compaction(u64),
    Rewind(u64),
    Model(bool),
    Frame { prompt: bool, tools: bool },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => Just(Happens::Asked),
        3 => Just(Happens::Prompt),
        1 => Just(Happens::JobEnded),
        2 => Just(Happens::Reasoning),
        3 => Just(Happens::Text),
        6 => (prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(freeform, malformed)| Happens::Call { freeform, malformed }),
        6 => any::<u32>().prop_map(Happens::Observation),
        1 => any::<u32>().prop_map(Happens::Shortened),
        1 => any::<u64>().prop_map(Happens::Compaction),
        1 => any::<u64>().prop_map(Happens::Rewind),
        1 => any::<bool>().prop_map(Happens::Model),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(prompt, tools)| Happens::Frame { prompt, tools }),
    ]
}

/// A log that grows, with one request after the other.
struct Story {
    model: Model,
    transcript: Transcript,
    continued: Continued,
    before: Vec<Arc<str>>,
    seq: u64,
    request: u32,
    call: u32,
}

impl Story {
    fn new(api: Api, profile: &str) -> Self {
        let mut config = EndpointConfig::new("http://127.0.0.1:1/v1", "m");
        config.api = api;
        config.profile = Profile::named(profile).unwrap();
        Self {
            model: Model::from(EndpointModel::new(config).unwrap()),
            transcript: Transcript::default(),
            continued: Continued::default(),
            before: Vec::new(),
            seq: 0,
            request: 0,
            call: 0,
        }
    }

    fn emit(&mut self, body: impl Into<Body>) {
        let body = body.into();
        self.seq += 1;
        self.transcript.apply(&Event {
            id: EventId::new(),
            seq: self.seq,
            parent: None,
            run: RunId::new(),
            round: 1,
            source: body.source(),
            wall_ns: 0,
            mono_ns: 0,
            copied: false,
            body,
        });
    }

    /// The next request, in both ways.
    fn asked(&mut self) -> Result<(), TestCaseError> {
        self.request += 1;
        self.transcript.asked();
        let (model, transcript, continued) = (&self.model, &self.transcript, &mut self.continued);
        let afresh = model.encode(self.request, transcript, &|_| None);
        let goes_on = model.encode_on(self.request, transcript, &|_| None, &mut continued.written);
        prop_assert_eq!(&goes_on, &afresh);
        let kept = Continued::kept(&goes_on.messages, &self.before);
        let digest = digest(afresh.messages.iter().map(ToString::to_string));
        prop_assert_eq!(continued.messages_digest(&goes_on.messages, kept), digest);
        let context = self::digest(transcript.messages().map(trajectory::Message::to_json));
        prop_assert_eq!(continued.context_digest(transcript), context);
        let tools = self::digest(transcript.tools().iter().map(|tool| tool.to_chat().to_string()));
        prop_assert_eq!(continued.tools_digest(transcript), tools);
        self.before = goes_on.messages;
        Ok(())
    }

    fn act(&mut self, happens: Happens) -> Result<(), TestCaseError> {
        let request = self.request;
        match happens {
            Happens::Asked => return self.asked(),
            Happens::Prompt => {
                let text = format!("prompt {}", self.seq);
                self.emit(Prompt { text, attachments: Vec::new() });
            }
            Happens::JobEnded => {
                let shown = format!("job {} ended", self.seq);
                let (exit, output) = (Exit::default(), None);
                self.emit(BackgroundExit { exec: 1, exit, output, shown });
            }
            Happens::Reasoning => self.emit(Body::Reasoning(Reasoning {
                request,
                text: format!("thought {}", self.seq),
                form: ReasoningForm::Full,
                field: ReasoningField::ReasoningContent,
                signature: None,
                interrupted: false,
            })),
            Happens::Text => {
                let text = format!("text {}", self.seq);
                self.emit(Body::Message(AssistantText { request, text, interrupted: false }));
            }
            Happens::Call { freeform, malformed } => self.call(freeform, malformed),
            Happens::Observation(pick) => self.observation(pick),
            Happens::Shortened(pick) => {
                let call = pick % (self.call + 1);
                let shown = format!("shortened {}", self.seq);
                let observations = vec![ShortenedObservation { call, shown }];
                self.emit(ContextEdit { observations, reason: "budget".into() });
            }
            Happens::Compaction(pick) => {
                let through_seq = pick % (self.seq + 1);
                let summary = format!("summary {}", self.seq);
                self.emit(Compaction { through_seq, summary, request: None });
            }
            Happens::Rewind(pick) => self.emit(Rewind { to_seq: pick % (self.seq + 1) }),
            Happens::Model(own) => {
                let model = if own { "m" } else { "other" }.to_owned();
                self.emit(Body::ModelChanged(ModelChanged { model, ..ModelChanged::default() }));
            }
            Happens::Frame { prompt, tools } => self.emit(Body::ConfigChanged(ConfigChanged {
                system_prompt: prompt.then(|| format!("frame {}", self.seq)),
                tools: tools.then(|| vec![tool(self.seq)]),
                ..ConfigChanged::default()
            })),
        }
        Ok(())
    }

    fn call(&mut self, freeform: bool, malformed: bool) {
        self.call += 1;
        self.emit(ToolCall {
            request: self.request,
            call: self.call,
            // Ids are used again.
            id: format!("id{}", self.call % 3),
            name: "shell".into(),
            arguments: if malformed { "{oops" } else { "{}" }.into(),
            malformed: malformed.then(|| "oops".into()),
            freeform,
            signature: None,
        });
    }

    fn observation(&mut self, pick: u32) {
        let open = self.transcript.unanswered_calls();
        let Some(call) = open.get(pick as usize % open.len().max(1)).copied() else { return };
        self.emit(Observation {
            call,
            status: CallStatus::Ok,
            shown: format!("saw {}", self.seq),
            exec: None,
            exit: None,
            output: None,
            truncated: None,
            attachments: Vec::new(),
            duration_us: 0,
        });
    }
}

fn tool(seq: u64) -> ToolSpec {
    ToolSpec {
        name: format!("tool{seq}"),
        description: String::new(),
        parameters: serde_json::json!({}),
        effect: ToolEffect::ReadOnly,
        grammar: None,
    }
}

fn digest(messages: impl Iterator<Item = String>) -> String {
    let mut digest = MessageDigest::default();
    messages.for_each(|message| digest.push(&message));
    digest.finish()
}

fn forms() -> impl Strategy<Value = (Api, &'static str)> {
    let profile = prop::sample::select(Profile::names().collect::<Vec<_>>());
    (prop::sample::select(vec![Api::Chat, Api::Responses]), profile)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    /// For any story and any kind of server, the bytes and the digests of each request are those
    /// that doing everything again gives.
    #[test]
    fn going_on_is_doing_it_again(
        (api, profile) in forms(),
        story in prop::collection::vec(happens(), 0..80),
    ) {
        let mut told = Story::new(api, profile);
        for happens in story {
            told.act(happens)?;
        }
        told.asked()?;
    }
}

#[test]
fn a_message_that_was_sent_is_not_written_again() {
    let mut story = Story::new(Api::Chat, "default");
    story.act(Happens::Prompt).unwrap();
    story.asked().unwrap();
    let first = story.before.clone();
    story.act(Happens::Text).unwrap();
    story.act(Happens::Prompt).unwrap();
    story.asked().unwrap();
    assert_eq!(story.before.len(), 3);
    assert!(Arc::ptr_eq(&story.before[0], &first[0]));
}
