use proptest::prelude::*;

use super::{Ids, SessionForm, arguments};

#[test]
fn ids_of_calls_are_the_providers_where_no_two_share_one() {
    let mut ids = Ids::default();
    assert_eq!(ids.of(1, "call_0"), "call_0");
    assert_eq!(ids.of(2, "call_0"), "limn-call-2");
    assert_eq!(ids.of(3, ""), "limn-call-3");
    assert_eq!(ids.get(2).unwrap(), "limn-call-2");
}

#[test]
fn a_file_that_is_not_sound_is_refused() {
    let check = |form: SessionForm, text: &str, words: &str| {
        let error = form.read(text).unwrap_err();
        assert!(error.contains(words), "{error}: {text}");
    };
    let atif = |steps: &str| {
        format!(
            "{{\"schema_version\":\"ATIF-v1.8\",\"agent\":{{\"version\":\"0\"}},\"steps\":[{steps}]}}"
        )
    };
    check(SessionForm::Atif, "{}", "what it is");
    check(SessionForm::Atif, &atif("{\"step_id\":2}"), "another number");
    let user = "{\"step_id\":1,\"source\":\"user\",\"reasoning_content\":\"x\"}";
    check(SessionForm::Atif, &atif(user), "only the model");
    let result = "{\"step_id\":1,\"source\":\"agent\",\"observation\":{\"results\":[{\"source_call_id\":\"x\"}]}}";
    check(SessionForm::Atif, &atif(result), "without its call");
    check(SessionForm::Traces, "{\"type\":\"message\"}", "no session");
    let orphan = "{\"type\":\"session\"}\n{\"type\":\"message\",\"message\":{\"role\":\"tool\",\"content\":\"\",\"toolCallId\":\"x\"}}";
    check(SessionForm::Traces, orphan, "without its call");
}

proptest! {
    /// Whatever a model sends, it is an object in the end, and an object is itself.
    #[test]
    fn arguments_are_an_object(raw in prop_oneof![".*", "\\{\"[a-z]{1,4}\": ?[0-9]{1,6}\\}"]) {
        let value = arguments(&raw);
        prop_assert!(value.is_object());
        if let Ok(object @ serde_json::Value::Object(_)) = serde_json::from_str(&raw) {
            prop_assert_eq!(value, object);
        }
    }
}
