//! Where the tokens of a row stand: which trajectory each belongs to, and at which position.

use std::ops::Range;

use tch::{Device, Kind};
use training::shape::ModelShape;

use crate::decoder::rotary::Angles;
use crate::error::Result;

/// The trajectories of a row, one behind the other, and their angles.
///
/// Positions begin anew with each, and attention never crosses from one into another.
#[derive(Debug)]
pub struct Places {
    segments: Vec<Range<i64>>,
    pub(super) angles: Angles,
}

impl Places {
    /// A row of trajectories of these lengths.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(shape: &ModelShape, lengths: &[usize], kind: Kind, device: Device) -> Result<Self> {
        let positions: Vec<i64> =
            lengths.iter().flat_map(|length| 0..i64::try_from(*length).unwrap_or(0)).collect();
        let segments = lengths.iter().scan(0_i64, |start, length| {
            let from = *start;
            *start += i64::try_from(*length).unwrap_or(0);
            Some(from..*start)
        });
        Ok(Self {
            segments: segments.filter(|segment| !segment.is_empty()).collect(),
            angles: Angles::new(&shape.rope, shape.head_dim, &positions, kind, device)?,
        })
    }

    /// Rows at these angles, whose texts do not begin in this row: nothing attends within it.
    pub(super) fn elsewhere(angles: Angles) -> Self {
        Self { segments: Vec::new(), angles }
    }

    /// Where each trajectory lies in the row.
    #[must_use]
    pub fn segments(&self) -> &[Range<i64>] {
        &self.segments
    }
}
