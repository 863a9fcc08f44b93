//! Finding a session again, by what was said in it and by what it did.

use mock_server::Reply;

use crate::world::{World, files, server, shell};

/// Three sessions of different days' work.
fn three_sessions() -> World {
    let world = World::new();
    world.write("work/parser.rs", "fn parse() {}\n");
    let edit =
        r#"{"file_path":"parser.rs","old_string":"parse()","new_string":"parse(text: &str)"}"#;
    let replies = [
        Reply::new()
            .reasoning("The tokenizer is to blame.")
            .call("shell", r#"{"command":"echo lexer panics"}"#),
        Reply::text("It is the lexer."),
        Reply::new().call("read", r#"{"file_path":"parser.rs"}"#),
        Reply::new().call("edit", edit),
        Reply::text("The parser takes text now."),
        shell("printf 'zebra crossing\\n'"),
        Reply::text("Done."),
    ];
    let server = server(replies);
    for prompt in ["Why does it crash?", "Let parse take a text", "Print something"] {
        world.exec(&server.url(), &[prompt]).succeeds();
    }
    world
}

/// The titles of what is listed.
fn titles(world: &World, args: &[&str]) -> Vec<String> {
    let args: Vec<&str> = ["sessions", "--json"].into_iter().chain(args.iter().copied()).collect();
    let lines = world.limn(&args).succeeds().json_lines();
    lines.iter().map(|line| line["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sessions_are_found_by_their_words_files_tools_and_outcomes() {
    let world = three_sessions();
    assert_eq!(titles(&world, &[]).len(), 3);
    assert_eq!(titles(&world, &["--search", "lexer"]), ["Why does it crash?"]);
    assert_eq!(titles(&world, &["--search", "tokenizer blame"]), ["Why does it crash?"]);
    assert!(titles(&world, &["--search", "lexer", "--in", "prompt"]).is_empty());
    assert_eq!(titles(&world, &["--search", "zebra", "--in", "output"]), ["Print something"]);
    assert_eq!(titles(&world, &["--file", "parser.rs"]), ["Let parse take a text"]);
    assert_eq!(titles(&world, &["--tool", "shell"]), ["Print something", "Why does it crash?"]);
    assert_eq!(titles(&world, &["--model", "MOCK"]).len(), 3);
    assert!(titles(&world, &["--model", "another"]).is_empty());
    assert_eq!(titles(&world, &["--since", "1h"]).len(), 3);
    assert!(titles(&world, &["--until", "2001-01-01"]).is_empty());
    world.limn(&["annotate", "last", "--outcome", "success"]).succeeds();
    assert_eq!(titles(&world, &["--outcome", "success"]), ["Print something"]);
    world.limn(&["annotate", "last", "--tag", "stripes", "--tag", "easy"]).succeeds();
    assert_eq!(titles(&world, &["--tag", "stripes", "--tag", "easy"]), ["Print something"]);
    let listed = world.limn(&["sessions", "--tag", "stripes"]).succeeds().stdout;
    assert!(listed.contains("Print something #easy #stripes"), "{listed}");
    world.limn(&["annotate", "last", "--untag", "stripes"]).succeeds();
    assert!(titles(&world, &["--tag", "stripes"]).is_empty());
    assert_eq!(titles(&world, &["--limit", "2"]), ["Print something", "Let parse take a text"]);
    assert_eq!(titles(&world, &["--tool", "shell", "--limit", "1"]), ["Print something"]);

    let shown = world.limn(&["sessions", "--search", "lexer"]).succeeds();
    assert!(shown.stdout.contains("round 1, event"), "{}", shown.stdout);
    assert!(shown.stdout.contains("call: shell echo lexer panics"), "{}", shown.stdout);
    world
        .limn(&["sessions", "--search", "nowhere"])
        .succeeds()
        .says(&["No session has all of that"]);
    world.limn(&["sessions", "--since", "yesterdayish"]).exits(2).says(&["not a time such as"]);
}

#[test]
fn the_index_is_made_anew_by_one_command_and_forgets_what_is_deleted() {
    let world = three_sessions();
    assert_eq!(titles(&world, &["--search", "zebra"]).len(), 1);
    std::fs::remove_file(world.path("data/limn.db")).unwrap();
    let told = world.limn(&["store", "rebuild"]).succeeds().stdout;
    assert!(told.contains("catalogue of 3 sessions"), "{told}");
    assert_eq!(titles(&world, &["--search", "zebra"]).len(), 1);
    world.limn(&["rm", "last"]).succeeds();
    assert!(titles(&world, &["--search", "zebra"]).is_empty());
    for entry in files(&world.data()) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(5).any(|it| it == b"zebra"), "{}", entry.display());
    }
}

#[test]
fn what_stands_around_a_word_is_shown_and_never_obeyed() {
    let world = World::new();
    let hostile = "before \u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}5;5H zebra \u{202e}behind\u{1b}[31m";
    let server = server([Reply::text(hostile)]);
    world.exec(&server.url(), &["Say it"]).succeeds();
    let shown = world.limn(&["sessions", "--search", "zebra"]).succeeds().stdout;
    assert!(shown.contains("zebra"), "{shown}");
    let is_obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.contains(is_obeyed), "{shown:?}");
    let json = world.limn(&["sessions", "--search", "zebra", "--json"]).succeeds();
    assert!(!json.stdout.contains('\u{1b}'), "JSON has escapes of its own");
}
