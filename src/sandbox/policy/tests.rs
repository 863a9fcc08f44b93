//! What a policy allows, refuses, and says of it.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use super::*;

/// A machine with a home, a workspace in it, and limn's own data.
struct Machine {
    _root: TempDir,
    home: PathBuf,
    around: Surroundings,
}

fn machine() -> Machine {
    let root = TempDir::new().unwrap();
    let home = root.path().canonicalize().unwrap().join("home");
    for folder in [".cargo/bin", ".ssh", "work/.git", "other", ".local/share/limn", "notes"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    fs::write(home.join(".cargo/credentials.toml"), "token").unwrap();
    fs::write(home.join(".ssh/known_hosts"), "host key").unwrap();
    let around = Surroundings {
        workspace: home.join("work"),
        home: Some(home.clone()),
        own: vec![home.join(".local/share/limn")],
        ..Surroundings::default()
    };
    Machine { _root: root, home, around }
}

fn file(text: &str) -> PolicyFile {
    toml::from_str(text).unwrap()
}

fn policy(machine: &Machine, text: &str) -> Policy {
    file(text).policy(&machine.around).unwrap()
}

fn refusal(machine: &Machine, text: &str) -> String {
    file(text).policy(&machine.around).unwrap_err().to_string()
}

fn target(text: &str) -> Target {
    Target::parse(text, Some(443)).unwrap()
}

#[test]
fn a_session_writes_in_its_workspace_and_sees_no_secret() {
    let machine = machine();
    let policy = policy(&machine, "");
    let home = &machine.home;
    for (path, reads, writes) in [
        ("work/src/main.rs", true, true),
        ("work/.git/index", true, true),
        ("work/.git/hooks/pre-commit", true, false),
        ("work/.git/config", true, false),
        ("work/.limn/config.toml", true, false),
        (".cargo/bin/cargo", true, false),
        (".cargo/credentials.toml", false, false),
        (".ssh/id_ed25519", false, false),
        ("other/file", false, false),
        (".local/share/limn/sessions", false, false),
    ] {
        let path = home.join(path);
        assert_eq!(policy.may_read(&path), reads, "{}", path.display());
        assert_eq!(policy.may_write(&path), writes, "{}", path.display());
    }
    assert!(policy.may_read(Path::new("/usr/lib")) && !policy.may_write(Path::new("/usr/lib")));
    assert!(!policy.may_read(Path::new("/etc/shadow")));
    assert_eq!(policy.network, Network::Off);
}

#[test]
fn presets_differ_in_what_is_written_and_who_is_spoken_to() {
    let mut machine = machine();
    machine.around.mirrors = vec!["registry.example".parse().unwrap()];
    let of = |preset: Preset| policy(&machine, &format!("preset = '{}'", preset.as_str()));
    let file = machine.home.join("work/a");
    assert!(!of(Preset::ReadOnly).may_write(&file) && of(Preset::ReadOnly).may_read(&file));
    let ask = |preset: Preset, host: &str| of(preset).network.decide(&target(host)).is_ok();
    for (preset, registry, any) in [
        (Preset::ReadOnly, false, false),
        (Preset::Workspace, false, false),
        (Preset::Packages, true, false),
        (Preset::Network, true, true),
    ] {
        assert_eq!(ask(preset, "registry.example"), registry, "{preset:?}");
        assert_eq!(ask(preset, "example.com"), any, "{preset:?}");
        assert!(!ask(preset, "169.254.169.254:80"), "{preset:?}");
    }
    assert!(of(Preset::Off).check().is_err(), "there is nothing to enforce");
    assert!(of(Preset::Off).may_write(&file));
    assert!(!of(Preset::Off).may_read(&machine.home.join(".local/share/limn/limn.db")));
}

#[test]
fn without_isolation_what_is_hidden_and_passed_on_still_counts() {
    let machine = machine();
    let policy = policy(&machine, "preset = 'off'\nhidden = ['~/notes']\nenv = ['GH_TOKEN']");
    assert!(!policy.may_read(&machine.home.join("notes/today")));
    assert!(policy.env.contains("GH_TOKEN"));
}

#[test]
fn hosts_alone_are_the_listed_ones_whatever_the_preset() {
    let mut machine = machine();
    machine.around.mirrors = vec!["registry.example".parse().unwrap()];
    let text = "network = 'hosts'\nallow_hosts = ['docs.example']";
    for preset in ["workspace", "packages", "network"] {
        let network = policy(&machine, &format!("preset = '{preset}'\n{text}")).network;
        assert!(network.decide(&target("docs.example")).is_ok(), "{preset}");
        assert!(network.decide(&target("registry.example")).is_err(), "{preset}");
    }
}

#[test]
fn what_is_wrong_is_refused_with_a_remedy() {
    let machine = machine();
    for (text, told) in [
        ("readable = ['~/absent']", "sandbox.readable names"),
        ("writable = ['']", "is empty"),
        ("writable = ['work/x']", "is not absolute"),
        ("writable = ['/tmp/../etc']", "holds `..`"),
        ("writable = ['/']", "would open everything"),
        ("writable = ['~']", "would open everything"),
        ("hidden = ['~/notes']\nreadable = ['~/notes']", "both opened and hidden"),
        ("hidden = ['~/work']", "where commands may not look"),
        ("readable = ['~/.local/share/limn']", "both opened and hidden"),
        ("readable = ['~', '~/.ssh/known_hosts']", "both opened and hidden"),
        ("network = 'off'\nallow_hosts = ['a.example']", "remove one of the two"),
        ("env = ['A=B']", "no name of a variable"),
        ("limits = { processes = 0 }", "the limit processes is 0"),
    ] {
        let refusal = refusal(&machine, text);
        assert!(refusal.contains(told), "{text}: {refusal}");
        assert!(refusal.contains("; "), "a remedy: {refusal}");
    }
    for text in
        ["preste = 'off'", "limits = { procs = 1 }", "allow_hosts = ['*.com']", "preset = 'x'"]
    {
        assert!(toml::from_str::<PolicyFile>(text).is_err(), "{text}");
    }
}

#[test]
fn a_home_or_the_root_is_no_workspace() {
    let machine = machine();
    for workspace in [machine.home.clone(), machine.home.parent().unwrap().into(), "/".into()] {
        let around = Surroundings { workspace, ..machine.around.clone() };
        let refusal = PolicyFile::default().policy(&around).unwrap_err().to_string();
        assert!(refusal.contains("the workspace") && refusal.contains("--workspace"), "{refusal}");
        // Without isolation limn is not the one to judge.
        assert!(file("preset = 'off'").policy(&around).is_ok());
    }
}

#[test]
fn what_the_user_opens_by_name_is_open() {
    let machine = machine();
    let text = "readable = ['~/.ssh']\nwritable = ['~/notes']\nallow_hosts = ['git.example:22']";
    let policy = policy(&machine, text);
    assert!(policy.may_read(&machine.home.join(".ssh/known_hosts")));
    assert!(policy.may_write(&machine.home.join("notes/today")));
    let alone = self::policy(&machine, "readable = ['~/.ssh/known_hosts']");
    assert!(alone.may_read(&machine.home.join(".ssh/known_hosts")));
    assert!(!alone.may_read(&machine.home.join(".ssh/id_ed25519")));
    assert!(policy.network.decide(&target("git.example:22")).is_ok());
    let told = policy.network.decide(&target("git.example:443")).unwrap_err().to_string();
    assert!(
        told.contains("(git.example:22)") && told.contains("`--allow-host git.example`"),
        "{told}"
    );
}

#[test]
fn a_link_is_what_it_leads_to() {
    let machine = machine();
    std::os::unix::fs::symlink(machine.home.join("notes"), machine.home.join("work/link")).unwrap();
    let policy = policy(&machine, "writable = ['~/work/link']");
    assert_eq!(policy.writable, [machine.home.join("notes")]);
}

#[test]
fn packages_get_caches_of_their_own() {
    let mut machine = machine();
    let caches = machine.home.join(".cache/limn/packages/1");
    machine.around.caches = Some(caches.clone());
    machine.around.mirrors = vec!["mirror.example:8081".parse().unwrap()];
    let packages = policy(&machine, "preset = 'packages'");
    assert!(packages.may_write(&caches.join("cargo/registry")));
    assert_eq!(packages.variables["CARGO_HOME"], caches.join("cargo").to_str().unwrap());
    assert!(packages.network.decide(&target("mirror.example:8081")).is_ok());
    assert!(policy(&machine, "").variables.is_empty(), "without a network the user's are read");
}

#[test]
fn caches_behind_a_link_are_refused() {
    let mut machine = machine();
    let home = &machine.home;
    fs::create_dir_all(home.join(".cache/limn")).unwrap();
    // What commands of another session may have done, to which the folder was open.
    std::os::unix::fs::symlink(home.join(".ssh"), home.join(".cache/limn/packages")).unwrap();
    machine.around.caches = Some(home.join(".cache/limn/packages/1"));
    let told = refusal(&machine, "preset = 'packages'");
    assert!(told.contains("a link is on the way to") && told.contains("remove it"), "{told}");
    assert!(file("").policy(&machine.around).is_ok(), "without a network there are none");
}

#[test]
fn a_socket_is_opened_by_its_name_and_nothing_else_is() {
    let machine = machine();
    let home = &machine.home;
    for name in [".ssh/agent", ".local/share/limn/limn.sock"] {
        std::os::unix::net::UnixListener::bind(home.join(name)).unwrap();
    }
    fs::write(home.join("other/file"), "").unwrap();
    let policy = policy(&machine, "allow_sockets = ['~/.ssh/agent']");
    assert_eq!(policy.sockets, [home.join(".ssh/agent")]);
    assert!(!policy.may_read(&home.join(".ssh/id_ed25519")));
    for (text, expected) in [
        ("allow_sockets = ['~/other/file']", "is no socket"),
        ("allow_sockets = ['~/other']", "is no socket"),
        ("allow_sockets = ['~/other/absent']", "No such file"),
        ("allow_sockets = ['agent']", "is not absolute"),
        ("allow_sockets = ['~/.local/share/limn/limn.sock']", "both opened and hidden"),
    ] {
        let told = refusal(&machine, text);
        assert!(told.contains(expected), "{text}: {told}");
    }
    // Where all of a home is shown, the socket would bring the secrets beside it along.
    for opens in ["readable", "writable"] {
        let opens = format!("{opens} = ['{}']", home.parent().unwrap().display());
        let told = refusal(&machine, &format!("{opens}\nallow_sockets = ['~/.ssh/agent']"));
        assert!(told.contains("both opened and hidden"), "{told}");
    }
    let theirs = file("allow_sockets = ['~/.ssh/agent']");
    let both = file("").tightened(&theirs, &machine.around.workspace);
    assert!(both.allow_sockets.is_empty(), "a workspace opens none");
}

#[test]
fn hosts_are_matched_as_they_are_meant() {
    for (pattern, host, fits) in [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com.", true),
        ("example.com", "example.com:80", true),
        ("example.com", "example.com:8080", false),
        ("example.com", "www.example.com", false),
        ("example.com", "example.com.evil.test", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "badexample.com", false),
        ("example.com:8443", "example.com:8443", true),
        ("10.0.0.1:80", "10.0.0.1:80", true),
        ("[::1]:3000", "[0:0:0:0:0:0:0:1]:3000", true),
        ("*", "example.com", true),
        ("*", "8.8.8.8", true),
        ("*", "10.0.0.1", false),
        ("*", "example.com:22", false),
    ] {
        let pattern: HostPattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(&target(host)), fits, "{pattern} {host}");
    }
    for wrong in
        ["", "**", "*.com", "http://a.b", "a.b/c", "a b", "a.b:0", "a.b:x", "*.1.2.3.4", "127.1"]
    {
        assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
    }
    for odd in [
        "127.1",
        "0x7f000001",
        "2130706433",
        "a..b",
        "-a.b",
        "a.b:99999",
        "a.b:",
        "[::1",
        "é.example",
    ] {
        assert_eq!(Target::parse(odd, Some(80)), None, "{odd}");
    }
}

#[test]
fn a_name_does_not_open_the_machines_own_network() {
    let hosts = |text: &str| file(&format!("allow_hosts = [{text}]")).allow_hosts;
    let network = Network::Hosts(hosts("'intranet.example', '10.0.0.5:443'"));
    let asked = target("intranet.example");
    let found = |text: &str| vec!["8.8.8.8".parse().unwrap(), text.parse().unwrap()];
    assert!(network.filter(&asked, &found("1.1.1.1")).is_ok());
    assert!(network.filter(&asked, &found("10.0.0.5")).is_ok(), "it is named itself");
    let told = network.filter(&asked, &found("10.0.0.6")).unwrap_err().to_string();
    assert!(told.contains("leads to 10.0.0.6") && told.contains("--allow-host 10.0.0.6"), "{told}");
}

#[test]
fn a_failed_command_is_told_the_rule() {
    let machine = machine();
    let policy = policy(&machine, "");
    let cwd = &policy.workspace;
    let tell = |text: &str| policy.explain(text, cwd, true).map(|refusal| refusal.to_string());
    let home = machine.home.display();
    for (output, told) in [
        ("touch: cannot touch '/usr/x': Read-only file system", "/usr/x is outside what"),
        ("bash: line 1: ../../../usr/../usr/x: Permission denied", "is outside what"),
        ("bash: .git/hooks/x: Read-only file system", "git would act"),
        ("curl: (6) Could not resolve host: docs.example", "docs.example:443 was asked for"),
        (
            "fatal: unable to access 'https://h.example/r/': Could not resolve host: h.example",
            "h.example",
        ),
        (
            "npm error request to https://r.example/x failed, reason: getaddrinfo EAI_AGAIN r.example",
            "r.example",
        ),
        ("connect: Network is unreachable", "network is off for this session; allow a host"),
    ] {
        let found = tell(output).unwrap_or_default();
        assert!(found.contains(told), "{output}: {found}");
    }
    let found = tell(&format!("cat: {home}/.ssh/id_rsa: No such file or directory")).unwrap();
    assert!(found.contains("is hidden from this session"), "{found}");
    let found = tell(&format!("ls: {home}/other: No such file or directory")).unwrap();
    assert!(found.contains(&format!("`--readable {home}/other`")), "{found}");
    // A tier without any network is not helped by a host that is allowed.
    let failed = "curl: (6) Could not resolve host: docs.example";
    let found = policy.explain(failed, cwd, false).expect("a refusal").to_string();
    assert!(found.contains("limn doctor") && !found.contains("--allow-host"), "{found}");
    // What is allowed failed by something else, and a file is no host.
    let open = self::policy(&machine, "allow_hosts = ['index.example']");
    let failed = "download of config.json failed\n\
                  failed to download from `https://index.example/config.json`\n\
                  [56] CONNECT tunnel failed, response 403";
    assert_eq!(open.explain(failed, cwd, true), None);
    let found = open.explain(&failed.replace("index", "other"), cwd, true).expect("a refusal");
    assert!(found.rule.contains("other.example:443"), "{found}");
    for quiet in [
        "",
        "error: test failed",
        "cat: absent: No such file or directory",
        "x/y: Permission denied",
    ] {
        assert_eq!(tell(quiet), None, "{quiet}");
    }
    assert_eq!(Policy::default().explain("/usr/x: Read-only file system", cwd, true), None);
}

#[test]
fn what_takes_away_opens_nothing() {
    let machine = machine();
    let ours = "allow_hosts = ['a.test']\nlimits = { cpu_s = 60 }";
    let theirs = "preset = 'network'\nnetwork = 'all'\nallow_hosts = ['b.test']\nenv = ['A']\n\
                  readable = ['~/other']\nwritable = ['~/notes']\nhidden = ['secret']\n\
                  limits = { cpu_s = 30, wall_s = 9999999999, tmp_bytes = 9007199254740992 }";
    let both = file(ours).tightened(&file(theirs), &machine.around.workspace);
    let both = both.policy(&machine.around).unwrap();
    let ours = policy(&machine, ours);
    let hidden = machine.home.join("work/secret");
    assert!(!both.may_read(&hidden));
    let limits = Limits { cpu_s: 30, ..ours.limits };
    let expected = Policy { hidden: both.hidden.clone(), limits, ..ours };
    assert_eq!(both, expected);
}

/// Lines of a table that opens and closes this and that.
fn any_file() -> impl Strategy<Value = PolicyFile> {
    let paths = || {
        let paths = ["~/notes", "~/other", "~/work", "~/work/.git", "~/.ssh", "/usr/share"];
        vec(select(paths.to_vec()), 0..3)
    };
    let host = (select(vec!["*", "a.test", "*.a.test", "10.0.0.1"]), select(vec!["", ":8080"]));
    let hosts = vec(host.prop_map(|(host, port)| format!("{host}{port}")), 0..3);
    let words = (
        prop::option::of(select(Preset::ALL.to_vec())),
        prop::option::of(select(vec!["off", "hosts", "all"])),
    );
    let limit = prop::option::of(select(vec![1_u64 << 20, 1 << 62]));
    let env = vec(select(vec!["A", "B"]), 0..2);
    (words, hosts, (paths(), paths(), paths()), env, limit).prop_map(
        |((preset, network), hosts, (readable, writable, hidden), env, limit)| {
            let mut text = String::new();
            for (key, word) in [("preset", preset.map(Preset::as_str)), ("network", network)] {
                text += &word.map_or_else(String::new, |word| format!("{key} = '{word}'\n"));
            }
            text += &format!("allow_hosts = {hosts:?}\nenv = {env:?}\nhidden = {hidden:?}\n");
            text += &format!("readable = {readable:?}\nwritable = {writable:?}\n");
            let keys = ["processes", "memory_bytes", "cpu_s", "wall_s", "output_bytes"];
            let limits = limit.iter().flat_map(|limit| keys.map(|key| format!("{key} = {limit}")));
            text += &format!("limits = {{ {} }}", limits.collect::<Vec<_>>().join(", "));
            file(&text)
        },
    )
}

fn every_limit(limits: &Limits) -> [u64; 6] {
    let Limits { processes, memory_bytes, cpu_s, wall_s, output_bytes, tmp_bytes } = *limits;
    [processes, memory_bytes, cpu_s, wall_s, output_bytes, tmp_bytes]
}

/// Whatever a workspace says of it, a session may no more than its user lets it.
#[test]
fn tightened_it_never_allows_more() {
    let mut machine = machine();
    machine.around.mirrors = vec!["registry.test".parse().unwrap()];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ours in any_file(), theirs in any_file())| {
        let both = ours.clone().tightened(&theirs, &machine.around.workspace);
        if let (Ok(ours), Ok(both)) = (ours.policy(&machine.around), both.policy(&machine.around)) {
            let home = &machine.home;
            let names = ["notes/x", "other/x", "work/x", "work/.git/config", ".ssh/x", "absent"];
            let absolute = ["/usr/share/x", "/usr/x", "/etc/shadow", "/tmp/x"].map(PathBuf::from);
            for path in names.map(|name| home.join(name)).iter().chain(&absolute) {
                prop_assert!(!both.may_read(path) || ours.may_read(path), "{}", path.display());
                prop_assert!(!both.may_write(path) || ours.may_write(path), "{}", path.display());
            }
            for host in ["a.test", "x.a.test:8080", "b.test", "registry.test", "10.0.0.1", "8.8.8.8"] {
                let target = target(host);
                // Without isolation nobody asks.
                let asks = |policy: &Policy| {
                    policy.preset == Preset::Off || policy.network.decide(&target).is_ok()
                };
                prop_assert!(!asks(&both) || asks(&ours), "{}", host);
                let closes = theirs.network == Some(NetworkWord::Off);
                prop_assert!(!closes || both.preset == Preset::Off || !asks(&both), "{}", host);
            }
            for hidden in &theirs.hidden {
                let hidden = places::canonical(&match hidden.strip_prefix("~") {
                    Ok(rest) => home.join(rest),
                    Err(_) => hidden.clone(),
                });
                prop_assert!(!both.may_read(&hidden.join("x")), "{}", hidden.display());
            }
            prop_assert!(both.preset <= ours.preset && both.env.is_subset(&ours.env));
            for (both, ours) in every_limit(&both.limits).iter().zip(every_limit(&ours.limits)) {
                prop_assert!(*both <= ours);
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_host_makes_it_panic(text in "[a-z0-9.*:\\[\\]-]{0,20}|\\PC{0,20}") {
        if let Ok(pattern) = text.parse::<HostPattern>() {
            // What it is shown as is what it is.
            prop_assert_eq!(&pattern, &pattern.to_string().parse().unwrap());
        }
        if let Some(target) = Target::parse(&text, Some(80)) {
            let again = Target::parse(&target.to_string(), None);
            prop_assert_eq!(Some(&target), again.as_ref());
            prop_assert!(Network::Off.decide(&target).is_err());
            let named = Network::Hosts(vec![target.to_string().parse().unwrap()]);
            prop_assert!(named.decide(&target).is_ok(), "a remedy allows what was refused");
        }
    }

    #[test]
    fn no_settings_make_it_panic(text in "((preset|network|allow_hosts|readable|hidden|env|limits)( )?=?(\\[)?['\"~/a-z0-9.*:-]{0,12}['\"]?(\\])?\n){0,5}") {
        if let Ok(file) = toml::from_str::<PolicyFile>(&text) {
            let around = Surroundings { workspace: "/work".into(), ..Surroundings::default() };
            if let Ok(policy) = file.policy(&around)
                && policy.preset != Preset::Off
            {
                prop_assert!(policy.check().is_ok());
            }
        }
    }

    #[test]
    fn no_output_makes_an_explanation_panic(text in "(\\PC|\n|/|:|'|Permission denied|no such host){0,80}") {
        let policy = Policy { preset: Preset::Workspace, network: Network::Off, ..Policy::default() };
        let _ = policy.explain(&text, Path::new("/work"), true);
    }
}
