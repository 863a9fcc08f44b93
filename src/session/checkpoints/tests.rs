//! Checkpoints beside a session: what is on record of them, and what they never hold up.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::{Effect, Invocation};
use record::{Home, Row};
use trajectory::event::{CheckpointWhen, Ended, ErrorStage};
use trajectory::{Body, ToolEffect};
use workspace::Settled;

use super::{Checkpoints, Found, Why};
use crate::options::Options;
use crate::tests::options;

struct World {
    _folder: tempfile::TempDir,
    options: Options,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        let options = Options { checkpoints: true, ..options(&home, &work) };
        Self { _folder: folder, options }
    }

    fn workspace(&self) -> &Path {
        &self.options.workspace
    }
}

fn run(exec: u32, effect: ToolEffect) -> Effect {
    let (name, arguments) = ("tool".to_owned(), "{}".to_owned());
    Effect::Run(Invocation { call: exec, exec, name, arguments, effect })
}

fn start(checkpoints: &mut Checkpoints, effect: &Effect) -> Option<String> {
    let Effect::Run(invocation) = effect else { panic!("{effect:?}") };
    checkpoints.started_row(invocation).facts.tree_before
}

const OVER: Effect = Effect::RoundOver(Ended::Completed);

#[tokio::test]
async fn a_round_and_its_commands_are_told_in_order() {
    let world = World::new();
    fs::write(world.workspace().join("a"), "one").unwrap();
    let mut checkpoints = Checkpoints::of(&world.options, None);
    checkpoints.round_began(7);
    let (read, write) = (run(1, ToolEffect::ReadOnly), run(2, ToolEffect::Writes));
    assert!(!checkpoints.holds_up(&read, 7), "who reads does not wait");
    assert!(checkpoints.holds_up(&write, 7) && checkpoints.holds_up(&OVER, 7));
    start(&mut checkpoints, &read);
    checkpoints.ran(1, 7, false);
    let told = checkpoints.taken().await;
    let [Body::Checkpoint(before)] = &told.bodies[..] else { panic!("{told:?}") };
    assert_eq!((before.when, before.files, before.bytes), (CheckpointWhen::BeforeRound, 1, 3));
    assert!(told.rows.is_empty() && told.round == 7);
    // Who hears too late of what was done looks once more, and finds nothing.
    let since = Instant::now();
    while checkpoints.holds_up(&write, 7) {
        assert!(since.elapsed() < Duration::from_secs(60), "there is always news");
        let told = checkpoints.taken().await;
        assert!(told.bodies.is_empty(), "{told:?}");
    }
    assert_eq!(start(&mut checkpoints, &write), Some(before.tree.clone()));
    fs::write(world.workspace().join("a"), "two").unwrap();
    checkpoints.ran(2, 7, false);
    let told = checkpoints.taken().await;
    let [Row::ExecTrees(row)] = &told.rows[..] else { panic!("{told:?}") };
    assert_eq!(row.exec, 2);
    assert!(row.after.is_some() && row.after.as_ref() != Some(&before.tree));
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_once_and_holds_nothing_up() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options, None);
    fs::remove_dir(world.workspace()).unwrap();
    checkpoints.round_began(1);
    let told = checkpoints.taken().await;
    let [Body::Error(error)] = &told.bodies[..] else { panic!("{told:?}") };
    assert_eq!(error.stage, ErrorStage::Workspace);
    assert!(error.message.contains("is gone"), "{}", error.message);
    checkpoints.round_began(2);
    assert!(checkpoints.taken().await.bodies.is_empty());
    fs::create_dir(world.workspace()).unwrap();
    checkpoints.round_began(3);
    let told = checkpoints.taken().await;
    assert!(matches!(&told.bodies[..], [Body::Checkpoint(_)]), "{told:?}");
}

#[tokio::test]
async fn who_stops_waiting_has_missed_nothing() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options, None);
    let collector = workspace::Collector::begin(world.options.home.path()).unwrap();
    checkpoints.round_began(1);
    checkpoints.job_ended(1, 1);
    tokio::select! {
        biased;
        told = checkpoints.taken() => panic!("{told:?}"),
        () = tokio::task::yield_now() => {}
    }
    drop(collector);
    assert!(matches!(&checkpoints.taken().await.bodies[..], [Body::Checkpoint(_)]));
    assert!(matches!(&checkpoints.taken().await.rows[..], [Row::ExecTrees(_)]));
    assert!(checkpoints.is_at_rest());
}

#[tokio::test]
async fn whoever_leaves_waits_for_none() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options, None);
    // Nobody gets at the store meanwhile.
    let _collector = workspace::Collector::begin(world.options.home.path()).unwrap();
    checkpoints.round_began(1);
    checkpoints.job_ended(1, 1);
    let told = checkpoints.leave().await;
    assert!(told.rows.is_empty() && told.bodies.is_empty(), "{told:?}");
}

#[tokio::test]
async fn switched_off_there_are_none() {
    let world = World::new();
    let options = Options { checkpoints: false, ..world.options };
    let mut checkpoints = Checkpoints::of(&options, None);
    checkpoints.round_began(1);
    assert!(checkpoints.is_at_rest() && !checkpoints.holds_up(&OVER, 7));
    assert!(checkpoints.problem().is_none());
}

#[tokio::test]
async fn a_restore_that_was_cut_short_is_told() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options, None);
    let taken = checkpoints.workspace.as_ref().unwrap().checkpoint(&checkpoints.cancel).unwrap();
    let settled = Settled { at: taken.tree, undone: true, left: Vec::new() };
    let taken = workspace::Checkpoint { finished: Some(settled), ..taken };
    let found = Found { checkpoint: taken, edit: None, planted: Vec::new(), is_restless: false };
    let told = checkpoints.take_in(Why::BeforeRound { round: 1 }, Ok(found));
    let [Body::Error(error), Body::Checkpoint(_)] = &told.bodies[..] else { panic!("{told:?}") };
    assert!(error.message.contains("cut short"), "{}", error.message);
}

#[tokio::test]
async fn what_never_comes_to_rest_is_looked_at_a_few_times_and_said_once() {
    let world = World::new();
    let file = world.workspace().join("server.log");
    let mut checkpoints = Checkpoints::of(&world.options, None);
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = std::sync::Arc::clone(&is_over);
    let writer = std::thread::spawn(move || {
        for number in 0_u64.. {
            if ends.load(std::sync::atomic::Ordering::Relaxed) {
                return;
            }
            fs::write(&file, number.to_string()).unwrap();
            // Often enough to be restless, and too seldom to be a flood.
            std::thread::park_timeout(Duration::from_millis(2));
        }
    });
    let ask = Effect::Ask { request: 1 };
    for round in 1..=2 {
        checkpoints.round_began(round);
        let mut said = checkpoints.taken().await.bodies;
        // A busy disk can hold the writer up for a moment, and then there is nothing new, or rest.
        let since = Instant::now();
        for number in 0.. {
            fs::write(world.workspace().join("notes"), format!("{round} {number}")).unwrap();
            if !checkpoints.holds_up(&ask, round) {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it gives up");
            said.extend(checkpoints.taken().await.bodies);
        }
        let restless =
            |body: &&Body| matches!(body, Body::Error(error) if error.message == super::RESTLESS);
        assert_eq!(said.iter().filter(restless).count(), usize::from(round == 1));
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}
