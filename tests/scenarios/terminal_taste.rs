//! The terminal as the user likes it, and where nothing can be drawn.

use mock_server::Reply;
use trajectory::Body;
use trajectory::event::ApprovalDecision;

use crate::stage::{CTRL_C, CTRL_D, CTRL_U, ENTER, Terminal};
use crate::world::{World, server, shell};

#[test]
fn by_lines_a_prompt_is_a_line_and_a_question_is_answered_by_one() {
    let world = World::new();
    let server = server([
        shell("echo one > one"),
        shell("echo two > two"),
        Reply::text("As you say."),
        Reply::new().reasoning("Once more, then.").text_deltas(["And ", "again."]),
    ]);
    let url = server.url();
    let args =
        ["--model", "mock-model", "--base-url", &url, "--sandbox", "off", "--approval", "ask"];
    let mut terminal = Terminal::start(Terminal::dress(&world, &args).env("TERM", "dumb"));
    terminal.shows("by lines").press("go\n").shows("May it? shell").shows("y, n REASON, or a?");
    terminal
        .press("what\n")
        .press("y\n")
        .shows("? shell {\"command\":\"echo two")
        .press("n not now\n");
    terminal.shows("As you say.").press("more\n").shows("And again.").press("/quit\n");
    assert_eq!(terminal.ends(), 0);
    // A thought is told once, before what comes of it.
    let printed = String::from_utf8_lossy(terminal.printed()).into_owned();
    assert_eq!(printed.matches("~ Once more, then.").count(), 1, "{printed}");
    assert!(printed.find("~ Once more") < printed.find("And again."), "{printed}");
    assert!(!terminal.has_sent(b"\x1b"), "{:?}", String::from_utf8_lossy(terminal.printed()));
    assert!(world.path("work/one").exists() && !world.path("work/two").exists());
    let denied = (ApprovalDecision::Denied, Some("not now".to_owned()));
    assert_eq!(world.decisions(), [(ApprovalDecision::Allowed, None), denied]);
    world.assert_sound();
}

#[test]
fn by_lines_a_round_is_stopped_and_whoever_only_looks_leaves_nothing() {
    let world = World::new();
    let server = server([Reply::text("I begin with this.").hang_after(2), Reply::text("Again.")]);
    let url = server.url();
    let args = ["--model", "mock-model", "--base-url", &url, "--sandbox", "off"];
    let mut looking = Terminal::start(Terminal::dress(&world, &args).env("TERM", "dumb"));
    looking.shows(">").press(CTRL_D);
    assert_eq!(looking.ends(), 0);
    assert!(world.limn(&["sessions"]).succeeds().stdout.is_empty());
    let mut terminal = Terminal::start(Terminal::dress(&world, &args).env("TERM", "dumb"));
    terminal.shows(">").press("go\n").shows("I begin").press(CTRL_C).shows("interrupted");
    terminal.press("on\n").shows("Again.").press("/quit\n");
    assert_eq!(terminal.ends(), 0);
    world.assert_sound();
}

#[test]
fn keys_and_colours_of_ones_own_and_what_is_wrong_in_them() {
    let world = World::new();
    world.settings("[terminal]\nvim = true\nnotify = \"off\"\n");
    world.write("home/.config/limn/keys.toml", "[everywhere]\n\"ctrl-p\" = \"f3\"\n");
    world.write("home/.config/limn/theme.toml", "[ui]\naccent = \"blod\"\n");
    let server = server([Reply::text("Done.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.shows("theme.toml, line 2: `blod`").shows("The usual colours are used.");
    terminal.press("\x10").shows("Timeline").press("\x10");
    terminal.press("one two").shows("one two").press("\x1b").shows("N one two");
    terminal.press("bD").press("x").press(ENTER).shows("Done.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let prompts = world.bodies("prompt");
    let [Body::Prompt(prompt)] = prompts.as_slice() else { panic!("{prompts:?}") };
    assert_eq!(prompt.text.trim(), "one");
}

#[test]
fn a_key_of_the_settings_that_nobody_knows_is_told_with_its_line() {
    let world = World::new();
    world.settings("model = \"m\"\n[terminal]\nnotify = \"loud\"\n");
    world.limn(&["exec", "hi"]).exits(2).says(&["config.toml, line 3", "loud"]);
}

/// A picture of one point.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[test]
fn a_picture_is_dropped_or_chosen_and_goes_with_the_prompt() {
    let world = World::new();
    std::fs::write(world.path("work/shot one.png"), PNG).unwrap();
    std::fs::write(world.path("work/not.png"), "text").unwrap();
    let server = server([Reply::text("I see.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.paste(&world.path("work/not.png").display().to_string());
    terminal.shows("not.png").press(CTRL_U);
    let dropped = format!("'{}'", world.path("work/shot one.png").display());
    terminal.paste(&dropped).shows("[image shot one.png]").press("what is it?").press(ENTER);
    terminal.shows("I see.").shows("✓").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let prompts = world.bodies("prompt");
    let [Body::Prompt(prompt)] = prompts.as_slice() else { panic!("{prompts:?}") };
    assert_eq!(prompt.text, "[image shot one.png] what is it?");
    let [attached] = prompt.attachments.as_slice() else { panic!("{prompt:?}") };
    assert_eq!(
        (attached.name.as_str(), attached.media_type.as_str()),
        ("shot one.png", "image/png")
    );
    let request = server.requests()[0].json().to_string();
    assert!(request.contains("data:image/png;base64,"), "{request}");
    world.assert_sound();
}
