//! Whatever a model sends is read or explained.

use proptest::prelude::*;
use serde_json::json;
use trajectory::ToolEffect;

use super::*;
use crate::{edit, schema};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z_]{1,12}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_arguments_panic_and_each_error_names_the_shape(
        known in proptest::collection::hash_map(
            proptest::sample::select(vec!["file_path", "old_string", "new_string", "replace_all", "x"]),
            json_value(), 0..5,
        ),
        cut in 0_usize..200,
    ) {
        let spec = schema::spec::<edit::Input>("edit", ToolEffect::Writes);
        let mut text = json!(known).to_string();
        text.truncate(text.floor_char_boundary(cut));
        match parse::<edit::Input>(&spec, &text) {
            Ok(input) => {
                let sent: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&sent["file_path"], &input.file_path);
            }
            Err(told) => prop_assert!(told.contains("Expected: {\"file_path\": string"), "{}", told),
        }
    }
}
