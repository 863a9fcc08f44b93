use record::{Archive, Home};
use tokio::sync::mpsc;
use trajectory::event::UserCommand;
use trajectory::{Body, Event, Recorded};

use crate::tests::options;
use crate::{Command, Notice, Session};

/// A session whose user runs commands, as a story.
struct Story {
    _folder: tempfile::TempDir,
    archive: Archive,
    events: Vec<Recorded<Event>>,
    printed: Vec<u8>,
}

/// What is waited for, and what is sent then.
type Step = (fn(&Notice) -> bool, Command);

/// Sends each command when what it waits for was told.
async fn play(steps: Vec<Step>) -> Story {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("home")).unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let session = Session::start(options(&home, &work)).await.unwrap();
    let id = session.id();
    let (commands, commands_end) = mpsc::channel(8);
    let (notices_end, mut notices) = mpsc::channel(8);
    let running = tokio::spawn(session.run(commands_end, notices_end));
    let (mut events, mut printed) = (Vec::new(), Vec::new());
    let mut steps = steps.into_iter().peekable();
    while let Some(notice) = notices.recv().await {
        while let Some((_, command)) = steps.next_if(|(is_due, _)| is_due(&notice)) {
            commands.send(command).await.unwrap();
        }
        match notice {
            Notice::Event(event) => events.push(event),
            Notice::Progress(trajectory::Progress::Output { bytes, .. }) => printed.extend(&*bytes),
            _ => {}
        }
    }
    running.await.unwrap().unwrap();
    let archive = Archive::open(&home, id).unwrap();
    assert_eq!(archive.verify().unwrap(), []);
    Story { _folder: folder, archive, events, printed }
}

impl Story {
    fn own(&self) -> Vec<&UserCommand> {
        let own = self.events.iter().filter_map(|event| match &event.body {
            Body::UserCommand(own) => Some(own),
            _ => None,
        });
        own.collect()
    }
}

fn runs(command: &str, outside: bool) -> Command {
    Command::Run { command: command.to_owned(), outside }
}

fn at_first(notice: &Notice) -> bool {
    matches!(notice, Notice::Event(event) if matches!(event.body, Body::ConfigChanged(_)))
}

fn when_it_is_over(notice: &Notice) -> bool {
    matches!(notice, Notice::Event(event) if matches!(event.body, Body::UserCommand(_)))
}

#[tokio::test]
async fn a_command_is_on_record_with_all_it_printed_and_the_model_learns_of_it() {
    let prompt = Command::Submit { text: "list".into(), attached: Vec::new() };
    let story = play(vec![
        (at_first, runs("echo one; exit 3", false)),
        (when_it_is_over, prompt),
        (|notice| matches!(notice, Notice::RoundOver(_)), Command::Close),
    ])
    .await;
    let own = story.own();
    let own = own.first().unwrap();
    assert_eq!(own.exit.and_then(|exit| exit.code), Some(3));
    let shown = "[The user ran a command.]\n$ echo one; exit 3\none\n[exit code 3]";
    assert_eq!((own.shown.as_str(), own.outside_sandbox), (shown, false));
    assert_eq!(story.printed, b"one\r\n");
    let points = story.archive.request_points().unwrap();
    let first = points.first().unwrap().head_seq;
    let seq = story.events.iter().find(|it| matches!(it.body, Body::UserCommand(_))).unwrap().seq;
    assert!(seq < first);
    // The session's own call has the next number.
    let started = story.events.iter().find_map(|event| match &event.body {
        Body::ToolStarted(started) => Some(started.exec),
        _ => None,
    });
    assert_eq!((own.exec, started), (1, Some(2)));
}

#[tokio::test]
async fn a_command_that_is_stopped_is_told_as_stopped() {
    let story = play(vec![
        (at_first, runs("echo ready; exec sleep 1000", true)),
        (|notice| matches!(notice, Notice::Progress(_)), Command::Interrupt),
        (when_it_is_over, Command::Close),
    ])
    .await;
    let own = story.own();
    let shown = own.first().unwrap();
    assert!(shown.shown.ends_with("ready\n[cancelled; killed]"), "{}", shown.shown);
    assert!(shown.shown.starts_with("[The user ran a command outside the sandbox.]"));
}

#[tokio::test]
async fn who_leaves_ends_it_and_what_came_of_it_is_on_record() {
    let story = play(vec![
        (at_first, runs("echo ready; exec sleep 1000", false)),
        (|notice| matches!(notice, Notice::Progress(_)), Command::Close),
    ])
    .await;
    assert_eq!(story.own().len(), 1);
    let last = story.events.last().unwrap();
    assert!(matches!(last.body, Body::SessionEnded(_)), "{last:?}");
}

#[tokio::test]
async fn a_second_one_waits_for_nobody_and_is_refused() {
    let story = play(vec![
        (at_first, runs("echo ready; exec sleep 1000", false)),
        (|notice| matches!(notice, Notice::Progress(_)), runs("echo two", false)),
        (|notice| matches!(notice, Notice::OwnRefused { .. }), Command::Close),
    ])
    .await;
    assert_eq!(story.own().len(), 1);
}
