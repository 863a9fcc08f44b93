//! Words are found where they stand, and nowhere once they are gone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trajectory::Source;
use trajectory::event::{AssistantText, ChangeKind, FileChange, ModelChanged, ToolCall, UserEdit};

use super::*;
use crate::tests::{Story, home};

fn asked(text: &str) -> Search {
    Search { text: text.to_owned(), ..Search::default() }
}

/// Where the words stand, as the sessions' prompts and the places in them.
fn places(library: &Library, search: &Search) -> Vec<(String, Vec<(u64, Part)>)> {
    let found = library.search(search).unwrap();
    let place = |it: &Excerpt| (it.seq, it.part);
    let of_session = |it: &Found| {
        let mut places: Vec<_> = it.excerpts.iter().map(place).collect();
        places.sort_unstable_by_key(|(seq, _)| *seq);
        (it.row.status.title.clone().unwrap_or_default(), places)
    };
    found.iter().map(of_session).collect()
}

fn titles(library: &Library, search: &Search) -> Vec<String> {
    places(library, search).into_iter().map(|(title, _)| title).collect()
}

async fn call(story: &mut Story, name: &str, arguments: &str) {
    let call = ToolCall {
        request: 1,
        call: 1,
        id: "id".into(),
        name: name.into(),
        arguments: arguments.into(),
        freeform: false,
        signature: None,
        malformed: None,
    };
    story.emit(Source::Model, call).await;
}

#[tokio::test]
async fn words_are_found_in_every_part_and_shown_with_what_stands_around() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut story = Story::begin(&home);
    story.prompt("Why does the Frobnicator leak?").await;
    story.ask().await;
    story.reply("the frobnicator keeps its buffers", 0).await;
    let long = format!("{} frobnicator {}", "before ".repeat(40), "after ".repeat(40));
    call(&mut story, "shell", &serde_json::json!({ "command": long }).to_string()).await;

    let found = &library.search(&asked("FROBNICATOR")).unwrap()[0];
    assert_eq!((found.row.session, found.matches), (story.id(), 4));
    assert_eq!(found.excerpts.len(), SHOWN_MAX);
    let at = |search| places(&library, &search)[0].1.iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(at(asked("frobnicator leak")), [Part::Prompt], "in one and the same event");
    assert_eq!(at(asked("\"keeps its buffers\"")), [Part::Reasoning, Part::Message]);
    assert!(places(&library, &asked("\"its keeps\"")).is_empty());
    assert_eq!(at(asked("leak*")), [Part::Prompt]);
    assert!(places(&library, &asked("frobnicat")).is_empty());
    assert_eq!(at(asked("frobnicat*")).len(), 3);
    let calls = Search { parts: vec![Part::Call], ..asked("frobnicator") };
    let found = &library.search(&calls).unwrap()[0];
    let text = &found.excerpts[0].text;
    assert_eq!((found.matches, found.excerpts[0].part), (1, Part::Call));
    assert!(text.starts_with("… ") && text.ends_with(" …") && text.contains(" frobnicator "));
    assert!(text.chars().count() < 200, "{text}");
}

#[tokio::test]
async fn scripts_without_spaces_accents_and_the_index_s_own_language_are_just_text() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut story = Story::begin(&home);
    story.prompt("请修复构建错误 in the café: a AND b OR NEAR(c) src/main.rs foo_bar").await;
    let is_found = |text: &str| !library.search(&asked(text)).unwrap().is_empty();
    for text in
        ["构建", "修复构建", "错误", "cafe", "CAFÉ", "AND", "NEAR(c", "src/main.rs", "foo_bar"]
    {
        assert!(is_found(text), "{text}");
    }
    for text in ["构修", "xyz OR café", "main.rs/src", "-café xyz", "NOT", "text:café", "{text}:a"]
    {
        assert!(!is_found(text), "{text}");
    }
    // Nothing but punctuation asks for no words at all.
    for text in ["", "\"", "\"\"", "* ^ -", "('"] {
        assert_eq!(library.search(&asked(text)).unwrap().len(), 1, "{text}");
    }
}

#[tokio::test]
async fn what_is_recorded_later_is_found_later() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut story = Story::begin(&home);
    story.prompt("first").await;
    assert_eq!(titles(&library, &asked("first")), ["first"]);
    story.prompt("second").await;
    assert_eq!(places(&library, &asked("second")), [("first".to_owned(), vec![(1, Part::Prompt)])]);
    let mut other = Story::begin(&home);
    other.prompt("a second one").await;
    assert_eq!(titles(&library, &asked("second")), ["a second one", "first"]);
    assert_eq!(library.rebuild(&mut |_, _| {}).unwrap().len(), 2);
    assert_eq!(titles(&library, &asked("second")), ["a second one", "first"]);
}

#[tokio::test]
async fn two_who_search_at_once_find_everything_once() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("first").await;
    let (one, other) = (Library::open(&home).unwrap(), Library::open(&home).unwrap());
    // Both have seen that it is not indexed.
    assert!(one.index(story.id()).unwrap() && other.index(story.id()).unwrap());
    assert_eq!(one.search(&asked("first")).unwrap()[0].matches, 1);
}

#[tokio::test]
async fn sessions_are_told_apart_by_files_tools_models_and_time() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut one = Story::begin(&home);
    one.prompt("one").await;
    call(&mut one, "edit", r#"{"file_path":"src/parser/lexer.rs","old_string":"a"}"#).await;
    let mut two = Story::begin(&home);
    two.prompt("two").await;
    let patch = "*** Begin Patch\n*** Update File: docs/guide.md\n@@\n-a\n+b\n*** End Patch";
    call(&mut two, "apply_patch", &serde_json::json!({ "input": patch }).to_string()).await;
    let model = ModelChanged { model: "Qwen3-Coder".into(), ..ModelChanged::default() };
    two.emit(Source::Harness, model).await;
    let changes =
        [FileChange { path: "notes.txt".into(), change: ChangeKind::Modified, diff: None }];
    let shown = "the user changed notes.txt".into();
    two.emit(Source::User, UserEdit { changes: changes.into(), shown, more: 0 }).await;

    let file = |it: &str| Search { file: Some(it.into()), ..Search::default() };
    assert_eq!(titles(&library, &file("lexer.rs")), ["one"]);
    assert_eq!(titles(&library, &file("src/parser/lexer.rs")), ["one"]);
    assert!(titles(&library, &file("exer.rs")).is_empty());
    assert_eq!(titles(&library, &file("guide.md")), ["two"]);
    assert_eq!(titles(&library, &file("notes.txt")), ["two"]);
    let tool = |it: &str| Search { tool: Some(it.into()), ..Search::default() };
    assert_eq!(titles(&library, &tool("edit")), ["one"]);
    let model = Search { model: Some("qwen3".into()), ..Search::default() };
    assert_eq!(titles(&library, &model), ["two"]);
    assert_eq!(titles(&library, &Search { text: "one".into(), ..file("guide.md") }).len(), 0);
    let began = library.list().unwrap()[0].status.started_ns;
    let until = Search { until_ns: Some(began), ..Search::default() };
    assert_eq!(titles(&library, &until), ["one"]);
    let since = Search { since_ns: Some(i64::MAX), ..Search::default() };
    assert!(titles(&library, &since).is_empty());
}

/// Whether the bytes lie anywhere in a folder.
fn lies_in(folder: &Path, trace: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().any(|path| {
        if path.is_dir() {
            return lies_in(&path, trace);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(trace.len()).any(|window| window == trace)
    })
}

#[tokio::test]
async fn of_a_session_that_is_removed_no_word_stays_behind() {
    let (_folder, home) = home();
    let mut kept = Story::begin(&home);
    kept.prompt("kept zebra").await;
    let mut story = Story::begin(&home);
    story.prompt("quagmire zebra").await;
    for number in 0..200 {
        let text = format!("message {number} of some quagmire");
        let said = AssistantText { request: 1, text, interrupted: false };
        story.emit(Source::Model, said).await;
    }
    let id = story.end().await;
    let library = Library::open(&home).unwrap();
    assert_eq!(library.search(&asked("quagmire")).unwrap()[0].matches, 201);
    drop(library);
    std::fs::rename(home.session_file(id), home.path().join("aside")).unwrap();
    assert!(lies_in(home.path(), b"quagmire") && lies_in(home.path(), b"zebra"));
    std::fs::rename(home.path().join("aside"), home.session_file(id)).unwrap();
    home.remove(id).unwrap();
    assert!(!lies_in(home.path(), b"quagmire"));
    let library = Library::open(&home).unwrap();
    assert!(titles(&library, &asked("quagmire")).is_empty());
    assert_eq!(titles(&library, &asked("zebra")), ["kept zebra"]);
}

#[tokio::test]
async fn a_file_that_went_or_was_replaced_behind_our_back_is_noticed() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut gone = Story::begin(&home);
    gone.prompt("gone apple").await;
    let gone = gone.end().await;
    let mut other = Story::begin(&home);
    other.prompt("other apple").await;
    let other = other.end().await;
    assert_eq!(titles(&library, &asked("apple")).len(), 2);
    std::fs::remove_file(home.session_file(gone)).unwrap();
    assert_eq!(titles(&library, &asked("apple")), ["other apple"]);
    let kept: i64 = library
        .connection
        .query_row("SELECT count(*) FROM passage_of", [], |it| it.get(0))
        .unwrap();
    // The end of a session is an event without words.
    assert_eq!(kept, 1);
    // A damaged file is listed as such, keeps its words out, and does not keep the rest from being found.
    std::fs::write(home.session_file(other), b"nonsense").unwrap();
    let mut new = Story::begin(&home);
    new.prompt("new apple").await;
    assert!(titles(&library, &asked("apple")).contains(&"new apple".to_owned()));
}

/// Whoever listed the sessions before one began does not take it for one that was deleted.
#[tokio::test]
async fn what_began_after_a_listing_stays_in_the_index() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let rows = library.list().unwrap();
    let mut story = Story::begin(&home);
    story.prompt("a zebra").await;
    let other = Library::open(&home).unwrap();
    assert_eq!(titles(&other, &asked("zebra")), ["a zebra"]);
    library.follow(&rows, &mut |_, _| {}).unwrap();
    assert!(other.indexed_of(story.id()).unwrap().is_some());
    // One that is gone is noticed all the same.
    let id = story.end().await;
    std::fs::remove_file(home.session_file(id)).unwrap();
    library.follow(&rows, &mut |_, _| {}).unwrap();
    assert!(other.indexed_of(id).unwrap().is_none());
}

/// One searches all the time while others are deleted.
#[tokio::test]
async fn of_a_session_that_is_removed_beside_a_search_nothing_comes_back() {
    let (_folder, home) = home();
    let mut kept = Story::begin(&home);
    kept.prompt("kept zebra").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let searching = tokio::task::spawn_blocking({
        let (home, is_over) = (home.clone(), is_over.clone());
        move || {
            let library = Library::open(&home).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                library.search(&asked("zebra")).unwrap();
            }
        }
    });
    for number in 0..20 {
        let mut story = Story::begin(&home);
        story.prompt(&format!("zebra {number}")).await;
        let id = story.end().await;
        home.remove(id).unwrap();
        assert!(!Library::knows(&home, id).unwrap());
    }
    is_over.store(true, Ordering::Relaxed);
    searching.await.unwrap();
    let library = Library::open(&home).unwrap();
    for table in ["catalogue", "indexed", "passage_of"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE session <> ?");
        let others: i64 =
            library.connection.query_row(&sql, [kept.id().as_bytes()], |row| row.get(0)).unwrap();
        assert_eq!(others, 0, "{table}");
    }
    assert_eq!(titles(&library, &asked("zebra")), ["kept zebra"]);
}

#[tokio::test]
async fn sessions_stand_on_several_shelves_and_one_that_is_empty_goes() {
    let (_folder, home) = home();
    let library = Library::open(&home).unwrap();
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        let mut story = Story::begin(&home);
        for part in 0..3 {
            story.prompt(&format!("{name} {part} {}", "long ".repeat(150_000))).await;
        }
        ids.push(story.end().await);
        library.search(&asked(name)).unwrap();
    }
    let shelves = || -> i64 {
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'passage_[0-9]'";
        let count = |sql| library.connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM shelf"), count(tables));
        count(tables)
    };
    // Each is more than a shelf holds, so none shares one.
    assert_eq!(shelves(), 3);
    let mut found = titles(&library, &asked("long"));
    found.sort();
    assert_eq!(found.len(), 3);
    home.remove(ids[1]).unwrap();
    assert_eq!((shelves(), titles(&library, &asked("long")).len()), (2, 2));
    // What comes new takes a shelf of its own, and what is left is indexed no second time.
    let mut story = Story::begin(&home);
    story.prompt("small and long").await;
    story.end().await;
    let mut again = Story::begin(&home);
    again.prompt("small too").await;
    let id = again.end().await;
    assert_eq!((titles(&library, &asked("small")).len(), shelves()), (2, 3));
    home.remove(id).unwrap();
    assert_eq!((titles(&library, &asked("small")), shelves()), (vec!["small and long".into()], 3));
    library.forget_words().unwrap();
    assert_eq!(shelves(), 0);
    assert_eq!(titles(&library, &asked("long")).len(), 3);
}

/// As much as is kept is gathered, and what is kept does not depend on what follows.
#[test]
fn of_very_many_arguments_the_first_are_indexed() {
    let of = |count: usize| {
        let items: Vec<String> = (0..count).map(|it| format!("item{it}")).collect();
        let arguments = serde_json::json!({ "items": items, "number": 7 }).to_string();
        let call = ToolCall {
            request: 1,
            call: 1,
            id: "id".into(),
            name: "tool".into(),
            arguments,
            freeform: false,
            signature: None,
            malformed: None,
        };
        passage(&call.into()).unwrap().1
    };
    assert_eq!(of(2), "tool item0\nitem1\n7\n");
    let (many, more) = (of(150_000), of(400_000));
    assert_eq!(many.len(), 1 << 20);
    assert_eq!(many, more);
}
