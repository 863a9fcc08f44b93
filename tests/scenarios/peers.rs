//! What users of other terminals complain of most, and what happens here instead. (Commands that
//! wait for input are in `jobs`, a conversation that outgrows its window in `context`.)

use mock_server::{Fault, MockServer, Reply, Scenario};
use serde_json::Value;
use trajectory::Body;
use trajectory::event::ReasoningField;

use crate::world::{World, server, shell};

/// Both API forms.
const FORMS: [&str; 2] = ["chat", "responses"];

#[test]
fn a_huge_output_makes_a_small_request_that_hides_neither_error_nor_exit_code() {
    let world = World::new();
    let command = "echo 'error: at the start'; seq 200000; echo 'error: at the end' >&2; exit 3";
    let server = server([shell(command), Reply::text("Seen.")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let request = &server.requests()[1];
    assert!(request.body.len() < 64 << 10, "{} bytes", request.body.len());
    let shown = &world.shown()[0];
    for kept in ["error: at the start", "error: at the end", "[exit code 3]", "lines"] {
        assert!(shown.contains(kept), "{kept:?} is hidden: {shown}");
    }
    let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
    assert!(seen.truncated.is_some_and(|cut| cut.lines_omitted > 190_000), "{:?}", seen.truncated);
    // Nothing of it is lost.
    let whole = world.limn(&["show", "last", "--output", "1"]).succeeds().stdout;
    assert_eq!(whole.lines().count(), 200_002);
    world.assert_sound();
}

#[test]
fn reasoning_under_either_name_is_kept_and_goes_back_under_the_same() {
    let names = [
        ("reasoning_content", ReasoningField::ReasoningContent),
        ("reasoning", ReasoningField::Reasoning),
    ];
    for (name, field) in names {
        let world = World::new();
        let thinks = Reply::new().reasoning_as(name, "I had ").reasoning_as(name, "better look.");
        let calls = thinks.call("shell", r#"{"command":"true"}"#);
        let server = server([calls, Reply::text("Done.")]);
        world.exec(&server.url(), &["go"]).succeeds();
        let Body::Reasoning(kept) = &world.bodies("reasoning")[0] else { panic!() };
        assert_eq!((kept.text.as_str(), kept.field), ("I had better look.", field));
        let messages = server.requests()[1].messages();
        let said = messages.iter().find(|message| message["role"] == "assistant").unwrap();
        assert_eq!(said[name], "I had better look.", "{said}");
        world.assert_sound();
    }
}

#[test]
fn a_call_that_was_cut_refused_and_lost_on_its_way_runs_once() {
    for form in FORMS {
        let world = World::new();
        let call = shell("echo ran >> ran.txt").after([
            // In the middle of its arguments, then of a character of HTTP's own.
            Fault::Cut(2),
            Fault::RetryAfter(429, "0".into()),
            Fault::Wire(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\ndata: ".into(),
            ),
            Fault::Stop(2),
            Fault::Reset,
        ]);
        let server = server([call, Reply::text("It ran.")]);
        let run = world.exec(&server.url(), &["--api", form, "go"]).succeeds();
        assert_eq!(run.stdout, "It ran.\n");
        let ran = std::fs::read_to_string(world.workspace().join("ran.txt")).unwrap();
        assert_eq!(ran, "ran\n", "{form}: {}", run.stderr);
        assert_eq!(world.bodies("tool_call").len(), 1);
        // Each failure is on record, beside the lines that could not be read.
        let of_server = |body: &Body| match body {
            Body::Error(error) => error.message.starts_with("127.0.0.1:"),
            _ => false,
        };
        let failures: Vec<Body> = world.bodies("error").into_iter().filter(of_server).collect();
        assert_eq!(failures.len(), 5, "{form}: {failures:#?}");
        let bodies: Vec<Vec<u8>> = server.requests().into_iter().map(|it| it.body).collect();
        assert!(bodies[..6].iter().all(|body| *body == bodies[0]), "{form}: asked in other words");
        world.assert_sound();
    }
}

#[test]
fn a_server_that_closes_each_connection_costs_no_attempt() {
    for form in FORMS {
        let world = World::new();
        let closing = move |reply: Reply| {
            let body = match form {
                "chat" => reply.to_bytes(0),
                _ => reply.to_responses_bytes(0),
            };
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
            let length = format!("content-length: {}\r\n\r\n", body.len());
            Reply::wire([head.as_slice(), length.as_bytes(), &body].concat())
        };
        let replies = [shell("echo one"), shell("echo two"), Reply::text("Done.")];
        let server = MockServer::start(Scenario::replies(replies.map(closing))).unwrap();
        world.exec(&server.url(), &["--api", form, "go"]).succeeds();
        assert_eq!(server.requests().len(), 3);
        assert!(world.bodies("error").is_empty());
        world.assert_sound();
    }
}

#[test]
fn a_model_that_calls_what_is_not_there_for_ever_is_stopped() {
    let world = World::new();
    let calls = Reply::new().call("telepathy", "{}");
    let server = MockServer::start(Scenario::repeat_last([calls])).unwrap();
    let run = world.exec(&server.url(), &["--json", "go"]).exits(1);
    let result: Value = run.json_lines().pop().unwrap();
    assert_eq!(result["ended"], "limit");
    assert!(server.requests().len() < 60, "{} requests", server.requests().len());
    assert!(world.shown().iter().any(|shown| shown.contains("Repeating it will not help")));
    world.assert_sound();
}
