use std::path::Path;

use super::*;
use crate::data::{Part, Source};
use crate::metrics::{Finished, Started};
use crate::recipe::Lora;

fn run(method: Method) -> (tempfile::TempDir, Run) {
    let within = tempfile::tempdir().unwrap();
    let recipe = Recipe::new(Path::new("/home/ann/models/small: 1"), Path::new("data"), method);
    let run = Run::create(&within.path().join("tool*calls"), &recipe).unwrap();
    let source = Source {
        name: "messages-train.jsonl".to_owned(),
        part: Part::Train,
        bytes: 123_456,
        blake3: "ab".repeat(32),
    };
    let facts = DatasetFacts {
        files: vec![source],
        tokenizer: "cd".repeat(32),
        template: Some("ef".repeat(32)),
        samples: [78, 8, 0],
        tokens: [3_307_200, 992_160],
        notes: vec!["2 replies are not trained: they spell <|im_end|>.".to_owned()],
        ..DatasetFacts::default()
    };
    run.write_dataset(&facts).unwrap();
    (within, run)
}

fn history() -> History {
    let versions = [("limn".to_owned(), "0.1.0".to_owned())].into();
    let mut history = History {
        started: Some(Started {
            steps: 40,
            device: "NVIDIA H200".to_owned(),
            versions,
            ..Started::default()
        }),
        ..History::default()
    };
    for step in 1..=40 {
        let loss = 1.5 - step as f64 / 80.0;
        let speed = 5_600.0;
        history.steps.insert(step, Step { step, loss, tokens_per_s: speed, ..Step::default() });
    }
    for (step, loss, valid) in [(0, 1.4, 0.31), (40, 1.1, 0.94)] {
        let tool_validity = Some(valid);
        history.held_out.insert(step, HeldOut { step, loss, tool_validity, ..HeldOut::default() });
    }
    history.finished = Some(Finished { step: 40, seconds: 2_345.0, ..Finished::default() });
    history
}

#[test]
fn the_card_of_an_adapter() {
    let (_within, run) = run(Method::Lora(Lora::default()));
    insta::assert_snapshot!(text(&run, &history()).unwrap());
}

#[test]
fn a_card_tells_no_path_of_the_machine() {
    let (_within, run) = run(Method::Full);
    let card = text(&run, &history()).unwrap();
    assert!(!card.contains("/home") && card.contains("base_model: \"small: 1\""), "{card}");
    assert!(card.contains("# tool\\*calls"), "{card}");
    assert!(card.contains("they spell \\<\\|im\\_end\\|\\>"), "{card}");
}

#[test]
fn a_run_that_goes_on_says_that_it_is_not_finished() {
    let (_within, run) = run(Method::Full);
    let begun = text(&run, &History::default()).unwrap();
    assert!(begun.contains("It is not finished: 0 of 0 steps") && begun.contains("- unfinished"));
    let half = History { finished: None, ..history() };
    assert!(text(&run, &half).unwrap().contains("It is not finished: 40 of 40 steps are made."));
    assert!(!text(&run, &history()).unwrap().contains("not finished"));
}
