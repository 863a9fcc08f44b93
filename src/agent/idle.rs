//! Idle: the user has the floor.

use trajectory::event::SessionEnded;

use crate::state::State;
use crate::{Agent, Effect, Input, asking, compacting};

pub(crate) fn handle(agent: &mut Agent, input: Input, effects: &mut Vec<Effect>) -> State {
    match input {
        Input::Submit(prompt) => {
            agent.counters.round += 1;
            agent.habit.forget();
            effects.push(Effect::Emit(prompt.into()));
            asking::ask(agent, effects)
        }
        Input::Compact { words } => compacting::compact_as_asked(agent, words, effects),
        Input::Close => close(agent, effects),
        _ => State::Idle,
    }
}

pub(crate) fn close(agent: &Agent, effects: &mut Vec<Effect>) -> State {
    effects.push(Effect::Emit(SessionEnded { ended: agent.last_ended }.into()));
    effects.push(Effect::Closed);
    State::Closed
}
