//! Forks, and the whole life of a session with them.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use trajectory::event::{
    AssistantText, CallStatus, Compaction, ConfigChanged, ContextEdit, Ended, Observation, Prompt,
    Rewind, RoundEnded, SessionEnded, ShortenedObservation, Steering, ToolCall,
};
use trajectory::{
    Body, Event, Message, MessageDigest, Progress, Recorded, SessionId, Transcript, Usage, samples,
};

use crate::tests::{Story, home, home_in_memory, observation, sound, start};
use crate::*;

fn events(archive: &Archive) -> Vec<Event> {
    archive.events().unwrap().into_iter().map(Recorded::into_inner).collect()
}

async fn two_rounds(home: &Home) -> SessionId {
    let mut story = Story::begin(home);
    story.round("first").await;
    story.round("second").await;
    story.end().await
}

#[tokio::test]
async fn a_fork_has_the_past_as_context_and_a_life_of_its_own() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let forked = fork(&home, id, None).unwrap();
    let archive = sound(&home, forked);
    let copied = events(&archive);
    assert!(copied.iter().take(original.len()).all(|event| event.copied));
    for (copy, event) in copied.iter().zip(&original) {
        assert_eq!((copy.seq, copy.round, copy.wall_ns), (event.seq, event.round, event.wall_ns));
        assert_eq!(copy.body, event.body);
        assert_ne!(copy.id, event.id);
    }
    let row = archive.session().unwrap();
    assert_eq!(row.parent, Some((id, original.last().unwrap().id)));
    let before = sound(&home, id).request_points().unwrap();
    assert_eq!(archive.request_points().unwrap(), before);
    assert!(samples(&copied, &before).is_empty());
    // Numbers go on where those of the original stood.
    let mut story = Story::resume(&home, forked);
    assert_eq!((story.events.len(), story.recorder.id()), (copied.len(), forked));
    story.round("third").await;
    story.end().await;
    let archive = sound(&home, forked);
    let points = archive.request_points().unwrap();
    assert_eq!(points.len(), before.len() + 2);
    assert!(points.iter().zip(points.iter().skip(1)).all(|(one, next)| one.request < next.request));
    assert_eq!(events(&sound(&home, id)), original);
    // A fork of a fork knows of both.
    let again = fork(&home, forked, None).unwrap();
    assert_eq!(sound(&home, again).request_points().unwrap(), points);
}

#[tokio::test]
async fn a_point_within_a_round_ends_it() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let prompt = original.iter().rfind(|event| matches!(event.body, Body::Prompt(_))).unwrap();
    let forked = fork(&home, id, Some(prompt.seq)).unwrap();
    let archive = sound(&home, forked);
    let kinds: Vec<&str> = events(&archive).iter().map(|event| event.body.kind()).collect();
    assert!(
        kinds.ends_with(&["prompt", "interruption", "round_ended", "session_ended"]),
        "{kinds:?}"
    );
    // The request after the prompt is not of this session.
    assert_eq!(archive.request_points().unwrap().len(), 2);
    // Nothing is left to be recovered.
    let resumed = Recorder::resume(&home, forked).unwrap();
    assert_eq!(resumed.events.len(), kinds.len());
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_and_leaves_nothing() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let original = events(&sound(&home, id));
    let call = original.iter().find(|event| matches!(event.body, Body::ToolCall(_))).unwrap();
    for at in [call.seq, original.len() as u64] {
        let refused = fork(&home, id, Some(at)).unwrap_err();
        assert!(matches!(refused, RecordError::Refused { .. }), "{refused}");
    }
    assert_eq!(home.session_ids().unwrap(), [id]);
}

#[tokio::test]
async fn a_fork_may_go_where_the_original_may() {
    let (_folder, home) = home();
    let id = two_rounds(&home).await;
    let library = Library::open(&home).unwrap();
    for (field, value) in [("consent", "team"), ("consent", "private"), ("outcome", "success")] {
        library.annotate(id, field, value, "user", Some("fox")).unwrap();
    }
    let forked = fork(&home, id, None).unwrap();
    let said = library.annotations(forked).unwrap();
    let [consent] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((consent.field.as_str(), consent.value.as_str()), ("consent", "private"));
    assert_eq!((consent.source.as_str(), consent.annotator.as_deref()), ("user", Some("fox")));
}

/// What can happen in the life of a session; numbers pick places among those that are there.
#[derive(Clone, Debug)]
enum Happens {
    Prompt,
    Steer,
    /// A request, and a reply with so many calls.
    Step(u32),
    /// A call is answered.
    Observe(CallStatus),
    EndRound,
    Shorten(usize),
    Compact(usize),
    /// The conversation goes back to before a prompt.
    Rewind(usize),
    /// The process dies.
    Crash,
    /// It dies while a reply arrives.
    CrashInReply,
    /// It ends in order.
    Close,
    /// The session is left, and gone on with as a copy up to a place.
    Fork(Option<usize>),
}

fn happens() -> impl Strategy<Value = Happens> {
    let status = prop_oneof![
        4 => Just(CallStatus::Ok),
        1 => Just(CallStatus::Error),
        1 => Just(CallStatus::Denied),
    ];
    prop_oneof![
        5 => Just(Happens::Prompt),
        1 => Just(Happens::Steer),
        8 => (0..3_u32).prop_map(Happens::Step),
        8 => status.prop_map(Happens::Observe),
        2 => Just(Happens::EndRound),
        1 => any::<usize>().prop_map(Happens::Shorten),
        1 => any::<usize>().prop_map(Happens::Compact),
        1 => any::<usize>().prop_map(Happens::Rewind),
        2 => Just(Happens::Crash),
        1 => Just(Happens::CrashInReply),
        1 => Just(Happens::Close),
        2 => prop::option::of(any::<usize>()).prop_map(Happens::Fork),
    ]
}

/// A session on a real file, beside what a process would know of it that never died.
struct Life<'a> {
    home: &'a Home,
    /// The session that is written, and all there are.
    id: SessionId,
    sessions: Vec<SessionId>,
    recorder: Option<Recorder>,
    events: Vec<Event>,
    live: Transcript,
    last: Ordinals,
    open_calls: Vec<u32>,
    in_round: bool,
    /// The messages of the last request in this file.
    before: Vec<String>,
    /// The messages of every request that was sent.
    sent: HashMap<(SessionId, u32), Vec<String>>,
    /// Nothing is said twice.
    words: u32,
}

impl<'a> Life<'a> {
    async fn begin(home: &'a Home) -> Self {
        let id = SessionId::new();
        let mut life = Self {
            home,
            id,
            sessions: vec![id],
            recorder: Some(Recorder::create(home, start(id)).unwrap()),
            events: Vec::new(),
            live: Transcript::default(),
            last: Ordinals::default(),
            open_calls: Vec::new(),
            in_round: false,
            before: Vec::new(),
            sent: HashMap::new(),
            words: 0,
        };
        let frame = ConfigChanged { system_prompt: Some("sys".into()), ..ConfigChanged::default() };
        life.emit(vec![frame.into()], Vec::new()).await;
        life
    }

    fn word(&mut self) -> String {
        self.words += 1;
        format!("word {}", self.words)
    }

    async fn emit(&mut self, bodies: Vec<Body>, rows: Vec<Row>) {
        let round = self.last.round;
        let event = |body: Body| NewEvent { round, source: body.source(), body };
        let events = bodies.into_iter().map(event).collect();
        let write = Write { events, rows, ..Write::default() };
        let recorder = self.recorder.as_ref().unwrap();
        for event in recorder.commit(write, Durability::Relaxed).await.unwrap() {
            self.live.apply(&event);
            self.events.push(event.into_inner());
        }
    }

    async fn ask(&mut self) -> u32 {
        self.last.request += 1;
        self.live.asked();
        let messages: Vec<String> = self.live.messages().map(Message::to_json).collect();
        let same = |(now, before): &(&String, &String)| now == before;
        let kept = messages.iter().zip(&self.before).take_while(same).count();
        let mut digest = MessageDigest::default();
        messages.iter().for_each(|message| digest.push(message));
        let row = RequestStarted {
            request: self.last.request,
            attempt: 1,
            head_seq: self.events.len() as u64 - 1,
            kept,
            added: messages[kept..].to_vec(),
            body_head: r#"{"messages":["#.into(),
            body_tail: "]}".into(),
            messages_digest: digest.finish(),
            ..RequestStarted::default()
        };
        self.emit(Vec::new(), vec![row.into()]).await;
        self.sent.insert((self.id, self.last.request), messages.clone());
        self.before = messages;
        self.last.request
    }

    async fn step(&mut self, calls: u32) {
        let request = self.ask().await;
        let text = self.word();
        let mut bodies = vec![AssistantText { request, text, interrupted: false }.into()];
        for index in 0..calls {
            self.last.call += 1;
            self.open_calls.push(self.last.call);
            bodies.push(Body::ToolCall(ToolCall {
                request,
                call: self.last.call,
                // Servers repeat ids.
                id: format!("call_{index}"),
                name: "shell".into(),
                arguments: "{}".into(),
                malformed: None,
                freeform: false,
                signature: None,
            }));
        }
        let end = RequestFinished { request, attempt: 1, ..RequestFinished::default() };
        self.emit(bodies, vec![end.into()]).await;
    }

    async fn answer(&mut self, status: CallStatus) {
        let shown = self.word();
        let call = self.open_calls.remove(0);
        self.emit(vec![Observation { shown, ..observation(call, status) }.into()], Vec::new())
            .await;
    }

    async fn end_round(&mut self) {
        while !self.open_calls.is_empty() {
            self.answer(CallStatus::Cancelled).await;
        }
        if std::mem::take(&mut self.in_round) {
            let round = RoundEnded { ended: Ended::Completed, usage: Usage::default() };
            self.emit(vec![round.into()], Vec::new()).await;
        }
    }

    /// The process is another one from here on: what it makes of the file is what this one knows.
    fn come_back(&mut self) {
        drop(self.recorder.take());
        let Resumed { recorder, events, last } = Recorder::resume(self.home, self.id).unwrap();
        let events: Vec<Event> = events.into_iter().map(Recorded::into_inner).collect();
        assert_eq!(events[..self.events.len()], self.events, "what was acknowledged is there");
        events[self.events.len()..].iter().for_each(|event| self.live.apply(event));
        let points = Archive::open(self.home, self.id).unwrap().request_points().unwrap();
        let again = Transcript::fold(&events, &points);
        assert_eq!(again.turns(), self.live.turns());
        assert_eq!(upcoming(&again), upcoming(&self.live));
        (self.recorder, self.events, self.last) = (Some(recorder), events, last);
        self.open_calls.clear();
        self.in_round = false;
    }

    /// Goes on with a copy of the events up to a place, if they can be shared.
    fn go_on_with_a_fork(&mut self, pick: Option<usize>) {
        let at = pick.map(|pick| (pick % self.events.len()) as u64);
        drop(self.recorder.take());
        let Ok(forked) = fork(self.home, self.id, at) else { return self.come_back() };
        let archive = sound(self.home, forked);
        let (events, points) = (events(&archive), archive.request_points().unwrap());
        let shared = at.map_or(&self.events[..], |at| &self.events[..=at as usize]);
        let before = upcoming(&Transcript::fold(shared, &points));
        let after = Transcript::fold(&events, &points);
        assert_eq!(upcoming(&after), before, "a fork goes on from what the original knew");
        // A request that was sent at that very place tells what the original would have sent.
        let original = Archive::open(self.home, self.id).unwrap().request_points().unwrap();
        let here = original.iter().find(|point| Some(point.head_seq) == at);
        if let Some(sent) = here.and_then(|here| self.sent.get(&(self.id, here.request))) {
            assert_eq!(before, *sent);
        }
        drop(archive);
        self.sessions.push(forked);
        (self.id, self.events, self.live) = (forked, events, after);
        self.before.clear();
        self.come_back();
    }

    async fn live(&mut self, happens: Happens) {
        match happens {
            Happens::Prompt => {
                self.end_round().await;
                self.last.round += 1;
                self.in_round = true;
                let prompt = Prompt { text: self.word(), ..Prompt::default() };
                self.emit(vec![prompt.into()], Vec::new()).await;
            }
            Happens::Steer => {
                let text = self.word();
                self.emit(vec![Steering { text }.into()], Vec::new()).await;
            }
            Happens::Step(calls) if self.in_round && self.open_calls.is_empty() => {
                self.step(calls).await;
            }
            Happens::Observe(status) if !self.open_calls.is_empty() => self.answer(status).await,
            Happens::EndRound => self.end_round().await,
            Happens::Shorten(pick) if self.last.call > 0 => {
                let call = 1 + pick as u32 % self.last.call;
                let observations = vec![ShortenedObservation { call, shown: self.word() }];
                let edit = ContextEdit { observations, reason: "budget".into() };
                self.emit(vec![edit.into()], Vec::new()).await;
            }
            Happens::Compact(pick) if self.open_calls.is_empty() => {
                let through_seq = (pick % self.events.len()) as u64;
                let compaction = Compaction { through_seq, summary: self.word(), request: None };
                self.emit(vec![compaction.into()], Vec::new()).await;
            }
            Happens::Rewind(pick) if !self.in_round => {
                let is_prompt = |event: &&Event| matches!(event.body, Body::Prompt(_));
                let prompts: Vec<u64> =
                    self.events.iter().filter(is_prompt).map(|event| event.seq).collect();
                if !prompts.is_empty() {
                    let to_seq = prompts[pick % prompts.len()] - 1;
                    self.emit(vec![Rewind { to_seq }.into()], Vec::new()).await;
                }
            }
            Happens::Crash => self.come_back(),
            Happens::CrashInReply if self.in_round && self.open_calls.is_empty() => {
                let request = self.ask().await;
                let text = self.word();
                let recorder = self.recorder.as_ref().unwrap();
                recorder.draft(&Progress::Text { request, text }).await.unwrap();
                self.come_back();
            }
            Happens::Close => {
                self.end_round().await;
                let ended = SessionEnded { ended: Ended::Completed };
                self.emit(vec![ended.into()], Vec::new()).await;
                self.come_back();
            }
            Happens::Fork(pick) => self.go_on_with_a_fork(pick),
            _ => {}
        }
    }

    /// The invariants, over all files that are left.
    fn judge(mut self) {
        drop(self.recorder.take());
        let mut trained = HashSet::new();
        for id in self.sessions {
            recover(self.home, id).unwrap();
            assert!(!recover(self.home, id).unwrap(), "recovered twice");
            let archive = sound(self.home, id);
            let (events, points) = (events(&archive), archive.request_points().unwrap());
            for ((_, request), messages) in self.sent.iter().filter(|((of, _), _)| *of == id) {
                let body = archive.request_body(*request, 1).unwrap();
                let sent = format!("{{\"messages\":[{}]}}", messages.join(","));
                assert_eq!(String::from_utf8(body).unwrap(), sent);
            }
            for sample in samples(&events, &points) {
                for (place, message) in sample.messages.iter().enumerate() {
                    if !message.is_trained() {
                        continue;
                    }
                    let before: Vec<String> =
                        sample.messages[..place].iter().map(|it| it.message.to_json()).collect();
                    assert_eq!(before, self.sent[&(id, message.request.unwrap())]);
                    let said = message.message.to_json();
                    assert!(trained.insert(said.clone()), "trained twice: {said}");
                }
            }
        }
    }
}

/// What would be sent if it were asked now.
fn upcoming(transcript: &Transcript) -> Vec<String> {
    let sendable = transcript.upcoming().filter(|turn| turn.message.is_sendable());
    sendable.map(|turn| turn.message.to_json()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever happens, and however often the process dies or the session is forked: what was
    /// acknowledged is there, the model is sent what it would have been sent without the break,
    /// every file verifies, every request can be rebuilt, what is trained follows what was sent, and
    /// nothing is trained twice.
    #[test]
    fn every_life_of_a_session_is_whole(lives in prop::collection::vec(happens(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_folder, home) = home_in_memory();
        runtime.block_on(async {
            let mut life = Life::begin(&home).await;
            for happens in lives {
                life.live(happens).await;
            }
            life.judge();
        });
    }
}
