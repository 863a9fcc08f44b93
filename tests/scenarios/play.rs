//! What commands printed, for other players.

use mock_server::Reply;
use serde_json::Value;

use crate::world::{World, server, shell};

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
