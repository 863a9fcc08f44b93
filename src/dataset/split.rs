//! Parts of a dataset: `train=90,test=10`.
//!
//! A part is chosen by a hash of the seed and the session's group, never by row: sessions of one
//! query, of one repository, or of one workspace that is of none, are together. Nothing but the two decides, so a session that is
//! added moves no other.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A part and its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// Its share, among the weights of all.
    pub weight: u32,
}

/// How a dataset is split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// Another seed, another assignment.
    pub seed: u64,
    /// None: the dataset is whole.
    pub parts: Vec<Part>,
}

impl FromStr for Splits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for one in text.split(',') {
            let part = one.split_once('=').and_then(|(name, weight)| {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let fits = !name.is_empty() && name.len() <= 32 && name.chars().all(is_plain);
                let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
                Some(Part { name: fits.then(|| name.to_owned())?, weight: weight? })
            });
            let Some(part) = part else {
                return Err(format!("{one:?} is no part; write for example train=90,test=10"));
            };
            if parts.iter().any(|other| other.name == part.name) {
                return Err(format!("the part {} is named twice", part.name));
            }
            parts.push(part);
        }
        Ok(Self { seed: 0, parts })
    }
}

impl Splits {
    /// The part of a group; `None` where there are none.
    #[must_use]
    pub fn of(&self, group: &str) -> Option<&str> {
        let total: u128 = self.parts.iter().map(|part| u128::from(part.weight)).sum();
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"limn split 1\0").update(&self.seed.to_le_bytes());
        let hash = hasher.update(group.as_bytes()).finalize();
        let drawn = hash.as_bytes()[..8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        // Where the number lies between 0 and the sum of the weights.
        let mut place = (u128::from(drawn) * total) >> 64;
        for part in &self.parts {
            let weight = u128::from(part.weight);
            if place < weight {
                return Some(&part.name);
            }
            place -= weight;
        }
        None
    }
}
