//! Rows of the `messages` format, without a store. (Whole exports are stories of the built
//! program, in `tests/scenarios/export.rs`.)

use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::event::{Attachment, Reasoning, ReasoningField, ReasoningForm};
use trajectory::{LossReason, Message, Sample, SampleMessage, Span, SpanPart, ToolCallMessage};

use crate::export::{Format, agrees};
use crate::images::Placed;
use crate::ledger::Ledger;
use crate::messages::{self, Thoughts};
use crate::stats::RowFacts;
use crate::targets::Trainer;

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

/// The row of a sample without images.
fn line(sample: &Sample, thoughts: &[Reasoning], ledger: &mut Ledger) -> Option<String> {
    let mut by_request = Thoughts::new();
    for thought in thoughts {
        by_request.entry(thought.request).or_default().push(thought);
    }
    let mut place = |_: &Attachment, _: &mut Ledger| Ok(Placed::Missing);
    messages::row(("s", 0, 0), sample, None, &by_request, &mut place, ledger).unwrap()
}

fn row(sample: &Sample) -> (Value, Ledger) {
    let mut ledger = Ledger::default();
    let line = line(sample, &[], &mut ledger).unwrap();
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
    assert_eq!(line(&partly, &[], &mut ledger), None);
    assert_eq!(ledger.lost["trainable_parts_beside_untrained_ones"].count, 1);
    assert_eq!(ledger.lost["samples_without_a_trained_message"].count, 1);
    assert_eq!(ledger.untrained["denied"], 1);
    assert!(ledger.kept.is_empty(), "{ledger:?}");
}

#[test]
fn axolotl_trains_the_text_of_a_reply_whose_calls_must_not_be() {
    let denied = Some(LossReason::Denied);
    // The text, then two calls: what may be trained of them, whether there is a thought, for whom.
    let of = |calls: [Option<LossReason>; 2], thinks: bool, trainer| {
        let mut sample = reply(Some("Été: look"), &["{}", "{}"], &calls);
        let message = &mut sample.messages[0];
        message.spans.insert(0, Span { part: SpanPart::Content, untrained: None });
        let Message::Assistant { reasoning, .. } = &mut message.message else { unreachable!() };
        if !thinks {
            *reasoning = None;
        }
        let mut place = |_: &Attachment, _: &mut Ledger| Ok(Placed::Missing);
        let (mut ledger, thoughts) = (Ledger::default(), Thoughts::new());
        let place = &mut place;
        let line = messages::row(("s", 0, 0), &sample, trainer, &thoughts, place, &mut ledger);
        let row = line.unwrap().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        (row.map(|row| row["messages"][0].clone()), ledger)
    };
    let axolotl = Some(Trainer::Axolotl);
    let (message, ledger) = of([None, denied], false, axolotl);
    let message = message.unwrap();
    let detail = json!([{"begin_offset": 0, "end_offset": 8, "train": true}]);
    assert_eq!((&message["train"], &message["train_detail"]), (&json!(true), &detail));
    assert_eq!(ledger.lost["trainable_parts_beside_untrained_ones"].count, 1, "the other call");
    assert_eq!(ledger.lost["ends_of_replies_trained_in_part"].count, 1);
    assert_eq!((ledger.kept["trained_messages"], ledger.kept["trained_texts"]), (1, 1));
    // One that may be trained whole needs no detail, and a thought cannot be told from the text.
    let (whole, _) = of([None, None], true, axolotl);
    assert_eq!(whole.unwrap().get("train_detail"), None);
    assert_eq!(of([None, denied], true, axolotl).0, None);
    assert_eq!(of([None, denied], false, Some(Trainer::Slime)).0, None);
    assert_eq!(of([None, denied], false, None).0, None);
}

#[test]
fn malformed_arguments_stay_an_object() {
    let (row, _) = row(&reply(None, &["{oops", "[1]", ""], &[None, None, None]));
    let arguments =
        |place: usize| &row["messages"][0]["tool_calls"][place]["function"]["arguments"];
    assert_eq!(arguments(0), &json!({"malformed": "{oops"}));
    assert_eq!(arguments(1), &json!({"malformed": "[1]"}));
    assert_eq!(arguments(2), &json!({}));
}

#[test]
fn arguments_keep_the_spelling_of_the_model() {
    let raw = r#"{ "n": 10000000000000000000000001,  "s": "\u0068i" }"#;
    let mut ledger = Ledger::default();
    let line = line(&reply(None, &[raw], &[None]), &[], &mut ledger).unwrap();
    assert!(line.contains(raw), "{line}");
    assert!(!ledger.lost.contains_key("argument_spelling"));
    let (_, ledger) = row(&reply(None, &["{\n}"], &[None]));
    assert_eq!(ledger.lost["argument_spelling"].count, 1);
}

#[test]
fn an_export_that_is_not_what_its_ledger_counts_is_found_out() {
    let row = RowFacts { tokens: 9, trained: 4, replies: 2, steps: 2 };
    let mut ledger = Ledger::default();
    for (what, count) in [("rows", 1), ("trained_replies", 2), ("tokens", 9), ("trained_tokens", 4)]
    {
        ledger.kept.insert(what.to_owned(), count);
    }
    agrees(Format::Tokens, &[row], &ledger).unwrap();
    ledger.kept.insert("trained_tokens".to_owned(), 5);
    let error = agrees(Format::Tokens, &[row], &ledger).unwrap_err().to_string();
    assert!(error.contains("4 trained_tokens") && error.contains("counts 5"), "{error}");
    assert!(agrees(Format::Messages, &[row], &ledger).is_err());
}

fn thought(text: &str, field: ReasoningField) -> Reasoning {
    Reasoning {
        request: 1,
        text: text.to_owned(),
        form: ReasoningForm::Full,
        field,
        signature: None,
        interrupted: false,
    }
}

/// A reply that is only text.
fn saying(content: &str) -> Sample {
    let mut sample = reply(Some(content), &[], &[None]);
    if let Message::Assistant { reasoning, .. } = &mut sample.messages[0].message {
        *reasoning = None;
    }
    sample
}

#[test]
fn reasoning_inside_the_text_is_told_apart_to_the_byte() {
    let cases = [
        ("<think>\n a </th\n</think>\n\nb", ReasoningField::Think, "\n a </th\n"),
        ("a</think>b </think>", ReasoningField::ThinkOpened, "a"),
        ("<think></think>", ReasoningField::Think, ""),
    ];
    for (content, field, text) in cases {
        let mut ledger = Ledger::default();
        let line = line(&saying(content), &[thought(text, field)], &mut ledger).unwrap();
        let row: Value = serde_json::from_str(&line).unwrap();
        let message = &row["messages"][0];
        assert_eq!(message["reasoning_content"], text);
        let opening = if field == ReasoningField::Think { "<think>" } else { "" };
        let rest = message["content"].as_str().unwrap();
        assert_eq!(format!("{opening}{text}</think>{rest}"), content);
        assert_eq!(ledger.lost["inline_reasoning"].count, 1);
    }
}

#[test]
fn tags_that_are_text_stay_text() {
    let content = "<think>is a tag</think> in HTML";
    let (row, ledger) = row(&saying(content));
    assert_eq!(row["messages"][0]["content"], content);
    assert!(row["messages"][0].get("reasoning_content").is_none(), "{row}");
    assert!(!ledger.lost.contains_key("inline_reasoning"));
    // So does reasoning in the middle: to take it out would change what was written.
    let mut ledger = Ledger::default();
    let content = "Well. <think>so</think> Yes.";
    let thoughts = [thought("so", ReasoningField::Think)];
    let line = line(&saying(content), &thoughts, &mut ledger).unwrap();
    assert!(line.contains(content), "{line}");
    assert_eq!(ledger.lost["inline_reasoning_in_the_middle"].count, 1);
}

proptest! {
    /// Whatever a model thinks and says, taking the two apart loses no byte of either.
    #[test]
    fn taking_reasoning_out_loses_nothing(text in ".*", rest in ".*", opened in any::<bool>()) {
        let field = if opened { ReasoningField::ThinkOpened } else { ReasoningField::Think };
        let opening = if opened { "" } else { "<think>" };
        let content = format!("{opening}{text}</think>{rest}");
        let mut ledger = Ledger::default();
        let line = line(&saying(&content), &[thought(&text, field)], &mut ledger).unwrap();
        let row: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(row["messages"][0]["reasoning_content"].as_str(), Some(text.as_str()));
        prop_assert_eq!(row["messages"][0]["content"].as_str(), Some(rest.as_str()));
    }

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
