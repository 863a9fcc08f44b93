//! Asking: the model has the floor.

use std::collections::VecDeque;

use serde_json::Value;
use trajectory::event::{AssistantText, Ended, ErrorEvent, ErrorStage, Reasoning, ToolCall};
use trajectory::{Body, Part, Verdict};

use crate::state::{Asking, PendingCall, State, Stopping, Unrest};
use crate::{Agent, Effect, Input, Remedy, compacting, running};

/// Asks the model for the next step, unless a limit is reached.
pub(crate) fn ask(agent: &mut Agent, effects: &mut Vec<Effect>) -> State {
    ask_with(agent, false, effects)
}

/// The same with a context that was made smaller just now.
pub(crate) fn ask_compacted(agent: &mut Agent, effects: &mut Vec<Effect>) -> State {
    ask_with(agent, true, effects)
}

fn ask_with(agent: &mut Agent, is_compacted: bool, effects: &mut Vec<Effect>) -> State {
    if let Some(message) = limit_reached(agent) {
        let error = ErrorEvent { stage: ErrorStage::Limit, message, request: None };
        effects.push(Effect::Emit(error.into()));
        return agent.end_round(Ended::Limit, effects);
    }
    agent.is_steered = false;
    agent.steps += 1;
    agent.counters.request += 1;
    let request = agent.counters.request;
    effects.push(Effect::Ask { request });
    State::Asking(Asking { request, attempt: 1, is_compacted })
}

fn limit_reached(agent: &Agent) -> Option<String> {
    let limits = agent.setup.limits;
    if let Some(max) = limits.steps_max
        && agent.steps >= max
    {
        return Some(format!(
            "The limit of {max} steps is reached. Raise it with --max-steps and resume."
        ));
    }
    let spent = agent.spent.total();
    let max = limits.tokens_max.filter(|max| spent >= *max)?;
    Some(format!(
        "The limit of {max} tokens is reached ({spent} used). Raise it with --max-tokens and resume."
    ))
}

pub(crate) fn handle(
    agent: &mut Agent,
    asking: Asking,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    match input {
        Input::Reply { parts, usage, cut_off, verdicts } => {
            agent.spend(usage);
            reply(agent, &asking, parts, cut_off, verdicts, effects)
        }
        Input::ReplyFailed { partial, message, remedy } => {
            failed(agent, asking, partial, message, remedy, effects)
        }
        Input::Overfull { .. } if asking.is_compacted => {
            let message = "The conversation does not fit into the model's context window, and it \
                           cannot be made smaller. Use a model with a larger window \
                           (--context-window tells limn its size), or begin a new session.";
            effects.push(error(ErrorStage::Limit, message.to_owned(), asking.request));
            agent.end_round(Ended::Limit, effects)
        }
        Input::Overfull { can_be_asked } => {
            agent.steps = agent.steps.saturating_sub(1);
            if can_be_asked {
                return compacting::ask_summary(asking.request, effects);
            }
            // Its number was given out and not used.
            agent.counters.request = agent.counters.request.saturating_sub(1);
            compacting::compact_unasked(agent, effects)
        }
        Input::Interrupt(cause) => {
            effects.push(Effect::StopAsking);
            State::Stopping(Stopping { cause, rest: Unrest::Request(asking.request) })
        }
        Input::Close => {
            agent.closing = true;
            State::Asking(asking)
        }
        _ => State::Asking(asking),
    }
}

fn failed(
    agent: &mut Agent,
    asking: Asking,
    partial: Vec<Part>,
    message: String,
    remedy: Remedy,
    effects: &mut Vec<Effect>,
) -> State {
    let request = asking.request;
    match remedy {
        // What had come is in the raw response of the attempt. It is not said: the model is about
        // to say it again.
        Remedy::AskAgain { wait } => {
            effects.push(error(ErrorStage::Model, message, request));
            let attempt = asking.attempt + 1;
            effects.push(Effect::AskAgain { request, attempt, wait });
            State::Asking(Asking { attempt, ..asking })
        }
        Remedy::Compact if !asking.is_compacted => {
            effects.push(error(ErrorStage::Model, message, request));
            agent.steps = agent.steps.saturating_sub(1);
            agent.counters.request += 1;
            compacting::ask_summary(agent.counters.request, effects)
        }
        Remedy::None | Remedy::Compact => {
            emit_partial(request, partial, effects);
            effects.push(error(ErrorStage::Model, message, request));
            agent.end_round(Ended::Failed, effects)
        }
    }
}

/// An error, told of a request.
pub(crate) fn error(stage: ErrorStage, message: String, request: u32) -> Effect {
    Effect::Emit(ErrorEvent { stage, message, request: Some(request) }.into())
}

fn reply(
    agent: &mut Agent,
    asking: &Asking,
    parts: Vec<Part>,
    cut_off: Option<String>,
    verdicts: Vec<Option<Verdict>>,
    effects: &mut Vec<Effect>,
) -> State {
    let mut verdicts = verdicts.into_iter();
    let mut calls = VecDeque::new();
    let mut is_wordless = true;
    let mut left = parts.iter().filter(|part| matches!(part, Part::ToolCall { .. })).count();
    for part in parts {
        match part {
            Part::ToolCall { id, name, arguments, freeform, signature } => {
                agent.counters.call += 1;
                left -= 1;
                // A reply that was cut off was cut off in its last call, if in any.
                let cut_off = cut_off.as_deref().filter(|_| left == 0);
                let malformed = why_malformed(&arguments, freeform, cut_off);
                let pending = PendingCall {
                    call: agent.counters.call,
                    name: name.clone(),
                    arguments: arguments.clone(),
                    malformed: malformed.clone(),
                    is_cut_off: cut_off.is_some(),
                    verdict: verdicts.next().flatten(),
                };
                effects.push(Effect::Emit(Body::ToolCall(ToolCall {
                    request: asking.request,
                    call: pending.call,
                    id,
                    name,
                    arguments,
                    malformed,
                    freeform,
                    signature,
                })));
                calls.push_back(pending);
            }
            other => {
                is_wordless &= !matches!(&other, Part::Text(text) if !text.trim().is_empty());
                let said = spoken(asking.request, other, cut_off.is_some());
                effects.extend(said.map(Effect::Emit));
            }
        }
    }
    match cut_off {
        _ if !calls.is_empty() => running::next(agent, calls, effects),
        Some(why) => {
            effects.push(error(ErrorStage::Limit, cut_off_message(&why), asking.request));
            agent.end_round(Ended::Limit, effects)
        }
        // What the user said meanwhile has not been answered.
        None if agent.is_steered => ask(agent, effects),
        None => {
            if is_wordless {
                // It may have done what it should, so this is no failure; silence needs a word.
                let message = "The model ended its turn without an answer. Ask it what it did, or \
                               to go on.";
                effects.push(error(ErrorStage::Model, message.to_owned(), asking.request));
            }
            agent.end_round(Ended::Completed, effects)
        }
    }
}

/// What the model had said when it was cut short. Calls are left out: nobody knows whether they
/// are whole, and the raw stream keeps them.
pub(crate) fn emit_partial(request: u32, partial: Vec<Part>, effects: &mut Vec<Effect>) {
    for part in partial {
        effects.extend(spoken(request, part, true).map(Effect::Emit));
    }
}

fn spoken(request: u32, part: Part, interrupted: bool) -> Option<Body> {
    Some(match part {
        Part::Reasoning { text, field, form, signature } => {
            Body::Reasoning(Reasoning { request, text, form, field, signature, interrupted })
        }
        Part::Text(text) => Body::Message(AssistantText { request, text, interrupted }),
        Part::ToolCall { .. } => return None,
    })
}

fn cut_off_message(why: &str) -> String {
    if why == "content_filter" {
        return "The server withheld the rest of the reply (content_filter). Ask in other words, \
                or use another model."
            .to_owned();
    }
    format!(
        "The server cut the reply off ({why}). Ask the model to go on, or raise the endpoint's \
         limit on output tokens."
    )
}

/// Why these arguments cannot be used: they are not a JSON object, or not whole. `None` when they
/// can, or when there are none.
fn why_malformed(arguments: &str, freeform: bool, cut_off: Option<&str>) -> Option<String> {
    let cut = || cut_off.map(|why| format!("the reply was cut off before they were whole ({why})"));
    // Of these nobody can tell from the text whether they are whole.
    if freeform || arguments.trim().is_empty() {
        return cut();
    }
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => None,
        Ok(_) => cut().or_else(|| Some("they are JSON, but not an object".to_owned())),
        Err(error) => cut().or_else(|| Some(error.to_string())),
    }
}
