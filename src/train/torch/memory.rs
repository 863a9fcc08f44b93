//! How much memory tensors take, and how much they may.

use tch::{Device, Tensor};

use crate::error::Result;
use crate::torch::shim;

/// The memory of tensors on one device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In use.
    pub used: usize,
    /// The most that was in use since [`reset_peak`].
    pub peak: usize,
    /// The most that the allocator kept from others, in use or not.
    pub reserved: usize,
}

/// The memory that tensors on a device take. On the processor, tensors made before the first call
/// of a function of this module are not in it.
///
/// # Errors
/// When there is no such device.
pub fn memory(device: Device) -> Result<Memory> {
    count();
    let [used, peak, reserved] = shim::memory(device_number(device))?;
    Ok(Memory { used, peak, reserved })
}

/// Begins to look for the most that is in use anew.
///
/// # Errors
/// When there is no such device.
pub fn reset_peak(device: Device) -> Result<()> {
    count();
    shim::memory_reset_peak(device_number(device))
}

/// Lets tensors that this thread makes on the processor take this many bytes more and no more;
/// `None` lifts the bound. What would go beyond it fails as it would on a GPU that is full.
pub fn grant(bytes: Option<usize>) {
    count();
    shim::memory_limit(bytes.unwrap_or(usize::MAX));
}

/// Begins to count the tensors that are made on the processor, and to keep what they give back for
/// the next of their size. To be called first thing in `main`, so that all are counted.
///
/// Without it each large tensor is fresh pages of the kernel, zeroed as they are touched, and a step
/// touches gigabytes of them.
pub fn keep_freed() {
    count();
}

/// Gives the memory of a tensor on the processor, which lies in one piece, back to the system until
/// something is written there. What it held is lost.
///
/// # Errors
/// When it lies elsewhere, or not in one piece.
pub fn forget(mut tensor: Tensor) -> Result<()> {
    shim::memory_forget(&mut tensor)
}

/// Gives back what the allocator of a GPU keeps and nobody uses.
///
/// # Errors
/// When the GPU does not answer.
pub fn give_back() -> Result<()> {
    shim::memory_give_back()
}

/// The processor's memory is counted from the first question on.
fn count() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(shim::memory_count);
}

/// A device as the shim numbers it.
pub(super) fn device_number(device: Device) -> i32 {
    match device {
        Device::Cuda(index) => i32::try_from(index).unwrap_or(i32::MAX),
        Device::Cpu | Device::Mps | Device::Vulkan => -1,
    }
}
