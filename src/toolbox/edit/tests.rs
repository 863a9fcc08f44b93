//! Editing.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tests::Bench;

fn edit(path: &str, old: &str, new: &str) -> Value {
    json!({"file_path": path, "old_string": old, "new_string": new})
}

fn edit_all(path: &str, old: &str, new: &str) -> Value {
    json!({"file_path": path, "old_string": old, "new_string": new, "replace_all": true})
}

#[test]
fn the_one_match_is_replaced() {
    let bench = Bench::new();
    bench.put("a.rs", "fn a() {}\nfn b() {}\n");
    let told = bench.ok("edit", &edit("a.rs", "fn b() {}", "fn b() {\n    a();\n}"));
    assert_eq!(told, "Edited a.rs: 1 replacement, line 2");
    assert_eq!(bench.get("a.rs"), "fn a() {}\nfn b() {\n    a();\n}\n");
}

#[test]
fn several_matches_need_to_be_meant() {
    let bench = Bench::new();
    bench.put("a.txt", "x\ny\nx\nx\n");
    let told = bench.fails("edit", &edit("a.txt", "x", "z"));
    assert!(told.starts_with("old_string occurs 3 times in a.txt, lines 1, 3, 4."), "{told}");
    assert!(told.contains("or set replace_all"), "{told}");
    assert_eq!(bench.get("a.txt"), "x\ny\nx\nx\n");
    let told = bench.ok("edit", &edit_all("a.txt", "x", "zz"));
    assert_eq!(told, "Edited a.txt: 3 replacements, lines 1, 3, 4");
    assert_eq!(bench.get("a.txt"), "zz\ny\nzz\nzz\n");
    bench.put("overlap.txt", "\n\n\n");
    let told = bench.fails("edit", &edit("overlap.txt", "\n\n", "x"));
    assert!(told.contains("occurs 2 times in overlap.txt, lines 1, 2."), "{told}");
    bench.put("many.txt", "x\n".repeat(50));
    let told = bench.fails("edit", &edit("many.txt", "x", "z"));
    assert!(told.contains("50 times") && told.contains("9, 10, …"), "{told}");
}

#[test]
fn no_match_shows_the_nearest_lines() {
    let bench = Bench::new();
    let file = "use std::fs;\n\nfn load(path: &str) -> String {\n    let text = fs::read(path);\n    \
                text\n}\n\nfn other() {}\n";
    bench.put("a.rs", file);
    let told = bench.fails("edit", &edit("a.rs", "let txt = fs::reed(path);", "x"));
    assert!(told.contains("does not occur in a.rs; nothing was changed."), "{told}");
    assert!(told.contains("     4\t    let text = fs::read(path);"), "{told}");
    let differs = "Line 4 is `let text = fs::read(path);`, not `let txt = fs::reed(path);`.";
    assert!(told.contains(differs), "{told}");
    assert!(!told.contains("white space only"), "{told}");
    let told = bench.fails("edit", &edit("a.rs", "use std::fs;\nfn other() {}\n", "x"));
    assert!(told.contains("do not follow each other"), "{told}");
    let told = bench.fails("edit", &edit("a.rs", "something else entirely, 名前", "x"));
    assert!(told.contains("Nothing like it occurs"), "{told}");
    let told = bench.fails("edit", &edit("a.rs", "     8\tfn another() {}", "x"));
    assert!(told.contains("line numbers"), "{told}");
    assert_eq!(bench.get("a.rs"), file);
}

#[test]
fn the_nearest_lines_are_bounded_and_soon_found() {
    let bench = Bench::new();
    let line = format!("let value = compute({});\n", "a, ".repeat(500));
    bench.put("a.rs", line.repeat(5_000));
    let old = format!("let value = compote({});\n", "b, ".repeat(500)).repeat(100);
    let told = bench.fails("edit", &edit("a.rs", &old, "x"));
    assert!(told.len() < 10_000, "{}", told.len());
}

#[test]
fn crlf_is_kept_and_need_not_be_written() {
    let bench = Bench::new();
    bench.put("a.txt", "one\r\ntwo\r\nthree\r\n");
    bench.ok("edit", &edit("a.txt", "one\ntwo", "1\n2\n2b"));
    assert_eq!(bench.get("a.txt"), "1\r\n2\r\n2b\r\nthree\r\n");
    bench.ok("edit", &edit("a.txt", "2b\r\n", ""));
    assert_eq!(bench.get("a.txt"), "1\r\n2\r\nthree\r\n");
    bench.put("mixed.txt", "one\ntwo\r\nthree\r\n");
    bench.ok("edit", &edit("mixed.txt", "two\nthree", "2\n3"));
    assert_eq!(bench.get("mixed.txt"), "one\n2\r\n3\r\n");
}

#[test]
fn unicode_and_what_is_not_utf8_are_kept() {
    let bench = Bench::new();
    bench.put("a.txt", b"caf\xe9 na\xc3\xafve \xf0\x9f\xa6\x80\r\nx\n");
    bench.ok("edit", &edit("a.txt", "naïve 🦀", "名前"));
    let content = std::fs::read(bench.workspace().join("a.txt")).unwrap();
    assert_eq!(content, b"caf\xe9 \xe5\x90\x8d\xe5\x89\x8d\r\nx\n");
}

#[test]
fn an_edit_that_means_nothing_is_refused() {
    let bench = Bench::new();
    bench.put("a.txt", "x\n");
    let told = bench.fails("edit", &edit("a.txt", "", "y"));
    assert!(told.contains("old_string is empty, and a.txt is not"), "{told}");
    assert!(bench.fails("edit", &edit("a.txt", "x", "x")).contains("are the same"));
    assert_eq!(
        bench.fails("edit", &edit("b/a.txt", "x", "y")),
        "b/a.txt does not exist. Did you mean a.txt?"
    );
    assert!(bench.fails("edit", &edit(".", "x", "y")).contains("is a directory"));
    assert_eq!(bench.names(), ["a.txt"], "no directory is made for a file that is not there");
}

#[test]
fn an_empty_text_makes_a_file_where_none_is() {
    let bench = Bench::new();
    assert_eq!(bench.ok("edit", &edit("new/a.txt", "", "x\n")), "Created new/a.txt (1 line)");
    assert_eq!(bench.get("new/a.txt"), "x\n");
    bench.put("empty", "");
    bench.ok("edit", &edit("empty", "", "y\n"));
    assert_eq!(bench.get("empty"), "y\n");
    assert!(bench.fails("edit", &edit("new", "", "x")).contains("is a directory"));
    bench.put(".git/HEAD", "");
    let outcome = bench.run("edit", &edit(".git/HEAD", "", "x"));
    assert_eq!(outcome.status, trajectory::event::CallStatus::Denied, "{}", outcome.shown);
}

#[test]
fn what_was_forgiven_is_said() {
    let bench = Bench::new();
    bench.put("a.py", "def f():\n    a = 1\n    b = “2”\n");
    for (old, new, told) in [
        ("a = 1  \n", "a = 2\n", "ignoring trailing white space"),
        ("  a = 2\n", "  a = 3\n", "ignoring indentation"),
        ("a=3", "a=4", "ignoring white space"),
        ("b = \"2\"", "b = 2", "ignoring look-alike characters"),
        ("     2\t    a =4", "     2\t    a =5", "without its line numbers"),
    ] {
        let shown = bench.ok("edit", &edit("a.py", old, new));
        assert!(shown.contains(&format!("(matched {told}")), "{shown}");
    }
    assert_eq!(bench.get("a.py"), "def f():\n    a = 5\n    b = 2\n");
}

#[test]
fn a_file_that_is_no_text_is_edited_exactly_or_not_at_all() {
    let bench = Bench::new();
    bench.put("a.bin", b"\0one  two\0three\0");
    bench.fails("edit", &edit("a.bin", "one two", "x"));
    bench.ok("edit", &edit("a.bin", "one  two", "x"));
    assert_eq!(bench.get("a.bin"), "\0x\0three\0");
}

#[test]
fn an_edit_that_is_healed_keeps_the_bytes_around_it_and_the_mode() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.put("run.sh", b"\xff\xfe  \r\nif x; then  \n\ty\nfi\n\xe9\r\n");
    let path = bench.workspace().join("run.sh");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.ok("edit", &edit("run.sh", "if x; then\n  y\nfi\n", "if x; then\n  z\nfi\n"));
    assert_eq!(std::fs::read(&path).unwrap(), b"\xff\xfe  \r\nif x; then  \n\tz\nfi\n\xe9\r\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_file_does_not_grow_without_end() {
    let bench = Bench::new();
    bench.put("a.txt", "x".repeat(1_000_000));
    let told = bench.fails("edit", &edit_all("a.txt", "x", &"y".repeat(1_000)));
    assert!(told.contains("would grow beyond 16.0 MB"), "{told}");
    bench.put("b.txt", "x".repeat(17 << 20));
    assert!(bench.fails("edit", &edit("b.txt", "x", "y")).contains("is longer than 16.0 MB"));
}

fn applied(content: &[u8], old: &str, new: &str, all: bool) -> Result<Vec<u8>, String> {
    let folder = std::env::temp_dir();
    let path = Relative::parse("f", &Workspace::open(&folder).unwrap()).unwrap();
    let input = Input {
        file_path: "f".to_owned(),
        old_string: old.to_owned(),
        new_string: new.to_owned(),
        replace_all: Some(all),
    };
    apply(&path, content, &input).map(|edited| edited.content)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Replacing and putting back gives what was there, bytes that are not UTF-8 included.
    #[test]
    fn a_replacement_can_be_undone(
        before in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..60),
        after in proptest::collection::vec(any::<u8>(), 0..60),
        old in "[ab\\n é]{1,6}",
        new in "[cd\\n ü]{1,6}",
    ) {
        let content = [before, old.clone().into_bytes(), after].concat();
        let Ok(changed) = applied(&content, &old, &new, false) else { return Ok(()) };
        if let Ok(restored) = applied(&changed, &new, &old, false) {
            // In a file that gained or lost its only LF, the line ends are read another way.
            if ends_in_crlf(&content) == ends_in_crlf(&changed) {
                prop_assert_eq!(restored, content);
            }
        }
    }

    /// No text and no file makes the error panic or run away.
    #[test]
    fn any_miss_is_told(content in any::<Vec<u8>>(), old in "\\PC{0,40}|[ \\t\\n0-9]{0,20}") {
        match applied(&content, &old, "new", false) {
            Ok(changed) => prop_assert_ne!(changed, content),
            Err(told) => prop_assert!(told.len() < 20_000),
        }
    }

    /// All occurrences go, as the standard library counts them.
    #[test]
    fn all_means_all(content in "[ab\\n]{0,40}", old in "[ab]{1,2}") {
        let expected = content.replace(&old, "-");
        match applied(content.as_bytes(), &old, "-", true) {
            Ok(changed) => prop_assert_eq!(changed, expected.into_bytes()),
            Err(_) => prop_assert_eq!(expected, content),
        }
    }

    /// Text that is healed stays text, and what comes out is never what the model did not touch
    /// at both ends.
    #[test]
    fn healing_splits_no_character(
        before in "([ab \t\n“\"é\r\u{301}\u{200b}…]|\r\n|    ){0,40}",
        old in "([ab \t\n“\"é\u{301}\u{200b}….]|    ){1,12}",
        new in "([ab \t\n“\"é\u{301}\u{200b}….c]|    ){0,12}",
        all in any::<bool>(),
    ) {
        if let Ok(changed) = applied(before.as_bytes(), &old, &new, all) {
            prop_assert!(String::from_utf8(changed).is_ok());
        }
    }
}
