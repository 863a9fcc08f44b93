use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::{Selection, Tab};

const AREA: Rect = Rect { x: 0, y: 0, width: 6, height: 3 };

fn check((from, to): ((u16, u16), (u16, u16)), expected: &str) {
    let buffer = Buffer::with_lines(["one   | panel", "二三  | panel", "three | panel"]);
    let at = |(x, y)| Position { x, y };
    let selection = Selection { from: at(from), to: at(to), area: AREA, is_open: false };
    assert_eq!(selection.text(&buffer, &[]), expected);
}

#[test]
fn what_stands_beside_is_not_copied() {
    check(((1, 0), (2, 2)), "ne\n二三\nthr");
    check(((2, 2), (1, 0)), "ne\n二三\nthr");
    // However far the mouse went.
    check(((1, 0), (12, 40)), "ne\n二三\nthree");
}

#[test]
fn either_half_of_a_wide_character_is_the_character() {
    check(((1, 1), (2, 1)), "二三");
    check(((3, 1), (3, 1)), "三");
}

#[test]
fn what_is_drawn_as_blanks_is_copied_as_the_tab_it_is() {
    let buffer = Buffer::with_lines(["a   b ", "    c ", "      "]);
    let at = |x, y| Position { x, y };
    let tabs = [Tab { at: at(1, 0), columns: 3 }, Tab { at: at(0, 1), columns: 4 }];
    let selection = Selection { from: at(0, 0), to: at(5, 1), area: AREA, is_open: false };
    assert_eq!(selection.text(&buffer, &tabs), "a\tb\n\tc");
    // Blanks in the middle of one are blanks.
    let selection = Selection { from: at(2, 1), to: at(4, 1), ..selection };
    assert_eq!(selection.text(&buffer, &tabs), "  c");
}
