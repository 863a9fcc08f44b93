//! Stopping: told to stop, waiting for the request or the tool to come to rest.

use trajectory::Body;
use trajectory::event::{CallStatus, Ended, Interruption, InterruptionCause};

use crate::state::{PendingCall, State, Stopping, Unrest};
use crate::{Agent, Effect, Input, asking, running, unrun};

pub(crate) fn handle(
    agent: &mut Agent,
    stopping: Stopping,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    let Stopping { cause, rest } = stopping;
    match (rest, input) {
        (Unrest::Request(request), Input::ReplyFailed { partial, .. }) => {
            asking::emit_partial(request, partial, effects);
            cancel_rest(agent, cause, [], effects)
        }
        // The reply was whole just as it was stopped: its words count, its calls were never made.
        (Unrest::Request(request), Input::Reply { parts, usage, .. }) => {
            agent.spend(usage);
            asking::emit_partial(request, parts, effects);
            cancel_rest(agent, cause, [], effects)
        }
        (Unrest::Summary { goes_on }, Input::Reply { usage, .. }) => {
            agent.spend(usage);
            end_summary(agent, cause, goes_on, effects)
        }
        (Unrest::Summary { goes_on }, Input::ReplyFailed { .. }) => {
            end_summary(agent, cause, goes_on, effects)
        }
        (Unrest::Call(step), Input::Finished { call, outcome }) if call == step.current.call => {
            running::observe(&step, outcome, effects);
            cancel_rest(agent, cause, step.waiting, effects)
        }
        (rest, Input::Close) => {
            agent.closing = true;
            State::Stopping(Stopping { cause, rest })
        }
        (rest, _) => State::Stopping(Stopping { cause, rest }),
    }
}

/// Nobody waits for a summary any more; the round that did ends with it.
fn end_summary(
    agent: &mut Agent,
    cause: InterruptionCause,
    goes_on: bool,
    effects: &mut Vec<Effect>,
) -> State {
    if goes_on {
        return cancel_rest(agent, cause, [], effects);
    }
    effects.push(Effect::Emit(Body::Interruption(Interruption { cause })));
    agent.rest(Ended::Interrupted, effects)
}

/// Answers the calls that never ran, and ends the round.
pub(crate) fn cancel_rest(
    agent: &mut Agent,
    cause: InterruptionCause,
    calls: impl IntoIterator<Item = PendingCall>,
    effects: &mut Vec<Effect>,
) -> State {
    for call in calls {
        let shown = "Cancelled before it ran.".to_owned();
        effects.push(Effect::Emit(unrun(call.call, CallStatus::Cancelled, shown)));
    }
    effects.push(Effect::Emit(Body::Interruption(Interruption { cause })));
    let ended = match cause {
        InterruptionCause::Limit => Ended::Limit,
        InterruptionCause::User | InterruptionCause::Crash => Ended::Interrupted,
    };
    agent.end_round(ended, effects)
}
