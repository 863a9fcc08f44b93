//! Numbers that llama.cpp packs into blocks of 32, and their unpacking.
//!
//! Each block has a scale in half precision, some a smallest number too, and whole numbers of 4 or
//! 8 bits. The arithmetic is llama.cpp's and that of its Python package to the last bit: one
//! product and at most one sum in single precision.

use std::num::NonZero;
use std::thread;

use half::f16;

use crate::torch::Number;

/// How many numbers a block has.
const BLOCK: usize = 32;

/// Less than this is not worth another thread.
const NUMBERS_PER_THREAD_MIN: usize = 1 << 18;

/// More threads than this wait for memory only.
const THREADS_MAX: usize = 16;

/// A way of packing, by llama.cpp's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// A scale, and 4 bits from -8.
    Q4_0,
    /// A scale, a smallest number, and 4 bits from 0.
    Q4_1,
    /// A scale, and 8 bits with a sign.
    Q8_0,
}

impl Packing {
    /// How many bytes a block has.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + BLOCK / 2,
            Self::Q4_1 => 4 + BLOCK / 2,
            Self::Q8_0 => 2 + BLOCK,
        }
    }

    /// How many bytes rows of so many numbers take; nothing when a row is no whole number of blocks.
    pub(super) fn bytes(self, rows: usize, columns: usize) -> Option<usize> {
        let blocks = columns.is_multiple_of(BLOCK).then(|| rows.checked_mul(columns / BLOCK))??;
        blocks.checked_mul(self.block_bytes())
    }

    /// Unpacks rows of so many numbers. Row `r` of what is written comes from row `from(r)`. There
    /// have to be as many bytes as [`Packing::bytes`] says.
    pub(super) fn unpack<T: Number>(
        self,
        bytes: &[u8],
        columns: usize,
        from: impl Fn(usize) -> usize + Sync,
        numbers: &mut [T],
    ) {
        let row_bytes = columns / BLOCK * self.block_bytes();
        let rows = numbers.len().checked_div(columns).unwrap_or(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        let threads = threads.min(numbers.len() / NUMBERS_PER_THREAD_MIN).max(1);
        let share = rows.div_ceil(threads).max(1);
        let work = |first: usize, numbers: &mut [T]| {
            for (place, row) in numbers.chunks_exact_mut(columns).enumerate() {
                let at = from(first + place) * row_bytes;
                self.row(&bytes[at..at + row_bytes], row);
            }
        };
        if columns == 0 {
            return;
        }
        thread::scope(|scope| {
            let mut shares = numbers.chunks_mut(share * columns).enumerate();
            let own = shares.next();
            for (number, share_of) in shares {
                let work = &work;
                scope.spawn(move || work(number * share, share_of));
            }
            if let Some((_, own)) = own {
                work(0, own);
            }
        });
    }

    fn row<T: Number>(self, bytes: &[u8], numbers: &mut [T]) {
        let blocks = bytes.chunks_exact(self.block_bytes()).zip(numbers.chunks_exact_mut(BLOCK));
        match self {
            Self::Q4_0 => blocks.for_each(|(block, numbers)| {
                let scale = half([block[0], block[1]]);
                nibbles(&block[2..], numbers, |bits| T::of((f32::from(bits) - 8.0) * scale));
            }),
            Self::Q4_1 => blocks.for_each(|(block, numbers)| {
                let scale = half([block[0], block[1]]);
                let least = half([block[2], block[3]]);
                nibbles(&block[4..], numbers, |bits| T::of(f32::from(bits) * scale + least));
            }),
            Self::Q8_0 => blocks.for_each(|(block, numbers)| {
                let scale = half([block[0], block[1]]);
                for (number, byte) in numbers.iter_mut().zip(&block[2..]) {
                    *number = T::of(f32::from(byte.cast_signed()) * scale);
                }
            }),
        }
    }
}

fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// The first half of a block is in the low bits, the second one in the high bits.
fn nibbles<T>(bytes: &[u8], numbers: &mut [T], number: impl Fn(u8) -> T) {
    let (low, high) = numbers.split_at_mut(BLOCK / 2);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = number(byte & 0x0f);
        *high = number(byte >> 4);
    }
}
