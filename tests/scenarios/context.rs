//! A conversation that is far larger than the model's window.

use mock_server::{MockServer, RecordedRequest, Reply, Scenario};
use serde_json::{Value, json};
use trajectory::Body;

use crate::world::World;

const WINDOW: usize = 24_000;
const INTENT: &str = "Port the date parser to Rust; leave vendor/ alone; the release is on Friday.";
const STEERED: &str = "And keep every error message as it is.";

/// A model that works for a long time: it plans, reads, writes, and prints a lot.
fn works(steps: usize) -> MockServer {
    let answer = move |_: usize, request: &RecordedRequest| {
        let counted = json!({"prompt_tokens": tokens(request), "completion_tokens": 100});
        reply(steps, request).usage(counted)
    };
    MockServer::start(Scenario::generate(answer)).unwrap()
}

fn reply(steps: usize, request: &RecordedRequest) -> Reply {
    // How far it is, it sees from its own words, as a model would.
    let body = request.json().to_string();
    let step = (0..=steps).rev().find(|step| body.contains(&format!("step-{step}-")));
    if request.messages().last().unwrap().to_string().contains("Write the summary") {
        let step = step.unwrap_or(0);
        return Reply::text(&format!(
            "The lexer is ported, the grammar is not; test 7 fails; done up to step-{step}-."
        ));
    }
    match step {
        None => plan(),
        Some(step) if step >= steps => Reply::text("Everything is ported."),
        Some(step) => work(step + 1),
    }
}

fn plan() -> Reply {
    let items = json!({"items": [
        {"text": "read the parser", "status": "completed"},
        {"text": "port the grammar", "status": "in_progress"},
    ]});
    Reply::new()
        .call("plan", &items.to_string())
        .call("write", &json!({"file_path": "src/date.rs", "content": "// step-0-\n"}).to_string())
}

/// About 6,000 tokens of output a step.
fn work(step: usize) -> Reply {
    let command = format!("echo step-{step}-; seq -f 'line %g of a long output' 1 1000");
    Reply::new()
        .reasoning(&format!("Now step-{step}- of many. {}", thought(step)))
        .call("shell", &json!({ "command": command }).to_string())
}

/// Words of the model cannot be shortened, only summarised.
fn thought(step: usize) -> String {
    (0..60).map(|line| format!("Line {line} of thought {step} is one of its own. ")).collect()
}

fn tokens(request: &RecordedRequest) -> usize {
    request.json().to_string().len() * 2 / 7
}

#[test]
fn intent_plan_and_files_survive_300_000_tokens() {
    let world = World::new();
    let server = works(70);
    let window = WINDOW.to_string();
    world.write("prompts", &format!("{INTENT}\n"));
    world
        .exec(&server.url(), &["--context-window", &window, &format!("{INTENT} {STEERED}")])
        .succeeds();
    let requests = server.requests();
    for (number, request) in requests.iter().enumerate() {
        let tokens = tokens(request);
        assert!(tokens <= WINDOW, "request {number} has about {tokens} tokens");
    }
    let seen: usize = world.shown().iter().map(String::len).sum();
    assert!(seen * 2 / 7 > 300_000, "only {seen} bytes were seen");
    assert!(!world.bodies("context_edit").is_empty());
    let compactions = world.bodies("compaction");
    assert!(!compactions.is_empty());
    let Some(Body::Compaction(first)) = compactions.first() else { panic!() };
    assert!(first.request.is_some(), "the model was asked for it");
    let last = requests.last().unwrap().json().to_string();
    for kept in [INTENT, STEERED, "[>] port the grammar", "src/date.rs", "test 7 fails"] {
        assert!(last.contains(kept), "{kept:?} is not in the last request");
    }
    world.assert_sound();
    exported(&world, compactions.len());
}

/// Each sample is what was prompted, cut where the context was changed; no summary is trained.
fn exported(world: &World, compactions: usize) {
    let out = world.path("out");
    world
        .limn(&[
            "export",
            "--format",
            "messages",
            "--status",
            "all",
            "--out",
            out.to_str().unwrap(),
        ])
        .succeeds();
    let rows = std::fs::read_to_string(out.join("messages.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > compactions, "{} rows", rows.len());
    for row in rows {
        let text = row.to_string();
        assert!(!text.contains("Write the summary"), "the request for a summary is no sample");
    }
}

#[test]
fn a_server_that_says_the_context_is_too_large_teaches_the_window() {
    let world = World::new();
    let refusal = r#"{"error":{"message":"This model's maximum context length is 9000 tokens. However, you requested 12000 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
    let server = MockServer::start(Scenario::generate(move |_, request| {
        let messages = request.messages();
        let is_summary = messages
            .last()
            .is_some_and(|message| message.to_string().contains("Write the summary"));
        match tokens(request) {
            _ if is_summary => Reply::text("It printed numbers."),
            0..9_000 if messages.len() > 3 => Reply::text("Done."),
            0..9_000 => work(1).call("shell", r#"{"command":"seq 1 5000"}"#),
            _ => Reply::status(400, &[], refusal),
        }
    }))
    .unwrap();
    world.exec(&server.url(), &["go"]).succeeds();
    let errors = world.bodies("error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(format!("{errors:?}").contains("9000"), "{errors:?}");
    assert!(!world.bodies("compaction").is_empty());
    world.assert_sound();
}

#[test]
fn instructions_of_the_workspace_are_in_the_prompt_and_on_record() {
    let world = World::new();
    world.write("work/AGENTS.md", "Always answer in verse.\n");
    let server =
        MockServer::start(Scenario::replies([Reply::text("Roses."), Reply::text("Red.")])).unwrap();
    world.exec(&server.url(), &["go"]).succeeds();
    let system = server.requests()[0].messages()[0]["content"].as_str().unwrap().to_owned();
    assert!(system.contains("Always answer in verse."), "{system}");
    // Another text is another frame: it is on record before the next request is sent.
    world.write("work/AGENTS.md", "Prose, please.\n");
    world.exec(&server.url(), &["--resume", "last", "again"]).succeeds();
    let system = server.requests()[1].messages()[0]["content"].as_str().unwrap().to_owned();
    assert!(system.contains("Prose, please.") && !system.contains("verse"), "{system}");
    assert_eq!(world.bodies("config_changed").len(), 2);
}
