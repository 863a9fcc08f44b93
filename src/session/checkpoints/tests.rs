//! Checkpoints beside a session: what is on record of them, and what they never hold up.

use std::fs;
use std::path::Path;

use agent::{Effect, Invocation};
use record::{Home, Row};
use trajectory::event::{CheckpointWhen, Ended, ErrorStage};
use trajectory::{Body, ToolEffect};

use super::Checkpoints;
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

#[tokio::test]
async fn a_round_and_its_commands_are_told_in_order() {
    let world = World::new();
    fs::write(world.workspace().join("a"), "one").unwrap();
    let mut checkpoints = Checkpoints::of(&world.options);
    checkpoints.round_began();
    let read = run(1, ToolEffect::ReadOnly);
    assert!(checkpoints.before(&read).await.bodies.is_empty(), "who reads does not wait");
    start(&mut checkpoints, &read);
    checkpoints.ran(1);
    let write = run(2, ToolEffect::Writes);
    let told = checkpoints.before(&write).await;
    let [Body::Checkpoint(before)] = &told.bodies[..] else { panic!("{told:?}") };
    assert_eq!((before.when, before.files, before.bytes), (CheckpointWhen::BeforeRound, 1, 3));
    assert!(told.rows.is_empty());
    assert_eq!(start(&mut checkpoints, &write), Some(before.tree.clone()));
    fs::write(world.workspace().join("a"), "two").unwrap();
    checkpoints.ran(2);
    let told = checkpoints.before(&Effect::RoundOver(Ended::Completed)).await;
    let [Row::ExecTrees(row)] = &told.rows[..] else { panic!("{told:?}") };
    assert_eq!((row.exec, &row.before), (2, &None));
    assert!(row.after.is_some() && row.after.as_ref() != Some(&before.tree));
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_once_and_holds_nothing_up() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options);
    fs::remove_dir(world.workspace()).unwrap();
    let over = Effect::RoundOver(Ended::Completed);
    checkpoints.round_began();
    let told = checkpoints.before(&over).await;
    let [Body::Error(error)] = &told.bodies[..] else { panic!("{told:?}") };
    assert_eq!(error.stage, ErrorStage::Workspace);
    assert!(error.message.contains("is gone"), "{}", error.message);
    checkpoints.round_began();
    assert!(checkpoints.before(&over).await.bodies.is_empty());
    fs::create_dir(world.workspace()).unwrap();
    checkpoints.round_began();
    let told = checkpoints.before(&over).await;
    assert!(matches!(&told.bodies[..], [Body::Checkpoint(_)]), "{told:?}");
}

#[tokio::test]
async fn whoever_leaves_waits_for_none() {
    let world = World::new();
    let mut checkpoints = Checkpoints::of(&world.options);
    checkpoints.round_began();
    checkpoints.job_ended(1);
    let told = checkpoints.before(&Effect::Closed).await;
    assert!(told.rows.is_empty() && told.bodies.len() <= 1, "{told:?}");
}

#[tokio::test]
async fn switched_off_there_are_none() {
    let world = World::new();
    let options = Options { checkpoints: false, ..world.options };
    let mut checkpoints = Checkpoints::of(&options);
    checkpoints.round_began();
    let told = checkpoints.before(&Effect::RoundOver(Ended::Completed)).await;
    assert!(told.bodies.is_empty() && told.rows.is_empty());
}
