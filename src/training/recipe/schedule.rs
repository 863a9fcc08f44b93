//! The learning rate of each step.
//!
//! Steps count from 1: the first one already learns, and the last one learns at the minimum. In
//! terms of `transformers`, whose schedulers count from 0 and begin with a step that learns nothing,
//! step n here has the rate that its scheduler has after n steps.

use super::{Optimizer, Schedule};

impl Optimizer {
    /// Over how many of so many steps the learning rate rises.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of steps, never negative"
    )]
    pub fn warmup_steps(&self, steps: u64) -> u64 {
        let share = (self.warmup_ratio * steps as f64).ceil() as u64;
        share.max(self.warmup_steps_min).min(steps)
    }

    /// The learning rate of a step, from 1, of so many.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let (warmup, step) = (self.warmup_steps(steps), step.clamp(1, steps.max(1)));
        if step < warmup {
            return self.learning_rate * step as f64 / warmup as f64;
        }
        let falling = steps.saturating_sub(warmup).max(1) as f64;
        let done = (step - warmup) as f64 / falling;
        let share = match self.schedule {
            Schedule::Constant => return self.learning_rate,
            Schedule::Linear => 1.0 - done,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        };
        self.learning_rate_min + (self.learning_rate - self.learning_rate_min) * share
    }
}
