//! Which kernels libtorch may use.

use tch::Tensor;

use crate::error::Result;
use crate::torch::shim;

/// What kernels may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// The same input gives the same bits. Costs cuDNN's attention, whose gradients are summed in
    /// the order in which they come.
    pub deterministic: bool,
    /// Products of f32 may round their factors to TF32 (10 bits of fraction).
    pub tf32: bool,
    /// Shapes change from call to call. Costs cuDNN's attention, which is built anew for each.
    pub varied: bool,
}

impl Kernels {
    /// From now on, for the whole process.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn apply(self) -> Result<()> {
        let cudnn = !self.deterministic && !self.varied;
        shim::kernels([self.deterministic, self.tf32, cudnn, true, true, true])
    }
}

/// How attention is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// With the whole matrix of scores: memory grows with the square of the length.
    Math,
    /// FlashAttention, of the GPU or of the processor.
    Flash,
    /// The memory-efficient kernels of xFormers.
    Efficient,
    /// cuDNN.
    Cudnn,
    /// One that this version of limn has no name for.
    Other,
}

impl Backend {
    /// Its name in messages and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Math => "math",
            Self::Flash => "flash",
            Self::Efficient => "efficient",
            Self::Cudnn => "cudnn",
            Self::Other => "other",
        }
    }
}

/// The backend that causal attention over these tensors (batch × heads × length × head size) uses.
///
/// # Errors
/// When they do not fit each other.
pub fn attention_backend(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Backend> {
    Ok(match shim::attention_backend(query, key, value)? {
        0 => Backend::Math,
        1 => Backend::Flash,
        2 => Backend::Efficient,
        3 => Backend::Cudnn,
        _ => Backend::Other,
    })
}

/// What causal attention found, kept with what its way back needs.
#[derive(Debug)]
pub struct KeptAttention {
    saved: [Tensor; 4],
    backend: i64,
}

impl KeptAttention {
    /// Causal attention of queries, keys and values (batch × heads × length × head size).
    ///
    /// # Errors
    /// When memory runs out, or no kernel of these shapes keeps what is needed.
    pub fn new(parts: [&Tensor; 3]) -> Result<Self> {
        let (saved, backend) = shim::attention_forward(parts)?;
        Ok(Self { saved, backend })
    }

    /// What was found, in the shape of the queries.
    pub fn found(&self) -> &Tensor {
        &self.saved[0]
    }

    /// The gradients of the three, which have to be the same as before, from that of what was found.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn backward(&self, parts: [&Tensor; 3], gradient: &Tensor) -> Result<[Tensor; 3]> {
        shim::attention_backward(gradient, parts, &self.saved, self.backend)
    }
}

/// What queries find among a part of the keys, and the logarithms of the sums of exponentials by
/// which parts are joined (batch × heads × rows). No way back is kept.
///
/// # Errors
/// When memory runs out, or no kernel is for these shapes.
pub fn attention_part(parts: [&Tensor; 3], is_causal: bool) -> Result<[Tensor; 2]> {
    shim::attention_part(parts, is_causal)
}
