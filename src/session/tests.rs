//! The loop with a script and real tools. (Its behaviour as a program is told in
//! `tests/scenarios/`; here is what no program can show.)

use std::path::Path;
use std::sync::Arc;

use agent::Limits;
use model::{Model, ScriptedModel};
use record::{Archive, Home};
use sandbox::Sandbox;
use serde_json::json;
use tokio::sync::mpsc;
use toolbox::Toolbox;
use trajectory::event::Ended;
use trajectory::{ApprovalMode, Body};

use crate::{Command, Notice, Options, Session};

const SCRIPT: &str = r#"
format = "limn-script"
version = 1
title = "A test"
about = "Scripted by hand."
[[rounds]]
prompt = "list"
[[rounds.turns]]
reasoning = "Look first."
[[rounds.turns.calls]]
name = "list"
[rounds.turns.calls.arguments]
[[rounds.turns]]
text = "Nothing there."
[[rounds]]
prompt = "again"
[[rounds.turns]]
text = "Still nothing."
"#;

pub(crate) fn options(home: &Home, workspace: &Path) -> Options {
    let model = ScriptedModel::parse("test.toml", SCRIPT).unwrap();
    options_with(home, workspace, Model::from(model))
}

/// Everything a session needs, with this model.
pub(crate) fn options_with(home: &Home, workspace: &Path, model: Model) -> Options {
    Options {
        home: home.clone(),
        workspace: workspace.to_owned(),
        model: Arc::new(model),
        retry: model::RetryPolicy::default(),
        window: crate::Window::default(),
        instructions: crate::Instructions::Ignored,
        toolbox: Arc::new(
            Toolbox::open(workspace, Sandbox::off(), &toolbox::Setup::default()).unwrap(),
        ),
        sandbox: "off".into(),
        approval: ApprovalMode::Auto,
        interactive: false,
        limits: Limits::default(),
        timeout: None,
        checkpoints: false,
        fsync: false,
        private: false,
        annotator: None,
        config: json!({}),
    }
}

fn prompt(text: &str) -> Command {
    Command::Submit { text: text.into(), attached: Vec::new() }
}

#[tokio::test]
async fn what_is_shown_is_what_is_on_record_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("home")).unwrap();
    let session = Session::start(options(&home, folder.path())).await.unwrap();
    let id = session.id();
    let (commands, commands_end) = mpsc::channel(8);
    let (notices_end, mut notices) = mpsc::channel(8);
    let running = tokio::spawn(session.run(commands_end, notices_end));
    commands.send(prompt("list")).await.unwrap();
    let mut shown = Vec::new();
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Event(event) => {
                // Already readable by anybody else.
                let on_record = Archive::open(&home, id).unwrap().events().unwrap();
                assert_eq!(on_record[event.seq as usize], event);
                shown.push(event);
            }
            Notice::RoundOver(_) => commands.send(Command::Close).await.unwrap(),
            _ => {}
        }
    }
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.ended, Ended::Completed);
    assert_eq!(Archive::open(&home, id).unwrap().events().unwrap(), shown);
}

#[tokio::test]
async fn a_driver_that_goes_away_ends_the_session_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("home")).unwrap();
    let session = Session::start(options(&home, folder.path())).await.unwrap();
    let id = session.id();
    let (commands, commands_end) = mpsc::channel(8);
    let (notices_end, notices) = mpsc::channel(8);
    commands.send(prompt("list")).await.unwrap();
    drop((commands, notices));
    session.run(commands_end, notices_end).await.unwrap();
    let archive = Archive::open(&home, id).unwrap();
    assert_eq!(archive.status().unwrap().ended, Some(Ended::Completed));
    assert!(archive.verify().unwrap().is_empty());
}

#[tokio::test]
async fn resuming_repeats_nothing_that_has_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("home")).unwrap();
    let mut id = None;
    for text in ["list", "again"] {
        let options = options(&home, folder.path());
        let session = match id {
            None => Session::start(options).await.unwrap(),
            Some(id) => Session::resume(options, id).await.unwrap(),
        };
        id = Some(session.id());
        let (commands, commands_end) = mpsc::channel(8);
        let (notices_end, mut notices) = mpsc::channel(64);
        commands.send(prompt(text)).await.unwrap();
        commands.send(Command::Close).await.unwrap();
        let drain = async { while notices.recv().await.is_some() {} };
        let (result, ()) = tokio::join!(session.run(commands_end, notices_end), drain);
        result.unwrap();
    }
    let events = Archive::open(&home, id.unwrap()).unwrap().events().unwrap();
    let count = |kind: &str| events.iter().filter(|event| event.body.kind() == kind).count();
    assert_eq!(count("model_changed") + count("config_changed"), 2);
    let rounds: Vec<u32> = events
        .iter()
        .filter(|event| matches!(event.body, Body::Prompt(_)))
        .map(|event| event.round)
        .collect();
    assert_eq!(rounds, [1, 2]);
}
