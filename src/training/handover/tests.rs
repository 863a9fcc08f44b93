use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::data::{Preparation, prepare};
use crate::recipe::{Lora, Method};

/// A test folder with a run handed over from it: ten rows of three tokens, of which two are held out.
fn handed(within: &Path, method: Method) -> (PathBuf, Recipe) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model");
    let rows = within.join("rows.jsonl");
    let row = |id: u32| json!({ "id": id, "input_ids": [5, id, 7], "labels": [5, -100, 7] });
    let lines: String = (6..16).map(|id| format!("{}\n", row(id))).collect();
    fs::write(&rows, lines).unwrap();
    let cache = within.join("cache");
    let preparation =
        Preparation { dataset: &rows, model: &model, template: None, vocab: 4096, cache: &cache };
    let dataset = prepare(&preparation, &mut |_| {}).unwrap();
    let split = dataset.split(0.2, 100, false).unwrap();
    let recipe = Recipe::new(&model, &rows, method);
    let folder = within.join("handed");
    write(&folder, &recipe, &dataset, &split).unwrap();
    let error = write(&folder, &recipe, &dataset, &split).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    (folder, recipe)
}

#[test]
fn what_is_handed_over_has_the_same_tokens_and_masks() {
    let within = tempfile::tempdir().unwrap();
    let (folder, recipe) = handed(within.path(), Method::Full);
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
}

/// slime in the place of slime: it asks for two samples, the last row and the first, and says what
/// it was given.
const ASKS: &str = r#"
import json, sys, types
sys.path.insert(0, sys.argv[1])
import slime_sft
sample = lambda row: types.SimpleNamespace(prompt=row)
prompts = [json.loads(line)["prompt"] for line in open(sys.argv[1] + "/slime.jsonl")]
buffer = types.SimpleNamespace(get_samples=lambda count: [[sample(prompts[-1])], [sample(prompts[0])]][:count])
groups = slime_sft.generate_rollout(types.SimpleNamespace(rollout_batch_size=2), 0, buffer)
print(json.dumps([vars(sample) for group in groups for sample in group]))
"#;

#[test]
fn slime_is_given_the_same_rows_and_asked_for_what_the_recipe_says() {
    let within = tempfile::tempdir().unwrap();
    let (folder, _) = handed(within.path(), Method::Full);
    // A `ray` that says its words.
    let ray = within.path().join("ray");
    fs::write(&ray, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    fs::set_permissions(&ray, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", within.path().display());
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PATH", &path).args(args);
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let at = folder.to_str().unwrap();
    let (given, error) = python(&["-c", ASKS, at]);
    let given: Vec<Value> = serde_json::from_str(&given).unwrap_or_else(|_| panic!("{error}"));
    let text = fs::read_to_string(folder.join("train.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((given.len(), rows.len()), (2, 8));
    for (sample, row) in given.iter().zip([&rows[7], &rows[0]]) {
        assert_eq!(sample["tokens"], row["input_ids"]);
        // Of these rows the last token alone is trained.
        assert_eq!((&sample["response_length"], &sample["loss_mask"]), (&json!(1), &json!([1])));
    }

    // What it submits, with a shape as slime's scripts set it.
    let shape = within.path().join("shape.sh");
    fs::write(&shape, "MODEL_ARGS=(--num-layers 4 --swiglu)\n").unwrap();
    let script = folder.join("slime_sft.py");
    let [script, shape] = [script.to_str().unwrap(), shape.to_str().unwrap()];
    let args = [
        script,
        "--slime",
        at,
        "--megatron",
        at,
        "--shape",
        shape,
        "--model",
        "m",
        "--load",
        "l",
        "--out",
        "o",
        "--context-parallel-size",
        "2",
    ];
    let (said, error) = python(&args);
    let words: Vec<&str> = said.lines().collect();
    assert_eq!(words.get(..2), Some(&["job", "submit"][..]), "{error}");
    let value = |name: &str| {
        let place = words.iter().position(|word| *word == name);
        place.map(|place| words[place + 1]).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    assert_eq!((value("--num-layers"), value("--context-parallel-size")), ("4", "2"));
    assert_eq!(value("--rollout-function-path"), "slime_sft.generate_rollout");
    assert_eq!((value("--loss-type"), value("--max-tokens-per-gpu")), ("sft_loss", "3"));
    assert!(value("--prompt-data").ends_with("handed/slime.jsonl"));
    assert_eq!(value("--global-batch-size"), value("--rollout-batch-size"));
    let (printed, _) = python(&[&args[..], &["--print"]].concat());
    assert!(printed.starts_with("bash -ec") && printed.contains("--loss-type sft_loss"));
}

#[test]
fn an_adapter_is_not_for_slime() {
    let within = tempfile::tempdir().unwrap();
    let (folder, _) = handed(within.path(), Method::Lora(Lora { rank: 8, alpha: 16 }));
    let mut command = Command::new("python3");
    command.arg(folder.join("slime_sft.py")).arg("--print");
    for name in ["--slime", "--megatron", "--shape", "--model", "--load", "--out"] {
        command.args([name, "x"]);
    }
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("--method full"), "{error}");
}
