//! Deciding: a call waits for the user's word.

use trajectory::Body;
use trajectory::event::{ApprovalDecision, ApprovalEvent, CallStatus, DecidedBy};

use crate::state::{State, Step};
use crate::{Agent, Effect, Input, running, stopping, unrun};

pub(crate) fn handle(
    agent: &mut Agent,
    mut step: Step,
    input: Input,
    effects: &mut Vec<Effect>,
) -> State {
    match input {
        Input::Decided { call, decision, reason, arguments } if call == step.current.call => {
            effects.push(Effect::Emit(Body::Approval(ApprovalEvent {
                call,
                decision,
                by: DecidedBy::User,
                reason: reason.clone(),
                arguments: arguments.clone(),
            })));
            if decision == ApprovalDecision::Denied {
                let shown = match reason {
                    Some(reason) => format!("Denied by the user: {reason}"),
                    None => "Denied by the user.".to_owned(),
                };
                effects.push(Effect::Emit(unrun(call, CallStatus::Denied, shown)));
                return running::next(agent, step.waiting, effects);
            }
            if let Some(arguments) = arguments {
                step.current.arguments = arguments;
            }
            running::start(agent, step.current, step.waiting, effects)
        }
        // Nothing is running: there is nothing to wait for.
        Input::Interrupt(cause) => {
            let calls = std::iter::once(step.current).chain(step.waiting);
            stopping::cancel_rest(agent, cause, calls, effects)
        }
        Input::Close => {
            agent.closing = true;
            State::Deciding(step)
        }
        _ => State::Deciding(step),
    }
}
