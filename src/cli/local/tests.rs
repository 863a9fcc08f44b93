//! What is listed, and how it is called. (Servers and whole programs are stories, in
//! `tests/scenarios/local_models.rs`.)

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use training::folder::Run;
use training::recipe::{Method, Recipe};

use super::list::{Kind, State, named};
use super::remembered::{add, remembered};
use super::*;

fn local(path: &str) -> Local {
    Local { name: String::new(), path: path.into(), kind: Kind::Folder }
}

#[track_caller]
fn check(paths: &[&str], expected: &[&str]) {
    let mut all: Vec<Local> = paths.iter().map(|path| local(path)).collect();
    named(&mut all);
    let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, expected, "{paths:?}");
}

#[test]
fn a_model_is_called_by_its_folder_and_by_those_above_where_that_is_not_enough() {
    check(&[], &[]);
    check(&["/a/one", "/a/two"], &["one", "two"]);
    check(&["/a/one", "/b/one", "/b/two"], &["a/one", "b/one", "two"]);
    check(&["/x/a/one", "/y/a/one", "/z/one"], &["x/a/one", "y/a/one", "z/one"]);
    // One whose whole path is the end of another's cannot say more.
    check(&["/one", "/a/one"], &["one", "a/one"]);
    check(&["/a/m.gguf"], &["m.gguf"]);
}

proptest! {
    #[test]
    fn no_two_are_called_the_same(
        paths in proptest::collection::hash_set("(/[ab]{1,2}){1,4}", 1..12),
    ) {
        let mut all: Vec<Local> = paths.iter().map(|path| local(path)).collect();
        named(&mut all);
        for one in &all {
            prop_assert_eq!(all.iter().filter(|it| it.name == one.name).count(), 1, "{:?}", all);
            prop_assert!(one.path.ends_with(&one.name));
        }
    }

    #[test]
    fn what_the_data_folder_remembers_may_hold_anything(text in "(\\PC|\n){0,200}") {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("runs.jsonl"), text).unwrap();
        prop_assert!(remembered(home.path()).iter().all(|path| path.is_absolute()));
    }
}

#[test]
fn runs_are_remembered_once_the_latest_first_and_half_a_line_is_none() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().join("data");
    assert!(remembered(&home).is_empty());
    for path in ["/runs/one", "/runs/a \"b\"\n", "/runs/one", "/runs/two"] {
        add(&home, Path::new(path)).unwrap();
    }
    let expected: Vec<PathBuf> =
        ["/runs/two", "/runs/one", "/runs/a \"b\"\n"].map(PathBuf::from).to_vec();
    assert_eq!(remembered(&home), expected);
    let mut text = fs::read_to_string(home.join("runs.jsonl")).unwrap();
    text.push_str("{\"path\":\"/runs/ha");
    fs::write(home.join("runs.jsonl"), text).unwrap();
    assert_eq!(remembered(&home), expected);
    // What comes after it stands in a line of its own.
    add(&home, Path::new("/runs/three")).unwrap();
    add(&home, Path::new("/runs/four")).unwrap();
    let later = ["/runs/four", "/runs/three"].map(PathBuf::from);
    assert_eq!(remembered(&home), [&later[..], &expected].concat());
}

#[test]
fn what_is_no_text_costs_its_own_line_and_of_too_much_the_latest_is_known() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().join("data");
    add(&home, Path::new("/runs/one")).unwrap();
    let mut bytes = fs::read(home.join("runs.jsonl")).unwrap();
    bytes.extend(b"{\"path\":\"/runs/\xff\"\n");
    bytes.resize(5 << 20, b'\n');
    fs::write(home.join("runs.jsonl"), &bytes[..100]).unwrap();
    assert_eq!(remembered(&home), [PathBuf::from("/runs/one")]);
    fs::write(home.join("runs.jsonl"), bytes).unwrap();
    add(&home, Path::new("/runs/two")).unwrap();
    assert_eq!(remembered(&home), [PathBuf::from("/runs/two")]);
}

#[test]
fn what_lies_in_a_folder_is_known_for_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().canonicalize().unwrap();
    let at = |name: &str| Local::at(&place.join(name)).unwrap();
    assert_eq!(at("nowhere"), None);
    fs::create_dir(place.join("model")).unwrap();
    fs::write(place.join("model/config.json"), "{}").unwrap();
    assert_eq!(at("model"), None);
    fs::write(place.join("model/model.safetensors"), "weights").unwrap();
    assert_eq!(at("model").unwrap().kind, Kind::Folder);
    fs::write(place.join("m.gguf"), "GGUF").unwrap();
    assert_eq!(at("m.gguf").unwrap().kind, Kind::Gguf);
    let recipe = Recipe::new(&place.join("model"), &place.join("rows.jsonl"), Method::Full);
    let run = Run::create(&place.join("run"), &recipe).unwrap();
    let found = at("run").unwrap();
    let state = |state| Kind::Run { base: place.join("model"), method: Method::Full, state };
    assert_eq!((&found.kind, found.has_weights()), (&state(State::Begun), false));
    assert_eq!(found.about(), "all weights of model, nothing saved yet, 1 kB");
    fs::create_dir(run.folder().join("final")).unwrap();
    let found = at("run").unwrap();
    assert_eq!((&found.kind, found.has_weights()), (&state(State::Finished(None)), true));
    assert_eq!(found.whole(), run.folder().join("final"));
    // What is damaged says so.
    fs::write(run.folder().join("recipe.json"), "{").unwrap();
    assert!(Local::at(run.folder()).unwrap_err().to_string().contains("recipe.json"));
}
