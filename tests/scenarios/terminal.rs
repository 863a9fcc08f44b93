//! The terminal, in a real one: keys in, screen out, and what is on record afterwards.

use mock_server::{MockServer, Reply, Scenario};
use rustix::process::Signal;
use trajectory::Body;
use trajectory::event::{ApprovalDecision, InterruptionCause};

use crate::stage::{CTRL_C, CTRL_C_TWICE, CTRL_D, ENTER, Terminal};
use crate::world::{PATIENCE, World, by_proxy, server, shell};

#[test]
fn a_question_is_answered_and_on_record() {
    let world = World::new();
    let server = server([Reply::new().reasoning("hm").then_text("It is **forty-two**.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("What is it?").shows("What is it?").press(ENTER).shows("It is forty-two.");
    terminal.shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    terminal.assert_given_back();
    assert!(terminal.screen().contains("limn resume"), "{}", terminal.screen());
    // The checkpoint is taken beside the work, and is on record when it is done.
    let events = world.events();
    let kinds = events.iter().map(|event| event.body.kind()).filter(|kind| *kind != "checkpoint");
    let kinds: Vec<_> = kinds.collect();
    assert!(
        kinds.ends_with(&["prompt", "reasoning", "message", "round_ended", "session_ended"]),
        "{kinds:?}"
    );
    world.assert_sound();
}

#[test]
fn whoever_only_looks_leaves_nothing_behind() {
    let world = World::new();
    let server = server([]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press(CTRL_C).shows("again leaves").press(CTRL_C_TWICE);
    assert_eq!(terminal.ends(), 0);
    terminal.assert_given_back();
    assert!(world.limn(&["sessions"]).succeeds().stdout.is_empty());
}

#[test]
fn a_call_is_asked_about_allowed_and_denied() {
    let world = World::new();
    let server =
        server([shell("echo one; exit 3"), shell("echo two > two"), Reply::text("As you say.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask", "go"]);
    terminal.shows("May it? shell").press("y").shows("exit 3 ·");
    // What it would do stands in the question alone, and only in this one.
    terminal.shows("writes  two").press("n").shows("why not");
    terminal.press("not now").press(ENTER).shows("As you say.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert!(!world.path("work/two").exists());
    let denied = (ApprovalDecision::Denied, Some("not now".to_owned()));
    assert_eq!(world.decisions(), [(ApprovalDecision::Allowed, None), denied]);
    world.assert_sound();
}

#[test]
fn a_host_that_was_refused_is_allowed_while_the_session_runs() {
    let world = World::new();
    if !world.isolates() {
        return;
    }
    let origin = server([]);
    let host = origin.url().trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let get = by_proxy(&host);
    let server =
        server([shell(&get), Reply::text("Refused."), shell(&get), Reply::text("Reached.")]);
    let url = server.url();
    let mut terminal = Terminal::open(&world, &["--model", "mock-model", "--base-url", &url, "go"]);
    terminal.shows(&format!("/allow {host} opens it")).shows("Refused.").shows("✓");
    terminal.press(&format!("/allow {host}")).press(ENTER);
    terminal.shows(&format!("Allowed for this session: {host}"));
    terminal.press("again").press(ENTER).shows("Reached.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let shown = world.shown();
    assert!(shown[0].contains("HTTP/1.1 403") && shown[0].contains("/allow"), "{}", shown[0]);
    assert!(shown[1].contains("mock-model"), "{}", shown[1]);
    let requests: Vec<(Option<u32>, bool)> = world
        .bodies("network_request")
        .into_iter()
        .map(|body| match body {
            Body::NetworkRequest(request) => (request.exec, request.allowed),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(requests, [(None, false), (None, true)], "bash sends no user name");
    let grants = world.bodies("grant");
    let [Body::Grant(grant)] = grants.as_slice() else { panic!("{grants:?}") };
    assert_eq!(grant.scope, host);
    // The model hears of it with what is asked next.
    let asked = server.requests();
    let told = format!("The user allows {host}");
    assert!(
        !asked[1].json().to_string().contains(&told) && asked[2].json().to_string().contains(&told)
    );
    world.assert_sound();
}

#[test]
fn one_hunk_of_three_is_taken() {
    let world = World::new();
    world.write("work/list", "1\n2\n3\n4\n5\n");
    let arguments = serde_json::json!({
        "file_path": "list",
        "old_string": "1\n2\n3\n4\n5\n",
        "new_string": "one\n2\nthree\n4\nfive\n",
    });
    let server = server([
        Reply::new().call("read", r#"{"file_path":"list"}"#),
        Reply::new().call("edit", &arguments.to_string()),
        Reply::text("Done."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask", "go"]);
    terminal.shows("▸ [x] +1").shows("- 1").press(" ").shows("▸ [ ] +1");
    terminal.press("jj").shows("+ five").press(" ").press("y").shows("Done.").leave();
    let list = std::fs::read_to_string(world.path("work/list")).unwrap();
    assert_eq!(list, "1\n2\nthree\n4\n5\n");
    let taken = (ApprovalDecision::Amended, Some("1 of 3 hunks were taken.".to_owned()));
    assert_eq!(world.decisions().last(), Some(&taken));
    world.assert_sound();
}

#[test]
fn a_reply_is_stopped_and_the_next_question_waits_its_turn() {
    let world = World::new();
    let hanging = Reply::text("I begin with one thing and another.").hang_after(2);
    let server = server([hanging, Reply::text("The second answer.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("working");
    assert!(server.wait_for_requests(1, PATIENCE));
    terminal.press("second").press(ENTER).shows("waits  second");
    terminal.press(CTRL_C).shows("Interrupted by you.").shows("The second answer.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let cut = world.bodies("interruption");
    let [Body::Interruption(cut)] = cut.as_slice() else { panic!("{cut:?}") };
    assert_eq!(cut.cause, InterruptionCause::User);
    world.assert_sound();
}

#[test]
fn ten_thousand_pasted_lines_are_one_chip_and_arrive_whole() {
    let world = World::new();
    let server = server([Reply::text("Long.")]);
    let lines: String = (1..=10_000).map(|line| format!("line {line}\n")).collect();
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.paste(&lines).shows("[pasted 10,000 lines]");
    terminal.press(ENTER).shows("Long.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let prompts = world.bodies("prompt");
    let [Body::Prompt(prompt)] = prompts.as_slice() else { panic!("{} prompts", prompts.len()) };
    assert_eq!(prompt.text, lines);
}

#[test]
fn a_file_is_found_by_a_few_letters_and_a_mode_is_switched() {
    let world = World::new();
    world.write("work/src/needle.rs", "");
    world.write("work/.gitignore", "hidden\n");
    world.write("work/hidden/needle.rs", "");
    let server = server([Reply::text("Seen.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("see @ndl").shows("src/needle.rs");
    assert!(!terminal.screen().contains("hidden/needle"));
    terminal.press("\t").shows("see @src/needle.rs").press(ENTER).shows("Seen.").shows("✓");
    terminal.press("\x1b[Z").shows(" all ·").press("/mode ask\r").shows(" ask ·").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let modes = world.bodies("config_changed");
    assert!(modes.iter().any(|body| matches!(body, Body::ConfigChanged(it) if it.approval == Some(trajectory::ApprovalMode::Ask))));
}

#[test]
fn a_session_is_gone_on_with() {
    let world = World::new();
    let server = server([Reply::text("One."), Reply::text("Two.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("One.").shows("✓").press("/good\r").shows("outcome success");
    terminal.press("/export out\r").shows("1 samples were written").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    // Its card says what was said.
    let card = std::fs::read_to_string(world.path("work/out/README.md")).unwrap();
    assert!(card.contains("| success | 1 |"), "{card}");
    let mut again = Terminal::with_server(&world, &server, &["resume"]);
    again.shows("One.").press("second").press(ENTER).shows("Two.").shows("✓").press(CTRL_D);
    assert_eq!(again.ends(), 0);
    assert_eq!(world.bodies("prompt").len(), 2);
    assert_eq!(world.home().session_ids().unwrap().len(), 1);
    world.assert_sound();
}

#[test]
fn a_private_session_says_so_when_it_is_gone_on_with() {
    let world = World::new();
    let server = server([Reply::text("One.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["--private", "first"]);
    terminal.shows("One.").shows("✓");
    terminal.press("/export out\r").shows("goes into no dataset").press(CTRL_D);
    assert!(!world.path("work/out").exists());
    assert_eq!(terminal.ends(), 0);
    let mut again = Terminal::with_server(&world, &server, &["resume"]);
    again.shows("One.").shows("· private");
    again.press("/export samples").press(ENTER).shows("private and goes into no dataset");
    assert!(!world.path("work/samples").exists());
    again.press(CTRL_D);
    assert_eq!(again.ends(), 0);
}

#[test]
fn a_signal_ends_it_in_order_and_leaves_no_orphan() {
    let world = World::new();
    let server =
        server([shell("echo $$ > pid; printf 're%s\\n' ady; exec sleep 1000"), Reply::text("no")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("│ ready");
    terminal.signal(Signal::TERM);
    terminal.ends();
    terminal.assert_given_back();
    let pid = std::fs::read_to_string(world.path("work/pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
    world.assert_sound();
}

#[test]
fn a_hang_up_leaves_the_log_whole() {
    let world = World::new();
    let server = server([Reply::text("I begin with this.").hang_after(2)]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    assert!(server.wait_for_requests(1, PATIENCE));
    terminal.shows("working");
    terminal.signal(Signal::HUP);
    terminal.ends();
    let last = world.events().pop().unwrap();
    assert_eq!(last.body.kind(), "session_ended");
    world.assert_sound();
}

#[test]
fn whoever_has_no_model_is_told_how_to_choose_one() {
    let world = World::new();
    let mut terminal = Terminal::open(&world, &[]);
    terminal.shows("No model is chosen yet").shows("limn demo").press("hello").press(ENTER);
    terminal.shows("from here:").press(CTRL_C_TWICE);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn without_a_terminal_it_says_so() {
    let world = World::new();
    world.limn(&[]).exits(2).says(&["no terminal", "limn exec"]);
    world.limn(&["resume"]).exits(2).says(&["no terminal"]);
}

#[test]
fn a_misspelt_command_is_no_prompt() {
    let world = World::new();
    for (typed, meant) in [("sesions", "sessions"), ("exce", "exec"), ("doctr", "doctor")] {
        world.limn(&[typed]).exits(2).says(&["no command", &format!("`limn {meant}`")]);
    }
    // A hidden one is not told of, and a word of its own is a prompt.
    world.limn(&["checkpont"]).exits(2).says(&["no terminal"]);
    world.limn(&["hello"]).exits(2).says(&["no terminal"]);
}

#[test]
fn a_long_reply_streams_while_keys_are_answered() {
    let world = World::new();
    let deltas = (0..3_000).map(|number| format!("word{number} "));
    let server = MockServer::start(Scenario::replies([Reply::new().text_deltas(deltas)])).unwrap();
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.press("typed meanwhile").shows("typed meanwhile").shows("word2999");
    terminal.press(CTRL_C_TWICE);
    assert_eq!(terminal.ends(), 0);
    assert!(!terminal.has_sent(b"\x1b[2J"));
}

#[test]
fn what_the_user_edits_between_two_questions_is_seen_and_told() {
    let world = World::new();
    let server = server([shell("echo one > a.txt"), Reply::text("One."), Reply::text("Two.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "all", "first"]);
    terminal.shows("One.").shows("✓");
    world.write("work/a.txt", "mine\n");
    terminal.press("second").press(ENTER).shows("You changed: a.txt").shows("Two.").shows("✓");
    terminal.press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let asked = serde_json::to_string(&server.requests().last().unwrap().messages()).unwrap();
    assert!(asked.contains("-one") && asked.contains("+mine"), "{asked}");
    world.assert_sound();
}

#[test]
fn a_session_is_played_back_as_it_was() {
    let world = World::new();
    let server = server([
        Reply::new().reasoning("A loop will do.").call("shell", r#"{"command":"echo a zebra"}"#),
        Reply::text("It said **zebra**."),
    ]);
    world.exec(&server.url(), &["Print an animal"]).succeeds();
    let before = world.events().len();
    let mut terminal = Terminal::open(&world, &["play", "last", "--speed", "1000"]);
    terminal.shows("Print an animal").shows("a zebra").shows("It said zebra.").shows("⏸");
    terminal.press(",").shows(&format!("event {} of {before}", before - 1)).press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_given_back();
    assert_eq!(server.requests().len(), 2, "nobody was asked");
    assert_eq!(world.events().len(), before);
}
