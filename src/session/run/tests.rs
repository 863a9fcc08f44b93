//! Whatever a server does and whenever the user interrupts, the log is whole: it verifies, it
//! folds, nothing is said twice, and what was asked again was asked in the same words.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mock_server::{MockServer, Reply, Scenario};
use model::{EndpointConfig, EndpointModel, Model, RetryPolicy};
use proptest::prelude::*;
use record::{Archive, Home};
use sandbox::Sandbox;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use toolbox::Toolbox;
use trajectory::{Body, Transcript, samples};

use crate::tests::options_with;
use crate::{Command, Notice, Session};

/// What the model says.
#[derive(Clone, Copy, Debug)]
enum Says {
    Text,
    Thought,
    Call,
    TwoCalls,
    BadArguments,
    UnknownTool,
}

/// What becomes of it on the way.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Cut(usize),
    NoFinish,
    Reset,
    Status(u16),
    BadLine,
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        1 => Just(Says::Text),
        1 => Just(Says::Thought),
        3 => Just(Says::Call),
        1 => Just(Says::TwoCalls),
        1 => Just(Says::BadArguments),
        1 => Just(Says::UnknownTool),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => (0usize..5).prop_map(Fault::Cut),
        1 => Just(Fault::NoFinish),
        1 => Just(Fault::Reset),
        1 => prop_oneof![Just(500), Just(503), Just(429), Just(400)].prop_map(Fault::Status),
        1 => Just(Fault::BadLine),
    ]
}

fn reply(number: usize, says: Says, fault: Fault) -> Reply {
    let text = format!("Answer {number}, in some words.");
    let reply = Reply::new();
    let reply = match says {
        Says::Text => reply.then_text(&text),
        Says::Thought => reply.reasoning("A thought.").then_text(&text),
        Says::Call => reply.then_text(&text).call("shell", r#"{"command":"echo seen"}"#),
        Says::TwoCalls => {
            reply.call("list", "{}").call("shell", r#"{"command":"printf 'a\r\nb'; exit 3"}"#)
        }
        Says::BadArguments => reply.call("shell", r#"{"command": 'ls'}"#),
        Says::UnknownTool => reply.call("telepathy", "{}"),
    };
    match fault {
        Fault::None => reply,
        Fault::Cut(events) => reply.cut_after(events),
        Fault::NoFinish => reply.without_finish(),
        Fault::Reset => Reply::reset(),
        Fault::Status(status) => Reply::status(status, &[], "{\"error\":{\"message\":\"no\"}}"),
        Fault::BadLine => Reply::new().raw_event("data: {\"choices\": oops\n\n").then_text(&text),
    }
}

/// Plays it: two prompts, and interruptions after so many notices.
async fn play(folder: &TempDir, script: Vec<(Says, Fault)>, interrupts: Vec<usize>) -> Archive {
    let home = Home::open(&folder.path().join("home")).unwrap();
    let workspace = folder.path().join("workspace");
    std::fs::create_dir_all(&workspace).unwrap();
    let server = MockServer::start(Scenario::generate(move |number, _| match script.get(number) {
        Some((says, fault)) => reply(number, *says, *fault),
        None => Reply::text("The end."),
    }))
    .unwrap();
    let model = EndpointModel::new(EndpointConfig::new(&server.url(), "m")).unwrap();
    let mut options = options_with(&home, &workspace, Model::from(model));
    let wait = Duration::from_micros(50);
    options.retry = RetryPolicy { attempts_max: 3, base: wait, cap: wait };
    // What waits for one can be interrupted, too.
    options.checkpoints = true;
    options.toolbox =
        Arc::new(Toolbox::open(&workspace, Sandbox::off(), &toolbox::Setup::default()).unwrap());
    let session = Session::start(options).await.unwrap();
    let id = session.id();
    let (commands, commands_end) = mpsc::channel(64);
    let (notices_end, mut notices) = mpsc::channel(4);
    let running = tokio::spawn(session.run(commands_end, notices_end));
    let prompt = |text: &str| Command::Submit { text: text.into(), attached: Vec::new() };
    commands.send(prompt("first")).await.unwrap();
    let (mut seen, mut rounds) = (0, 0);
    while let Some(notice) = notices.recv().await {
        seen += 1;
        if interrupts.contains(&seen) {
            // A session that has closed is not interrupted.
            let _ = commands.send(Command::Interrupt).await;
        }
        if let Notice::RoundOver(_) = notice {
            rounds += 1;
            let next = if rounds == 1 { prompt("second") } else { Command::Close };
            // A session that has closed needs no command.
            let _ = commands.send(next).await;
        }
    }
    running.await.unwrap().unwrap();
    Archive::open(&home, id).unwrap()
}

fn check(archive: &Archive) {
    assert!(archive.verify().unwrap().is_empty());
    let events: Vec<_> =
        archive.events().unwrap().into_iter().map(trajectory::Recorded::into_inner).collect();
    let points = archive.request_points().unwrap();
    let transcript = Transcript::fold(&events, &points);
    assert!(transcript.unanswered_calls().is_empty());
    // Every word of a whole reply is there once, however often it was asked for.
    let mut said: HashMap<&str, usize> = HashMap::new();
    for event in &events {
        if let Body::Message(message) = &event.body
            && !message.interrupted
        {
            *said.entry(&message.text).or_default() += 1;
        }
    }
    assert!(said.iter().all(|(text, times)| *times == 1 || *text == "The end."), "{said:?}");
    let requests = archive.requests().unwrap();
    for request in &requests {
        let body = archive.request_body(request.request, request.attempt).unwrap();
        let first = archive.request_body(request.request, 1).unwrap();
        assert!(body == first, "request {} changed when it was asked again", request.request);
        assert!(request.end.is_some(), "request {} has no end", request.request);
    }
    // What stands before a trained message is what was sent in the request that it answers.
    for sample in samples(&events, &points) {
        for (place, message) in sample.messages.iter().enumerate() {
            let Some(request) = message.request.filter(|_| message.is_trained()) else { continue };
            let body = archive.request_body(request, 1).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let before: Vec<Value> = sample.messages[..place]
                .iter()
                .map(|message| serde_json::from_str(&message.message.to_json()).unwrap())
                .collect();
            assert_eq!(body["messages"], Value::from(before), "request {request}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_interleaving_of_faults_and_interrupts_leaves_a_log_that_folds(
        script in prop::collection::vec((says(), fault()), 0..10),
        interrupts in prop::collection::vec(1usize..60, 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let archive = runtime.block_on(play(&folder, script, interrupts));
        check(&archive);
    }
}
