//! What a command is given.

use super::*;

fn names(variables: &[(&str, &str)]) -> Vec<String> {
    names_by(&Policy::default(), variables)
}

fn names_by(policy: &Policy, variables: &[(&str, &str)]) -> Vec<String> {
    policy
        .environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
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
    let kept = Policy::default()
        .environment([("PAGER".into(), "less".into()), ("TERM".into(), "dumb".into())]);
    let value = |name: &str| {
        let found: Vec<_> = kept.iter().filter(|(found, _)| found == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].1.to_str().unwrap().to_owned()
    };
    assert_eq!(value("PAGER"), "cat");
    assert_eq!(value("TERM"), "xterm-256color");
    assert!(value("PATH").contains("/bin"));
}

#[test]
fn what_the_user_names_is_passed_on_and_nothing_else_like_it() {
    let policy = Policy { env: ["GH_TOKEN".to_owned()].into(), ..Policy::default() };
    let kept = names_by(&policy, &[("GH_TOKEN", "ghp_x"), ("GITHUB_TOKEN", "ghp_y")]);
    assert!(kept.contains(&"GH_TOKEN".to_owned()) && !kept.contains(&"GITHUB_TOKEN".to_owned()));
}

#[test]
fn the_way_to_a_socket_is_passed_on_where_it_may_be_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let [allowed, other] = ["allowed", "other"].map(|it| folder.path().join(it));
    for path in [&allowed, &other] {
        std::os::unix::net::UnixListener::bind(path).unwrap();
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&allowed, &link).unwrap();
    let sockets = vec![allowed.canonicalize().unwrap()];
    let policy = Policy { preset: Preset::Workspace, sockets, ..Policy::default() };
    let passes =
        |name: &str, value: String| names_by(&policy, &[(name, &value)]).contains(&name.to_owned());
    let (at, elsewhere) = (allowed.display(), other.display());
    for (name, value, expected) in [
        ("SSH_AUTH_SOCK", format!("{at}"), true),
        ("SSH_AUTH_SOCK", format!("{}", link.display()), true),
        ("SSH_AUTH_SOCK", format!("{elsewhere}"), false),
        ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={at},guid=0f"), true),
        ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={elsewhere}"), false),
        // Whoever is reached second is somebody else.
        ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={at};unix:path={elsewhere}"), false),
        ("DBUS_SESSION_BUS_ADDRESS", "autolaunch:".to_owned(), false),
        ("DOCKER_HOST", format!("unix://{at}"), true),
        ("DOCKER_HOST", "tcp://127.0.0.1:2375".to_owned(), false),
        ("GITHUB_TOKEN", format!("{at}"), false),
    ] {
        assert_eq!(passes(name, value.clone()), expected, "{name}={value}");
    }
}

#[test]
fn a_secret_is_known_by_its_shape_too() {
    for value in ["sk-abc", "ghp_abc", "eyJhbGciOi", "-----BEGIN KEY", "https://me:pw@host/"] {
        assert!(!names(&[("CC", value)]).contains(&"CC".to_owned()), "{value}");
    }
    assert!(names(&[("CC", "clang")]).contains(&"CC".to_owned()));
}

#[test]
fn agents_stay_outside_and_so_does_the_way_out() {
    let isolated = Policy { preset: Preset::Workspace, ..Policy::default() };
    let given = [
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus"),
        ("GPG_AGENT_INFO", "/x"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("TMPDIR", "/var/tmp/me"),
    ];
    let kept = names_by(&isolated, &given);
    assert!(given.iter().all(|(name, _)| !kept.iter().any(|kept| kept == name)), "{kept:?}");
}

#[test]
fn what_the_policy_sets_stands_before_what_was_there() {
    let mut policy = Policy::default();
    policy.variables.insert("CARGO_HOME".into(), "/caches/cargo".into());
    let kept = policy.environment([("CARGO_HOME".into(), "/home/me/.cargo".into())]);
    let found: Vec<_> = kept.iter().filter(|(name, _)| name == "CARGO_HOME").collect();
    assert_eq!(found, [&("CARGO_HOME".into(), "/caches/cargo".into())]);
}
