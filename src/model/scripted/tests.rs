use serde_json::json;
use trajectory::Progress;
use trajectory::event::{AssistantText, Body, CallStatus, Observation, ReasoningField, ToolCall};

use super::*;
use crate::reply::{Part, Reply};
use crate::tests::{ask, prompt, reasoning, text, transcript};
use crate::{Dialect, Failure, Model, parse};

const SCRIPT: &str = r#"
format = "limn-script"
version = 1
title = "A file"
about = "Scripted by hand: no model produced this."

[[rounds]]
prompt = "Write a file."

[[rounds.turns]]
reasoning = "They want a file, and a file they shall have."
text = "I write it."
[[rounds.turns.calls]]
name = "write"
[rounds.turns.calls.arguments]
path = "a.txt"
content = '''
one
"two" \ é
'''
append = false
[[rounds.turns.calls]]
name = "list"

[[rounds.turns]]
expect = ["wrote a.txt", "a.txt  9"]
text = "It is written."

[[rounds]]
prompt = "Thanks."
[[rounds.turns]]
text = "You are welcome."
"#;

fn model() -> Model {
    ScriptedModel::parse("a.toml", SCRIPT).unwrap().into()
}

fn said(words: &str) -> Body {
    Body::Message(AssistantText { request: 1, text: words.into(), interrupted: false })
}

/// The conversation after the first turn, with these observations.
fn after_calls(shown: [&str; 2]) -> Vec<Body> {
    let mut bodies = vec![prompt("Write a file."), said("I write it.")];
    for call in [1, 2] {
        bodies.push(Body::ToolCall(ToolCall {
            request: 1,
            call,
            id: format!("call_{call}"),
            name: "write".into(),
            arguments: "{}".into(),
            malformed: None,
            freeform: false,
            signature: None,
        }));
    }
    for (call, shown) in [1, 2].into_iter().zip(shown) {
        bodies.push(Body::Observation(observation(call, shown)));
    }
    bodies
}

fn observation(call: u32, shown: &str) -> Observation {
    Observation {
        call,
        exec: None,
        status: CallStatus::Ok,
        shown: shown.into(),
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 0,
    }
}

async fn answer(bodies: Vec<Body>) -> Result<Reply, Failure> {
    let model = model();
    ask(&model, &model.encode(2, &transcript(bodies), &|_| None)).await.0
}

#[tokio::test]
async fn a_turn_is_streamed_as_a_server_would() {
    let model = model();
    let request = model.encode(1, &transcript([prompt("Write a file.")]), &|_| None);
    let (reply, pieces) = ask(&model, &request).await;
    let reply = reply.unwrap();
    let arguments = r#"{"path":"a.txt","content":"one\n\"two\" \\ é\n","append":false}"#;
    let call = |id: &str, name: &str, arguments: &str| Part::tool_call(id, name, arguments);
    let expected = [
        reasoning("They want a file, and a file they shall have."),
        text("I write it."),
        call("call_r1t1c1", "write", arguments),
        call("call_r1t1c2", "list", "{}"),
    ];
    assert_eq!(reply.parts, expected);
    assert_eq!((reply.http_status, reply.usage), (None, None));
    assert!(pieces.len() > 8, "{pieces:?}");
    let first = Progress::Reasoning {
        request: 1,
        field: ReasoningField::ReasoningContent,
        text: "They want a ".into(),
    };
    assert_eq!(pieces[0], first);
    assert_eq!(parse(1, Dialect::default(), &reply.raw).unwrap().parts, reply.parts);
}

#[tokio::test]
async fn what_is_expected_must_have_been_observed() {
    let reply = answer(after_calls(["wrote a.txt", "a.txt  9 bytes"])).await.unwrap();
    assert_eq!(reply.parts, [text("It is written.")]);
    assert_eq!(reply.finish_reason.as_deref(), Some("stop"));
    let failure = answer(after_calls(["wrote a.txt", "nothing\nhere"])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unscripted);
    for word in ["a.toml", "round 1, turn 2", "a.txt  9", "nothing here"] {
        assert!(failure.message.contains(word), "{word}: {failure}");
    }
}

#[tokio::test]
async fn the_place_is_read_from_the_conversation() {
    let mut bodies = after_calls(["wrote a.txt", "a.txt  9"]);
    bodies.push(Body::Message(AssistantText {
        request: 2,
        text: "It is written.".into(),
        interrupted: false,
    }));
    // The prompt of the script, any other prompt, and no prompt at all.
    let with = |last: &str| bodies.iter().cloned().chain([prompt(last)]).collect::<Vec<_>>();
    for last in ["Thanks.", " Thanks.\n", "Something else."] {
        assert_eq!(answer(with(last)).await.unwrap().parts, [text("You are welcome.")], "{last}");
    }
    let failure = answer(bodies.clone()).await.unwrap_err();
    assert!(failure.message.contains("round 1, turn 3"), "{failure}");
    // A prompt that is not the script's own begins it all the same.
    assert!(answer(vec![prompt("whatever")]).await.is_ok());
    // The second round asked for first.
    let reply = answer(vec![prompt("Thanks.")]).await.unwrap();
    assert_eq!(reply.parts, [text("You are welcome.")]);
}

#[test]
fn the_script_tells_of_itself() {
    let script = ScriptedModel::parse("a.toml", SCRIPT).unwrap();
    assert_eq!(
        (script.title(), script.about()),
        ("A file", "Scripted by hand: no model produced this.",)
    );
    let model = Model::from(script);
    assert_eq!(model.prompts().collect::<Vec<_>>(), ["Write a file.", "Thanks."]);
    let description = model.description();
    assert_eq!((description.model.as_str(), description.provider.as_str()), (NAME, NAME));
    assert_eq!(description.params, json!({}));
}

#[test]
fn a_script_with_a_fault_names_the_line() {
    for (from, to, word) in [
        ("version = 1", "version = 2", "version 2"),
        ("limn-script", "other", "format"),
        ("title = \"A file\"", "titel = \"A file\"", "a.toml:4: unknown field `titel`"),
        ("name = \"list\"", "nam = \"list\"", "nam"),
        ("prompt = \"Thanks.\"", "prompt = 7", "a.toml:30: "),
        ("text = \"It is written.\"", "", "round 1, turn 2: no text and no calls"),
        ("text = \"I write it.\"", "text = ", "a.toml:12: "),
        ("[[rounds.turns.calls]]\nname = \"list\"", "[[rounds.turns]]\ntext = \"x\"", "turn 2"),
        ("text = \"You are welcome.\"", "[[rounds.turns.calls]]\nname = \"x\"", "last turn"),
    ] {
        assert!(SCRIPT.contains(from), "{from}");
        let broken = SCRIPT.replacen(from, to, 1);
        let error = ScriptedModel::parse("a.toml", &broken).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
        assert!(error.contains("a.toml"), "{error}");
    }
}

#[test]
fn a_script_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let missing = ScriptedModel::open(&path).unwrap_err().to_string();
    assert!(missing.contains("s.toml"), "{missing}");
    std::fs::write(&path, SCRIPT).unwrap();
    assert_eq!(ScriptedModel::open(&path).unwrap().title(), "A file");
}

#[tokio::test]
async fn a_delay_is_kept_between_the_pieces() {
    let script = SCRIPT.replacen("version = 1", "version = 1\ndelay_ms = 1", 1);
    let model = Model::from(ScriptedModel::parse("a.toml", &script).unwrap());
    let request = model.encode(1, &transcript([prompt("Thanks.")]), &|_| None);
    assert_eq!(ask(&model, &request).await.0.unwrap().parts, [text("You are welcome.")]);
}
