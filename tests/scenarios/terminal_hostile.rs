//! What comes from a model or a command is shown and never obeyed, however much of it there is; and
//! what the terminal itself can show.

use mock_server::Reply;
use pty::Background;

use crate::stage::{AT_REST, CTRL_U, ENTER, F3, Terminal, for_server};
use crate::world::{World, server, shell};

/// What a terminal would obey: a title, the clipboard, a place far away, a palette, the end of the
/// alternate screen, a report, each in a form of its own.
const ORDERS: &[&str] = &[
    "\x1b]0;owned\x07",
    "\x1b]52;c;b3duZWQ=\x07",
    "\x1b[31337;1H",
    "\x1b]4;1;rgb:00/00/00\x1b\\",
    "\x1b[?1049l",
    "\x1b[2J\x1b[3J",
    "\x1b[6n",
    "\x1bPq#0owned\x1b\\",
    "\x1b]8;;http://owned\x07",
];

#[test]
fn no_order_of_a_model_or_a_command_reaches_the_terminal() {
    let world = World::new();
    world.settings("[terminal]\nnotify = \"off\"\n");
    let orders = ORDERS.concat();
    // The shell prints the same bytes, and as C1 too.
    world.write("work/orders", &format!("{orders}\u{9b}31337;1H\u{9d}0;owned\u{9c}after\n"));
    let server = server([
        Reply::new()
            .reasoning(&format!("thinking {orders}"))
            .then_text(&format!("# saying {orders}\n\n```{orders}\ncode {orders}\n```\n"))
            .call(
                "shell",
                &serde_json::json!({ "command": format!("cat orders # {orders}") }).to_string(),
            ),
        Reply::new().call("read", &serde_json::json!({ "file_path": "orders" }).to_string()),
        Reply::text(&format!("[link {orders}](http://{orders}) end")),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("after").shows("✓").shows(AT_REST);
    // Unfolded, in the panel, and as the name of a job.
    terminal.press("\x14").press("\t").press("k\r").press(F3).shows("Timeline");
    terminal.press("i").shows(AT_REST);
    for order in ORDERS {
        assert!(!terminal.has_sent(order.as_bytes()), "{order:?}");
    }
    for bytes in [&b"\xc2\x9b"[..], b"\xc2\x9d", b"\x1b]0", b"\x1b]52", b"\x07", b"\x1bP"] {
        assert!(!terminal.has_sent(bytes), "{bytes:?}");
    }
    terminal.leave();
    world.assert_sound();
}

#[test]
fn a_line_without_end_bytes_that_are_no_text_and_a_flood_of_marks() {
    let world = World::new();
    // Nothing that repeats itself, neither the marks nor the line: a model that does is stopped,
    // unless its reply is at its end before that is seen.
    let mark = |number: u32| char::from_u32(0x300 + number * number / 7 % 0x70).unwrap();
    let marks: String = std::iter::once('y').chain((0..60_000).map(mark)).collect();
    let line: String = (0..150_000).map(|number: u32| number.to_string()).collect();
    let server = server([
        shell("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo FIRST"),
        shell(
            "printf 'bad \\377\\376\\303( \\355\\240\\200 bytes\\n'; head -c 100000 /dev/urandom; echo; echo SECOND",
        ),
        shell("yes \"$(printf '\\314\\201')\" | head -c 600000 | tr -d '\\n'; echo; echo THIRD"),
        Reply::new().then_text(&marks).then_text(&line).then_text("\n\nLAST"),
    ]);
    let mut terminal = Terminal::with_server(&world, &server, &["go"]);
    terminal.shows("LAST").shows("✓").shows(AT_REST);
    // It is still a terminal that answers.
    terminal.press("typed").shows("❯ typed").press(CTRL_U).press("\x1b[5~").press("\x1b[5~");
    terminal.shows("more below").press("and").shows("❯ and").press(CTRL_U).leave();
    world.assert_sound();
}

#[test]
fn a_key_file_with_an_error_is_told_with_its_line() {
    let world = World::new();
    world.write("home/.config/limn/keys.toml", "[everywhere]\n\"ctrl-p\" = \"f33\"\n");
    world.write("home/.config/limn/theme.toml", "[ui\n");
    let server = server([Reply::text("Done.")]);
    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.shows("keys.toml, line 2").shows("The usual keys are used.");
    terminal.shows("theme.toml, line 1").shows("colours are used.");
    terminal.press("go").press(ENTER).shows("Done.").leave();
}

/// A round in a terminal of a kind, and all that was sent to it.
fn drawn(background: Background, variables: &[(&str, &str)]) -> String {
    let world = World::new();
    let server = server([Reply::text("**Done**, in `code`.\n\n```rust\nfn main() {}\n```\n")]);
    let url = server.url();
    let mut dress = Terminal::dress(&world, &for_server(&url, &["go"])).background(background);
    for (name, value) in variables {
        dress = dress.env(name, value);
    }
    let mut terminal = Terminal::start(dress);
    terminal.shows("Done, in code.").shows("fn main() {}").shows("✓").leave();
    String::from_utf8(terminal.printed().to_vec()).unwrap()
}

#[test]
fn colours_are_those_that_the_terminal_has() {
    let (dark, light) = ("38;2;138;180;248", "38;2;31;95;196");
    let many = drawn(Background::Dark, &[]);
    assert!(many.contains(dark) && !many.contains(light));
    let on_white = drawn(Background::Light, &[]);
    // Until the terminal has said what it has, it is taken for a dark one.
    let (_, known) = on_white.split_once(light).expect("light colours");
    assert!(!known.contains(dark));
    let palette = drawn(Background::Dark, &[("COLORTERM", "")]);
    assert!(palette.contains("38;5;") && !palette.contains("38;2;"));
    let few = drawn(Background::Dark, &[("COLORTERM", ""), ("TERM", "xterm")]);
    assert!(!few.contains("38;2;"));
    let none = drawn(Background::Dark, &[("NO_COLOR", "1")]);
    assert!(!none.contains("38;") && !none.contains("48;"), "{none:?}");
}
