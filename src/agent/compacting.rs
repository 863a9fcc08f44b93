//! Compacting: the model is asked for a summary that takes the place of the conversation.
//!
//! Whatever comes of it, the conversation gets smaller: without the model's words, what the user
//! asked for, the plan and the files that were open make up the summary alone.

use trajectory::Part;
use trajectory::event::ErrorStage;

use crate::state::{Asking, State, Stopping, Unrest};
use crate::{Agent, Effect, Input, Remedy, asking};

/// Asks for a summary, as this request.
pub(crate) fn ask_summary(request: u32, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::AskSummary { request });
    State::Compacting(Asking { request, attempt: 1, is_compacted: false })
}

/// Makes the conversation smaller without asking: it is too large even for that.
pub(crate) fn compact_unasked(agent: &mut Agent, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::Compact { request: None, summary: None });
    asking::ask_compacted(agent, effects)
}

pub(crate) fn handle(
    agent: &mut Agent,
    asking: Asking,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    let request = asking.request;
    match input {
        Input::Reply { parts, usage, .. } => {
            agent.spend(usage);
            effects.push(Effect::Compact { request: Some(request), summary: words(parts) });
            asking::ask_compacted(agent, effects)
        }
        Input::ReplyFailed { message, remedy, .. } => {
            effects.push(asking::error(ErrorStage::Model, message, request));
            if let Remedy::AskAgain { wait } = remedy {
                let attempt = asking.attempt + 1;
                effects.push(Effect::AskAgain { request, attempt, wait });
                return State::Compacting(Asking { attempt, ..asking });
            }
            effects.push(Effect::Compact { request: Some(request), summary: None });
            asking::ask_compacted(agent, effects)
        }
        Input::Interrupt(cause) => {
            effects.push(Effect::StopAsking);
            State::Stopping(Stopping { cause, rest: Unrest::Summary })
        }
        Input::Close => {
            agent.closing = true;
            State::Compacting(asking)
        }
        _ => State::Compacting(asking),
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
