use proptest::prelude::*;
use trajectory::{LossReason, Message, Sample, SampleMessage, Span, SpanPart};

use super::Rows;

/// A sample from letters: `u`ser, `t`ool, a reply that is trained (`a`) or not (`x`).
fn sample(letters: &str) -> Sample {
    let message = |letter: char| match letter {
        'u' => Message::User { content: "u".into(), attachments: Vec::new() },
        't' => Message::Tool { tool_call_id: "c".into(), content: "r".into() },
        _ => Message::empty_assistant(),
    };
    let spans = |letter: char| match letter {
        'a' => vec![Span { part: SpanPart::Content, untrained: None }],
        'x' => vec![Span { part: SpanPart::Content, untrained: Some(LossReason::Denied) }],
        _ => Vec::new(),
    };
    let messages = letters.chars().enumerate().map(|(place, letter)| SampleMessage {
        message: message(letter),
        spans: spans(letter),
        seqs: vec![place as u64],
        request: None,
    });
    Sample { model: None, tools: Vec::new(), messages: messages.collect() }
}

/// A row as letters; what is context in it is `x`.
fn letters(row: &Sample) -> String {
    let letter = |message: &SampleMessage| match &message.message {
        Message::User { .. } => 'u',
        Message::Tool { .. } => 't',
        _ if message.is_trained() => 'a',
        _ => 'x',
    };
    row.messages.iter().map(letter).collect()
}

#[test]
fn a_row_is_what_the_model_did_after_the_user_spoke() {
    let check = |whole: &str, expected: &[&str]| {
        let rows: Vec<String> = Rows::Round.of(&sample(whole)).iter().map(letters).collect();
        assert_eq!(rows, expected, "{whole}");
    };
    check("uatata", &["uatata"]);
    check("uataua", &["uata", "uxtxua"]);
    check("uatuata", &["ua", "uxtuata"]);
    check("uaxuxua", &["ua", "uxxuxua"]);
    check("ux", &[]);
}

proptest! {
    /// Every reply that is trained in a sample is trained in exactly one of its rows, and every row
    /// begins as the sample does.
    #[test]
    fn a_reply_is_trained_once(whole in "[utax]{0,30}") {
        let sample = sample(&whole);
        let mut trained = Vec::new();
        for row in Rows::Round.of(&sample) {
            for (place, message) in row.messages.iter().enumerate() {
                prop_assert_eq!(&message.message, &sample.messages[place].message);
                if message.is_trained() {
                    trained.push(place);
                }
            }
            prop_assert!(row.messages.last().is_some_and(SampleMessage::is_trained));
        }
        let expected: Vec<usize> = whole.match_indices('a').map(|(place, _)| place).collect();
        prop_assert_eq!(trained, expected);
    }
}
