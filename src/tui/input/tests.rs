use std::collections::VecDeque;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use proptest::prelude::*;

use super::Input;
use super::decoder::Decoder;
use crate::theme::Background;

const NONE: KeyModifiers = KeyModifiers::NONE;
const ALT: KeyModifiers = KeyModifiers::ALT;
const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Key(KeyEvent::new(code, modifiers))
}

fn letter(letter: char, modifiers: KeyModifiers) -> Input {
    key(KeyCode::Char(letter), modifiers)
}

/// What comes, piece by piece, with silence at the end.
fn inputs<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Input> {
    let (mut decoder, mut inputs) = (Decoder::default(), VecDeque::new());
    pieces.into_iter().for_each(|piece| decoder.take(piece, &mut inputs));
    decoder.settle(&mut inputs);
    inputs.into()
}

fn of(text: &str) -> Vec<Input> {
    inputs([text.as_bytes()])
}

#[test]
fn keys_are_what_terminals_send_for_them() {
    for (sent, expected) in [
        ("a", letter('a', NONE)),
        ("A", letter('A', SHIFT)),
        ("é", letter('é', NONE)),
        ("漢", letter('漢', NONE)),
        ("🦀", letter('🦀', NONE)),
        ("\r", key(KeyCode::Enter, NONE)),
        ("\n", letter('j', CONTROL)),
        ("\t", key(KeyCode::Tab, NONE)),
        ("\x7f", key(KeyCode::Backspace, NONE)),
        ("\x08", letter('h', CONTROL)),
        ("\0", letter(' ', CONTROL)),
        ("\x03", letter('c', CONTROL)),
        ("\x1d", letter('5', CONTROL)),
        ("\x1b", key(KeyCode::Esc, NONE)),
        ("\x1bx", letter('x', ALT)),
        ("\x1bé", letter('é', ALT)),
        ("\x1b\r", key(KeyCode::Enter, ALT)),
        ("\x1b\x7f", key(KeyCode::Backspace, ALT)),
        ("\x1b\x03", letter('c', ALT | CONTROL)),
        ("\x1b[", letter('[', ALT)),
        ("\x1b]", letter(']', ALT)),
        ("\x1bO", letter('O', ALT | SHIFT)),
        ("\x1bP", letter('P', ALT | SHIFT)),
        ("\x1b[A", key(KeyCode::Up, NONE)),
        ("\x1bOA", key(KeyCode::Up, NONE)),
        ("\x1b[1;5C", key(KeyCode::Right, CONTROL)),
        ("\x1b[1;4D", key(KeyCode::Left, SHIFT | ALT)),
        ("\x1b[H", key(KeyCode::Home, NONE)),
        ("\x1b[4~", key(KeyCode::End, NONE)),
        ("\x1b[3;3~", key(KeyCode::Delete, ALT)),
        ("\x1b[Z", key(KeyCode::BackTab, SHIFT)),
        ("\x1bOP", key(KeyCode::F(1), NONE)),
        ("\x1b[[C", key(KeyCode::F(3), NONE)),
        ("\x1b[1;2R", key(KeyCode::F(3), SHIFT)),
        ("\x1b[15~", key(KeyCode::F(5), NONE)),
        ("\x1b[24~", key(KeyCode::F(12), NONE)),
        ("\x1bOM", key(KeyCode::Enter, NONE)),
        // Kitty's, and xterm's other keys.
        ("\x1b[27u", key(KeyCode::Esc, NONE)),
        ("\x1b[13;2u", key(KeyCode::Enter, SHIFT)),
        ("\x1b[27;5;13~", key(KeyCode::Enter, CONTROL)),
        ("\x1b[9;2u", key(KeyCode::BackTab, SHIFT)),
        ("\x1b[99;5u", letter('c', CONTROL)),
        ("\x1b[97:65;2u", letter('A', NONE)),
        ("\x1b[97;69u", letter('a', CONTROL)),
        ("\x1b[57414u", key(KeyCode::Enter, NONE)),
        ("\x1b[57404u", letter('5', NONE)),
        ("\x1b[57419;5u", key(KeyCode::Up, CONTROL)),
        ("\x1b[I", Input::Focus(true)),
        ("\x1b[O", Input::Focus(false)),
    ] {
        assert_eq!(of(sent), [expected], "{sent:?}");
    }
    let held = KeyEvent { kind: KeyEventKind::Repeat, ..KeyEvent::new(KeyCode::Down, NONE) };
    assert_eq!(of("\x1b[1;1:2B"), [Input::Key(held)]);
    // A key let go, a lock, a modifier alone, an answer that nobody asked for.
    for nothing in ["\x1b[97;1:3u", "\x1b[57358u", "\x1b[57441;2u", "\x1b[?62;c", "\x1b[12;40R;9$"]
    {
        assert_eq!(of(&format!("{nothing}\x1b[A")).last(), Some(&key(KeyCode::Up, NONE)));
    }
    assert_eq!(of("\x1b[97;1:3u\x1b[?62;22c\x1b[57358u"), []);
}

#[test]
fn the_mouse_says_what_and_where() {
    use MouseEventKind::{Down, Drag, Moved, ScrollDown, ScrollUp, Up};
    for (sent, kind, modifiers) in [
        ("\x1b[<0;20;10M", Down(MouseButton::Left), NONE),
        ("\x1b[<0;20;10m", Up(MouseButton::Left), NONE),
        ("\x1b[<34;20;10M", Drag(MouseButton::Right), NONE),
        ("\x1b[<35;20;10M", Moved, NONE),
        ("\x1b[<64;20;10M", ScrollUp, NONE),
        ("\x1b[<81;20;10M", ScrollDown, CONTROL),
        ("\x1b[M\x20\x34\x2a", Down(MouseButton::Left), NONE),
    ] {
        let mouse = MouseEvent { kind, column: 19, row: 9, modifiers };
        assert_eq!(of(sent), [Input::Mouse(mouse)], "{sent:?}");
    }
    assert_eq!(of("\x1b[<0;99999;1M\x1b[<;;M\x1b[<1M"), []);
}

#[test]
fn a_paste_is_whole_whatever_is_in_it() {
    let text = "one\r\ntwo\t\x1b[A\x1b[201 é";
    let sent = format!("a\x1b[200~{text}\x1b[201~\x1b[201~b");
    let expected = [letter('a', NONE), Input::Paste(text.to_owned()), letter('b', NONE)];
    assert_eq!(of(&sent), expected);
    assert_eq!(inputs(sent.as_bytes().chunks(1)), expected);
}

#[test]
fn an_answer_is_never_typed() {
    for (colour, expected) in [
        ("ffff/ffff/f0f0", Background::Light),
        ("1e/1e/2e", Background::Dark),
        ("0/0/0", Background::Dark),
    ] {
        for end in ["\x1b\\", "\x07"] {
            let sent = format!("a\x1b]11;rgb:{colour}{end}b");
            let expected = [letter('a', NONE), Input::Background(expected), letter('b', NONE)];
            assert_eq!(of(&sent), expected);
            // Over a line on which there is silence in the midst of it.
            let (mut decoder, mut inputs) = (Decoder::default(), VecDeque::new());
            for piece in sent.as_bytes().chunks(5) {
                decoder.take(piece, &mut inputs);
                decoder.settle(&mut inputs);
            }
            assert_eq!(Vec::from(inputs), expected);
        }
    }
    assert_eq!(
        of("\x1b]11;rgb:zz"),
        [letter(']', ALT)].into_iter().chain(of("11;rgb:zz")).collect::<Vec<_>>()
    );
    let long = format!("\x1b]11;rgb:{}", "f".repeat(60));
    assert_eq!(of(&long).len(), 1 + 7 + 60);
}

#[test]
fn only_silence_tells_a_key_from_a_beginning() {
    for (sent, is_undecided) in [
        ("\x1b", true),
        ("\x1b[", true),
        ("\x1b]", true),
        ("\x1bO", true),
        ("\x1b[1;", false),
        ("a", false),
    ] {
        let (mut decoder, mut inputs) = (Decoder::default(), VecDeque::new());
        decoder.take(sent.as_bytes(), &mut inputs);
        assert_eq!(decoder.is_undecided(), is_undecided, "{sent:?}");
    }
    // Escape twice, then a key that begins so itself.
    let escape = key(KeyCode::Esc, NONE);
    assert_eq!(of("\x1b\x1b\x1b[A"), [escape.clone(), escape, key(KeyCode::Up, NONE)]);
}

/// Bytes as terminals send them, and as none does.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "\\PC{0,8}".prop_map(String::into_bytes),
        "\x1b\\[[0-9:;<?]{0,12}[@-~]".prop_map(String::into_bytes),
        "\x1b\\]11;rgb:[0-9a-f/]{0,14}(\x07|\x1b\\\\)".prop_map(String::into_bytes),
        "\x1b\\[200~[a-z\x1b\\[~]{0,20}\x1b\\[201~".prop_map(String::into_bytes),
        "\x1b[O\\[\\]]?".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_mean_what_the_whole_means(bytes in sent(), size in 1..9_usize) {
        prop_assert_eq!(inputs(bytes.chunks(size)), inputs([&bytes[..]]));
    }
}
