//! The panel of the terminal: what happened, what changed, and a hand on what runs.

use mock_server::Reply;
use record::Direction;
use trajectory::Body;

use crate::stage::{CTRL_BRACKET, CTRL_D, ENTER, F3, RIGHT, Terminal};
use crate::world::{World, server, shell};

/// What the first command printed, or was typed.
fn said(world: &World, direction: Direction) -> Vec<u8> {
    let mut said = Vec::new();
    let take = &mut |bytes: &[u8], _: &[_]| {
        said.extend_from_slice(bytes);
        Ok(())
    };
    world.archive().output_parts(1, direction, take).unwrap();
    said
}

/// A command that goes on in the background, and the round that began it is over.
fn job(command: &str) -> [Reply; 2] {
    let arguments = serde_json::json!({ "command": command, "background": true });
    [Reply::new().call("shell", &arguments.to_string()), Reply::text("It runs.")]
}

#[test]
fn the_timeline_tells_what_is_trained_and_leads_there() {
    let world = World::new();
    let server = server([shell("echo one"), Reply::text("The answer.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press(F3).shows("Timeline").shows("● message").shows("● tool call");
    // Up from the end of the round to the answer, and into the conversation.
    terminal.press("k").shows("message · trained").press(ENTER).shows("y copy");
    terminal.press("i").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_full_screen_program_is_attached_to_and_what_is_typed_is_the_users() {
    let world = World::new();
    // It knows its size, takes keys one by one, and tells both.
    let script = "stty -echo -icanon min 1; printf '\\033[?1049h\\033[2J\\033[H'; \
                  trap 'printf \"size %s;\" \"$(stty size)\"' WINCH; printf 're%s;' ady; \
                  while :; do key=$(dd bs=1 count=1 2>/dev/null); \
                  [ \"$key\" = q ] && exit 3; [ -n \"$key\" ] && printf 'key %s;' \"$key\"; done";
    let server = server(job(script));
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press(F3).press(RIGHT).press(RIGHT).shows("background");
    terminal.waits_until(|_| said(&world, Direction::Out).ends_with(b"ready;")).press(ENTER);
    // The shell tells of its new size when what it waits for has come: a key.
    terminal.shows("gives the keyboard back").shows("ready;").press("x").shows("size 29 100;");
    terminal.shows("key x;").paste("yz").shows("key z;");
    terminal.press(CTRL_BRACKET).shows("Terminals 1").press(ENTER);
    terminal.shows("gives the keyboard back").shows("key x;");
    terminal.press("q").shows("The command has ended.").shows("exit 3");
    terminal.press("i").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    assert_eq!(said(&world, Direction::ByUser), b"xyzq");
    // Whoever plays it back gives it the sizes that it had: there is room for it, none, and again.
    let cast = world.path("it.cast");
    world.limn(&["play", "last", "--cast", cast.to_str().unwrap()]).succeeds();
    let cast = std::fs::read_to_string(&cast).unwrap();
    let pieces: Vec<serde_json::Value> =
        cast.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let sizes: Vec<&serde_json::Value> =
        pieces.iter().filter(|piece| piece[1] == "r").map(|piece| &piece[2]).collect();
    assert_eq!(sizes, ["100x29", "120x40", "100x29"]);
    let place = |what: &str| {
        pieces.iter().position(|piece| piece[2].as_str().unwrap().contains(what)).unwrap()
    };
    assert!(place("100x29") < place("size 29 100;"));
    world.assert_sound();
}

#[test]
fn a_long_paste_reaches_the_command_that_has_the_keyboard_whole() {
    let world = World::new();
    let script = "stty -echo raw; printf 're%s;' ady; head -c 300000 | cksum; exec sleep 1000";
    let server = server(job(script));
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press(F3).press(RIGHT).press(RIGHT).shows("background").press(ENTER);
    let text: String = (0..30_000).map(|number| format!("{number:09}\n")).collect();
    terminal.shows("ready;").paste(&text);
    std::fs::write(world.path("work/expected"), text.replace('\n', "\r")).unwrap();
    let expected = std::process::Command::new("cksum")
        .stdin(std::fs::File::open(world.path("work/expected")).unwrap())
        .output()
        .unwrap();
    terminal.shows(String::from_utf8(expected.stdout).unwrap().trim());
    terminal.press(CTRL_BRACKET).shows("Terminals 1").press("x").press("y").shows("signal");
    terminal.press("i").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    world.assert_sound();
}

#[test]
fn a_job_is_ended_from_the_panel_and_the_model_is_told_by_whom() {
    let world = World::new();
    let server = server(job("sleep 1000").into_iter().chain([Reply::text("Seen.")]));
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press("/panel terminals").press(ENTER).shows("background");
    terminal.press("x").shows("End job 1?").press("y").shows("signal");
    terminal.press("inext").press(ENTER).shows("Seen.").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let ended = world.bodies("background_exit");
    let [Body::BackgroundExit(ended)] = ended.as_slice() else { panic!("{ended:?}") };
    assert!(ended.shown.contains("was stopped by the user"), "{}", ended.shown);
    world.assert_sound();
}

#[test]
fn a_change_is_looked_at_and_taken_back() {
    let world = World::new();
    world.write("work/kept", "one\n");
    let server = server([shell("echo two > kept; echo new > made"), Reply::text("Done.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press("/panel changes").press(ENTER);
    terminal.shows("M kept").shows("A made").shows("- one").shows("+ two");
    terminal.press("r").shows("Take kept back?").press("y").shows("kept is as it was");
    terminal.shows("Changes 1");
    terminal.press("r").shows("Take made back?").press("y").shows("Every file is as it was");
    assert_eq!(std::fs::read_to_string(world.path("work/kept")).unwrap(), "one\n");
    assert!(!world.path("work/made").exists());
    terminal.press("i").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    world.assert_sound();
}
