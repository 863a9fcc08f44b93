//! The proof that something is on record.

use std::ops::Deref;

/// A value the recorder has stored. What draws, prints or exports takes `Recorded<Event>` and
/// nothing else, so nothing can be shown that was not recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// For the recorder alone, after the transaction has committed or when reading back
    /// (`clippy.toml` refuses the call everywhere else).
    #[must_use]
    pub const fn acknowledged(value: T) -> Self {
        Self(value)
    }

    /// The value, without its proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Recorded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
