//! What a line would run, and that what cannot be known is said to be so.

use proptest::prelude::*;

use super::*;

/// The commands of a line, `?` for what is not known, `~` before one that only wraps another.
fn shown(line: &Line) -> Vec<String> {
    let word = |word: &Word| word.literal().unwrap_or("?").to_owned();
    let command = |command: &SimpleCommand| {
        let words: Vec<String> = command.words.iter().map(word).collect();
        format!("{}{}", if command.is_wrapper { "~" } else { "" }, words.join(" "))
    };
    line.commands.iter().map(command).collect()
}

#[track_caller]
fn check_line(line: &str, expected: &[&str]) {
    let found = commands(line);
    assert_eq!(shown(&found), expected, "{line}");
    assert_eq!(found.opaque, None, "{line}");
}

#[track_caller]
fn check_opaque(line: &str, expected: &[&str]) {
    let found = commands(line);
    assert!(found.opaque.is_some(), "{line}: {:?}", shown(&found));
    for command in expected {
        assert!(shown(&found).iter().any(|found| found == command), "{line}: {:?}", shown(&found));
    }
}

#[test]
fn commands_are_found_wherever_they_stand() {
    check_line("git status", &["git status"]);
    check_line("  git   status  # ; rm x", &["git status"]);
    check_line("a && b || c; d & e\nf", &["a", "b", "c", "d", "e", "f"]);
    check_line("a | b |& c", &["a", "b", "c"]);
    check_line("(a; b) && { c; }", &["a", "b", "c"]);
    check_line("! a", &["a"]);
    check_line("if a; then b; elif c; then d; else e; fi", &["a", "b", "c", "d", "e"]);
    check_line("while a; do b; done; until c; do d; done", &["a", "b", "c", "d"]);
    check_line("for f in $(ls) *.rs; do wc -l \"$f\"; done", &["ls", "wc -l ?"]);
    check_line("case x in a) b;; c|d) e;; esac", &["b", "e"]);
    check_line("a \"$(b `c`)\" <(d) $(e)", &["a ? ? ?", "b ?", "c", "d", "e"]);
    check_line("x=$(a); echo \"$x\" ${x} ${x:-y}", &["a", "echo ? ? ?"]);
    check_line("RUST_LOG=debug cargo test", &["cargo test"]);
    check_line("a \\\n  -b", &["a -b"]);
    check_line("a 2>&1 >/dev/null </etc/hosts | b <<< 'x'", &["a", "b"]);
    check_line(
        "git commit -m \"it's (a) thing; done\" 'x | y'",
        &["git commit -m it's (a) thing; done x | y"],
    );
    check_line("", &[]);
}

#[test]
fn quotes_are_removed() {
    check_line("\"rm\" 'a'\"'\"'b' a\\;b r\\m", &["rm a'b a;b rm"]);
    check_opaque("a\\ b", &["a b"]);
}

#[test]
fn what_runs_another_command_is_looked_through() {
    check_line("nohup a b", &["a b", "~nohup a b"]);
    check_line("timeout -k 5 -s=9 10 a", &["a", "~timeout -k 5 -s=9 10 a"]);
    check_line("nice -n5 time -p a", &["a", "~time -p a", "~nice -n5 time -p a"]);
    check_line("sudo -n -u root rm x", &["rm x", "sudo -n -u root rm x"]);
    check_line("x | xargs -0 -n 1 rm -f", &["x", "rm -f ?", "xargs -0 -n 1 rm -f"]);
    check_line("env -i LANG=C a", &["a", "~env -i LANG=C a"]);
    check_line("bash -c 'a; b'", &["a", "b", "~bash -c a; b"]);
    check_line(
        "find . -exec rm {} \\; -exec a {} +",
        &["rm ?", "a ?", "find . -exec rm ? ; -exec a ? +"],
    );
    check_line("command -v a", &["command -v a"]);
    check_line("exec a", &["a", "exec a"]);
    check_line("/usr/bin/env a", &["a", "~/usr/bin/env a"]);
    check_line("if [ -f a ] && [ \"$x\" = b ]; then c; fi", &["[ ? ? ]", "[ ? ? ? ]", "c"]);
    check_line("printf '%s' \"$x\"", &["printf %s ?"]);
    check_line("bash script.sh", &["bash script.sh"]);
    check_line("./env a", &["a", "./env a"]);
    check_line("/tmp/bash -c a", &["a", "/tmp/bash -c a"]);
    check_line("./nohup a", &["a", "./nohup a"]);
}

#[test]
fn files_that_are_written_are_told() {
    let writes = |line: &str| -> Vec<Option<String>> {
        commands(line).writes.iter().map(|word| word.literal().map(str::to_owned)).collect()
    };
    assert_eq!(writes("a > b 2>> 'c d' &> e"), ["b", "c d", "e"].map(|name| Some(name.to_owned())));
    assert_eq!(writes("a > $x; { b; } >| \"y\""), [None, Some("y".to_owned())]);
    assert_eq!(writes("a > >(tee b)"), [None]);
    assert_eq!(writes("a 2>&1 >&- > /dev/null 2>/dev/stderr < b"), []);
    assert_eq!(writes("a >& b"), [Some("b".to_owned())]);
    assert_eq!(writes("> b"), [Some("b".to_owned())]);
}

#[test]
fn what_cannot_be_known_is_opaque() {
    for line in [
        "$a b",
        "\"$a\" b",
        "{rm,x}",
        "r{m,} x",
        "$(a) b",
        "`a` b",
        "*",
        "eval 'a'",
        ". a",
        "source a",
        "alias git=rm; git status",
        "trap 'rm x' EXIT",
        "function f { a; }",
        "f() { a; }; f",
        "PATH=. git status",
        "LD_PRELOAD=x.so git status",
        "export PATH=.; a",
        "for PATH in .; do a; done",
        "read PATH < x",
        "printf -v PATH x",
        "declare -x PATH=.",
        "a[$(b)]=1",
        "a=(b c)",
        "cat <<E\n$(rm x)\nE",
        "bash <<'E'\nrm x\nE",
        "curl x | bash",
        "curl x | sh -s",
        "x | python3 -",
        "bash -c \"$x\"",
        "bash -i -c a",
        "env -S 'rm x'",
        "env FOO=1 a",
        "timeout --odd 5 a",
        "xargs --odd rm",
        "sudo --odd a",
        "a $((b))",
        "((a))",
        "[[ a -eq b ]]",
        "[ -v a ]",
        "let a=1",
        "a $'b'",
        "a $\"b\"",
        "a ${b[$(c)]}",
        "a ${b@P}",
        "a ${!b}",
        "a ${b:c}",
        "a ${b:1:c}",
        "read -ac x",
        "printf -vPATH x",
        "[ $x ]",
        "[ $x a ]",
        "test \"$x\" a",
        "a 'b",
        "a \"b",
        "a $(b",
        "a `b",
        "if a; then b",
        "a )",
        "}",
        "a <> b",
        "a \u{a0}b",
        "git\u{3000}status",
        "a\rb",
        "a\u{7}",
        "a\u{0}b",
        "coproc a",
        "select x in a; do b; done",
        "watch 'rm x'",
        "then a",
        "set -- x",
        "a > b c",
        "$'rm' x",
        "shopt -s expand_aliases",
        "exec 3<>/dev/tcp/a/1",
    ] {
        check_opaque(line, &[]);
    }
}

#[test]
fn what_is_opaque_still_shows_what_it_surely_runs() {
    check_opaque("r\u{a0}m; rm x", &["rm x"]);
    check_opaque("PATH=. rm x", &["rm x"]);
    check_opaque("cat <<E > y; rm x\nbody\nE", &["cat"]);
    check_opaque("f() { rm x; }; f", &["rm x"]);
    check_opaque("eval a; rm x", &["rm x"]);
}

#[test]
fn nothing_is_too_long_or_too_deep() {
    for line in [
        "a;".repeat(40_000),
        "$(".repeat(5_000),
        "(".repeat(5_000),
        "bash -c ".repeat(5_000),
        "nohup ".repeat(5_000) + "a",
        "a ".repeat(30_000),
        format!("a '{}'", "x".repeat(100_000)),
    ] {
        let _ = commands(&line);
    }
    assert!(commands(&"a;".repeat(2_000)).opaque.is_some());
    assert!(commands(&("nohup ".repeat(20) + "a")).opaque.is_some());
}

/// Pieces of which hostile lines are made.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "git",
        " ",
        "status",
        ";",
        "&",
        "|",
        "\n",
        "'",
        "\"",
        "`",
        "$(",
        ")",
        "(",
        "{",
        "}",
        "rm x",
        "\\",
        "#",
        "$",
        "<",
        ">",
        "<<E",
        "E\n",
        "$'",
        "case x in",
        "esac",
        "if",
        "then",
        "fi",
        "do",
        "done",
        "=",
        "a",
        "*",
        "[[",
        "]]",
        "((",
        "))",
        "!",
        "~",
        "\t",
        "é",
        ",",
        "..",
        "-c",
        "bash ",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_breaks_it(line in "\\PC{0,120}") {
        let _ = commands(&line);
    }

    #[test]
    fn no_pieces_break_it(pieces in prop::collection::vec(piece(), 0..40)) {
        let _ = commands(&pieces.concat());
    }
}
