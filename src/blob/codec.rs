//! How a blob is packed.

/// Shorter bytes are kept as they are: a zstd frame saves nothing there.
pub const RAW_BELOW_BYTES: usize = 1024;

/// Level 1 packs about as fast as a disk takes bytes; higher levels gain little on terminal
/// output and chat text.
const ZSTD_LEVEL: i32 = 1;

/// How the bytes of a blob lie in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// The number it is stored as.
    #[must_use]
    pub const fn as_number(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        }
    }

    /// The codec with that number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why packed bytes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They claim to be longer than the reader allows.
    #[error("It claims to hold {claimed} bytes; at most {max} are allowed here.")]
    TooLong {
        /// The length that was declared.
        claimed: u64,
        /// The reader's bound.
        max: u64,
    },
    /// They are not what they claim to be.
    #[error("It claims to hold {claimed} bytes and does not: {problem}.")]
    Damaged {
        /// The length that was declared.
        claimed: u64,
        /// What is wrong.
        problem: String,
    },
}

/// Bytes, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How.
    pub codec: Codec,
    /// The length unpacked, bytes.
    pub raw_len: u64,
    /// What is stored.
    pub data: Vec<u8>,
}

/// Packs blobs, keeping its working memory between them.
#[derive(Default)]
pub struct Encoder(Option<zstd::bulk::Compressor<'static>>);

impl Encoder {
    /// An encoder; its memory is taken when first needed.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Packs bytes: zstd where that is smaller, else as they are.
    #[must_use]
    pub fn encode(&mut self, bytes: &[u8]) -> Packed {
        let raw_len = bytes.len() as u64;
        if bytes.len() >= RAW_BELOW_BYTES
            && let Some(data) = self.compress(bytes)
            && data.len() < bytes.len()
        {
            return Packed { codec: Codec::Zstd, raw_len, data };
        }
        Packed { codec: Codec::Raw, raw_len, data: bytes.to_vec() }
    }

    /// `None` when zstd cannot have its memory: raw bytes are always right.
    fn compress(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_none() {
            self.0 = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        self.0.as_mut()?.compress(bytes).ok()
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

/// Unpacks bytes. Never takes more than `raw_len` bytes of memory, nor `raw_len` above `max`, so a
/// hostile frame cannot exhaust it.
///
/// # Errors
/// When the declared length is above the bound or is not the length found, or the frame is broken.
pub fn decode(codec: Codec, raw_len: u64, data: &[u8], max: u64) -> Result<Vec<u8>, CodecError> {
    if raw_len > max {
        return Err(CodecError::TooLong { claimed: raw_len, max });
    }
    let damaged = |problem: String| CodecError::Damaged { claimed: raw_len, problem };
    let bytes = match codec {
        Codec::Raw => data.to_vec(),
        Codec::Zstd => {
            let capacity = usize::try_from(raw_len).map_err(|error| damaged(error.to_string()))?;
            zstd::bulk::decompress(data, capacity).map_err(|error| damaged(error.to_string()))?
        }
    };
    if bytes.len() as u64 == raw_len {
        Ok(bytes)
    } else {
        Err(damaged(format!("it holds {}", bytes.len())))
    }
}
