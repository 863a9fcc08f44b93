//! Going on: the model is sent what it would have been sent without the break.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use mock_server::{MockServer, Reply};
use rustix::process::{Pid, Signal, kill_process};
use trajectory::Body;
use trajectory::event::{AssistantText, Ended, Reasoning, ToolCall};

use crate::stage::{CTRL_D, ENTER, Terminal};
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
    assert!(bodies(&whole) == bodies(&parts));
    assert_eq!(broken.home().session_ids().unwrap().len(), 1);
    broken.assert_sound();
}

#[test]
fn a_session_whose_model_never_said_a_word_can_be_gone_on_with() {
    for signal in [Signal::INT, Signal::KILL] {
        let world = World::new();
        let server = server([Reply::new().hang_after(0), Reply::text("Here I am.")]);
        let mut command = world.exec_command(&server.url(), &["are you there?"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(1, PATIENCE));
        kill_process(Pid::from_child(&child), signal).unwrap();
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

/// What a server was sent, byte for byte.
fn bodies(server: &MockServer) -> Vec<Vec<u8>> {
    server.requests().into_iter().map(|request| request.body).collect()
}

/// Waits until so many rounds are over, and on record.
fn rounds_over(world: &World, count: usize) {
    let began = Instant::now();
    while world.bodies_so_far("round_ended").len() < count {
        assert!(began.elapsed() < PATIENCE, "the round never ended");
        std::thread::yield_now();
    }
}

#[test]
fn whatever_ends_it_between_two_rounds_changes_not_a_byte() {
    let unbroken = World::new();
    let whole = server(two_rounds());
    let prompt = |text: &str| format!("{{\"type\":\"prompt\",\"text\":\"{text}\"}}\n");
    unbroken.write("lines", &(prompt("first") + &prompt("second")));
    let mut command = unbroken.exec_command(&whole.url(), &["--input-format", "jsonl"]);
    command.stdin(std::fs::File::open(unbroken.path("lines")).unwrap());
    crate::world::run(command).succeeds();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL, Signal::ABORT] {
        let broken = World::new();
        let parts = server(two_rounds());
        let mut command = broken.exec_command(&parts.url(), &["--input-format", "jsonl"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // It waits for the next line when it is ended.
        let mut lines = child.stdin.take().unwrap();
        lines.write_all(prompt("first").as_bytes()).unwrap();
        rounds_over(&broken, 1);
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        broken.exec(&parts.url(), &["--resume", "last", "second"]).succeeds();
        assert!(bodies(&whole) == bodies(&parts), "{signal:?}");
        broken.assert_sound();
    }
}

#[test]
fn whatever_ends_the_terminal_changes_not_a_byte() {
    let ask = |terminal: &mut Terminal, text: &str, answer: &str| {
        terminal.press(text).press(ENTER).shows(answer).shows("✓");
    };
    let unbroken = World::new();
    let whole = server(two_rounds());
    let mut terminal = Terminal::with_server(&unbroken, &whole, &[]);
    ask(&mut terminal, "first", "One.");
    ask(&mut terminal, "second", "Two.");
    terminal.press(CTRL_D);
    terminal.ends();
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL, Signal::ABORT] {
        let broken = World::new();
        let parts = server(two_rounds());
        let mut terminal = Terminal::with_server(&broken, &parts, &[]);
        ask(&mut terminal, "first", "One.");
        rounds_over(&broken, 1);
        kill_process(terminal.pid(), signal).unwrap();
        terminal.ends();
        let url = parts.url();
        let args = ["resume", "--model", "mock-model", "--base-url", &url, "--sandbox", "off"];
        let mut again = Terminal::open(&broken, &args);
        again.shows("One.");
        ask(&mut again, "second", "Two.");
        again.press(CTRL_D);
        again.ends();
        assert!(bodies(&whole) == bodies(&parts), "{signal:?}");
        broken.assert_sound();
    }
}

#[test]
fn whatever_ends_it_in_mid_round_what_was_sent_stays_as_it_was() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let world = World::new();
        let words = (0..30).map(|number| format!("word{number} "));
        let server = server([
            Reply::new().reasoning("Look.").call("shell", r#"{"command":"echo kept"}"#),
            Reply::new().reasoning("Hm.").text_deltas(words).hang_after(20),
            Reply::text("Done."),
        ]);
        let mut command = world.exec_command(&server.url(), &["go"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(server.wait_for_requests(2, PATIENCE));
        let arrives = || -> bool {
            let home = world.home();
            let archive = home.find("last").and_then(|id| record::Archive::open(&home, id));
            let drafts = archive.and_then(|archive| archive.drafts()).unwrap_or_default();
            drafts.iter().any(|draft| draft.text.contains("word15"))
        };
        let began = Instant::now();
        while !arrives() {
            assert!(began.elapsed() < PATIENCE, "the reply never came");
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
        let requests = server.requests();
        let (before, after) = (requests[1].messages(), requests[2].messages());
        assert_eq!(after[..before.len()], before, "{signal:?}");
        let roles: Vec<&str> =
            after[before.len()..].iter().map(|it| it["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["assistant", "user"], "{signal:?}");
        let half = after[before.len()]["content"].as_str().unwrap();
        assert!(half.contains("word15"), "{signal:?}: {half}");
        let text = |request: usize, key: &str| requests[request].json()[key].to_string();
        assert_eq!(text(1, "tools"), text(2, "tools"));
        world.assert_sound();
    }
}

#[test]
fn a_folder_that_moved_is_said_to_the_user_and_to_the_model() {
    let world = World::new();
    let server = server([
        shell("echo a >made"),
        Reply::text("One."),
        Reply::text("Two."),
        Reply::text("Three."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    let (old, new) = (world.workspace(), world.path("elsewhere"));
    std::fs::rename(&old, &new).unwrap();
    let resumed = |args: &[&str]| {
        let all = [&["--resume", "last"], args].concat();
        let mut command = world.exec_command(&server.url(), &all);
        command.current_dir(world.path("home"));
        crate::world::run(command)
    };
    let gone = old.to_str().unwrap();
    resumed(&["second"]).exits(2).says(&[gone, "is not there", "--workspace"]);
    let place = new.to_str().unwrap();
    let told = resumed(&["--workspace", place, "second"]).succeeds().says(&["another folder"]);
    assert!(!told.stderr.contains("You changed"), "its files are what they were: {}", told.stderr);
    let messages = server.requests()[2].messages();
    let [.., moved, prompt] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(moved["content"].as_str().unwrap().contains(place), "{moved}");
    assert_eq!(prompt["content"], "second");
    // From here on it is at home there, and what is changed there is noticed.
    std::fs::write(new.join("made"), "b").unwrap();
    let told = resumed(&["third"]).succeeds().says(&["You changed: made"]);
    assert!(!told.stderr.contains("another folder"), "{}", told.stderr);
    std::fs::create_dir(old).unwrap();
    world.assert_sound();
}

#[test]
fn a_session_of_another_device_is_gone_on_with_as_a_fork() {
    let (here, there) = (World::new(), World::new());
    let first = server([shell("echo one"), Reply::text("One.")]);
    here.exec(&first.url(), &["first"]).succeeds();
    let out = here.path("out");
    let export = ["export", "--format", "bundle", "--status", "all", "--out"];
    here.limn(&[&export[..], &[out.to_str().unwrap()]].concat()).succeeds();
    let mut written = crate::world::files(&out).into_iter();
    let bundle = written.find(|path| path.extension().is_some_and(|it| it == "limn"));
    there.limn(&["import", "bundle", bundle.unwrap().to_str().unwrap()]).succeeds();
    let imported = there.home().find("last").unwrap();
    let events = there.events();
    let second = server([Reply::text("Two.")]);
    let place = there.workspace();
    let args = ["--resume", "last", "--workspace", place.to_str().unwrap(), "second"];
    there.exec(&second.url(), &args).succeeds().says(&["another device", "fork"]);
    let fork = there.home().find("last").unwrap();
    assert_ne!(fork, imported);
    assert_eq!(there.archive().session().unwrap().parent.map(|it| it.0), Some(imported));
    let original = record::Archive::open(&there.home(), imported).unwrap().events().unwrap();
    let original: Vec<_> = original.into_iter().map(trajectory::Recorded::into_inner).collect();
    assert_eq!(original, events);
    // The model is sent what it was sent there, and what came since.
    let before = first.requests()[1].messages();
    let after = second.requests()[0].messages();
    assert_eq!(after[..before.len()], before);
    there.assert_sound();
}
