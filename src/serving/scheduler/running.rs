//! A job that has a slot.

use tokio::sync::mpsc;

use crate::constraint::Constraint;
use crate::engine::{Answer, EngineError, Want};
use crate::job::{End, Job, Sampled, Step};
use crate::sampling::{Choice, NO_NUMBER, Sampler};

/// Tokens that are forced at once: they are computed in one piece.
const FORCED_MAX: usize = 64;

/// A job that has a slot.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) slot: usize,
    pub(super) variant: usize,
    pub(super) prompt: Vec<u32>,
    /// Tokens of the prompt that are in the slot.
    pub(super) done: usize,
    /// The token that was sampled last, and those that a grammar forces after it: they are not in
    /// the slot yet.
    pub(super) next: Vec<u32>,
    pub(super) steps: mpsc::UnboundedSender<Step>,
    sampler: Sampler,
    constraint: Option<Constraint>,
    stops: Vec<u32>,
    /// Whether log-probabilities are wanted, which only computing gives.
    has_logprobs: bool,
    /// Tokens that may still be sampled.
    pub(super) left: usize,
}

/// A piece of a job in a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    /// The job, by its place among those that run.
    pub(super) job: usize,
    /// Tokens of the prompt; 0 for those that were sampled last.
    pub(super) prompt: usize,
    pub(super) want: Want,
}

impl Running {
    pub(super) fn new(job: Job, slot: usize, cached: usize) -> Self {
        let has_logprobs = job.sampling.logprobs.is_some();
        let sampler = Sampler::new(job.sampling, &job.prompt);
        let running = Self {
            slot,
            variant: job.variant,
            prompt: job.prompt,
            done: cached,
            next: Vec::new(),
            steps: job.steps,
            sampler,
            constraint: job.constraint,
            stops: job.stops,
            has_logprobs,
            left: job.tokens_max,
        };
        running.say(Step::Started { cached });
        running
    }

    /// Says a step to whoever still reads.
    pub(super) fn say(&self, step: Step) {
        let _ = self.steps.send(step);
    }

    /// Whether it wants nothing more from the start.
    pub(super) fn wants_nothing(&self) -> bool {
        self.left == 0
    }

    /// Tokens of its prompt that are still to be computed.
    pub(super) fn missing(&self) -> usize {
        self.prompt.len() - self.done
    }

    /// What is asked when the next token is to be chosen.
    pub(super) fn want(&self) -> Want {
        if self.constraint.is_none() && self.sampler.takes_the_best() {
            Want::Best
        } else {
            Want::Logits
        }
    }

    /// The tokens of its piece of a call.
    pub(super) fn tokens(&self, planned: &Planned) -> &[u32] {
        match planned.prompt {
            0 => &self.next,
            count => &self.prompt[self.done..self.done + count],
        }
    }

    /// Goes on with what the engine says comes next; the end, when that is one.
    pub(super) fn hear(&mut self, answer: Answer, vocab: usize) -> Option<End> {
        let sampled = match answer {
            Answer::Nothing => return None,
            Answer::Best(id) if usize::try_from(id).is_ok_and(|id| id < vocab) => {
                Ok(Sampled { id, logprob: None, top: Vec::new() })
            }
            Answer::Best(id) => Err(format!("The engine chose token {id}, which there is not.")),
            Answer::NoNumber => Err(NO_NUMBER.to_owned()),
            Answer::Logits(logits) if logits.len() == vocab => self.choose(&logits),
            Answer::Logits(logits) => {
                Err(format!("The engine gave {} logits instead of {vocab}.", logits.len()))
            }
        };
        match sampled.and_then(|sampled| self.go_on(sampled)) {
            Ok(end) => end,
            Err(reason) => Some(End::Failed(EngineError::Failed(reason))),
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Result<Sampled, String> {
        let allowed = self.constraint.as_mut().map(Constraint::allowed).transpose()?;
        let choice = Choice { allowed: allowed.as_ref(), stops: &self.stops };
        self.sampler.choose(logits, choice)
    }

    /// Goes on after a token, and after those that cannot be others: they need no choice.
    fn go_on(&mut self, sampled: Sampled) -> Result<Option<End>, String> {
        self.next.clear();
        let end = self.take(sampled)?;
        let Some(constraint) = &mut self.constraint else { return Ok(end) };
        if end.is_some() || self.has_logprobs {
            return Ok(end);
        }
        for id in constraint.forced().into_iter().take(FORCED_MAX) {
            let end = self.take(Sampled { id, logprob: None, top: Vec::new() })?;
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }

    /// Says a token.
    fn take(&mut self, sampled: Sampled) -> Result<Option<End>, String> {
        let id = sampled.id;
        self.sampler.note(id);
        self.say(Step::Token(sampled));
        self.next.push(id);
        self.left -= 1;
        if self.stops.contains(&id) {
            return Ok(Some(End::Stop));
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.take(id)?;
            // Where a stop can be said it is: a reply ends as the model was taught to end it.
            if constraint.is_complete() && (self.stops.is_empty() || self.left == 0) {
                return Ok(Some(End::Complete));
            }
        }
        Ok((self.left == 0).then_some(End::Length))
    }
}
