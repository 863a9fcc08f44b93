use proptest::prelude::*;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::Span;

use super::*;

fn line() -> impl Strategy<Value = Line<'static>> {
    let text = prop_oneof!["[ -~─│╿]{0,9}", "[a漢é\u{301}🦀\u{200d}\t─]{0,5}", "\\PC{0,4}"];
    let span = (text, 0..4_u8)
        .prop_map(|(text, colour)| Span::styled(text, Style::new().fg(Color::Indexed(colour))));
    let spans = prop::collection::vec(span, 0..5);
    spans.prop_map(|spans| Line::from(spans).style(Style::new().bg(Color::Blue)))
}

proptest! {
    #[test]
    fn a_line_is_written_as_the_library_writes_it(line in line(), x in 0..24_u16, columns in 0..30_u16) {
        let blank = Buffer::empty(Rect::new(0, 0, 24, 2));
        let (mut ours, mut theirs) = (blank.clone(), blank);
        put(&mut ours, (x, 1), &line, columns);
        theirs.set_line(x, 1, &line, columns);
        prop_assert_eq!(ours, theirs);
    }
}
