//! Listing.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::tests::Bench;

#[test]
fn one_level_sorted_with_kinds_and_sizes() {
    let bench = Bench::new();
    bench.put("b.txt", "hello");
    bench.put("a/deep/c.txt", "x");
    bench.put(".hidden", "");
    bench.put(".git/config", "");
    bench.put("big", vec![b'x'; 1_536]);
    symlink("b.txt", bench.workspace().join("link")).unwrap();
    assert_eq!(
        bench.ok("list", &json!({})),
        ".git/\n.hidden  0 B\na/\nb.txt  5 B\nbig  1.5 KB\nlink -> b.txt"
    );
    assert_eq!(bench.ok("list", &json!({"path": "a"})), "deep/");
    assert_eq!(bench.ok("list", &json!({"path": ".git"})), "config  0 B");
    let whole = bench.workspace().canonicalize().unwrap();
    assert_eq!(bench.ok("list", &json!({"path": whole.join("a/")})), "deep/");
}

#[test]
fn an_empty_directory_is_said_to_be_empty() {
    assert_eq!(Bench::new().ok("list", &json!({})), "(empty directory)");
}

#[test]
fn many_entries_are_counted() {
    let bench = Bench::new();
    for number in 0..600 {
        bench.put(&format!("f{number:03}"), "");
    }
    let outcome = bench.run("list", &json!({}));
    assert!(outcome.shown.starts_with("f000  0 B\n"));
    assert!(outcome.shown.ends_with("f499  0 B\n[100 more entries; narrow it down with shell]"));
    assert_eq!(outcome.truncated.unwrap().lines_omitted, 100);
}

#[test]
fn a_name_cannot_forge_a_line() {
    let bench = Bench::new();
    bench.put("a\nb -> \u{1b}[31m", "");
    bench.put("naïve 名前", "");
    assert_eq!(bench.ok("list", &json!({})), "a\\nb -> \\u{1b}[31m  0 B\nnaïve 名前  0 B");
}

#[test]
fn what_is_no_directory_is_told() {
    let bench = Bench::new();
    bench.put("source/a.txt", "");
    assert_eq!(
        bench.fails("list", &json!({"path": "source/a.txt"})),
        "source/a.txt is not a directory; use read."
    );
    assert_eq!(
        bench.fails("list", &json!({"path": "sourc"})),
        "sourc does not exist. Did you mean source?"
    );
    symlink(bench.outside(), bench.workspace().join("out")).unwrap();
    assert!(bench.fails("list", &json!({"path": "out"})).contains("leads out of the workspace"));
    assert_eq!(bench.ok("list", &json!({"path": "source/.."})), bench.ok("list", &json!({})));
}
