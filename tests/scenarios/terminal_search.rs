//! Words of old sessions, looked for in a real terminal, and gone to.

use mock_server::Reply;

use crate::stage::{CTRL_D, ENTER, Terminal};
use crate::world::{World, server, shell};

#[test]
fn what_was_said_long_ago_in_another_folder_is_found_and_gone_on_with_there() {
    let world = World::new();
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let elsewhere = world.path("elsewhere").display().to_string();
    let server = server([
        shell("seq 300; printf 'a zebra \\033]0;owned\\007 crossing\\n'; seq 300"),
        Reply::text("It crossed."),
        Reply::text("No animals here."),
        Reply::text("Back again."),
    ]);
    world.exec(&server.url(), &["--workspace", &elsewhere, "Look outside"]).succeeds();
    world.exec(&server.url(), &["Count the rows"]).succeeds();

    let mut terminal = Terminal::with_server(&world, &server, &[]);
    terminal.press("/search unicorn").press(ENTER).shows("No recording has these words");
    terminal.press("/search since:1h tool:shell \"a zebra\"").press(ENTER);
    terminal.shows("a zebra").shows("Look outside · call").shows("Look outside · output");
    // What was printed, not what was called.
    terminal.press("\x1b[B").shows("▸ …").press(ENTER).shows("│ a zebra");
    let title = b"\x1b]0;owned";
    assert!(!terminal.has_sent(title));
    // The keys are where blocks are chosen; tab goes back to the prompt, and the work goes on there.
    terminal.press("\t").press("and now?").press(ENTER).shows("Back again.").shows("✓");
    terminal.press("/tag animals").press(ENTER).shows("Noted, beside the recording: tag animals");
    terminal.press("/tag two words").press(ENTER).shows("is no tag").press(CTRL_D);
    assert_eq!(terminal.ends(), 0);
    let asked = server.requests().pop().unwrap().messages();
    assert!(serde_json::to_string(&asked).unwrap().contains("a zebra"));

    let tagged = world.limn(&["sessions", "--json", "--tag", "animals"]).succeeds().json_lines();
    assert_eq!(tagged.len(), 1);
    assert_eq!((&tagged[0]["title"], &tagged[0]["rounds"]), (&"Look outside".into(), &2.into()));
    assert_eq!(tagged[0]["tags"], serde_json::json!(["animals"]));
    world.assert_sound();
}
