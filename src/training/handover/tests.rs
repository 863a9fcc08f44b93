use serde_json::{Value, json};

use super::*;
use crate::data::{Preparation, prepare};
use crate::recipe::Method;

#[test]
fn what_is_handed_over_has_the_same_tokens_and_masks() {
    let within = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model");
    let rows = within.path().join("rows.jsonl");
    let row = |id: u32| json!({ "id": id, "input_ids": [5, id, 7], "labels": [5, -100, 7] });
    let lines: String = (6..16).map(|id| format!("{}\n", row(id))).collect();
    fs::write(&rows, lines).unwrap();
    let cache = within.path().join("cache");
    let preparation =
        Preparation { dataset: &rows, model: &model, template: None, vocab: 4096, cache: &cache };
    let dataset = prepare(&preparation, &mut |_| {}).unwrap();
    let split = dataset.split(0.2, 100, false).unwrap();
    let recipe = Recipe::new(&model, &rows, Method::Full);
    let folder = within.path().join("handed");
    write(&folder, &recipe, &dataset, &split).unwrap();
    let read = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!((read("train.jsonl").len(), read("held-out.jsonl").len()), (8, 2));
    for row in read("train.jsonl") {
        // Nothing stands before the first token.
        assert_eq!(row["labels"], json!([-100, -100, 7]));
        assert_eq!(row["input_ids"][1].to_string(), row["id"].as_str().unwrap());
    }
    let text = fs::read_to_string(folder.join("recipe.json")).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let about = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(
        about.contains("train.py --model FOLDER --out") && about.contains("holds model"),
        "{about}"
    );
    let error = write(&folder, &recipe, &dataset, &split).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
}
