use std::fs;
use std::path::{Path, PathBuf};

use chat::Tokenizer;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A dataset, a model's tokenizer, and a cache.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) -> PathBuf {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, lines).unwrap();
        path
    }

    fn prepare(&self, dataset: &Path) -> Result<Dataset, String> {
        self.prepare_for(dataset, &model())
    }

    fn prepare_for(&self, dataset: &Path, model: &Path) -> Result<Dataset, String> {
        let order = Preparation {
            dataset,
            model,
            template: Some(Path::new("chatml-tools")),
            vocab: 4_096,
            cache: &self.path("cache"),
        };
        prepare(&order, &mut |_| {}).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(&self, rows: &[Value], parts: &[&str]) {
        let error = self.prepare(&self.write("rows.jsonl", rows)).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    }
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model")
}

fn all(dataset: &Dataset) -> Vec<Sample> {
    dataset.entries().iter().map(|entry| dataset.sample(entry).unwrap()).collect()
}

/// The text of what is trained.
fn trained(sample: &Sample) -> String {
    let tokenizer = Tokenizer::of_model(&model()).unwrap();
    let words = sample.ids.iter().zip(&sample.trained).filter(|(_, trained)| **trained);
    let ids: Vec<u32> = words.map(|(id, _)| *id).collect();
    tokenizer.decode(&ids).unwrap()
}

fn talk() -> Value {
    json!([
        { "role": "user", "content": "List the files." },
        { "role": "assistant", "content": "I look.", "tool_calls": [{
            "id": "1", "type": "function",
            "function": { "name": "list", "arguments": "{\"path\": \".\"}" },
        }] },
        { "role": "tool", "tool_call_id": "1", "content": "a.txt" },
        { "role": "assistant", "content": "There is a.txt." },
    ])
}

fn tools() -> Value {
    json!([{ "type": "function", "function": {
        "name": "list", "description": "Lists a folder.",
        "parameters": { "type": "object", "properties": { "path": { "type": "string" } } },
    } }])
}

#[test]
fn of_a_conversation_exactly_what_the_model_wrote_is_trained() {
    let world = World::new();
    let path = world.write("rows.jsonl", &[json!({ "messages": talk(), "tools": tools() })]);
    let dataset = world.prepare(&path).unwrap();
    let [sample] = all(&dataset).try_into().unwrap();
    let text = trained(&sample);
    assert!(text.starts_with("I look."), "{text}");
    assert!(text.contains("\"name\": \"list\"") && !text.contains("a.txt<|im_end|>\n<|im_start|>"));
    assert!(text.ends_with("There is a.txt.<|im_end|>"), "{text}");
    assert!(!text.contains("List the files"), "{text}");
    assert_eq!(sample.id, "rows.jsonl:1");
    assert_eq!(dataset.entries()[0].trained, sample.trained.iter().filter(|it| **it).count());
}

#[test]
fn a_row_says_message_by_message_what_is_trained() {
    let world = World::new();
    let mut weighted = talk();
    weighted[1]["weight"] = json!(0);
    let rows = [
        json!({ "messages": talk(), "tools": tools(), "train": [false, false, false, true] }),
        json!({ "messages": weighted, "tools": tools() }),
        json!({ "prompt": talk().as_array().unwrap()[..3], "completion": [talk()[3]],
                "tools": tools().to_string() }),
    ];
    let samples = all(&world.prepare(&world.write("rows.jsonl", &rows)).unwrap());
    for sample in &samples {
        assert_eq!(trained(sample), "There is a.txt.<|im_end|>");
        assert_eq!(sample.ids, samples[0].ids);
    }
}

#[test]
fn tokens_come_as_they_are_with_labels_or_masks() {
    let world = World::new();
    let ids = json!([5, 6, 7, 8, 9]);
    let rows = [
        json!({ "input_ids": ids, "labels": [5, -100, 7, 8, -100] }),
        json!({ "input_ids": ids, "completion_mask": [0, 0, 1, 1, 0] }),
        json!({ "input_ids": ids, "assistant_masks": [1, 0, 1, 1, 1], "completion_mask": [1, 1, 1, 1, 0] }),
    ];
    let dataset = world.prepare(&world.write("rows.jsonl", &rows)).unwrap();
    for sample in all(&dataset) {
        assert_eq!(sample.ids, [5, 6, 7, 8, 9]);
        // Nothing stands before the first one.
        assert_eq!(sample.trained, [false, false, true, true, false]);
    }
    assert_eq!(dataset.template(), None);
}

#[test]
fn a_sample_of_152_000_tokens_is_one_sample() {
    let world = World::new();
    let ids: Vec<u32> = (0..152_000).map(|place| place % 400).collect();
    let labels: Vec<i64> = ids
        .iter()
        .enumerate()
        .map(|(place, id)| if place % 3 == 0 { i64::from(*id) } else { -100 })
        .collect();
    let path = world.write("rows.jsonl", &[json!({ "input_ids": ids, "labels": labels })]);
    let dataset = world.prepare(&path).unwrap();
    let [sample] = all(&dataset).try_into().unwrap();
    assert_eq!((sample.ids.len(), dataset.entries()[0].trained), (152_000, 50_666));
    assert_eq!(sample.ids, ids);
}

#[test]
fn what_is_in_the_cache_is_what_would_be_made_again() {
    let world = World::new();
    let path = world.write("rows.jsonl", &[json!({ "messages": talk(), "tools": tools() })]);
    let first = world.prepare(&path).unwrap();
    let before = fs::metadata(first.folder().join("index.json")).unwrap().modified().unwrap();
    let again = world.prepare(&path).unwrap();
    assert_eq!(again.key(), first.key());
    let after = fs::metadata(again.folder().join("index.json")).unwrap().modified().unwrap();
    assert_eq!(before, after, "it was not made a second time");
    fs::write(first.folder().join("tokens.bin"), "damaged").unwrap();
    assert!(Dataset::open(first.folder()).unwrap_err().to_string().contains("its cache is not"));
    assert_eq!(all(&world.prepare(&path).unwrap()).len(), 1);
    let more = world.write("rows.jsonl", &[json!({ "messages": talk() })]);
    assert_ne!(world.prepare(&more).unwrap().key(), first.key());
    let left = fs::read_dir(world.path("cache")).unwrap().count();
    assert_eq!(left, 2, "nothing half-made is left");
}

#[test]
fn a_line_that_cannot_be_trained_on_is_named() {
    let world = World::new();
    let good = json!({ "input_ids": [5, 6], "labels": [5, 6] });
    let second = |row: Value, parts: &[&str]| {
        world.refused(&[good.clone(), row], &[&["rows.jsonl:2: "], parts].concat());
    };
    second(json!({ "input_ids": [5, 6], "labels": [5] }), &["2 tokens and 1", "one for each"]);
    second(json!({ "input_ids": [5, 6], "labels": [6, 7] }), &["label 0 is 6", "not shifted"]);
    second(json!({ "input_ids": [5, -6], "labels": [5, 6] }), &["it is no row", "-6"]);
    second(json!({ "input_ids": [5, 9_999], "labels": [5, 9_999] }), &["9999", "4096"]);
    second(json!({ "input_ids": [5, 6], "labels": [5, -100] }), &["nothing of it is trained"]);
    second(json!({ "input_ids": [], "labels": [] }), &["nothing of it is trained"]);
    second(json!({ "input_ids": [5, 6] }), &["does not say which are trained"]);
    second(json!({ "messages": talk() }), &["the first row is tokens"]);
    second(json!([1]), &["it is no row"]);
    let talk_then = |row: Value, parts: &[&str]| {
        let first = json!({ "messages": talk(), "tools": tools() });
        world.refused(&[first, row], &[&["rows.jsonl:2: "], parts].concat());
    };
    talk_then(json!({ "conversations": [] }), &["ShareGPT", "docs/training.md"]);
    talk_then(json!({ "text": "hello" }), &["plain text"]);
    talk_then(json!({ "question": 1 }), &["neither `messages`"]);
    talk_then(json!({ "messages": "hello" }), &["a text"]);
    talk_then(json!({ "messages": [{ "content": "x" }] }), &["message 0 has no role"]);
    talk_then(json!({ "messages": talk(), "train": [true] }), &["`train`"]);
    talk_then(json!({ "messages": talk(), "tools": 3 }), &["`tools`"]);
    talk_then(json!({ "messages": [{ "role": "user", "content": "hi" }] }), &["nothing of it"]);
    let picture = json!([{ "role": "user", "content": [{ "type": "image", "image": "a.png" }] }]);
    talk_then(json!({ "messages": picture }), &["something other than text", "pictures"]);
    let mut call = talk();
    call[1]["tool_calls"][0]["function"]["arguments"] = json!("{");
    talk_then(json!({ "messages": call }), &["arguments that are no object"]);
    assert!(
        !world.path("cache").exists() || fs::read_dir(world.path("cache")).unwrap().count() == 0
    );
}

#[test]
fn a_line_without_end_is_not_held() {
    let world = World::new();
    let path = world.path("rows.jsonl");
    fs::write(&path, "x".repeat(lines::LINE_BYTES_MAX + 2)).unwrap();
    let error = world.prepare(&path).unwrap_err();
    assert!(error.contains("rows.jsonl:1: the line is longer than 64 MiB"), "{error}");
}

#[test]
fn a_dataset_without_rows_is_refused() {
    let world = World::new();
    world.refused(&[], &["rows.jsonl", "no sample to train", "export"]);
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(world.prepare(&empty).unwrap_err().contains("no rows as lines of JSON"));
    assert!(world.prepare(&world.path("missing")).unwrap_err().contains("missing"));
    let other = world.path("rows.csv");
    fs::write(&other, "a,b").unwrap();
    assert!(world.prepare(&other).unwrap_err().contains(".jsonl"));
    let only = world.write("held/test.jsonl", &[json!({ "input_ids": [5, 6], "labels": [5, 6] })]);
    assert!(world.prepare(only.parent().unwrap()).unwrap_err().contains("no sample to train"));
}

/// An export of ours, as `limn export` writes it.
fn export(world: &World, format: &str, target: &Value, rows: &[Value]) -> PathBuf {
    let name = format!("export/{format}.jsonl");
    let path = world.write(&name, rows);
    let blake3 = blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string();
    let manifest = json!({
        "format": format, "version": 2, "recipe": { "files": "jsonl" }, "target": target,
        "files": [
            { "name": "README.md", "blake3": "" },
            { "name": format!("{format}.jsonl"), "blake3": blake3 },
        ],
    });
    let folder = world.path("export");
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(folder.join("ledger.jsonl"), "no row").unwrap();
    folder
}

#[test]
fn an_export_of_ours_keeps_its_names_and_nothing_else_is_read() {
    let world = World::new();
    let session = "0199f0a0-0000-7000-8000-000000000001";
    let row = json!({
        "messages": talk(), "tools": tools(), "train": [false, true, false, true],
        "session": session, "sample": 2, "row": 1, "sampled_from": "model",
    });
    let dataset = world.prepare(&export(&world, "messages", &json!({}), &[row])).unwrap();
    let entry = &dataset.entries()[0];
    assert_eq!((entry.id.as_str(), entry.group.as_str()), (&*format!("{session}/2.1"), session));
    assert_eq!(dataset.files().len(), 1);
}

#[test]
fn an_export_that_was_changed_since_is_refused() {
    let world = World::new();
    let row = json!({ "messages": talk() });
    let folder = export(&world, "messages", &json!({}), std::slice::from_ref(&row));
    fs::write(folder.join("messages.jsonl"), format!("{row} \n")).unwrap();
    let error = world.prepare(&folder).unwrap_err();
    assert!(error.contains("messages.jsonl") && error.contains("not what was exported"), "{error}");
}

#[test]
fn tokens_of_another_model_are_refused() {
    let world = World::new();
    let row = json!({ "input_ids": [5, 6, 7], "labels": [-100, 6, 7] });
    let tokenizer = Tokenizer::of_model(&model()).unwrap().hash().to_owned();
    let dialect = chat::Dialect::open(&model(), Some(Path::new("chatml-tools"))).unwrap();
    let own = json!({ "tokenizer": tokenizer, "template": dialect.template().hash() });
    assert!(world.prepare(&export(&world, "tokens", &own, std::slice::from_ref(&row))).is_ok());
    for what in ["tokenizer", "template"] {
        let mut other = own.clone();
        other[what] = json!("another");
        let error = world
            .prepare(&export(&world, "tokens", &other, std::slice::from_ref(&row)))
            .unwrap_err();
        assert!(error.contains(&format!("another {what}")), "{error}");
        assert!(error.contains("--format tokens --tokenizer"), "{error}");
    }
}

#[test]
fn formats_that_do_not_say_enough_are_refused_with_one_that_does() {
    let world = World::new();
    let folder = export(&world, "sharegpt", &json!({}), &[json!({ "conversations": [] })]);
    let error = world.prepare(&folder).unwrap_err();
    assert!(error.contains("sharegpt") && error.contains("--format messages"), "{error}");
    let folder = export(&world, "messages", &json!({}), &[json!({ "messages": talk() })]);
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    manifest["recipe"]["files"] = json!("parquet");
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    assert!(world.prepare(&folder).unwrap_err().contains("--files jsonl"));
    manifest["recipe"]["files"] = json!("jsonl");
    manifest["files"] = json!([{ "name": "../../secret.jsonl" }]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    assert!(world.prepare(&folder).unwrap_err().contains("outside of it"));
}

#[test]
fn a_model_without_a_tokenizer_is_refused() {
    let world = World::new();
    let rows = world.write("rows.jsonl", &[json!({ "messages": talk() })]);
    let bare = world.path("bare");
    fs::create_dir(&bare).unwrap();
    let error = world.prepare_for(&rows, &bare).unwrap_err();
    assert!(error.contains("tokenizer.json") && error.contains("Name a folder"), "{error}");
}

fn rows(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let ids = vec![5; 4 + number];
            json!({ "input_ids": ids, "labels": ids, "id": format!("row {number}") })
        })
        .collect()
}

#[test]
fn a_part_that_is_held_out_stays_so() {
    let world = World::new();
    world.write("parts/messages-train.jsonl", &rows(9));
    world.write("parts/messages-test.jsonl", &rows(2));
    let dataset = world.prepare(&world.path("parts")).unwrap();
    let split = dataset.split(0.5, 1_000, false).unwrap();
    assert_eq!((split.train.len(), split.held_out.len()), (9, 2));
    let parts: Vec<Part> =
        split.held_out.iter().map(|it| dataset.part(&dataset.entries()[*it])).collect();
    assert_eq!(parts, [Part::HeldOut; 2]);
}

#[test]
fn a_share_is_held_out_where_the_dataset_has_no_part_for_it() {
    let world = World::new();
    let dataset = world.prepare(&world.write("rows.jsonl", &rows(40))).unwrap();
    let split = dataset.split(0.1, 1_000, false).unwrap();
    assert_eq!((split.train.len(), split.held_out.len()), (36, 4));
    assert_eq!(dataset.split(0.1, 1_000, false).unwrap(), split);
    assert_eq!(dataset.split(0.0, 1_000, false).unwrap().held_out, [0usize; 0]);
    let few = world.prepare(&world.write("few.jsonl", &rows(6))).unwrap();
    assert_eq!(few.split(0.01, 1_000, false).unwrap().held_out.len(), 1);
}

#[test]
fn rows_of_one_session_are_held_out_together() {
    let world = World::new();
    let row = |number: usize| {
        json!({ "input_ids": [5, 6], "labels": [5, 6], "session": format!("s{}", number / 4),
                "sample": number % 4 })
    };
    let all: Vec<Value> = (0..40).map(row).collect();
    let dataset = world.prepare(&world.write("rows.jsonl", &all)).unwrap();
    let split = dataset.split(0.2, 1_000, false).unwrap();
    assert_eq!(split.held_out.len(), 8);
    let groups: Vec<&str> =
        split.held_out.iter().map(|it| dataset.entries()[*it].group.as_str()).collect();
    assert!(split.train.iter().all(|it| !groups.contains(&dataset.entries()[*it].group.as_str())));
}

#[test]
fn a_sample_that_is_too_long_is_named_or_left_out_and_never_cut() {
    let world = World::new();
    let dataset = world.prepare(&world.write("rows.jsonl", &rows(10))).unwrap();
    let error = dataset.split(0.0, 11, false).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:9: sample row 8 has 12 tokens, and 11 fit"), "{error}");
    assert!(error.contains("--skip-longer"), "{error}");
    let split = dataset.split(0.0, 11, true).unwrap();
    assert_eq!((split.train.len(), split.skipped), (8, vec![8, 9]));
    let error = dataset.split(0.0, 1, true).unwrap_err().to_string();
    assert!(error.contains("no sample is left to train"), "{error}");
}
