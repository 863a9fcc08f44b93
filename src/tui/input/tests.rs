use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::{Answer, Input};
use crate::theme::Background;

fn key(letter: char, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(KeyCode::Char(letter), modifiers))
}

fn pass(answer: &mut Answer, text: &str, end: Event) -> Vec<Input> {
    let letters = text.chars().map(|letter| key(letter, KeyModifiers::NONE));
    let keys = std::iter::once(key(']', KeyModifiers::ALT)).chain(letters).chain([end]);
    keys.filter_map(|event| answer.pass(event)).collect()
}

#[test]
fn an_answer_is_never_typed() {
    for (text, expected) in
        [("11;rgb:ffff/ffff/f0f0", Background::Light), ("11;rgb:1e/1e/2e", Background::Dark)]
    {
        for end in [key('\\', KeyModifiers::ALT), key('g', KeyModifiers::CONTROL)] {
            let inputs = pass(&mut Answer::default(), text, end);
            assert_eq!(inputs, [Input::Background(expected)]);
        }
    }
}

#[test]
fn what_is_no_answer_is_typed() {
    let mut answer = Answer::default();
    let inputs = pass(&mut answer, "x", key('y', KeyModifiers::NONE));
    assert_eq!(inputs.len(), 2);
    let inputs = pass(&mut answer, "11;rgb:0/0/0", key('\\', KeyModifiers::ALT));
    assert_eq!(inputs, [Input::Background(Background::Dark)]);
    // There is one answer; later the key is the user's.
    assert_eq!(pass(&mut answer, "", key('a', KeyModifiers::NONE)).len(), 2);
}
