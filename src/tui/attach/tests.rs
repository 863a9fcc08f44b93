use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use screen::Wishes;

use super::Attached;
use trajectory::Hand;

use crate::protocol::Command;

fn sent(command: Option<Command>) -> Vec<u8> {
    match command {
        Some(Command::Hand(Hand::Type { exec: 7, bytes })) => bytes,
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn pressed(code: KeyCode, held: KeyModifiers, wishes: Wishes) -> Vec<u8> {
    sent(Attached::to(7).press(KeyEvent::new(code, held), wishes))
}

#[test]
fn keys_are_sent_as_a_terminal_sends_them() {
    let (none, ctrl) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
    let usual = Wishes::default();
    let application = Wishes { application_cursor: true, ..usual };
    let cases: [(KeyCode, KeyModifiers, Wishes, &[u8]); 14] = [
        (KeyCode::Char('a'), none, usual, b"a"),
        (KeyCode::Char('数'), none, usual, "数".as_bytes()),
        (KeyCode::Char('c'), ctrl, usual, b"\x03"),
        (KeyCode::Char('4'), ctrl, usual, b"\x1c"),
        (KeyCode::Char('x'), KeyModifiers::ALT, usual, b"\x1bx"),
        (KeyCode::Enter, none, usual, b"\r"),
        (KeyCode::Esc, none, usual, b"\x1b"),
        (KeyCode::Backspace, none, usual, b"\x7f"),
        (KeyCode::Up, none, usual, b"\x1b[A"),
        (KeyCode::Up, none, application, b"\x1bOA"),
        (KeyCode::Right, ctrl, application, b"\x1b[1;5C"),
        (KeyCode::Delete, none, usual, b"\x1b[3~"),
        (KeyCode::F(1), none, usual, b"\x1bOP"),
        (KeyCode::F(12), KeyModifiers::SHIFT, usual, b"\x1b[24;2~"),
    ];
    for (code, held, wishes, expected) in cases {
        assert_eq!(pressed(code, held, wishes), expected, "{code:?} {held:?}");
    }
}

#[test]
fn a_paste_cannot_end_its_own_marks() {
    let wishes = Wishes { bracketed_paste: true, ..Wishes::default() };
    let bytes = sent(Attached::to(7).paste("one\ntwo\x1b[201~rm -rf /\n", wishes));
    assert_eq!(bytes, b"\x1b[200~one\rtwo[201~rm -rf /\r\x1b[201~");
    // However long it is, nothing is left out.
    let long = "数".repeat(40_000);
    assert_eq!(sent(Attached::to(7).paste(&long, Wishes::default())), long.as_bytes());
}

#[test]
fn the_mouse_goes_to_whoever_asks_for_it() {
    let event = |kind| MouseEvent { kind, column: 4, row: 2, modifiers: KeyModifiers::NONE };
    let attached = Attached::to(7);
    let (usual, asked) = (Wishes::default(), Wishes { mouse: true, ..Wishes::default() });
    let down = event(MouseEventKind::Down(MouseButton::Left));
    assert_eq!(sent(attached.mouse(down, asked, true)), b"\x1b[<0;5;3M");
    assert_eq!(sent(attached.mouse(down, usual, true)), b"");
    let wheel = event(MouseEventKind::ScrollUp);
    assert_eq!(sent(attached.mouse(wheel, usual, true)), b"\x1b[A\x1b[A\x1b[A");
    assert_eq!(sent(attached.mouse(wheel, usual, false)), b"");
}
