//! How the next token is chosen.
//!
//! The order is that of [`Sampling`]: repetition penalty, what a grammar allows, temperature, top-k,
//! top-p, min-p, a draw. Draws come from ChaCha with the job's seed, so they are the same on every
//! machine and whatever else is computed beside; of equal logits the lower id stands first.
//! Log-probabilities are those of the model itself, before any of this.

use std::cmp::Ordering;
use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::constraint::Allowed;
use crate::job::{Logprob, Sampled, Sampling};

#[cfg(test)]
mod tests;

/// Why nothing is chosen.
pub(crate) const NO_NUMBER: &str = "What the model computed is no number.";

/// So many of the likeliest are sorted at first; seldom are more needed to reach a share.
const SORTED_FIRST: usize = 256;

/// Chooses the tokens of one job.
#[derive(Debug)]
pub(crate) struct Sampler {
    settings: Sampling,
    draws: ChaCha8Rng,
    /// Tokens that occurred, where that matters.
    occurred: HashSet<u32>,
}

/// What may be chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// What the grammar allows; `None` allows all.
    pub(crate) allowed: Option<&'a Allowed>,
    /// Tokens that end a reply, which are in no grammar.
    pub(crate) stops: &'a [u32],
}

impl Choice<'_> {
    fn has(&self, token: u32) -> bool {
        let Some(allowed) = self.allowed else { return true };
        allowed.has(token) || (allowed.may_end() && self.stops.contains(&token))
    }
}

/// A token with the logit that it is chosen by.
type Candidate = (u32, f32);

impl Sampler {
    /// For a job with this prompt.
    pub(crate) fn new(settings: Sampling, prompt: &[u32]) -> Self {
        let draws = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut sampler = Self { settings, draws, occurred: HashSet::new() };
        prompt.iter().for_each(|token| sampler.note(*token));
        sampler
    }

    /// Whether the likeliest token alone will do.
    pub(crate) fn takes_the_best(&self) -> bool {
        self.is_greedy() && !self.has_penalty() && self.settings.logprobs.is_none()
    }

    /// A token that is now part of the text.
    pub(crate) fn note(&mut self, token: u32) {
        if self.has_penalty() {
            self.occurred.insert(token);
        }
    }

    /// Chooses a token.
    ///
    /// # Errors
    /// When the logits are no numbers, or nothing may be chosen.
    pub(crate) fn choose(&mut self, logits: &[f32], choice: Choice<'_>) -> Result<Sampled, String> {
        if logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(NO_NUMBER.to_owned());
        }
        let mut candidates = self.candidates(logits, choice);
        if candidates.is_empty() {
            return Err("No token may follow here.".to_owned());
        }
        let id = if self.is_greedy() {
            candidates.into_iter().min_by(likelier).map_or(0, |(id, _)| id)
        } else {
            let weights = self.weights(&mut candidates);
            let drawn = self.draw(&weights);
            candidates[drawn].0
        };
        let (logprob, top) = match self.settings.logprobs {
            Some(count) => {
                let (logprob, top) = logprobs(logits, id, count);
                (Some(logprob), top)
            }
            None => (None, Vec::new()),
        };
        Ok(Sampled { id, logprob, top })
    }

    fn is_greedy(&self) -> bool {
        let is_warm = self.settings.temperature > 0.0;
        !is_warm || self.settings.top_k == 1
    }

    fn has_penalty(&self) -> bool {
        self.settings.repetition_penalty != 1.0 && self.settings.repetition_penalty > 0.0
    }

    /// What may be chosen at all, with the penalty.
    fn candidates(&self, logits: &[f32], choice: Choice<'_>) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = (0..)
            .zip(logits.iter().copied())
            .filter(|(id, logit)| *logit > f32::NEG_INFINITY && choice.has(*id))
            .collect();
        let penalty = self.settings.repetition_penalty;
        // A text has far fewer tokens than there are.
        for id in &self.occurred {
            if let Ok(place) = candidates.binary_search_by_key(id, |(id, _)| *id) {
                let logit = &mut candidates[place].1;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        candidates
    }

    /// Leaves the candidates that are drawn from, and says how likely each is, up to a factor.
    fn weights(&self, candidates: &mut Vec<Candidate>) -> Vec<f64> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.settings;
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k - 1, likelier);
            candidates.truncate(top_k);
            // Where they stand decides what a draw means.
            candidates.sort_unstable_by(likelier);
        }
        let most = candidates.iter().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| (f64::from(logit - most) / f64::from(temperature)).exp();
        if top_p < 1.0 {
            let total: f64 = candidates.iter().map(|(_, logit)| weight(*logit)).sum();
            keep_share(candidates, f64::from(top_p) * total, weight);
        }
        let least = f64::from(min_p);
        if least > 0.0 {
            candidates.retain(|(_, logit)| *logit >= most || weight(*logit) >= least);
        }
        candidates.iter().map(|(_, logit)| weight(*logit)).collect()
    }

    /// A place, as often as its weight says.
    fn draw(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().sum();
        // The 53 bits that a double holds: from 0 to just below 1.
        let share = (self.draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut rest = share * total;
        let mut last = 0;
        for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            if rest < *weight {
                return place;
            }
            rest -= weight;
            // Sums round: it may be a little more than all of them.
            last = place;
        }
        last
    }
}

/// Keeps the likeliest candidates that together weigh this much, the likeliest first.
fn keep_share(candidates: &mut Vec<Candidate>, share: f64, weight: impl Fn(f32) -> f64) {
    let mut count = SORTED_FIRST;
    loop {
        if count < candidates.len() {
            candidates.select_nth_unstable_by(count, likelier);
        }
        let end = count.min(candidates.len());
        candidates[..end].sort_unstable_by(likelier);
        let mut sum = 0.0;
        for place in 0..end {
            sum += weight(candidates[place].1);
            if sum >= share {
                candidates.truncate(place + 1);
                return;
            }
        }
        if end == candidates.len() {
            return;
        }
        count *= 8;
    }
}

/// The likelier one first.
fn likelier(one: &Candidate, other: &Candidate) -> Ordering {
    other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
}

/// The log-probability of a token, and so many of the likeliest.
fn logprobs(logits: &[f32], id: u32, count: usize) -> (f32, Vec<Logprob>) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(*logit - most).exp()).sum();
    let under = f64::from(most) + sum.ln();
    let of = |logit: f32| (f64::from(logit) - under) as f32;
    let mut all: Vec<Candidate> = (0..).zip(logits.iter().copied()).collect();
    let own = usize::try_from(id).ok().and_then(|id| logits.get(id)).copied();
    let count = count.min(all.len());
    if count > 0 && count < all.len() {
        all.select_nth_unstable_by(count - 1, likelier);
    }
    all.truncate(count);
    all.sort_unstable_by(likelier);
    let top = all.into_iter().map(|(id, logit)| Logprob { id, logprob: of(logit) }).collect();
    (of(own.unwrap_or(f32::NEG_INFINITY)), top)
}
