use super::super::columns::tests::outcome;
use super::*;

fn summary(done: &[[bool; 2]]) -> Summary {
    let outcomes: Vec<[Outcome; 2]> = done
        .iter()
        .map(|[a, b]| {
            [outcome(Side::A, Some(*a), Vec::new()), outcome(Side::B, Some(*b), Vec::new())]
        })
        .collect();
    Summary::of(["one", "two"], outcomes.iter().map(|[a, b]| (true, [a, b])))
}

#[test]
fn rates_and_pairs_are_counted() {
    let summary = summary(&[[true, true], [true, false], [true, false], [false, true]]);
    let json = summary.to_json();
    assert_eq!((&json["a"]["done"], &json["b"]["done"]), (&3.into(), &2.into()));
    assert_eq!(json["difference"], -0.25);
    let pairs = serde_json::json!({"both": 1, "only_a": 2, "only_b": 1, "neither": 0});
    assert_eq!(json["pairs"], pairs);
    insta::assert_snapshot!(summary.lines().join("\n"));
}

#[test]
fn a_model_that_never_answered_is_told_apart_from_one_that_failed() {
    let failed = Outcome { cost_usd: Some(0.5), ..outcome(Side::A, Some(false), Vec::new()) };
    let gone = Outcome { reached: false, cost_usd: None, ..outcome(Side::B, None, Vec::new()) };
    let pairs = [(true, [&failed, &gone]), (true, [&failed, &failed])];
    let some = Summary::of(["one", "two"], pairs.into_iter());
    assert!(!some.is_one_unreachable());
    assert!(some.lines().last().unwrap().contains("B was not reached in 1 of 2"));
    // What did not run has neither a price nor a time.
    let json = some.to_json();
    assert_eq!((&json["a"]["cost_usd"], &json["b"]["cost_usd"]), (&1.0.into(), &0.5.into()));
    assert_eq!((&json["a"]["seconds"], &json["b"]["seconds"]), (&6.42.into(), &3.21.into()));
    assert!(Summary::of(["one", "two"], pairs.into_iter().take(1)).is_one_unreachable());
    assert!(!Summary::of(["one", "two"], std::iter::empty()).is_one_unreachable());
}

#[test]
fn without_a_check_a_task_is_done_when_the_model_handed_back() {
    let plain = outcome(Side::A, None, Vec::new());
    let pairs = [(false, [&plain, &plain])];
    let summary = Summary::of(["one", "two"], pairs.into_iter());
    assert!(summary.lines().iter().any(|line| line.starts_with("completed")));
    // One that was to be checked and was not did not pass.
    let pairs = [(true, [&plain, &plain])];
    assert_eq!(Summary::of(["one", "two"], pairs.into_iter()).to_json()["a"]["done"], 0);
}
