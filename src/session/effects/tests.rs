//! What waits for a checkpoint, and what does not. The store is held by somebody else, so that a
//! checkpoint takes as long as the story wants.

use std::sync::Arc;
use std::time::Duration;

use mock_server::{MockServer, Reply, Scenario};
use model::{EndpointConfig, EndpointModel, Model};
use record::{Archive, Home};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trajectory::event::{CallStatus, Ended};
use trajectory::{Body, Event};
use workspace::Collector;

use crate::tests::options_with;
use crate::{Command, Notice, Options, Session, SessionError, Summary};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session that runs.
struct Story {
    folder: TempDir,
    home: Home,
    commands: mpsc::Sender<Command>,
    notices: mpsc::Receiver<Notice>,
    running: JoinHandle<Result<Summary, SessionError>>,
    events: Vec<Event>,
    server: Arc<MockServer>,
}

impl Story {
    async fn begin(replies: impl IntoIterator<Item = Reply>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let server = MockServer::start(Scenario::replies(replies)).unwrap();
        let model = EndpointModel::new(EndpointConfig::new(&server.url(), "m")).unwrap();
        let options = options_with(&home, &work, Model::from(model));
        let options = Options { checkpoints: true, ..options };
        let session = Session::start(options).await.unwrap();
        let (commands, commands_end) = mpsc::channel(8);
        let (notices_end, notices) = mpsc::channel(8);
        let running = tokio::spawn(session.run(commands_end, notices_end));
        let server = Arc::new(server);
        Self { folder, home, commands, notices, running, events: Vec::new(), server }
    }

    /// Nobody takes a checkpoint until this is dropped.
    fn held(&self) -> Collector {
        Collector::begin(self.home.path()).unwrap()
    }

    /// Waits until the model was asked so often.
    async fn is_asked(&self, times: usize) {
        let server = Arc::clone(&self.server);
        let asked = move || server.wait_for_requests(times, PATIENCE);
        assert!(tokio::task::spawn_blocking(asked).await.unwrap());
    }

    async fn say(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    async fn ask(&self, text: &str) {
        self.say(Command::Submit { text: text.into(), attached: Vec::new() }).await;
    }

    /// Waits for the next event of this kind.
    async fn sees(&mut self, kind: &str) -> Body {
        while let Some(notice) = self.notices.recv().await {
            if let Notice::Event(event) = notice {
                self.events.push(event.into_inner());
                if let Some(event) = self.events.last().filter(|it| it.body.kind() == kind) {
                    return event.body.clone();
                }
            }
        }
        panic!("no {kind} came");
    }

    async fn round_ends(&mut self) -> Ended {
        let Body::RoundEnded(ended) = self.sees("round_ended").await else { unreachable!() };
        ended.ended
    }

    /// Closes it; all that is on record.
    async fn ends(mut self) -> (TempDir, Archive) {
        self.say(Command::Close).await;
        while self.notices.recv().await.is_some() {}
        self.running.await.unwrap().unwrap();
        let id = self.home.find("last").unwrap();
        let archive = Archive::open(&self.home, id).unwrap();
        assert!(archive.verify().unwrap().is_empty());
        (self.folder, archive)
    }
}

fn kinds(archive: &Archive) -> Vec<(u32, &'static str)> {
    let events = archive.events().unwrap();
    let framing = ["model_changed", "config_changed"];
    let told = events.iter().map(|event| (event.round, event.body.kind()));
    told.filter(|(_, kind)| !framing.contains(kind)).collect()
}

fn touch() -> Reply {
    Reply::new().call("shell", r#"{"command":"touch made"}"#)
}

#[tokio::test]
async fn a_call_that_waits_for_a_checkpoint_can_be_interrupted() {
    let mut story = Story::begin([touch()]).await;
    let collector = story.held();
    story.ask("go").await;
    story.sees("tool_call").await;
    story.say(Command::Interrupt).await;
    let Body::Observation(seen) = story.sees("observation").await else { unreachable!() };
    assert_eq!((seen.status, seen.exec), (CallStatus::Cancelled, Some(1)));
    assert_eq!(story.round_ends().await, Ended::Interrupted);
    let (folder, archive) = story.ends().await;
    drop(collector);
    assert!(!folder.path().join("work/made").exists());
    let execs = archive.execs().unwrap();
    assert!(execs.len() == 1 && execs[0].ended_ns.is_some() && execs[0].exit.is_none());
}

#[tokio::test]
async fn a_call_that_waited_for_a_checkpoint_runs_when_it_is_there() {
    let mut story = Story::begin([touch(), Reply::text("Done.")]).await;
    let collector = story.held();
    story.ask("go").await;
    story.sees("tool_call").await;
    assert!(!story.folder.path().join("work/made").exists());
    drop(collector);
    assert_eq!(story.round_ends().await, Ended::Completed);
    let (folder, archive) = story.ends().await;
    assert!(folder.path().join("work/made").exists());
    let facts = &archive.execs().unwrap()[0].facts;
    assert!(facts.tree_before.is_some() && facts.tree_after.is_some());
    let kinds = kinds(&archive);
    let at = |kind| kinds.iter().position(|it| it.1 == kind).unwrap();
    assert!(at("tool_call") < at("checkpoint") && at("checkpoint") < at("tool_started"));
}

#[tokio::test]
async fn what_comes_while_the_end_of_a_round_waits_comes_after_it() {
    let mut story = Story::begin([Reply::text("One."), Reply::text("Two.")]).await;
    let collector = story.held();
    story.ask("first").await;
    story.sees("message").await;
    story.ask("second").await;
    drop(collector);
    assert_eq!(story.round_ends().await, Ended::Completed);
    assert_eq!(story.round_ends().await, Ended::Completed);
    let (_folder, archive) = story.ends().await;
    let kinds = kinds(&archive);
    let first: Vec<_> = kinds.iter().filter(|it| it.0 == 1).map(|it| it.1).collect();
    assert_eq!(first, ["prompt", "message", "checkpoint", "round_ended"]);
    assert_eq!(kinds.iter().filter(|it| **it == (2, "checkpoint")).count(), 1);
    assert_eq!(kinds.last(), Some(&(2, "session_ended")));
}

#[tokio::test]
async fn who_interrupts_does_not_wait_for_the_end_of_a_round() {
    let mut story = Story::begin([Reply::text("One.")]).await;
    let collector = story.held();
    story.ask("first").await;
    story.sees("message").await;
    story.say(Command::Interrupt).await;
    assert_eq!(story.round_ends().await, Ended::Completed);
    // Nor does who leaves.
    let (_folder, archive) = story.ends().await;
    drop(collector);
    let kinds: Vec<_> = kinds(&archive).into_iter().map(|it| it.1).collect();
    assert_eq!(kinds, ["prompt", "message", "round_ended", "session_ended"]);
}

#[tokio::test]
async fn a_checkpoint_is_on_record_while_the_model_is_silent() {
    let mut story = Story::begin([Reply::text("Never.").hang_after(0)]).await;
    story.ask("first").await;
    story.sees("checkpoint").await;
    story.say(Command::Interrupt).await;
    assert_eq!(story.round_ends().await, Ended::Interrupted);
    story.ends().await;
}

#[tokio::test]
async fn a_checkpoint_that_comes_late_belongs_to_its_round() {
    let mut story = Story::begin([Reply::text("Never.").hang_after(0), Reply::text("Two.")]).await;
    let collector = story.held();
    story.ask("first").await;
    story.sees("prompt").await;
    story.is_asked(1).await;
    story.say(Command::Interrupt).await;
    assert_eq!(story.round_ends().await, Ended::Interrupted);
    story.ask("second").await;
    story.sees("message").await;
    drop(collector);
    assert_eq!(story.round_ends().await, Ended::Completed);
    let (_folder, archive) = story.ends().await;
    let taken: Vec<u32> =
        kinds(&archive).iter().filter(|it| it.1 == "checkpoint").map(|it| it.0).collect();
    assert_eq!(taken, [1, 2]);
}

#[tokio::test]
async fn a_request_waits_for_what_the_user_changed_and_can_be_interrupted() {
    let mut story = Story::begin([Reply::text("One."), Reply::text("Two.")]).await;
    story.ask("first").await;
    assert_eq!(story.round_ends().await, Ended::Completed);
    let edit = |text| std::fs::write(story.folder.path().join("work/a.txt"), text).unwrap();
    edit("mine\n");
    let collector = story.held();
    story.ask("second").await;
    story.sees("prompt").await;
    story.say(Command::Interrupt).await;
    assert_eq!(story.round_ends().await, Ended::Interrupted);
    assert_eq!(story.server.requests().len(), 1);
    drop(collector);
    story.ask("third").await;
    let Body::UserEdit(edit) = story.sees("user_edit").await else { unreachable!() };
    assert_eq!(edit.named(1), "a.txt");
    assert_eq!(story.round_ends().await, Ended::Completed);
    let asked = story.server.requests().last().unwrap().messages();
    assert!(asked.iter().any(|message| message.to_string().contains("+mine")), "{asked:?}");
    story.ends().await;
}
