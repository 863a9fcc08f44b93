use crate::protocol::{Command, Facts};
use crate::taste::Taste;
use crate::theme::{Background, Depth};
use crate::view::View;
use crate::view::tests::Stage;

fn liked(taste: Taste, wrong: &[String]) -> Stage {
    let mut stage = Stage::new(80, 24);
    let view = std::mem::replace(
        &mut stage.view,
        View::new(Facts::default(), Background::Dark, Depth::True),
    );
    stage.view = view.liked(taste, Background::Dark, wrong);
    stage
}

#[test]
fn vims_keys_move_cut_and_write() {
    let mut stage = liked(Taste::default().with_vim(true), &[]);
    for (keys, text) in [
        ("one two three<esc>bbdw", "one three"),
        ("$x", "one thre"),
        ("0Ax", "one threx"),
        ("<esc>0D", ""),
        ("ione<esc>otwo<esc>kdd", "two"),
        ("onew<esc>0i!", "two\n!new"),
        ("<esc>dd", "two"),
    ] {
        stage.press(keys);
        assert_eq!(stage.view.composer.text(), text, "{keys}");
    }
    stage.press("<esc>");
    assert!(stage.text().lines().any(|line| line.starts_with('N')), "{}", stage.text());
    // Enter sends in either mode, and a second escape is the usual one.
    assert!(matches!(stage.press("<enter>"), Some(Command::Submit(_))));
    assert_eq!(stage.press("<esc>"), Some(Command::Interrupt));
}

#[test]
fn the_help_tells_the_keys_that_are_in_force() {
    let mut taste = Taste::default();
    taste.set_keys("[everywhere]\n\"ctrl-p\" = \"f3\"\nf3 = \"\"\n").unwrap();
    let mut stage = liked(taste, &[]);
    stage.press("<f1>");
    let text = stage.text();
    let row = text.lines().find(|line| line.contains("the panel")).unwrap();
    assert!(row.contains("ctrl-p") && !row.contains("f3"), "{row}");
    stage.press("<esc><f3>");
    assert!(!stage.text().contains("Timeline"));
    stage.press("<ctrl-p>");
    assert!(stage.text().contains("Timeline"));
}

#[test]
fn what_is_wrong_in_a_file_is_told() {
    let stage = &mut liked(Taste::default(), &["keys.toml, line 2: `x` is no key.".to_owned()]);
    assert!(stage.text().contains("! keys.toml, line 2"), "{}", stage.text());
}

#[test]
fn words_are_gone_over_and_cut_from_where_the_caret_is() {
    for (keys, text) in [
        ("0wwx", "one two hree"),
        ("0lex", "on two three"),
        ("0eex", "one tw three"),
        ("0wldw", "one tthree"),
        ("0wlcwX", "one tX three"),
        ("0llde", "on two three"),
        ("$dw", "one two thre"),
    ] {
        let mut stage = liked(Taste::default().with_vim(true), &[]);
        stage.press("one two three<esc>");
        stage.press(keys);
        assert_eq!(stage.view.composer.text(), text, "{keys}");
    }
    let mut stage = liked(Taste::default().with_vim(true), &[]);
    stage.press("one<esc>otwo<esc>k0dw");
    assert_eq!(stage.view.composer.text(), "\ntwo");
}
