//! Numbers that look random and are the same for the same seed.

/// Random enough to choose moments, sizes and words (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Another seed or another round, other numbers.
    pub(crate) fn new(seed: u64, round: u64) -> Self {
        let mut random = Self(seed);
        Self(random.next() ^ round.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; 0 for 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number from 0 to 1, never quite 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Brings things into another order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            let other = self.below(at as u64 + 1);
            things.swap(at, usize::try_from(other).unwrap_or(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let drawn = |seed, round| {
            let mut random = Random::new(seed, round);
            [random.next(), random.below(1_000), random.next()]
        };
        assert_eq!(drawn(7, 1), drawn(7, 1));
        assert_ne!(drawn(7, 1), drawn(7, 2));
        assert_ne!(drawn(7, 1), drawn(8, 1));
    }

    #[test]
    fn numbers_keep_to_their_limits() {
        let mut random = Random::new(1, 0);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&random.share())));
        assert_eq!(random.below(0), 0);
        let mut things: Vec<u32> = (0..20).collect();
        random.shuffle(&mut things);
        assert_ne!(things, (0..20).collect::<Vec<u32>>());
        things.sort_unstable();
        assert_eq!(things, (0..20).collect::<Vec<u32>>());
    }
}
