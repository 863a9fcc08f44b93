//! What a command is given.

use super::*;

fn names(variables: &[(&str, &str)]) -> Vec<String> {
    environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
        .into_iter()
        .map(|(name, _)| name.into_string().unwrap())
        .collect()
}

#[test]
fn only_what_is_listed_is_passed_on() {
    let kept = names(&[
        ("PATH", "/bin"),
        ("HOME", "/home/me"),
        ("LC_ALL", "C.UTF-8"),
        ("CARGO_HOME", "/c"),
        ("OPENAI_API_KEY", "sk"),
        ("AWS_SESSION_TOKEN", "t"),
        ("SSH_AUTH_SOCK", "/s"),
        ("LC_SECRET", "x"),
        ("LD_PRELOAD", "/evil.so"),
        ("LIMN_HOME", "/data"),
        ("NO_COLOR", "1"),
        ("FOO", "bar"),
    ]);
    assert_eq!(
        kept,
        [
            "CARGO_HOME",
            "GIT_PAGER",
            "GIT_TERMINAL_PROMPT",
            "HOME",
            "LC_ALL",
            "PAGER",
            "PATH",
            "TERM"
        ]
    );
}

#[test]
fn a_proxy_with_credentials_stays_out() {
    assert!(names(&[("HTTPS_PROXY", "http://proxy:3128/")]).contains(&"HTTPS_PROXY".to_owned()));
    assert!(!names(&[("HTTPS_PROXY", "http://me:pw@proxy/")]).contains(&"HTTPS_PROXY".to_owned()));
}

#[test]
fn what_is_fixed_wins_and_a_path_is_always_there() {
    let kept = environment([("PAGER".into(), "less".into()), ("TERM".into(), "dumb".into())]);
    let value = |name: &str| {
        let found: Vec<_> = kept.iter().filter(|(found, _)| found == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].1.to_str().unwrap().to_owned()
    };
    assert_eq!(value("PAGER"), "cat");
    assert_eq!(value("TERM"), "xterm-256color");
    assert!(value("PATH").contains("/bin"));
}
