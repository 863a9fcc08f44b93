//! Rounds and states, as a recording tells them.

use trajectory::event::{Checkpoint, Ended, Prompt, Rewind, RoundEnded};
use trajectory::{EventId, RunId, Usage};

use super::*;

/// A log: what happened in which round, one second apart.
fn log(bodies: Vec<(u32, Body)>) -> Vec<Event> {
    let run = RunId::new();
    let event = |(seq, (round, body)): (usize, (u32, Body))| Event {
        id: EventId::new(),
        seq: seq as u64,
        parent: None,
        run,
        round,
        source: body.source(),
        wall_ns: seq as i64 * 1_000_000_000,
        mono_ns: 0,
        copied: false,
        body,
    };
    bodies.into_iter().enumerate().map(event).collect()
}

fn prompt(text: &str) -> Body {
    Prompt { text: text.into(), attachments: Vec::new() }.into()
}

fn tree(name: &str) -> Hash {
    name.repeat(64).parse().unwrap()
}

fn checkpoint(name: &str, when: CheckpointWhen) -> Body {
    let tree = tree(name).to_string();
    Checkpoint { tree, when, files: 7, bytes: 0, skipped: 0, restored: None }.into()
}

fn exec(name: &str, ended_s: i64) -> ExecRow {
    ExecRow {
        exec: 1,
        call: None,
        tool: "shell".into(),
        facts: record::ExecFacts {
            tree_after: Some(tree(name).to_string()),
            ..record::ExecFacts::default()
        },
        started_ns: 0,
        ended_ns: Some(ended_s * 1_000_000_000 + 1),
        lost: false,
        exit: None,
        output: None,
        truncated: None,
        sizes: Vec::new(),
    }
}

#[test]
fn rounds_know_their_checkpoints_and_what_the_user_did_between_them() {
    let before = CheckpointWhen::BeforeRound;
    let events = log(vec![
        (1, prompt("one")),
        (1, checkpoint("a", before)),
        (2, prompt("two")),
        (2, checkpoint("c", before)),
        (3, prompt("three")),
        (3, checkpoint("d", before)),
    ]);
    let past = Past::of(&events, &[exec("b", 1), exec("d", 3)]);
    let befores: Vec<_> = past.rounds.iter().map(|round| round.before).collect();
    assert_eq!(befores, [Some(tree("a")), Some(tree("c")), Some(tree("d"))]);
    assert_eq!(past.last(), Some(tree("d")));
    // After b the user made it c; between d and d nobody did anything.
    assert_eq!(past.users_since(1), [(tree("b"), tree("c"))]);
    assert_eq!(past.users_since(2), []);
}

#[test]
fn what_was_rewound_is_known_and_what_came_then_counts() {
    let events = log(vec![
        (1, prompt("one")),
        (2, prompt("two")),
        (2, Rewind { to_seq: 0 }.into()),
        (2, checkpoint("e", CheckpointWhen::OnRequest)),
        (3, prompt("three")),
    ]);
    let past = Past::of(&events, &[]);
    let rewound: Vec<_> = past.rounds.iter().map(|round| round.is_rewound).collect();
    assert_eq!(rewound, [false, true, false]);
    assert_eq!(past.last(), Some(tree("e")));
    assert!(past.round(2).unwrap().before.is_none());
    assert!(past.round(4).is_none());
}

#[test]
fn a_job_that_ends_between_rounds_does_not_make_the_users_work_the_agents() {
    let before = CheckpointWhen::BeforeRound;
    let ended = RoundEnded { ended: Ended::Completed, usage: Usage::default() };
    let events = log(vec![
        (1, prompt("one")),
        (1, checkpoint("a", before)),
        (1, ended.into()),
        (1, checkpoint("b", CheckpointWhen::OnRequest)),
        (2, prompt("two")),
        (2, checkpoint("d", before)),
    ]);
    // The command ended in round 1, the job after it.
    let past = Past::of(&events, &[exec("b", 1), exec("c", 3)]);
    assert_eq!(past.users_since(1), [(tree("b"), tree("d"))]);
}
