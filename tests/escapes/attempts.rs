//! Every attempt in every tier, against the table.

use crate::cage::{Cage, Kind};
use crate::ground::Ground;
use crate::table::{Before, Control, ROWS, Row};

/// How an attempt fared, with what it and the host say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Blocked(String),
    Escaped(String),
    Absent(String),
}

/// A ground and a cage over it; both are made anew once somebody got out.
struct Session {
    kind: Kind,
    both: Option<(Ground, Cage)>,
}

impl Session {
    fn new(kind: Kind) -> Self {
        Self { kind, both: None }
    }

    fn attempt(&mut self, row: &Row) -> Outcome {
        let kind = self.kind;
        let (ground, cage) = self.both.get_or_insert_with(|| {
            let ground = Ground::new(&Cage::limits());
            let cage = Cage::new(kind, &ground);
            (ground, cage)
        });
        let outcome = attempt(ground, cage, row);
        if !matches!(outcome, Outcome::Blocked(_)) || row.spoils {
            self.both = None;
        }
        outcome
    }
}

fn attempt(ground: &mut Ground, cage: &Cage, row: &Row) -> Outcome {
    match row.before {
        Before::Nothing => {}
        Before::Socket => {
            let path = ground.path("work/late.sock");
            ground.host_does(&format!("socket {}", path.display()));
        }
        Before::Connect => ground.host_does("connect"),
        Before::GitConfig => {
            // A first command, so that the sandbox stands before the host's git writes.
            cage.run(ground, &["true"]);
            ground.git("work", &["config", "user.name", "Somebody"]);
        }
    }
    let (text, finished) =
        cage.run(ground, &["python3", "-I", "-B", "probes/try.py", row.probe, "ground.json"]);
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
fn without_a_sandbox_every_attempt_succeeds() {
    let mut session = Session::new(Kind::Off);
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
        if needed && !matches!(outcome, Outcome::Escaped(_)) {
            wrong.push(format!("{} {}: {outcome:?}", row.number, row.name));
        }
    }
    assert!(wrong.is_empty(), "these prove nothing:\n{}", wrong.join("\n"));
}
