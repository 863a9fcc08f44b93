//! Several processes and one store, or one session.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Instant;

use mock_server::{MockServer, Reply, Scenario};
use trajectory::Body;

use crate::stage::{CTRL_D, ENTER, Terminal};
use crate::world::{PATIENCE, World, kill, server, shell};

/// The terminal of somebody who wants to go on with the last session.
fn second(world: &World, server: &MockServer) -> Terminal {
    let url = server.url();
    let args = ["resume", "--model", "mock-model", "--base-url", &url, "--sandbox", "off"];
    Terminal::open(world, &args)
}

fn first(world: &World, server: &MockServer) -> Child {
    let mut command = world.exec_command(&server.url(), &["go"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_second_process_follows_and_goes_on_when_the_first_has_ended() {
    let world = World::new();
    let server = server([
        // What it prints stands in no command: it is seen while the command runs.
        shell(
            "echo printed-$((6*7)); until [ -e go ]; do read -t 0.05 < <(:) || :; done; \
             echo over-$((6*8))",
        ),
        Reply::text("All done."),
        Reply::text("My turn."),
    ]);
    let mut writer = first(&world, &server);
    let begun = || !world.bodies_so_far("tool_started").is_empty();
    until("the session never began", begun);
    let mut follower = second(&world, &server);
    follower.shows("Another limn is writing this session").shows("printed-42");
    fs::write(world.path("work/go"), "").unwrap();
    follower.shows("All done.").shows("The other limn has ended");
    assert!(writer.wait().unwrap().success());
    follower.press("and now?").press(ENTER).shows("My turn.").shows("✓").press(CTRL_D);
    assert_eq!(follower.ends(), 0);
    assert_eq!(world.home().session_ids().unwrap().len(), 1);
    assert_eq!(world.bodies("round_ended").len(), 2);
    world.assert_sound();
}

#[test]
fn whoever_follows_sees_the_user_s_own_command_and_what_it_prints_as_it_comes() {
    let world = World::new();
    let server = server([Reply::text("Hello.")]);
    let mut first = Terminal::with_server(&world, &server, &["hi"]);
    first.shows("Hello.").shows("✓");
    let mut follower = second(&world, &server);
    follower.shows("Hello.").shows("Another limn is writing this session");
    let waits = "!for n in 1 2 3; do echo step-$((n*111)); until [ -e go$n ]; do :; done; done";
    first.press(waits).press(ENTER).shows("step-111");
    for (number, step) in [(1, "step-111"), (2, "step-222"), (3, "step-333")] {
        follower.shows("for n in").shows(step).shows("your command runs elsewhere");
        fs::write(world.path("work").join(format!("go{number}")), "").unwrap();
    }
    first.shows("exit 0");
    follower.shows("exit 0").press(CTRL_D);
    assert_eq!(follower.ends(), 0);
    // What a command leaves running is a job, and no command that runs once more.
    first.press("!sleep 1000 & echo left-$((2*11))").press(ENTER).shows("left-22");
    until("it never ended", || world.bodies("user_command").len() == 2);
    let mut follower = second(&world, &server);
    follower.shows("left-22").shows("Another limn is writing this session");
    assert_eq!(follower.screen().matches("you: sleep 1000").count(), 1, "{}", follower.screen());
    follower.press(CTRL_D);
    assert_eq!(follower.ends(), 0);
    first.press(CTRL_D);
    assert_eq!(first.ends(), 0);
    world.assert_sound();
}

#[test]
fn whoever_follows_sees_a_reply_arrive_and_adds_nothing_to_the_session() {
    let world = World::new();
    let words = (0..100).map(|number| format!("word{number} "));
    let server = server([
        Reply::text("The first answer."),
        Reply::new().text_deltas(words).hang_after(80),
        Reply::text("Once more."),
    ]);
    world.exec(&server.url(), &["start"]).succeeds();
    let mut command = world.exec_command(&server.url(), &["--resume", "last", "go on"]);
    let mut writer = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(server.wait_for_requests(2, PATIENCE));
    let mut follower = second(&world, &server);
    follower.shows("The first answer.").shows("Another limn is writing").shows("word70");
    let recorded = world.events().len();
    follower.press("!touch mine").press(ENTER).shows("can only be followed");
    assert!(!world.path("work/mine").exists());
    assert_eq!(world.events().len(), recorded);
    // Headless there is nobody to follow: it says so and asks nothing.
    let refused = world.exec(&server.url(), &["--resume", "last", "me too"]);
    refused.exits(4).says(&["another limn", "limn resume"]);
    kill(&mut writer);
    // What it had said is on record, and this one goes on.
    follower.shows("The other limn has ended").press("again").press(ENTER).shows("Once more.");
    follower.shows("✓").press(CTRL_D);
    assert_eq!(follower.ends(), 0);
    let halves: Vec<Body> = world.bodies("message");
    let half = |body: &&Body| matches!(body, Body::Message(text) if text.interrupted && text.text.contains("word70"));
    assert_eq!(halves.iter().filter(half).count(), 1);
    assert_eq!(server.requests().len(), 3);
    world.assert_sound();
}

#[test]
fn four_sessions_at_once_share_a_store() {
    let world = World::new();
    let server = MockServer::start(Scenario::generate(|_, request| {
        let messages = request.messages();
        let done = messages.iter().filter(|message| message["role"] == "tool").count();
        match done {
            0..6 => shell(&format!("echo {done} >>all.txt; seq 300")),
            _ => Reply::text("Done."),
        }
    }))
    .unwrap();
    let mut writers = Vec::new();
    for number in 0..4 {
        let prompt = format!("session number {number}");
        let mut command = world.exec_command(&server.url(), &["--json", &prompt]);
        writers.push(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    }
    // Others look meanwhile, and are in nobody's way.
    for _ in 0..3 {
        world.limn(&["sessions", "--search", "number"]).succeeds();
    }
    for (number, writer) in writers.into_iter().enumerate() {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success(), "session {number}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let id = lines[0]["id"].as_str().unwrap();
        let shown = world.limn(&["show", id, "--json"]).succeeds().json_lines();
        for line in lines.iter().filter(|line| line["type"] == "event") {
            assert!(shown.contains(line), "session {number} lost {line}");
        }
        let prompt = shown.iter().find(|line| line["kind"] == "prompt").unwrap();
        assert_eq!(prompt["body"]["text"], format!("session number {number}"));
    }
    assert_eq!(world.home().session_ids().unwrap().len(), 4);
    assert_eq!(fs::read_to_string(world.path("work/all.txt")).unwrap().lines().count(), 24);
    world.assert_sound();
}
