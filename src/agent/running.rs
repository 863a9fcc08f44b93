//! Running: a tool has the floor. Calls of one reply run one after the other, in their order, so
//! that the log reads as it happened and two writes never race.

use std::collections::VecDeque;

use trajectory::event::{
    ApprovalDecision, ApprovalEvent, CallStatus, DecidedBy, Observation, ToolStarted,
};
use trajectory::{Approval, Body};

use crate::state::{PendingCall, State, Step, Stopping, Unrest};
use crate::{Agent, Effect, Input, Invocation, Outcome, asking, unrun};

/// Gives the floor to the next call that can run; answers those that cannot.
pub(crate) fn next(
    agent: &mut Agent,
    mut waiting: VecDeque<PendingCall>,
    effects: &mut Vec<Effect>,
) -> State {
    while let Some(current) = waiting.pop_front() {
        if let Some(shown) = why_impossible(agent, &current) {
            effects.push(Effect::Emit(unrun(current.call, CallStatus::Error, shown)));
            continue;
        }
        match approval(agent, &current) {
            Approval::Allowed => return start(agent, current, waiting, effects),
            Approval::Ask if agent.setup.interactive => {
                effects.push(Effect::Decide { call: current.call });
                return State::Deciding(Step { current, exec: 0, waiting });
            }
            Approval::Ask | Approval::Denied => deny_by_mode(agent, &current, effects),
        }
    }
    asking::ask(agent, effects)
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
        Input::Finished { call, outcome } if call == step.current.call => {
            observe(&step, outcome, effects);
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

fn spec_effect(agent: &Agent, call: &PendingCall) -> trajectory::ToolEffect {
    agent
        .setup
        .tools
        .iter()
        .find(|tool| tool.name == call.name)
        .map_or(trajectory::ToolEffect::Executes, |tool| tool.effect)
}

fn approval(agent: &Agent, call: &PendingCall) -> Approval {
    agent.setup.approval.decide(spec_effect(agent, call))
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
    Some(format!(
        "The arguments are not a JSON object: {why}. Nothing was run; send the call again with \
         valid JSON."
    ))
}

fn deny_by_mode(agent: &Agent, call: &PendingCall, effects: &mut Vec<Effect>) {
    let mode = agent.setup.approval.as_str();
    let reason = match agent.setup.approval.decide(spec_effect(agent, call)) {
        Approval::Ask => format!(
            "Approval mode `{mode}` asks before `{}` runs, and nobody is there to ask.",
            call.name
        ),
        _ => format!("Approval mode `{mode}` does not allow `{}`.", call.name),
    };
    let shown = format!("Denied: {reason} Go on without it, or say what you would have done.");
    effects.push(Effect::Emit(Body::Approval(ApprovalEvent {
        call: call.call,
        decision: ApprovalDecision::Denied,
        by: DecidedBy::Mode,
        reason: Some(reason),
        arguments: None,
    })));
    effects.push(Effect::Emit(unrun(call.call, CallStatus::Denied, shown)));
}
