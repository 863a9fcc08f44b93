//! Rotary positions (Su et al., arXiv 2104.09864): pairs of numbers in a head are turned by an
//! angle that grows with the position.

use tch::{Device, Kind, Tensor};
use training::shape::{Rope, Rotation};

use crate::error::Result;
use crate::torch::number;

/// Cosines and sines for the positions of a row, `[length, width]` each.
#[derive(Debug)]
pub(super) struct Angles {
    cosines: Tensor,
    sines: Tensor,
    rotation: Rotation,
    width: i64,
}

impl Angles {
    /// The angles at these positions, computed in f32 and rounded to `kind` as `transformers` does.
    ///
    /// # Errors
    /// When memory runs out.
    pub(super) fn new(
        rope: &Rope,
        head_dim: usize,
        positions: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Self> {
        let (frequencies, scale) = rope.frequencies(head_dim);
        let frequencies = Tensor::f_from_slice(&frequencies)?.f_to_device(device)?;
        let positions = Tensor::f_from_slice(positions)?.f_to_device(device)?;
        let positions = positions.f_to_kind(Kind::Float)?.f_unsqueeze(1)?;
        let angles = positions.f_mul(&frequencies.f_unsqueeze(0)?)?;
        // Both of a pair turn by the same angle, wherever the two stand.
        let angles = match rope.rotation {
            Rotation::Halves => Tensor::f_cat(&[&angles, &angles], -1)?,
            Rotation::Interleaved => angles.f_repeat_interleave_self_int(2, Some(-1), None)?,
        };
        let width = angles.size2()?.1;
        let scale = number(scale)?;
        let scaled = |of: Tensor| -> Result<Tensor> { Ok(of.f_mul(&scale)?.f_to_kind(kind)?) };
        Ok(Self {
            cosines: scaled(angles.f_cos()?)?,
            sines: scaled(angles.f_sin()?)?,
            rotation: rope.rotation,
            width,
        })
    }

    /// The angles of so many rows from this one, in the same memory.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn narrow(&self, start: i64, rows: i64) -> Result<Self> {
        self.each(&|of| Ok(of.f_narrow(0, start, rows)?))
    }

    /// The angles of these rows.
    ///
    /// # Errors
    /// When there is no such row, or memory runs out.
    pub(super) fn select(&self, rows: &Tensor) -> Result<Self> {
        self.each(&|of| Ok(of.f_index_select(0, rows)?))
    }

    fn each(&self, part: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let (cosines, sines) = (part(&self.cosines)?, part(&self.sines)?);
        Ok(Self { cosines, sines, ..*self })
    }

    /// Turns heads, `[heads, length, head_dim]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub(super) fn turn(&self, heads: &Tensor) -> Result<Tensor> {
        let head_dim = heads.size3()?.2;
        let turned = heads.f_narrow(-1, 0, self.width)?;
        let partner = self.partner(&turned)?;
        let turned = turned.f_mul(&self.cosines)?.f_add(&partner.f_mul(&self.sines)?)?;
        if self.width == head_dim {
            return Ok(turned);
        }
        let rest = heads.f_narrow(-1, self.width, head_dim - self.width)?;
        Ok(Tensor::f_cat(&[&turned, &rest], -1)?)
    }

    /// For each number its partner in the pair, negated where the partner is the second.
    fn partner(&self, heads: &Tensor) -> Result<Tensor> {
        let half = self.width / 2;
        match self.rotation {
            Rotation::Halves => {
                let (first, second) =
                    (heads.f_narrow(-1, 0, half)?, heads.f_narrow(-1, half, half)?);
                Ok(Tensor::f_cat(&[&second.f_neg()?, &first], -1)?)
            }
            Rotation::Interleaved => {
                let (heads_count, length, _) = heads.size3()?;
                let pairs = heads.f_reshape([heads_count, length, half, 2])?;
                let (first, second) = (pairs.f_select(-1, 0)?, pairs.f_select(-1, 1)?);
                let swapped = Tensor::f_stack(&[&second.f_neg()?, &first], -1)?;
                Ok(swapped.f_flatten(-2, -1)?)
            }
        }
    }
}
