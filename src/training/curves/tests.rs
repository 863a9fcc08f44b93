use super::*;
use crate::metrics::{HeldOut, Step};

fn history(steps: u64, loss: impl Fn(u64) -> f64) -> History {
    let mut history = History::default();
    for step in 1..=steps {
        let lr = 1e-5 * (1.0 - step as f64 / (steps + 1) as f64);
        history.steps.insert(step, Step { step, loss: loss(step), lr, ..Step::default() });
    }
    history
}

/// All numbers that are places.
fn places(svg: &str) -> Vec<f64> {
    let lists = svg.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next());
    lists.flat_map(|list| list.split([' ', ','])).map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_curves_are_a_picture() {
    let mut history = history(20, |step| 3.0 / (step as f64).sqrt());
    for step in [10, 20] {
        history.held_out.insert(step, HeldOut { step, loss: 1.2, ..HeldOut::default() });
    }
    insta::assert_snapshot!(svg(&history));
}

#[test]
fn a_run_without_steps_says_so() {
    assert!(svg(&History::default()).contains("no step was made yet"));
}

#[test]
fn one_step_is_a_point() {
    let svg = svg(&history(1, |_| 2.0));
    assert_eq!(svg.matches("<circle").count(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn a_loss_that_is_no_number_is_left_out() {
    let svg = svg(&history(5, |step| if step == 3 { f64::NAN } else { 1.0 }));
    assert!(!svg.contains("NaN"), "{svg}");
    assert!(places(&svg).iter().all(|place| place.is_finite()));
}

#[test]
fn a_long_run_is_thinned_and_stays_within_the_picture() {
    let svg = svg(&history(100_000, |step| 5.0 - (step % 97) as f64 / 40.0));
    let places = places(&svg);
    assert!(places.len() <= 4 * POINTS_MAX, "{}", places.len());
    assert!(places.iter().all(|place| (0.0..=WIDTH).contains(place)));
    assert!(svg.len() < 40_000);
    assert!(svg.contains(">100,000</text>"), "the last step has a label");
}
