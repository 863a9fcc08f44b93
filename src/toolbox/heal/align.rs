//! Which items of one sequence stayed in another.

/// How many comparisons one alignment may cost; beyond them only both ends are compared.
const CELLS_MAX: usize = 1 << 20;

/// Where an item of the new sequence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is this item of the old one.
    Kept(usize),
    /// It stands where this item of the old one stood.
    Replaced(usize),
    /// It was not there.
    Inserted,
}

impl Origin {
    /// The item of the old sequence at this place.
    pub(super) fn index(self) -> Option<usize> {
        match self {
            Self::Kept(index) | Self::Replaced(index) => Some(index),
            Self::Inserted => None,
        }
    }
}

/// The origin of each item of `new`: the longest common subsequence is kept, and where as many
/// items came as went, each stands for the one it follows.
pub(super) fn origins<T: PartialEq>(old: &[T], new: &[T]) -> Vec<Origin> {
    let mut origins = vec![Origin::Inserted; new.len()];
    let mut kept = common(old, new);
    kept.push((old.len(), new.len()));
    let (mut from_old, mut from_new) = (0, 0);
    for (at_old, at_new) in kept {
        if at_old - from_old == at_new - from_new {
            for (offset, origin) in origins.iter_mut().take(at_new).skip(from_new).enumerate() {
                *origin = Origin::Replaced(from_old + offset);
            }
        }
        if let Some(origin) = origins.get_mut(at_new) {
            *origin = Origin::Kept(at_old);
        }
        (from_old, from_new) = (at_old + 1, at_new + 1);
    }
    origins
}

/// The pairs of a longest common subsequence, in order.
fn common<T: PartialEq>(old: &[T], new: &[T]) -> Vec<(usize, usize)> {
    let first = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) =
        (old.get(first..).unwrap_or_default(), new.get(first..).unwrap_or_default());
    let last = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (
        old_rest.get(..old_rest.len() - last).unwrap_or_default(),
        new_rest.get(..new_rest.len() - last).unwrap_or_default(),
    );
    let mut pairs: Vec<(usize, usize)> = (0..first).map(|at| (at, at)).collect();
    for (at_old, at_new) in longest(old_middle, new_middle) {
        pairs.push((first + at_old, first + at_new));
    }
    let ends = (old.len() - last..old.len()).zip(new.len() - last..new.len());
    pairs.extend(ends);
    pairs
}

fn longest<T: PartialEq>(old: &[T], new: &[T]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    if old.is_empty() || new.is_empty() || (old.len() + 1).saturating_mul(width) > CELLS_MAX {
        return Vec::new();
    }
    // How long the subsequence of what begins at each pair is.
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let length = |lengths: &[u32], i: usize, j: usize| {
        lengths.get(i * width + j).copied().unwrap_or_default()
    };
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let longest = if one == other {
                length(&lengths, i + 1, j + 1) + 1
            } else {
                length(&lengths, i + 1, j).max(length(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = longest;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(one), Some(other)) = (old.get(i), new.get(j)) {
        if one == other {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length(&lengths, i + 1, j) >= length(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}
