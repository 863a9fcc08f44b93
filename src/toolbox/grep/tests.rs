//! Searching.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use trajectory::event::CallStatus;

use crate::tests::Bench;

#[track_caller]
fn check(bench: &Bench, arguments: &Value, expected: &[&str]) {
    let shown = bench.ok("grep", arguments);
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{arguments}");
}

#[test]
fn matches_come_with_path_and_line_in_order() {
    let bench = Bench::new();
    bench.put("src/b.rs", "fn one() {}\n  fn two() {}\r\n");
    bench.put("src/a.rs", "// none\nfn three() {}");
    bench.put("notes.txt", "fn four\n");
    let four = "notes.txt:1: fn four";
    let rest =
        ["src/a.rs:2: fn three() {}", "src/b.rs:1: fn one() {}", "src/b.rs:2:   fn two() {}"];
    check(&bench, &json!({"pattern": "^ *fn \\w+"}), &[four, rest[0], rest[1], rest[2]]);
    check(&bench, &json!({"pattern": "fn", "include": "*.rs"}), &rest);
    check(&bench, &json!({"pattern": "fn", "path": "src"}), &rest);
    check(&bench, &json!({"pattern": "fn", "path": "src", "include": "src/a.*"}), &rest[..1]);
    check(&bench, &json!({"pattern": "fn", "path": "src/a.rs"}), &rest[..1]);
    check(&bench, &json!({"pattern": "(?i)FN F"}), &[four]);
}

#[test]
fn lines_around_a_match_are_shown_apart() {
    let bench = Bench::new();
    bench.put("a.txt", (1..=12).map(|n| format!("line {n}\n")).collect::<String>());
    check(
        &bench,
        &json!({"pattern": "line (3|10)$", "context": 1}),
        &[
            "a.txt-2- line 2",
            "a.txt:3: line 3",
            "a.txt-4- line 4",
            "--",
            "a.txt-9- line 9",
            "a.txt:10: line 10",
            "a.txt-11- line 11",
        ],
    );
}

#[test]
fn nothing_found_says_where_it_looked() {
    let bench = Bench::new();
    bench.put("a.txt", "x\n");
    bench.put("b.bin", b"needle\0needle");
    bench.put("target/c.txt", "needle");
    bench.put(".gitignore", "target/\n");
    let told = bench.ok("grep", &json!({"pattern": "needle"}));
    assert_eq!(
        told,
        "No line matches (3 files looked at, 1 entry ignored by .gitignore, 1 of them binary)."
    );
}

#[test]
fn what_is_not_for_tools_is_not_searched() {
    let bench = Bench::hiding(&["data"]);
    bench.put("data/a.txt", "needle\n");
    bench.put(".git/config", "needle\n");
    bench.put("b.txt", "needle\n");
    symlink("../outside/secret", bench.workspace().join("secret")).unwrap();
    symlink("../outside", bench.workspace().join("out")).unwrap();
    bench.fifo("fifo");
    check(&bench, &json!({"pattern": "needle|touch"}), &["b.txt:1: needle"]);
    let outcome = bench.run("grep", &json!({"pattern": "x", "path": "data"}));
    assert_eq!(outcome.status, CallStatus::Denied);
    for path in ["secret", "out"] {
        let told = bench.fails("grep", &json!({"pattern": "x", "path": path}));
        assert!(told.contains("leads out of the workspace"), "{told}");
    }
    let told = bench.fails("grep", &json!({"pattern": "x", "path": "fifo"}));
    assert_eq!(told, "fifo is a FIFO, not a file; it was not read.");
}

#[test]
fn what_is_no_regular_expression_is_searched_as_it_stands() {
    let bench = Bench::new();
    bench.put("a.rs", "call(foo(\n");
    check(
        &bench,
        &json!({"pattern": "foo("}),
        &[
            "[not a regular expression (unclosed group); searched for the text as it stands]",
            "a.rs:1: call(foo(",
        ],
    );
    let told = bench.ok("grep", &json!({"pattern": "(?=x)"}));
    assert!(told.starts_with("[not a regular expression (look-around"), "{told}");
    assert!(told.contains("\nNo line matches"), "{told}");
    for pattern in ["a\nb", "a\\nb"] {
        let told = bench.fails("grep", &json!({ "pattern": pattern }));
        assert!(told.contains("within one line"), "{told}");
    }
    let huge = bench.ok("grep", &json!({"pattern": "(?:\\w{1000}){1000}"}));
    assert!(
        huge.starts_with("[not a regular expression (compiled regex exceeds size limit"),
        "{huge}"
    );
}

#[test]
fn each_file_gets_its_share_of_the_room() {
    let bench = Bench::new();
    bench.put("a.txt", "needle\n".repeat(5_000));
    for number in 0..30 {
        bench.put(&format!("b{number:02}.txt"), "needle\n".repeat(2));
    }
    let outcome = bench.run("grep", &json!({"pattern": "needle"}));
    assert_eq!(outcome.status, CallStatus::Ok);
    for number in 0..30 {
        assert!(outcome.shown.contains(&format!("b{number:02}.txt:2: needle")), "{number}");
    }
    let last = outcome.shown.lines().next_back().unwrap();
    assert_eq!(
        last,
        "[5060 matching lines in 31 files; 4900 left out: a.txt 4900. Narrow it with path, include \
         or a longer pattern]"
    );
    assert_eq!(outcome.truncated.unwrap().lines_omitted, 4_900);
}

#[test]
fn many_files_are_named_and_counted() {
    let bench = Bench::new();
    for number in 0..300 {
        bench.put(&format!("{number:03}.txt"), format!("{} needle\n", "x".repeat(200)));
    }
    let shown = bench.ok("grep", &json!({"pattern": "needle"}));
    assert!(shown.len() < 34 << 10, "{}", shown.len());
    let last = shown.lines().next_back().unwrap();
    assert!(last.starts_with("[300 matching lines in 300 files; "), "{last}");
    assert!(last.contains(" more files. Narrow it"), "{last}");
    assert_eq!(shown, bench.ok("grep", &json!({"pattern": "needle"})), "the same every time");
}

#[test]
fn a_long_line_is_cut_around_its_match() {
    let bench = Bench::new();
    bench.put("a.json", format!("{}needle{}\n", "é".repeat(5_000), "ü".repeat(5_000)));
    let shown = bench.ok("grep", &json!({"pattern": "needle"}));
    assert!(shown.starts_with("a.json:1: …éé"), "{}", &shown[..30]);
    assert!(shown.contains("éneedleü") && shown.ends_with("ü…"));
    assert_eq!(shown.chars().count(), "a.json:1: ".len() + 302);
}

#[test]
fn utf16_is_searched_and_what_is_not_utf8_is_shown() {
    let bench = Bench::new();
    let wide: Vec<u8> = "\u{feff}a needle\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bench.put("wide.txt", wide);
    bench.put("latin.txt", b"caf\xe9 needle\n");
    check(
        &bench,
        &json!({"pattern": "needle"}),
        &["latin.txt:1: caf\u{fffd} needle", "wide.txt:1: a needle"],
    );
}
