//! The terminal among other programs, and how it ends: tmux, vim and top, windows that are dragged
//! and closed, servers that go away.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mock_server::{MockServer, Reply, Scenario};
use pty::{Dress, TerminalSize};

use crate::stage::{
    AT_REST, CTRL_BRACKET, CTRL_U, ENTER, ESC, F3, RIGHT, Terminal, UP, for_server, needs_program,
};
use crate::world::{PATIENCE, World, server, shell};

#[test]
fn a_model_server_is_lost_in_the_middle_and_comes_back() {
    let world = World::new();
    let begun = Reply::new().then_text("I begin with ").then_text("one thing").hang_after(3);
    let first = server([begun]);
    let address = first.address();
    let mut terminal = Terminal::with_server(&world, &first, &["first"]);
    terminal.shows("I begin with one thing");
    drop(first);
    // It is asked again, and told what to do when nobody is there.
    terminal.shows("Asking again").shows("Start the model server").shows(AT_REST);
    let second = Scenario::replies([Reply::text("All of it, then.")]);
    let second = MockServer::start_at(address, second).unwrap();
    // What was asked is one key away.
    terminal.press(UP).shows("❯ first").press(ENTER).shows("All of it, then.").shows("✓").leave();
    assert_eq!(second.requests().len(), 1);
    world.assert_sound();
}

#[test]
fn a_window_that_is_dragged_about_keeps_what_it_shows() {
    let world = World::new();
    let words = (0..600).map(|number| format!("word{number} ")).chain(["THE END.".to_owned()]);
    let server = MockServer::start(Scenario::replies([Reply::new()
        .text_deltas(words)
        .events_per_write(5)
        .pause(Duration::from_millis(2))]))
    .unwrap();
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    for step in 0..60u16 {
        terminal.resize(20 + step * 37 % 140, 4 + step * 11 % 50);
        terminal.press(if step % 2 == 0 { "x" } else { "\x7f" });
    }
    terminal.resize(20, 5).shows("limn likes 24 × 8.");
    // A key at the very moment of a resize may be heard with the next one only.
    terminal.resize(80, 24).shows("THE END.").shows("✓").press(CTRL_U).shows(AT_REST);
    terminal.resize(200, 60).shows("go").shows("word0 word1").shows("THE END.").leave();
    world.assert_sound();
}

#[test]
fn a_window_that_is_closed_leaves_the_log_whole_and_no_orphan() {
    let world = World::new();
    let server =
        server([shell("echo $$ > pid; printf 're%s\\n' ady; exec sleep 1000"), Reply::text("no")]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("│ ready");
    terminal.pty().hang_up().unwrap();
    let pid = std::fs::read_to_string(world.path("work/pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
    assert_eq!(world.events().pop().unwrap().body.kind(), "session_ended");
    world.assert_sound();
}

/// A command that goes on in the background, and the round that began it is over.
fn job(command: &str) -> [Reply; 2] {
    let arguments = serde_json::json!({ "command": command, "background": true });
    [Reply::new().call("shell", &arguments.to_string()), Reply::text("It runs.")]
}

#[test]
fn vim_is_attached_to_and_what_it_writes_is_there() {
    if !needs_program("vim") {
        return;
    }
    let world = World::new();
    let server = server(job("vim -u NONE -N notes.txt").into_iter().chain([Reply::text("Seen.")]));
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press(F3).press(RIGHT).press(RIGHT).shows("background").press(ENTER);
    terminal.shows("gives the keyboard back").shows("notes.txt");
    terminal.press("i").shows("INSERT").press("a word of mine").shows("a word of mine");
    // Away and back: it is as it was, and in its full size again.
    terminal.press(CTRL_BRACKET).shows("Terminals 1").press(ENTER).shows("a word of mine");
    terminal.press(ESC).shows_no_more("INSERT").press(":wq\r").shows("The command has ended.");
    let notes = std::fs::read_to_string(world.path("work/notes.txt")).unwrap();
    assert_eq!(notes, "a word of mine\n");
    terminal.shows("exit 0").press("i").leave();
    world.assert_sound();
}

#[test]
fn top_is_attached_to_and_left_running() {
    if !needs_program("top") {
        return;
    }
    let world = World::new();
    let server = server(job("top -d 1"));
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("✓").press(F3).press(RIGHT).press(RIGHT).shows("background").press(ENTER);
    terminal.shows("gives the keyboard back").shows("load average").shows("COMMAND");
    terminal.press(CTRL_BRACKET).shows("Terminals 1").press(ENTER).shows("load average");
    terminal.press("q").shows("The command has ended.").press("i").leave();
    world.assert_sound();
}

/// limn in tmux, in a terminal of ours: `tmux` commands reach it from outside.
struct Tmux {
    socket: String,
    terminal: Terminal,
}

impl Tmux {
    fn open(world: &World, url: &str) -> Self {
        world.write("home/tmux.conf", "set -sg escape-time 0\nset -g status off\n");
        let socket = world.path("home/tmux").display().to_string();
        let config = world.path("home/tmux.conf").display().to_string();
        let tmux = which("tmux");
        let limn = env!("CARGO_BIN_EXE_limn");
        let mut args = vec!["-S", &socket, "-f", &config, "new-session", "-s", "it", "--", limn];
        args.extend(for_server(url, &[]));
        let size = TerminalSize { columns: 100, rows: 30 };
        let dress = Dress::of(&tmux, size)
            .args(args)
            .env("HOME", world.path("home"))
            .env("LIMN_HOME", world.data())
            .env("LANG", "C.UTF-8")
            .folder(&world.workspace());
        let terminal = Terminal::start(dress);
        Self { socket, terminal }
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-S", &self.socket]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys", "-t", "it"], keys].concat());
    }
}

fn which(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|it| it.exists()).unwrap()
}

#[test]
fn it_works_in_tmux() {
    if !needs_program("tmux") {
        return;
    }
    let world = World::new();
    let server = server([
        Reply::text("| 名 | n |\n|---|--:|\n| 一二 | 12 |\n\nDone, with `code`."),
        shell("printf 'to\\033[32mgreen\\033[0m\\n'"),
        Reply::text("Printed."),
    ]);
    let mut tmux = Tmux::open(&world, &server.url());
    tmux.terminal.shows("sandbox off");
    tmux.keys(&["-l", "一 question"]);
    tmux.terminal.shows("❯ 一 question");
    tmux.keys(&["Enter"]);
    tmux.terminal.shows("Done, with code.").shows("✓").shows(AT_REST);
    // What tmux holds is what is on our screen.
    let lines = |text: &str| -> Vec<String> {
        text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    };
    let mut captured = tmux.run(&["capture-pane", "-p", "-t", "it"]);
    let (mut shown, since) = (tmux.terminal.screen(), Instant::now());
    while lines(&captured) != lines(&shown) && since.elapsed() < PATIENCE {
        // The one may have been drawn since the other was looked at.
        tmux.terminal.pty().rest(Duration::from_millis(20));
        (captured, shown) = (tmux.run(&["capture-pane", "-p", "-t", "it"]), tmux.terminal.screen());
    }
    assert_eq!(lines(&captured), lines(&shown));
    assert!(captured.contains("一二 │ 12"), "{captured}");
    // Another size, another screen: nothing is lost or doubled.
    tmux.terminal.resize(60, 20).shows("Done, with code.");
    tmux.terminal.resize(100, 30).shows("一 question").shows(AT_REST);
    tmux.keys(&["print", "Enter"]);
    tmux.terminal.shows("togreen").shows("Printed.").shows(AT_REST);
    let coloured = tmux.run(&["capture-pane", "-p", "-e", "-t", "it"]);
    assert!(coloured.contains("\x1b[32mgreen") || coloured.contains("green"), "{coloured}");
    tmux.keys(&["C-d"]);
    tmux.terminal.ends();
    assert_eq!(world.events().pop().unwrap().body.kind(), "session_ended");
    world.assert_sound();
}

#[test]
fn it_stands_still_for_the_shell_and_comes_back() {
    if !needs_program("bash") {
        return;
    }
    let world = World::new();
    let server = server([Reply::text("One.")]);
    let url = server.url();
    let limn = [&[env!("CARGO_BIN_EXE_limn")], for_server(&url, &[]).as_slice()].concat();
    let dress = Dress::of(&which("bash"), TerminalSize { columns: 200, rows: 30 })
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "shell> ")
        .env("HOME", world.path("home"))
        .env("LIMN_HOME", world.data())
        .folder(&world.workspace());
    let mut terminal = Terminal::start(dress);
    terminal.shows("shell>").press(&limn.join(" ")).press(ENTER).shows("sandbox off");
    terminal.press("half a pro").shows("❯ half a pro").press("\x1a").shows("Stopped");
    assert!(!terminal.pty().emulator().alternate_screen());
    terminal.press("echo from the sh''ell").press(ENTER).shows("from the shell");
    terminal.press("fg").press(ENTER).shows("❯ half a pro").press("mpt").press(ENTER);
    terminal
        .shows("One.")
        .shows("✓")
        .press("\x0c")
        .shows("One.")
        .press("\x04")
        .shows("limn resume");
    terminal.press("exit").press(ENTER);
    assert_eq!(terminal.ends(), 0, "{}", terminal.screen());
    let [trajectory::Body::Prompt(prompt)] = &world.bodies("prompt")[..] else { panic!() };
    assert_eq!(prompt.text, "half a prompt");
    world.assert_sound();
}
