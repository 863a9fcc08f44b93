//! Causal attention within each trajectory of a row, there and back, without the matrix of scores.

use tch::Tensor;

use crate::decoder::Places;
use crate::error::{Result, TrainError};
use crate::torch::gradients;

/// Queries, keys and values of a row: `[heads, length, head_dim]`, fewer heads for the latter two.
#[derive(Debug)]
pub struct Attention {
    /// What looks.
    pub query: Tensor,
    /// What is looked at.
    pub key: Tensor,
    /// What is found.
    pub value: Tensor,
}

impl Attention {
    /// What each token finds, `[length, heads · head_dim]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, places: &Places) -> Result<Tensor> {
        let found: Vec<Tensor> = places
            .segments()
            .iter()
            .map(|segment| self.part(segment.start, segment.end - segment.start)?.attend())
            .collect::<Result<_>>()?;
        let found = match <[Tensor; 1]>::try_from(found) {
            Ok([one]) => one,
            Err(many) => Tensor::f_cat(&many, 1)?,
        };
        let (heads, length, head_dim) = found.size3()?;
        Ok(found.f_transpose(0, 1)?.f_reshape([length, heads * head_dim])?)
    }

    /// Gradients of queries, keys and values, from that of [`forward`](Self::forward)'s result. What
    /// each token finds is computed again, one trajectory at a time.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn backward(&self, places: &Places, gradient: &Tensor) -> Result<Self> {
        let (heads, length, head_dim) = self.query.size3()?;
        let gradient = gradient.f_reshape([length, heads, head_dim])?.f_transpose(0, 1)?;
        let parts: Vec<Self> = places
            .segments()
            .iter()
            .map(|segment| {
                let (start, length) = (segment.start, segment.end - segment.start);
                self.part(start, length)?.backward_alone(&gradient.f_narrow(1, start, length)?)
            })
            .collect::<Result<_>>()?;
        Self::joined(parts)
    }

    /// The tokens of one trajectory.
    fn part(&self, start: i64, length: i64) -> Result<Self> {
        let part = |of: &Tensor| of.f_narrow(1, start, length);
        Ok(Self { query: part(&self.query)?, key: part(&self.key)?, value: part(&self.value)? })
    }

    fn joined(parts: Vec<Self>) -> Result<Self> {
        let parts = match <[Self; 1]>::try_from(parts) {
            Ok([one]) => return Ok(one),
            Err(many) => many,
        };
        let join = |of: fn(&Self) -> &Tensor| {
            let all: Vec<&Tensor> = parts.iter().map(of).collect();
            Tensor::f_cat(&all, 1)
        };
        Ok(Self {
            query: join(|part| &part.query)?,
            key: join(|part| &part.key)?,
            value: join(|part| &part.value)?,
        })
    }

    /// Attention of one trajectory, `[heads, length, head_dim]`.
    fn attend(&self) -> Result<Tensor> {
        let [query, key, value] =
            [&self.query, &self.key, &self.value].map(|tensor| tensor.f_unsqueeze(0));
        let (query, key, value) = (query?, key?, value?);
        let shares = query.size()[1] != key.size()[1];
        // The kernel of the processor takes as many keys as queries; those of a GPU share them.
        let repeated = |tensor: Tensor| -> Result<Tensor> {
            if !shares || query.device().is_cuda() {
                return Ok(tensor);
            }
            let times = query.size()[1] / tensor.size()[1];
            Ok(tensor.f_repeat_interleave_self_int(times, Some(1), None)?)
        };
        let shares_here = shares && query.device().is_cuda();
        let (key, value) = (repeated(key)?, repeated(value)?);
        let found = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            0.0,
            true,
            None,
            shares_here,
        )?;
        Ok(found.f_squeeze_dim(0)?)
    }

    fn backward_alone(&self, gradient: &Tensor) -> Result<Self> {
        let leaf = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_detach()?.set_requires_grad(true)) };
        let leaves =
            Self { query: leaf(&self.query)?, key: leaf(&self.key)?, value: leaf(&self.value)? };
        let found = tch::with_grad(|| leaves.attend())?;
        let back = gradients(&[&found], &[gradient], &[&leaves.query, &leaves.key, &leaves.value])?;
        match <[Option<Tensor>; 3]>::try_from(back) {
            Ok([Some(query), Some(key), Some(value)]) => Ok(Self { query, key, value }),
            _ => Err(TrainError::Torch("attention gave no gradient back".to_owned())),
        }
    }
}
