//! Every attempt in every tier, against the table.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sandbox::Tier;

use crate::cage::{ALLOWED_HOST, Cage};
use crate::ground::Ground;
use crate::table::{Before, Control, Expect, ROWS, Row};
use crate::world::say_skipped;

/// How an attempt fared, with what it and the host say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Blocked(String),
    Escaped(String),
    Absent(String),
    /// There is no sandbox of this tier with the settings that it is about.
    Refused(String),
}

impl Outcome {
    /// What is not there to be tried gets nobody out, and proves no hole either.
    fn is(&self, expected: Expect) -> bool {
        match expected {
            Expect::Blocked => matches!(self, Self::Blocked(_) | Self::Absent(_)),
            Expect::Open(_) => matches!(self, Self::Escaped(_)),
            Expect::Refused => matches!(self, Self::Refused(_)),
        }
    }
}

/// A ground and a cage over it; both are made anew once somebody got out.
struct Session {
    tier: Tier,
    both: Option<(Cage, Ground)>,
}

impl Session {
    /// The error is why this machine has no such tier.
    fn new(tier: Tier) -> Result<Self, String> {
        let both = Some(Self::begin(tier, Before::Nothing)?);
        Ok(Self { tier, both })
    }

    fn begin(tier: Tier, before: Before) -> Result<(Cage, Ground), String> {
        let ground = Ground::new(&Cage::limits());
        let more = match before {
            Before::AllowHost => format!("allow_hosts = [{ALLOWED_HOST:?}]\n"),
            Before::MoveAboveHidden => {
                format!("hidden = [{:?}]\n", ground.path("work/notes/private"))
            }
            _ => String::new(),
        };
        Ok((Cage::over(&ground, tier, &more)?, ground))
    }

    fn attempt(&mut self, row: &Row) -> Outcome {
        if matches!(row.before, Before::AllowHost | Before::MoveAboveHidden) {
            self.both = None;
        }
        if self.both.is_none() {
            match Self::begin(self.tier, row.before) {
                Ok(both) => self.both = Some(both),
                Err(reason) => return Outcome::Refused(reason),
            }
        }
        let (cage, ground) = self.both.as_mut().expect("it was begun");
        let outcome = attempt(ground, cage, row);
        if !matches!(outcome, Outcome::Blocked(_)) || row.spoils {
            self.both = None;
        }
        outcome
    }
}

fn attempt(ground: &mut Ground, cage: &Cage, row: &Row) -> Outcome {
    match row.before {
        Before::Nothing | Before::AllowHost => {}
        Before::Socket => {
            let path = ground.path("work/late.sock");
            ground.host_does(&format!("socket {}", path.display()));
        }
        Before::Connect => ground.host_does("connect"),
        Before::GitConfig => {
            // A first command, so that the sandbox stands before the host's git writes.
            cage.run(&["true"]);
            ground.git("work", &["config", "user.name", "Somebody"]);
        }
        Before::WorktreeConfig => {
            ground.git("work", &["config", "extensions.worktreeConfig", "true"]);
            ground.git("work", &["config", "--worktree", "user.name", "Somebody"]);
        }
        Before::Without(folder) => ground.remove(folder),
        Before::MoveAboveHidden => {
            cage.run(&["mv", "notes", "moved"]);
        }
    }
    let (text, finished) =
        cage.run(&["python3", "-I", "-B", "probes/try.py", row.probe, "ground.json"]);
    if row.probe.starts_with("repository.") {
        for folder in ["work", "work/nested", "work/planted", "work/part"] {
            if ground.path(folder).is_dir() {
                ground.git(folder, &["status"]);
                ground.git(folder, &["checkout", "--quiet", "HEAD"]);
            }
        }
    }
    let evidence = ground.evidence();
    let Some((verdict, how)) = text
        .lines()
        .rev()
        .find_map(|line| line.split_once(' '))
        .filter(|(word, _)| ["BLOCKED", "TRIED", "ESCAPED", "ABSENT"].contains(word))
    else {
        if !evidence.is_empty() {
            return Outcome::Escaped(evidence.join(", "));
        }
        if let Some(signal) = finished.exit.signal {
            return Outcome::Blocked(format!("killed by signal {signal}"));
        }
        panic!("{} is broken: {:?}\n{text}", row.probe, finished.exit);
    };
    match verdict {
        _ if !evidence.is_empty() => Outcome::Escaped(format!("{how}; {}", evidence.join(", "))),
        "ESCAPED" => Outcome::Escaped(how.to_owned()),
        "ABSENT" => Outcome::Absent(how.to_owned()),
        "TRIED" => Outcome::Blocked(format!("{how}, and nothing of the host was touched")),
        _ => Outcome::Blocked(how.to_owned()),
    }
}

#[test]
fn without_a_sandbox_every_attempt_gets_out() {
    let mut session = Session::new(Tier::Off).unwrap();
    let mut wrong = Vec::new();
    for row in ROWS {
        let needed = match row.control {
            Control::Never(_) => continue,
            Control::Works => true,
            Control::AsRoot => rustix::process::geteuid().is_root(),
            Control::Sometimes(_) => false,
        };
        let outcome = session.attempt(row);
        eprintln!("off {:>3} {}: {outcome:?}", row.number, row.name);
        if needed && !matches!(&outcome, Outcome::Escaped(how) if how.contains(row.proof)) {
            wrong.push(format!("{} {}: {outcome:?}", row.number, row.name));
        }
    }
    assert!(wrong.is_empty(), "these prove nothing:\n{}", wrong.join("\n"));
}

/// Names the tiers that must not be skipped, with commas between them.
const ASKED_FOR: &str = "LIMN_ESCAPES_TIERS";

fn is_asked_for(tier: Tier) -> bool {
    let names = std::env::var(ASKED_FOR).unwrap_or_default();
    let asked = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    // A name that nobody knows would ask for nothing.
    let asked = asked.map(|name| Tier::parse(name).expect("the name of a tier"));
    asked.collect::<Vec<_>>().contains(&tier)
}

/// Every attempt in one tier fares as the table says.
fn check(tier: Tier) {
    let column = Tier::ISOLATING.iter().position(|it| *it == tier).unwrap();
    let mut session = match Session::new(tier) {
        Ok(session) => session,
        Err(reason) => {
            assert!(!is_asked_for(tier), "{tier} has to work here: {reason}");
            say_skipped(&format!(
                "attempts in the tier {tier}, which does not work here: {reason}"
            ));
            return;
        }
    };
    let mut wrong = Vec::new();
    for row in ROWS {
        let outcome = session.attempt(row);
        eprintln!("{tier} {:>3} {}: {outcome:?}", row.number, row.name);
        if !outcome.is(row.expect[column]) {
            wrong.push(format!("{} {}: {outcome:?}", row.number, row.name));
        }
    }
    assert!(wrong.is_empty(), "{tier} is not as its table says:\n{}", wrong.join("\n"));
}

/// Which tiers the rest of this suite speaks of; without any it would say nothing.
#[test]
fn there_is_isolation_on_this_machine() {
    let mut used = 0;
    for tier in Tier::ISOLATING {
        match Session::new(tier) {
            Ok(_) => used += 1,
            Err(reason) => say_skipped(&format!("the tier {tier}: {reason}")),
        }
    }
    assert!(used > 0 || std::env::var_os("CI").is_none(), "under CI a tier has to work");
}

#[test]
fn namespaces_hold_every_attempt() {
    check(Tier::Namespaces);
}

#[test]
fn bwrap_holds_every_attempt() {
    check(Tier::Bwrap);
}

#[test]
fn landlock_holds_what_it_says() {
    check(Tier::Landlock);
}

/// A library that leaves a trace outside when a program loads it.
const LIBRARY: &str = "
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { close(open(TRACE, O_CREAT | O_WRONLY, 0600)); }
";

#[test]
fn escape_103_the_holder_loads_no_library_that_a_command_names() {
    for tier in Tier::ISOLATING.into_iter().chain([Tier::Off]) {
        let mut ground = Ground::new(&Cage::limits());
        fs::write(ground.path("work/library.c"), LIBRARY).unwrap();
        let trace = format!("-DTRACE={:?}", ground.path("outside/owned"));
        let library = ground.path("work/library.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", &trace, "-o"])
            .args([&library, &ground.path("work/library.c")])
            .status()
            .unwrap();
        assert!(built.success());
        let Ok(cage) = Cage::over(&ground, tier, "") else { continue };
        let cage = cage.with_variable("LD_PRELOAD", &library);
        cage.run(&["true"]);
        assert_eq!(!ground.evidence().is_empty(), tier == Tier::Off, "{tier}");
    }
}

/// Runs these tests once more, by other means: as somebody else, or in another place.
fn again(means: &[&str], tests: &[&str]) {
    if !rustix::process::geteuid().is_root() {
        say_skipped("the attempts as somebody else, whom only root can become");
        return;
    }
    // Where everybody can read them.
    let folder = tempfile::Builder::new().prefix("limn-again-").tempdir_in("/var/tmp").unwrap();
    let (test, limn) = (folder.path().join("test"), folder.path().join("limn"));
    fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    fs::copy(Ground::limn(), &limn).unwrap();
    // To overwrite it, one has to get out, and no more than that.
    for path in [folder.path(), &limn] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let output = Command::new(means[0])
        .args(&means[1..])
        .arg(&test)
        .args(["--nocapture", "--exact"])
        .args(tests)
        .env("LIMN_ESCAPES_LIMN", &limn)
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    eprintln!("{text}");
    assert!(output.status.success() && text.contains(&format!("{} passed", tests.len())));
}

const SOMEBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn an_unprivileged_user_is_held_as_well() {
    again(
        SOMEBODY,
        &[
            "attempts::namespaces_hold_every_attempt",
            "attempts::bwrap_holds_every_attempt",
            "attempts::landlock_holds_what_it_says",
            "attempts::without_a_sandbox_every_attempt_gets_out",
        ],
    );
}

#[test]
fn a_process_namespace_of_others_changes_nothing() {
    again(
        &["unshare", "--pid", "--fork", "--mount-proc"],
        &[
            "attempts::namespaces_hold_every_attempt",
            "attempts::bwrap_holds_every_attempt",
            "attempts::landlock_holds_what_it_says",
        ],
    );
}
