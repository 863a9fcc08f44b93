//! Transition tables: inputs on the left, effects as lines on the right; and a property: whatever
//! the order of inputs, the log is consistent.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use trajectory::Approval;
use trajectory::event::{ErrorStage, ReasoningField};

use crate::*;

fn tool(name: &str, effect: ToolEffect) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object"}),
        effect,
        grammar: None,
    }
}

fn setup(approval: ApprovalMode, interactive: bool) -> Setup {
    Setup {
        tools: vec![
            tool("read", ToolEffect::ReadOnly),
            tool("write", ToolEffect::Writes),
            tool("shell", ToolEffect::Executes),
        ],
        approval,
        interactive,
        ..Setup::default()
    }
}

fn submit() -> Input {
    Input::Submit(Prompt { text: "go".into(), ..Prompt::default() })
}

fn says(text: &str) -> Input {
    reply(vec![Part::Text(text.into())])
}

fn reply(parts: Vec<Part>) -> Input {
    let usage = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() };
    Input::Reply { parts, usage, cut_off: None, verdicts: Vec::new() }
}

fn failed(remedy: Remedy) -> Input {
    Input::ReplyFailed { partial: vec![Part::Text("half".into())], message: "m".into(), remedy }
}

fn overfull() -> Input {
    Input::Overfull { can_be_asked: true }
}

fn again() -> Input {
    failed(Remedy::AskAgain { wait: Duration::from_secs(2) })
}

fn ruled(decision: Approval) -> Option<Verdict> {
    Some(Verdict { decision, rule: "a rule".into() })
}

fn calls(names: &[&str]) -> Input {
    reply(names.iter().map(|name| call(name, "{}")).collect())
}

fn call(name: &str, arguments: &str) -> Part {
    Part::tool_call("call_0", name, arguments)
}

fn outcome(status: CallStatus) -> Outcome {
    Outcome {
        status,
        shown: "seen".into(),
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        plan: None,
        duration_us: 7,
    }
}

fn finished(call: u32) -> Input {
    Input::Finished { call, outcome: outcome(CallStatus::Ok) }
}

fn decided(call: u32, decision: ApprovalDecision) -> Input {
    let arguments = (decision == ApprovalDecision::Amended).then(|| r#"{"x":1}"#.to_owned());
    Input::Decided { call, decision, reason: Some("because".into()), arguments }
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Emit(body) => match body {
            Body::ToolCall(call) if call.malformed.is_some() => {
                format!("tool_call {} malformed", call.call)
            }
            Body::ToolCall(call) => format!("tool_call {} {}", call.call, call.name),
            Body::ToolStarted(started) => format!("tool_started {} {}", started.call, started.exec),
            Body::Observation(seen) => format!("observation {} {:?}", seen.call, seen.status),
            Body::Approval(approval) => {
                format!("approval {} {:?} {:?}", approval.call, approval.decision, approval.by)
            }
            Body::Message(text) if text.interrupted => "message interrupted".into(),
            Body::Error(error) => format!("error {:?}", error.stage),
            Body::RoundEnded(end) => {
                format!("round_ended {:?} {}", end.ended, end.usage.total())
            }
            other => other.kind().to_owned(),
        },
        Effect::Ask { request } => format!("> ask {request}"),
        Effect::AskAgain { request, attempt, wait } => {
            format!("> ask {request}.{attempt} in {wait:?}")
        }
        Effect::AskSummary { request, words: None } => format!("> ask for a summary {request}"),
        Effect::AskSummary { request, words: Some(words) } => {
            format!("> ask for a summary {request} of {words}")
        }
        Effect::Compact { request, summary, whole: false } => {
            format!("> compact {request:?} {summary:?}")
        }
        Effect::Compact { request, summary, whole: true } => {
            format!("> compact all {request:?} {summary:?}")
        }
        Effect::StopAsking => "> stop asking".into(),
        Effect::Run(run) => format!("> run {} {} {}", run.call, run.name, run.arguments),
        Effect::StopRunning { call } => format!("> stop {call}"),
        Effect::Decide { call } => format!("> decide {call}"),
        Effect::RoundOver(_) => "> round over".into(),
        Effect::Closed => "> closed".into(),
    }
}

#[track_caller]
fn check(setup: Setup, script: Vec<(Input, &[&str])>) -> Agent {
    let mut agent = Agent::new(setup);
    for (input, expected) in script {
        let name = format!("{input:?}");
        let lines: Vec<String> = agent.handle(input).iter().map(line).collect();
        assert_eq!(lines, expected, "after {name}");
    }
    agent
}

const AUTO: ApprovalMode = ApprovalMode::Auto;

#[test]
fn another_mode_holds_for_the_calls_that_come() {
    check(
        setup(ApprovalMode::Ask, true),
        vec![
            (Input::Approval(AUTO), &["config_changed"]),
            (Input::Approval(AUTO), &[]),
            (submit(), &["prompt", "> ask 1"]),
            (Input::Approval(ApprovalMode::Ask), &["config_changed"]),
            (calls(&["shell", "shell"]), &["tool_call 1 shell", "tool_call 2 shell", "> decide 1"]),
            // What waits for a person goes on waiting.
            (Input::Approval(AUTO), &["config_changed"]),
            (
                decided(1, ApprovalDecision::Allowed),
                &["approval 1 Allowed User", "tool_started 1 1", "> run 1 shell {}"],
            ),
            (finished(1), &["observation 1 Ok", "tool_started 2 2", "> run 2 shell {}"]),
        ],
    );
}

#[test]
fn what_is_said_meanwhile_joins_the_round_and_is_answered() {
    let steer = || Input::Steer("left".into());
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (steer(), &["steering"]),
            (calls(&["read"]), &["tool_call 1 read", "tool_started 1 1", "> run 1 read {}"]),
            (finished(1), &["observation 1 Ok", "> ask 2"]),
            (steer(), &["steering"]),
            // The model was about to hand back without having seen it.
            (says("done"), &["message", "> ask 3"]),
            (says("left then"), &["message", "round_ended Completed 45", "> round over"]),
            // It came too late for the round: it is a prompt.
            (steer(), &["prompt", "> ask 4"]),
        ],
    );
}

#[test]
fn a_summary_is_made_when_the_user_wants_one() {
    let compact = || Input::Compact { words: Some("the plan".into()) };
    let agent = check(
        setup(AUTO, false),
        vec![
            (compact(), &["> ask for a summary 1 of the plan"]),
            (says("so far"), &["> compact all Some(1) Some(\"so far\")", "> round over"]),
            (compact(), &["> ask for a summary 2 of the plan"]),
            (failed(Remedy::None), &["error Model", "> round over"]),
            (compact(), &["> ask for a summary 3 of the plan"]),
            (Input::Interrupt(InterruptionCause::User), &["> stop asking"]),
            (failed(Remedy::None), &["interruption", "> round over"]),
            (submit(), &["prompt", "> ask 4"]),
        ],
    );
    assert_eq!(agent.state(), StateName::Asking);
}

#[test]
fn a_round_with_two_calls() {
    let agent = check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (
                calls(&["write", "shell"]),
                &["tool_call 1 write", "tool_call 2 shell", "tool_started 1 1", "> run 1 write {}"],
            ),
            (finished(1), &["observation 1 Ok", "tool_started 2 2", "> run 2 shell {}"]),
            (finished(2), &["observation 2 Ok", "> ask 2"]),
            (says("done"), &["message", "round_ended Completed 30", "> round over"]),
            (Input::Close, &["session_ended", "> closed"]),
            (submit(), &[]),
        ],
    );
    assert_eq!(agent.state(), StateName::Closed);
}

#[test]
fn calls_that_cannot_run_are_answered_at_once() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (
                reply(vec![
                    call("telepathy", "{}"),
                    call("read", "{oops"),
                    call("read", "[1]"),
                    call("read", " "),
                ]),
                &[
                    "tool_call 1 telepathy",
                    "tool_call 2 malformed",
                    "tool_call 3 malformed",
                    "tool_call 4 read",
                    "observation 1 Error",
                    "observation 2 Error",
                    "observation 3 Error",
                    "tool_started 4 1",
                    "> run 4 read {}",
                ],
            ),
        ],
    );
}

#[test]
fn a_circle_of_calls_that_cannot_run_is_told_and_ended() {
    let circles: [(ApprovalMode, &[&str]); 3] = [
        (AUTO, &["telepathy"]),
        (ApprovalMode::ReadOnly, &["shell"]),
        (ApprovalMode::ReadOnly, &["telepathy", "shell"]),
    ];
    for (mode, names) in circles {
        let mut agent = Agent::new(setup(mode, false));
        agent.handle(submit());
        let mut told = Vec::new();
        let mut replies = 0;
        while agent.state() == StateName::Asking {
            replies += 1;
            assert!(replies < 100, "{names:?} goes on for ever");
            for effect in agent.handle(calls(names)) {
                if let Effect::Emit(Body::Observation(seen)) = effect
                    && seen.shown.contains("times in a row")
                {
                    told.push(replies);
                }
            }
        }
        assert_eq!((told, replies), (vec![3, 6, 12, 24], 48), "{names:?}");
    }
}

#[test]
fn what_was_cut_off_is_told_as_that() {
    let freeform = Part::ToolCall {
        id: "call_0".into(),
        name: "write".into(),
        arguments: "*** Begin Patch".into(),
        freeform: true,
        signature: None,
    };
    for part in [freeform, call("write", ""), call("write", "{\"file_pa")] {
        let mut agent = Agent::new(setup(AUTO, false));
        agent.handle(submit());
        let effects = agent.handle(Input::Reply {
            parts: vec![part],
            usage: Usage::default(),
            cut_off: Some("length".into()),
            verdicts: Vec::new(),
        });
        let Some(Effect::Emit(Body::ToolCall(call))) = effects.first() else { panic!() };
        assert!(call.malformed.as_ref().is_some_and(|why| why.contains("cut off")), "{call:?}");
        let Some(Effect::Emit(Body::Observation(seen))) = effects.get(1) else { panic!() };
        assert!(seen.shown.contains("(length)") && seen.shown.contains("smaller"), "{seen:?}");
    }
}

#[test]
fn a_reply_that_was_withheld_is_not_called_too_long() {
    let mut agent = Agent::new(setup(AUTO, false));
    agent.handle(submit());
    let effects = agent.handle(Input::Reply {
        parts: Vec::new(),
        usage: Usage::default(),
        cut_off: Some("content_filter".into()),
        verdicts: Vec::new(),
    });
    let Some(Effect::Emit(Body::Error(error))) = effects.first() else { panic!("{effects:?}") };
    assert!(error.message.contains("withheld") && !error.message.contains("tokens"));
}

#[test]
fn a_turn_without_a_word_is_said_to_be_one() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (says(" \n"), &["message", "error Model", "round_ended Completed 15", "> round over"]),
        ],
    );
}

#[test]
fn modes_decide() {
    let denied: &[&str] =
        &["tool_call 1 shell", "approval 1 Denied Mode", "observation 1 Denied", "> ask 2"];
    for mode in [ApprovalMode::ReadOnly, ApprovalMode::Ask] {
        check(
            setup(mode, false),
            vec![(submit(), &["prompt", "> ask 1"]), (calls(&["shell"]), denied)],
        );
    }
    let runs: &[&str] = &["tool_call 1 read", "tool_started 1 1", "> run 1 read {}"];
    check(
        setup(ApprovalMode::ReadOnly, false),
        vec![(submit(), &["prompt", "> ask 1"]), (calls(&["read"]), runs)],
    );
}

#[test]
fn the_user_decides() {
    check(
        setup(ApprovalMode::Ask, true),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (
                calls(&["write", "shell", "write"]),
                &["tool_call 1 write", "tool_call 2 shell", "tool_call 3 write", "> decide 1"],
            ),
            (decided(7, ApprovalDecision::Allowed), &[]),
            (
                decided(1, ApprovalDecision::Denied),
                &["approval 1 Denied User", "observation 1 Denied", "> decide 2"],
            ),
            (
                decided(2, ApprovalDecision::Amended),
                &["approval 2 Amended User", "tool_started 2 1", "> run 2 shell {\"x\":1}"],
            ),
            (finished(2), &["observation 2 Ok", "> decide 3"]),
            (
                Input::Interrupt(InterruptionCause::User),
                &[
                    "observation 3 Cancelled",
                    "interruption",
                    "round_ended Interrupted 15",
                    "> round over",
                ],
            ),
        ],
    );
}

#[test]
fn interrupted_while_asking() {
    let partial = vec![
        Part::reasoning("hm", ReasoningField::default()),
        Part::Text("half a".into()),
        call("shell", "{\"comm"),
    ];
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (Input::Interrupt(InterruptionCause::User), &["> stop asking"]),
            (Input::Interrupt(InterruptionCause::User), &[]),
            (
                Input::ReplyFailed { partial, message: String::new(), remedy: Remedy::None },
                &[
                    "reasoning",
                    "message interrupted",
                    "interruption",
                    "round_ended Interrupted 0",
                    "> round over",
                ],
            ),
            (submit(), &["prompt", "> ask 2"]),
        ],
    );
}

#[test]
fn interrupted_while_running() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (
                calls(&["shell", "shell"]),
                &["tool_call 1 shell", "tool_call 2 shell", "tool_started 1 1", "> run 1 shell {}"],
            ),
            (Input::Close, &[]),
            (Input::Interrupt(InterruptionCause::Limit), &["> stop 1"]),
            (
                Input::Finished { call: 1, outcome: outcome(CallStatus::Cancelled) },
                &[
                    "observation 1 Cancelled",
                    "observation 2 Cancelled",
                    "interruption",
                    "round_ended Limit 15",
                    "> round over",
                    "session_ended",
                    "> closed",
                ],
            ),
        ],
    );
}

#[test]
fn a_request_that_failed_is_asked_again_and_what_had_come_is_not_said_twice() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (again(), &["error Model", "> ask 1.2 in 2s"]),
            (again(), &["error Model", "> ask 1.3 in 2s"]),
            (says("done"), &["message", "round_ended Completed 15", "> round over"]),
            (submit(), &["prompt", "> ask 2"]),
            (again(), &["error Model", "> ask 2.2 in 2s"]),
            (Input::Interrupt(InterruptionCause::User), &["> stop asking"]),
            (
                failed(Remedy::None),
                &[
                    "message interrupted",
                    "interruption",
                    "round_ended Interrupted 0",
                    "> round over",
                ],
            ),
        ],
    );
}

#[test]
fn a_context_that_does_not_fit_is_compacted_before_it_is_sent() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (overfull(), &["> ask for a summary 1"]),
            (again(), &["error Model", "> ask 1.2 in 2s"]),
            (
                reply(vec![call("read", "{}"), Part::Text(" In short. ".into())]),
                &["> compact Some(1) Some(\"In short.\")", "> ask 2"],
            ),
            (says("done"), &["message", "round_ended Completed 30", "> round over"]),
        ],
    );
}

#[test]
fn a_context_that_cannot_even_be_summarised_is_compacted_without_asking() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (Input::Overfull { can_be_asked: false }, &["> compact None None", "> ask 1"]),
            (says("done"), &["message", "round_ended Completed 15", "> round over"]),
        ],
    );
}

#[test]
fn a_server_that_finds_the_context_too_large_gets_a_smaller_one() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (failed(Remedy::Compact), &["error Model", "> ask for a summary 2"]),
            // The summary fails, too: what is known without the model has to do.
            (failed(Remedy::None), &["error Model", "> compact Some(2) None", "> ask 3"]),
            (
                failed(Remedy::Compact),
                &["message interrupted", "error Model", "round_ended Failed 0", "> round over"],
            ),
            (submit(), &["prompt", "> ask 4"]),
            (overfull(), &["> ask for a summary 4"]),
            (says("short"), &["> compact Some(4) Some(\"short\")", "> ask 5"]),
            (overfull(), &["error Limit", "round_ended Limit 15", "> round over"]),
        ],
    );
}

#[test]
fn a_summary_that_is_interrupted_leaves_nothing_behind() {
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (overfull(), &["> ask for a summary 1"]),
            (Input::Interrupt(InterruptionCause::User), &["> stop asking"]),
            (failed(Remedy::None), &["interruption", "round_ended Interrupted 0", "> round over"]),
        ],
    );
}

#[test]
fn rules_are_stricter_than_the_mode_or_spare_a_question() {
    let ruled = |decision| Input::Reply {
        parts: vec![call("shell", "{}")],
        usage: Usage::default(),
        cut_off: None,
        verdicts: vec![ruled(decision)],
    };
    let by_rule: &[&str] =
        &["tool_call 1 shell", "approval 1 Denied Rule", "observation 1 Denied", "> ask 2"];
    let by_mode: &[&str] =
        &["tool_call 1 shell", "approval 1 Denied Mode", "observation 1 Denied", "> ask 2"];
    let runs: &[&str] = &["tool_call 1 shell", "tool_started 1 1", "> run 1 shell {}"];
    let allowed: &[&str] =
        &["tool_call 1 shell", "approval 1 Allowed Rule", "tool_started 1 1", "> run 1 shell {}"];
    for (mode, decision, expected) in [
        (AUTO, Approval::Denied, by_rule),
        (AUTO, Approval::Ask, by_rule),
        (AUTO, Approval::Allowed, allowed),
        (ApprovalMode::All, Approval::Ask, runs),
        (ApprovalMode::All, Approval::Denied, by_rule),
        (ApprovalMode::Ask, Approval::Allowed, allowed),
        (ApprovalMode::ReadOnly, Approval::Allowed, by_mode),
    ] {
        check(
            setup(mode, false),
            vec![(submit(), &["prompt", "> ask 1"]), (ruled(decision), expected)],
        );
    }
}

#[test]
fn a_model_that_goes_round_in_a_circle_is_told_and_in_the_end_stopped() {
    let mut agent = Agent::new(setup(AUTO, false));
    agent.handle(submit());
    let mut told = Vec::new();
    for number in 1.. {
        // Two calls in turn.
        let name = if number % 2 == 0 { "read" } else { "write" };
        agent.handle(calls(&[name]));
        let effects = agent.handle(finished(number));
        let Some(Effect::Emit(Body::Observation(seen))) = effects.first() else {
            panic!("{effects:?}")
        };
        if seen.shown.contains("times in a row") {
            told.push(number);
        }
        if agent.state() == StateName::Idle {
            assert!(effects.iter().any(|effect| line(effect) == "round_ended Limit 1440"));
            break;
        }
    }
    assert_eq!(told, [6, 12, 24, 48]);
}

#[test]
fn waiting_for_something_to_change_is_no_circle() {
    let mut agent = Agent::new(setup(AUTO, false));
    agent.handle(submit());
    for number in 1..200 {
        agent.handle(calls(&["shell"]));
        let changed = Outcome { shown: format!("{number} %"), ..outcome(CallStatus::Ok) };
        let effects = agent.handle(Input::Finished { call: number, outcome: changed });
        let Some(Effect::Emit(Body::Observation(seen))) = effects.first() else {
            panic!("{effects:?}")
        };
        assert_eq!(seen.shown, format!("{number} %"));
    }
}

#[test]
fn limits_end_the_round() {
    let mut steps = setup(AUTO, false);
    steps.limits.steps_max = Some(1);
    let mut tokens = setup(AUTO, false);
    tokens.limits.tokens_max = Some(15);
    for setup in [steps, tokens] {
        check(
            setup,
            vec![
                (submit(), &["prompt", "> ask 1"]),
                (calls(&["read"]), &["tool_call 1 read", "tool_started 1 1", "> run 1 read {}"]),
                (
                    finished(1),
                    &["observation 1 Ok", "error Limit", "round_ended Limit 15", "> round over"],
                ),
            ],
        );
    }
}

#[test]
fn a_reply_that_the_server_cut_off_is_not_a_completed_one() {
    let cut = |parts| Input::Reply {
        parts,
        usage: Usage::default(),
        cut_off: Some("length".into()),
        verdicts: Vec::new(),
    };
    check(
        setup(AUTO, false),
        vec![
            (submit(), &["prompt", "> ask 1"]),
            (
                cut(vec![Part::Text("and so".into())]),
                &["message interrupted", "error Limit", "round_ended Limit 0", "> round over"],
            ),
            (submit(), &["prompt", "> ask 2"]),
            (
                cut(vec![call("read", "{}"), call("write", "{\"file_pa")]),
                &[
                    "tool_call 1 read",
                    "tool_call 2 malformed",
                    "tool_started 1 1",
                    "> run 1 read {}",
                ],
            ),
        ],
    );
}

#[test]
fn a_model_that_cannot_be_reached_fails_the_round() {
    let mut agent = Agent::new(setup(AUTO, false));
    agent.handle(submit());
    let effects = agent.handle(Input::ReplyFailed {
        partial: Vec::new(),
        message: "No route.".into(),
        remedy: Remedy::None,
    });
    let Some(Effect::Emit(Body::Error(error))) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(error.stage, ErrorStage::Model);
    assert_eq!(error.message, "No route.");
    assert_eq!(agent.state(), StateName::Idle);
}

#[test]
fn numbering_goes_on_where_the_log_stands() {
    let mut setup = setup(AUTO, false);
    setup.counters = Counters { round: 3, request: 9, call: 12, exec: 11 };
    check(
        setup,
        vec![
            (submit(), &["prompt", "> ask 10"]),
            (calls(&["read"]), &["tool_call 13 read", "tool_started 13 12", "> run 13 read {}"]),
        ],
    );
}

fn input() -> impl Strategy<Value = Input> {
    let part = prop_oneof![
        Just(Part::Text("t".into())),
        Just(call("shell", "{}")),
        Just(call("read", "")),
        Just(call("nope", "{}")),
        Just(call("write", "{broken")),
    ];
    let cause = prop_oneof![Just(InterruptionCause::User), Just(InterruptionCause::Limit)];
    let decision = prop_oneof![
        Just(ApprovalDecision::Allowed),
        Just(ApprovalDecision::Amended),
        Just(ApprovalDecision::Denied),
    ];
    prop_oneof![
        3 => Just(submit()),
        5 => prop::collection::vec(part, 0..4).prop_map(reply),
        1 => Just(failed(Remedy::None)),
        2 => Just(again()),
        1 => Just(failed(Remedy::Compact)),
        1 => any::<bool>().prop_map(|can_be_asked| Input::Overfull { can_be_asked }),
        3 => (1..6u32, decision).prop_map(|(call, decision)| decided(call, decision)),
        5 => (1..6u32).prop_map(finished),
        1 => cause.prop_map(Input::Interrupt),
        1 => Just(Input::Approval(ApprovalMode::Ask)),
        1 => Just(Input::Steer("left".into())),
        1 => Just(Input::Compact { words: None }),
        1 => Just(Input::Close),
    ]
}

proptest! {
    /// Invariants 4 and 15 as far as the agent goes, for any order of inputs.
    #[test]
    fn any_order_of_inputs_leaves_a_consistent_log(
        mode in prop_oneof![Just(ApprovalMode::Ask), Just(AUTO), Just(ApprovalMode::ReadOnly)],
        interactive in any::<bool>(),
        inputs in prop::collection::vec(input(), 0..80),
    ) {
        let mut agent = Agent::new(setup(mode, interactive));
        let mut answers: HashMap<u32, u32> = HashMap::new();
        let mut started = HashSet::new();
        let mut round_open = false;
        for input in inputs {
            for effect in agent.handle(input) {
                match effect {
                    Effect::Emit(Body::Prompt(_)) => {
                        prop_assert!(!round_open);
                        round_open = true;
                    }
                    Effect::Emit(Body::ToolCall(call)) => {
                        prop_assert_eq!(answers.insert(call.call, 0), None);
                    }
                    Effect::Emit(Body::ToolStarted(start)) => {
                        prop_assert!(started.insert(start.call));
                    }
                    Effect::Run(run) => prop_assert!(started.contains(&run.call)),
                    Effect::Emit(Body::Observation(seen)) => {
                        *answers.get_mut(&seen.call).unwrap() += 1;
                    }
                    Effect::Ask { .. } => {
                        prop_assert!(round_open && answers.values().all(|count| *count == 1));
                    }
                    Effect::Emit(Body::RoundEnded(_)) => {
                        prop_assert!(round_open && answers.values().all(|count| *count == 1));
                        round_open = false;
                    }
                    _ => {}
                }
            }
        }
        let is_at_rest = matches!(agent.state(), StateName::Idle | StateName::Closed);
        let sums_up = matches!(agent.state(), StateName::Compacting | StateName::Stopping);
        prop_assert!(round_open != is_at_rest || (sums_up && !round_open));
    }
}
