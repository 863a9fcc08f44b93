//! Which text lies in which slot, and what of it the next prompt may use again.
//!
//! A session grows: its next prompt begins with its last one, and mostly with the reply too. So a
//! slot keeps its text when its job is done, and a new job looks for the slot that shares the
//! longest beginning with its prompt. It goes on in that slot when that continues what lies there;
//! otherwise the beginning is copied, so that sessions which begin alike (with the same instructions
//! and tools, say) do not take each other's text away.

#[cfg(test)]
mod tests;

/// Fewer tokens in common are computed again: a copy is not worth its while.
const COPIED_MIN: usize = 16;

/// A template ends a prompt with what opens the reply, and may write that otherwise, or not at all,
/// once the reply is there: so many tokens may differ at the end of the last prompt.
const OPENING_MAX: usize = 8;

/// What a slot holds.
#[derive(Debug, Default)]
struct Slot {
    variant: usize,
    tokens: Vec<u32>,
    /// How many of them are the prompt of the last job.
    prompt: usize,
    is_busy: bool,
    /// When it was taken last, counted in jobs.
    taken: u64,
}

/// All slots of an engine.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    taken: u64,
}

/// Where a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its slot.
    pub(crate) slot: usize,
    /// The first so many tokens of its prompt are there already, or in `source`.
    pub(crate) cached: usize,
    /// The slot from which they are copied; `None` when they lie where they should.
    pub(crate) source: Option<usize>,
}

impl Slots {
    /// So many, all empty.
    pub(crate) fn new(count: usize) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), taken: 0 }
    }

    /// Where a job with this prompt would go; `None` when all slots are busy. At least one token of
    /// the prompt is left to be computed: what follows the prompt comes of it.
    pub(crate) fn choose(&self, variant: usize, prompt: &[u32]) -> Option<Place> {
        let shared: Vec<usize> =
            self.slots.iter().map(|slot| slot.shared(variant, prompt)).collect();
        let best = (0..self.slots.len()).max_by_key(|slot| {
            // Of several the one that can be gone on with, and then the one that loses least.
            let held = &self.slots[*slot];
            (shared[*slot], !held.is_busy, usize::MAX - held.tokens.len())
        })?;
        let found = &self.slots[best];
        let kept = found.prompt.min(found.tokens.len());
        let is_continued = shared[best] > 0 && shared[best] + OPENING_MAX >= kept;
        if !found.is_busy && is_continued {
            return Some(Place { slot: best, cached: shared[best], source: None });
        }
        let idle = (0..self.slots.len()).filter(|slot| !self.slots[*slot].is_busy);
        let slot = idle.min_by_key(|slot| {
            let held = &self.slots[*slot];
            // What was found is overwritten only when there is no other.
            (*slot == best && shared[best] > 0, !held.tokens.is_empty(), held.taken)
        })?;
        if slot == best || shared[slot] + COPIED_MIN > shared[best] {
            return Some(Place { slot, cached: shared[slot], source: None });
        }
        Some(Place { slot, cached: shared[best], source: Some(best) })
    }

    /// A job takes a slot, which holds the first tokens of its prompt and nothing else.
    pub(crate) fn take(&mut self, slot: usize, variant: usize, prompt: &[u32], cached: usize) {
        self.taken += 1;
        let tokens = prompt[..cached].to_vec();
        let slot = &mut self.slots[slot];
        *slot = Slot { variant, tokens, prompt: prompt.len(), is_busy: true, taken: self.taken };
    }

    /// Tokens were computed.
    pub(crate) fn push(&mut self, slot: usize, tokens: &[u32]) {
        self.slots[slot].tokens.extend_from_slice(tokens);
    }

    /// A job leaves its slot; what it holds may be used again.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.slots[slot].is_busy = false;
    }

    /// What a slot holds is worthless.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.slots[slot].tokens.clear();
    }

    /// The slots that have no job, those first that had none for longest.
    pub(crate) fn idle(&self) -> Vec<usize> {
        let mut idle: Vec<usize> =
            (0..self.slots.len()).filter(|slot| !self.slots[*slot].is_busy).collect();
        idle.sort_by_key(|slot| self.slots[*slot].taken);
        idle
    }

    /// The tokens that a slot holds.
    pub(crate) fn held(&self, slot: usize) -> usize {
        self.slots[slot].tokens.len()
    }

    /// The tokens that all slots hold.
    pub(crate) fn held_by_all(&self) -> usize {
        self.slots.iter().map(|slot| slot.tokens.len()).sum()
    }

    /// The slots that have a job.
    pub(crate) fn busy(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_busy).count()
    }
}

impl Slot {
    /// The tokens at its beginning that a prompt may use.
    fn shared(&self, variant: usize, prompt: &[u32]) -> usize {
        if variant != self.variant {
            return 0;
        }
        let Some((_, before)) = prompt.split_last() else { return 0 };
        before.iter().zip(&self.tokens).take_while(|(one, other)| one == other).count()
    }
}
