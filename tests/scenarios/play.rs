//! A session as it happened, in a real terminal; and what commands printed, for other players.

use mock_server::Reply;
use serde_json::Value;

use crate::stage::Terminal;
use crate::world::{World, server, shell};

/// What <https://docs.asciinema.org/manual/asciicast/v3/> asks of a file.
#[track_caller]
fn assert_is_v3(cast: &str) {
    let mut lines = cast.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(header["version"], 3);
    for size in ["cols", "rows"] {
        assert!(header["term"][size].as_u64().is_some_and(|cells| cells > 0), "{header}");
    }
    assert!(header["timestamp"].as_u64().is_some(), "{header}");
    let count = lines
        .map(|event| {
            let event = event.as_array().unwrap().clone();
            let [pause, code, data] = event.as_slice() else { panic!("{event:?}") };
            assert!(pause.as_f64().is_some_and(|pause| pause >= 0.0), "{event:?}");
            assert!(data.is_string(), "{event:?}");
            match code.as_str().unwrap() {
                "o" | "i" | "m" => {}
                "r" => assert!(data.as_str().unwrap().contains('x'), "{event:?}"),
                "x" => drop(data.as_str().unwrap().parse::<i32>().unwrap()),
                other => panic!("{other}"),
            }
        })
        .count();
    assert!(count > 0);
}

#[test]
fn a_session_is_played_back_in_a_terminal_and_nothing_of_it_changes() {
    let world = World::new();
    let server = server([
        shell("echo first sight; sleep 0.2; echo second sight"),
        Reply::text("That was it."),
        Reply::text("And this was that."),
    ]);
    world.exec(&server.url(), &["Show me"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "And then?"]).succeeds();
    let before = world.events();
    let mut terminal = Terminal::open(&world, &["play", "last", "--speed", "0.0625"]);
    // It stands at the first event that is shown, and time passes slowly.
    terminal.shows("Show me").shows("×0.0625").press(" ").shows("⏸");
    terminal.press("]").shows("And then?").press("[").press("[").shows("⏸");
    terminal.press("9").shows("Show me").press("+").shows("×0.125");
    terminal.press("0").shows("event 0 of").press(".").shows("event 1 of").press("q");
    assert_eq!(terminal.ends(), 0);
    terminal.assert_given_back();
    // Pauses are shortened, and an event is begun at.
    let last = before.len().to_string();
    let mut terminal = Terminal::open(&world, &["play", "last", "--idle-max", "0.01"]);
    terminal.shows("And this was that.").shows(&format!("event {last} of {last}")).press("q");
    assert_eq!(terminal.ends(), 0);
    let at = before.iter().find(|it| it.round == 2 && it.body.kind() == "message").unwrap().seq;
    let mut terminal = Terminal::open(&world, &["play", "last", "--from", &at.to_string()]);
    terminal.shows("And then?").shows("That was it.").press("q");
    assert_eq!(terminal.ends(), 0);
    assert_eq!(world.events(), before);
    world.assert_sound();
}

#[test]
fn what_was_typed_is_in_a_cast_when_one_asks_for_it_and_how_one_command_ended() {
    let world = World::new();
    let typed = r#"{"job":1,"input":"secret\n"}"#;
    let server = server([
        shell("stty -echo; printf 'pass: '; read it; echo got ${#it}; exit 3"),
        Reply::new().call("terminal", typed),
        Reply::text("Done."),
    ]);
    world.exec(&server.url(), &["Log in"]).succeeds();
    let cast = world.path("login.cast");
    let path = cast.to_str().unwrap();
    let events = |args: &[&str]| {
        let args = [&["play", "last", "--cast", path, "--exec", "1"], args].concat();
        world.limn(&args).succeeds();
        let text = std::fs::read_to_string(&cast).unwrap();
        assert_is_v3(&text);
        let of = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            (event[1].as_str().unwrap().to_owned(), event[2].as_str().unwrap().to_owned())
        };
        text.lines().skip(1).map(of).collect::<Vec<_>>()
    };
    let without = events(&[]);
    assert!(!without.iter().any(|(_, data)| data.contains("secret")), "{without:?}");
    assert_eq!(without.last().unwrap(), &("x".to_owned(), "3".to_owned()));
    let with = events(&["--input"]);
    let at = with.iter().position(|(code, data)| code == "i" && data.contains("secret")).unwrap();
    let got = with.iter().position(|(_, data)| data.contains("got 6")).unwrap();
    assert!(at < got, "{with:?}");
    world.limn(&["play", "last", "--input"]).exits(2);
}

#[test]
fn what_commands_printed_is_a_cast() {
    let world = World::new();
    let server = server([
        shell("printf '\\033[31mred\\033[0m\\n'; printf 'gr\\303\\274n \\377\\n'"),
        Reply::new().call("read", r#"{"file_path":"absent"}"#),
        shell("echo second"),
        Reply::text("Done."),
    ]);
    world.exec(&server.url(), &["Print colours"]).succeeds();
    let cast = world.path("colours.cast");
    let path = cast.to_str().unwrap();
    world.limn(&["play", "last", "--cast", path, "--idle-max", "0.5"]).succeeds();
    let text = std::fs::read_to_string(&cast).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!((&header["version"], &header["title"]), (&3.into(), &"Print colours".into()));
    assert!(header["term"]["cols"].as_u64() > Some(20), "{header}");
    let events: Vec<Value> = lines.collect();
    assert_is_v3(&text);
    assert!(events.iter().all(|event| (0.0..=0.5).contains(&event[0].as_f64().unwrap())));
    let of = |kind: &str| -> Vec<&str> {
        let kind = events.iter().filter(|event| event[1] == kind);
        kind.map(|event| event[2].as_str().unwrap()).collect()
    };
    assert_eq!(of("m").len(), 2, "a marker for each command that printed something");
    let shown = of("o").concat();
    assert!(shown.contains("\x1b[31mred\x1b[0m\r\n"), "{shown:?}");
    assert!(shown.contains("grün \u{fffd}\r\n"), "{shown:?}");
    assert!(shown.find("red").unwrap() < shown.find("second\r\n").unwrap());

    world
        .limn(&["play", "last", "--cast", path, "--exec", "2"])
        .exits(1)
        .says(&["printed nothing"]);
    assert_eq!(std::fs::read_to_string(&cast).unwrap(), text, "what was there is still there");
    world.limn(&["play", "last"]).exits(2).says(&["limn exec"]);
    world.limn(&["play", "last", "--speed", "0"]).exits(2);
}
