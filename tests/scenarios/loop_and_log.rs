//! A prompt goes in, a model reasons and calls tools, the tools run, and every action is on
//! record before it is shown.

use std::io::Write as _;
use std::process::Stdio;

use mock_server::Reply;
use serde_json::{Value, json};
use trajectory::Body;
use trajectory::event::{CallStatus, Ended};

use crate::world::{PATIENCE, World, run, server, shell};

#[test]
fn a_session_is_recorded_shown_and_sent_back() {
    let world = World::new();
    let server = server([
        Reply::new()
            .reasoning("I had better ")
            .reasoning("look.")
            .then_text("Looking.")
            .call("shell", r#"{"command": "echo one && echo two >&2; exit 3"}"#),
        Reply::new()
            .call("write", r#"{"file_path":"a.txt","content":"alpha\n"}"#)
            .call("read", r#"{"file_path":"a.txt"}"#),
        Reply::text("All done."),
    ]);
    let run = world.exec(&server.url(), &["--json", "Do the task."]).succeeds();

    let lines = run.json_lines();
    assert_eq!(lines[0]["type"], "session");
    let mut kinds: Vec<&str> =
        lines[1..lines.len() - 1].iter().map(|line| line["kind"].as_str().unwrap()).collect();
    // The checkpoint is taken beside the request, and is there before anything may change.
    let at = |kind: &str| kinds.iter().position(|it| *it == kind).unwrap();
    let (prompt, taken, started) = (at("prompt"), at("checkpoint"), at("tool_started"));
    assert!(prompt < taken && taken < started, "{kinds:?}");
    kinds.remove(taken);
    assert_eq!(
        kinds,
        [
            "model_changed",
            "config_changed",
            "prompt",
            "reasoning",
            "message",
            "tool_call",
            "tool_started",
            "observation",
            "tool_call",
            "tool_call",
            "tool_started",
            "observation",
            "tool_started",
            "observation",
            "message",
            "round_ended",
            "session_ended",
        ]
    );
    let seqs: Vec<u64> =
        lines[1..lines.len() - 1].iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
    let result = lines.last().unwrap();
    assert_eq!(result["type"], "result");
    assert_eq!(result["ended"], "completed");
    assert_eq!(result["session"], lines[0]["id"]);
    assert_eq!(result["usage"]["input_tokens"], 3000);

    let shown = world.shown();
    assert!(shown[0].contains("one\ntwo") && shown[0].contains("exit code 3"), "{}", shown[0]);
    assert!(shown[2].contains("alpha"));
    assert_eq!(std::fs::read_to_string(world.workspace().join("a.txt")).unwrap(), "alpha\n");

    // What the server saw is what is on record, byte for byte, and the reasoning went back.
    let archive = world.archive();
    for (number, request) in server.requests().iter().enumerate() {
        let recorded = archive.request_body(number as u32 + 1, 1).unwrap();
        assert_eq!(recorded, request.body);
    }
    let last = server.requests()[2].messages();
    assert_eq!(last[2]["reasoning_content"], "I had better look.");
    assert_eq!(last[2]["content"], "Looking.");
    assert_eq!(last[3]["tool_call_id"], last[2]["tool_calls"][0]["id"]);
    world.assert_sound();
}

#[test]
fn without_json_the_answer_is_on_stdout_and_the_rest_on_stderr() {
    let world = World::new();
    let server = server([shell("echo hi"), Reply::text("The answer is 42.")]);
    let run = world.exec(&server.url(), &["What is it?"]).succeeds();
    assert_eq!(run.stdout, "The answer is 42.\n");
    assert!(run.stderr.contains("> shell") && run.stderr.contains("exit 0"), "{}", run.stderr);
}

#[test]
fn escape_sequences_of_a_model_do_not_reach_a_terminal() {
    let world = World::new();
    let text = "\u{1b}]52;c;aGk=\u{7}\u{1b}[2Jdone";
    let server = server([Reply::text(text), Reply::text(text)]);
    let exec = world.exec_command(&server.url(), &["go"]);
    let mut line = vec![shell_quoted(exec.get_program())];
    line.extend(exec.get_args().map(shell_quoted));
    let mut on_terminal = std::process::Command::new("script");
    on_terminal.args(["-qec", &line.join(" "), "/dev/null"]).env_clear();
    on_terminal.envs(exec.get_envs().filter_map(|(name, value)| Some((name, value?))));
    on_terminal.current_dir(world.workspace()).stdin(Stdio::null());
    let seen = run(on_terminal).succeeds();
    assert!(seen.stdout.contains("done") && !seen.stdout.contains('\u{1b}'), "{:?}", seen.stdout);
    let shown = world.limn(&["show", "last"]).succeeds();
    assert!(!shown.stdout.contains('\u{1b}'), "{:?}", shown.stdout);
    // A file or a pipe gets what the model said.
    assert_eq!(world.exec(&server.url(), &["go"]).succeeds().stdout, format!("{text}\n"));
}

fn shell_quoted(word: &std::ffi::OsStr) -> String {
    format!("'{}'", word.to_str().unwrap())
}

#[test]
fn calls_that_cannot_be_run_are_answered_and_kept_as_sent() {
    let world = World::new();
    let server = server([
        Reply::new()
            .call("no_such_tool", "{}")
            .call("read", r#"{"file_path": "a", oops"#)
            .call("read", r#"{"path": "a"}"#),
        Reply::text("I see."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let shown = world.shown();
    assert!(shown[0].contains("no_such_tool") && shown[0].contains("shell"), "{}", shown[0]);
    assert!(shown[1].contains("not a JSON object"), "{}", shown[1]);
    assert!(shown[2].contains("path"), "{}", shown[2]);
    let Body::ToolCall(call) = &world.bodies("tool_call")[1] else { panic!() };
    assert_eq!(call.arguments, r#"{"file_path": "a", oops"#);
    let sent_back = &server.requests()[1].messages()[2]["tool_calls"][1]["function"]["arguments"];
    // Servers parse what they get back: there it stands inside an object.
    let wrapped = serde_json::json!({"malformed": call.arguments}).to_string();
    assert_eq!(sent_back, &wrapped);
}

#[test]
fn what_cannot_be_read_of_a_stream_is_said() {
    let world = World::new();
    let server = server([Reply::text("be").raw_event("data: {oops\n\n").then_text("fore")]);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert_eq!(run.stdout, "before\n");
    assert!(run.stderr.contains("not wholly: 1") && run.stderr.contains("{oops"), "{}", run.stderr);
    world.assert_sound();
}

#[test]
fn what_cannot_be_printed_is_not_a_success() {
    let world = World::new();
    let server = server([Reply::text("one")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let mut show = world.command(&["show", "last"]);
    show.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(show.status().unwrap().code(), Some(1));
}

#[test]
fn without_isolation_commands_are_refused_and_the_refusal_names_the_remedy() {
    let world = World::new();
    let server = server([shell("touch ran"), Reply::text("Then not.")]);
    // A machine whose only tier is that of a program that is not there.
    let mut exec = world.exec_command(&server.url(), &["--sandbox", "auto", "go"]);
    exec.env("LIMN_SANDBOX_TIER", "bwrap").env("PATH", world.path("home"));
    run(exec).succeeds();
    assert!(!world.workspace().join("ran").exists());
    let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
    assert_eq!(seen.status, CallStatus::Denied);
    assert!(seen.shown.contains("--sandbox off"), "{}", seen.shown);
}

#[test]
fn modes_refuse_what_they_should() {
    for (mode, runs) in [("read-only", false), ("ask", false), ("auto", true), ("all", true)] {
        let world = World::new();
        let server = server([
            shell("touch ran"),
            Reply::new().call("write", r#"{"file_path":"w","content":""}"#),
            Reply::new().call("list", "{}"),
            Reply::text("ok"),
        ]);
        world.exec(&server.url(), &["--approval", mode, "go"]).succeeds();
        assert_eq!(world.workspace().join("ran").exists(), runs, "{mode}");
        assert_eq!(world.workspace().join("w").exists(), runs, "{mode}");
        let Body::Observation(listed) = &world.bodies("observation")[2] else { panic!() };
        assert_eq!(listed.status, CallStatus::Ok, "{mode}");
    }
}

#[test]
fn limits_end_a_session_with_exit_code_1() {
    let world = World::new();
    world.limn(&["exec", "--model", "m", "--max-steps", "0", "go"]).exits(2);
    let server = server([shell("true 1"), shell("true 2"), shell("true 3")]);
    world.exec(&server.url(), &["--max-steps", "2", "go"]).exits(1).says(&["--max-steps"]);
    assert_eq!(server.requests().len(), 2);
    let server = crate::world::server([shell("sleep 1000"), Reply::text("never")]);
    world.exec(&server.url(), &["--timeout", "1", "go"]).exits(1).says(&["--timeout"]);
    let Body::RoundEnded(end) = &world.bodies("round_ended")[0] else { panic!() };
    assert_eq!(end.ended, Ended::Limit);
    world.assert_sound();
}

#[test]
fn an_interrupt_leaves_a_consistent_log_whatever_was_going_on() {
    // While the model thinks, and while a tool runs.
    let while_asking =
        || vec![Reply::new().then_text("half an ans").then_text("wer").hang_after(2)];
    let while_running = || vec![shell("echo begun; sleep 1000"), Reply::text("never")];
    for (name, replies) in [("asking", while_asking()), ("running", while_running())] {
        let world = World::new();
        let server = server(replies);
        let mut command = world.exec_command(&server.url(), &["--json", "go"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(server.wait_for_requests(1, PATIENCE));
        wait_until_something_is_under_way(&world, name);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(130), "{name}");
        let Body::RoundEnded(end) = &world.bodies("round_ended")[0] else { panic!() };
        assert_eq!(end.ended, Ended::Interrupted, "{name}");
        if name == "asking" {
            let Body::Message(half) = &world.bodies("message")[0] else { panic!() };
            assert!(half.interrupted && "half an answer".starts_with(&half.text), "{half:?}");
        } else {
            let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
            assert_eq!(seen.status, CallStatus::Cancelled);
        }
        world.assert_sound();
    }
}

/// Until a draft or an output is in the store: the live file is followed, as another limn would.
fn wait_until_something_is_under_way(world: &World, name: &str) {
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "{name} never got under way");
        let Ok(id) = world.home().find("last") else { continue };
        let Ok(archive) = record::Archive::open(&world.home(), id) else { continue };
        let under_way = match name {
            "asking" => archive.drafts().is_ok_and(|drafts| !drafts.is_empty()),
            _ => archive.output(1, &mut std::io::sink()).is_ok_and(|length| length > 0),
        };
        if under_way {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn prompts_from_stdin_as_text_and_as_json_lines() {
    let world = World::new();
    let server = server([Reply::text("one"), Reply::text("two"), Reply::text("three")]);
    let mut command = world.exec_command(&server.url(), &["-"]);
    let run = with_stdin(&mut command, "from stdin\n");
    assert_eq!(run.code, 0, "{}", run.stderr);

    let lines =
        "{\"type\":\"prompt\",\"text\":\"first\"}\n\n{\"type\":\"prompt\",\"text\":\"second\"}\n";
    let mut command = world.exec_command(&server.url(), &["--input-format", "jsonl"]);
    let run = with_stdin(&mut command, lines);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout, "two\nthree\n");
    assert_eq!(world.bodies("round_ended").len(), 2);
    let last = server.requests()[2].messages();
    let contents: Vec<&Value> = last.iter().skip(1).map(|message| &message["content"]).collect();
    assert_eq!(contents, [&json!("first"), &json!("two"), &json!("second")]);
}

fn with_stdin(command: &mut std::process::Command, text: &str) -> crate::world::Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    crate::world::Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_cassette_plays_what_was_recorded() {
    let world = World::new();
    let server = server([shell("echo hi"), Reply::text("recorded")]);
    let cassette = world.path("cassette");
    let folder = cassette.to_str().unwrap();
    world.exec(&server.url(), &["--cassette", folder, "go"]).succeeds();
    drop(server);
    let model = format!("cassette:{folder}");
    let args = ["exec", "--model", &model, "--sandbox", "off"];
    let again = world.limn(&[&args[..], &["go"]].concat()).succeeds();
    assert_eq!(again.stdout, "recorded\n");
    world.limn(&[&args[..], &["something else"]].concat()).exits(1).says(&["cassette"]);
}

#[test]
fn sessions_show_and_rm() {
    let world = World::new();
    let server = server([shell("printf 'raw\\377bytes'"), Reply::text("done"), Reply::text("x")]);
    world.exec(&server.url(), &["the first prompt"]).succeeds();
    world.exec(&server.url(), &["the second prompt"]).succeeds();
    let listed = world.limn(&["sessions", "--json"]).succeeds().json_lines();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["title"], "the second prompt");
    assert_eq!(listed[1]["ended"], "completed");
    let plain = world.limn(&["sessions"]).succeeds();
    assert!(plain.stdout.contains("the first prompt"), "{}", plain.stdout);

    let first = listed[1]["id"].as_str().unwrap();
    let shown = world.limn(&["show", first]).succeeds();
    for word in ["the first prompt", "shell", "printf", "raw", "done"] {
        assert!(shown.stdout.contains(word), "no {word} in {}", shown.stdout);
    }
    let lines = world.limn(&["show", first, "--json"]).succeeds().json_lines();
    assert_eq!(lines.first().unwrap()["type"], "session");
    assert_eq!(lines.last().unwrap()["type"], "result");
    let mut raw = world.command(&["show", first, "--output", "1"]);
    assert_eq!(raw.output().unwrap().stdout, b"raw\xffbytes");
    let request = world.limn(&["show", first, "--request", "1"]).succeeds();
    assert!(request.stdout.starts_with(r#"{"model":"mock-model""#), "{}", request.stdout);
    let response = world.limn(&["show", first, "--response", "2"]).succeeds();
    assert!(response.stdout.contains("[DONE]"), "{}", response.stdout);

    world.limn(&["rm", first]).succeeds();
    assert_eq!(world.limn(&["sessions", "--json"]).succeeds().json_lines().len(), 1);
    world.limn(&["show", first]).exits(1).says(&["limn sessions"]);
}

#[test]
fn the_key_goes_only_where_it_belongs() {
    let world = World::new();
    let server = server((0..3).map(|_| Reply::text("ok")));
    let with_key = |mut command: std::process::Command| {
        command.env("OPENAI_API_KEY", "sk-secret-1234");
        run(command).succeeds()
    };
    // Named by a flag: somebody else's server.
    with_key(world.exec_command(&server.url(), &["go"]));
    // Named by the variable that goes with the key.
    let mut command = world.command(&["exec", "--model", "m", "--sandbox", "off", "go"]);
    command.env("OPENAI_BASE_URL", server.url());
    with_key(command);
    with_key(world.exec_command(&server.url(), &["--api-key-env", "OPENAI_API_KEY", "go"]));
    let sent: Vec<Option<String>> = server
        .requests()
        .iter()
        .map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    let key = Some("Bearer sk-secret-1234".to_owned());
    assert_eq!(sent, [None, key.clone(), key]);
    for entry in std::fs::read_dir(world.data().join("sessions")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"sk-secret-1234"));
    }
}

#[test]
fn completions_and_man_pages_are_generated() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.limn(&["completions", shell]).succeeds();
        assert!(script.stdout.contains("exec") && script.stdout.contains("limn"), "{shell}");
    }
    let folder = world.path("man");
    world.limn(&["man", "--out", folder.to_str().unwrap()]).succeeds();
    let page = std::fs::read_to_string(folder.join("limn-exec.1")).unwrap();
    assert!(page.contains("max\\-steps"), "{page}");
}

#[test]
fn text_that_is_cut_inside_a_character_comes_out_whole() {
    let world = World::new();
    let half = |escape: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{escape}\"}}}}]}}\n\n")
    };
    let server = server([Reply::text("crab: ")
        .raw_event(half("\\ud83e"))
        .raw_event(half("\\udd80"))
        .then_text("!")]);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert_eq!(run.stdout, "crab: 🦀!\n");
}
