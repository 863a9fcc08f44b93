use serde_json::{Value, json};
use trajectory::{Message, Sample, SampleMessage, ToolCallMessage};

use super::{Draft, Trainer};
use crate::ledger::Ledger;
use crate::messages::Train;

const ARGUMENTS: &str = "{ \"n\":  1.50 }";

/// Two replies, the first of which thinks and calls.
fn formed(trainer: Trainer, train: [bool; 4]) -> (Option<Value>, Ledger) {
    let call = ToolCallMessage::function("c".into(), "t".into(), ARGUMENTS.into());
    let mut first = Message::empty_assistant();
    if let Message::Assistant { tool_calls, .. } = &mut first {
        tool_calls.push(call);
    }
    let user = Message::User { content: "u".into(), attachments: Vec::new() };
    let tool = Message::Tool { tool_call_id: "c".into(), content: "r".into() };
    let sampled = [user, first, tool, Message::empty_assistant()].map(|message| SampleMessage {
        message,
        spans: Vec::new(),
        seqs: Vec::new(),
        request: None,
    });
    let sample = Sample { model: None, tools: Vec::new(), messages: sampled.into() };
    let call =
        json!({"id": "c", "type": "function", "function": {"name": "t", "arguments": {"n": 1.5}}});
    let draft = Draft {
        sample: &sample,
        messages: vec![
            json!({"role": "user", "content": "u"}),
            json!({"role": "assistant", "content": null, "reasoning_content": "why", "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "c", "content": "r"}),
            json!({"role": "assistant", "content": "done"}),
        ],
        tools: vec![json!({"type": "function"})],
        train: train.map(|train| if train { Train::Everything } else { Train::Nothing }).into(),
        origin: json!({"session": "s"}),
    };
    let mut ledger = Ledger::default();
    (trainer.form(draft, &mut ledger), ledger)
}

const SECOND_ONLY: [bool; 4] = [false, false, false, true];
const BOTH: [bool; 4] = [false, true, false, true];

#[test]
fn every_form_marks_what_is_trained_where_its_trainer_looks() {
    for (trainer, key, no, yes) in [
        (Trainer::Openai, "weight", json!(0), json!(1)),
        (Trainer::Axolotl, "train", json!(false), json!(true)),
        (Trainer::Slime, "step_loss_mask", json!(0), json!(1)),
    ] {
        let (row, _) = formed(trainer, SECOND_ONLY);
        let messages = row.unwrap()["messages"].clone();
        let marks: Vec<Option<&Value>> = (0..4).map(|place| messages[place].get(key)).collect();
        assert_eq!(marks, [None, Some(&no), None, Some(&yes)], "{trainer:?}");
    }
}

#[test]
fn openai_has_arguments_as_the_model_wrote_them_and_no_key_of_ours() {
    let (row, ledger) = formed(Trainer::Openai, BOTH);
    let row = row.unwrap();
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["messages", "tools"]);
    assert_eq!(row["messages"][1]["tool_calls"][0]["function"]["arguments"], ARGUMENTS);
    assert_eq!((ledger.lost["reasoning"].count, ledger.lost["origins"].count), (1, 1));
    assert!(!ledger.lost.contains_key("argument_spelling"));
}

#[test]
fn axolotl_and_slime_keep_reasoning_objects_and_origin() {
    for trainer in [Trainer::Axolotl, Trainer::Slime] {
        let (row, ledger) = formed(trainer, BOTH);
        let row = row.unwrap();
        assert_eq!(row["messages"][1]["reasoning_content"], "why");
        assert_eq!(row["messages"][1]["tool_calls"][0]["function"]["arguments"]["n"], 1.5);
        assert_eq!(row["origin"]["session"], "s");
        let lost: Vec<&String> = ledger.lost.keys().collect();
        assert_eq!(lost, ["argument_spelling"]);
        assert_eq!(ledger.lost["argument_spelling"].count, 1);
    }
}

#[test]
fn limi_leaves_out_a_row_of_which_not_every_reply_may_be_trained() {
    let (row, ledger) = formed(Trainer::Limi, SECOND_ONLY);
    assert_eq!((row, ledger.lost["rows_with_an_untrained_reply"].count), (None, 1));
    assert!(!ledger.lost.contains_key("argument_spelling"));
    let (row, ledger) = formed(Trainer::Limi, BOTH);
    assert!(row.unwrap()["messages"][1].get("reasoning_content").is_none());
    assert_eq!((ledger.lost["reasoning"].count, ledger.lost["origins"].count), (1, 1));
}
