//! What is computed at once: one trajectory, or a few short ones behind each other.

use tch::{Device, Tensor};
use training::data::Sample;

use crate::decoder::{Decoder, Places};
use crate::error::Result;

/// On a GPU a trajectory is as long as a multiple of this, so that kernels are planned for a few
/// lengths instead of for each one.
const GPU_MULTIPLE: usize = 1_024;

/// A row of tokens on the device, with what is trained of it.
#[derive(Debug)]
pub struct Row {
    /// `[length]`.
    pub ids: Tensor,
    /// Which trajectory each token belongs to, and where in it.
    pub places: Places,
    /// What is trained.
    pub targets: Targets,
}

/// Where something is trained, and what should have come there.
#[derive(Debug)]
pub struct Targets {
    /// The tokens whose successor is trained, `[count]`.
    pub rows: Tensor,
    /// These successors, `[count]`.
    pub labels: Tensor,
    /// How many there are.
    pub count: usize,
}

impl Row {
    /// Lays samples behind each other. The first token of each is never trained: nothing of the
    /// sample comes before it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(decoder: &Decoder, samples: &[Sample]) -> Result<Self> {
        let multiple = if decoder.device().is_cuda() { GPU_MULTIPLE } else { 1 };
        Self::filled_up(decoder, samples, multiple)
    }

    /// The same; a sample that is alone is followed by tokens that nothing is learned from, up to a
    /// multiple of so many. Attention only looks back, so they change nothing before them.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn filled_up(decoder: &Decoder, samples: &[Sample], multiple: usize) -> Result<Self> {
        let (mut ids, mut rows, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for sample in samples {
            for (at, id) in sample.ids.iter().enumerate() {
                let is_trained = sample.trained.get(at).copied().unwrap_or(false);
                if at > 0 && is_trained {
                    rows.push(i64::try_from(ids.len() - 1).unwrap_or(i64::MAX));
                    labels.push(i64::from(*id));
                }
                ids.push(i64::from(*id));
            }
        }
        let mut lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
        if let [length] = lengths.as_mut_slice() {
            *length = length.next_multiple_of(multiple);
            ids.resize(*length, 0);
        }
        let device = decoder.device();
        Ok(Self {
            ids: on(device, &ids)?,
            places: Places::new(decoder.shape(), &lengths, decoder.kind(), device)?,
            targets: Targets {
                rows: on(device, &rows)?,
                labels: on(device, &labels)?,
                count: rows.len(),
            },
        })
    }
}

fn on(device: Device, numbers: &[i64]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(numbers)?.f_to_device(device)?)
}
