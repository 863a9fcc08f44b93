//! The checklist.

use serde_json::json;
use trajectory::event::{Plan, PlanItem, PlanStatus};

use crate::tests::Bench;

#[test]
fn the_whole_list_is_handed_on() {
    let items = json!([
        {"text": " look ", "status": "completed"},
        {"text": "change", "status": "in_progress"},
        {"text": "check", "status": "pending"},
    ]);
    let outcome = Bench::new().run("plan", &json!({ "items": items }));
    assert_eq!(outcome.shown, "Plan of 3 items: 1 completed, 1 in progress.");
    let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
    let items = vec![
        item("look", PlanStatus::Completed),
        item("change", PlanStatus::InProgress),
        item("check", PlanStatus::Pending),
    ];
    assert_eq!(outcome.plan, Some(Plan { items }));
}

#[test]
fn an_empty_list_clears_the_plan() {
    let outcome = Bench::new().run("plan", &json!({"items": []}));
    assert_eq!(outcome.shown, "The plan is empty now.");
    assert_eq!(outcome.plan, Some(Plan { items: Vec::new() }));
}

#[test]
fn a_plan_is_bounded() {
    let bench = Bench::new();
    let item = json!({"text": "x".repeat(2_000), "status": "pending"});
    let outcome = bench.run("plan", &json!({"items": [item]}));
    assert_eq!(outcome.plan.unwrap().items[0].text.len(), 500);
    let told = bench.fails("plan", &json!({"items": vec![item; 51]}));
    assert_eq!(told, "The plan has 51 items; the most is 50. Nothing was changed.");
    let told = bench.fails("plan", &json!({"items": [{"text": "  ", "status": "pending"}]}));
    assert_eq!(told, "items[0] has no text. Nothing was changed.");
}
