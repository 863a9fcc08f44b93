use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{
    clean, duration, fit, headline, kept, kept_behind, short_number, shorten, tab_of, wrap,
};

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
    let mut text = kept_behind("", "a");
    for _ in 0..1_000 {
        let piece = kept_behind(&text, "\u{301}");
        text.push_str(&piece);
    }
    assert_eq!(text.chars().count(), 9);
    assert_eq!(kept_behind(&text, "b\u{301}").chars().count(), 2);
    // Nor does what is taken out begin the count anew.
    let flood = format!("a{}", "\u{301}\u{202e}".repeat(1_000));
    assert_eq!(clean(&flood).chars().count(), 9);
}

/// The text as it stands on the screen.
fn drawn(text: &str) -> String {
    text.chars().map(|c| if tab_of(&c.to_string()).is_some() { ' ' } else { c }).collect()
}

#[test]
fn a_tab_stays_one_and_is_as_wide_as_its_place_says() {
    assert_eq!(kept("all:\n\tcc\t-o x"), "all:\n\tcc\t-o x");
    assert_eq!(clean("\tcc"), "    cc");
    let rows = |text: &str, columns| -> Vec<String> {
        let rows = wrap(&[Span::raw(text.to_owned())], columns, &[Span::raw("  ")]);
        rows.iter().map(|row| drawn(&row.to_string())).collect()
    };
    assert_eq!(rows("\tcc\t-o x", 20), ["    cc  -o x"]);
    assert_eq!(rows("a\tb", 20), ["a   b"]);
    // One that does not fit ends the row.
    assert_eq!(rows("abcd\tefg", 7), ["abcd", "  efg"]);
    assert_eq!(drawn(&shorten("\tab\tcd", 9)), "    ab  …");
    let spans = fit(vec![Span::raw("a\t"), Span::raw("b\tc")], 20);
    assert_eq!(drawn(&Line::from(spans).to_string()), "a   b   c");
    let spans = fit(vec![Span::raw("a\t"), Span::raw("bcd")], 6);
    assert_eq!(drawn(&Line::from(spans).to_string()), "a   b…");
}

#[test]
fn nobody_else_says_how_wide_a_tab_is() {
    assert_eq!(kept("\u{10fff4}x"), "\u{fffd}x");
}
