//! The tokens that a model sampled: asked for where the settings say so, recorded, and trained as
//! they are.

use std::fs;
use std::path::Path;

use chat::Dialect;
use mock_server::{MockServer, RecordedRequest, Reply, Scenario};
use serde_json::Value;

use crate::export::{TOOL_AWARE, export_tokens, ids, lines, model, prompt_of, template};
use crate::world::World;

const CALL: &str =
    "<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"echo hi\"}}\n</tool_call>";

fn dialect() -> Dialect {
    Dialect::open(&model(), Some(&template(TOOL_AWARE))).unwrap()
}

/// A text in the smallest tokens there are: what its tokenizer would choose for no text.
fn sampled(text: &str) -> Vec<u32> {
    let dialect = dialect();
    let of = |c: char| dialect.tokenizer().encode(&c.to_string()).unwrap().ids;
    let mut ids: Vec<u32> = text.chars().flat_map(of).collect();
    ids.extend(dialect.tokenizer().id("<|im_end|>"));
    ids
}

/// A model that says its tokens: a call and an answer. Each is spelled as it is said here.
fn says_tokens(spelled: [&'static str; 2]) -> MockServer {
    let dialect = dialect();
    let answer = move |number: usize, request: &RecordedRequest| {
        let reply = match number {
            0 => Reply::new().call("shell", r#"{"command": "echo hi"}"#),
            _ => Reply::text("It said hi."),
        };
        reply.prompt_ids(prompt_of(&request.json(), &dialect)).token_ids(sampled(spelled[number]))
    };
    MockServer::start(Scenario::generate(answer)).unwrap()
}

/// Settings with this server among the providers.
fn settings(world: &World, server: &MockServer, more: &str) {
    let (url, tokenizer) = (server.url(), model().join("tokenizer.json"));
    world.settings(&format!(
        "model = \"mine/m\"\n[providers.mine]\nbase_url = \"{url}\"\nprofile = \"vllm\"\n\
         tokenizer = \"{}\"\n{more}\n",
        tokenizer.display()
    ));
}

const ASKED_FOR: &str = "quirks = { token_ids = true }";

fn recorded(spelled: [&'static str; 2]) -> (World, MockServer) {
    let (world, server) = (World::new(), says_tokens(spelled));
    settings(&world, &server, ASKED_FOR);
    world.limn(&["exec", "--sandbox", "off", "say hi"]).succeeds();
    (world, server)
}

fn ledger(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("ledger.json")).unwrap()).unwrap()
}

/// The tokens of each reply that is trained, and whether they are said to be as sampled.
fn replies(out: &Path) -> Vec<(Vec<u32>, bool)> {
    let rows = lines(&out.join("tokens.jsonl"));
    let reply = |(row, reply): (&Value, &Value)| {
        let place = ids(reply, "tokens");
        let all = ids(row, "labels");
        let labels = &all[place[0] as usize..place[1] as usize];
        let trained = labels.iter().map(|id| u32::try_from(*id).unwrap()).collect();
        (trained, reply["sampled"] == true)
    };
    let pairs = rows
        .iter()
        .flat_map(|row| row["replies"].as_array().unwrap().iter().map(move |reply| (row, reply)));
    pairs.map(reply).collect()
}

#[test]
fn a_session_is_trained_in_exactly_the_tokens_that_were_sampled() {
    let (world, server) = recorded([CALL, "It said hi."]);
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.json()["return_token_ids"] == true));
    world.assert_sound();
    let out = world.path("out");
    export_tokens(&world, &out, &[]).succeeds();
    let expected = [(sampled(CALL), true), (sampled("It said hi."), true)];
    assert_eq!(replies(&out), expected);
    // The tokenizer would have chosen others: this fails wherever a reply's text is cut again.
    let dialect = dialect();
    assert!(dialect.tokenizer().encode(CALL).unwrap().ids.len() < sampled(CALL).len() / 2);
    let ledger = ledger(&out);
    assert_eq!(ledger["kept"]["replies_as_sampled"], 2);
    // The second prompt held the call as the tokenizer cuts it.
    assert_eq!(ledger["lost"]["prompts_in_other_tokens"]["count"], 1, "{ledger}");
    // A row for each reply stands on the prompt that the model read, token for token.
    let rows = lines(&out.join("tokens.jsonl"));
    let first = ids(&rows[0]["replies"][0], "tokens")[0] as usize;
    let prompt = prompt_of(&requests[0].json(), &dialect);
    let row: Vec<u32> = ids(&rows[0], "input_ids").iter().map(|id| *id as u32).collect();
    assert_eq!(row[..first], prompt[..]);
}

#[test]
fn what_the_server_said_is_on_record_byte_for_byte_and_compact() {
    let (world, server) = recorded([CALL, "It said hi."]);
    let dialect = dialect();
    for (number, request) in server.requests().iter().enumerate() {
        let number = (number + 1).to_string();
        let raw = world.limn(&["show", "last", "--response", &number]).succeeds().stdout;
        let prompt = serde_json::to_string(&prompt_of(&request.json(), &dialect)).unwrap();
        assert!(raw.contains(&format!("\"prompt_token_ids\":{prompt}")), "{raw}");
    }
    let mut read = Vec::new();
    world.archive().reply_tokens(&mut |tokens| read.push(tokens)).unwrap();
    let prompts: Vec<_> = read.iter().map(|tokens| tokens.prompt.clone().unwrap()).collect();
    let sent: Vec<_> =
        server.requests().iter().map(|request| prompt_of(&request.json(), &dialect)).collect();
    assert_eq!(prompts, sent);
    assert_eq!(read[1].sampled, sampled("It said hi."));
    assert_eq!(read[0].tokenizer.as_deref(), Some(dialect.tokenizer().hash()));
    // Of the second prompt only what is new is kept.
    let events = world.bodies("sampled");
    let trajectory::Body::Sampled(second) = &events[1] else { panic!("{events:?}") };
    assert!(second.kept as usize >= sent[0].len(), "{second:?}");
}

#[test]
fn a_bundle_carries_the_tokens() {
    let (world, _server) = recorded([CALL, "It said hi."]);
    let bundles = world.path("bundles");
    let out = bundles.to_str().unwrap();
    let args = ["export", "--format", "bundle", "--status", "all", "--out", out];
    world.limn(&args).succeeds();
    let bundle = fs::read_dir(&bundles).unwrap().flatten().map(|entry| entry.path());
    let bundle = bundle.into_iter().find(|path| path.extension().is_some_and(|it| it == "limn"));
    let other = World::new();
    other.limn(&["import", "bundle", bundle.unwrap().to_str().unwrap()]).succeeds();
    let (here, there) = (world.path("here"), other.path("there"));
    export_tokens(&world, &here, &[]).succeeds();
    export_tokens(&other, &there, &[]).succeeds();
    assert_eq!(replies(&here), replies(&there));
    assert_eq!(ledger(&there)["kept"]["replies_as_sampled"], 2);
}

#[test]
fn a_fork_goes_on_with_tokens_of_its_own() {
    let (world, _server) = recorded([CALL, "It said hi."]);
    world.limn(&["fork", "last"]).succeeds();
    let server = says_tokens(["Once more.", "It said hi."]);
    settings(&world, &server, ASKED_FOR);
    world.limn(&["exec", "--sandbox", "off", "--resume", "last", "again"]).succeeds();
    world.assert_sound();
    let mut read = Vec::new();
    world.archive().reply_tokens(&mut |tokens| read.push(tokens)).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].prompt, Some(prompt_of(&server.requests()[0].json(), &dialect())));
}

#[test]
fn a_reply_that_the_template_spells_otherwise_is_cut_from_its_text_and_counted() {
    let other =
        "<tool_call>\n{\"name\":\"shell\",\"arguments\":{\"command\":\"echo hi\"}}\n</tool_call>";
    let (world, _server) = recorded([other, "It said hi."]);
    let out = world.path("out");
    export_tokens(&world, &out, &[]).succeeds();
    let [first, second] = <[_; 2]>::try_from(replies(&out)).unwrap();
    assert!(!first.1 && second.1);
    let dialect = dialect();
    assert_eq!(dialect.tokenizer().decode(&first.0).unwrap(), format!("{CALL}<|im_end|>"));
    let ledger = ledger(&out);
    assert_eq!(ledger["kept"]["replies_as_sampled"], 1);
    assert_eq!(ledger["lost"]["replies_the_template_spells"]["count"], 1);
}

#[test]
fn a_server_is_asked_for_tokens_only_where_the_settings_say_so() {
    let (world, server) = (World::new(), says_tokens([CALL, "It said hi."]));
    settings(&world, &server, "");
    world.limn(&["exec", "--sandbox", "off", "say hi"]).succeeds();
    let asked = |request: &RecordedRequest| request.json().get("return_token_ids").is_some();
    assert!(!server.requests().iter().any(asked));
    // One that says them unasked is heard all the same.
    assert_eq!(world.bodies("sampled").len(), 2);
}
