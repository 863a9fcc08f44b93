use crate::protocol::Command;
use crate::view::tests::Stage;

#[test]
fn the_prompt_keeps_a_row_however_many_wait() {
    for rows in 8..14 {
        let mut stage = Stage::new(40, rows);
        assert_eq!(stage.press("go<enter>"), Some(Command::Submit("go".into())));
        for prompt in ["one", "two", "three", "four", "five"] {
            stage.press(prompt);
            stage.press("<enter>");
        }
        stage.press("what I write");
        let text = stage.text();
        assert!(text.contains("waits  one") && text.contains("more\n"), "{text}");
        assert!(text.contains("❯ what I write"), "{text}");
    }
}
