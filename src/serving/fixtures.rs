//! An engine of arithmetic, for tests.
//!
//! What it holds of a text is a hash of the model and of all tokens up to each place, as a real one
//! holds keys and values, and its logits are made of the last of these. So a token in the wrong
//! place, one too many after a truncation, or a copy of another slot give other tokens afterwards.
//! It can be told to say something in particular ([`Control::say`]), to fail, and to wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::{Answer, Engine, EngineError, Facts, Piece, Want};

/// Logits lie between minus this and this; what it is told to say is far above.
const LOGIT_MAX: f32 = 4.0;
const SAID: f32 = 100.0;

/// What a call is to come to instead of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// An error.
    Error(EngineError),
    /// A panic.
    Panic,
    /// Logits that are no numbers.
    NotANumber,
    /// One answer too few.
    TooFew,
}

/// What it did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls of `forward`, the failed ones too.
    pub(crate) calls: usize,
    /// Tokens that were computed.
    pub(crate) tokens: usize,
    /// Pieces of the largest call.
    pub(crate) pieces_max: usize,
    /// Tokens of the largest call.
    pub(crate) tokens_max: usize,
    /// Answers that were logits.
    pub(crate) logits: usize,
    /// Tokens that were copied.
    pub(crate) copied: usize,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    faults: VecDeque<Fault>,
    /// Above so many tokens a call runs out of memory.
    memory_tokens: Option<usize>,
    /// So many tokens may be held by all slots.
    held_tokens: Option<usize>,
    /// So many calls are let through; `None` lets all.
    permits: Option<usize>,
    /// Calls that wait for a permit.
    waiting: usize,
    /// After these tokens come those.
    sayings: Vec<(Vec<u32>, Vec<u32>)>,
}

/// A hand on the engine, while the scheduler owns it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<(Mutex<State>, Condvar)>);

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// What it did so far.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Begins to count again.
    pub(crate) fn forget_counts(&self) {
        self.state().counts = Counts::default();
    }

    /// Wherever a text ends with `after`, these tokens follow as the likeliest by far, one after the
    /// other. What was told last goes first.
    pub(crate) fn say(&self, after: &[u32], reply: &[u32]) {
        self.state().sayings.insert(0, (after.to_vec(), reply.to_vec()));
    }

    /// The next call that nothing else befalls comes to this.
    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Calls with more tokens run out of memory.
    pub(crate) fn memory(&self, tokens: Option<usize>) {
        self.state().memory_tokens = tokens;
    }

    /// Memory is taken as slots fill, and there is some for so many tokens in all.
    pub(crate) fn room(&self, tokens: usize) {
        self.state().held_tokens = Some(tokens);
    }

    /// What happens when slots hold so many tokens.
    fn full(&self, held: usize) -> Option<Fault> {
        let most = self.state().held_tokens.filter(|most| held > *most)?;
        Some(Fault::Error(EngineError::OutOfMemory(format!("{held} tokens where {most} fit"))))
    }

    /// Lets so many more calls through, and then none.
    pub(crate) fn permit(&self, calls: usize) {
        self.state().permits = Some(calls);
        self.0.1.notify_all();
    }

    /// Lets all calls through.
    pub(crate) fn release(&self) {
        self.state().permits = None;
        self.0.1.notify_all();
    }

    /// Returns when a call waits for a permit.
    pub(crate) fn wait_until_held(&self) {
        let state = self.state();
        let is_under_way = |state: &mut State| state.waiting == 0 || state.permits != Some(0);
        drop(self.0.1.wait_while(state, is_under_way).unwrap());
    }

    /// Called by the engine: waits for its permit, and says what is to happen.
    fn enter(&self, tokens: usize) -> Option<Fault> {
        let mut state = self.state();
        state.waiting += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.permits == Some(0)).unwrap();
        state.waiting -= 1;
        state.permits = state.permits.map(|permits| permits - 1);
        state.counts.calls += 1;
        if state.memory_tokens.is_some_and(|most| tokens > most) {
            return Some(Fault::Error(EngineError::OutOfMemory(format!("{tokens} tokens"))));
        }
        state.faults.pop_front()
    }

    /// What is to follow a text, when something is.
    fn saying(&self, text: &[u32]) -> Option<u32> {
        let state = self.state();
        state.sayings.iter().find_map(|(after, reply)| {
            let said = (0..reply.len()).rev().find(|said| {
                text.strip_suffix(&reply[..*said]).is_some_and(|text| text.ends_with(after))
            });
            said.map(|said| reply[said])
        })
    }
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Arithmetic {
    facts: Facts,
    /// Each token with the hash of all up to it.
    slots: Vec<Vec<(u32, u64)>>,
    control: Control,
}

impl Arithmetic {
    /// One of these sizes, with a hand on it.
    pub(crate) fn new(facts: Facts) -> (Self, Control) {
        let control = Control::default();
        let slots = vec![Vec::new(); facts.slots];
        (Self { facts, slots, control: control.clone() }, control)
    }

    /// What comes after a text, computed at once, in a slot of its own.
    pub(crate) fn after(&self, variant: usize, text: &[u32]) -> Vec<f32> {
        let hash = text.iter().fold(0, |hash, token| next(hash, variant, *token));
        self.logits(hash, text)
    }

    fn logits(&self, hash: u64, text: &[u32]) -> Vec<f32> {
        let mut logits: Vec<f32> = (0..self.facts.vocab as u64)
            .map(|token| {
                let share = (mix(hash ^ mix(token + 1)) >> 40) as f32 / (1u64 << 24) as f32;
                (share * 2.0 - 1.0) * LOGIT_MAX
            })
            .collect();
        if let Some(token) = self.control.saying(text) {
            logits[token as usize] = SAID;
        }
        logits
    }

    fn answer(&self, piece: &Piece<'_>) -> Answer {
        if piece.want == Want::Nothing {
            return Answer::Nothing;
        }
        let held = &self.slots[piece.slot];
        let text: Vec<u32> = held.iter().map(|(token, _)| *token).collect();
        let logits = self.logits(held.last().unwrap().1, &text);
        if piece.want == Want::Logits {
            return Answer::Logits(logits);
        }
        Answer::Best(best(&logits))
    }
}

impl Engine for Arithmetic {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn forward(
        &mut self,
        variant: usize,
        pieces: &[Piece<'_>],
    ) -> Result<Vec<Answer>, EngineError> {
        assert!(variant < self.facts.variants, "no such variant: {variant}");
        let tokens: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
        let fault = self.control.enter(tokens);
        for (place, piece) in pieces.iter().enumerate() {
            let others = &pieces[..place];
            assert!(others.iter().all(|other| other.slot != piece.slot), "a slot occurs twice");
            assert!(!piece.tokens.is_empty(), "a piece is empty");
            let held = &mut self.slots[piece.slot];
            assert!(held.len() + piece.tokens.len() <= self.facts.slot_tokens, "a slot is full");
            for token in piece.tokens {
                assert!((*token as usize) < self.facts.vocab, "no such token: {token}");
                let before = held.last().map_or(0, |(_, hash)| *hash);
                held.push((*token, next(before, variant, *token)));
            }
        }
        let held: usize = self.slots.iter().map(Vec::len).sum();
        let fault = fault.or_else(|| self.control.full(held));
        // What fails has spoiled its slots by then, as a real one may.
        match fault {
            Some(Fault::Error(error)) => return Err(error),
            Some(Fault::Panic) => panic!("the engine was told to"),
            _ => {}
        }
        let mut answers: Vec<Answer> = pieces.iter().map(|piece| self.answer(piece)).collect();
        match fault {
            Some(Fault::TooFew) => drop(answers.pop()),
            Some(Fault::NotANumber) => {
                for answer in &mut answers {
                    match answer {
                        Answer::Logits(logits) => logits.fill(f32::NAN),
                        Answer::Best(_) => *answer = Answer::NoNumber,
                        Answer::Nothing | Answer::NoNumber => {}
                    }
                }
            }
            _ => {}
        }
        let is_logits = |answer: &&Answer| matches!(answer, Answer::Logits(_));
        let mut state = self.control.state();
        state.counts.tokens += tokens;
        state.counts.tokens_max = state.counts.tokens_max.max(tokens);
        state.counts.pieces_max = state.counts.pieces_max.max(pieces.len());
        state.counts.logits += answers.iter().filter(is_logits).count();
        drop(state);
        Ok(answers)
    }

    fn truncate(&mut self, slot: usize, tokens: usize) {
        self.slots[slot].truncate(tokens);
    }

    fn give_back(&mut self, slot: usize) -> bool {
        let had_any = self.control.state().held_tokens.is_some() && !self.slots[slot].is_empty();
        if had_any {
            self.slots[slot].clear();
        }
        had_any
    }

    fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), EngineError> {
        let held = self.slots[from][..tokens].to_vec();
        self.slots[to] = held;
        self.control.state().counts.copied += tokens;
        Ok(())
    }
}

/// The likeliest token; of several the first.
pub(crate) fn best(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    u32::try_from(best).unwrap()
}

fn next(hash: u64, variant: usize, token: u32) -> u64 {
    mix(hash ^ mix(((variant as u64 + 1) << 32) + u64::from(token)))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(mut state: u64) -> u64 {
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
