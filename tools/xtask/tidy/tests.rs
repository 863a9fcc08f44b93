//! Each rule on a snippet that breaks it, and on one that does not.

use std::collections::{BTreeMap, BTreeSet};

use super::files::File;
use super::licences::{Expression, judge};
use super::{Exception, Finding, except, journeys, manifests, rust, text};

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// The rules that these files break, each as `line rule`.
fn broken(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.line, finding.rule)).collect()
}

fn rust_rules(path: &str, text: &str) -> Vec<String> {
    broken(&rust::check(&[file(path, text)]))
}

fn text_rules(path: &str, text: &str) -> Vec<String> {
    broken(&text::check(&[file(path, text)]))
}

/// A function of so many lines.
fn function(name: &str, lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
}

#[test]
fn functions_have_70_lines_at_most() {
    let docs = "//! Docs.\n";
    let fits = format!("{docs}{}", function("fits", 70));
    assert_eq!(rust_rules("src/a/lib.rs", &fits), [""; 0]);
    let long = format!("{docs}{}", function("long", 71));
    assert_eq!(rust_rules("src/a/lib.rs", &long), ["2 function-lines"]);
    let method = format!("{docs}struct A;\nimpl A {{\n{}}}\n", function("long", 71));
    assert_eq!(rust_rules("tools/a/main.rs", &method), ["4 function-lines"]);
    let default = format!("{docs}trait A {{\n{}}}\n", function("long", 80));
    assert_eq!(rust_rules("src/a/lib.rs", &default), ["3 function-lines"]);
}

#[test]
fn tests_are_not_measured() {
    let long = function("long", 99);
    let module = format!("//! Docs.\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(rust_rules("src/a/lib.rs", &module), [""; 0]);
    let attributes = format!("//! Docs.\n#[test]\n{long}#[tokio::test]\nasync {long}");
    assert_eq!(rust_rules("src/a/lib.rs", &attributes), [""; 0]);
    assert_eq!(rust_rules("src/a/part/tests.rs", &format!("//! Docs.\n{long}")), [""; 0]);
    assert_eq!(rust_rules("tests/scenarios/main.rs", &long), [""; 0]);
    let not = format!("//! Docs.\n#[cfg(not(test))]\n{long}");
    assert_eq!(rust_rules("src/a/lib.rs", &not), ["3 function-lines"]);
}

#[test]
fn a_test_module_in_another_file_is_not_measured() {
    let declares = file("src/a/part.rs", "//! Docs.\n#[cfg(test)]\nmod support;\n");
    let long = format!("//! Docs.\n{}", function("long", 99));
    let supports = file("src/a/part/support.rs", &long);
    let other = file("src/a/support.rs", &long);
    assert_eq!(broken(&rust::check(&[declares, supports, other])), ["2 function-lines"]);
}

#[test]
fn files_have_500_lines_at_most_without_their_tests() {
    let lines = |count: usize| format!("//! Docs.\n{}", "// So.\n".repeat(count - 1));
    assert_eq!(rust_rules("src/a/lib.rs", &lines(500)), [""; 0]);
    assert_eq!(rust_rules("src/a/lib.rs", &lines(501)), ["1 file-lines"]);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n// So.\n}}\n", lines(500));
    assert_eq!(rust_rules("src/a/lib.rs", &tests), [""; 0]);
}

#[test]
fn structs_and_enums_stay_small() {
    let fields = |count: usize| {
        let fields: String = (0..count).map(|at| format!("f{at}: u8,")).collect();
        format!("//! Docs.\nstruct A {{ {fields} }}\n")
    };
    assert_eq!(rust_rules("src/a/lib.rs", &fields(20)), [""; 0]);
    assert_eq!(rust_rules("src/a/lib.rs", &fields(21)), ["2 struct-fields"]);
    let variants = |count: usize| {
        let variants: String = (0..count).map(|at| format!("V{at},")).collect();
        format!("//! Docs.\nenum A {{ {variants} }}\n")
    };
    assert_eq!(rust_rules("src/a/lib.rs", &variants(25)), [""; 0]);
    assert_eq!(rust_rules("src/a/lib.rs", &variants(26)), ["2 enum-variants"]);
}

#[test]
fn loose_ends_are_found_in_comments_and_macros() {
    let mark = concat!("TO", "DO");
    let comment = format!("//! Docs.\n// {mark}: more\n");
    assert_eq!(rust_rules("src/a/lib.rs", &comment), ["2 loose-end"]);
    let trailing = format!("//! Docs.\nconst A: u8 = 1; // {mark}\n");
    assert_eq!(rust_rules("src/a/lib.rs", &trailing), ["2 loose-end"]);
    let string = format!("//! Docs.\nconst A: &str = \"http://{mark}\";\n");
    assert_eq!(rust_rules("src/a/lib.rs", &string), [""; 0]);
    let unwritten = "//! Docs.\nfn a() { vec![todo!()]; }\n";
    assert_eq!(rust_rules("src/a/lib.rs", unwritten), ["2 loose-end"]);
    assert_eq!(rust_rules("src/a/lib.rs", "//! Docs.\nfn todo() {}\n"), [""; 0]);
}

#[test]
fn unsafe_stands_in_the_sandbox_only() {
    let code = "//! Docs.\n// Not unsafe.\nfn a() {\n    unsafe { b() }\n}\n";
    assert_eq!(rust_rules("src/sandbox/lib.rs", code), [""; 0]);
    assert_eq!(rust_rules("src/record/lib.rs", code), ["4 unsafe"]);
    assert_eq!(rust_rules("tests/a.rs", "m! { unsafe }\n"), ["1 unsafe"]);
}

#[test]
fn modules_begin_with_their_docs() {
    assert_eq!(rust_rules("src/a/lib.rs", "fn a() {}\n"), ["1 module-docs"]);
    assert_eq!(rust_rules("src/a/lib.rs", "//! Docs.\nfn a() {}\n"), [""; 0]);
}

#[test]
fn what_is_not_rust_is_named_with_its_line() {
    assert_eq!(rust_rules("src/a/lib.rs", "//! Docs.\nfn fn\n"), ["2 syntax"]);
}

#[test]
fn white_space_is_plain() {
    assert_eq!(text_rules("docs/a.md", "a\nb\n"), [""; 0]);
    assert_eq!(text_rules("docs/a.md", "a \n\tb\n"), ["1 white-space", "2 white-space"]);
    assert_eq!(text_rules("docs/a.md", "a\r\n"), ["1 white-space"]);
    assert_eq!(text_rules("docs/a.md", "a\nb"), ["2 white-space"]);
    assert_eq!(text_rules("docs/a.md", "a\n\n"), ["2 white-space"]);
    assert_eq!(text_rules("recordings/a.md", "a \n\tb"), [""; 0]);
    assert_eq!(text_rules("assets/a.json", "a \n\tb"), [""; 0]);
}

#[test]
fn a_crate_has_no_folder_of_tests() {
    assert_eq!(text_rules("src/a/tests/b.rs", ""), ["1 tests-folder"]);
    assert_eq!(text_rules("src/a/tests.rs", ""), [""; 0]);
    assert_eq!(text_rules("tests/a.rs", ""), [""; 0]);
}

#[test]
fn some_words_do_not_belong_here() {
    let path = format!("see {}\n", ["", "work", "shared"].join("/"));
    assert_eq!(text_rules("docs/a.md", &path), ["1 forbidden-word"]);
    let home = format!("cd \"{}\"\n", ["", "root", ".cargo"].join("/"));
    assert_eq!(text_rules("recordings/a.json", &home), ["1 forbidden-word"]);
    let deeper = format!("src{}\n", ["", "work", "shared"].join("/"));
    assert_eq!(text_rules("docs/a.md", &deeper), [""; 0]);
    let host = ["pypi", "org"].join(".");
    assert_eq!(text_rules("docs/a.md", &format!("https://{host}/x\n")), ["1 forbidden-word"]);
    assert_eq!(text_rules("docs/a.md", &format!("https://files.{host}\n")), ["1 forbidden-word"]);
}

#[test]
fn the_lock_file_may_name_the_registry_as_a_source_and_nowhere_else() {
    let name = ["crates", "io"].join(".");
    let source = format!("source = \"registry+https://{name}-index\"\n");
    assert_eq!(text_rules("Cargo.lock", &source), [""; 0]);
    assert_eq!(text_rules("docs/a.md", &source), ["1 forbidden-word"]);
    assert_eq!(text_rules("Cargo.lock", &format!("name = \"{name}\"\n")), ["1 forbidden-word"]);
}

#[test]
fn manifests_inherit_lints_and_versions() {
    let source = file("src/a/lib.rs", "use tokio_util::b;");
    let good =
        "[package]\n[dependencies]\ntokio-util.workspace = true\n\n[lints]\nworkspace = true\n";
    let files = [file("src/a/Cargo.toml", good), source];
    assert_eq!(broken(&manifests::check(&files).unwrap()), [""; 0]);
    let bad = "[package]\n[target.'cfg(unix)'.dependencies]\ntokio-util = \"1\"\n";
    let source = file("src/a/lib.rs", "use tokio_util::b;");
    let files = [file("src/a/Cargo.toml", bad), source];
    assert_eq!(broken(&manifests::check(&files).unwrap()), ["1 lints", "3 dependency-pin"]);
}

#[test]
fn crates_are_used_and_explained() {
    let root =
        "[workspace.dependencies]\nours = { path = \"src/ours\" }\nserde = \"1\"\nzstd = \"1\"\n";
    let member = "[package]\n[dependencies]\nserde.workspace = true\n[lints]\nworkspace = true\n";
    let rows = "| crate | for |\n| --- | --- |\n| `zstd`, `gone` | `serde` |\n";
    let files = [
        file("Cargo.toml", root),
        file("src/ours/Cargo.toml", member),
        file("src/ours/lib.rs", "fn deserves() {}"),
        file("docs/dependencies.md", rows),
    ];
    let mut found = broken(&manifests::check(&files).unwrap());
    found.sort();
    let expected = [
        "1 dependency-docs",   // a row for `gone`
        "3 dependency-docs",   // no row for `serde`
        "3 dependency-unused", // `ours` does not name `serde`
        "4 dependency-unused", // nobody depends on `zstd`
    ];
    assert_eq!(found, expected);
}

#[test]
fn licence_expressions() {
    let allowed = BTreeSet::from(["MIT", "ISC", "BSD-3-Clause"].map(str::to_owned));
    let crates = |licence: &str| BTreeMap::from([("a v1".to_owned(), licence.to_owned())]);
    let refused = |licence: &str| {
        let findings = judge(&crates(licence), &allowed);
        findings.iter().any(|finding| finding.what.contains("does not allow"))
    };
    assert!(!refused("MIT"));
    assert!(!refused("MIT OR Apache-2.0"));
    assert!(!refused("Apache-2.0/MIT"));
    assert!(!refused("ISC AND (Apache-2.0 OR MIT)"));
    assert!(refused("MIT AND Apache-2.0"));
    assert!(refused("MIT AND ISC AND GPL-3.0 OR GPL-3.0"));
    assert!(refused("MIT WITH some-exception"));
    assert!(refused(""));
    assert!(refused("(MIT"));
    assert_eq!(Expression::parse("MIT ISC"), None);
}

#[test]
fn a_licence_that_no_crate_needs_is_named() {
    let allowed = BTreeSet::from(["MIT", "Zlib"].map(str::to_owned));
    let crates = BTreeMap::from([("a v1".to_owned(), "MIT".to_owned())]);
    let findings = judge(&crates, &allowed);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].what.contains("`Zlib`"));
}

#[test]
fn exceptions_allow_what_they_say_and_no_more() {
    let over = |measured| {
        let finding = Finding::new("src/a/lib.rs", 1, rust::FILE_LINES, String::new());
        vec![finding.measured(measured)]
    };
    let exception =
        |allowed| [Exception { path: "src/a/lib.rs", rule: rust::FILE_LINES, allowed, reason: "" }];
    assert_eq!(except(over(600), &exception(600)), []);
    assert_eq!(broken(&except(over(601), &exception(600))), ["1 file-lines"]);
    assert_eq!(broken(&except(over(590), &exception(600))), ["1 exception"]);
    assert_eq!(broken(&except(Vec::new(), &exception(600))), ["1 exception"]);
    assert_eq!(broken(&except(over(801), &exception(801))), ["1 file-lines"]);
}

#[test]
fn journeys_name_stories_that_exist() {
    let story = file("tests/scenarios/a.rs", "fn it_works() {}\n");
    let list = file("docs/journeys.md", "see `text`\n\n| 1 | a `b` | `it_works`, `it_is_gone` |\n");
    assert_eq!(broken(&journeys::check(&[story, list])), ["3 journey"]);
}
