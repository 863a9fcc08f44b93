use super::{Composer, Edit, Hand};
use crate::protocol::Wrote;

fn composer(text: &str) -> Composer {
    let mut composer = Composer::default();
    composer.insert(text);
    composer
}

fn drawn(composer: &mut Composer, columns: usize) -> (Vec<String>, (usize, usize)) {
    let (rows, caret) = composer.draw(columns);
    let text = |row: &super::DrawnRow| row.pieces.iter().map(|(text, _)| text.as_str()).collect();
    (rows.iter().map(text).collect(), caret)
}

#[test]
fn a_character_is_what_people_count() {
    let mut composer = composer("ae\u{301}👨‍👩‍👧");
    composer.edit(Edit::Backspace);
    assert_eq!(composer.content(), "ae\u{301}");
    composer.edit(Edit::Left);
    composer.insert("x");
    assert_eq!(composer.content(), "axe\u{301}");
    composer.edit(Edit::Delete);
    assert_eq!(composer.content(), "ax");
}

#[test]
fn the_caret_stands_where_the_next_character_comes() {
    let mut composer = composer("一二三\nab");
    assert_eq!(drawn(&mut composer, 4), (vec!["一二".into(), "三".into(), "ab".into()], (2, 2)));
    composer.edit(Edit::Up);
    assert_eq!(drawn(&mut composer, 4).1, (1, 2));
    composer.edit(Edit::Home);
    assert_eq!(drawn(&mut composer, 4).1, (0, 0));
    let mut full = self::composer("abcd");
    assert_eq!(drawn(&mut full, 4).1, (1, 0));
}

#[test]
fn a_large_paste_is_one_character() {
    let paste: String = (1..=10_000).map(|line| format!("line {line}\n")).collect();
    let mut composer = composer("see ");
    composer.paste(&paste.replace('\n', "\r\n"));
    composer.insert("!");
    assert_eq!(drawn(&mut composer, 80).0, ["see [pasted 10,000 lines]!"]);
    assert_eq!(composer.content(), format!("see {paste}!"));
    composer.edit(Edit::Left);
    composer.edit(Edit::Backspace);
    assert_eq!(composer.content(), "see !");
}

#[test]
fn words_are_deleted_and_put_back() {
    let mut composer = composer("one two 三");
    composer.edit(Edit::WordLeft);
    composer.edit(Edit::DeleteWord);
    assert_eq!(composer.content(), "one 三");
    composer.edit(Edit::End);
    composer.edit(Edit::PutBack);
    assert_eq!(composer.content(), "one 三two ");
    composer.edit(Edit::DeleteToStart);
    assert_eq!(composer.content(), "");
}

#[test]
fn history_keeps_the_draft() {
    let mut composer = Composer::default();
    for prompt in ["first", "second"] {
        composer.insert(prompt);
        composer.take();
    }
    composer.insert("draft");
    composer.edit(Edit::Up);
    composer.edit(Edit::Up);
    assert_eq!(composer.content(), "first");
    composer.edit(Edit::Up);
    assert_eq!(composer.content(), "first");
    composer.edit(Edit::Down);
    composer.edit(Edit::Down);
    assert_eq!(composer.content(), "draft");
}

#[test]
fn a_mention_is_the_word_at_the_caret() {
    let mut composer = composer("look at @src/ma");
    assert_eq!(composer.mention(), Some("src/ma"));
    composer.complete_mention("src/main.rs");
    assert_eq!(composer.content(), "look at @src/main.rs ");
    assert_eq!(composer.mention(), None);
}

#[test]
fn escapes_and_private_characters_cannot_be_pasted_in() {
    let mut composer = composer("");
    composer.paste("\u{1b}[2J\u{f0000}x");
    assert_eq!(composer.content(), "␛[2Jx");
}

#[test]
fn a_long_prompt_that_is_taken_back_or_recalled_is_a_chip_again() {
    let long = "line\n".repeat(2_000);
    let mut composer = Composer::default();
    composer.remember(Hand::Model, &long);
    composer.edit(Edit::Up);
    assert_eq!((composer.text().chars().count(), composer.content()), (1, long.clone()));
    composer.set(&long);
    assert_eq!((composer.text().chars().count(), composer.content()), (1, long));
}

#[test]
fn a_paste_that_was_deleted_is_put_back_into_the_next_prompt() {
    let paste = "line\n".repeat(20);
    let mut composer = composer("");
    composer.paste(&paste);
    composer.edit(Edit::DeleteToStart);
    composer.insert("sent");
    composer.take();
    composer.edit(Edit::PutBack);
    assert_eq!((composer.text().chars().count(), composer.content()), (1, paste));
}

#[test]
fn what_was_written_in_earlier_sessions_stands_behind_what_was_written_in_this() {
    let mut composer = composer("draft");
    composer.remember(Hand::Model, "of this session");
    composer.edit(Edit::Up);
    // It comes while somebody goes through what there is.
    composer.remember_earlier(vec![
        Wrote::Prompt("the first".into()),
        Wrote::Outside("make install".into()),
        Wrote::Inside("make".into()),
    ]);
    let mut found = vec![(composer.hand(), composer.content())];
    for _ in 0..4 {
        composer.edit(Edit::Up);
        found.push((composer.hand(), composer.content()));
    }
    let expected = [
        (Hand::Model, "of this session"),
        (Hand::Inside, "make"),
        (Hand::Outside, "make install"),
        (Hand::Model, "the first"),
        (Hand::Model, "the first"),
    ];
    assert_eq!(found, expected.map(|(hand, text)| (hand, text.to_owned())));
    for _ in 0..4 {
        composer.edit(Edit::Down);
    }
    assert_eq!(composer.content(), "draft");
}

#[test]
fn who_goes_back_before_it_is_known_what_was_written_need_not_do_it_twice() {
    let earlier = || vec![Wrote::Prompt("one".to_owned()), Wrote::Prompt("two".to_owned())];
    let mut early = composer("draft");
    early.edit(Edit::Up);
    assert_eq!(early.content(), "draft");
    early.remember_earlier(earlier());
    assert_eq!(early.content(), "two");
    early.edit(Edit::Down);
    assert_eq!(early.content(), "draft");
    // Whoever writes on meanwhile does not lose what was written.
    let mut busy = composer("draft");
    busy.edit(Edit::Up);
    busy.insert("s");
    busy.remember_earlier(earlier());
    assert_eq!(busy.content(), "drafts");
    let mut late = composer("draft");
    late.remember_earlier(earlier());
    assert_eq!(late.content(), "draft");
}

#[test]
fn a_tab_is_one_character_and_drawn_as_wide_as_it_is() {
    let mut composer = composer("a\tb\n\tc");
    let (rows, caret) = drawn(&mut composer, 20);
    let width = |row: &String| unicode_width::UnicodeWidthStr::width(row.as_str());
    assert_eq!(rows.iter().map(width).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(caret, (1, 5));
    composer.edit(Edit::Backspace);
    composer.edit(Edit::Backspace);
    assert_eq!((composer.content().as_str(), drawn(&mut composer, 20).1), ("a\tb\n", (1, 0)));
    // One for which there is no room goes into the next row.
    assert_eq!(drawn(&mut self::composer("abcde\tf"), 7).0.len(), 2);
}
