//! A real source tree as workspace, and an output that is larger than anything should print.

use std::path::Path;

use mock_server::Reply;
use trajectory::Body;

use crate::world::{World, copy_folder, server, shell};

#[test]
fn thirty_mixed_calls_on_a_real_source_tree() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy_folder(&root.join("src/trajectory"), &world.workspace());
    let script = root.join("recordings/mixed.toml");
    let model = format!("scripted:{}", script.display());
    world.limn(&["exec", "--model", &model, "--sandbox", "off", "Tidy up."]).succeeds();
    assert_eq!(world.bodies("tool_call").len(), 30);
    assert_eq!(world.bodies("observation").len(), 30);
    world.assert_sound();
}

#[test]
fn a_command_that_prints_50_mb_is_kept_whole_and_shown_in_part() {
    let world = World::new();
    let command = "head -c 52428800 /dev/zero | tr '\\0' 'x' | fold -w 99";
    let server = server([shell(command), Reply::text("That was a lot.")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
    // Every line end became two bytes on its way through the terminal; the last line has none.
    let lines = 52_428_800u64.div_ceil(99) - 1;
    assert_eq!(seen.output.as_ref().unwrap().bytes, 52_428_800 + 2 * lines);
    assert!(seen.shown.len() < 40_000, "{}", seen.shown.len());
    assert!(seen.truncated.is_some());
    let mut all = Vec::new();
    world.archive().output(1, &mut all).unwrap();
    assert_eq!(all.iter().filter(|byte| **byte == b'x').count(), 52_428_800);
    world.assert_sound();
}
