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
