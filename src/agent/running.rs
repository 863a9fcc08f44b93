//! Running: a tool has the floor. Calls of one reply run one after the other, in their order, so
//! that the log reads as it happened and two writes never race.

use std::collections::VecDeque;

use trajectory::event::{
    ApprovalDecision, ApprovalEvent, CallStatus, DecidedBy, Ended, ErrorEvent, ErrorStage,
    Observation, ToolStarted,
};
use trajectory::{Approval, Body, Verdict};

use crate::habit::{Noticed, TIMES_MAX};
use crate::state::{PendingCall, State, Step, Stopping, Unrest};
use crate::{Agent, Effect, Input, Invocation, Outcome, asking, unrun};

/// Gives the floor to the next call that can run; answers those that cannot.
pub(crate) fn next(
    agent: &mut Agent,
    mut waiting: VecDeque<PendingCall>,
    effects: &mut Vec<Effect>,
) -> State {
    while let Some(current) = waiting.pop_front() {
        let (status, mut shown) = match why_impossible(agent, &current) {
            Some(why) => (CallStatus::Error, why),
            None => match approval(agent, &current) {
                Approval::Allowed => {
                    effects.extend(allowed_by_rule(&current));
                    return start(agent, current, waiting, effects);
                }
                Approval::Ask if agent.setup.interactive => {
                    effects.push(Effect::Decide { call: current.call });
                    return State::Deciding(Step { current, exec: 0, waiting });
                }
                decision => (CallStatus::Denied, deny(agent, &current, decision, effects)),
            },
        };
        let noticed = notice(agent, &current, &mut shown);
        effects.push(Effect::Emit(unrun(current.call, status, shown)));
        if noticed == Noticed::Stuck {
            return stuck(agent, waiting, effects);
        }
    }
    asking::ask(agent, effects)
}

/// Whether the model goes round in a circle, said behind what it is shown. A call that cannot run
/// is a step like any other: it is what a model in a circle does most.
fn notice(agent: &mut Agent, call: &PendingCall, shown: &mut String) -> Noticed {
    let noticed = agent.habit.step(&call.name, &call.arguments, shown);
    if let Noticed::Told(note) = &noticed {
        shown.push_str(&format!("\n{note}"));
    }
    noticed
}

/// Starts a call that may run: its intent is emitted, then it runs.
pub(crate) fn start(
    agent: &mut Agent,
    current: PendingCall,
    waiting: VecDeque<PendingCall>,
    effects: &mut Vec<Effect>,
) -> State {
    agent.counters.exec += 1;
    let exec = agent.counters.exec;
    effects.push(Effect::Emit(ToolStarted { call: current.call, exec }.into()));
    let effect = spec_effect(agent, &current);
    let blank = current.arguments.trim().is_empty();
    effects.push(Effect::Run(Invocation {
        call: current.call,
        exec,
        name: current.name.clone(),
        arguments: if blank { "{}".to_owned() } else { current.arguments.clone() },
        effect,
    }));
    State::Running(Step { current, exec, waiting })
}

pub(crate) fn handle(
    agent: &mut Agent,
    step: Step,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    match input {
        Input::Finished { call, mut outcome } if call == step.current.call => {
            let noticed = notice(agent, &step.current, &mut outcome.shown);
            observe(&step, outcome, effects);
            if noticed == Noticed::Stuck {
                return stuck(agent, step.waiting, effects);
            }
            next(agent, step.waiting, effects)
        }
        Input::Interrupt(cause) => {
            effects.push(Effect::StopRunning { call: step.current.call });
            State::Stopping(Stopping { cause, rest: Unrest::Call(step) })
        }
        Input::Close => {
            agent.closing = true;
            State::Running(step)
        }
        _ => State::Running(step),
    }
}

/// The observation of a call that ran, and the checklist if it changed that.
pub(crate) fn observe(step: &Step, outcome: Outcome, effects: &mut Vec<Effect>) {
    effects.push(Effect::Emit(Body::Observation(Observation {
        call: step.current.call,
        status: outcome.status,
        shown: outcome.shown,
        exec: Some(step.exec),
        exit: outcome.exit,
        output: outcome.output,
        truncated: outcome.truncated,
        attachments: outcome.attachments,
        duration_us: outcome.duration_us,
    })));
    effects.extend(outcome.plan.map(|plan| Effect::Emit(plan.into())));
}

/// The model goes round in a circle, and was told: the user has to say what now.
fn stuck(agent: &mut Agent, waiting: VecDeque<PendingCall>, effects: &mut Vec<Effect>) -> State {
    for call in waiting {
        let shown = "Not run: the round was ended because it repeats itself.".to_owned();
        effects.push(Effect::Emit(unrun(call.call, CallStatus::Cancelled, shown)));
    }
    let message = format!(
        "The model has repeated the same calls with the same results {TIMES_MAX} times. Tell it \
         what to do instead."
    );
    let error = ErrorEvent { stage: ErrorStage::Limit, message, request: None };
    effects.push(Effect::Emit(error.into()));
    agent.end_round(Ended::Limit, effects)
}

fn spec_effect(agent: &Agent, call: &PendingCall) -> trajectory::ToolEffect {
    agent
        .setup
        .tools
        .iter()
        .find(|tool| tool.name == call.name)
        .map_or(trajectory::ToolEffect::Executes, |tool| tool.effect)
}

fn approval(agent: &Agent, call: &PendingCall) -> Approval {
    agent.setup.approval.decide_with(spec_effect(agent, call), call.verdict.as_ref())
}

/// What the model is told of a call that cannot run.
fn why_impossible(agent: &Agent, call: &PendingCall) -> Option<String> {
    let tools = &agent.setup.tools;
    if !tools.iter().any(|tool| tool.name == call.name) {
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let name: String = call.name.chars().take(80).collect();
        return Some(format!(
            "There is no tool named `{name}`. The tools are: {}.",
            names.join(", ")
        ));
    }
    let why = call.malformed.as_ref()?;
    Some(if call.is_cut_off {
        format!(
            "The call cannot be used: {why}. Nothing was run; send it again, in smaller parts if \
             it was too long."
        )
    } else {
        format!(
            "The arguments are not a JSON object: {why}. Nothing was run; send the call again \
             with valid JSON."
        )
    })
}

/// That a rule spared the user the question.
fn allowed_by_rule(call: &PendingCall) -> Option<Effect> {
    let verdict = call.verdict.as_ref().filter(|it| it.decision == Approval::Allowed)?;
    Some(Effect::Emit(Body::Approval(ApprovalEvent {
        call: call.call,
        decision: ApprovalDecision::Allowed,
        by: DecidedBy::Rule,
        reason: Some(format!("The rule `{}` allows it.", verdict.rule)),
        arguments: None,
    })))
}

/// Records that a call is denied; what the model is told of it.
fn deny(
    agent: &Agent,
    call: &PendingCall,
    decision: Approval,
    effects: &mut Vec<Effect>,
) -> String {
    let mode = agent.setup.approval;
    let by_rule = call.verdict.as_ref().filter(|verdict| {
        verdict.decision == decision && mode.decide(spec_effect(agent, call)) != decision
    });
    let (by, reason) = match (by_rule, decision) {
        (Some(Verdict { rule, .. }), Approval::Ask) => (
            DecidedBy::Rule,
            format!("The rule `{rule}` asks before this runs, and nobody is there to ask."),
        ),
        (Some(Verdict { rule, .. }), _) => {
            (DecidedBy::Rule, format!("The rule `{rule}` does not allow it."))
        }
        (None, Approval::Ask) => (
            DecidedBy::Mode,
            format!(
                "Approval mode `{}` asks before `{}` runs, and nobody is there to ask.",
                mode.as_str(),
                call.name
            ),
        ),
        (None, _) => (
            DecidedBy::Mode,
            format!("Approval mode `{}` does not allow `{}`.", mode.as_str(), call.name),
        ),
    };
    let shown = format!("Denied: {reason} Go on without it, or say what you would have done.");
    effects.push(Effect::Emit(Body::Approval(ApprovalEvent {
        call: call.call,
        decision: ApprovalDecision::Denied,
        by,
        reason: Some(reason),
        arguments: None,
    })));
    shown
}
