//! Finding files.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;

use crate::tests::Bench;

/// Files, each older than the one before.
fn with_files(names: &[&str]) -> Bench {
    let bench = Bench::new();
    for (age, name) in (0..).zip(names) {
        bench.put(name, "");
        let file = std::fs::File::options().write(true).open(bench.workspace().join(name)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
        file.set_modified(time).unwrap();
    }
    bench
}

#[track_caller]
fn check(bench: &Bench, pattern: &str, expected: &[&str]) {
    let shown = bench.ok("glob", &json!({ "pattern": pattern }));
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{pattern}");
}

#[test]
fn newest_come_first() {
    let bench = with_files(&["b.rs", "src/deep/a.rs", "c.py", "src/z.rs"]);
    check(&bench, "*.rs", &["b.rs", "src/deep/a.rs", "src/z.rs"]);
    check(&bench, "**/*.rs", &["b.rs", "src/deep/a.rs", "src/z.rs"]);
    check(&bench, "src/*.rs", &["src/z.rs"]);
    check(&bench, "./src/**/*.{rs,py}", &["src/deep/a.rs", "src/z.rs"]);
    check(&bench, "*.py, z.*", &["c.py", "src/z.rs"]);
    check(&bench, "[bc].*", &["b.rs", "c.py"]);
    let root = bench.workspace().canonicalize().unwrap();
    check(&bench, &format!("{}/src/*.rs", root.display()), &["src/z.rs"]);
    let below = bench.ok("glob", &json!({"pattern": "deep/*", "path": "src"}));
    assert_eq!(below, "src/deep/a.rs");
}

#[test]
fn what_git_ignores_is_left_out_and_counted() {
    let bench = with_files(&["a.o", "keep.o", "src/b.o", "src/c.o", "target/x/y.o", "lib/t.o"]);
    bench.put(".gitignore", "*.o\n!keep.o\n/target/\n");
    bench.put("src/.gitignore", "!c.o\n");
    bench.put("lib/.ignore", "!*.o\n");
    bench.put(".git/z.o", "");
    bench.put(".github/w.o", "");
    check(&bench, "*.o", &["keep.o", "src/c.o", "lib/t.o"]);
    let none = bench.ok("glob", &json!({"pattern": "*.xyz"}));
    assert_eq!(none, "No file matches (6 files looked at, 4 entries ignored by .gitignore).");
    // The rules of the folders above hold where a search starts below.
    let none = bench.ok("glob", &json!({"pattern": "b.o", "path": "src"}));
    assert!(none.starts_with("No file matches"), "{none}");
}

#[test]
fn links_are_named_and_not_followed() {
    let bench = with_files(&["a/x.txt"]);
    symlink(bench.outside(), bench.workspace().join("out")).unwrap();
    symlink("a", bench.workspace().join("b")).unwrap();
    symlink("../outside/secret", bench.workspace().join("secret")).unwrap();
    check(&bench, "**/{x.txt,secret}", &["secret", "a/x.txt"]);
    let told = bench.fails("glob", &json!({"pattern": "*", "path": "out"}));
    assert!(told.contains("leads out of the workspace"), "{told}");
    assert_eq!(bench.ok("glob", &json!({"pattern": "*", "path": "b"})), "b/x.txt");
}

#[test]
fn hidden_folders_and_files_are_passed_over() {
    let bench = Bench::hiding(&["data", "deep/one.txt"]);
    for name in ["data/a.txt", "deep/one.txt", "deep/two.txt"] {
        bench.put(name, "");
    }
    check(&bench, "*.txt", &["deep/two.txt"]);
    let outcome = bench.run("glob", &json!({"pattern": "*", "path": "data"}));
    assert_eq!(outcome.status, CallStatus::Denied);
}

#[test]
fn many_files_are_counted() {
    let bench = Bench::new();
    for number in 0..250 {
        bench.put(&format!("d{}/f{number}.txt", number % 7), "");
    }
    let outcome = bench.run("glob", &json!({"pattern": "*.txt"}));
    assert_eq!(outcome.shown.lines().count(), 201);
    assert!(outcome.shown.ends_with("[50 older ones more; narrow the pattern or the path]"));
    assert_eq!(outcome.truncated.unwrap().lines_omitted, 50);
}

#[test]
fn patterns_that_cannot_be_used_are_explained() {
    let bench = Bench::new();
    bench.put("src/a", "");
    let told =
        |pattern: &str, path: &str| bench.fails("glob", &json!({"pattern": pattern, "path": path}));
    assert_eq!(
        told("../*", "."),
        "The pattern \"../*\" leads out of the workspace. Use a relative one."
    );
    assert_eq!(
        told("/etc/*", "."),
        "The pattern \"/etc/*\" leads out of the workspace. Use a relative one."
    );
    assert!(told("a[", ".").starts_with("The pattern \"a[\" is not one: "), "{}", told("a[", "."));
    assert_eq!(told(" ", "."), "The pattern is empty.");
    assert_eq!(told("*", "scr"), "scr does not exist. Did you mean src?");
    assert_eq!(told("*", "src/a"), "src/a is not a directory; use read.");
}

#[test]
fn a_cancelled_search_says_so() {
    let bench = Bench::new();
    let workspace = crate::beneath::Workspace::open(&bench.workspace()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let input = super::Input { pattern: "*".to_owned(), path: None };
    let failure = super::run(&workspace, &input, &cancel).unwrap_err();
    assert_eq!(failure, super::Failure::Cancelled("Cancelled while searching.".to_owned()));
}
