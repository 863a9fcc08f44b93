use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn only_what_is_no_object_is_wrapped() {
    for (arguments, expected) in [
        (r#"{"a": 1}"#, None),
        (r#" {"a": 1, "a": [1e999]} "#, None),
        ("", Some("{}")),
        (" \n", Some("{}")),
        ("[1]", Some(r#"{"malformed":"[1]"}"#)),
        (r#"{"a":"#, Some(r#"{"malformed":"{\"a\":"}"#)),
        ("null", Some(r#"{"malformed":"null"}"#)),
    ] {
        assert_eq!(wrapped(arguments).as_deref(), expected, "{arguments}");
    }
}

proptest! {
    /// What goes back is always an object, and the text is in it.
    #[test]
    fn what_goes_back_is_an_object(arguments in ".*") {
        let back = wrapped(&arguments).unwrap_or_else(|| arguments.clone());
        let value: Value = serde_json::from_str(&back).unwrap();
        prop_assert!(value.is_object());
        if !arguments.trim().is_empty() && back != arguments {
            prop_assert_eq!(value["malformed"].as_str(), Some(arguments.as_str()));
        }
    }
}
