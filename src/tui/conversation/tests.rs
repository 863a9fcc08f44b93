use crate::conversation::{Conversation, Step};
use crate::entry::{Context, NoteKind};
use crate::theme::{Background, Depth, Theme};

#[test]
fn the_end_is_reached_again_however_far_one_went() {
    let theme = Theme::new(Background::Dark, Depth::None);
    let context =
        Context { columns: 40, theme: &theme, theme_number: 0, now_us: 0, show_reasoning: false };
    let mut conversation = Conversation::default();
    for number in 0..1_000 {
        conversation.note(NoteKind::Info, &format!("note {number}"));
    }
    let shown = |conversation: &mut Conversation| -> Vec<String> {
        conversation.visible(9, context).iter().map(|row| row.line.to_string()).collect()
    };
    let end = shown(&mut conversation);
    assert_eq!(end.last().map(String::as_str), Some("note 999"));
    for rows in [1, 7, 100, 5_000] {
        conversation.up(rows, context);
        assert!(!conversation.follows());
        shown(&mut conversation);
        conversation.down(rows, context);
        assert_eq!(shown(&mut conversation), end, "{rows}");
        assert!(conversation.follows());
    }
    conversation.go_to_start();
    assert_eq!(shown(&mut conversation)[0], "note 0");
    assert!(!conversation.jump(Step::Error, false, context));
}

#[test]
fn what_is_looked_for_is_found_row_by_row_and_round_the_end() {
    let theme = Theme::new(Background::Dark, Depth::None);
    let context =
        Context { columns: 40, theme: &theme, theme_number: 0, now_us: 0, show_reasoning: false };
    let mut conversation = Conversation::default();
    let long: String = (0..50).map(|line| format!("line {line}\n")).collect();
    conversation.note(NoteKind::Info, "the first Needle");
    conversation
        .note(NoteKind::Info, &long.replace("line 20", "needle a").replace("line 40", "needle b"));
    for number in 0..30 {
        conversation.note(NoteKind::Info, &format!("note {number}"));
    }
    let shown = |conversation: &mut Conversation| -> Vec<String> {
        conversation.visible(9, context).iter().map(|row| row.line.to_string()).collect()
    };
    shown(&mut conversation);
    for wanted in ["needle b", "needle a", "the first Needle", "needle b"] {
        assert!(conversation.find("NEEDLE", true, context));
        let shown = shown(&mut conversation);
        assert!(shown.iter().any(|row| row == wanted), "{wanted}: {shown:?}");
    }
    assert!(conversation.find("needle", false, context));
    assert!(shown(&mut conversation).iter().any(|row| row == "the first Needle"));
    assert!(!conversation.find("nowhere", true, context));
}

#[test]
fn a_jump_shows_what_it_chose_though_the_first_block_begins_above() {
    let theme = Theme::new(Background::Dark, Depth::None);
    let context =
        Context { columns: 40, theme: &theme, theme_number: 0, now_us: 0, show_reasoning: false };
    let mut conversation = Conversation::default();
    let long: String = (0..50).map(|line| format!("line {line}\n")).collect();
    conversation.note(NoteKind::Info, &long);
    for number in 0..30 {
        conversation.note(NoteKind::Info, &format!("note {number}"));
    }
    conversation.note(NoteKind::Error, "what failed");
    conversation.note(NoteKind::Info, &long);
    let shown = |conversation: &mut Conversation| -> Vec<String> {
        conversation.visible(9, context).iter().map(|row| row.line.to_string()).collect()
    };
    conversation.visible(9, context);
    conversation.go_to_start();
    // The end of the first block is in sight, and most of it is hidden above.
    conversation.down(45, context);
    assert_eq!(shown(&mut conversation)[0], "line 45");
    for _ in 0..2 {
        assert!(conversation.jump(Step::Error, false, context));
        let shown = shown(&mut conversation);
        assert!(shown.iter().any(|row| row == "what failed"), "{shown:?}");
        conversation.chosen = None;
        conversation.go_to_start();
        conversation.down(49, context);
    }
}

#[test]
fn what_is_being_marked_stands_still_and_the_end_is_followed_again() {
    let theme = Theme::new(Background::Dark, Depth::None);
    let context =
        Context { columns: 40, theme: &theme, theme_number: 0, now_us: 0, show_reasoning: false };
    let mut conversation = Conversation::default();
    let shown = |conversation: &mut Conversation| -> Vec<String> {
        conversation.visible(9, context).iter().map(|row| row.line.to_string()).collect()
    };
    for number in 0..30 {
        conversation.note(NoteKind::Info, &format!("note {number}"));
    }
    let before = shown(&mut conversation);
    conversation.hold(true);
    conversation.note(NoteKind::Info, "what comes");
    assert_eq!(shown(&mut conversation), before);
    conversation.hold(true);
    conversation.hold(false);
    assert_eq!(shown(&mut conversation).last().map(String::as_str), Some("what comes"));
    assert!(conversation.follows());
    // Whoever went elsewhere meanwhile stays there.
    conversation.hold(true);
    conversation.up(3, context);
    conversation.hold(false);
    assert!(!conversation.follows());
}
