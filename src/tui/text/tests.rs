use ratatui::style::Style;
use ratatui::text::Span;

use super::{clean, clean_behind, duration, headline, short_number, shorten, wrap};

fn check_wrap(text: &str, columns: usize, expected: &[&str]) {
    let rows = wrap(&[Span::styled(text.to_owned(), Style::new())], columns, &[]);
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    assert_eq!(rows, expected);
}

#[test]
fn words_are_kept_whole_where_they_fit() {
    check_wrap("one two three", 8, &["one two ", "three"]);
    check_wrap("一二三四五", 4, &["一二", "三四", "五"]);
    check_wrap("abcdefghij", 4, &["abcd", "efgh", "ij"]);
    check_wrap("", 4, &[""]);
}

#[test]
fn a_family_is_one_character() {
    check_wrap("👨‍👩‍👧👨‍👩‍👧", 3, &["👨‍👩‍👧", "👨‍👩‍👧"]);
}

#[test]
fn nothing_that_a_terminal_obeys_is_left() {
    let hostile = "\u{1b}]52;c;aGk=\u{7}\u{1b}[2J\u{9b}31m\u{202e}x\r\ny\rz\0";
    let safe = clean(hostile);
    assert!(safe.chars().all(|c| c == '\n' || !c.is_control()), "{safe:?}");
    assert!(!safe.contains('\u{202e}'));
    assert!(safe.contains("x\ny"));
}

#[test]
fn a_flood_of_accents_is_bounded() {
    let flood = format!("a{}b", "\u{301}".repeat(100_000));
    assert!(clean(&flood).chars().count() <= 10);
}

#[test]
fn a_headline_of_a_huge_line_is_short() {
    let line = "x".repeat(5_000_000);
    assert_eq!(headline(&line, 10), "xxxxxxxxx…");
    assert_eq!(shorten("一二三四", 5), "一二…");
}

#[test]
fn numbers_are_short() {
    assert_eq!(
        [short_number(12), short_number(12_345), short_number(1_500_000)],
        ["12", "12.3k", "1.5M"]
    );
    assert_eq!(
        [duration(2_000), duration(3_400_000), duration(125_000_000)],
        ["2 ms", "3.4 s", "2 min 5 s"]
    );
}

#[test]
fn a_flood_of_accents_is_bounded_though_it_comes_one_by_one() {
    let mut text = clean_behind("", "a");
    for _ in 0..1_000 {
        let piece = clean_behind(&text, "\u{301}");
        text.push_str(&piece);
    }
    assert_eq!(text.chars().count(), 9);
    assert_eq!(clean_behind(&text, "b\u{301}").chars().count(), 2);
    // Nor does what is taken out begin the count anew.
    let flood = format!("a{}", "\u{301}\u{202e}".repeat(1_000));
    assert_eq!(clean(&flood).chars().count(), 9);
}
