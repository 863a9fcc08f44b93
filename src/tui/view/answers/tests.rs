use super::super::tests::Stage;
use crate::protocol::{
    Answer, Command, Edits, Order, Preview, Query, Rating, Rewind, RewindWhat, Round, Update,
};

fn rewind(what: RewindWhat, edits: Edits) -> Option<Command> {
    Some(Command::Order(Order::Rewind(Rewind { round: 2, what, edits })))
}

fn preview() -> Preview {
    Preview {
        round: 2,
        has_conversation: true,
        has_files: true,
        lines: vec!["taken back  src/main.rs".into(), "   deleted  new\u{1b}[2J".into()],
        edited: Vec::new(),
    }
}

fn told(preview: Preview) -> Stage {
    let mut stage = Stage::new(90, 30);
    assert_eq!(stage.press("/rewind<esc><enter>"), Some(Command::Ask(Query::Rounds)));
    let round =
        |number, prompt: &str| Round { number, prompt: prompt.into(), about: "12 files".into() };
    let rounds = vec![round(2, "then this"), round(1, "first")];
    stage.view.update(Update::Answer(Answer::Rounds(rounds)));
    assert!(stage.text().contains("  2  then this"), "{}", stage.text());
    assert_eq!(stage.waits().press("<enter>"), Some(Command::Ask(Query::Rewind(2))));
    stage.view.update(Update::Answer(Answer::Preview(preview)));
    stage.waits();
    stage
}

#[test]
fn going_back_is_shown_before_it_is_chosen() {
    let mut stage = told(preview());
    let text = stage.text();
    assert!(
        text.contains("taken back  src/main.rs") && text.contains("deleted  new␛[2J"),
        "{text}"
    );
    assert!(text.contains("the conversation and the files"), "{text}");
    assert_eq!(stage.press("<enter>"), rewind(RewindWhat::Both, Edits::None));
    assert_eq!(
        told(preview()).press("<down><enter>"),
        rewind(RewindWhat::Conversation, Edits::None)
    );
    assert_eq!(
        told(preview()).press("<down><down><enter>"),
        rewind(RewindWhat::Files, Edits::None)
    );
}

#[test]
fn what_the_user_changed_is_named_and_chosen_about() {
    let edited = Preview { edited: vec!["notes.md".into()], ..preview() };
    let mut stage = told(edited.clone());
    let text = stage.text();
    assert!(text.contains("You changed these yourself since: notes.md"), "{text}");
    assert!(text.contains("what you changed yourself stays"), "{text}");
    assert_eq!(stage.press("<enter>"), rewind(RewindWhat::Both, Edits::Keep));
    assert_eq!(told(edited).press("<down><enter>"), rewind(RewindWhat::Both, Edits::Undo));
}

#[test]
fn what_cannot_go_back_is_not_offered() {
    let no_files = Preview { has_files: false, lines: Vec::new(), ..preview() };
    let mut stage = told(no_files);
    assert!(!stage.text().contains("and the files"), "{}", stage.text());
    assert_eq!(stage.press("<enter>"), rewind(RewindWhat::Conversation, Edits::None));
    let mut stage = told(Preview { has_conversation: false, ..preview() });
    assert_eq!(stage.press("<enter>"), rewind(RewindWhat::Files, Edits::None));
    // A round has begun meanwhile.
    let mut stage = told(preview());
    stage.prompt("go");
    assert_eq!(stage.press("<enter>"), None);
    assert!(stage.text().contains("A round is under way"));
}

#[test]
fn a_model_is_chosen_from_a_list_or_named() {
    let mut stage = Stage::new(90, 20);
    assert_eq!(stage.press("/model<esc><enter>"), Some(Command::Ask(Query::Models)));
    let models = vec![("one".into(), "small".into()), ("two".into(), "large".into())];
    stage.view.update(Update::Answer(Answer::Models(models)));
    let two = Some(Command::Order(Order::Model("two".into())));
    assert_eq!(stage.waits().press("<down><enter>"), two);
    assert_eq!(stage.press("/model two<enter>"), two);
}

#[test]
fn a_step_is_rated_where_it_stands() {
    let mut stage = Stage::new(80, 20);
    stage.prompt("go").calls(1, "shell", r#"{"command":"make"}"#).says("Done.");
    stage.text();
    stage.press("<tab>");
    let rated = |seq, rating| Some(Command::Order(Order::Rate(seq, rating)));
    assert_eq!(stage.press("+"), rated(2, Rating::Good));
    assert_eq!(stage.press("k-"), rated(1, Rating::Bad));
    let text = stage.text();
    assert!(text.contains("− shell make") && text.contains("+ Done."), "{text}");
    assert_eq!(stage.press("="), rated(1, Rating::Neutral));
    // What the user said is no step of the model.
    assert_eq!(stage.press("k+"), None);
    assert!(stage.text().contains("Choose a step of the model first"));
}

#[test]
fn whose_it_is_and_what_for_is_asked_once() {
    let mut stage = Stage::new(90, 24);
    assert!(!stage.text().contains("/consent"));
    stage.view.facts.asks_consent = true;
    assert!(stage.text().contains("/consent private|team|public"));
    let said = stage.press("/consent team<enter>");
    assert_eq!(said, Some(Command::Order(Order::Consent("team"))));
    assert_eq!(stage.press("/consent all<enter>"), None);
    assert!(stage.text().contains("Consent is one of private, team, public."));
    stage.press("<ctrl-u>");
    let said = stage.press("/annotator fox<enter>");
    assert_eq!(said, Some(Command::Order(Order::Annotator("fox".into()))));
}

fn models() -> Update {
    Update::Answer(Answer::Models(vec![("one".into(), "small".into()), ("two".into(), "".into())]))
}

#[test]
fn a_list_that_comes_late_takes_no_key_that_was_meant_for_something_else() {
    let mut stage = Stage::new(90, 20);
    stage.press("/model<esc><enter>");
    stage.view.update(models());
    // Pressed before the list could be read.
    assert_eq!(stage.press("<enter><tab>"), None);
    assert!(!stage.text().contains('▸'), "{}", stage.text());
    assert!(stage.view.is_moving());
    stage.waits();
    assert!(stage.text().contains("▸ one"), "{}", stage.text());
    assert_eq!(stage.press("<enter>"), Some(Command::Order(Order::Model("one".into()))));
    // Letters are a prompt, which the list does not stand in the way of.
    stage.press("/model<esc><enter>");
    stage.view.update(models());
    assert_eq!(stage.press("do it<enter>"), Some(Command::Submit("do it".into())));
}

#[test]
fn a_list_that_comes_while_something_is_written_does_not_open() {
    let mut stage = Stage::new(90, 20);
    stage.press("/model<esc><enter>");
    stage.press("do it");
    stage.view.update(models());
    let text = stage.text();
    assert!(
        text.contains("The list is ready: /model shows it.") && !text.contains("two"),
        "{text}"
    );
    assert_eq!(stage.waits().press("<enter>"), Some(Command::Submit("do it".into())));
    // Nor below a question, where it would be taken with the next answer.
    stage.prompt("do it").calls(1, "shell", r#"{"command":"make"}"#);
    stage.view.update(Update::Decide(1));
    stage.view.update(models());
    assert!(matches!(stage.press("<enter>"), Some(Command::Decide { .. })));
    assert_eq!(stage.press("<enter>"), None);
    assert!(!stage.text().contains("two"), "{}", stage.text());
}
