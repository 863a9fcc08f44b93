use ratatui::text::Line;

use super::{Flow, render};
use crate::theme::{Background, Depth, Theme};

const TEXT: &str = "# A heading\n\nSome *words* and `code`, [a link](https://example.org/x).\n\n\
    - one\n- two\n  - deeper and long enough to be wrapped somewhere\n\n1. first\n\n2. second\n\n\
    > quoted\n> twice\n\n```rust\nfn main() {\n    let x = \"y\"; // why\n}\n```\nafter\n\n\
    | name | count |\n|---|---:|\n| 一二 | 3 |\n| long name here | 12 |\n\n- [x] done\n- [ ] open\n";

fn theme() -> Theme {
    Theme::new(Background::Dark, Depth::True)
}

fn text(rows: &[Line<'_>]) -> String {
    rows.iter().map(|row| row.to_string().trim_end().to_owned() + "\n").collect()
}

#[test]
fn what_models_write_is_laid_out() {
    insta::assert_snapshot!(text(&render(TEXT, 32, &theme())));
}

#[test]
fn a_text_in_pieces_looks_like_the_whole() {
    let theme = theme();
    let whole = render(TEXT, 32, &theme);
    let mut flow = Flow::new(32);
    for piece in TEXT.chars() {
        flow.push(&piece.to_string(), &theme);
        let rows = flow.done().len() + flow.open_rows(&theme).len();
        assert!(rows <= whole.len() + 3);
    }
    assert_eq!(flow.finish(&theme), whole);
}

#[test]
fn code_has_colours_and_its_own_bar() {
    let theme = theme();
    let rows = render("```rust\nlet x = 1;\n```", 40, &theme);
    let line = rows.last().unwrap();
    assert_eq!(line.to_string(), "▏ let x = 1;");
    let keyword = line.spans.iter().find(|span| span.content == "let").unwrap();
    assert_eq!(keyword.style.fg, theme.syntax[1].fg);
}

#[test]
fn a_line_of_five_million_letters_is_laid_out_in_pieces() {
    let mut flow = Flow::new(80);
    flow.push(&"x".repeat(5_000_000), &theme());
    assert!(flow.open.len() <= super::OPEN_BYTES_MAX);
    assert_eq!(text(&flow.done()[..1]), format!("{}\n", "x".repeat(80)));
}

#[test]
fn an_unclosed_fence_is_code_to_the_end() {
    let rows = render("```\nline one\nline", 40, &theme());
    assert_eq!(text(&rows), "▏ line one\n▏ line\n");
}
