//! What the agent said is done, in its order; what could spoil a checkpoint that is under way waits,
//! and nothing else does.

use std::collections::VecDeque;

use agent::{Effect, Input, Remedy};
use record::Row;
use trajectory::Body;

use crate::checkpoints::Told;
use crate::error::SessionError;
use crate::run::Loop;

/// Something that waits until no checkpoint is under way.
pub(crate) struct Held {
    effect: Effect,
    /// The event that says that it is done.
    body: Option<Body>,
    /// What the agent said to do after it.
    rest: VecDeque<Effect>,
    /// What the agent hears after it.
    inputs: VecDeque<Input>,
}

impl Loop {
    /// Takes in what comes from outside. While the end of a round waits, the rest of the world comes
    /// after it; but who interrupts does not wait.
    pub(crate) async fn hear(&mut self, input: Input) -> Result<(), SessionError> {
        let ending = |held: &&mut Held| matches!(held.effect, Effect::RoundOver(_));
        if let Some(held) = self.held.as_mut().filter(ending) {
            if !matches!(input, Input::Interrupt(_)) {
                held.inputs.push_back(input);
                return Ok(());
            }
            self.release().await?;
        }
        self.decide(input).await
    }

    /// What it takes in comes to the agent at once, when doing what the agent said brings it.
    pub(crate) async fn follow(&mut self, input: Input) -> Result<Option<Input>, SessionError> {
        let effects = self.session.agent.handle(input).into();
        self.go_through(effects).await
    }

    async fn go_through(
        &mut self,
        mut effects: VecDeque<Effect>,
    ) -> Result<Option<Input>, SessionError> {
        let mut next = None;
        let mut bodies = Vec::new();
        while let Some(effect) = effects.pop_front() {
            if let Effect::Emit(body) = effect {
                bodies.push(body);
                continue;
            }
            if matches!(effect, Effect::Ask { .. }) {
                // With the prompt on record its checkpoint begins, and that may have to be waited for.
                self.record(std::mem::take(&mut bodies), false).await?;
            }
            if self.checkpoints.holds_up(&effect, self.session.agent.round()) {
                // What says that it is done waits with it: a round's end is its last event.
                let body = bodies.pop();
                self.held = Some(Held { effect, body, rest: effects, inputs: VecDeque::new() });
                break;
            } else if let Some(input) = self.carry_out(std::mem::take(&mut bodies), effect).await? {
                next = Some(input);
            }
        }
        self.record(bodies, false).await?;
        Ok(next)
    }

    /// Does one thing, with what goes on record before it.
    async fn carry_out(
        &mut self,
        mut bodies: Vec<Body>,
        effect: Effect,
    ) -> Result<Option<Input>, SessionError> {
        if effect == Effect::Closed {
            self.end_own().await?;
            self.stop_jobs().await?;
            let told = self.checkpoints.leave().await;
            self.tell(told).await?;
        }
        let durable = match &effect {
            Effect::Run(invocation) => {
                self.rows.push(Row::from(self.checkpoints.started_row(invocation)));
                invocation.effect.has_side_effects()
            }
            Effect::RoundOver(_) | Effect::Closed => true,
            _ => false,
        };
        if durable {
            // Before the event that says what is done now: a round's end is its last.
            let at = bodies.len().saturating_sub(1);
            bodies.splice(at..at, self.checkpoints.problem());
        }
        self.record(bodies, durable).await?;
        self.perform(effect).await
    }

    /// What waited for a checkpoint waits no longer.
    pub(crate) async fn release(&mut self) -> Result<(), SessionError> {
        let Some(Held { effect, body, rest, inputs }) = self.held.take() else { return Ok(()) };
        let now = self.carry_out(body.into_iter().collect(), effect).await?;
        let then = self.go_through(rest).await?;
        for input in now.into_iter().chain(then).chain(inputs) {
            self.decide(input).await?;
        }
        Ok(())
    }

    /// A call that waited for a checkpoint was stopped: it is on record as one that did nothing. A
    /// request that waited was not sent.
    pub(crate) async fn give_up(&mut self) -> Result<Option<Input>, SessionError> {
        let Some(held) = self.held.take() else { return Ok(None) };
        let invocation = match held.effect {
            Effect::Run(invocation) => invocation,
            Effect::Ask { .. } => return Ok(Some(never_answered())),
            _ => return Ok(None),
        };
        let (row, never_ran) = crate::tool::never_ran(&invocation);
        self.rows.push(Row::from(crate::tool::started_row(&invocation)));
        self.record(held.body.into_iter().collect(), false).await?;
        self.rows.push(Row::from(row));
        Ok(Some(never_ran))
    }

    /// What came of a checkpoint goes on record at once: nobody knows of its tree before.
    pub(crate) async fn tell(&mut self, told: Told) -> Result<(), SessionError> {
        self.rows.extend(told.rows);
        self.record_in(told.round, told.bodies, false).await
    }
}

/// What the agent hears of a request when nothing is under way that could answer.
pub(crate) fn never_answered() -> Input {
    let (partial, message) = (Vec::new(), String::new());
    Input::ReplyFailed { partial, message, remedy: Remedy::None }
}

#[cfg(test)]
mod tests;
