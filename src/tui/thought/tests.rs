use ratatui::text::Line;

use super::{Thought, render};
use crate::theme::{Background, Depth, Theme};

fn theme() -> Theme {
    Theme::new(Background::Dark, Depth::True)
}

fn texts(rows: &[Line<'_>]) -> Vec<String> {
    rows.iter().map(ToString::to_string).collect()
}

fn check(text: &str, columns: usize, expected: &[&str]) {
    assert_eq!(texts(&render(text, columns, &theme())), expected, "{text:?}");
}

#[test]
fn each_line_stands_behind_a_bar_and_no_row_is_there_for_the_end_of_the_last() {
    check("one two\n\nthree\n", 20, &["│ one two", "│ ", "│ three"]);
    check("one two three", 10, &["│ one two ", "│ three"]);
    check("", 10, &[]);
    check("\n", 10, &["│ "]);
}

#[test]
fn rows_are_the_same_however_the_text_comes() {
    let text = "First a word,  then\tmany: antidisestablishmentarianism, 一二三四五六七八九十 and\n\n  \
                indented\tby a tab\nand x\t\ty. 👩‍👩‍👧 e\u{301}nd   ";
    for columns in [3, 8, 13, 21, 40, 200] {
        let whole = texts(&render(text, columns, &theme()));
        for size in [1, 2, 5] {
            let mut thought = Thought::new(columns, &theme());
            let characters: Vec<char> = text.chars().collect();
            let mut settled = Vec::new();
            for piece in characters.chunks(size) {
                thought.push(&piece.iter().collect::<String>());
                // What stands stays.
                let done = texts(thought.done());
                assert_eq!(settled[..], done[..settled.len()]);
                settled = done;
            }
            settled.extend(texts(&thought.open_rows()));
            assert_eq!(settled, whole, "{columns} columns, {size} at once");
        }
    }
}

#[test]
fn a_word_without_an_end_is_laid_out_as_it_comes() {
    let mut thought = Thought::new(20, &theme());
    for _ in 0..2_000 {
        thought.push("0123456789");
    }
    assert!(thought.done().len() > 500, "{}", thought.done().len());
    assert!(thought.open_rows().len() < 300);
    let all: String = texts(thought.done()).concat() + &texts(&thought.open_rows()).concat();
    assert_eq!(all.matches(|c: char| c.is_ascii_digit()).count(), 20_000);
}
