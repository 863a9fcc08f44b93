//! Reading.

use std::os::unix::fs::symlink;

use serde_json::json;
use trajectory::event::CallStatus;

use crate::tests::Bench;

#[test]
fn lines_are_numbered_as_cat_does() {
    let bench = Bench::new();
    bench.put("a.txt", "one\n\n  three\tx");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tone\n     2\t\n     3\t  three\tx"
    );
}

#[test]
fn a_range_says_how_to_go_on() {
    let bench = Bench::new();
    bench.put("a.txt", (1..=10).map(|n| format!("line {n}\n")).collect::<String>());
    let outcome = bench.run("read", &json!({"file_path": "a.txt", "offset": 4, "limit": 2}));
    assert_eq!(
        outcome.shown,
        "     4\tline 4\n     5\tline 5\n[lines 4-5 of 10; go on with offset 6]"
    );
    assert_eq!(outcome.truncated, None);
    let last = bench.ok("read", &json!({"file_path": "a.txt", "offset": 10, "limit": 5}));
    assert_eq!(last, "    10\tline 10");
    let beyond = bench.fails("read", &json!({"file_path": "a.txt", "offset": 11}));
    assert_eq!(beyond, "Offset 11 is beyond the end: a.txt has 10 lines.");
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let bench = Bench::new();
    bench.put("a.txt", "");
    assert_eq!(bench.ok("read", &json!({"file_path": "a.txt"})), "(empty file)");
}

#[test]
fn a_huge_file_is_cut_by_lines_and_by_bytes() {
    let bench = Bench::new();
    bench.put("short.txt", "x\n".repeat(1_000_000));
    let outcome = bench.run("read", &json!({"file_path": "short.txt", "limit": 999_999}));
    assert!(outcome.shown.ends_with("[lines 1-2000 of 1000000; go on with offset 2001]"));
    assert_eq!(outcome.truncated.unwrap().lines_omitted, 998_000);
    bench.put("wide.txt", format!("{}\n", "y".repeat(1_500)).repeat(5_000));
    let outcome = bench.run("read", &json!({"file_path": "wide.txt"}));
    assert!(outcome.shown.len() < 66 << 10, "{}", outcome.shown.len());
    assert!(
        outcome.shown.ends_with(" of 5000; go on with offset 44]"),
        "{:?}",
        outcome.shown.get(outcome.shown.len() - 80..)
    );
    assert!(outcome.truncated.is_some());
}

#[test]
fn a_sparse_file_of_many_gigabytes_is_no_trouble() {
    let bench = Bench::new();
    bench.put("a.bin", "");
    let path = bench.workspace().join("a.bin");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 36).unwrap();
    let told = bench.fails("read", &json!({"file_path": "a.bin"}));
    assert_eq!(told, "a.bin is a binary file (unknown kind, 64.0 GB), not text.");
}

#[test]
fn a_long_line_is_cut_with_a_note() {
    let bench = Bench::new();
    bench.put("a.json", format!("{}\nnext\n", "é".repeat(30_000)));
    let outcome = bench.run("read", &json!({"file_path": "a.json"}));
    let mut lines = outcome.shown.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("     1\téé"), "{}", &first[..20]);
    assert!(first.contains("more bytes in this line]"));
    assert_eq!(first.matches('é').count(), 2_000);
    assert_eq!(lines.next(), Some("     2\tnext"));
    assert_eq!(lines.next(), None, "cutting a line is not invalid UTF-8");
    assert!(outcome.truncated.unwrap().chars_omitted > 0);
}

#[test]
fn binary_files_are_refused_with_their_kind() {
    let bench = Bench::new();
    bench.put("a.png", b"\x89PNG\r\n\x1a\n\0\0");
    bench.put("b", b"text\0more");
    bench.put("c.txt", b"\xff\xfeh\0i\0");
    let told = |path: &str| bench.fails("read", &json!({ "file_path": path }));
    assert_eq!(told("a.png"), "a.png is a binary file (PNG image, 10 B), not text.");
    assert_eq!(told("b"), "b is a binary file (unknown kind, 9 B), not text.");
    assert_eq!(told("c.txt"), "c.txt is a binary file (UTF-16 text, 6 B), not text.");
}

#[test]
fn what_is_not_utf8_is_shown_with_a_note() {
    let bench = Bench::new();
    bench.put("a.txt", b"caf\xe9\n");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tcaf\u{fffd}\n[not all of it is UTF-8: what is not is shown as \u{fffd}]"
    );
    bench.put("b.txt", "a replacement \u{fffd} of its own\n");
    assert!(!bench.ok("read", &json!({"file_path": "b.txt"})).contains("UTF-8"));
}

#[test]
fn crlf_and_a_byte_order_mark_do_not_show() {
    let bench = Bench::new();
    bench.put("a.txt", "\u{feff}one\r\ntwo\r\n");
    assert_eq!(
        bench.ok("read", &json!({"file_path": "a.txt"})),
        "     1\tone\n     2\ttwo\n[lines end in CRLF; edit keeps them]"
    );
}

#[test]
fn a_missing_file_brings_near_names() {
    let bench = Bench::new();
    bench.put("README.md", "x");
    bench.put("src/parser.rs", "x");
    let told = |path: &str| bench.fails("read", &json!({ "file_path": path }));
    assert_eq!(told("readme.txt"), "readme.txt does not exist. Did you mean README.md?");
    assert_eq!(told("src/praser.rs"), "src/praser.rs does not exist. Did you mean src/parser.rs?");
    assert_eq!(told("parser.rs"), "parser.rs does not exist. Did you mean src/parser.rs?");
    assert_eq!(told("lib/x/y.py"), "lib/x/y.py does not exist.");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let bench = Bench::new();
    bench.put("dir/a", "x");
    assert_eq!(bench.fails("read", &json!({"file_path": "dir"})), "dir is a directory; use list.");
    bench.fifo("fifo");
    assert_eq!(
        bench.fails("read", &json!({"file_path": "fifo"})),
        "fifo is a FIFO, not a file; it was not read."
    );
    let _socket = std::os::unix::net::UnixListener::bind(bench.workspace().join("socket")).unwrap();
    let told = bench.fails("read", &json!({"file_path": "socket"}));
    assert_eq!(told, "socket is a socket or a device, not a file.");
    symlink("/dev/zero", bench.workspace().join("zero")).unwrap();
    assert!(
        bench.fails("read", &json!({"file_path": "zero"})).contains("leads out of the workspace")
    );
}

#[test]
fn a_file_that_nobody_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.put("a", "x");
    let none = std::fs::Permissions::from_mode(0o0);
    std::fs::set_permissions(bench.workspace().join("a"), none).unwrap();
    let outcome = bench.run("read", &json!({"file_path": "a"}));
    if !rustix::process::geteuid().is_root() {
        assert_eq!(outcome.status, CallStatus::Error);
        assert_eq!(outcome.shown, "a: permission denied.");
    }
}
