//! Compacting: the model is asked for a summary that takes the place of the conversation, because
//! the window is full or because the user wants it.
//!
//! Where the window is full the conversation gets smaller whatever comes of it: without the model's
//! words, what the user asked for, the plan and the files that were open make up the summary alone.

use trajectory::Part;
use trajectory::event::{Ended, ErrorStage};

use crate::state::{State, Stopping, Summing, Unrest};
use crate::{Agent, Effect, Input, Remedy, asking};

/// Asks for a summary, as this request.
pub(crate) fn ask_summary(request: u32, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::AskSummary { request, words: None });
    State::Compacting(Summing { request, attempt: 1, goes_on: true })
}

/// Asks for a summary because the user wants one, between two rounds.
pub(crate) fn compact_as_asked(
    agent: &mut Agent,
    words: Option<String>,
    effects: &mut Vec<Effect>,
) -> State {
    agent.counters.request += 1;
    let request = agent.counters.request;
    effects.push(Effect::AskSummary { request, words });
    State::Compacting(Summing { request, attempt: 1, goes_on: false })
}

/// Makes the conversation smaller without asking: it is too large even for that.
pub(crate) fn compact_unasked(agent: &mut Agent, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::Compact { request: None, summary: None, whole: false });
    asking::ask_compacted(agent, effects)
}

pub(crate) fn handle(
    agent: &mut Agent,
    summing: Summing,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    let request = summing.request;
    match input {
        Input::Reply { parts, usage, .. } => {
            agent.spend(usage);
            let summary = words(parts);
            if summary.is_none() && !summing.goes_on {
                let message = "The model gave no summary, so the conversation stays as it is. Ask \
                               for it again, or use another model.";
                effects.push(asking::error(ErrorStage::Model, message.to_owned(), request));
                return agent.rest(Ended::Failed, effects);
            }
            let whole = !summing.goes_on;
            effects.push(Effect::Compact { request: Some(request), summary, whole });
            compacted(agent, &summing, effects)
        }
        Input::ReplyFailed { message, remedy, .. } => {
            effects.push(asking::error(ErrorStage::Model, message, request));
            if let Remedy::AskAgain { wait } = remedy {
                let attempt = summing.attempt + 1;
                effects.push(Effect::AskAgain { request, attempt, wait });
                return State::Compacting(Summing { attempt, ..summing });
            }
            if remedy == Remedy::None && !summing.goes_on {
                // Nothing forces it, and a conversation is worth more than what is left without
                // the model's words.
                return agent.rest(Ended::Failed, effects);
            }
            let (request, whole) = (Some(request), !summing.goes_on);
            effects.push(Effect::Compact { request, summary: None, whole });
            compacted(agent, &summing, effects)
        }
        Input::Interrupt(cause) => {
            effects.push(Effect::StopAsking);
            let rest = Unrest::Summary { goes_on: summing.goes_on };
            State::Stopping(Stopping { cause, rest })
        }
        Input::Close => {
            agent.closing = true;
            State::Compacting(summing)
        }
        _ => State::Compacting(summing),
    }
}

/// The conversation is smaller now: the round goes on, or the user has the floor again.
fn compacted(agent: &mut Agent, summing: &Summing, effects: &mut Vec<Effect>) -> State {
    if summing.goes_on {
        asking::ask_compacted(agent, effects)
    } else {
        agent.rest(Ended::Completed, effects)
    }
}

/// What the model said to the user, without what it thought or wanted to call.
fn words(parts: Vec<Part>) -> Option<String> {
    let text: String = parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Reasoning { .. } | Part::ToolCall { .. } => None,
        })
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
