//! The demo is the whole loop on real parts; its result is really tested.

use crate::world::World;

#[test]
fn the_demo_records_tests_exports_and_verifies() {
    let world = World::new();
    let dir = world.path("demo");
    let run = world.limn(&["demo", "--json", "--dir", dir.to_str().unwrap()]).succeeds();
    let report = &run.json_lines()[0];
    assert_eq!(report["ended"], "completed");
    assert_eq!(report["tests_passed"], true, "{report}");
    assert_eq!(report["rounds"], 2);
    assert_eq!(report["samples"], 1);
    for file in ["workspace/index.html", "workspace/app.js", "dataset/messages.jsonl"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    // Its recording says what it is.
    let mut show = world.command(&["show", "last"]);
    show.env("LIMN_HOME", dir.join("home"));
    let shown = String::from_utf8(show.output().unwrap().stdout).unwrap();
    assert!(shown.contains("scripted"), "{shown}");
}
