//! What there is to compute on.

use std::process::Command;

use tch::{Device, Kind, Tensor};
use training::TrainingError;
use training::plan::Machine;
use training::recipe::{self, Precision};

use crate::decoder::Decoder;
use crate::error::Result;
use crate::torch::{Cuda, attention_backend};

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

/// The backend of attention for this model.
///
/// # Errors
/// When memory runs out.
pub fn attention(decoder: &Decoder) -> Result<&'static str> {
    let shape = decoder.shape();
    let heads = i64::try_from(shape.heads).unwrap_or(1);
    let size = i64::try_from(shape.head_dim).unwrap_or(1);
    let zeros = Tensor::f_zeros([1, heads, 256, size], (decoder.kind(), decoder.device()))?;
    Ok(attention_backend(&zeros, &zeros, &zeros)?.name())
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
