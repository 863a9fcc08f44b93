use std::path::{Path, PathBuf};

use super::profile;
use crate::policy::{Policy, Preset};

fn paths(all: &[&str]) -> Vec<PathBuf> {
    all.iter().map(PathBuf::from).collect()
}

/// A policy as it is on a machine of that kind.
fn policy() -> Policy {
    Policy {
        preset: Preset::Workspace,
        workspace: "/Users/me/work".into(),
        closed: paths(&["/Users", "/Users/me"]),
        readable: paths(&["/Users/me/.cargo"]),
        writable: paths(&["/Users/me/cache"]),
        frozen: paths(&["/Users/me/work/.git/config", "/Users/me/work/.limn"]),
        hidden: paths(&["/Users/me/.cargo/credentials.toml", "/Users/me/.ssh"]),
        sockets: paths(&["/private/tmp/agent.sock"]),
        ..Policy::default()
    }
}

const PRIVATE: &str = "/private/var/folders/xy/limn-1";

fn text(policy: &Policy, proxy_port: Option<u16>) -> String {
    profile(policy, Path::new(PRIVATE), proxy_port).expect("a profile")
}

#[test]
fn a_policy_reads_as_this_profile() {
    let golden = include_str!("golden.sb");
    let written = text(&policy(), Some(4_444));
    assert!(written == golden, "another profile than that of golden.sb:\n{written}");
}

/// Whether a rule of the profile, by its first words, names this.
fn has(profile: &str, head: &str, filter: &str) -> bool {
    profile
        .split("\n(")
        .any(|rule| rule.trim_start_matches('(').starts_with(head) && rule.contains(filter))
}

#[test]
fn what_is_only_read_is_not_written() {
    let read_only = Policy { workspace_writable: false, ..policy() };
    let work = "(subpath \"/Users/me/work\")";
    assert!(has(&text(&policy(), None), "allow file-write*", work));
    let profile = text(&read_only, None);
    assert!(!has(&profile, "allow file-write*", work) && has(&profile, "allow file-read*", work));
}

#[test]
fn without_a_proxy_nobody_is_reached() {
    let alone = Policy { sockets: Vec::new(), ..policy() };
    let profile = text(&alone, None);
    assert!(!profile.contains("localhost") && !profile.contains("network-outbound"), "{profile}");
}

#[test]
fn what_is_hidden_is_closed_after_everything_was_opened() {
    let profile = text(&policy(), None);
    let last = |words: &str| profile.rfind(words).expect("it is there");
    assert!(last("deny file-read* file-write*") > last("allow file-read*"));
    assert!(last("deny file-read* file-write*") > last("allow file-write*"));
}

#[test]
fn a_folder_with_something_hidden_in_it_is_not_moved_away() {
    let hiding = Policy {
        hidden: paths(&["/Users/me/cache/a/token", "/Users/me/work/sub/.env"]),
        ..policy()
    };
    let profile = text(&hiding, None);
    for folder in ["cache", "cache/a", "work", "work/sub"] {
        let folder = format!("(literal \"/Users/me/{folder}\")");
        assert!(has(&profile, "deny file-write-unlink", &folder), "{folder}");
    }
}

#[test]
fn a_name_cannot_end_its_rule() {
    let odd = Policy { readable: paths(&["/Users/me/a\"b\\c) (allow default"]), ..policy() };
    let profile = text(&odd, None);
    assert!(profile.contains(r#"(subpath "/Users/me/a\"b\\c) (allow default")"#), "{profile}");
    for name in ["/Users/me/line\nfeed", "/Users/me/\u{7f}"] {
        let odd = Policy { readable: paths(&[name]), ..policy() };
        let refused = super::profile(&odd, Path::new(PRIVATE), None);
        assert!(refused.is_err_and(|it| it.contains("cannot name the path")), "{name:?}");
    }
}

#[test]
fn a_list_that_is_empty_makes_no_rule_for_everything() {
    let empty = Policy {
        readable: Vec::new(),
        writable: Vec::new(),
        frozen: Vec::new(),
        hidden: Vec::new(),
        sockets: Vec::new(),
        ..policy()
    };
    let profile = text(&empty, None);
    for rule in ["(deny file-read* file-write*)", "(deny file-write*)", "(allow network-outbound)"]
    {
        assert!(!profile.contains(rule), "{profile}");
    }
}
