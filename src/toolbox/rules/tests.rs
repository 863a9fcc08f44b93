//! Rules: what they allow, and everything that they must not.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use serde_json::json;
use trajectory::ToolEffect;

use super::*;

fn spec(name: &str, effect: ToolEffect) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({}),
        effect,
        grammar: None,
    }
}

fn rules(allow: &[&str], ask: &[&str], deny: &[&str]) -> Rules {
    let owned = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
    Rules { allow: owned(allow), ask: owned(ask), deny: owned(deny) }
}

fn judge_line(rules: &Rules, line: &str) -> Option<Approval> {
    let arguments = json!({ "command": line }).to_string();
    let spec = spec("shell", ToolEffect::Executes);
    rules.judge(Path::new("/w"), &spec, &arguments).map(|verdict| verdict.decision)
}

/// Lines that are not `git status` alone, or that nobody can be sure of.
const HOSTILE: &[&str] = &[
    "git status; rm -rf /",
    "git status;rm x",
    "git status && rm x",
    "git status || rm x",
    "git status | sh",
    "git status |& sh",
    "git status & rm x",
    "git status\nrm x",
    "git status\r\nrm x",
    "git\nstatus",
    "git \\\nstatus; rm x",
    "git status $(rm x)",
    "git status \"$(rm x)\"",
    "git status `rm x`",
    "git status \"`rm x`\"",
    "git status <(rm x)",
    "git status >(rm x)",
    "git status > ~/.bashrc",
    "git status >> x",
    "git status >| x",
    "git status &> x",
    "git status 2> x",
    "git status > $x",
    "git status <<E\n$(rm x)\nE",
    "git status <<< $(rm x)",
    "a=rm; $a x",
    "a=rm $a x",
    "$a status",
    "\"$a\" status",
    "g$a status",
    "git$a status",
    "\"rm\" -rf",
    "'rm' -rf",
    "r\\m -rf",
    "r''m x",
    "$'\\x72m' x",
    "$\"rm\" x",
    "git status # ;\nrm x",
    "git status#; rm x",
    "git status \\# ; rm x",
    "git status '#' ; rm x",
    "git status \\; rm x; rm x",
    "git\u{a0}status",
    "git\u{3000}status; rm x",
    "git status\u{2028}rm x",
    "git status \u{85} rm x",
    "git status \u{b} x; rm x",
    "git status \u{0}; rm x",
    "alias git=rm; git status",
    "git() { rm x; }; git status",
    "function git { rm x; }; git status",
    "PATH=. git status",
    "GIT_PAGER='rm x' git status",
    "GIT_DIR=/tmp/x git status",
    "LD_PRELOAD=./x.so git status",
    "export PATH=.; git status",
    "PATH=.; git status",
    "for PATH in .; do git status; done",
    "read PATH < x; git status",
    "{git,rm} status",
    "{rm,x}",
    "g{it,} status",
    "gi? status",
    "/bin/gi* status",
    "./git status",
    "/tmp/git status",
    "~/git status",
    "eval 'rm x'; git status",
    "eval git status",
    ". ./x; git status",
    "source x; git status",
    "trap 'rm x' EXIT; git status",
    "exec rm x",
    "sudo git status",
    "env rm x",
    "env PATH=. git status",
    "env -S 'git status; rm x'",
    "nohup rm x",
    "timeout 5 rm x",
    "xargs git status",
    "echo x | xargs git status",
    "find . -exec git status ;",
    "bash -c 'git status; rm x'",
    "bash -c \"$x\"",
    "sh -c 'git status' rm; rm x",
    "git status && (rm x)",
    "git status && { rm x; }",
    "if git status; then rm x; fi",
    "while git status; do rm x; done",
    "case $(rm x) in *) git status;; esac",
    "case x in x) rm x;; esac",
    "! rm x",
    "time rm x",
    "coproc rm x; git status",
    "git status $((x[$(rm x)]))",
    "git status ${x[$(rm x)]}",
    "git status ${x:-$(rm x)}",
    "git status ${x:-`rm x`}",
    "git status ${x@P}",
    "git status ${!x}",
    "y='a[$(rm x)]'; git status ${x:y}",
    "y='a[$(rm x)]'; git status ${x:0:y}",
    "./env git status",
    "/tmp/bash -c 'git status'",
    "./timeout 5 git status",
    "[[ x -eq 'a[$(rm x)]' ]] && git status",
    "((x=$(rm x))); git status",
    "let 'a[$(rm x)]=1'; git status",
    "git status 'x; rm x",
    "git status \"x; rm x",
    "git status $'\\\\'; rm x; echo '\\'",
    "git status $'\\'' ; rm x #'",
    "git status \\'; rm x; echo \\'",
    "git status \"\\\\\"; rm x; echo \"x\"",
    "git status; }",
    "git status )",
    "git status x)rm x",
    "git status <> x",
    "git status 3<> /dev/tcp/a/1",
    "git status 0< /dev/tcp/a/1",
    "git status > /dev/null x; rm x",
    "git -c core.pager='rm x' status",
    "git status-x",
    "gitstatus",
    "GIT STATUS",
    "",
    " ",
    "#",
];

#[test]
fn nothing_hostile_is_allowed_by_a_rule_for_git_status() {
    for pattern in ["git status", "git status *"] {
        let rules = rules(&[pattern], &[], &[]);
        for line in HOSTILE {
            // With the star, arguments of any form are what the user allowed.
            let verdict = judge_line(&rules, line);
            assert_eq!(verdict, None, "{pattern}: {line:?}");
        }
    }
    assert!(HOSTILE.len() >= 60);
}

#[test]
fn what_is_meant_is_allowed() {
    let rules = rules(&["git status", "cargo test *", "head *", "cd *", "echo *", "ls"], &[], &[]);
    for line in [
        "git status",
        "  git   status  ",
        "\"git\" 'status'",
        "git status # what is new",
        "cargo test",
        "cargo test -p syntax -- --nocapture",
        "cargo test 2>&1 | head -50",
        "cargo test > /dev/null 2>&1 && git status",
        "cd src && cargo test 'a b'; ls",
        "for name in a b; do cargo test \"$name\"; done",
        "if git status; then ls; fi",
        "RUST_BACKTRACE=1 timeout 60 cargo test",
        "bash -c 'git status && ls'",
        "echo \"$(git status)\" `ls`",
        "cargo test \\\n  -p syntax",
        "cargo test ${1:-x} *.rs {a,b}",
    ] {
        assert_eq!(judge_line(&rules, line), Some(Approval::Allowed), "{line}");
    }
    for line in ["git status -s", "ls -l", "cargo build", "cargo testx", "cargo"] {
        assert_eq!(judge_line(&rules, line), None, "{line}");
    }
}

#[test]
fn one_command_is_enough_to_deny_or_to_ask() {
    let rules = rules(&["*", "git *", "rm *"], &["git push"], &["rm -rf *", "shutdown"]);
    for line in [
        "rm -rf /",
        "git status; rm -rf x",
        "sudo rm -rf x",
        "/bin/rm -rf x",
        "\"rm\" -rf x",
        "r\\m '-rf' x",
        "x | xargs rm -rf",
        "find . -exec rm -rf {} +",
        "bash -c 'cd x && rm -rf y'",
        "echo $(rm -rf x)",
        "PATH=. rm -rf x",
        "cat <<E\nE\nrm -rf x",
        "f() { rm -rf x; }; f",
        "if (((; rm -rf x",
        "echo 'a\nrm -rf x",
        "$x; env A=b nice rm -rf x",
        "shutdown -h now",
    ] {
        assert_eq!(judge_line(&rules, line), Some(Approval::Denied), "{line}");
    }
    assert_eq!(judge_line(&rules, "git push origin"), Some(Approval::Ask));
    assert_eq!(judge_line(&rules, "git push; rm -rf x"), Some(Approval::Denied));
    assert_eq!(judge_line(&rules, "rm x && git log"), Some(Approval::Allowed));
    assert_eq!(judge_line(&rules, "echo 'rm -rf x'"), None);
    assert_eq!(judge_line(&rules, "ls"), None);
}

#[test]
fn a_verdict_names_its_rules() {
    let rules = rules(&["ls *", "git status"], &[], &["rm *"]);
    let judge = |line: &str| {
        let arguments = json!({ "command": line }).to_string();
        rules.judge(Path::new("/w"), &spec("shell", ToolEffect::Executes), &arguments)
    };
    assert_eq!(judge("ls; git status; ls a").unwrap().rule, "ls *, git status");
    assert_eq!(judge("ls; rm a").unwrap().rule, "rm *");
    assert_eq!(judge("make"), None);
}

#[test]
fn other_tools_go_by_their_paths() {
    let folder = tempfile::TempDir::new().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("src")).unwrap();
    std::fs::create_dir_all(root.join("secret")).unwrap();
    symlink("../secret", root.join("src/link")).unwrap();
    symlink("nowhere", root.join("src/dangling")).unwrap();
    let rules = rules(&["write src/**", "list"], &["write src/*.lock"], &["write secret/**"]);
    let write = spec("write", ToolEffect::Writes);
    let judge = |path: &str| {
        let arguments = json!({ "file_path": path, "content": "" }).to_string();
        rules.judge(&root, &write, &arguments).map(|verdict| verdict.decision)
    };
    let inside = root.join("src/a.rs");
    let cases = [
        ("src/a.rs", Some(Approval::Allowed)),
        ("./src/deep/er/a.rs", Some(Approval::Allowed)),
        (inside.to_str().unwrap(), Some(Approval::Allowed)),
        ("src/../Cargo.toml", None),
        ("src/../../x", None),
        ("/etc/passwd", None),
        ("src", None),
        ("src/Cargo.lock", Some(Approval::Ask)),
        ("src/deep/Cargo.lock", Some(Approval::Allowed)),
        ("secret/key", Some(Approval::Denied)),
        ("src/../secret/key", Some(Approval::Denied)),
        ("src/link/key", Some(Approval::Denied)),
        ("src/dangling", None),
    ];
    for (path, expected) in cases {
        assert_eq!(judge(path), expected, "{path}");
    }
    let list = spec("list", ToolEffect::ReadOnly);
    assert_eq!(rules.judge(&root, &list, "{}").unwrap().rule, "list");
    assert_eq!(rules.judge(&root, &write, "broken"), None);
    assert_eq!(rules.judge(&root, &write, "{}"), None);
}

#[test]
fn every_file_of_a_patch_counts() {
    let patch = "*** Begin Patch\n*** Update File: src/a.rs\n*** Move to: src/b.rs\n@@\n+x\n";
    let mut tool = spec("apply_patch", ToolEffect::Writes);
    tool.grammar = Some("start: x".to_owned());
    let judge = |allow: &[&str], deny: &[&str], arguments: &str| {
        let rules = rules(allow, &[], deny);
        rules.judge(Path::new("/w"), &tool, arguments).map(|verdict| verdict.decision)
    };
    let with = |path: &str| format!("{patch}*** Delete File: {path}\n*** End Patch");
    for text in [with("src/c.rs"), json!({ "input": with("src/c.rs") }).to_string()] {
        assert_eq!(judge(&["apply_patch src/**"], &[], &text), Some(Approval::Allowed));
        assert_eq!(judge(&[], &["apply_patch src/c.rs"], &text), Some(Approval::Denied));
    }
    assert_eq!(judge(&["apply_patch src/**"], &[], &with("Cargo.toml")), None);
}

#[test]
fn addresses_match_too() {
    let fetch = spec("web_fetch", ToolEffect::Network);
    let rules = rules(&["web_fetch https://docs.rs/**"], &[], &[]);
    let judge = |url: &str| {
        let arguments = json!({ "url": url }).to_string();
        rules.judge(Path::new("/w"), &fetch, &arguments).map(|verdict| verdict.decision)
    };
    assert_eq!(judge("https://docs.rs/a/b"), Some(Approval::Allowed));
    assert_eq!(judge("https://docs.rs.example.org/a"), None);
    assert_eq!(judge("http://docs.rs/a"), None);
}

#[test]
fn patterns() {
    let cases = [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "ab", true),
        ("*", "a/b", false),
        ("**", "a/b", true),
        ("src/**", "src/a/b", true),
        ("src/**", "src/", true),
        ("src/**", "src", false),
        ("**/*.rs", "a/b/c.rs", true),
        ("src/*.rs", "src/a/b.rs", false),
        ("test:*", "test:unit", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("", "", true),
        ("é*", "é日", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
    assert!(!matches(&"*a".repeat(200), &"b".repeat(5_000)));
}

/// Programs that say they were run, in a folder that is all there is to find.
struct Stubs(tempfile::TempDir);

impl Stubs {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        for name in ["git", "rm"] {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho {name} $1 >> \"$LOG\"\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    /// Runs a line by bash; answers with what it ran.
    fn run(&self, line: &str) -> String {
        let log = self.0.path().join("log");
        std::fs::write(&log, "").unwrap();
        std::process::Command::new("/bin/bash")
            .args(["-c", line])
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", self.0.path())
            .env("LOG", &log)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        std::fs::read_to_string(&log).unwrap()
    }
}

#[test]
fn by_its_own_account_bash_runs_nothing_else_of_what_is_allowed() {
    let pieces = [
        "git status",
        "git status ",
        " ",
        "rm x",
        ";",
        "&&",
        "|",
        "\n",
        "'",
        "\"",
        "`",
        "$(",
        ")",
        "(",
        "{ ",
        "}",
        "\\",
        "#",
        "$",
        " #",
        "$'",
        "\\'",
        "\\\"",
        "if ",
        "; then ",
        "; fi",
        "a",
        "=",
        "*",
        "!",
        "\t",
        "${x:-",
        "${x",
        "<(",
        "2>&1",
        ">/dev/null",
        "case a in a)",
        ";; esac",
        "do ",
        "[ ",
        " ]",
        "\\\n",
        "<<<",
        "&",
        "bash -c '",
        "timeout 1 ",
        "for i in ",
        "; done",
        "{a,",
        "~",
        "%",
    ];
    let stubs = Stubs::new();
    let rules = rules(&["git status *"], &[], &[]);
    let mut seed: u64 = std::env::var("LIMN_TEST_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut run = 0;
    for _ in 0..std::env::var("LIMN_TEST_LINES").map_or(2_000, |lines| lines.parse().unwrap()) {
        let length = 1 + random(9);
        let tail: String = (0..length).map(|_| pieces[random(pieces.len())]).collect();
        let line = format!("git status {tail}");
        if judge_line(&rules, &line) == Some(Approval::Allowed) {
            run += 1;
            let ran = stubs.run(&line);
            assert!(ran.lines().all(|line| line == "git status"), "{line:?} ran {ran}");
        }
    }
    assert!(run > 10, "only {run} lines were allowed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_call_breaks_a_rule(rule in "\\PC{0,20}", arguments in "\\PC{0,80}", line in "\\PC{0,80}") {
        let rules = rules(&[&rule, "git *"], &[&rule], &[&rule]);
        let shell = spec("shell", ToolEffect::Executes);
        let _ = rules.judge(Path::new("/w"), &shell, &arguments);
        let _ = judge_line(&rules, &line);
    }

    /// Whatever follows, what ends the command and runs another is not allowed.
    #[test]
    fn a_second_command_is_never_allowed(
        before in "[ a-z'\"\\\\$#(){}]{0,8}",
        between in "[;&|\n]",
        after in "[ a-z'\"\\\\$#(){}]{0,8}",
    ) {
        let rules = rules(&["git status *"], &[], &[]);
        let line = format!("git status {before}{between}rm x {after}");
        let quoted = ["'", "\"", "#", "\\"].iter().any(|quote| before.contains(quote));
        if judge_line(&rules, &line) == Some(Approval::Allowed) {
            prop_assert!(quoted, "{line:?}");
        }
    }
}

#[test]
fn what_is_offered_for_good_allows_the_call_and_no_more_than_it_says() {
    let offered = |command: &str| like(command);
    assert_eq!(offered("cargo test -p tui --lib"), ["cargo test *"]);
    assert_eq!(
        offered("cd src && git status -s | head -5"),
        ["cd src *", "git status *", "head *"]
    );
    // Without a word that says what it does, and for what runs its arguments, it is the whole.
    assert_eq!(offered("make -j4"), ["make -j4"]);
    assert_eq!(offered("python script.py"), ["python script.py"]);
    assert_eq!(offered("python manage"), ["python manage"]);
    assert_eq!(offered("/usr/bin/python3 run"), ["/usr/bin/python3 run"]);
    // What no rule allows is not offered.
    for command in ["echo hi > file", "eval $X", "ls $(cat list)", "git add '*.rs'", "cat 'a b'"] {
        assert_eq!(offered(command), [""; 0], "{command}");
    }
    for command in ["cargo test -p tui", "cd src && git status -s | head -5", "make -j4"] {
        let rules = Rules { allow: offered(command), ..Rules::default() };
        assert_eq!(judge_line(&rules, command), Some(Approval::Allowed), "{command}");
    }
    let rules = Rules { allow: offered("cargo test -p tui"), ..Rules::default() };
    assert_eq!(judge_line(&rules, "cargo test --lib"), Some(Approval::Allowed));
    assert_eq!(judge_line(&rules, "cargo test && rm x"), None);
    assert_eq!(judge_line(&rules, "cargo run"), None);
}

#[test]
fn a_line_is_read_as_what_it_would_run_and_write() {
    let piped = reading("cd sub && git log | head -3 > out 2>/dev/null");
    assert_eq!(piped.runs, ["cd sub", "git log", "head -3"]);
    assert_eq!((piped.writes, piped.unclear), (vec!["out".to_owned()], None));
    let nested = reading("timeout 3 sh -c 'rm -rf x; curl y'");
    assert!(nested.runs.contains(&"rm -rf x".to_owned()), "{nested:?}");
    assert!(nested.runs.contains(&"curl y".to_owned()), "{nested:?}");
    let unclear = reading("echo $x; eval \"$y\"");
    assert!(unclear.runs.contains(&"echo …".to_owned()) && unclear.unclear.is_some());
    assert!(reading("ls 'unclosed").unclear.is_some());
}
