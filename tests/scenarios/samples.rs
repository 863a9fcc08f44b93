//! What is trained of a session, whatever happened in it: recorded by the program, exported as
//! messages and as tokens, whole and by rounds. Each story says what is trained, and whatever it
//! is: before every trained token stands the request that was sent, nothing is trained twice, and
//! all four exports agree.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use chat::{Dialect, Wanted};
use mock_server::{MockServer, Reply, Scenario};
use record::Archive;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use trajectory::Body;

use crate::export::{TOOL_AWARE, ids, lines, model, prompt, template};
use crate::stage::{CTRL_D, ENTER, Terminal};
use crate::world::{PATIENCE, World, server, shell};

/// A reply of which something is trained.
#[derive(Debug, PartialEq)]
struct Trained {
    /// The text of what is trained.
    text: String,
    /// That is all of the reply, up to where the model stopped.
    whole: bool,
}

/// What is trained of all sessions of a world, once it is found to be the same in all exports.
#[track_caller]
fn check(world: &World, expected: &[&str]) {
    let all = exports(world);
    let texts: Vec<&str> = all.iter().map(|reply| reply.text.as_str()).collect();
    assert_eq!(texts, expected);
}

#[track_caller]
fn exports(world: &World) -> Vec<Trained> {
    let dialect = Dialect::open(&model(), Some(&template(TOOL_AWARE))).unwrap();
    let [whole, rounds] = ["trajectory", "round"].map(|rows| {
        let as_tokens = by_tokens(world, &dialect, rows);
        let whole = as_tokens.iter().filter(|reply| reply.whole).map(|reply| &reply.text);
        let as_messages = by_messages(world, &dialect, rows);
        // A message is trained when all of its parts are, and then the tokens are the same.
        assert_eq!(as_messages, whole.cloned().collect::<Vec<String>>(), "by {rows}");
        as_tokens
    });
    assert_eq!(whole, rounds);
    whole
}

/// Exports everything, whatever the gates say, and gives the rows.
fn export(world: &World, name: &str, args: &[&str]) -> Vec<Value> {
    let number = fs::read_dir(world.path("")).unwrap().count();
    let out = world.path(&format!("{name}{number}"));
    let waive = ["unfinished", "loops", "refused", "duplicates"]
        .map(|gate| ["--waive".to_owned(), format!("{gate}=a story")]);
    let waive: Vec<&str> = waive.iter().flatten().map(String::as_str).collect();
    let common = ["export", "--status", "all", "--format", name, "--out", out.to_str().unwrap()];
    world.limn(&[&common[..], &waive, args].concat()).succeeds();
    world.limn(&["dataset", "verify", out.to_str().unwrap()]).succeeds();
    lines(&out.join(format!("{name}.jsonl")))
}

/// What the tokens train; the prompt of each reply is the request that was sent.
#[track_caller]
fn by_tokens(world: &World, dialect: &Dialect, rows: &str) -> Vec<Trained> {
    let (model, template) = (model(), template(TOOL_AWARE));
    let args = ["--tokenizer", model.to_str().unwrap(), "--template", template.to_str().unwrap()];
    let mut trained = Vec::new();
    for row in export(world, "tokens", &[&args[..], &["--rows", rows]].concat()) {
        let id = row["session"].as_str().unwrap().parse().unwrap();
        let archive = Archive::open(&world.home(), id).unwrap();
        let (input, labels) = (ids(&row, "input_ids"), ids(&row, "labels"));
        let mut outside = labels.clone();
        for reply in row["replies"].as_array().unwrap() {
            let place = ids(reply, "tokens");
            let (from, to) = (place[0] as usize, place[1] as usize);
            let request = reply["request"].as_u64().unwrap() as u32;
            let sent = prompt(&archive, dialect, request);
            assert!(input[..from] == sent, "request {request} of {id} is not what was sent");
            outside[from..to].fill(-100);
            let kept = labels[from..to].iter().filter(|label| **label >= 0);
            let kept: Vec<u32> = kept.map(|label| *label as u32).collect();
            let text = dialect.tokenizer().decode(&kept).unwrap();
            trained.push(Trained { text, whole: kept.len() == to - from });
        }
        assert!(outside.iter().all(|label| *label < 0), "something is trained that is no reply");
    }
    trained
}

/// What the messages train, as tokens: of each row, the replies that are marked.
fn by_messages(world: &World, dialect: &Dialect, rows: &str) -> Vec<String> {
    let mut trained = Vec::new();
    for row in export(world, "messages", &["--rows", rows]) {
        let list = |key: &str| row[key].as_array().unwrap().clone();
        let (messages, marks) = (list("messages"), list("train"));
        let wanted = |(message, mark): (&Value, &Value)| {
            assert!(*mark == false || message["role"] == "assistant", "{message}");
            if *mark == true { Wanted::Everything } else { Wanted::Nothing }
        };
        let wanted: Vec<Wanted> = messages.iter().zip(&marks).map(wanted).collect();
        let masked = dialect.mask(&messages, &list("tools"), &wanted, 0).unwrap();
        for reply in &masked.replies {
            let ids = &masked.ids[reply.tokens.clone()];
            trained.push(dialect.tokenizer().decode(ids).unwrap());
        }
    }
    trained
}

/// A call as the template writes it.
fn call(name: &str, arguments: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
}

const END: &str = "<|im_end|>";

/// A prompt that is interrupted once the store holds what the model or the tool has given so far.
fn interrupted(world: &World, server: &MockServer, is_begun: impl Fn(&Archive) -> bool) {
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let home = world.home();
    while !home.find("last").and_then(|id| Archive::open(&home, id)).is_ok_and(|it| is_begun(&it)) {
        assert!(began.elapsed() < PATIENCE, "it never began");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reply_that_was_cut_short_is_context() {
    let world = World::new();
    let half = Reply::new().reasoning("A thought.").text_deltas(["Half of ", "an answer", "."]);
    let server = server([half.hang_after(4), Reply::text("All of it.")]);
    interrupted(&world, &server, |archive| {
        let drafts = archive.drafts().unwrap_or_default();
        drafts.iter().any(|draft| draft.text.contains("answer"))
    });
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    let sent = server.requests()[1].messages();
    assert!(sent[2]["content"].as_str().unwrap().starts_with("Half of an answer"), "{sent:?}");
    check(&world, &[&format!("All of it.{END}")]);
}

#[test]
fn of_a_call_that_was_cut_short_the_thought_before_it_is_trained() {
    let world = World::new();
    let waits = shell("echo begun; sleep 1000").reasoning("I wait.");
    let server = server([waits, Reply::text("I waited.")]);
    interrupted(&world, &server, |archive| {
        archive.output(1, &mut std::io::sink()).is_ok_and(|length| length > 0)
    });
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    check(&world, &["<think>\nI wait.\n</think>\n\n", &format!("I waited.{END}")]);
}

#[test]
fn malformed_arguments_are_context_and_what_stands_before_them_is_trained() {
    let world = World::new();
    let server = server([
        Reply::new()
            .reasoning("Two.")
            .call("shell", r#"{"command": "true"}"#)
            .call("shell", r#"{"command": "tr"#),
        // Nothing but a broken call: nothing to train.
        Reply::new().call("read", "[]"),
        Reply::text("Done."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let good = call("shell", r#"{"command": "true"}"#);
    check(&world, &[&format!("<think>\nTwo.\n</think>\n\n{good}"), &format!("Done.{END}")]);
}

#[test]
fn a_denied_call_is_context_and_the_one_beside_it_is_trained() {
    let world = World::new();
    let server = server([
        Reply::new()
            .then_text("I look, and then I write.")
            .call("list", "{}")
            .call("shell", r#"{"command": "touch made"}"#),
        shell("touch made"),
        Reply::text("I may not."),
    ]);
    world.exec(&server.url(), &["--approval", "read-only", "go"]).succeeds();
    assert!(!world.path("work/made").exists());
    let listed = call("list", "{}");
    let first = format!("I look, and then I write.\n{listed}");
    check(&world, &[&first, &format!("I may not.{END}")]);
}

#[test]
fn a_call_that_the_user_amended_is_context_and_so_is_what_they_did_themselves() {
    let world = World::new();
    let server = server([shell("echo theirs > made").reasoning("So."), Reply::text("As you say.")]);
    world.write("home/editor", "echo 'echo mine > made' > \"$1\"\n");
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask"]);
    terminal.press("!echo a comm''and").press(ENTER).shows("a command").shows("exit 0");
    terminal.press("go").press(ENTER).shows("May it? shell").press("e").shows("echo mine");
    terminal.press("y").shows("As you say.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert_eq!(fs::read_to_string(world.path("work/made")).unwrap(), "mine\n");
    assert_eq!(world.bodies("user_command").len(), 1);
    check(&world, &["<think>\nSo.\n</think>\n\n", &format!("As you say.{END}")]);
}

#[test]
fn a_copy_trains_nothing_that_the_original_does() {
    let world = World::new();
    let server = server([
        Reply::new().reasoning("Hm.").then_text("The first answer."),
        Reply::text("The original goes on."),
        Reply::text("The copy goes on."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    let original = world.home().find("last").unwrap().to_string();
    world.limn(&["fork", "last"]).succeeds();
    let copy = world.home().find("last").unwrap().to_string();
    for id in [&original, &copy] {
        world.exec(&server.url(), &["--resume", id, "and then?"]).succeeds();
    }
    let first = format!("<think>\nHm.\n</think>\n\nThe first answer.{END}");
    let goes_on = |who: &str| format!("The {who} goes on.{END}");
    check(&world, &[&first, &goes_on("original"), &goes_on("copy")]);
}

#[test]
fn a_summary_is_context_and_each_side_of_it_is_trained() {
    let world = World::new();
    let server = server([
        Reply::text("The first answer."),
        Reply::text("We spoke of one thing."),
        Reply::text("The second answer."),
    ]);
    let at_rest = "ask · @ file";
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("The first answer.").shows(at_rest).press("/compact in short").press(ENTER);
    terminal.shows("replaced by a summary").shows(at_rest);
    terminal.press("second").press(ENTER).shows("The second answer.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    check(&world, &[&format!("The first answer.{END}"), &format!("The second answer.{END}")]);
}

/// A model whose window is small, and whose steps print much.
fn a_long_way(steps: usize) -> MockServer {
    let answer = move |number: usize, request: &mock_server::RecordedRequest| {
        let tokens = request.json().to_string().len() * 2 / 7;
        let asked = request.messages().last().unwrap().to_string();
        let reply = match number {
            _ if asked.contains("Write the summary") => Reply::text("There were numbers."),
            number if number >= steps => Reply::text("That was all."),
            number => shell(&format!("seq -f 'line %g of step {number}' 1 700"))
                .reasoning(&format!("Step {number}.")),
        };
        reply.usage(json!({"prompt_tokens": tokens, "completion_tokens": 100}))
    };
    MockServer::start(Scenario::generate(answer)).unwrap()
}

#[test]
fn where_outputs_were_shortened_the_next_reply_is_trained_on_what_was_sent() {
    let world = World::new();
    let server = a_long_way(10);
    world.exec(&server.url(), &["--context-window", "18000", "go"]).succeeds();
    assert!(!world.bodies("context_edit").is_empty());
    let replies = world.bodies("tool_call").len() + 1;
    let all = exports(&world);
    assert_eq!(all.len(), replies);
    assert!(all.iter().all(|reply| reply.whole && !reply.text.contains("There were numbers.")));
    assert!(all.last().unwrap().text.starts_with("That was all."));
}

#[test]
fn a_round_that_was_taken_back_is_trained_where_it_was_and_no_context_of_the_next() {
    let world = World::new();
    let replies = ["The first.", "The second.", "The third."];
    let server = server(replies.map(Reply::text));
    world.exec(&server.url(), &["first"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    world.limn(&["rewind", "last", "--to", "2", "--conversation"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "third"]).succeeds();
    let sent = serde_json::to_string(&server.requests()[2].messages()).unwrap();
    assert!(!sent.contains("The second."), "{sent}");
    let expected = replies.map(|reply| format!("{reply}{END}"));
    check(&world, &expected.each_ref().map(String::as_str));
}

#[test]
fn what_the_user_changed_meanwhile_is_seen_and_never_trained() {
    let world = World::new();
    let work = world.workspace();
    let server = MockServer::start(Scenario::generate(move |number, _| match number {
        0 => shell("echo one > a.txt"),
        1 => Reply::text("Written."),
        2 => {
            fs::write(work.join("b.txt"), "theirs too\n").unwrap();
            shell("true")
        }
        _ => Reply::text("I see."),
    }))
    .unwrap();
    world.exec(&server.url(), &["go"]).succeeds();
    world.write("work/a.txt", "mine\n");
    world.exec(&server.url(), &["--resume", "last", "look"]).succeeds();
    let edits = world.bodies("user_edit");
    let shown = |body: &Body| matches!(body, Body::UserEdit(edit) if edit.shown.contains("+mine"));
    assert!(edits.iter().any(shown), "{edits:?}");
    let sent = serde_json::to_string(&server.requests()[2].messages()).unwrap();
    assert!(sent.contains("+mine"), "{sent}");
    let one = call("shell", r#"{"command": "echo one > a.txt"}"#);
    let two = call("shell", r#"{"command": "true"}"#);
    let texts = [one, "Written.".to_owned(), two, "I see.".to_owned()];
    let texts = texts.map(|text| format!("{text}{END}"));
    check(&world, &texts.each_ref().map(String::as_str));
}

#[test]
fn each_model_and_each_set_of_instructions_has_samples_of_its_own() {
    let world = World::new();
    let server = server(["One.", "Two.", "Three."].map(Reply::text));
    let url = server.url();
    let ask = |model: &str, more: &[&str]| {
        let args = ["exec", "--model", model, "--base-url", &url, "--sandbox", "off"];
        world.limn(&[&args[..], more].concat()).succeeds();
    };
    ask("a", &["go"]);
    ask("b", &["--resume", "last", "on"]);
    world.write("work/AGENTS.md", "In verse, please.\n");
    ask("b", &["--resume", "last", "on"]);
    let rows = export(&world, "messages", &[]);
    let models: Vec<&str> = rows.iter().map(|row| row["sampled_from"].as_str().unwrap()).collect();
    assert_eq!(models, ["a", "b", "b"]);
    let in_verse = |row: &Value| row["messages"][0].to_string().contains("In verse");
    assert_eq!(rows.iter().map(in_verse).collect::<Vec<_>>(), [false, false, true]);
    let expected = ["One.", "Two.", "Three."].map(|text| format!("{text}{END}"));
    check(&world, &expected.each_ref().map(String::as_str));
}

#[test]
fn a_summary_of_reasoning_is_context_and_the_answer_after_it_is_trained() {
    let world = World::new();
    let server = server([Reply::new().reasoning("In short: yes.").then_text("Yes.")]);
    world.exec(&server.url(), &["--api", "responses", "go"]).succeeds();
    // What was sent is of another form than the messages of a row, so that prompts are not compared.
    let rows = export(&world, "messages", &[]);
    assert!(rows.is_empty(), "{rows:?}");
    let (model, template) = (model(), template(TOOL_AWARE));
    let args = ["--tokenizer", model.to_str().unwrap(), "--template", template.to_str().unwrap()];
    let rows = export(&world, "tokens", &args);
    let dialect = Dialect::open(&model, Some(&template)).unwrap();
    let text = |key: &str| {
        let known = ids(&rows[0], key).into_iter().filter(|id| *id >= 0).map(|id| id as u32);
        dialect.tokenizer().decode(&known.collect::<Vec<u32>>()).unwrap()
    };
    assert!(text("input_ids").contains("In short: yes."));
    assert_eq!(text("labels"), format!("Yes.{END}"));
}

#[test]
fn replies_to_pictures_are_trained_as_messages_and_counted_where_tokens_cannot_hold_them() {
    let world = World::new();
    fs::write(world.path("work/one.png"), b"\x89PNG\r\n\x1a\n some pixels").unwrap();
    let server = server([Reply::text("I see it."), Reply::text("Still.")]);
    world.exec(&server.url(), &["--image", "one.png", "what is this?"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "and now?"]).succeeds();
    let trained = |rows: &[Value]| -> Vec<String> {
        let mut texts = Vec::new();
        for row in rows {
            let messages = row["messages"].as_array().unwrap().iter();
            for (message, mark) in messages.zip(row["train"].as_array().unwrap()) {
                if *mark == true {
                    texts.push(message["content"].as_str().unwrap().to_owned());
                }
            }
            // The picture is there, in each row that was prompted with it.
            assert_eq!(row["messages"][1]["content"][1]["type"], "image");
        }
        texts
    };
    let (whole, rounds) =
        (export(&world, "messages", &[]), export(&world, "messages", &["--rows", "round"]));
    assert_eq!((whole.len(), rounds.len()), (1, 2));
    assert_eq!(trained(&whole), ["I see it.", "Still."]);
    assert_eq!(trained(&rounds), trained(&whole));
    let (model, template) = (model(), template(TOOL_AWARE));
    let args = ["--tokenizer", model.to_str().unwrap(), "--template", template.to_str().unwrap()];
    assert!(export(&world, "tokens", &args).is_empty());
}
