use std::cell::RefCell;
use std::io::{self, Write};
use std::num::NonZero;
use std::rc::Rc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use pty::{Dress, TerminalSize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use trajectory::Progress;
use trajectory::event::Ended;

use super::{Edited, Outside, Tui};
use crate::input::{Input, Keys};
use crate::protocol::{Command, Facts, Update};
use crate::taste::{Notify, Taste};
use crate::theme::{Background, Depth};
use crate::view::View;

/// What was written, and in how many writes.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<(Vec<u8>, usize)>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.borrow_mut();
        written.0.extend_from_slice(bytes);
        written.1 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Key(KeyEvent::new(code, modifiers))
}

/// Runs a terminal with these keys and updates until it leaves: at the end of the keys, or else of
/// the updates.
fn run(inputs: Vec<Input>, told: Vec<Update>, stays: bool) -> (Written, Vec<Command>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (keys, keys_end) = mpsc::channel(1_000);
        let (updates, updates_end) = mpsc::channel(100_000);
        let (commands, mut commands_end) = mpsc::channel(1_000);
        for update in told {
            updates.try_send(update).unwrap();
        }
        for input in inputs {
            keys.try_send(input).unwrap();
        }
        let mut ends = (Some(keys), Some(updates));
        if stays {
            ends.1 = None;
        } else {
            ends.0 = None;
        }
        let facts = Facts { model: Some("m".into()), ..Facts::default() };
        let view = View::new(facts, Background::Dark, Depth::True);
        let written = Written::default();
        let edit = |text: String| -> Edited { Box::pin(async move { Ok(text + " edited") }) };
        let outside =
            Outside { commands, edit, copy: |_| false, suspend: || (), knows_background: true };
        let keys_end = Keys::given(keys_end);
        let tui = Tui::fixed(written.clone(), (60, 14), keys_end, view, outside);
        tui.run(updates_end).await.unwrap();
        drop(ends);
        let mut told = Vec::new();
        while let Ok(command) = commands_end.try_recv() {
            told.push(command);
        }
        (written, told)
    })
}

fn screen(written: &Written) -> vt100::Parser {
    let mut parser = vt100::Parser::new(NonZero::new(14).unwrap(), NonZero::new(60).unwrap(), 0);
    let bytes = &written.0.borrow().0;
    // What stood there before the terminal was given back.
    let end = bytes.windows(8).rposition(|it| it == b"\x1b[?1049l").unwrap();
    parser.process(&bytes[..end]);
    parser
}

#[test]
fn what_is_typed_is_told_and_the_terminal_is_given_back() {
    let mut inputs: Vec<Input> =
        "hi".chars().map(|c| key(KeyCode::Char(c), KeyModifiers::NONE)).collect();
    inputs.push(key(KeyCode::Char('g'), KeyModifiers::CONTROL));
    inputs.push(key(KeyCode::Enter, KeyModifiers::NONE));
    inputs.push(key(KeyCode::Char('d'), KeyModifiers::CONTROL));
    let (written, told) = run(inputs, Vec::new(), true);
    assert_eq!(told, [Command::Submit("hi edited".into()), Command::Leave]);
    let bytes = written.0.borrow().0.clone();
    assert!(bytes.ends_with(b"\x1b[?25h\x1b[?1049l"));
}

#[test]
fn a_storm_of_pieces_is_a_few_frames() {
    let piece = |number: usize| {
        Update::Progress(Progress::Text { request: 1, text: format!("word{number} ") })
    };
    let told: Vec<Update> = (0..20_000).map(piece).collect();
    let (written, _) = run(Vec::new(), told, true);
    assert!(screen(&written).screen().contents().contains("word19999"));
    let frames = written.0.borrow().0.windows(8).filter(|it| *it == b"\x1b[?2026h").count();
    assert!(frames < 2_000, "{frames}");
    let clears = written.0.borrow().0.windows(4).filter(|it| *it == b"\x1b[2J").count();
    assert_eq!(clears, 0);
}

#[test]
fn a_terminal_that_goes_away_leaves_in_order() {
    let (_, told) = run(Vec::new(), vec![Update::Said("x".into())], false);
    assert_eq!(told, [Command::Leave]);
}

/// What is written when this is told while the window is in front, or not.
fn called(inputs: Vec<Input>, notify: Notify, update: Update) -> Vec<u8> {
    let mut inputs = inputs;
    inputs.push(key(KeyCode::Char('d'), KeyModifiers::CONTROL));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (keys, keys_end) = mpsc::channel(100);
        let (updates, updates_end) = mpsc::channel(100);
        let (commands, _commands_end) = mpsc::channel(100);
        let facts = Facts { model: Some("m".into()), ..Facts::default() };
        let taste = Taste { notify, ..Taste::default() };
        let view = View::new(facts, Background::Dark, Depth::True);
        let view = view.liked(taste, Background::Dark, &[]);
        let written = Written::default();
        let edit = |text: String| -> Edited { Box::pin(async { Ok(text) }) };
        let outside =
            Outside { commands, edit, copy: |_| false, suspend: || (), knows_background: true };
        let tui = Tui::fixed(written.clone(), (60, 14), Keys::given(keys_end), view, outside);
        let feeding = async {
            let last = inputs.pop().unwrap();
            for input in inputs {
                keys.send(input).await.unwrap();
            }
            // The keys are taken before it is told.
            while keys.capacity() < 100 {
                tokio::task::yield_now().await;
            }
            updates.send(update).await.unwrap();
            while updates.capacity() < 100 {
                tokio::task::yield_now().await;
            }
            keys.send(last).await.unwrap();
        };
        let (result, ()) = tokio::join!(tui.run(updates_end), feeding);
        result.unwrap();
        written.0.borrow().0.clone()
    })
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|it| it == wanted)
}

#[test]
fn whoever_looks_away_is_called_and_nobody_else() {
    let over = |inputs, notify| called(inputs, notify, Update::RoundOver(Ended::Completed));
    let away = over(vec![Input::Focus(false)], Notify::Osc9);
    assert!(has(&away, b"\x1b]9;limn: the round is over\x1b\\"));
    let here = over(vec![Input::Focus(false), Input::Focus(true)], Notify::Osc9);
    assert!(!has(&here, b"\x1b]9;") && !has(&here, b"\x07"));
    let bell = over(vec![Input::Focus(false)], Notify::Bell);
    assert!(has(&bell, b"\x07"));
    let off = over(vec![Input::Focus(false)], Notify::Off);
    assert!(!has(&off, b"\x07"));
}

#[test]
fn a_question_calls_whoever_is_not_known_to_look() {
    let asked = |inputs, notify| called(inputs, notify, Update::Decide(7));
    let told = b"limn: a call waits for your word";
    let osc9 = asked(Vec::new(), Notify::Osc9);
    assert!(has(&osc9, &[b"\x1b]9;".as_slice(), told, b"\x1b\\"].concat()));
    let osc777 = asked(vec![Input::Focus(false)], Notify::Osc777);
    assert!(has(&osc777, b"\x1b]777;notify;") && has(&osc777, b"a call waits for your word"));
    let bell = asked(Vec::new(), Notify::Bell);
    assert!(has(&bell, b"\x07") && !has(&bell, told));
    let here = asked(vec![Input::Focus(true)], Notify::Osc9);
    assert!(!has(&here, b"\x1b]9;") && !has(&here, b"\x07"));
    let off = asked(Vec::new(), Notify::Off);
    assert!(!has(&off, b"\x07") && !has(&off, told));
}

/// Opened once all was told.
static EDITOR: Semaphore = Semaphore::const_new(0);

#[test]
fn what_happens_while_somebody_writes_in_an_editor_is_taken_and_drawn_after_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (keys, keys_end) = mpsc::channel(100);
        let (updates, updates_end) = mpsc::channel(16);
        let (commands, mut commands_end) = mpsc::channel(100);
        let facts = Facts { model: Some("m".into()), ..Facts::default() };
        let view = View::new(facts, Background::Dark, Depth::True);
        let written = Written::default();
        let edit = |text: String| -> Edited {
            Box::pin(async move {
                EDITOR.acquire().await.unwrap().forget();
                Ok(text + ", and more")
            })
        };
        let outside =
            Outside { commands, edit, copy: |_| false, suspend: || (), knows_background: true };
        let keys_end = Keys::given(keys_end);
        let tui = Tui::fixed(written.clone(), (60, 14), keys_end, view, outside);
        let feeding = async {
            for input in "begun".chars().map(|c| key(KeyCode::Char(c), KeyModifiers::NONE)) {
                keys.send(input).await.unwrap();
            }
            keys.send(key(KeyCode::Char('g'), KeyModifiers::CONTROL)).await.unwrap();
            while !has(&written.0.borrow().0, b"\x1b[?1049l") {
                tokio::task::yield_now().await;
            }
            let before = written.0.borrow().0.len();
            // Far more than has room: whoever tells it does not wait for the editor.
            for number in 0..10_000 {
                let text = format!("word{number} ");
                let piece = Progress::Text { request: 1, text };
                updates.send(Update::Progress(piece)).await.unwrap();
            }
            updates.send(Update::RoundOver(Ended::Completed)).await.unwrap();
            // The last of it is taken when there is room for as many again.
            drop(updates.reserve_many(16).await.unwrap());
            assert_eq!(written.0.borrow().0[before..], *b"\x07");
            EDITOR.add_permits(1);
            keys.send(key(KeyCode::Enter, KeyModifiers::NONE)).await.unwrap();
            keys.send(key(KeyCode::Char('d'), KeyModifiers::CONTROL)).await.unwrap();
            assert_eq!(commands_end.recv().await, Some(Command::Submit("begun, and more".into())));
        };
        let (result, ()) = tokio::join!(tui.run(updates_end), feeding);
        result.unwrap();
        assert!(screen(&written).screen().contents().contains("word9999"));
    });
}

/// Set where a test runs once more, in a terminal of its own.
const INSIDE: &str = "LIMN_TEST_EDITS_INSIDE";

#[test]
fn keys_that_end_programs_are_the_editors_in_the_editor() {
    if std::env::var_os(INSIDE).is_some() {
        return edits();
    }
    let program = std::env::current_exe().unwrap();
    let dress = Dress::of(&program, TerminalSize { columns: 100, rows: 30 });
    let name = "run::tests::keys_that_end_programs_are_the_editors_in_the_editor";
    let dress = dress.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let mut pty = dress.start().unwrap();
    pty.shows("the-model").unwrap();
    pty.press("\x07").unwrap();
    pty.shows("in the editor").unwrap();
    // Ctrl-\ too ends many a program, and none here.
    pty.press("\x1c\x03").unwrap();
    pty.shows("what was kept").unwrap();
    pty.press("\x15more").unwrap();
    pty.shows("more").unwrap();
    pty.press("\x15\x04").unwrap();
    assert_eq!(pty.ends().unwrap(), 0);
}

/// A terminal whose editor ends in order when it is interrupted.
fn edits() {
    let edit = |_: String| -> Edited {
        Box::pin(async {
            let hears = [SignalKind::interrupt(), SignalKind::quit()].map(hears);
            let waits = "trap 'exit 0' INT; trap '' QUIT; echo in the editor; read line; read line";
            let editor = std::process::Command::new("sh").args(["-c", waits]).spawn();
            let status = spawn_blocking(move || editor?.wait()).await.unwrap();
            for it in hears {
                // It was not for the editor alone.
                it.join().unwrap();
            }
            status.map(|_| "what was kept".to_owned()).map_err(|error| error.to_string())
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (commands, _commands_end) = mpsc::channel(100);
        let (_updates, updates_end) = mpsc::channel(100);
        let facts = Facts { model: Some("the-model".into()), ..Facts::default() };
        let view = View::new(facts, Background::Dark, Depth::True);
        let outside =
            Outside { commands, edit, copy: |_| false, suspend: || (), knows_background: true };
        let tui = Tui::open(io::stdout(), Keys::of_terminal().unwrap(), view, outside).unwrap();
        tui.run(updates_end).await.unwrap();
    });
}

/// Listens already when it returns, and ends once this process was sent that signal.
fn hears(kind: SignalKind) -> std::thread::JoinHandle<()> {
    let (listens, is_listening) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signal = signal(kind).unwrap();
            listens.send(()).unwrap();
            signal.recv().await.unwrap();
        });
    });
    is_listening.recv().unwrap();
    thread
}

#[test]
fn what_a_slow_driver_has_no_room_for_waits_in_its_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (keys, keys_end) = mpsc::channel(100);
        let (updates, updates_end) = mpsc::channel(1);
        let (commands, mut commands_end) = mpsc::channel(1);
        commands.try_send(Command::Mode(trajectory::ApprovalMode::Ask)).unwrap();
        for character in "go".chars() {
            keys.try_send(key(KeyCode::Char(character), KeyModifiers::NONE)).unwrap();
        }
        keys.try_send(key(KeyCode::Enter, KeyModifiers::NONE)).unwrap();
        keys.try_send(key(KeyCode::Char('d'), KeyModifiers::CONTROL)).unwrap();
        let facts = Facts { model: Some("m".into()), ..Facts::default() };
        let view = View::new(facts, Background::Dark, Depth::True);
        let edit = |text: String| -> Edited { Box::pin(async { Ok(text) }) };
        let outside =
            Outside { commands, edit, copy: |_| false, suspend: || (), knows_background: true };
        let keys_end = Keys::given(keys_end);
        let tui = Tui::fixed(Written::default(), (60, 14), keys_end, view, outside);
        let driver = async {
            // It waits to tell something, and hears nothing before it could.
            while updates.send(Update::Said("x".into())).await.is_ok() {}
            let mut told = Vec::new();
            while let Some(command) = commands_end.recv().await {
                told.push(command);
            }
            told
        };
        let (result, told) = tokio::join!(tui.run(updates_end), driver);
        result.unwrap();
        assert_eq!(told[1..], [Command::Submit("go".into()), Command::Leave]);
    });
}
