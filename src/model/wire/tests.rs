use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A value as servers write it where a string should be.
fn loose() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,6}".prop_map(Value::from),
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
    ]
}

fn call_delta() -> impl Strategy<Value = Value> {
    let arguments = prop_oneof![loose(), Just(json!({"a": [1.5, null, "x"]})), Just(json!([]))];
    (proptest::option::of(any::<u32>()), loose(), loose(), arguments).prop_map(
        |(index, id, name, arguments)| {
            json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
        },
    )
}

fn delta() -> impl Strategy<Value = Value> {
    let calls = proptest::option::of(proptest::collection::vec(call_delta(), 0..3));
    (loose(), loose(), loose(), calls).prop_map(|(content, thought, refusal, calls)| {
        json!({"content": content, "reasoning_content": thought, "reasoning": content,
               "refusal": refusal, "tool_calls": calls, "else": {"a": [1, 2]}})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the fast reading takes, the tolerant one takes as the same.
    #[test]
    fn both_readings_agree(
        (delta, names) in (proptest::option::of(delta()), [loose(), loose(), loose()]),
        (index, usage) in (proptest::option::of(any::<u32>()), proptest::option::of(loose())),
        pretty: bool,
    ) {
        let [id, model, finish] = names;
        let choice = json!({"index": index, "delta": delta, "finish_reason": finish});
        let chunk = json!({"id": id, "model": model, "choices": [choice, {"message": delta}, {}],
                           "usage": usage, "error": null});
        let line = if pretty { format!(" {chunk:#} ") } else { chunk.to_string() };
        let fast: Chunk<'_> = serde_json::from_str(&line).unwrap();
        let (tolerant, is_whole) = read_tolerantly(&line).unwrap();
        prop_assert!(is_whole);
        prop_assert_eq!(format!("{fast:?}"), format!("{tolerant:?}"));
    }
}

#[test]
fn only_objects_are_read() {
    for line in ["", "null", "7", "[{}]", "\"{}\"", "{", "{}}", r#"{"a":"\ux"}"#] {
        assert!(read_tolerantly(line).is_none(), "{line}");
    }
}

#[test]
fn of_a_key_that_stands_twice_the_last_value_counts() {
    let (chunk, is_whole) = read_tolerantly(r#"{"id":"a","id":"b"}"#).unwrap();
    assert!(is_whole);
    assert_eq!(chunk.id.text(), Some("b"));
}

#[test]
fn depth_is_no_danger() {
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let line = format!(
        r#"{{"x":{deep},"choices":[{{"delta":{{"content":{deep},"tool_calls":[
            {{"index":-1,"function":{{"arguments":{deep}}}}}]}}}}]}}"#
    );
    let (chunk, is_whole) = read_tolerantly(&line).unwrap();
    assert!(!is_whole);
    assert_eq!(chunk.choices.unwrap().len(), 1);
}
