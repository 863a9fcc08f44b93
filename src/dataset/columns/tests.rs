use std::fs::File;

use proptest::prelude::*;
use serde_json::json;

use super::{Columns, each_line};
use crate::export::Format;

fn round_trip(format: Format, lines: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut columns = Columns::new(File::create_new(&path).unwrap(), format).unwrap();
    lines.iter().for_each(|line| columns.put(line).unwrap());
    columns.finish().unwrap();
    let mut found = Vec::new();
    each_line(&path, format, &mut |line| {
        found.push(line);
        Ok(true)
    })
    .unwrap();
    found
}

proptest! {
    /// What is read is what was written, byte for byte, whatever the texts and however short the
    /// lists are.
    #[test]
    fn a_line_comes_back(
        rows in prop::collection::vec(
            (".*", prop::collection::vec(any::<bool>(), 0..4), ".*", any::<Option<String>>()),
            0..5,
        )
    ) {
        let line = |(said, train, session, model): &(String, Vec<bool>, String, Option<String>)| {
            let messages = json!([{ "role": "user", "content": said }]).to_string();
            format!(
                "{{\"messages\":{messages},\"tools\":[{{ \"a\":  1.0 }}],\"train\":{},\"session\":{},\
                 \"sample\":0,\"row\":7,\"sampled_from\":{}}}",
                json!(train), json!(session), json!(model),
            )
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        prop_assert_eq!(round_trip(Format::Messages, &lines), lines);
    }

    #[test]
    fn tokens_come_back(ids in prop::collection::vec(any::<u32>(), 0..50)) {
        let line = json!({
            "input_ids": ids, "labels": vec![-100; ids.len()], "session": "s", "sample": 1,
            "row": 0, "sampled_from": null, "replies": [{ "tokens": [0, 1] }],
        });
        let lines = [line.to_string()];
        prop_assert_eq!(round_trip(Format::Tokens, &lines), lines);
    }
}

#[test]
fn a_file_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    for bytes in [&b""[..], b"PAR1", b"PAR1xxxxxxxxxxxxPAR1", &[b'P'; 4096]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(each_line(&path, Format::Tokens, &mut |_| Ok(true)).is_err());
    }
}
