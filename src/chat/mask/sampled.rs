//! The tokens that the model sampled, in the place of those that its text would be cut into.
//!
//! A model may write a text in tokens that its tokenizer would never choose for it. Training on the
//! tokenizer's choice is training on something that was not sampled. What was sampled is taken only
//! where it spells exactly what the template writes for that reply: the text that is trained stays
//! the text that later requests were made of.

use std::ops::Range;

use super::{Found, Masking};

/// Tokens that take the place of others.
#[derive(Debug)]
pub(super) struct Swap {
    /// The reply that they are of, as it is numbered among the trained ones.
    reply: usize,
    /// What they take the place of.
    place: Range<usize>,
    ids: Vec<u32>,
    trained: Vec<bool>,
    /// How many of them are the end of the prompt: it is split as it was where it stood alone.
    prompt: usize,
}

impl Swap {
    /// Whether any of them is trained.
    pub(super) fn is_trained(&self) -> bool {
        self.trained.contains(&true)
    }
}

impl Masking<'_> {
    /// What was sampled for a message, where it is known and spells what stands here. `straddling`
    /// is how the prompt alone is split, where that is otherwise than here.
    pub(super) fn swap(
        &self,
        message: usize,
        found: &Found,
        stretches: &[Range<usize>],
        straddling: Option<&(usize, Vec<u32>)>,
    ) -> Option<Swap> {
        let sampled = self.sampled.get(message).copied().flatten()?;
        let stop = *self.masked.ids.get(found.tokens.end.checked_sub(1)?)?;
        // Some servers leave out the token at which the model stopped.
        let said = sampled.strip_suffix(&[stop]).unwrap_or(sampled);
        let text = self.rendered.text.get(found.bytes.start..found.stop_at)?;
        if !self.dialect.tokenizer().spells(said, text) {
            return None;
        }
        let (from, prompt) = match straddling {
            Some((from, ids)) => (*from, ids.as_slice()),
            None => (found.tokens.start, &[][..]),
        };
        // What is between two replies has to hold a token that nothing reaches across.
        if self.masked.replies.last().is_some_and(|last| from < last.tokens.end) {
            return None;
        }
        let mut trained = vec![false; prompt.len() + said.len() + 1];
        for stretch in stretches {
            // What stands across the end of the prompt here was sampled behind it.
            let begin = if stretch.start == found.tokens.start {
                0
            } else {
                self.count_before(said, found, stretch.start, Side::Behind)?
            };
            let end = if stretch.end == found.tokens.end {
                said.len() + 1
            } else {
                self.count_before(said, found, stretch.end, Side::Before)?
            };
            trained.get_mut(prompt.len() + begin..prompt.len() + end)?.fill(true);
        }
        Some(Swap {
            reply: self.masked.replies.len(),
            place: from..found.tokens.end,
            ids: prompt.iter().chain(said).chain([&stop]).copied().collect(),
            trained,
            prompt: prompt.len(),
        })
    }

    /// How many of the sampled tokens stand before one of those that the text is cut into. One that
    /// reaches across that place is of neither side.
    fn count_before(&self, said: &[u32], found: &Found, token: usize, side: Side) -> Option<usize> {
        let at = self.tokens.places.get(token)?.start.checked_sub(found.bytes.start)?;
        let tokenizer = self.dialect.tokenizer();
        let length = |count: usize| tokenizer.decode(&said[..count]).map_or(0, |it| it.len());
        let (mut low, mut high) = (0, said.len() + 1);
        while low < high {
            let middle = low.midpoint(high);
            let is_before = match side {
                Side::Before => middle <= said.len() && length(middle) <= at,
                Side::Behind => middle < said.len() && length(middle) < at,
            };
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match side {
            Side::Before => low.checked_sub(1),
            Side::Behind => Some(low),
        }
    }

    /// Puts what was sampled in the place of what its text was cut into.
    pub(super) fn put_in(&mut self) {
        if self.swaps.is_empty() {
            return;
        }
        let old_ids = std::mem::take(&mut self.masked.ids);
        let old_trained = std::mem::take(&mut self.masked.trained);
        let (mut ids, mut trained) = (Vec::new(), Vec::new());
        let keep = |place: Range<usize>, ids: &mut Vec<u32>, trained: &mut Vec<bool>| {
            ids.extend(old_ids.get(place.clone()).unwrap_or_default());
            trained.extend(old_trained.get(place).unwrap_or_default());
        };
        let mut swaps = std::mem::take(&mut self.swaps).into_iter().peekable();
        let mut done = 0;
        for (number, reply) in self.masked.replies.iter_mut().enumerate() {
            let old = reply.tokens.clone();
            if let Some(swap) = swaps.next_if(|swap| swap.reply == number) {
                keep(done..swap.place.start, &mut ids, &mut trained);
                reply.tokens.start = ids.len() + swap.prompt;
                ids.extend(swap.ids);
                trained.extend(swap.trained);
            } else {
                keep(done..old.start, &mut ids, &mut trained);
                reply.tokens.start = ids.len();
                keep(old.clone(), &mut ids, &mut trained);
            }
            reply.tokens.end = ids.len();
            done = old.end;
        }
        keep(done..old_ids.len(), &mut ids, &mut trained);
        (self.masked.ids, self.masked.trained) = (ids, trained);
    }
}

/// On which side of a place tokens are counted.
#[derive(Clone, Copy, Debug)]
enum Side {
    /// Those that end there, or before.
    Before,
    /// Those that begin before it.
    Behind,
}

#[cfg(test)]
mod tests;
