//! What there is to compute on.

use std::process::Command;

use tch::{Device, Kind, Tensor};
use training::TrainingError;
use training::plan::Machine;
use training::recipe::{self, Precision};

use crate::decoder::Decoder;
use crate::error::Result;
use crate::torch::{Backend, Cuda, KeptAttention, Kernels, attention_backend};

/// The device that a recipe asks for, and what is known of it.
///
/// # Errors
/// When it asks for a GPU and there is none, or none that is usable.
pub fn choose(asked: recipe::Device, cuda: &Cuda) -> Result<(Device, Machine)> {
    let usable = tch::Cuda::is_available();
    match asked {
        recipe::Device::Cpu => {}
        recipe::Device::Auto if !usable => {}
        recipe::Device::Cuda if !usable => {
            let why = match cuda {
                Cuda::Loaded(_) => "the driver of the GPU does not answer".to_owned(),
                Cuda::Absent(folder) => {
                    format!("{} holds no libtorch_cuda.so", folder.display())
                }
                Cuda::Broken(why) => why.clone(),
            };
            let remedy = "Name the lib folder of a PyTorch with CUDA by LD_LIBRARY_PATH, or train \
                          on the processor.";
            return Err(TrainingError::Recipe {
                key: "device".to_owned(),
                reason: format!("is cuda, and there is no GPU to use: {why}"),
                remedy: remedy.to_owned(),
            }
            .into());
        }
        recipe::Device::Auto | recipe::Device::Cuda => return Ok((Device::Cuda(0), gpu())),
    }
    Ok((Device::Cpu, Machine::processor()))
}

/// The kind of number that a precision computes with.
#[must_use]
pub fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Bf16 => Kind::BFloat16,
        Precision::F32 => Kind::Float,
    }
}

/// The backend of attention for this model, with these kernels in force, and the kernels that are in
/// force then: cuDNN's attention is given up where it does not compute, or comes to something else
/// than the one it would replace.
///
/// # Errors
/// When memory runs out.
pub fn attention(decoder: &Decoder, kernels: Kernels) -> Result<(&'static str, Kernels)> {
    let shape = decoder.shape();
    let draw = |heads: usize| -> Result<Tensor> {
        let [heads, size] = [heads, shape.head_dim].map(|it| i64::try_from(it).unwrap_or(1));
        Ok(Tensor::f_randn([1, heads, 256, size], (decoder.kind(), decoder.device()))?)
    };
    let parts = [draw(shape.heads)?, draw(shape.kv_heads)?, draw(shape.kv_heads)?];
    let backend = || attention_backend(&parts[0], &parts[1], &parts[2]);
    let found = backend()?;
    if found != Backend::Cudnn {
        return Ok((found.name(), kernels));
    }
    let fast = attended(parts.each_ref());
    let others = Kernels { varied: true, ..kernels };
    others.apply()?;
    let plain = attended(parts.each_ref())?;
    if fast.is_ok_and(|fast| are_alike(&fast, &plain).unwrap_or(false)) {
        kernels.apply()?;
        return Ok((found.name(), kernels));
    }
    Ok((backend()?.name(), others))
}

/// What causal attention finds, and the gradients of what it was given.
fn attended(parts: [&Tensor; 3]) -> Result<[Tensor; 4]> {
    let kept = KeptAttention::new(parts)?;
    let found = kept.found().f_detach()?;
    let [query, key, value] = kept.backward(parts, &found)?;
    Ok([found, query, key, value])
}

/// Whether these say the same, for numbers of eight bits.
fn are_alike(some: &[Tensor; 4], others: &[Tensor; 4]) -> Result<bool> {
    let largest = |of: &Tensor| -> Result<f64> {
        Ok(of.f_to_kind(Kind::Float)?.f_abs()?.f_max()?.f_double_value(&[])?)
    };
    for (one, other) in some.iter().zip(others) {
        // What is not a number is not close either.
        let is_close = largest(&one.f_sub(other)?)? <= 0.05 * largest(other)?;
        if !is_close {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first GPU, as its driver describes it.
fn gpu() -> Machine {
    let host = Machine::processor();
    let said = Command::new("nvidia-smi").args(Machine::NVIDIA_SMI).output().ok();
    let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let gpus = Machine::of_nvidia_smi(&text.unwrap_or_default(), host.host_bytes);
    // Without the driver's word nothing is known of its memory, and the ladder finds out.
    gpus.into_iter().next().unwrap_or(host)
}
