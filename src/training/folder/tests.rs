use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::metrics::{Metric, Step, Writer};
use crate::order::Cursor;
use crate::recipe::Method;

fn recipe() -> Recipe {
    Recipe::new(Path::new("models/small"), Path::new("data"), Method::Full)
}

fn run(within: &tempfile::TempDir) -> Run {
    Run::create(&within.path().join("run"), &recipe()).unwrap()
}

fn facts(run: &Run, step: u64) -> CheckpointFacts {
    CheckpointFacts {
        step,
        cursor: Cursor { epoch: 0, step },
        recipe: run.recipe_hash().unwrap(),
        dataset: "key".to_owned(),
        ..CheckpointFacts::default()
    }
}

fn save(run: &Run, step: u64, keep: usize) -> PathBuf {
    let draft = run.begin_checkpoint(facts(run, step)).unwrap();
    fs::write(draft.path().join("model.safetensors"), format!("weights {step}")).unwrap();
    fs::create_dir(draft.path().join("optimizer")).unwrap();
    fs::write(draft.path().join("optimizer/state"), "state").unwrap();
    draft.finish(keep).unwrap().0
}

fn steps(run: &Run) -> Vec<u64> {
    run.checkpoints().iter().map(|checkpoint| checkpoint.facts.step).collect()
}

#[test]
fn a_run_is_made_once_and_opened_again() {
    let within = tempfile::tempdir().unwrap();
    let made = run(&within);
    assert_eq!(Run::open(made.folder()).unwrap().recipe().unwrap(), recipe());
    let error = Run::create(made.folder(), &recipe()).unwrap_err().to_string();
    assert!(error.contains("is there already") && error.contains("--out"), "{error}");
    let error = Run::open(within.path()).unwrap_err().to_string();
    assert!(error.contains("no recipe.json"), "{error}");
    let empty = within.path().join("empty");
    fs::create_dir(&empty).unwrap();
    Run::create(&empty, &recipe()).unwrap();
    let names: Vec<String> = sizes(within.path()).unwrap().into_keys().collect();
    assert_eq!(names, ["empty/recipe.json", "run/recipe.json"]);
}

#[test]
fn a_damaged_recipe_is_named() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    fs::write(run.folder().join("recipe.json"), "{\"model\": 3}").unwrap();
    let error = run.recipe().unwrap_err().to_string();
    assert!(error.contains("recipe.json is damaged"), "{error}");
}

#[test]
fn one_process_trains_at_a_time() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    assert_eq!(run.holder(), None);
    let lock = run.lock().unwrap();
    assert_eq!(run.holder(), Some(std::process::id()));
    let error = run.lock().unwrap_err().to_string();
    let pid = std::process::id().to_string();
    assert!(error.contains("is being trained") && error.contains(&pid), "{error}");
    drop(lock);
    // A child that another test is just starting may hold it a moment longer.
    let since = Instant::now();
    while run.holder().is_some() {
        assert!(since.elapsed() < Duration::from_secs(60), "it stays locked");
        std::thread::yield_now();
    }
    run.lock().unwrap();
}

#[test]
fn the_newest_checkpoints_are_kept() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    for step in [10, 20, 30] {
        let path = save(&run, step, 2);
        assert!(path.ends_with(format!("checkpoints/step-0000{step}")));
    }
    assert_eq!(steps(&run), [20, 30]);
    let newest = run.resume("key").unwrap().unwrap();
    assert_eq!(newest.facts.cursor, Cursor { epoch: 0, step: 30 });
    assert_eq!(newest.facts.files.len(), 2);
    assert_eq!(newest.facts.files["optimizer/state"], 5);
}

#[test]
fn a_checkpoint_that_was_not_finished_never_was() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    save(&run, 10, 2);
    let draft = run.begin_checkpoint(facts(&run, 20)).unwrap();
    fs::write(draft.path().join("model.safetensors"), "half").unwrap();
    // As a process that is killed leaves it.
    std::mem::forget(draft);
    assert_eq!(steps(&run), [10]);
    let _lock = run.lock().unwrap();
    let left: Vec<String> = sizes(run.folder()).unwrap().into_keys().collect();
    assert!(left.iter().all(|name| !name.contains(".making")), "{left:?}");
    assert_eq!(steps(&run), [10]);
}

#[test]
fn a_damaged_checkpoint_does_not_count_among_the_newest() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    save(&run, 10, 2);
    let damaged = save(&run, 20, 2);
    fs::write(damaged.join("model.safetensors"), "").unwrap();
    assert_eq!(run.resume("key").unwrap().unwrap().facts.step, 10);
    save(&run, 30, 1);
    assert_eq!(steps(&run), [30]);
    // The same step again, over the damaged one.
    save(&run, 20, 5);
    assert_eq!(steps(&run), [20, 30]);
}

#[test]
fn a_checkpoint_is_gone_on_with_under_its_own_recipe_and_dataset() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    assert_eq!(run.resume("key").unwrap(), None);
    save(&run, 10, 2);
    let error = run.resume("another").unwrap_err().to_string();
    assert!(error.contains("another dataset"), "{error}");
    let changed = serde_json::to_string(&Recipe { epochs: 9, ..recipe() }).unwrap();
    fs::write(run.folder().join("recipe.json"), changed).unwrap();
    let error = run.resume("key").unwrap_err().to_string();
    assert!(error.contains("another recipe"), "{error}");
}

#[test]
fn what_comes_of_a_run_is_replaced_whole() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    assert_eq!(run.final_folder(), None);
    for text in ["first", "second"] {
        let draft = run.begin_final().unwrap();
        fs::write(draft.path().join(text), text).unwrap();
        draft.finish().unwrap();
    }
    let names: Vec<String> = sizes(&run.final_folder().unwrap()).unwrap().into_keys().collect();
    assert_eq!(names, ["second"]);
}

#[test]
fn a_run_describes_itself() {
    let within = tempfile::tempdir().unwrap();
    let run = run(&within);
    assert_eq!(run.dataset().unwrap(), None);
    let facts =
        DatasetFacts { key: "key".to_owned(), samples: [8, 1, 0], ..DatasetFacts::default() };
    run.write_dataset(&facts).unwrap();
    assert_eq!(run.dataset().unwrap(), Some(facts));
    let mut writer = Writer::open(run.folder()).unwrap();
    for step in 1..=3 {
        let loss = 3.0 - step as f64 / 2.0;
        writer.add(Metric::Step(Step { step, loss, ..Step::default() })).unwrap();
    }
    run.describe().unwrap();
    let card = fs::read_to_string(run.folder().join(CARD)).unwrap();
    assert!(card.contains("| loss | 2.5000 | 1.5000 |"), "{card}");
    assert!(fs::read_to_string(run.folder().join(CURVES)).unwrap().contains("<polyline"));
}

#[test]
fn what_a_run_is_trained_on_is_found_again_or_made_again() {
    let within = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model");
    let rows = within.path().join("rows.jsonl");
    let line = |labels: &str| format!("{{\"input_ids\": [5, 6, 7], \"labels\": {labels}}}\n");
    fs::write(&rows, line("[5, 6, 7]").repeat(3)).unwrap();
    let recipe = Recipe::new(&model, &rows, Method::Full);
    let run = Run::create(&within.path().join("run"), &recipe).unwrap();
    let config = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "vocab_size": 4096,
        "num_hidden_layers": 1, "num_attention_heads": 4,
    });
    let shape = ModelShape::of_config(&config.to_string(), Path::new("config.json")).unwrap();
    let error = run.open_dataset(&shape).unwrap_err().to_string();
    assert!(error.contains("no dataset.json"), "{error}");
    let cache = within.path().join("cache");
    let preparation =
        Preparation { dataset: &rows, model: &model, template: None, vocab: 4096, cache: &cache };
    let dataset = data::prepare(&preparation, &mut |_| {}).unwrap();
    let split = dataset.split(0.0, 100, false).unwrap();
    run.write_dataset(&DatasetFacts::of(&dataset, &split)).unwrap();
    let key = |run: &Run| run.open_dataset(&shape).map(|(dataset, _)| dataset.key().to_owned());
    assert_eq!(key(&run).unwrap(), dataset.key());
    fs::remove_dir_all(&cache).unwrap();
    assert_eq!(key(&run).unwrap(), dataset.key());
    fs::write(&rows, line("[5, 6, -100]")).unwrap();
    assert_eq!(key(&run).unwrap(), dataset.key(), "the cache is what the run began with");
    fs::remove_dir_all(&cache).unwrap();
    let error = run.open_dataset(&shape).unwrap_err().to_string();
    assert!(error.contains("not what the run began with"), "{error}");
}
