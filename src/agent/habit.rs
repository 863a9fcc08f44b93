//! Noticing that the model repeats itself.
//!
//! A step is a call with what came of it. A pattern of up to four steps that comes a third time
//! with the same results will not bring anything new: the model is told so, more seldom as it goes
//! on, and after [`TIMES_MAX`] repetitions the round is ended. A call that is repeated until its
//! result changes (a build, a server that starts) is no such pattern.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest pattern that is noticed, in steps.
const PERIOD_MAX: usize = 4;
/// From how many repetitions on the model is told.
const TIMES_TOLD: usize = 3;
/// How many repetitions end the round.
pub(crate) const TIMES_MAX: usize = 48;

/// The last steps, as fingerprints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habit {
    steps: VecDeque<u64>,
    /// At how many repetitions of the present pattern the model was last told.
    told: usize,
}

/// What is noticed after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    Nothing,
    /// The model is to be told this.
    Told(String),
    /// It was told often enough.
    Stuck,
}

impl Habit {
    /// Takes a step: the call, and what the model is shown of it.
    pub(crate) fn step(&mut self, name: &str, arguments: &str, shown: &str) -> Noticed {
        let mut hasher = DefaultHasher::new();
        (name, arguments, shown).hash(&mut hasher);
        self.steps.push_back(hasher.finish());
        if self.steps.len() > PERIOD_MAX * TIMES_MAX {
            self.steps.pop_front();
        }
        let found = (1..=PERIOD_MAX).map(|period| (period, self.times(period)));
        let Some((period, times)) =
            found.max_by_key(|(period, times)| (*times, PERIOD_MAX - period))
        else {
            return Noticed::Nothing;
        };
        if times >= TIMES_MAX {
            return Noticed::Stuck;
        }
        if times < TIMES_TOLD {
            self.told = 0;
        }
        // The third time, the sixth, the twelfth, …, and each of them once: of a pattern of two
        // steps, the last two make it as much as the two before the last.
        let is_due =
            times > self.told && times % TIMES_TOLD == 0 && (times / TIMES_TOLD).is_power_of_two();
        if !is_due {
            return Noticed::Nothing;
        }
        self.told = times;
        let what = match period {
            1 => "The same call brought the same result".to_owned(),
            _ => format!("The same {period} calls brought the same results"),
        };
        Noticed::Told(format!(
            "[{what} {times} times in a row. Repeating it will not help: try something else, or \
             say what is in the way.]"
        ))
    }

    /// A new prompt: what was done for the last one is no habit.
    pub(crate) fn forget(&mut self) {
        self.steps.clear();
        self.told = 0;
    }

    /// How often the last `period` steps have come in a row; 1 is once.
    fn times(&self, period: usize) -> usize {
        let newest: Vec<u64> = self.steps.iter().rev().copied().collect();
        let Some(pattern) = newest.get(..period) else { return 0 };
        newest.chunks_exact(period).take_while(|chunk| *chunk == pattern).count()
    }
}
