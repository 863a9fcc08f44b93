//! What there is to compute with, for `limn doctor`.

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, utils};

use crate::torch::{self, Cuda, Graphs, Kernels, attention_backend};

/// Which libtorch runs, what it computes with, and how attention would be computed.
#[must_use]
pub(crate) fn report(cuda: &Cuda) -> Value {
    let has_cuda = tch::Cuda::is_available();
    let device = if has_cuda { Device::Cuda(0) } else { Device::Cpu };
    let cuda = match cuda {
        Cuda::Loaded(path) => json!({ "library": path, "devices": tch::Cuda::device_count() }),
        Cuda::Absent(folder) => json!({ "absent": folder }),
        Cuda::Broken(why) => json!({ "broken": why }),
    };
    json!({
        "libtorch": torch::version(),
        "threads": tch::get_num_threads(),
        "mkl": utils::has_mkl(),
        "cuda": cuda,
        "usable": has_cuda,
        "cudart": has_cuda.then(utils::version_cudart),
        "cudnn": (has_cuda && tch::Cuda::cudnn_is_available()).then(utils::version_cudnn),
        "attention": attention(device),
        "graphs": Graphs::new(Device::Cuda(0)).map_or_else(|why| why.to_string(), |_| "yes".to_owned()),
    })
}

/// The backend of attention in bf16 over a long text, or why there is none.
fn attention(device: Device) -> String {
    let of = |heads: i64| Tensor::f_zeros([1, heads, 1024, 128], (Kind::BFloat16, device));
    let backend = || -> crate::Result<&'static str> {
        Kernels::default().apply()?;
        Ok(attention_backend(&of(4)?, &of(4)?, &of(4)?)?.name())
    };
    backend().map_or_else(|error| error.to_string(), str::to_owned)
}
