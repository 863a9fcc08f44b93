//! The map: what is on it, in which order, and that it is kept.

use serde_json::json;

use super::*;
use crate::tests::Bench;

/// A small program in which everything leads to `render_page`.
fn program(bench: &Bench) {
    bench.put("src/page.rs", "pub fn render_page(title: &str) -> String {\n    String::new()\n}\n\nfn unused_helper() {}\n");
    bench.put("src/one.rs", "fn first_caller() { render_page(\"a\"); }\n");
    bench.put("src/two.rs", "fn second_caller() { render_page(\"b\"); }\n");
    bench.put(
        "web/three.ts",
        "export function thirdCaller(): void { render_page('c'); first_caller() }\n",
    );
    bench.put("notes.txt", "render_page render_page\n");
    bench.put("data.json", "{\"render_page\": 1}");
}

#[test]
fn what_others_mention_most_comes_first() {
    let bench = Bench::new();
    program(&bench);
    assert_eq!(
        bench.ok("map", &json!({})),
        "src/page.rs\n    1 pub fn render_page(title: &str) -> String\n    5 fn unused_helper()\n\
         src/one.rs\n    1 fn first_caller()\nsrc/two.rs\n    1 fn second_caller()\n\
         web/three.ts\n    1 function thirdCaller(): void\n[5 of 5 definitions in 4 files]"
    );
    assert_eq!(
        bench.ok("map", &json!({"path": "web"})),
        "web/three.ts\n    1 function thirdCaller(): void\n[1 of 1 definition in 4 files]"
    );
    let focused = bench.ok("map", &json!({"focus": "second_caller, helper"}));
    let position = |name: &str| focused.find(name).unwrap();
    assert!(position("second_caller") < position("first_caller"), "{focused}");
    assert!(position("unused_helper") < position("thirdCaller"), "{focused}");
}

#[test]
fn the_budget_is_kept() {
    let bench = Bench::new();
    for number in 0..200 {
        bench.put(
            &format!("src/m{number}.rs"),
            format!("pub fn function_number_{number}() {{ function_number_{}() }}\n", number / 2),
        );
    }
    let outcome = bench.run("map", &json!({"budget_tokens": 200}));
    assert!(outcome.shown.len() < 200 * 4 + 80, "{}", outcome.shown.len());
    assert!(outcome.shown.contains("of 200 definitions in 200 files]"), "{}", outcome.shown);
    assert!(outcome.truncated.unwrap().lines_omitted > 100);
    let more = bench.run("map", &json!({"budget_tokens": 1_000_000}));
    assert!(more.shown.contains("[200 of 200"), "{}", more.shown);
}

#[test]
fn what_is_ignored_hidden_or_outside_is_not_on_it() {
    let bench = Bench::hiding(&["private"]);
    bench.put("a.rs", "fn seen() {}\n");
    bench.put(".gitignore", "built/\n");
    bench.put("built/b.rs", "fn ignored() {}\n");
    bench.put("private/c.rs", "fn hidden() {}\n");
    bench.put(".git/d.rs", "fn of_git() {}\n");
    std::fs::write(bench.outside().join("e.rs"), "fn outside() {}\n").unwrap();
    std::os::unix::fs::symlink(bench.outside(), bench.workspace().join("link")).unwrap();
    std::os::unix::fs::symlink(bench.outside().join("e.rs"), bench.workspace().join("e.rs"))
        .unwrap();
    bench.put("f.rs", b"fn broken() { \xff }\n");
    bench.put("g\nh.rs", "fn odd_name() {}\n");
    assert_eq!(
        bench.ok("map", &json!({})),
        "a.rs\n    1 fn seen()\ng\\nh.rs\n    1 fn odd_name()\n[2 of 2 definitions in 2 files]"
    );
    assert!(bench.fails("map", &json!({"path": "nowhere"})).contains("does not exist"));
    assert!(bench.fails("map", &json!({"path": "../outside"})).contains("outside the workspace"));
}

#[test]
fn a_file_is_parsed_again_only_when_it_changed() {
    let bench = Bench::new();
    program(&bench);
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let atlas = Atlas::default();
    let input = || Input { path: None, focus: None, budget_tokens: None };
    let map = || run(&workspace, &atlas, &input(), &CancellationToken::new()).unwrap().shown;
    let first = map();
    assert_eq!((map(), atlas.index().parsed), (first, 4));
    bench.put("src/one.rs", "fn renamed_caller() {}\n");
    std::fs::remove_file(bench.workspace().join("src/two.rs")).unwrap();
    let third = map();
    assert!(third.contains("renamed_caller") && !third.contains("first_caller"), "{third}");
    assert!(!third.contains("second_caller"), "{third}");
    let index = atlas.index();
    assert_eq!((index.parsed, index.len()), (5, 3));
}

#[test]
fn nothing_to_map_is_said() {
    let bench = Bench::new();
    bench.put("a.txt", "x");
    assert_eq!(bench.ok("map", &json!({})), "No definitions found (0 files of known languages).");
}
