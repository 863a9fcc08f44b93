//! Errors are where somebody would look for them, and valid code is quiet.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// The errors as `line:column message`, a line each.
#[track_caller]
fn check_text(name: &str, source: &str, expected: &[&str]) {
    let errors = check(Path::new(name), source).unwrap();
    assert_eq!(lines(&errors), expected, "{source}");
}

fn lines(errors: &[SyntaxError]) -> Vec<String> {
    errors
        .iter()
        .map(|SyntaxError { line, column, message }| format!("{line}:{column} {message}"))
        .collect()
}

#[test]
fn rust() {
    check_text(
        "a.rs",
        "impl X {\n    fn a() {\n        if y {\n            f();\n    }\n}\n\nfn c() {}\n",
        &["3:14 `{` is not closed"],
    );
    check_text(
        "a.rs",
        "fn a() {\n    let x = = 5;\n    f(1, 2;\n}\n",
        &["2:13 unexpected `=`", "3:6 `(` is not closed"],
    );
    check_text("a.rs", "fn a() {}\n}\n", &["2:1 unexpected `}`"]);
    check_text("a.rs", "fn b() { \"abc }\n", &["1:10 a string is not closed"]);
    check_text("a.rs", "m! { fn $x ~ < 1 }\n#[cfg(~ =)] fn a() {}\n", &[]);
    check_text("a.rs", "m! { fn ( }\n", &["1:9 `(` is not closed"]);
}

#[test]
fn python() {
    check_text(
        "a.py",
        "def a(x):\n    for i in x:\n    print(i)\n",
        &["2:16 an indented block is missing"],
    );
    check_text("a.py", "class A\n    pass\n", &["1:1 unexpected `class A`"]);
    check_text("a.py", "x = f(1,\ny = 2\n", &["1:6 `(` is not closed"]);
    check_text(
        "a.py",
        "match x:\n    case [1, *r] if r: pass\n    case _: ...\ntype A[T] = list[T]\n\
         async def f[T: int](a, /, *, b): return f\"{a!r:>{b}} {'x'}\"\nwith (a as b, c): pass\n",
        &[],
    );
}

#[test]
fn the_languages_of_the_web() {
    check_text("a.js", "const a = [1, 2;\nf();\n", &["1:11 `[` is not closed"]);
    check_text("a.ts", "const a: Map<string, number[]> = x satisfies Y;\nenum E { A }\n", &[]);
    check_text("a.tsx", "const a = <A b={1}>x {y}</A>;\n", &[]);
    check_text("a.jsx", "const a = <A b={1>x</A>;\n", &["1:16 `{` is not closed"]);
    check_text("a.json", "{\"a\": 1, \"c\" 4\n", &["1:1 `{` is not closed"]);
    check_text("a.json", "{\"a\": [1, 2,]}", &["1:13 something is missing before `]`"]);
    check_text("a.json", "", &[]);
}

#[test]
fn compiled_languages() {
    check_text(
        "a.go",
        "package main\nfunc main() {\n\tx := []int{1, 2\n\tf(\"a\")\n}\n",
        &["3:12 `{` is not closed"],
    );
    check_text("A.java", "class A { void f() { g( } }\n", &["1:23 `(` is not closed"]);
    check_text(
        "A.java",
        "record A(int x) { sealed interface B permits C {} var t = \"\"\"\n x\"\"\"; }",
        &[],
    );
    check_text(
        "a.c",
        "int f(void) {\n  g(x;\n}\n}\n",
        &["2:4 `(` is not closed", "4:1 unexpected `}`"],
    );
    check_text("a.c", "BEGIN_DECLS\nint f(void) API_(x) { FOREACH(a, b) { } }\n", &[]);
    check_text("a.cpp", "template <class T> concept C = requires(T a) { { a + 1 }; };\n", &[]);
    check_text("a.h", "class A { public: int f() const; };\n", &[]);
}

#[test]
fn who_is_not_asked_says_nothing() {
    for (name, source) in [
        ("a.txt", "((("),
        ("tsconfig.json", "{\"a\": 1,}"),
        (".vscode/settings.json", "{\"a\": 1,}"),
        ("a.c", "#if A\nint f() {\n#else\nint g() {\n#endif\n}\n"),
        ("a.sh", "if true; then\n"),
        ("a.rs", &" ".repeat((1 << 20) + 1)),
    ] {
        assert_eq!(check(Path::new(name), source), None, "{name}");
    }
}

#[test]
fn only_what_a_change_brought_is_new() {
    let path = Path::new("a.rs");
    let before = "fn a() { let x = ; }\n\nfn b() {}\n";
    let after = "// Above.\nfn a() { let x = ; }\n\nfn b() { let y = ; }\n";
    assert_eq!(check(path, after).unwrap().len(), 2);
    assert_eq!(lines(&new_errors(path, before, after).unwrap()), ["4:16 unexpected `=`"]);
    let moved = "\n\nfn a() { let x = ; }\n";
    assert_eq!(new_errors(path, before, moved).unwrap(), []);
    let twice = "fn a() { let x = ; }\nfn a() { let x = ; }\n";
    assert_eq!(new_errors(path, before, twice).unwrap().len(), 1);
    assert_eq!(new_errors(path, "", after).unwrap().len(), 2);
}

#[test]
fn a_grammar_that_is_often_wrong_judges_what_it_understood_before() {
    let path = Path::new("a.sh");
    let good = "if true; then\n  echo \"a\"\nfi\n";
    let bad = "if true; then\n  echo \"a\"\n";
    assert_eq!(lines(&new_errors(path, good, bad).unwrap()), ["1:1 `if` is not closed"]);
    assert_eq!(new_errors(path, good, good).unwrap(), []);
    assert_eq!(new_errors(path, bad, bad), None);
    assert_eq!(new_errors(path, "", bad), None);
    let path = Path::new("a.c");
    let errors = new_errors(path, "int x = 3;\n", "int x = = 3;\n").unwrap();
    assert_eq!(lines(&errors), ["1:9 unexpected `=`"]);
}

#[test]
fn errors_are_few_and_short() {
    let many = "fn f() { let = ; }\n".repeat(100);
    let errors = check(Path::new("a.rs"), &many).unwrap();
    assert_eq!(errors.len(), ERRORS_MAX);
    let long = format!("x = = {}\n\u{1b}[31m", "é".repeat(10_000));
    for error in check(Path::new("a.py"), &long).unwrap() {
        assert!(error.message.chars().count() < 80, "{}", error.message);
        assert!(!error.message.contains(char::is_control), "{}", error.message);
    }
}

#[test]
fn nesting_of_any_depth_is_no_harm() {
    for (name, piece) in
        [("a.json", "["), ("a.py", "("), ("a.js", "{"), ("a.rs", "<"), ("a.c", "((")]
    {
        let _ = check(Path::new(name), &piece.repeat(20_000));
    }
    let _ = new_errors(Path::new("a.sh"), "true\n", &"$(".repeat(20_000));
}

#[test]
fn this_repository_is_without_errors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("src"), root.join("tests"), root.join("tools")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let errors = check(&path, &std::fs::read_to_string(&path).unwrap());
                assert_eq!(errors, Some(Vec::new()), "{}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn what_would_harm_a_scanner_is_kept_from_it() {
    let deep: String = (0..600).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
    assert_eq!(check(Path::new("a.py"), &deep), None);
    let path = Path::new("a.sh");
    for text in
        ["echo {\u{10fff0}..\u{e000}}", "{\u{fffff}", "a={\u{2003}..3}", "é <<日本\nx\n日本\n"]
    {
        let _ = new_errors(path, "true", text);
    }
    assert_eq!(new_errors(path, "true", "echo é 日本 \"ü\"\n"), Some(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_it(source in "(\\PC|[\\[\\](){}\"'`\n\t;$<>=if dofn]){0,200}") {
        for name in ["a.rs", "a.py", "a.js", "a.ts", "a.tsx", "a.go", "a.c", "a.cc", "A.java", "a.json"] {
            for error in check(Path::new(name), &source).unwrap_or_default() {
                prop_assert!(error.line <= source.split('\n').count() + 1);
            }
        }
        let _ = new_errors(Path::new("a.sh"), "true", &source);
    }
}
