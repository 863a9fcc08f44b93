use super::*;

fn base() -> Recipe {
    Recipe::new(Path::new("model"), Path::new("data"), Method::Full)
}

fn read(text: &str) -> Result<Recipe, String> {
    Recipe::of_toml(text, &base(), Path::new("recipe.toml")).map_err(|error| error.to_string())
}

fn refused(text: &str, parts: &[&str]) {
    let error = read(text).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(read("").unwrap(), base());
    let optimizer = base().optimizer;
    assert_eq!((optimizer.learning_rate, optimizer.learning_rate_min), (1e-5, 1e-6));
    assert_eq!(optimizer.betas, [0.9, 0.95]);
}

#[test]
fn a_file_says_what_differs_and_nothing_else() {
    let recipe =
        read("epochs = 5\n[optimizer]\nlearning_rate = 2e-5\nclip = 0\n[memory]\noffload = true\n")
            .unwrap();
    assert_eq!((recipe.epochs, recipe.batch), (5, 8));
    assert_eq!((recipe.optimizer.learning_rate, recipe.optimizer.clip), (2e-5, 0.0));
    assert_eq!(recipe.memory.offload, Some(true));
    assert_eq!(recipe.memory.save_attention, None);
}

#[test]
fn another_method_has_other_defaults() {
    let recipe = read("method = \"lora\"").unwrap();
    assert_eq!(recipe.lora(), Some(Lora { rank: 32, alpha: 32 }));
    assert_eq!(recipe.optimizer.learning_rate, 1e-4);
    let recipe = read("[method.lora]\nrank = 8").unwrap();
    assert_eq!(recipe.lora().map(Lora::scale), Some(4.0));
    let kept = Recipe { epochs: 9, ..base() };
    assert_eq!(
        Recipe::of_toml("method = \"full\"", &kept, Path::new("recipe.toml")).unwrap().epochs,
        9
    );
}

#[test]
fn a_recipe_of_the_run_folder_is_complete() {
    for method in [Method::Full, Method::Lora(Lora::default())] {
        let recipe = Recipe::new(Path::new("model"), Path::new("data"), method);
        let json = serde_json::to_string(&recipe).unwrap();
        assert!(json.contains("learning_rate_min") && json.contains("keep"), "{json}");
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        let toml = toml::to_string(&recipe).unwrap();
        assert_eq!(read(&toml).unwrap(), recipe);
    }
}

#[test]
fn a_key_that_is_none_is_named_with_those_that_are() {
    refused("epoch = 3", &["epoch is no key", "epochs"]);
    refused("[optimizer]\nlr = 1", &["optimizer.lr is no key", "learning_rate"]);
    refused("[method.lora]\nranks = 1", &["method.lora.ranks is no key", "rank"]);
    refused("method = \"qlora\"", &["method", "full"]);
    refused("method = 3", &["method"]);
    refused("epochs = \"three\"", &["epochs", "expected u32"]);
    refused("epochs = ", &["line 1"]);
}

#[test]
fn a_number_that_makes_no_sense_is_refused_with_its_range() {
    refused("epochs = 0", &["epochs is out of range", "Choose from 1 to 1000"]);
    refused("batch = 0", &["batch"]);
    refused("[optimizer]\nlearning_rate = nan", &["optimizer.learning_rate"]);
    refused("[optimizer]\nlearning_rate_min = 1.0", &["learning_rate_min", "the learning rate"]);
    refused("[optimizer]\nbetas = [0.9, 1.0]", &["optimizer.betas"]);
    refused("[lengths]\nloss_chunk = 0", &["lengths.loss_chunk"]);
    refused("[cadence]\nheld_out = 0.9", &["cadence.held_out"]);
    refused("[method.lora]\nrank = 0", &["method.lora"]);
}

#[test]
fn a_file_that_is_no_recipe_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let error = Recipe::read(&path, &base()).unwrap_err().to_string();
    assert!(error.contains("recipe.toml"), "{error}");
    fs::write(&path, "{").unwrap();
    let error = Recipe::read(&path, &base()).unwrap_err().to_string();
    assert!(error.contains("recipe.toml is no recipe"), "{error}");
    fs::write(&path, "epochs = 2").unwrap();
    assert_eq!(Recipe::read(&path, &base()).unwrap().epochs, 2);
}

#[test]
fn the_learning_rate_rises_and_falls_to_its_minimum() {
    let optimizer = base().optimizer;
    let rates: Vec<f64> = (1..=100).map(|step| optimizer.learning_rate_at(step, 100)).collect();
    assert_eq!(optimizer.warmup_steps(100), 10);
    assert!((rates[0] - 1e-6).abs() < 1e-15, "the first step learns");
    assert!((rates[9] - 1e-5).abs() < 1e-15);
    assert!((rates[54] - 5.5e-6).abs() < 1e-12, "half of the way down at half of the time");
    assert!((rates[99] - 1e-6).abs() < 1e-15);
    assert!(rates[9..].windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn the_warm_up_is_two_steps_at_least_and_never_more_than_all() {
    let optimizer = base().optimizer;
    assert_eq!([1, 2, 5, 20, 21].map(|steps| optimizer.warmup_steps(steps)), [1, 2, 2, 2, 3]);
    for steps in 1..40 {
        let last = optimizer.learning_rate_at(steps, steps);
        assert!(last > 0.0 && last <= optimizer.learning_rate, "{steps} steps end at {last}");
    }
}

#[test]
fn a_line_is_straight_and_a_constant_stays() {
    let at = |schedule, step| {
        let optimizer =
            Optimizer { schedule, warmup_ratio: 0.0, warmup_steps_min: 0, ..base().optimizer };
        optimizer.learning_rate_at(step, 10)
    };
    assert_eq!((at(Schedule::Constant, 1), at(Schedule::Constant, 10)), (1e-5, 1e-5));
    let falls: Vec<f64> =
        (1..10).map(|step| at(Schedule::Linear, step) - at(Schedule::Linear, step + 1)).collect();
    assert!(falls.iter().all(|fall| (fall - 9e-7).abs() < 1e-15), "{falls:?}");
}
