//! The user's own hand in a session, in a real terminal: commands of their own, words to a round
//! that is under way, a summary when they want one.

use mock_server::Reply;
use trajectory::Body;

use crate::terminal::{CTRL_C, CTRL_D, ENTER, Terminal};
use crate::world::{PATIENCE, World, server, shell};

const CTRL_S: &str = "\x13";

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
    terminal.press("!!").shows("OUTSIDE the sandbox").press("exit 3").press(ENTER).shows("exit 3");
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
    terminal.shows("your command runs").press(CTRL_C).shows("[cancelled; killed]");
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
    terminal.shows("The first answer.").shows("✓").press("/compact mind the gap").press(ENTER);
    terminal.shows("replaced by a summary");
    assert!(last_message(&server).contains("mind the gap"));
    terminal.press("second").press(ENTER).shows("The second answer.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let sent = server.requests().pop().unwrap().messages();
    let text = serde_json::to_string(&sent).unwrap();
    assert!(text.contains("We spoke of one thing.") && !text.contains("The first answer."));
    world.assert_sound();
}
