//! What is said of a machine: its memory, and how fast it may be.

use std::thread;

use serde::{Deserialize, Serialize};

use super::free::free_bytes;
use super::table::gib;
use crate::recipe::Precision;

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The processor.
    Cpu,
    /// A GPU of NVIDIA.
    Cuda,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What computes.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// Memory of the device that is free, in bytes; of a processor that of the host.
    pub device_bytes: u64,
    /// Memory of the host that is free, in bytes.
    pub host_bytes: u64,
    /// Floating point operations a second: measured with a product of matrices, or as its maker says.
    /// In bf16 for a GPU, in single precision for a processor.
    pub flops: f64,
    /// Whether it has units for bf16; without them it is computed by other means, slowly.
    #[serde(default = "has_units")]
    pub has_bf16: bool,
}

/// Who wrote no word about it ran on a machine that has them.
fn has_units() -> bool {
    true
}

/// GPUs by a part of their names, and the operations a second in bf16 that their maker states.
const GPUS: [(&str, f64); 12] = [
    ("B200", 2_250e12),
    ("GB200", 2_250e12),
    ("H200", 989e12),
    ("GH200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("RTX 5090", 210e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
];

/// A GPU that is not in the table.
const FLOPS_OTHER: f64 = 100e12;

/// Single precision on one core with wide vectors, as measured: 0.1 TFLOP/s of a model on two.
const FLOPS_CORE: f64 = 5e10;

/// Of the free memory this share may be planned with; the rest falls between the pieces.
const USABLE: f64 = 0.95;

impl Machine {
    /// What `nvidia-smi` is asked, for [`of_nvidia_smi`](Self::of_nvidia_smi).
    pub const NVIDIA_SMI: [&str; 2] =
        ["--query-gpu=name,memory.free", "--format=csv,noheader,nounits"];

    /// This machine's processor.
    #[must_use]
    pub fn processor() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let free = free_bytes().unwrap_or(0);
        Self {
            kind: Kind::Cpu,
            name: format!("{cores} cores"),
            device_bytes: free,
            host_bytes: free,
            flops: FLOPS_CORE * cores as f64,
            has_bf16: computes_bf16(),
        }
    }

    /// The GPUs in what `nvidia-smi --query-gpu=name,memory.free --format=csv,noheader,nounits`
    /// prints, on a host with so much free memory.
    #[must_use]
    pub fn of_nvidia_smi(text: &str, host_bytes: u64) -> Vec<Self> {
        let gpu = |line: &str| {
            let (name, free) = line.rsplit_once(',')?;
            let free: u64 = free.trim().parse().ok()?;
            let known = GPUS.iter().find(|(part, _)| name.contains(part));
            Some(Self {
                kind: Kind::Cuda,
                name: name.trim().to_owned(),
                device_bytes: free << 20,
                host_bytes,
                flops: known.map_or(FLOPS_OTHER, |(_, flops)| *flops),
                has_bf16: true,
            })
        };
        text.lines().filter_map(gpu).collect()
    }

    /// The precision in which it is at its best.
    #[must_use]
    pub fn precision(&self) -> Precision {
        if self.has_bf16 { Precision::Bf16 } else { Precision::F32 }
    }

    /// Whether it has no units for this precision.
    #[must_use]
    pub fn emulates(&self, precision: Precision) -> bool {
        precision == Precision::Bf16 && !self.has_bf16
    }

    /// Whether the host has memory of its own beside the device's.
    #[must_use]
    pub fn has_host_apart(&self) -> bool {
        self.kind == Kind::Cuda
    }

    /// What it lacks for so much memory, in words; `None` when it is enough.
    #[must_use]
    pub fn lacks(&self, device_bytes: u64, host_bytes: u64) -> Option<String> {
        let fits = |needed: u64, free: u64| needed as f64 <= free as f64 * USABLE;
        let why = |needed: u64, free: u64, whose: &str| {
            format!("needs {} of {whose} memory, and {} are free", gib(needed), gib(free))
        };
        if !fits(device_bytes, self.device_bytes) {
            return Some(why(device_bytes, self.device_bytes, "the device's"));
        }
        if self.has_host_apart() && !fits(host_bytes, self.host_bytes) {
            return Some(why(host_bytes, self.host_bytes, "the host's"));
        }
        None
    }

    /// Operations of the model a second, for samples of this mean length.
    #[must_use]
    pub(super) fn speed(&self, tokens: f64, precision: Precision) -> f64 {
        let share = match self.kind {
            // What one H200 is to reach, at three lengths: the longer, the more attention.
            Kind::Cuda if tokens < 20_000.0 => 0.39,
            Kind::Cuda if tokens < 90_000.0 => 0.34,
            Kind::Cuda => 0.32,
            // Measured already with a model.
            Kind::Cpu => 1.0,
        };
        let precise = match (self.kind, precision) {
            // Without its units for bf16 a GPU does an eighth, in TF32 a half.
            (Kind::Cuda, Precision::F32) => 0.125,
            (Kind::Cpu, Precision::Bf16) if self.has_bf16 => 1.7,
            // Measured: 3.6 tokens a second where single precision has 80.
            (Kind::Cpu, Precision::Bf16) => 0.05,
            _ => 1.0,
        };
        self.flops * share * precise
    }
}

/// Whether this processor multiplies bf16.
fn computes_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
