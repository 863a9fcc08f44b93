use super::super::tests::Stage;
use super::path_of;
use crate::protocol::{Answer, Command, Query, Update};

#[test]
fn a_path_is_read_however_a_terminal_writes_it() {
    for (pasted, path) in [
        ("/tmp/a.png", Some("/tmp/a.png")),
        ("'/tmp/a b.PNG' ", Some("/tmp/a b.PNG")),
        ("\"/tmp/a.webp\"", Some("/tmp/a.webp")),
        ("/tmp/a\\ b.jpeg", Some("/tmp/a b.jpeg")),
        ("file:///tmp/a%20%E6%95%B0.gif", Some("/tmp/a 数.gif")),
        ("file:///tmp/%zz%.gif", Some("/tmp/%zz%.gif")),
        ("/tmp/a.txt", None),
        ("a.png\nb.png", None),
        ("", None),
    ] {
        assert_eq!(path_of(pasted).as_deref(), path, "{pasted}");
    }
}

fn answer(stage: &mut Stage, written: Option<&str>, found: Result<&str, &str>) {
    let found = found.map(str::to_owned).map_err(str::to_owned);
    let answer = Answer::Picture { written: written.map(str::to_owned), found };
    stage.view.update(Update::Answer(answer));
}

#[test]
fn a_dropped_picture_becomes_a_chip_and_its_words_are_sent() {
    let mut stage = Stage::new(80, 24);
    stage.press("look at ");
    let asked = stage.view.paste("/tmp/shot.png");
    let query = Query::Picture { written: "/tmp/shot.png".into(), path: "/tmp/shot.png".into() };
    assert_eq!(asked, Some(Command::Ask(query)));
    answer(&mut stage, Some("/tmp/shot.png"), Ok("[image shot.png]"));
    assert!(stage.text().contains("look at [image shot.png]"), "{}", stage.text());
    // It is one character, and a blank stands behind it.
    stage.press("<backspace><backspace>");
    assert_eq!(stage.view.composer.text(), "look at ");
    answer(&mut stage, None, Ok("[image clipboard.png]"));
    let sent = stage.press("please<enter>");
    assert_eq!(sent, Some(Command::Submit("look at [image clipboard.png] please".into())));
}

#[test]
fn what_is_no_picture_stays_as_it_was_written() {
    let mut stage = Stage::new(80, 24);
    stage.view.paste("/tmp/none.png");
    answer(&mut stage, Some("/tmp/none.png"), Err("There is none."));
    assert_eq!(stage.view.composer.text(), "/tmp/none.png");
    answer(&mut stage, None, Err("The clipboard holds no picture."));
    assert!(stage.text().contains("The clipboard holds no picture."));
}

#[test]
fn a_picture_that_was_chosen_is_asked_for_too() {
    let mut stage = Stage::new(80, 24);
    stage.press("see @sh");
    let files = Answer::Files("sh".into(), vec!["img/shot.png".into()]);
    stage.view.update(Update::Answer(files));
    let asked = stage.press("<enter>");
    let query = Query::Picture { written: "@img/shot.png".into(), path: "img/shot.png".into() };
    assert_eq!(asked, Some(Command::Ask(query)));
    answer(&mut stage, Some("@img/shot.png"), Ok("[image shot.png]"));
    assert!(stage.text().contains("see [image shot.png]"), "{}", stage.text());
}

#[test]
fn no_picture_goes_with_a_command() {
    let mut stage = Stage::new(80, 24);
    stage.press("!open ");
    assert_eq!(stage.view.paste("/tmp/shot.png"), None);
    assert_eq!(stage.press("<ctrl-v>"), None);
    answer(&mut stage, None, Ok("[image clipboard.png]"));
    let run = Command::Run { command: "open /tmp/shot.png".into(), outside: false };
    assert_eq!(stage.press("<enter>"), Some(run));
}

#[test]
fn a_prompt_with_a_picture_waits_for_the_rounds_end() {
    let mut stage = Stage::new(80, 24);
    stage.press("go<enter>");
    stage.prompt("go");
    answer(&mut stage, None, Ok("[image shot.png]"));
    assert_eq!(stage.press("this one<ctrl-s>"), None);
    assert_eq!(stage.view.queued, ["[image shot.png] this one"]);
    assert_eq!(stage.press("<ctrl-s>"), None);
    assert!(stage.text().contains("It waits: a picture"), "{}", stage.text());
    let next = stage.view.update(Update::RoundOver(trajectory::event::Ended::Completed));
    assert_eq!(next, Some(Command::Submit("[image shot.png] this one".into())));
}
