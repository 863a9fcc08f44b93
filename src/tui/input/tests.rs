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
        ("\x1b[97:65;2u", letter('A', SHIFT)),
        ("\x1b[46:62;4u", letter('>', ALT)),
        ("\x1b[47:63;6u", letter('/', CONTROL | SHIFT)),
        ("\x1b[97;69u", letter('a', CONTROL)),
        ("\x1b[1089::99;5u", letter('c', CONTROL)),
        ("\x1b[1089:1057:99;2u", letter('С', SHIFT)),
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
    // A key let go, a lock, a modifier alone; answers that nobody here asked for.
    for nothing in [
        "\x1b[97;1:3u",
        "\x1b[57358u",
        "\x1b[57441;2u",
        "\x1b[?62;22c",
        "\x1b[24;12R",
        "\x1b[?24;1R",
        "\x1b[?1u",
        "\x1b[?5~",
        "\x1b[=1;2H",
        "\x1b[ A",
        "\x1b[0u",
        "\x1b[@",
        "\x1b[?12;2$y",
        "\x1b]10;rgb:0/0/0\x07",
        "\x1b]4;1;rgb:0/0/0\x1b\\",
        "\x1bP1$r0m\x1b\\",
        "\x1bP>|term\x1b\\",
        "\x1b_Gi=1;OK\x1b\\",
        "\x1bOI",
        "\x1bOE",
    ] {
        assert_eq!(of(nothing), [], "{nothing:?}");
        assert_eq!(of(&format!("{nothing}\x1b[A")), [key(KeyCode::Up, NONE)], "{nothing:?}");
    }
}

#[test]
fn keys_are_the_same_whatever_terminal_sends_them() {
    // As terminfo has them for rxvt, PuTTY, Konsole, Terminal.app and Linux's console.
    for (sent, expected) in [
        ("\x1bOa", key(KeyCode::Up, CONTROL)),
        ("\x1bOd", key(KeyCode::Left, CONTROL)),
        ("\x1b[a", key(KeyCode::Up, SHIFT)),
        ("\x1b\x1b[A", key(KeyCode::Up, ALT)),
        ("\x1b\x1bOc", key(KeyCode::Right, ALT | CONTROL)),
        ("\x1b[7$", key(KeyCode::Home, SHIFT)),
        ("\x1b[8^", key(KeyCode::End, CONTROL)),
        ("\x1b[5@", key(KeyCode::PageUp, CONTROL | SHIFT)),
        ("\x1b[5C", key(KeyCode::Right, CONTROL)),
        ("\x1bO2P", key(KeyCode::F(1), SHIFT)),
        ("\x1bO1;5Q", key(KeyCode::F(2), CONTROL)),
        ("\x1bOp", letter('0', NONE)),
        ("\x1bOk", letter('+', NONE)),
        ("\x1b\t", key(KeyCode::BackTab, SHIFT)),
    ] {
        assert_eq!(of(sent), [expected], "{sent:?}");
    }
    // What follows such a key is not lost.
    assert_eq!(of("\x1b[7$hi").len(), 3);
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
fn the_answer_about_the_background_is_not_typed() {
    for (colour, expected) in [
        ("rgb:ffff/ffff/f0f0", Background::Light),
        ("rgb:1e/1e/2e", Background::Dark),
        ("rgb:0/0/0", Background::Dark),
        ("rgba:ffff/ffff/ffff/cccc", Background::Light),
        ("#fdf6e3", Background::Light),
    ] {
        // Some forget half of the end.
        for end in ["\x1b\\", "\x07", "\x1b"] {
            let sent = format!("a\x1b]11;{colour}{end}b");
            let expected = [letter('a', NONE), Input::Background(expected), letter('b', NONE)];
            assert_eq!(of(&sent), expected, "{sent:?}");
            // Over a line on which there is silence in the midst of it.
            let (mut decoder, mut inputs) = (Decoder::default(), VecDeque::new());
            for piece in sent.as_bytes().chunks(5) {
                decoder.take(piece, &mut inputs);
                if decoder.may_be_key() {
                    decoder.settle(&mut inputs);
                }
            }
            assert_eq!(Vec::from(inputs), expected, "{sent:?}");
        }
    }
    assert_eq!(of("\x1b]11;rgb:zz\x07"), []);
    // Whoever types something else after alt and that key has typed it.
    assert_eq!(of("\x1b]x"), [letter(']', ALT), letter('x', NONE)]);
    // An answer without an end is none for ever.
    let long = format!("\x1b]11;{}", "f".repeat(600));
    assert_eq!(of(&long).last(), Some(&letter('f', NONE)));
}

#[test]
fn only_silence_tells_a_key_from_a_beginning() {
    for (sent, may_be_key) in [
        ("\x1b", true),
        ("\x1b[", true),
        ("\x1b]", true),
        ("\x1bO", true),
        ("\x1bP", true),
        ("\x1b\x1b", true),
        ("\x1b\x1b[", true),
        ("\x1b[1;", false),
        ("\x1b]1", false),
        ("a", false),
        ("\x1b[200~ab", false),
    ] {
        let (mut decoder, mut inputs) = (Decoder::default(), VecDeque::new());
        decoder.take(sent.as_bytes(), &mut inputs);
        assert_eq!(decoder.may_be_key(), may_be_key, "{sent:?}");
    }
    let escape = key(KeyCode::Esc, NONE);
    assert_eq!(of("\x1b\x1b"), [escape.clone(), escape.clone()]);
    assert_eq!(of("\x1b\x1b["), [escape.clone(), letter('[', ALT)]);
    assert_eq!(of("\x1b\x1b\x1b[A"), [escape, key(KeyCode::Up, ALT)]);
    // The line broke in the midst of a sequence, of an answer, of a character, and of a paste.
    for begun in ["\x1b[5", "\x1b]11;rgb:12"] {
        assert_eq!(of(begun), []);
    }
    assert_eq!(inputs([&b"\xc3"[..]]), []);
    assert_eq!(inputs([&b"\x1b\xc3"[..]]), []);
    assert_eq!(of("\x1b[200~half of"), [Input::Paste("half of".to_owned())]);
}

/// Bytes as terminals send them, and as none does.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "\\PC{0,8}".prop_map(String::into_bytes),
        "\x1b\\[[0-9:;<?]{0,12}[@-~]".prop_map(String::into_bytes),
        "\x1b[\\]P_][0-9G>!][;0-9a-f:/rgb]{0,14}(\x07|\x1b\\\\|\x1b)".prop_map(String::into_bytes),
        "\x1bO[0-9;]{0,3}[a-zA-Z]".prop_map(String::into_bytes),
        "\x1b\\[200~[a-z\x1b\\[~]{0,20}\x1b\\[201~".prop_map(String::into_bytes),
        "\x1b{0,3}[O\\[\\]P_]?".prop_map(String::into_bytes),
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
