//! The shim's functions, each made safe.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;

use crate::error::{Result, TrainError};
use crate::torch::{AdamW, Moments};

/// A tensor as the shim takes it: what `tch` holds is a pointer to an `at::Tensor`.
type Raw = *const c_void;

/// A tensor that the shim made for us.
type Made = *mut c_void;

#[allow(unsafe_code, reason = "the shim is C++")]
unsafe extern "C" {
    fn limn_error() -> *const c_char;
    fn limn_torch_version() -> *const c_char;
    fn limn_memory_count();
    fn limn_memory(
        device: c_int,
        used: *mut usize,
        peak: *mut usize,
        reserved: *mut usize,
    ) -> c_int;
    fn limn_memory_reset_peak(device: c_int) -> c_int;
    fn limn_memory_limit(bytes: usize);
    fn limn_memory_forget(tensor: Raw) -> c_int;
    fn limn_memory_give_back() -> c_int;
    fn limn_gradients(
        outputs: *const Raw,
        weights: *const Raw,
        output_count: usize,
        inputs: *const Raw,
        input_count: usize,
        gradients: *mut Made,
    ) -> c_int;
    fn limn_adamw(
        parameters: *const Raw,
        gradients: *const Raw,
        means: *const Raw,
        squares: *const Raw,
        steps: *const Raw,
        count: usize,
        rate: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        epsilon: f64,
    ) -> c_int;
    fn limn_linear(input: Raw, weight: Raw, bias: Raw, found: *mut Made) -> c_int;
    fn limn_norm(stream: Raw, weight: Raw, eps: f64, found: *mut Made) -> c_int;
    fn limn_gated(
        gate: Raw,
        up: Raw,
        weight: Raw,
        down: Raw,
        rise: Raw,
        scale: f64,
        found: *mut Made,
    ) -> c_int;
    fn limn_kernels(
        deterministic: c_int,
        tf32: c_int,
        cudnn: c_int,
        flash: c_int,
        efficient: c_int,
        math: c_int,
    ) -> c_int;
    fn limn_attention_backend(query: Raw, key: Raw, value: Raw, backend: *mut i64) -> c_int;
    fn limn_attention_forward(
        query: Raw,
        key: Raw,
        value: Raw,
        saved: *mut Made,
        backend: *mut i64,
    ) -> c_int;
    fn limn_attention_part(
        query: Raw,
        key: Raw,
        value: Raw,
        is_causal: c_int,
        found: *mut Made,
        sums: *mut Made,
    ) -> c_int;
    fn limn_attention_backward(
        gradient: Raw,
        query: Raw,
        key: Raw,
        value: Raw,
        saved: *const Raw,
        backend: i64,
        gradients: *mut Made,
    ) -> c_int;
}

/// What a call of the shim came to.
#[allow(unsafe_code, reason = "the shim's error is a C string")]
pub(super) fn checked(status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the shim returns a string that ends in NUL and lives until the next call here.
    let text = unsafe { CStr::from_ptr(limn_error()) }.to_string_lossy().into_owned();
    Err(if status == 2 { TrainError::OutOfMemory(text) } else { TrainError::Torch(text) })
}

/// A tensor that the shim made, which may be undefined.
#[allow(unsafe_code, reason = "a tensor that the shim made")]
fn own(made: Made) -> Tensor {
    // SAFETY: the shim made the tensor for us, and nobody else frees it.
    unsafe { Tensor::from_ptr(made.cast()) }
}

fn raws(tensors: &[&Tensor]) -> Vec<Raw> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast()).collect()
}

#[allow(unsafe_code, reason = "a C string of libtorch")]
pub(super) fn version() -> String {
    // SAFETY: a string literal of the library.
    unsafe { CStr::from_ptr(limn_torch_version()) }.to_string_lossy().into_owned()
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory_count() {
    // SAFETY: takes nothing and keeps its state behind a static.
    unsafe { limn_memory_count() }
}

/// Bytes in use, the most that were in use, and the most that were reserved.
#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory(device: i32) -> Result<[usize; 3]> {
    let [mut used, mut peak, mut reserved] = [0; 3];
    // SAFETY: the three numbers outlive the call.
    checked(unsafe { limn_memory(device, &raw mut used, &raw mut peak, &raw mut reserved) })?;
    Ok([used, peak, reserved])
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory_reset_peak(device: i32) -> Result<()> {
    // SAFETY: takes a number; a device that is not there is an error.
    checked(unsafe { limn_memory_reset_peak(device) })
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory_limit(bytes: usize) {
    // SAFETY: takes a number.
    unsafe { limn_memory_limit(bytes) }
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory_forget(tensor: &mut Tensor) -> Result<()> {
    // SAFETY: the tensor is borrowed for the call, and numbers of any bits are numbers.
    checked(unsafe { limn_memory_forget(tensor.as_mut_ptr().cast()) })
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn memory_give_back() -> Result<()> {
    // SAFETY: takes nothing.
    checked(unsafe { limn_memory_give_back() })
}

#[allow(unsafe_code, reason = "a call of the shim, and tensors that it made")]
pub(super) fn gradients(
    outputs: &[&Tensor],
    weights: &[&Tensor],
    inputs: &[&Tensor],
) -> Result<Vec<Option<Tensor>>> {
    if outputs.len() != weights.len() {
        let counts = (outputs.len(), weights.len());
        return Err(TrainError::Torch(format!("{} outputs have {} weights", counts.0, counts.1)));
    }
    let (outputs, weights, inputs) = (raws(outputs), raws(weights), raws(inputs));
    let mut found = vec![std::ptr::null_mut(); inputs.len()];
    // SAFETY: the lists are as long as said, and every tensor is borrowed for the call.
    checked(unsafe {
        limn_gradients(
            outputs.as_ptr(),
            weights.as_ptr(),
            outputs.len(),
            inputs.as_ptr(),
            inputs.len(),
            found.as_mut_ptr(),
        )
    })?;
    Ok(found.into_iter().map(own).map(|it| it.defined().then_some(it)).collect())
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn adamw(numbers: &AdamW, moments: &Moments<'_>) -> Result<()> {
    let lists =
        [moments.parameters, moments.gradients, moments.means, moments.squares, moments.steps];
    let count = moments.parameters.len();
    if lists.iter().any(|list| list.len() != count) {
        return Err(TrainError::Torch("parameters and moments are not as many".to_owned()));
    }
    let [parameters, gradients, means, squares, steps] = lists.map(raws);
    let AdamW { rate, beta1, beta2, decay, epsilon } = *numbers;
    // SAFETY: the lists are of the same length, and every tensor is borrowed for the call. The
    // parameters and moments are changed in place, which a shared reference to a tensor allows.
    checked(unsafe {
        limn_adamw(
            parameters.as_ptr(),
            gradients.as_ptr(),
            means.as_ptr(),
            squares.as_ptr(),
            steps.as_ptr(),
            count,
            rate,
            beta1,
            beta2,
            decay,
            epsilon,
        )
    })
}

#[allow(unsafe_code, reason = "a call of the shim, and a tensor that it made")]
pub(super) fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [input, weight] = [input, weight].map(|tensor| tensor.as_ptr().cast());
    let bias = bias.map_or(std::ptr::null(), |bias| bias.as_ptr().cast());
    let mut found = std::ptr::null_mut();
    // SAFETY: the tensors are borrowed for the call, a null pointer is no bias, and the result
    // outlives it.
    checked(unsafe { limn_linear(input, weight, bias, &raw mut found) })?;
    Ok(own(found))
}

#[allow(unsafe_code, reason = "a call of the shim, and a tensor that it made")]
pub(super) fn norm(stream: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let [stream, weight] = [stream, weight].map(|tensor| tensor.as_ptr().cast());
    let mut found = std::ptr::null_mut();
    // SAFETY: the tensors are borrowed for the call, and the result outlives it.
    checked(unsafe { limn_norm(stream, weight, eps, &raw mut found) })?;
    Ok(own(found))
}

#[allow(unsafe_code, reason = "a call of the shim, and a tensor that it made")]
pub(super) fn gated(
    parts: [&Tensor; 3],
    adapter: Option<[&Tensor; 2]>,
    scale: f64,
) -> Result<Tensor> {
    let raw = |tensor: &Tensor| -> Raw { tensor.as_ptr().cast() };
    let [gate, up, weight] = parts.map(raw);
    let [down, rise] = adapter.map_or([std::ptr::null(); 2], |both| both.map(raw));
    let mut found = std::ptr::null_mut();
    // SAFETY: the tensors are borrowed for the call, null pointers are no adapter, and the result
    // outlives it.
    checked(unsafe { limn_gated(gate, up, weight, down, rise, scale, &raw mut found) })?;
    Ok(own(found))
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn kernels(flags: [bool; 6]) -> Result<()> {
    let [deterministic, tf32, cudnn, flash, efficient, math] = flags.map(c_int::from);
    // SAFETY: takes numbers.
    checked(unsafe { limn_kernels(deterministic, tf32, cudnn, flash, efficient, math) })
}

#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn attention_backend(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<i64> {
    let mut backend = 0;
    let [query, key, value] = [query, key, value].map(|tensor| tensor.as_ptr().cast());
    // SAFETY: the tensors are borrowed for the call and the number outlives it.
    checked(unsafe { limn_attention_backend(query, key, value, &raw mut backend) })?;
    Ok(backend)
}

/// What causal attention found, what its way back needs besides, and the backend.
#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn attention_forward(parts: [&Tensor; 3]) -> Result<([Tensor; 4], i64)> {
    let [query, key, value] = parts.map(|tensor| tensor.as_ptr().cast());
    let (mut saved, mut backend) = ([std::ptr::null_mut(); 4], 0);
    // SAFETY: the tensors are borrowed for the call, and the results outlive it.
    checked(unsafe {
        limn_attention_forward(query, key, value, saved.as_mut_ptr(), &raw mut backend)
    })?;
    Ok((saved.map(own), backend))
}

/// What attention found among these keys, and the logarithms of the sums of exponentials.
#[allow(unsafe_code, reason = "a call of the shim, and tensors that it made")]
pub(super) fn attention_part(parts: [&Tensor; 3], is_causal: bool) -> Result<[Tensor; 2]> {
    let [query, key, value] = parts.map(|tensor| tensor.as_ptr().cast());
    let [mut found, mut sums] = [std::ptr::null_mut(); 2];
    // SAFETY: the tensors are borrowed for the call, and the results outlive it.
    checked(unsafe {
        limn_attention_part(
            query,
            key,
            value,
            c_int::from(is_causal),
            &raw mut found,
            &raw mut sums,
        )
    })?;
    Ok([found, sums].map(own))
}

/// The gradients of queries, keys and values.
#[allow(unsafe_code, reason = "a call of the shim")]
pub(super) fn attention_backward(
    gradient: &Tensor,
    parts: [&Tensor; 3],
    saved: &[Tensor; 4],
    backend: i64,
) -> Result<[Tensor; 3]> {
    let [query, key, value] = parts.map(|tensor| tensor.as_ptr().cast());
    let saved = saved.each_ref().map(|tensor| tensor.as_ptr().cast());
    let mut found = [std::ptr::null_mut(); 3];
    // SAFETY: the tensors are borrowed for the call, and the results outlive it.
    checked(unsafe {
        limn_attention_backward(
            gradient.as_ptr().cast(),
            query,
            key,
            value,
            saved.as_ptr(),
            backend,
            found.as_mut_ptr(),
        )
    })?;
    Ok(found.map(own))
}
