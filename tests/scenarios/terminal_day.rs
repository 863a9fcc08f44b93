//! A day in the terminal: sessions gone on with, files found, things looked for, copied and judged.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use mock_server::Reply;
use trajectory::Body;
use trajectory::event::ApprovalDecision;

use crate::stage::{
    AT_REST, CTRL_D, CTRL_U, DOWN, ENTER, ESC, F1, PAGE_UP, TAB, Terminal, UP, for_server,
};
use crate::world::{PATIENCE, World, server, shell};

#[test]
fn an_earlier_session_is_chosen_on_the_first_screen() {
    let world = World::new();
    let server = server([Reply::text("One."), Reply::text("Two."), Reply::text("Three.")]);
    for (prompt, answer) in [("the first thing", "One."), ("the second thing", "Two.")] {
        let mut terminal = Terminal::with_server(&world, &server, &[prompt]);
        terminal.shows(answer).shows("✓").leave();
    }
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.shows("the second thing").shows("the first thing").press(DOWN).shows("▸ the second");
    terminal.press(DOWN).shows("▸ the first thing").press(ENTER).shows("One.");
    terminal.shows("go on with this session").press("and?").press(ENTER).shows("Three.");
    terminal.shows("✓").leave();
    let sent = serde_json::to_string(&server.requests().pop().unwrap().messages()).unwrap();
    assert!(sent.contains("the first thing") && !sent.contains("the second thing"), "{sent}");
    world.assert_sound();
}

#[test]
fn at_the_first_run_it_asks_whose_the_recordings_are() {
    let world = World::new();
    let server = server([Reply::text("One.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.shows("/annotator NAME").press("/annotator heron").press(ENTER);
    terminal.shows("annotator is heron").press("/consent team").press(ENTER);
    terminal.shows("consent is team").press("first").press(ENTER).shows("One.").shows("✓").leave();
    let settings = std::fs::read_to_string(world.path("home/.config/limn/config.toml")).unwrap();
    assert!(settings.contains("annotator = \"heron\"") && settings.contains("consent = \"team\""));
    let session = world.archive().session().unwrap();
    assert_eq!(session.annotator.as_deref(), Some("heron"));
    assert_eq!(session.config["consent"], "team");
    // It is asked once.
    let mut again = Terminal::with_server(&world, &server, &[]);
    again.shows("first").shows(AT_REST);
    assert!(!again.screen().contains("/annotator"), "{}", again.screen());
    again.leave();
}

#[test]
fn a_model_is_chosen_from_those_the_server_has() {
    let world = World::new();
    let server = server([Reply::text("As another.")]);
    let url = server.url();
    let args = ["--model", "old-model", "--base-url", &url, "--sandbox", "off"];
    let mut terminal = Terminal::open(&world, &args);
    terminal.shows("old-model").press("/model").press(ENTER).shows("▸ mock-model").press(ENTER);
    terminal.shows("From here on, mock-model answers.").press("go").press(ENTER);
    terminal.shows("As another.").shows("✓").leave();
    assert_eq!(server.requests().last().unwrap().json()["model"], "mock-model");
    world.assert_sound();
}

#[test]
fn the_status_says_where_one_stands() {
    let world = World::new();
    world.settings("[models.mock-model]\ncontext_window = 10000\n");
    let usage = serde_json::json!({
        "prompt_tokens": 1_900, "completion_tokens": 100, "total_tokens": 2_000,
    });
    let server = server([Reply::text("One.").usage(usage)]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal
        .shows("One.")
        .shows("✓")
        .shows("context 20 %")
        .press("/note mind the gap")
        .press(ENTER);
    terminal.shows("note mind the gap").press("/outcome failure").press(ENTER);
    terminal.shows("outcome failure").press("/status").press(ENTER);
    for said in [
        "model      mock-model",
        "2,000 of 10,000 tokens, 20 %",
        "sandbox    off",
        "approval   auto",
        "judged     failure",
    ] {
        terminal.shows(said);
    }
    terminal.shows(&format!("{}.db", world.home().session_ids().unwrap()[0])).leave();
    let said = record::Library::open(&world.home()).unwrap();
    let said = said.annotations(world.home().session_ids().unwrap()[0]).unwrap();
    assert!(said.iter().any(|it| it.field == "note" && it.value == "mind the gap"));
}

#[test]
fn a_step_is_rated_and_the_rating_is_there_when_one_comes_back() {
    let world = World::new();
    let server = server([shell("echo one"), Reply::text("Two.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("Two.").shows("✓").press(TAB).press("-").shows("is bad");
    // The card above it.
    terminal.press(TAB).press(TAB).press("kk").press("+").shows("is good").leave();
    let mut again = Terminal::with_server(&world, &server, &["resume"]);
    again.shows("− Two.").shows("+ shell echo one").leave();
}

#[test]
fn what_is_looked_for_is_found_far_above() {
    let world = World::new();
    let long: String = (1..=200).map(|line| format!("line {line}\n\n")).collect();
    let server = server([Reply::text(&format!("The needle is here.\n\n{long}"))]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("line 200").shows("✓").press(PAGE_UP).shows("more below");
    terminal.press(TAB).press("/").shows("search:").press("needle").press(ENTER);
    terminal.shows("The needle is here.");
    // A prompt that is begun is written, wherever one looks.
    terminal.press("i").press("next").shows("❯ next").press(CTRL_U).leave();
}

#[test]
fn what_is_copied_reaches_the_terminal_and_the_desktop() {
    let world = World::new();
    // A desktop whose clipboard is a pipe.
    let clip = world.path("home/clip");
    std::fs::create_dir(world.path("bin")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&clip).status().unwrap();
    assert!(made.success());
    world.write("bin/wl-copy", "#!/bin/sh\nexec cat > \"$HOME/clip\"\n");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path("bin/wl-copy"), mode).unwrap();
    let server = server([Reply::text("A **bold** word.")]);
    let url = server.url();
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    let dress = Terminal::dress(&world, &for_server(&url, &["go"]));
    let dress = dress.env("PATH", path).env("WAYLAND_DISPLAY", "wayland-0");
    let mut terminal = Terminal::start(dress);
    terminal.shows("A bold word.").shows("✓").press(TAB).press("y").shows("Copied.");
    let mut taken = String::new();
    std::fs::File::open(&clip).unwrap().read_to_string(&mut taken).unwrap();
    assert_eq!(taken, "A **bold** word.");
    // The same text for a terminal that is far away.
    assert!(terminal.has_sent(b"\x1b]52;c;QSAqKmJvbGQqKiB3b3JkLg==\x1b\\"));
    terminal.press("i").leave();
}

/// A picture as far as anybody looks.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n some pixels \0\xff";

/// A desktop of which one program tells what the clipboard holds, if it is asked as it wants to be.
fn pastes_a_picture(variable: &str, program: &str, asked: &str) {
    let world = World::new();
    std::fs::write(world.path("home/clipboard"), PNG).unwrap();
    let script = format!("#!/bin/sh\n[ \"$*\" = '{asked}' ] && exec cat \"$HOME/clipboard\"\n");
    world.write(&format!("bin/{program}"), &script);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path(&format!("bin/{program}")), mode).unwrap();
    let server = server([Reply::text("I see.")]);
    let url = server.url();
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    let dress = Terminal::dress(&world, &for_server(&url, &[]));
    let mut terminal = Terminal::start(dress.env("PATH", path).env(variable, ":0"));
    terminal.shows(AT_REST).press("see \x16").shows("❯ see [image clipboard-");
    terminal.press(ENTER).shows("I see.").shows("✓");
    // What is no picture is told, and changes nothing.
    std::fs::write(world.path("home/clipboard"), "").unwrap();
    terminal.press("\x16").shows("The clipboard holds no picture").leave();
    let [Body::Prompt(prompt)] = &world.bodies("prompt")[..] else { panic!() };
    let [picture] = &prompt.attachments[..] else { panic!("{prompt:?}") };
    assert_eq!(picture.media_type, "image/png");
    assert_eq!(world.archive().attachment(&picture.blake3).unwrap().as_deref(), Some(PNG));
}

#[test]
fn a_picture_comes_from_the_clipboard_of_wayland() {
    pastes_a_picture("WAYLAND_DISPLAY", "wl-paste", "--type image/png");
}

#[test]
fn a_picture_comes_from_the_clipboard_of_x() {
    pastes_a_picture("DISPLAY", "xclip", "-selection clipboard -t image/png -o");
}

#[test]
fn what_was_asked_in_earlier_sessions_is_recalled_and_what_was_private_is_not() {
    let world = World::new();
    let replies = ["One.", "Two.", "Three.", "Four."].map(Reply::text);
    let server = server(replies);
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = world.path("elsewhere").display().to_string();
    world.exec(&server.url(), &["asked here"]).succeeds();
    world.exec(&server.url(), &["--workspace", &elsewhere, "asked elsewhere"]).succeeds();
    world.exec(&server.url(), &["--private", "asked in private"]).succeeds();
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    // The key may come before what it recalls.
    terminal.shows("asked here").press("dra").press(UP).shows("❯ asked here");
    terminal.press(UP).shows("❯ asked elsewhere").press(UP).shows("❯ asked elsewhere");
    terminal.press(DOWN).shows("❯ asked here").press(DOWN).shows("❯ dra").press(UP);
    terminal.shows("❯ asked here").press(" again").press(ENTER).shows("Four.").shows("✓").leave();
    let [Body::Prompt(prompt)] = &world.bodies("prompt")[..] else { panic!() };
    assert_eq!(prompt.text, "asked here again");
}

#[test]
fn a_file_that_appears_is_found_at_once() {
    let world = World::new();
    world.write("work/early.txt", "");
    let server = server([Reply::text("One.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("One.").shows(AT_REST).press("see @ear").shows("early.txt");
    world.write("work/earlier.txt", "");
    terminal.press("l").shows("earlier.txt").press(CTRL_U).leave();
}

#[test]
fn a_longer_prompt_is_written_in_the_editor() {
    let world = World::new();
    let server = server([Reply::text("Read.")]);
    world.write("home/editor", "printf 'and a second line\\n' >> \"$1\"\n");
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("a first line\x0a").press("\x07").shows("and a second line");
    terminal.press(ENTER).shows("Read.").shows("✓").leave();
    let prompts = world.bodies("prompt");
    let [Body::Prompt(prompt)] = prompts.as_slice() else { panic!("{prompts:?}") };
    assert_eq!(prompt.text, "a first line\nand a second line");
}

#[test]
fn prompts_that_wait_are_reordered_and_taken_back() {
    let world = World::new();
    let server = server([
        Reply::text("I begin.").hang_after(2),
        Reply::text("To the third."),
        Reply::text("To the second."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    assert!(server.wait_for_requests(1, PATIENCE));
    for prompt in ["second", "third", "never"] {
        terminal.press(prompt).press(ENTER).shows(&format!("waits  {prompt}"));
    }
    // The last is removed, and the third goes before the second.
    terminal.press("\x11").shows("▸ never").press("\x1b[3~").shows_no_more("never");
    terminal.press("\x1b[1;3A").shows("▸ third").press(ESC).shows_no_more("▸ third");
    terminal.press(ESC).shows("❯ second");
    terminal.press(ENTER).press("\x03").shows("To the third.").shows("To the second.").leave();
    let asked: Vec<String> = world
        .bodies("prompt")
        .into_iter()
        .map(|body| match body {
            Body::Prompt(prompt) => prompt.text,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, ["first", "third", "second"]);
    world.assert_sound();
}

#[test]
fn a_reply_is_stopped_in_the_middle_and_one_goes_on() {
    let world = World::new();
    let begun = Reply::new().then_text("I begin with ").then_text("one thing").hang_after(3);
    let server = server([begun, Reply::text("Better so.")]);
    let mut terminal = Terminal::with_server(&world, &server, &["first"]);
    terminal.shows("I begin with one thing").press(ESC).shows("Interrupted by you.").shows(AT_REST);
    terminal.press("differently").press(ENTER).shows("Better so.").shows("✓").leave();
    // What had come is kept, and said to be half.
    let said = world.bodies("message");
    let [Body::Message(half), Body::Message(whole)] = said.as_slice() else { panic!("{said:?}") };
    assert!(half.interrupted && half.text == "I begin with one thing" && !whole.interrupted);
    world.assert_sound();
}

#[test]
fn one_goes_back_two_rounds() {
    let world = World::new();
    let server = server([
        shell("echo one > a.txt"),
        Reply::text("First."),
        shell("echo two > a.txt"),
        Reply::text("Second."),
        shell("echo three > a.txt"),
        Reply::text("Third."),
        Reply::text("Otherwise."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["uno"]);
    terminal.shows("First.").shows(AT_REST).press("due").press(ENTER).shows("Second.");
    terminal.shows(AT_REST).press("tre").press(ENTER).shows("Third.").shows(AT_REST);
    terminal.press("/rewind").press(ENTER).shows("▸   3  tre").press(DOWN).shows("▸   2  due");
    terminal.press(ENTER).shows("taken back  a.txt").shows("▸ the conversation and the files");
    terminal.press(ENTER).shows("as before round 2");
    assert_eq!(std::fs::read_to_string(world.path("work/a.txt")).unwrap(), "one\n");
    terminal.press(CTRL_U).press("quattro").press(ENTER).shows("Otherwise.").shows("✓").leave();
    let sent = serde_json::to_string(&server.requests().pop().unwrap().messages()).unwrap();
    assert!(sent.contains("First.") && !sent.contains("Second.") && !sent.contains("Third."));
    // Everything is still on record.
    assert_eq!(world.bodies("prompt").len(), 4);
    world.assert_sound();
}

#[test]
fn the_question_about_a_command_says_what_it_would_do() {
    let world = World::new();
    let server = server([
        shell("cd /tmp && ls -a | sort > \"$OLDPWD/list\"; eval \"$x\""),
        Reply::text("As you say."),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["--approval", "ask", "go"]);
    terminal.shows("May it? shell").shows("runs    cd /tmp · ls -a · sort · eval …");
    terminal.shows("writes  …").shows("unclear it may do more:");
    terminal.press("n").shows("why not").press("too clever").press(ENTER).shows("As you say.");
    terminal.shows("✓").leave();
    let denied = (ApprovalDecision::Denied, Some("too clever".to_owned()));
    assert_eq!(world.decisions(), [denied]);
}

#[test]
fn every_key_is_told_by_one() {
    let world = World::new();
    let server = server([]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press(F1).shows("Everywhere").shows("any other key closes").press(ESC).shows(AT_REST);
    terminal.press("?").shows("❯ ?").press(CTRL_U).press("\x1bOQ").shows("The mouse is the");
    assert!(terminal.has_sent(b"\x1b[?1002l"));
    terminal.press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_session_is_made_private_before_it_begins_and_not_after() {
    let world = World::new();
    let server = server([Reply::text("Between us.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("/private").press(ENTER).shows("kept out of datasets").shows("· private");
    terminal.press("psst").press(ENTER).shows("Between us.").shows("✓");
    terminal.press("/private").press(ENTER).shows("has begun already").leave();
    assert!(world.archive().status().unwrap().private);
}
