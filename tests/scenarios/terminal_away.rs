//! The terminal while somebody else has it: what happens behind the user's own editor.

use std::fs;
use std::process::Command;

use mock_server::{MockServer, Reply};
use rustix::process::Signal;
use trajectory::Body;
use trajectory::event::ApprovalDecision;

use crate::stage::{AT_REST, ENTER, Terminal, for_server};
use crate::world::{World, server, shell};

const CTRL_G: &str = "\x07";

/// An editor that says that it is there, and leaves what it is told through a pipe.
fn with_editor() -> World {
    let world = World::new();
    let gate = world.path("home/gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let script = "echo $$ > \"$HOME/pid\"; echo in the editor; exec cat \"$HOME/gate\" > \"$1\"\n";
    world.write("home/editor", script);
    world
}

/// A terminal that leaves what an editor leaves in its own world.
fn with_drafts_at_home(world: &World, server: &MockServer) -> Terminal {
    let dress = Terminal::dress(world, &for_server(&server.url(), &[]));
    let mut terminal = Terminal::start(dress.env("TMPDIR", world.path("home")));
    terminal.shows("sandbox off");
    terminal
}

fn leaves(world: &World, text: &[u8]) {
    fs::write(world.path("home/gate"), text).unwrap();
}

#[test]
fn a_round_ends_behind_the_editor_however_much_is_said_in_it() {
    let world = with_editor();
    let words = (0..9_000).map(|number| format!("word{number} ")).chain(["THE END.".to_owned()]);
    let server = server([Reply::new().text_deltas(words), Reply::text("Heard.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("go").shows("❯ go").press("\r\x07").shows("in the editor");
    terminal.waits_until(|_| {
        // The session is on record before the model is asked.
        server.requests().len() == 1 && world.bodies("round_ended").len() == 1
    });
    assert!(!terminal.screen().contains("THE END."), "{}", terminal.screen());
    leaves(&world, b"and then?\n");
    terminal.shows("THE END.").shows("❯ and then?").press(ENTER).shows("Heard.").shows("✓").leave();
    world.assert_sound();
}

#[test]
fn a_call_that_waits_behind_the_editor_is_asked_about_after_it() {
    let world = with_editor();
    let server = server([shell("echo one > one"), Reply::text("As you say.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask"]);
    terminal.press("go").shows("❯ go").press("\r\x07").shows("in the editor");
    // Whoever writes is called.
    terminal.waits_until(|terminal| terminal.has_sent(b"\x07"));
    leaves(&world, b"a later prompt\n");
    terminal.shows("May it? shell").shows("allow once").press("y").shows("As you say.");
    terminal.shows("❯ a later prompt").press("\x15").leave();
    assert_eq!(world.decisions(), [(ApprovalDecision::Allowed, None)]);
    assert!(world.path("work/one").exists());
    world.assert_sound();
}

#[test]
fn what_an_amended_command_does_is_read_again() {
    let world = World::new();
    world.write("home/editor", "echo 'echo two > two; true' > \"$1\"\n");
    let server = server([shell("echo one > one"), Reply::text("As you say.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask", "go"]);
    // In one breath: what is not seen is not allowed.
    terminal.shows("May it? shell").shows("writes  one").press("ey");
    terminal.shows("allow as you wrote it").shows("echo two · true").shows("writes  two");
    assert!(!world.path("work/two").exists());
    terminal.press("y").shows("As you say.").leave();
    assert!(world.path("work/two").exists() && !world.path("work/one").exists());
    world.assert_sound();
}

#[test]
fn what_the_editor_leaves_is_taken_whole_or_kept_and_told() {
    let world = with_editor();
    let server = server([Reply::text("Read.")]);
    let mut terminal = with_drafts_at_home(&world, &server);
    terminal.press("first").press(CTRL_G).shows("in the editor");
    leaves(&world, b"caf\xe9\n");
    terminal.shows("is not all UTF-8").shows("❯ first").press(CTRL_G).shows("in the editor");
    leaves(&world, b"all:\n\tcc -o caf\xc3\xa9 x.c\n");
    terminal.shows("cc -o café").press(ENTER).shows("Read.").shows("✓").leave();
    let [Body::Prompt(prompt)] = &world.bodies("prompt")[..] else { panic!() };
    assert_eq!(prompt.text, "all:\n\tcc -o café x.c");
}

#[test]
fn whoever_ends_limn_ends_the_editor_with_it() {
    let world = with_editor();
    let server = server([Reply::text("One.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("One.").shows(AT_REST).press(CTRL_G).shows("in the editor");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.ends(), 0, "{}", terminal.screen());
    terminal.assert_given_back();
    let pid = fs::read_to_string(world.path("home/pid")).unwrap();
    // What is left of it has no command line any more.
    let line = format!("/proc/{}/cmdline", pid.trim());
    terminal.waits_until(|_| fs::read(&line).map_or(true, |line| line.is_empty()));
    assert_eq!(world.events().pop().unwrap().body.kind(), "session_ended");
    world.assert_sound();
}

#[test]
fn what_was_saved_in_the_editor_is_not_lost_with_limn() {
    let world = World::new();
    // It saves and goes on, as an editor does; that the terminal is closed after limn is not what ends
    // it.
    let script = "trap '' HUP; trap 'echo > \"$HOME/ended\"; exit' TERM; echo an hour of words > \"$1\"\n\
                  echo saved; while :; do sleep 0.05; done\n";
    world.write("home/editor", script);
    let server = server([]);
    let mut terminal = with_drafts_at_home(&world, &server);
    terminal.press("first").press(CTRL_G).shows("saved");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.ends(), 0, "{}", terminal.screen());
    terminal.waits_until(|_| world.path("home/ended").exists());
    let files = fs::read_dir(world.path("home")).unwrap().map(|it| it.unwrap().path());
    let drafts = files.filter(|it| it.display().to_string().contains("limn-prompt-"));
    let drafts: Vec<String> = drafts.map(|it| fs::read_to_string(it).unwrap()).collect();
    assert_eq!(drafts, ["an hour of words\n"]);
}

#[test]
fn an_editor_opened_time_and_again_has_every_key_and_gives_all_of_them_back() {
    let world = World::new();
    let script = "echo \"with $(cat \"$1\")\"; read -r line; printf %s \"$line\" >> \"$1\"\n";
    world.write("home/editor", script);
    let server = server([]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    let mut text = String::new();
    for letter in ('a'..='z').cycle().take(40) {
        text.push(letter);
        // The key before the editor's is read in the same breath.
        terminal.press(&format!("{letter}{CTRL_G}")).shows(&format!("with {text}"));
        text.push('-');
        terminal.press("-\n").shows(&format!("❯ {text}"));
    }
    terminal.press("\x15").leave();
}

#[test]
fn many_keys_at_once_all_come() {
    let world = World::new();
    let server = server([Reply::text("Read.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    let keys: String = (0..1_200).map(|number| format!("word{number} ")).collect();
    terminal.press(&keys).shows("word1199").press(ENTER).shows("Read.").shows("✓").leave();
    let [Body::Prompt(prompt)] = &world.bodies("prompt")[..] else { panic!() };
    assert_eq!(prompt.text, keys);
}

#[test]
fn what_is_typed_on_while_the_editor_opens_is_no_answer_to_what_comes_after() {
    let world = with_editor();
    let server = server([]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    // In one breath: the key that opens it, a letter, enter, and the beginning of a paste.
    terminal.press("first\x07x\r\x1b[200~abc").shows("in the editor");
    leaves(&world, b"second\n");
    terminal.shows("❯ second").press("!").shows("❯ second!").press("\x15").leave();
    assert!(server.requests().is_empty());
}
