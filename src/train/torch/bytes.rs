//! Numbers of tensors as bytes, and bytes of files as numbers of tensors, each copied once.

use std::fs::File;
use std::io::{self, Write};

use half::bf16;
use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

use crate::error::{Result, TrainError};

/// Maps a file into memory: what of it is read is fetched from the disk then.
///
/// A file that becomes shorter while it is mapped kills whoever reads beyond its end. Files of
/// weights are written once and replaced by a rename, so that only somebody's own hand does that.
///
/// # Errors
/// When the file cannot be mapped; an empty one gives nothing.
#[allow(unsafe_code, reason = "a file is mapped into memory")]
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and read only. Bytes that somebody changes while we read them
    // are other numbers, and no reference to anything but numbers is made of them.
    unsafe { Mmap::map(file) }
}

/// Gives a tensor the numbers that lie in `bytes`, row after row as the tensor's sizes say, whatever
/// its own kind, device and order in memory are.
///
/// # Errors
/// When there are not as many bytes as the numbers take, or memory runs out.
#[allow(unsafe_code, reason = "bytes are lent to libtorch as a tensor")]
pub fn read_into(target: &Tensor, bytes: &[u8], kind: Kind) -> Result<()> {
    let width = kind.elt_size_in_bytes();
    let needed = target.numel().checked_mul(width);
    if needed != Some(bytes.len()) {
        let (given, sizes) = (bytes.len(), target.size());
        return Err(TrainError::Torch(format!("{given} bytes are no {kind:?} of sizes {sizes:?}")));
    }
    let lent = |sizes: &[i64], kind: Kind| {
        // SAFETY: there are as many bytes as the numbers take, and the tensor is read and dropped
        // before this function returns.
        unsafe { Tensor::f_from_blob(bytes.as_ptr(), sizes, &[], kind, Device::Cpu) }
    };
    let source = if bytes.as_ptr().align_offset(width) == 0 {
        lent(&target.size(), kind)?
    } else {
        // Numbers have to lie at multiples of their width; where a file has them elsewhere, they
        // are moved first.
        let all = [i64::try_from(bytes.len()).unwrap_or(i64::MAX)];
        let mut moved = Tensor::f_empty(all, (Kind::Uint8, Device::Cpu))?;
        moved.f_copy_(&lent(&all, Kind::Uint8)?)?;
        moved.f_view_dtype(kind)?.f_view(target.size().as_slice())?
    };
    tch::no_grad(|| target.shallow_clone().f_copy_(&source))?;
    Ok(())
}

/// A kind of number that Rust can write into a tensor.
///
/// Only for numbers of which every pattern of bits is one.
pub trait Number: Copy + Send {
    /// Its name in libtorch.
    const KIND: Kind;

    /// The nearest one.
    fn of(single: f32) -> Self;
}

impl Number for f32 {
    const KIND: Kind = Kind::Float;

    fn of(single: f32) -> Self {
        single
    }
}

impl Number for bf16 {
    const KIND: Kind = Kind::BFloat16;

    fn of(single: f32) -> Self {
        Self::from_f32(single)
    }
}

/// A tensor on the processor whose numbers are written by `fill`, all of them.
///
/// # Errors
/// When memory runs out.
#[allow(unsafe_code, reason = "the memory of a tensor is lent to Rust")]
pub fn filled<T: Number>(sizes: &[i64], fill: impl FnOnce(&mut [T])) -> Result<Tensor> {
    let tensor = Tensor::f_empty(sizes, (T::KIND, Device::Cpu))?;
    let count = tensor.numel();
    if count > 0 {
        // SAFETY: the tensor is new, contiguous and known to nobody else, it holds as many numbers
        // of this width, and every pattern of bits is one.
        fill(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) });
    }
    Ok(tensor)
}

/// Writes the numbers of a tensor, row after row, as they lie in memory.
///
/// # Errors
/// When memory runs out, or the writer fails; the latter comes back within.
#[allow(unsafe_code, reason = "the memory of a tensor is lent to Rust")]
pub fn write_numbers(tensor: &Tensor, file: &mut impl Write) -> Result<io::Result<()>> {
    let tensor = tensor.f_detach()?.f_to(Device::Cpu)?.f_contiguous()?;
    let bytes = tensor.numel() * tensor.f_kind()?.elt_size_in_bytes();
    if bytes == 0 {
        return Ok(Ok(()));
    }
    // SAFETY: the tensor is contiguous, on the processor and alive until the end of this function,
    // and writing to a file changes none.
    let numbers = unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), bytes) };
    Ok(file.write_all(numbers))
}
