use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tch::{Device, Kind};
use training::recipe::Method;

use super::Opened;
use crate::goldens::Golden;
use crate::run::tests::{World, lora, train};
use crate::serve::options::Options;

fn open(target: &Path, more: &[&str]) -> Result<Opened, String> {
    let words = [target.as_os_str().to_owned()].into_iter();
    let words = words.chain(more.iter().map(OsString::from));
    let options = Options::read(words).unwrap();
    Opened::new(&options).map_err(|error| error.to_string())
}

fn names(opened: &Opened) -> Vec<(&str, usize)> {
    opened.models.iter().map(|(name, variant)| (name.as_str(), *variant)).collect()
}

fn told(result: Result<Opened, String>, parts: &[&str]) {
    let told = result.unwrap_err();
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
}

#[test]
fn a_model_is_served_under_the_name_of_its_folder_or_another() {
    let world = World::new("llama");
    let opened = open(&world.path("model"), &[]).unwrap();
    assert_eq!(names(&opened), [("model", 0)]);
    assert_eq!(opened.spoken, world.path("model"));
    let adapter = format!("mine={}", Golden::of("llama").folder.join("adapter").display());
    let more = ["--name", "base", "--adapter", &adapter, "--template", "chatml-tools"];
    let opened = open(&world.path("model"), &more).unwrap();
    assert_eq!(names(&opened), [("base", 0), ("mine", 1)]);
    assert_eq!(opened.adapters.len(), 1);
    assert_eq!(opened.template.as_deref(), Some(Path::new("chatml-tools")));
    let more = ["--name", "mine", "--adapter", &adapter];
    told(open(&world.path("model"), &more), &["mine", "two models"]);
    told(open(&world.path("absent"), &[]), &["absent"]);
    let adapter = Golden::of("llama").folder.join("adapter");
    told(open(&adapter, &[]), &["is an adapter", "--adapter"]);
}

#[test]
fn an_adapter_is_served_before_the_model_that_it_was_trained_beside() {
    let world = World::new("llama");
    let (one, two) =
        (world.ready("one", &world.recipe(lora())), world.ready("two", &world.recipe(lora())));
    told(open(&one, &[]), &["saved nothing yet", "limn train resume"]);
    train(&one).unwrap();
    train(&two).unwrap();
    let more = format!("other={}", two.display());
    let opened = open(&one, &["--adapter", &more]).unwrap();
    assert_eq!(names(&opened), [("one", 1), ("model", 0), ("other", 2)]);
    assert_eq!((opened.adapters.len(), opened.notices.len()), (2, 0));
    // One that reads conversations in another form, unless all are to be spoken to in one.
    let path = two.join("recipe.json");
    let written = fs::read_to_string(&path).unwrap();
    let mut recipe: serde_json::Value = serde_json::from_str(&written).unwrap();
    recipe["template"] = "chatml-tools".into();
    fs::write(&path, recipe.to_string()).unwrap();
    told(open(&one, &["--adapter", &more]), &["another chat template", "--template"]);
    open(&one, &["--adapter", &more, "--template", "chatml-tools"]).unwrap();
    fs::write(&path, written).unwrap();
    // One that was trained beside another model, be it of the same shape.
    let elsewhere = World::new("llama");
    told(
        open(&elsewhere.path("model"), &["--adapter", &more]),
        &["was trained beside", "Serve it by itself"],
    );
    // What came of it is an adapter and no model.
    told(open(&one.join("final"), &[]), &["is an adapter"]);
    // While it is trained its newest checkpoint is served.
    fs::remove_dir_all(one.join("final")).unwrap();
    let opened = open(&one, &[]).unwrap();
    assert_eq!(names(&opened), [("one", 1), ("model", 0)]);
    assert!(opened.notices[0].contains("checkpoint of step 24"), "{:?}", opened.notices);
}

#[test]
fn all_weights_are_served_as_they_were_trained() {
    let world = World::new("qwen2");
    let run = world.ready("full", &world.recipe(Method::Full));
    train(&run).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let weight = |opened: &Opened| opened.weights.take(name, Kind::Float, Device::Cpu).unwrap();
    let finished = open(&run, &[]).unwrap();
    assert_eq!(names(&finished), [("full", 0)]);
    assert!(weight(&finished) != weight(&open(&world.path("model"), &[]).unwrap()));
    let more = format!("other={}", run.display());
    told(open(&world.path("model"), &["--adapter", &more]), &["has no adapter"]);
    fs::remove_dir_all(run.join("final")).unwrap();
    let saved = open(&run, &[]).unwrap();
    assert!(weight(&saved) == weight(&finished), "the last checkpoint is of the last step");
    assert!(saved.notices[0].contains("not finished"), "{:?}", saved.notices);
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    told(open(&run, &[]), &["saved nothing yet"]);
}
