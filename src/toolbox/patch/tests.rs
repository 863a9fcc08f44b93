//! Patches.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use serde_json::json;
use trajectory::event::CallStatus;

use super::*;
use crate::run::ToolSet;
use crate::tests::Bench;

fn bench() -> Bench {
    Bench::with_set(ToolSet::Patch)
}

/// The sections between the first line and the last.
fn patch(sections: &str) -> Value {
    json!({ "input": format!("*** Begin Patch\n{sections}*** End Patch\n") })
}

fn ok(bench: &Bench, sections: &str) -> String {
    bench.ok("apply_patch", &patch(sections))
}

fn fails(bench: &Bench, sections: &str) -> String {
    let told = bench.fails("apply_patch", &patch(sections));
    assert!(told.contains("Nothing was changed"), "{told}");
    told
}

/// What becomes of one file by the hunks of an update.
fn updated(before: &str, hunks: &str) -> Result<String, String> {
    let bench = bench();
    bench.put("f", before);
    let outcome = bench.run("apply_patch", &patch(&format!("*** Update File: f\n{hunks}")));
    match outcome.status {
        CallStatus::Ok => Ok(bench.get("f")),
        _ => {
            assert_eq!(bench.get("f"), before);
            Err(outcome.shown)
        }
    }
}

fn check(before: &str, hunks: &str, after: &str) {
    assert_eq!(updated(before, hunks).as_deref(), Ok(after), "{hunks}");
}

fn refused(before: &str, hunks: &str, told: &str) {
    let error = updated(before, hunks).unwrap_err();
    assert!(error.contains(told), "{error}");
}

#[test]
fn files_are_added_changed_moved_and_deleted() {
    let bench = bench();
    bench.put("src/a.rs", "fn a() {}\nfn b() {}\n");
    bench.put("old.txt", "x\ny\n");
    bench.put("gone.txt", "z\n");
    let told = ok(
        &bench,
        "*** Add File: new/deep/c.txt\n+one\n+\n+two\n*** Update File: src/a.rs\n@@\n fn a() {}\n\
         -fn b() {}\n+fn c() {}\n*** Update File: old.txt\n*** Move to: new/old.txt\n@@\n-x\n+X\n \
         y\n*** Delete File: gone.txt\n",
    );
    assert_eq!(
        told,
        "A new/deep/c.txt (3 lines)\nM src/a.rs\nR old.txt -> new/old.txt\nD gone.txt"
    );
    assert_eq!(bench.get("new/deep/c.txt"), "one\n\ntwo\n");
    assert_eq!(bench.get("src/a.rs"), "fn a() {}\nfn c() {}\n");
    assert_eq!(bench.get("new/old.txt"), "X\ny\n");
    assert_eq!(bench.names(), ["new", "src"]);
}

#[test]
fn a_file_that_is_added_where_one_is_is_replaced_and_said_so() {
    let bench = bench();
    bench.put("a", "1\n2\n");
    assert_eq!(ok(&bench, "*** Add File: a\n+x\n"), "M a (replaced: 2 lines before, 1 line now)");
    assert_eq!(bench.get("a"), "x\n");
    assert_eq!(ok(&bench, "*** Add File: empty\n"), "A empty (0 lines)");
    assert_eq!(bench.get("empty"), "");
}

#[test]
fn hunks_find_their_lines() {
    let file = "a\nb\nc\nd\ne\n";
    check(file, "@@\n a\n-b\n+B\n c\n", "a\nB\nc\nd\ne\n");
    check(file, "@@\n-a\n@@\n-e\n", "b\nc\nd\n");
    check(file, " d\n e\n+f\n", "a\nb\nc\nd\ne\nf\n");
    check(file, "@@\n+z\n a\n", "z\na\nb\nc\nd\ne\n");
    check(file, "@@\n e\n+f\n*** End of File\n", "a\nb\nc\nd\ne\nf\n");
    check(file, "+f\n", "a\nb\nc\nd\ne\nf\n");
    check("a", "+b\n", "a\nb\n");
    check("a\nb", " b\n+c\n", "a\nb\nc");
    check("", "+a\n", "a\n");
    check("a\n\nb\n", " a\n\n-b\n+c\n", "a\n\nc\n");
    check("\n\n", "-\n-\n+x\n", "x\n");
    // Two hunks with the lines between them in both.
    check(file, "@@\n a\n-b\n+B\n c\n@@\n c\n-d\n+D\n e\n", "a\nB\nc\nD\ne\n");
    // In the wrong order.
    check(file, "@@\n-e\n+E\n@@\n-a\n+A\n", "A\nb\nc\nd\nE\n");
}

#[test]
fn the_line_after_the_signs_decides_between_equals() {
    let file =
        "class A:\n    def f(self):\n        pass\n\nclass B:\n    def f(self):\n        pass\n";
    let changed = file.replacen("pass", "PASS", 2).replacen("PASS", "pass", 1);
    check(file, "@@ class B:\n     def f(self):\n-        pass\n+        PASS\n", &changed);
    check(file, "@@ class B:\n@@     def f(self):\n-        pass\n+        PASS\n", &changed);
    check(file, "@@ class B\n-        pass\n+        PASS\n", &changed);
    check(file, "@@ -7,1 +7,1 @@\n-        pass\n+        PASS\n", &changed);
    let told = "hunk 1: its lines are at 2 places, lines 3, 7.";
    refused(file, "@@\n-        pass\n+        PASS\n", told);
    refused(file, "@@ def f(self):\n-        pass\n+        PASS\n", told);
    refused(file, "@@ class C:\n-        pass\n+        PASS\n", told);
    // The one before it has been passed.
    let both = file.replace("pass", "PASS");
    let hunk = "     def f(self):\n-        pass\n+        PASS\n";
    check(file, &format!("@@ class A:\n{hunk}@@\n{hunk}"), &both);
}

#[test]
fn the_context_need_not_be_exact() {
    check("a  \nb\n", " a\n-b\n+c\n", "a  \nc\n");
    check("a\r\nb\r\n", " a\n-b\n+c\n+d\n", "a\r\nc\r\nd\r\n");
    check(
        "\tif x {\n\t\ty();\n\t}\n",
        "     if x {\n-        y();\n+        z();\n     }\n",
        "\tif x {\n\t\tz();\n\t}\n",
    );
    check("say “hi”\nb\n", " say \"hi\"\n-b\n+c\n", "say “hi”\nc\n");
    check("f( a );\nb\n", "f(a);\n-b\n+c\n", "f( a );\nc\n");
    let bench = bench();
    bench.put("f", "say “hi”\nb  \nc\n");
    let told = ok(&bench, "*** Update File: f\n@@\n-c\n+C\n@@\n-say \"hi\"\n+say \"ho\"\n b\n");
    assert_eq!(told, "M f (hunk 2 matched ignoring look-alike characters)");
    assert_eq!(bench.get("f"), "say “ho”\nb  \nC\n");
}

#[test]
fn a_hunk_that_does_not_fit_is_named_and_shown_what_is_there() {
    let file = "fn one() {\n    first(1);\n    second(2);\n}\n";
    refused(
        file,
        "@@\n fn one() {\n-    first(2);\n+    first(3);\n",
        "hunk 1: its lines are not in the file.",
    );
    refused(file, "@@\n fn one() {\n-    first(2);\n+    first(3);\n", "     2\t    first(1);");
    refused(file, "@@\n fn one() {\n-    ...\n+    third();\n }\n", "`...` leaves lines out");
    refused(
        file,
        "@@\n fn one() {\n-    first(1);\n+    // ... existing code ...\n",
        "leaves code out",
    );
    refused(file, "@@ fn one() {\n+    zeroth(0);\n", "does not say where");
    refused(file, "@@\n-    first(0);\n+    first(1);\n", "already has its new lines");
    refused(file, "@@\n fn one() {\n", "does not change it");
    refused(file, "@@\n-    first(1);\n+    x\n*** End of File\n", "its lines are not in the file");
}

#[test]
fn all_of_it_or_nothing() {
    let bench = bench();
    bench.put("a", "a\n");
    bench.put("b", "b\n");
    bench.put("dir/c", "c\n");
    let first = "*** Update File: a\n@@\n-a\n+A\n*** Delete File: b\n*** Add File: x/y/z\n+z\n";
    let second = [
        ("*** Update File: dir/c\n@@\n-x\n+C\n", "dir/c: hunk 1"),
        ("*** Update File: missing\n@@\n-x\n+C\n", "missing does not exist"),
        ("*** Delete File: missing\n", "missing does not exist"),
        ("*** Delete File: dir\n", "is a directory"),
        ("*** Add File: a/b\n+x\n", "a part of the path is not a directory"),
        ("*** Add File: ../outside/planted\n+x\n", "outside the workspace"),
        ("*** Update File: dir/c\n*** Move to: a\n@@\n-c\n+C\n", "a exists already"),
        ("*** Update File: b\n@@\n-b\n+B\n", "b does not exist"),
    ];
    for (second, told) in second {
        let error = fails(&bench, &format!("{first}{second}"));
        assert!(error.contains(told), "{error}");
        assert_eq!((bench.get("a").as_str(), bench.get("b").as_str()), ("a\n", "b\n"));
        assert_eq!(bench.names(), ["a", "b", "dir"], "{second}");
    }
    bench.assert_outside_untouched();
}

#[test]
fn several_things_that_do_not_fit_are_told_at_once() {
    let bench = bench();
    bench.put("a", "a\n");
    bench.put("b", "b\n");
    let told = fails(&bench, "*** Update File: a\n-x\n+y\n*** Update File: b\n-x\n+y\n");
    assert!(told.contains("a: hunk 1") && told.contains("b: hunk 1"), "{told}");
}

#[test]
fn protected_places_are_left_alone() {
    let bench = bench();
    bench.put(".git/HEAD", "ref\n");
    bench.put("a", "a\n");
    for section in [
        "*** Add File: .git/hooks/post-commit\n+x\n",
        "*** Update File: .git/HEAD\n@@\n-ref\n+x\n",
        "*** Delete File: .git/HEAD\n",
        "*** Update File: a\n*** Move to: .git/a\n@@\n-b\n+c\n",
        "*** Add File: .limn/config.toml\n+x\n",
        "*** Add File: sub/.git/config\n+x\n",
    ] {
        let sections = format!("*** Update File: a\n@@\n-a\n+b\n{section}");
        let outcome = bench.run("apply_patch", &patch(&sections));
        assert_eq!(outcome.status, CallStatus::Denied, "{}", outcome.shown);
        assert_eq!(bench.get("a"), "a\n");
        assert_eq!(bench.get(".git/HEAD"), "ref\n");
        assert_eq!(bench.names(), [".git", "a"]);
    }
}

#[test]
fn one_file_may_have_several_sections() {
    let bench = bench();
    bench.put("a", "1\n2\n3\n");
    std::os::unix::fs::symlink("a", bench.workspace().join("link")).unwrap();
    ok(&bench, "*** Update File: a\n-1\n+one\n*** Update File: ./a\n-3\n+three\n");
    assert_eq!(bench.get("a"), "one\n2\nthree\n");
    ok(&bench, "*** Update File: link\n-2\n+two\n*** Update File: a\n two\n-three\n+3\n");
    assert_eq!(bench.get("a"), "one\ntwo\n3\n");
    assert!(bench.workspace().join("link").is_symlink());
    ok(&bench, "*** Delete File: a\n*** Add File: a\n+new\n");
    assert_eq!(bench.get("a"), "new\n");
    ok(&bench, "*** Add File: n\n+1\n*** Update File: n\n-1\n+2\n");
    assert_eq!(bench.get("n"), "2\n");
    ok(&bench, "*** Add File: t\n+1\n*** Delete File: t\n");
    assert_eq!(bench.names(), ["a", "link", "n"]);
}

#[test]
fn a_moved_file_keeps_its_mode() {
    let bench = bench();
    bench.put("run.sh", "#!/bin/sh\nexit 0\n");
    let path = bench.workspace().join("run.sh");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    ok(&bench, "*** Update File: run.sh\n*** Move to: bin/start\n-exit 0\n+exit 1\n");
    let mode = std::fs::metadata(bench.workspace().join("bin/start")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
    ok(&bench, "*** Update File: bin/start\n*** Move to: start\n");
    assert_eq!(bench.get("start"), "#!/bin/sh\nexit 1\n");
}

#[test]
fn bytes_that_are_not_utf8_stay() {
    let bench = bench();
    bench.put("f", b"caf\xe9\r\none\r\n\xff\xfe\n");
    ok(&bench, "*** Update File: f\n-one\n+two\n");
    let content = std::fs::read(bench.workspace().join("f")).unwrap();
    assert_eq!(content, b"caf\xe9\r\ntwo\r\n\xff\xfe\n");
}

#[test]
fn a_freeform_call_brings_the_patch_itself() {
    let bench = bench();
    let sections = "*** Add File: a\n+\"x\"\n";
    let whole = format!("*** Begin Patch\n{sections}*** End Patch");
    for (number, sent) in [
        whole.clone(),
        serde_json::to_string(&whole).unwrap(),
        patch(sections).to_string(),
        format!("apply_patch <<'EOF'\n{whole}\nEOF\n"),
        format!("```\n{whole}\n```"),
        "\n\n  *** Begin Patch\n  *** Add File: a\n  +\"x\"\n  *** End Patch\n".to_owned(),
        format!("*** Begin Patch\n{sections}"),
        sections.to_owned(),
        whole.replace('\n', "\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = bench.run_text("apply_patch", &sent);
        assert_eq!(outcome.status, CallStatus::Ok, "{sent}: {}", outcome.shown);
        assert_eq!(bench.get("a"), "\"x\"\n", "{sent}");
        assert_eq!(outcome.shown.starts_with("A a"), number == 0, "{}", outcome.shown);
    }
}

#[test]
fn what_is_no_patch_is_told_what_one_is() {
    let bench = bench();
    for (sent, told) in [
        ("*** Begin Patch\n*** End Patch", "It names no file"),
        ("*** Begin Patch\n*** Delete File: a\n-x\n*** End Patch", "Line 2 of the patch"),
        ("*** Begin Patch\n*** Add File: a\nx\n*** End Patch", "begins with `+`"),
        ("*** Begin Patch\nhello\n*** Add File: a\n+x\n*** End Patch", "before the first"),
        ("*** Begin Patch\n*** Move to: a\n*** End Patch", "before the first"),
        ("please change @@ it", "It names no file"),
        ("hello", "not valid JSON"),
        ("{\"patch\": \"x\"}", "unknown field `patch`"),
    ] {
        let outcome = bench.run_text("apply_patch", sent);
        assert_eq!(outcome.status, CallStatus::Error, "{sent}");
        assert!(outcome.shown.contains(told), "{sent}: {}", outcome.shown);
    }
    let many: String = (0..200).map(|n| format!("*** Add File: f{n}\n+x\n")).collect();
    assert!(fails(&bench, &many).contains("more than 100 files"));
    assert!(bench.names().is_empty());
}

#[test]
fn a_unified_diff_is_taken_too() {
    let bench = bench();
    bench.put("src/a.rs", "fn a() {}\n\nfn b() {\n    1\n}\n");
    bench.put("gone", "x\n");
    bench.put("from", "1\n2\n");
    let diff = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ \
                b/src/a.rs\n@@ -3,3 +3,3 @@ fn a() {}\n fn b() {\n-    1\n+    2\n }\n--- \
                /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of \
                file\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\ndiff --git a/from \
                b/to\nsimilarity index 50%\nrename from from\nrename to to\n--- a/from\n+++ \
                b/to\n@@ -1,2 +1,2 @@\n-1\n+one\n 2\n";
    let told = bench.ok("apply_patch", &json!({ "input": diff }));
    assert_eq!(told, "M src/a.rs\nA new (2 lines)\nD gone\nR from -> to");
    assert_eq!(bench.get("src/a.rs"), "fn a() {}\n\nfn b() {\n    2\n}\n");
    assert_eq!(bench.get("new"), "one\ntwo\n");
    assert_eq!(bench.get("to"), "one\n2\n");
    assert_eq!(bench.names(), ["new", "src", "to"]);
}

#[test]
fn equal_places_of_a_diff_are_told_apart_by_its_numbers() {
    let bench = bench();
    bench.put("a", "x\ny\nx\ny\n");
    let diff = |line: usize| json!({ "input": format!("--- a/a\n+++ b/a\n@@ -{line} +{line} @@\n-y\n+z\n") });
    assert!(bench.fails("apply_patch", &diff(3)).contains("2 places, lines 2, 4"));
    bench.ok("apply_patch", &diff(4));
    assert_eq!(bench.get("a"), "x\ny\nx\nz\n");
}

#[test]
fn cancelled_before_the_end_nothing_is_changed() {
    let bench = bench();
    bench.put("a", "a\n");
    let workspace = Workspace::open(&bench.workspace()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let input = "*** Update File: a\n-a\n+b\n*** Add File: new/c\n+c\n".to_owned();
    let failure = run(&workspace, &Input { input }, &cancel).unwrap_err();
    assert!(matches!(failure, Failure::Cancelled(_)), "{failure:?}");
    assert_eq!(bench.get("a"), "a\n");
    assert_eq!(bench.names(), ["a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No text makes it panic, or change a file by half.
    #[test]
    fn any_text_is_read(text in "(\\*\\*\\* (Begin Patch|End Patch|Add File: a|Update File: f|Delete File: f|Move to: g|End of File)|@@|@@ x|[ +-](x|y)|--- a/f|\\+\\+\\+ b/f|\\PC{0,9}|\n){0,14}") {
        let _ = parse::parse(&text);
        let text = text.replace("***", "\n***").replace("@@", "\n@@").replace("+x", "\n+x");
        let _ = parse::parse(&text);
    }

    /// What a diff of two texts says makes the one into the other.
    #[test]
    fn a_patch_of_whole_files_makes_the_one_into_the_other(
        before in proptest::collection::vec("[abc]{0,2}", 1..8),
        after in proptest::collection::vec("[abc]{0,2}", 1..8),
    ) {
        prop_assume!(before != after);
        let lines = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let signed = |sign: char, lines: &[String]| {
            lines.iter().map(|line| format!("{sign}{line}\n")).collect::<String>()
        };
        let hunks = format!("@@\n{}{}", signed('-', &before), signed('+', &after));
        let text = format!("*** Update File: f\n{hunks}");
        let sections = parse::parse(&text).unwrap();
        let Some(Section::Update { hunks, .. }) = sections.first() else { panic!("{sections:?}") };
        let patched = hunks::apply(lines(&before).as_bytes(), hunks, true);
        prop_assert_eq!(patched.map(|it| it.content), Ok(lines(&after).into_bytes()));
    }
}
