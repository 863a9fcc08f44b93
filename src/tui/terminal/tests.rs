use std::io::Read;

use pty::{Dress, TerminalSize};

use super::{Screen, leave_by_panic};

/// Set where a test runs once more, in a terminal of its own.
const INSIDE: &str = "LIMN_TEST_PANICS_INSIDE";

const NAME: &str = "terminal::tests::a_panic_gives_the_terminal_back";

#[test]
fn a_panic_gives_the_terminal_back() {
    if std::env::var_os(INSIDE).is_some() {
        panics();
    }
    let program = std::env::current_exe().unwrap();
    let dress = Dress::of(&program, TerminalSize { columns: 100, rows: 30 });
    let dress = dress.args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1");
    let mut pty = dress.start().unwrap();
    pty.shows("taken").unwrap();
    assert!(pty.emulator().alternate_screen() && pty.emulator().wishes().mouse);
    pty.press("x").unwrap();
    assert_ne!(pty.ends().unwrap(), 0);
    let (emulator, wishes) = (pty.emulator(), pty.emulator().wishes());
    assert!(!emulator.alternate_screen() && emulator.cursor().visible);
    assert!(!wishes.mouse && !wishes.bracketed_paste);
    // What is said of it stands where it can be read, and lines begin at the left again.
    let text = pty.text();
    assert!(text.contains("in the middle of it"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("test result: FAILED")), "{text}");
}

fn panics() {
    leave_by_panic();
    let screen = Screen::real(std::io::stdout());
    screen.enter(true).unwrap();
    screen.send("taken").unwrap();
    std::io::stdin().read_exact(&mut [0]).unwrap();
    panic!("in the middle of it");
}

#[test]
fn a_panic_that_another_thread_catches_leaves_the_terminal_alone() {
    if std::env::var_os(INSIDE).is_some() {
        leave_by_panic();
        let screen = Screen::real(std::io::stdout());
        screen.enter(true).unwrap();
        assert!(std::thread::spawn(|| panic!("elsewhere")).join().is_err());
        screen.send("taken").unwrap();
        std::io::stdin().read_exact(&mut [0]).unwrap();
        return screen.leave();
    }
    let name = "terminal::tests::a_panic_that_another_thread_catches_leaves_the_terminal_alone";
    let program = std::env::current_exe().unwrap();
    let dress = Dress::of(&program, TerminalSize { columns: 100, rows: 30 });
    let dress = dress.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let mut pty = dress.start().unwrap();
    pty.shows("taken").unwrap();
    assert!(pty.emulator().alternate_screen() && pty.emulator().wishes().mouse);
    pty.press("x").unwrap();
    assert_eq!(pty.ends().unwrap(), 0);
    assert!(!pty.text().contains("elsewhere"), "{}", pty.text());
}
