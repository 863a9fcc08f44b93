//! The thread: turn after turn until there is nothing more to do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::running::{Planned, Running};
use super::{Load, Settings, Shared};
use crate::engine::{Answer, Engine, EngineError, Facts, Piece, Want};
use crate::job::{End, Job, Step};
use crate::slots::Slots;

/// When memory runs out, pieces of prompts get smaller, down to this.
const PIECE_MIN: usize = 16;

/// After so many turns without trouble they get larger again.
const TURNS_UNTIL_LARGER: usize = 256;

/// All that the thread has.
pub(super) struct Scheduler {
    engine: Box<dyn Engine>,
    facts: Facts,
    settings: Settings,
    shared: Arc<Shared>,
    slots: Slots,
    /// The oldest first.
    running: Vec<Running>,
    /// Tokens of prompts that a turn may compute now.
    turn_tokens: usize,
    calm_turns: usize,
    load: Load,
    said: watch::Sender<Load>,
}

impl Scheduler {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        settings: Settings,
        shared: Arc<Shared>,
        said: watch::Sender<Load>,
    ) -> Self {
        let facts = engine.facts();
        Self {
            engine,
            facts,
            settings,
            shared,
            slots: Slots::new(facts.slots),
            running: Vec::new(),
            turn_tokens: settings.turn_tokens.max(1),
            calm_turns: 0,
            load: Load::default(),
            said,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.tidy();
            self.admit();
            let has_computed = self.compute();
            self.say_load();
            let (is_closed, is_late, is_empty) = {
                let inbox = self.shared.inbox();
                let is_late = inbox.deadline.is_some_and(|deadline| deadline <= Instant::now());
                (inbox.is_closed, is_late, inbox.jobs.is_empty())
            };
            if is_late {
                self.end_all();
                return;
            }
            if is_closed && is_empty && self.running.is_empty() {
                return;
            }
            if !has_computed {
                self.shared.wait();
            }
        }
    }

    /// Lets go of jobs whose readers are gone.
    fn tidy(&mut self) {
        for place in (0..self.running.len()).rev() {
            if self.running[place].steps.is_closed() {
                self.leave(place);
            }
        }
        self.shared.inbox().jobs.retain(|job| !job.steps.is_closed());
    }

    /// Gives slots to jobs that wait.
    fn admit(&mut self) {
        loop {
            if self.slots.busy() == self.facts.slots {
                return;
            }
            let job = self.shared.inbox().jobs.pop_front();
            let Some(job) = job else { return };
            self.begin(job);
        }
    }

    fn begin(&mut self, mut job: Job) {
        // A stop that cannot come would be waited for where nothing else may follow.
        job.stops.retain(|id| usize::try_from(*id).is_ok_and(|id| id < self.facts.vocab));
        let Some(place) = self.slots.choose(job.variant, &job.prompt) else { return };
        let slot = place.slot;
        let mut cached = place.cached;
        if let Some(source) = place.source {
            let copied = guarded(|| self.engine.copy(source, slot, cached));
            if copied.is_err() {
                // It is computed instead.
                self.load.failures += 1;
                cached = 0;
            }
        }
        self.truncate(slot, cached);
        self.slots.take(slot, job.variant, &job.prompt, cached);
        self.load.cached_tokens += cached as u64;
        self.running.push(Running::new(job, slot, cached));
        let last = self.running.len() - 1;
        if self.running[last].wants_nothing() {
            self.end(last, End::Length);
        }
    }

    /// One call for each model that has something to compute; whether there was any.
    fn compute(&mut self) -> bool {
        let mut budget = self.turn_tokens;
        let mut variants: Vec<usize> = Vec::new();
        for job in &self.running {
            if !variants.contains(&job.variant) {
                variants.push(job.variant);
            }
        }
        let mut has_computed = false;
        for variant in variants {
            let plan = self.plan(variant, &mut budget);
            if !plan.is_empty() {
                has_computed = true;
                self.call(variant, &plan);
            }
        }
        has_computed
    }

    /// What to compute for the jobs of a model.
    fn plan(&self, variant: usize, budget: &mut usize) -> Vec<Planned> {
        let mut plan = Vec::new();
        for (job, running) in self.running.iter().enumerate() {
            if running.variant != variant {
                continue;
            }
            let missing = running.missing();
            let prompt = missing.min(*budget);
            if prompt == 0 && (missing > 0 || running.next.is_empty()) {
                continue;
            }
            *budget -= prompt;
            let want = if prompt < missing { Want::Nothing } else { running.want() };
            plan.push(Planned { job, prompt, want });
        }
        plan
    }

    fn call(&mut self, variant: usize, plan: &[Planned]) {
        let pieces: Vec<Piece<'_>> = plan
            .iter()
            .map(|planned| {
                let job = &self.running[planned.job];
                Piece { slot: job.slot, tokens: job.tokens(planned), want: planned.want }
            })
            .collect();
        let answers = guarded(|| self.engine.forward(variant, &pieces)).and_then(|answers| {
            let is_whole = answers.len() == pieces.len()
                && answers.iter().zip(&pieces).all(|(answer, piece)| is_to(answer, piece.want));
            let fault = || {
                EngineError::Failed("The engine's answers are not to what was asked.".to_owned())
            };
            if is_whole { Ok(answers) } else { Err(fault()) }
        });
        match answers {
            Ok(answers) => self.went_well(plan, answers),
            Err(error) => self.went_wrong(plan, error),
        }
    }

    fn went_well(&mut self, plan: &[Planned], answers: Vec<Answer>) {
        let mut ends = Vec::new();
        for (planned, answer) in plan.iter().zip(answers) {
            let job = &mut self.running[planned.job];
            self.slots.push(job.slot, job.tokens(planned));
            job.done += planned.prompt;
            self.load.prompt_tokens += planned.prompt as u64;
            let left = job.left;
            let end = job.hear(answer, self.facts.vocab);
            self.load.sampled_tokens += (left - job.left) as u64;
            ends.extend(end.map(|end| (planned.job, end)));
        }
        // From the last on, so that the places of the others stay.
        for (place, end) in ends.into_iter().rev() {
            if matches!(end, End::Failed(_)) {
                // What lies there gave no numbers: nobody goes on from it.
                self.slots.forget(self.running[place].slot);
            }
            self.end(place, end);
        }
        self.calm_turns += 1;
        if self.calm_turns >= TURNS_UNTIL_LARGER && self.turn_tokens < self.settings.turn_tokens {
            self.turn_tokens = (self.turn_tokens * 2).min(self.settings.turn_tokens);
            self.calm_turns = 0;
        }
    }

    fn went_wrong(&mut self, plan: &[Planned], error: EngineError) {
        self.load.failures += 1;
        self.calm_turns = 0;
        for planned in plan {
            let slot = self.running[planned.job].slot;
            self.truncate(slot, self.slots.held(slot));
        }
        let prompt: usize = plan.iter().map(|planned| planned.prompt).sum();
        if !matches!(error, EngineError::OutOfMemory(_)) {
            for planned in plan.iter().rev() {
                self.end(planned.job, End::Failed(error.clone()));
            }
        } else if self.give_back() {
            // What nobody is at work with goes first.
        } else if prompt > PIECE_MIN {
            self.turn_tokens = (prompt / 2).max(PIECE_MIN);
        } else if let Some(last) =
            plan.iter().rev().find(|planned| planned.prompt > 0).or(plan.last())
        {
            // The others may go on when the youngest is gone, of those that begin if there are any. What
            // it had leaves room, and may have been all that was missing.
            self.end(last.job, End::Failed(error));
            self.turn_tokens = self.settings.turn_tokens;
        }
    }

    /// Gives back the memory of a slot that has no job; whether there was any.
    fn give_back(&mut self) -> bool {
        self.slots.idle().into_iter().any(|slot| {
            let given = catch_unwind(AssertUnwindSafe(|| self.engine.give_back(slot)));
            if given.as_ref().is_ok_and(|had_any| !had_any) {
                return false;
            }
            self.slots.forget(slot);
            given.is_ok()
        })
    }

    fn truncate(&mut self, slot: usize, tokens: usize) {
        let cut = catch_unwind(AssertUnwindSafe(|| self.engine.truncate(slot, tokens)));
        if cut.is_err() {
            self.slots.forget(slot);
        }
    }

    /// Ends a job: its slot is free.
    fn end(&mut self, place: usize, end: End) {
        self.running[place].say(Step::Ended(end));
        self.leave(place);
    }

    fn leave(&mut self, place: usize) {
        let job = self.running.remove(place);
        self.slots.leave(job.slot);
        self.load.ended += 1;
    }

    fn end_all(&self) {
        for job in &self.running {
            job.say(Step::Ended(End::Shutdown));
        }
    }

    fn say_load(&mut self) {
        self.load.busy = self.slots.busy();
        self.load.held = self.slots.held_by_all();
        self.load.waiting = self.shared.inbox().jobs.len();
        self.said.send_if_modified(|said| std::mem::replace(said, self.load) != self.load);
    }
}

/// Whether an answer is one to what was asked.
fn is_to(answer: &Answer, want: Want) -> bool {
    matches!(
        (answer, want),
        (Answer::Nothing, Want::Nothing)
            | (Answer::Best(_) | Answer::NoNumber, Want::Best)
            | (Answer::Logits(_), Want::Logits)
    )
}

/// A call of the engine, which fails instead of panicking.
fn guarded<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(EngineError::Failed(format!("The engine failed: {}.", message(&*panic))))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}
