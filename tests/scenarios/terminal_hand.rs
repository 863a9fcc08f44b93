//! The user's own hand in a session, in a real terminal: commands of their own, words to a round
//! that is under way, a summary when they want one.

use mock_server::Reply;
use rustix::process::Signal;
use trajectory::Body;

use crate::stage::{AT_REST, CTRL_C, CTRL_D, CTRL_S, ENTER, Terminal};
use crate::world::{PATIENCE, World, server, shell};

fn last_message(server: &mock_server::MockServer) -> String {
    let request = server.requests().pop().unwrap();
    let message = request.messages().pop().unwrap();
    message["content"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_command_of_ones_own_runs_is_recorded_and_told_to_the_model() {
    let world = World::new();
    let server = server([Reply::text("I see.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("!echo mi''ne; touch made").press(ENTER).shows("mine").shows("exit 0");
    assert!(world.path("work/made").exists());
    terminal.press("!!").shows("OUTSIDE the sandbox").press("exit 3").press(ENTER);
    terminal.shows("exit 3 ·");
    terminal.press("and?").press(ENTER).shows("I see.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let ran: Vec<_> = world
        .bodies("user_command")
        .into_iter()
        .map(|body| match body {
            Body::UserCommand(ran) => (ran.command, ran.outside_sandbox),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ran, [("echo mi''ne; touch made".to_owned(), false), ("exit 3".to_owned(), true)]);
    let request = server.requests().pop().unwrap();
    let told: Vec<String> = request
        .messages()
        .iter()
        .filter(|message| message["role"] == "user")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told[0], "[The user ran a command.]\n$ echo mi''ne; touch made\nmine");
    assert!(told[1].starts_with("[The user ran a command outside the sandbox.]"), "{told:?}");
    assert_eq!(told[2], "and?");
    world.assert_sound();
}

#[test]
fn a_command_of_ones_own_is_stopped_and_no_other_thing_with_it() {
    let world = World::new();
    let server = server([Reply::text("I begin with this.").hang_after(2), Reply::text("Good.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    assert!(server.wait_for_requests(1, PATIENCE));
    terminal.press("!echo rea''dy; exec sleep 1000").press(ENTER).shows("ready");
    terminal.shows("your command runs").press(CTRL_C).shows("signal ");
    terminal.shows("working").press("\x1b").shows("Interrupted by you.");
    terminal.press("on").press(ENTER).shows("Good.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert_eq!(world.bodies("user_command").len(), 1);
    world.assert_sound();
}

#[test]
fn what_is_said_meanwhile_is_seen_at_the_next_step() {
    let world = World::new();
    let server = server([
        shell("while [ ! -e go ]; do read -t 0.05 < /dev/zero; done"),
        Reply::text("To the left, then."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["turn"]);
    terminal.shows("running").press("to the left").press(CTRL_S).shows("❯ to the left");
    terminal.waits_until(|_| world.bodies("steering").len() == 1);
    world.write("work/go", "");
    terminal.shows("To the left, then.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert_eq!(last_message(&server), "to the left");
    assert_eq!(world.bodies("steering").len(), 1);
    assert_eq!(world.bodies("round_ended").len(), 1);
    world.assert_sound();
}

#[test]
fn a_summary_takes_the_place_of_the_conversation_when_one_wants_it() {
    let world = World::new();
    let server = server([
        Reply::text("The first answer."),
        Reply::text("We spoke of one thing."),
        Reply::text("The second answer."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("The first answer.").shows(AT_REST).press("/compact mind the gap").press(ENTER);
    terminal.shows("replaced by a summary").shows(AT_REST);
    assert!(last_message(&server).contains("mind the gap"));
    terminal.press("second").press(ENTER).shows("The second answer.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let sent = server.requests().pop().unwrap().messages();
    let text = serde_json::to_string(&sent).unwrap();
    assert!(text.contains("We spoke of one thing.") && !text.contains("The first answer."));
    world.assert_sound();
}

#[test]
fn a_proposal_is_edited_and_its_like_is_allowed_for_good() {
    let world = World::new();
    let server = server([
        shell("echo first > proposed"),
        shell("git status -s; echo done"),
        shell("git status; echo on"),
        Reply::text("As you say."),
    ]);
    world.write(
        "home/editor",
        "echo 'echo second > mine' > \"$1\"
",
    );
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask", "go"]);
    terminal.shows("May it? shell").press("e").shows("echo second > mine");
    assert!(terminal.screen().contains("allow as you wrote it"), "{}", terminal.screen());
    terminal.press("y").shows("always, in this folder:  git status *, echo *").press("p");
    // The next of its kind is not asked about any more.
    terminal.shows("As you say.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert!(world.path("work/mine").exists() && !world.path("work/proposed").exists());
    let settings = std::fs::read_to_string(world.path("home/.config/limn/config.toml")).unwrap();
    assert!(settings.contains("[[allowed]]") && settings.contains("rule = \"git status *\""));
    // It holds in this folder, and nowhere else.
    let again = mock_server::MockServer::start(mock_server::Scenario::replies([
        shell("git status; echo again"),
        Reply::text("Done."),
    ]))
    .unwrap();
    world.exec(&again.url(), &["--approval", "ask", "go"]).succeeds();
    assert!(world.shown()[0].contains("again"), "{:?}", world.shown());
    world.assert_sound();
}

#[test]
fn a_file_that_was_refused_is_opened_as_it_is_told() {
    let world = World::new();
    world.write("home/notes.md", "the plan\n");
    let path = world.path("home/notes.md");
    let read = || {
        let arguments = serde_json::json!({ "file_path": &path });
        Reply::new().call("read", &arguments.to_string())
    };
    let server = server([read(), Reply::text("I may not."), read(), Reply::text("I may.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["look"]);
    terminal.shows("Refused: the file ~/notes.md. /allow ~/notes.md opens it.");
    terminal.shows("I may not.").shows(AT_REST).press("/allow ~/notes.md").press(ENTER);
    terminal.shows("Allowed for this session").press("again").press(ENTER).shows("I may.");
    terminal.shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert!(
        world.shown()[0].contains("outside the workspace") && world.shown()[1].contains("plan")
    );
    world.assert_sound();
}

#[test]
fn one_goes_back_after_having_seen_what_that_does() {
    let world = World::new();
    let server = server([
        shell("echo one > a.txt"),
        Reply::text("Written."),
        shell("echo two > a.txt; echo new > b.txt"),
        Reply::text("Changed."),
        Reply::text("Otherwise, then."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("Written.").shows(AT_REST).press("second").press(ENTER).shows("Changed.");
    terminal.shows(AT_REST).press("/rewind").press(ENTER).shows("▸   2  second").press(ENTER);
    terminal.shows("taken back  a.txt").shows("deleted  b.txt");
    terminal.shows("▸ the conversation and the files").press(ENTER);
    terminal.shows("as before round 2").shows("❯ second");
    assert_eq!(std::fs::read_to_string(world.path("work/a.txt")).unwrap(), "one\n");
    assert!(!world.path("work/b.txt").exists());
    terminal.press("\x15otherwise").press(ENTER).shows("Otherwise, then.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let sent = serde_json::to_string(&server.requests().pop().unwrap().messages()).unwrap();
    assert!(sent.contains("Written.") && !sent.contains("Changed."), "{sent}");
    world.assert_sound();
}

#[test]
fn a_copy_goes_on_and_the_original_stays() {
    let world = World::new();
    let server = server([Reply::text("One."), Reply::text("Two.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal
        .shows("One.")
        .shows(AT_REST)
        .press("/fork")
        .press(ENTER)
        .shows("with a copy from here");
    terminal.press("second").press(ENTER).shows("Two.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let ids = world.home().session_ids().unwrap();
    assert_eq!(ids.len(), 2);
    let prompts = |id| {
        let archive = record::Archive::open(&world.home(), id).unwrap();
        let events = archive.events().unwrap();
        events.iter().filter(|event| matches!(event.body, Body::Prompt(_))).count()
    };
    let mut counts: Vec<usize> = ids.into_iter().map(prompts).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    world.assert_sound();
}

#[test]
fn a_command_of_ones_own_that_died_with_limn_is_told_as_lost() {
    let world = World::new();
    let server = server([Reply::text("I see.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("!echo rea''dy; exec sleep 1000").press(ENTER).shows("│ ready");
    terminal.signal(Signal::KILL);
    terminal.ends();
    world.exec(&server.url(), &["--resume", "last", "and?"]).succeeds();
    let ran = world.bodies("user_command");
    let [Body::UserCommand(lost)] = ran.as_slice() else { panic!("{ran:?}") };
    assert_eq!((lost.command.as_str(), lost.exec), ("echo rea''dy; exec sleep 1000", 1));
    let sent = serde_json::to_string(&server.requests().pop().unwrap().messages()).unwrap();
    assert!(sent.contains("limn died while this ran"), "{sent}");
    world.assert_sound();
}
