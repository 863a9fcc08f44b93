//! Going on: the model is sent what it would have been sent without the break.

use std::process::Stdio;

use mock_server::Reply;
use trajectory::Body;
use trajectory::event::{AssistantText, Ended, Reasoning, ToolCall};

use crate::world::{PATIENCE, World, kill, server, shell};

/// Replies of a session of two rounds with a tool call each.
fn two_rounds() -> Vec<Reply> {
    vec![
        Reply::new().reasoning("First, look.").call("shell", r#"{"command":"echo one"}"#),
        Reply::text("One."),
        shell("echo two"),
        Reply::text("Two."),
    ]
}

#[test]
fn a_break_between_rounds_changes_not_a_byte() {
    let unbroken = World::new();
    let whole = server(two_rounds());
    let mut command = unbroken.exec_command(&whole.url(), &["--input-format", "jsonl"]);
    let lines = r#"{"type":"prompt","text":"first"}
{"type":"prompt","text":"second"}
"#;
    unbroken.write("lines", lines);
    command.stdin(std::fs::File::open(unbroken.path("lines")).unwrap());
    crate::world::run(command).succeeds();

    let broken = World::new();
    let parts = server(two_rounds());
    broken.exec(&parts.url(), &["first"]).succeeds();
    broken.exec(&parts.url(), &["--resume", "last", "second"]).succeeds();
    let bodies = |server: &mock_server::MockServer| -> Vec<Vec<u8>> {
        server.requests().into_iter().map(|request| request.body).collect()
    };
    assert!(bodies(&whole) == bodies(&parts));
    assert_eq!(broken.home().session_ids().unwrap().len(), 1);
    broken.assert_sound();
}

#[test]
fn a_session_whose_model_never_said_a_word_can_be_gone_on_with() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let world = World::new();
        let server = server([Reply::new().hang_after(0), Reply::text("Here I am.")]);
        let mut command = world.exec_command(&server.url(), &["are you there?"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(1, PATIENCE));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        child.wait().unwrap();
        world.exec(&server.url(), &["--resume", "last", "and now?"]).succeeds();
        let contents: Vec<String> = server.requests()[1]
            .messages()
            .iter()
            .skip(1)
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(contents, ["are you there?", "and now?"], "{signal:?}");
        world.assert_sound();
    }
}

#[test]
fn each_model_that_answers_is_on_record_when_it_answers() {
    let world = World::new();
    let server = server((0..3).map(|_| Reply::text("ok")));
    for (number, model) in ["a", "b", "a"].into_iter().enumerate() {
        let url = server.url();
        let mut args = vec!["exec", "--model", model, "--base-url", &url, "--sandbox", "off"];
        if number > 0 {
            args.extend(["--resume", "last"]);
        }
        args.push("go");
        world.limn(&args).succeeds();
    }
    let models: Vec<String> = world
        .bodies("model_changed")
        .into_iter()
        .map(|body| match body {
            Body::ModelChanged(changed) => changed.model,
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(models, ["a", "b", "a"]);
    // No sample is of two models.
    let out = world.path("out");
    let place = out.to_str().unwrap();
    world.limn(&["export", "--format", "messages", "--status", "all", "--out", place]).succeeds();
    let rows = std::fs::read_to_string(out.join("messages.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 3);
}

#[test]
fn a_resumed_session_works_where_it_worked() {
    let world = World::new();
    let server = server([Reply::text("one"), shell("echo here > mark"), Reply::text("two")]);
    world.exec(&server.url(), &["start"]).succeeds();
    let mut command = world.exec_command(&server.url(), &["--resume", "last", "mark it"]);
    command.current_dir(world.path("home"));
    crate::world::run(command).succeeds();
    assert!(world.workspace().join("mark").exists());
    // Another folder has to be named, and is on record.
    std::fs::create_dir(world.path("other")).unwrap();
    let other = world.path("other");
    let server = crate::world::server([Reply::text("three")]);
    let place = other.to_str().unwrap();
    world.exec(&server.url(), &["--resume", "last", "--workspace", place, "on"]).succeeds();
    let moved = world.bodies("config_changed").into_iter().any(|body| match body {
        Body::ConfigChanged(config) => config.workspace.is_some_and(|it| it.ends_with("other")),
        _ => false,
    });
    assert!(moved);
}

#[test]
fn a_session_is_private_from_its_beginning_or_not_at_all() {
    let world = World::new();
    let server = server([Reply::text("one")]);
    world.exec(&server.url(), &["start"]).succeeds();
    let args = ["--resume", "last", "--private", "psst"];
    world.exec(&server.url(), &args).exits(2).says(&["--private", "--resume"]);
}

#[test]
fn a_reply_that_the_server_cut_off_is_no_completed_round() {
    let world = World::new();
    let server = server([Reply::text("and then the").finish_reason("length")]);
    world.exec(&server.url(), &["tell me"]).exits(1).says(&["cut", "length"]);
    let Body::RoundEnded(end) = &world.bodies("round_ended")[0] else { panic!() };
    assert_eq!(end.ended, Ended::Limit);
    let out = world.path("out");
    let place = out.to_str().unwrap();
    let export = ["export", "--format", "messages", "--status", "all", "--out", place];
    world.limn(&export).exits(1).says(&["unfinished"]);
    world.limn(&[&export[..], &["--waive", "unfinished=to see"]].concat()).succeeds();
    assert_eq!(std::fs::read_to_string(out.join("messages.jsonl")).unwrap(), "");
}

/// Invariant 2: the stored bytes of a response are the recorded parts.
#[test]
fn every_recorded_response_reads_as_the_recorded_parts() {
    let world = World::new();
    let server = server([
        Reply::new()
            .reasoning_as("reasoning", "Hm, ")
            .reasoning_as("reasoning", "yes.")
            .then_text("Let me ")
            .then_text("see.")
            .call_in("shell", r#"{"command":"echo \"a b\""}"#, 5)
            .call("read", "{not json"),
        Reply::text("Done: 漢字 🦀"),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let archive = world.archive();
    let mut changes = world.events().into_iter().filter_map(|event| match event.body {
        Body::ModelChanged(change) => Some(model::Dialect::of(&change)),
        _ => None,
    });
    let dialect = changes.next_back().unwrap();
    for request in 1..=2 {
        let raw = archive.response(request, 1).unwrap().unwrap();
        let again = model::parse(request, dialect, &raw).unwrap().parts;
        let recorded: Vec<model::Part> =
            world.events().into_iter().filter_map(|event| part(event.body, request)).collect();
        assert_eq!(again, recorded, "request {request}");
    }
}

fn part(body: Body, wanted: u32) -> Option<model::Part> {
    match body {
        Body::Reasoning(Reasoning { request, text, field, form, signature, .. })
            if request == wanted =>
        {
            Some(model::Part::Reasoning { text, field, form, signature })
        }
        Body::Message(AssistantText { request, text, .. }) if request == wanted => {
            Some(model::Part::Text(text))
        }
        Body::ToolCall(ToolCall { request, id, name, arguments, freeform, signature, .. })
            if request == wanted =>
        {
            Some(model::Part::ToolCall { id, name, arguments, freeform, signature })
        }
        _ => None,
    }
}

#[test]
fn a_kill_in_mid_work_is_resumed_with_everything_that_was_finished() {
    let world = World::new();
    let server = server([shell("echo kept"), Reply::new().hang_after(0), Reply::text("Done.")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(server.wait_for_requests(2, PATIENCE));
    kill(&mut child);
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    let messages = server.requests()[2].messages();
    let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "user"]);
    assert_eq!(messages[3]["content"], "kept");
    world.assert_sound();
}

#[test]
fn a_fork_is_sent_what_the_original_would_have_been_and_trains_nothing_twice() {
    let world = World::new();
    let server = server([
        shell("echo x > made"),
        Reply::text("The first answer."),
        Reply::text("The original goes on."),
        Reply::text("The copy goes on."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    let original = world.home().find("last").unwrap().to_string();
    let forked = world.limn(&["fork", "last", "--json"]).succeeds().json_lines();
    let fork = forked[0]["session"].as_str().unwrap().to_owned();
    assert_eq!(forked[0]["parent"], original.as_str());
    let shown = world.limn(&["show", &fork]).succeeds().stdout;
    assert!(shown.contains(&format!("goes on from {original}")), "{shown}");
    world.exec(&server.url(), &["--resume", &original, "and then?"]).succeeds();
    world.exec(&server.url(), &["--resume", &fork, "and then?"]).succeeds();
    let requests = server.requests();
    let [.., one, other] = requests.as_slice() else { panic!("{}", requests.len()) };
    assert_eq!(one.body, other.body);
    world.assert_sound();
    let out = world.path("out");
    let out = out.to_str().unwrap();
    world.limn(&["export", "--format", "messages", "--out", out, "--status", "all"]).succeeds();
    let rows = std::fs::read_to_string(world.path("out/messages.jsonl")).unwrap();
    let trained = |text: &str| -> usize {
        let rows = rows.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        rows.map(|row| {
            let messages = row["messages"].as_array().unwrap().iter();
            let train = row["train"].as_array().unwrap().iter();
            let is_it = |(message, train): (&serde_json::Value, &serde_json::Value)| {
                message["content"].as_str() == Some(text) && *train == true
            };
            messages.zip(train).filter(|pair| is_it(*pair)).count()
        })
        .sum()
    };
    assert_eq!(trained("The first answer."), 1, "{rows}");
    assert_eq!((trained("The original goes on."), trained("The copy goes on.")), (1, 1), "{rows}");
    world.limn(&["fork", "last", "--at", "99999"]).exits(1).says(&["no event 99999"]);
}
