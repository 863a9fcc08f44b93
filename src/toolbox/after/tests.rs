//! What is told of the syntax after a change.

use serde_json::json;

use super::*;
use crate::tests::Bench;

fn lines(before: &str, after: &str) -> Vec<usize> {
    brought(Path::new("a.json"), before, after).iter().map(|error| error.line).collect()
}

#[test]
fn only_what_is_new_is_told() {
    let broken = "{\n  \"a\": 1,,\n  \"b\": 2\n}\n";
    assert_eq!(lines("{\n  \"a\": 1\n}\n", broken), [2]);
    assert_eq!(lines("", broken), [2]);
    assert_eq!(lines(broken, "{}\n"), [0; 0]);
    assert_eq!(lines(broken, &broken.replace("{\n", "{\n  \"new\": 0,\n")), [0; 0], "it moved");
    assert_eq!(lines(broken, &broken.replace("1,,", "3,,")), [0; 0], "no more than before");
    assert!(brought(Path::new("a.unknown"), "", "((((").is_empty());
}

#[test]
fn one_is_said_with_its_line_and_many_are_counted() {
    let errors = |count: usize| -> Vec<SyntaxError> {
        let error = |line| SyntaxError { line, column: 1, message: format!("`{line}` is wrong") };
        (1..=count).map(error).collect()
    };
    assert_eq!(sentence(&errors(0)), "");
    assert_eq!(
        sentence(&errors(1)),
        "\nThis change introduced a syntax error at line 1: `1` is wrong."
    );
    assert_eq!(
        sentence(&errors(5)),
        "\nThis change introduced syntax errors: line 1: `1` is wrong; line 2: `2` is wrong; line \
         3: `3` is wrong; and 2 more."
    );
}

#[test]
fn edits_and_patches_tell_it() {
    let bench = Bench::new();
    bench.put("a.rs", "fn a() {\n    b();\n}\n");
    let edit = json!({"file_path": "a.rs", "old_string": "b();", "new_string": "b(;"});
    let told = bench.ok("edit", &edit);
    let start = "Edited a.rs: 1 replacement, line 2\nThis change introduced a syntax error";
    assert!(told.starts_with(start), "{told}");
    let bench = Bench::with_set(crate::run::ToolSet::Patch);
    bench.put("a.py", "def f():\n    return 1\n");
    let patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-def f():\n+def f(:\n*** End Patch";
    let told = bench.run_text("apply_patch", patch).shown;
    assert!(told.starts_with("M a.py\nThis change introduced a syntax error"), "{told}");
}
