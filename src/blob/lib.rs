//! Content-addressed bytes: how they are named, packed and kept.
//!
//! A blob's name is the BLAKE3 hash of its uncompressed bytes ([`struct@Hash`]). Packed, it is either the
//! bytes themselves or their zstd frame ([`Codec`]), whichever is smaller. Session files hold
//! packed blobs in rows; [`Store`] holds them in a folder, for workspace contents.
//!
//! Absent here on purpose: who refers to a blob, and when one may be deleted.

mod batch;
mod codec;
mod hash;
mod store;
mod sweep;

pub use batch::{Added, Batch};
pub use codec::{Codec, CodecError, Encoder, Packed, RAW_BELOW_BYTES, decode};
pub use hash::{Hash, HashError, Hasher};
pub use store::{Store, StoreError};
pub use sweep::Swept;

#[cfg(test)]
mod tests;
