//! Rows of the `messages` format, without a store. (Whole exports are stories of the built
//! program, in `tests/scenarios/export.rs`.)

use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::{LossReason, Message, Sample, SampleMessage, Span, SpanPart, ToolCallMessage};

use crate::ledger::Ledger;
use crate::messages;

fn reply(content: Option<&str>, arguments: &[&str], untrained: &[Option<LossReason>]) -> Sample {
    let tool_calls = arguments
        .iter()
        .map(|raw| ToolCallMessage::function("c".into(), "t".into(), (*raw).to_owned()))
        .collect();
    let message = Message::Assistant {
        content: content.map(str::to_owned),
        reasoning_content: None,
        reasoning: Some("why".into()),
        reasoning_details: None,
        tool_calls,
    };
    let spans = untrained
        .iter()
        .enumerate()
        .map(|(place, untrained)| Span { part: SpanPart::ToolCall(place), untrained: *untrained })
        .collect();
    let messages = vec![SampleMessage { message, spans, seqs: vec![0], request: Some(1) }];
    Sample { model: None, tools: Vec::new(), messages }
}

fn row(sample: &Sample) -> (Value, Ledger) {
    let mut ledger = Ledger::default();
    let line = messages::row("s", 0, sample, &mut ledger).unwrap();
    assert!(!line.contains('\n'));
    (serde_json::from_str(&line).unwrap(), ledger)
}

#[test]
fn absent_content_is_null_and_empty_content_is_empty() {
    let (absent, _) = row(&reply(None, &["{}"], &[None]));
    assert_eq!(absent["messages"][0]["content"], Value::Null);
    let (empty, _) = row(&reply(Some(""), &["{}"], &[None]));
    assert_eq!(empty["messages"][0]["content"], "");
    assert_eq!(empty["messages"][0]["reasoning_content"], "why");
}

#[test]
fn a_message_is_trained_whole_or_not_at_all_and_the_ledger_says_what_that_costs() {
    let (whole, ledger) = row(&reply(None, &["{}", "{}"], &[None, None]));
    assert_eq!(whole["train"], json!([true]));
    assert!(!ledger.lost.contains_key("trainable_parts_beside_untrained_ones"), "{ledger:?}");
    let mut ledger = Ledger::default();
    let partly = reply(None, &["{}", "{}"], &[None, Some(LossReason::Denied)]);
    assert_eq!(messages::row("s", 0, &partly, &mut ledger), None);
    assert_eq!(ledger.lost["trainable_parts_beside_untrained_ones"].count, 1);
    assert_eq!(ledger.lost["samples_without_a_trained_message"].count, 1);
    assert_eq!(ledger.untrained["denied"], 1);
}

#[test]
fn malformed_arguments_stay_an_object() {
    let (row, ledger) = row(&reply(None, &["{oops", "[1]", ""], &[None, None, None]));
    let arguments =
        |place: usize| &row["messages"][0]["tool_calls"][place]["function"]["arguments"];
    assert_eq!(arguments(0), &json!({"_malformed": "{oops"}));
    assert_eq!(arguments(1), &json!({"_malformed": "[1]"}));
    assert_eq!(arguments(2), &json!({}));
    assert_eq!(ledger.lost["malformed_arguments"].count, 2);
}

#[test]
fn arguments_keep_the_spelling_of_the_model() {
    let raw = r#"{ "n": 10000000000000000000000001,  "s": "\u0068i" }"#;
    let mut ledger = Ledger::default();
    let line = messages::row("s", 0, &reply(None, &[raw], &[None]), &mut ledger).unwrap();
    assert!(line.contains(raw), "{line}");
    assert!(!ledger.lost.contains_key("argument_spelling"));
    let (_, ledger) = row(&reply(None, &["{\n}"], &[None]));
    assert_eq!(ledger.lost["argument_spelling"].count, 1);
}

proptest! {
    /// Whatever a model sends as arguments, the row is valid JSON whose arguments are an object,
    /// and an object comes through with the same values.
    #[test]
    fn arguments_are_always_an_object(raw in prop_oneof![
        ".*",
        "\\{\"[a-z\"\\\\]{0,8}\": ?[0-9]{1,20}(\\.[0-9]{1,20})?\\}",
    ]) {
        let (row, _) = row(&reply(None, &[&raw], &[None]));
        let arguments = &row["messages"][0]["tool_calls"][0]["function"]["arguments"];
        prop_assert!(arguments.is_object());
        if let Ok(object @ Value::Object(_)) = serde_json::from_str::<Value>(&raw) {
            prop_assert_eq!(arguments, &object);
        }
    }
}
