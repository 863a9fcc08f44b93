//! Attention of new tokens over what the slots of one layer keep.
//!
//! The causal flag of libtorch's kernels aligns the first row with the first key, which is right
//! only where nothing stands before. So a chunk of a prompt looks twice: without a mask at all that
//! stands before it, and causally at itself; the logarithms of the sums of exponentials say how the
//! two are joined. No mask of rows × keys is ever made, however long the text is.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::decoder::Attention;
use crate::error::Result;
use crate::torch::attention_part;

/// Rows of a call that belong to one slot.
#[derive(Debug)]
pub(super) struct Span {
    /// The slot.
    pub(super) slot: i64,
    /// The tokens that stand before.
    pub(super) before: i64,
    /// The rows, within those of all pieces.
    pub(super) rows: Range<i64>,
}

impl Span {
    /// Where the text ends with these rows.
    pub(super) fn end(&self) -> i64 {
        self.before + self.count()
    }

    /// The positions of the rows within their text.
    pub(super) fn positions(&self) -> Range<i64> {
        self.before..self.end()
    }

    /// How many rows.
    pub(super) fn count(&self) -> i64 {
        self.rows.end - self.rows.start
    }
}

/// How single tokens of slots that lie side by side look at what is kept, the same in each layer:
/// all of them in as few calls as one token takes, and nothing of it depends on the numbers in
/// `places` but numbers.
#[derive(Debug)]
pub(super) struct Together {
    /// The first slot.
    pub(super) first: i64,
    /// So many tokens of each slot are looked at.
    pub(super) reach: i64,
    /// Of each row its slot, and where in it its token goes; both `[rows]`.
    pub(super) slots: Tensor,
    pub(super) places: Tensor,
    /// `[rows, 1, 1, reach]`: 0 where a key is seen, and minus infinity where not.
    pub(super) mask: Tensor,
}

/// What one layer keeps.
pub(super) struct Kept<'a> {
    /// `[slots, kv_heads, slot_tokens, head_dim]`.
    pub(super) keys: &'a Tensor,
    /// The same.
    pub(super) values: &'a Tensor,
}

impl Kept<'_> {
    /// Keeps what is new, and says what each row finds, piece by piece: `[rows, heads · head_dim]`.
    /// A processor has no use for calls that are few and large, and would compute for naught where
    /// texts are of different lengths.
    pub(super) fn look(&self, new: &Attention, spans: &[Span]) -> Result<Tensor> {
        let found: Vec<Tensor> =
            spans.iter().map(|span| self.look_of(new, span)).collect::<Result<_>>()?;
        match <[Tensor; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(many) => Ok(Tensor::f_cat(&many, 0)?),
        }
    }

    /// What the rows of one piece find in their slot.
    fn look_of(&self, new: &Attention, span: &Span) -> Result<Tensor> {
        let (rows, start) = (span.count(), span.rows.start);
        let all = |room: &Tensor, new: &Tensor| -> Result<Tensor> {
            let slot = room.f_select(0, span.slot)?;
            slot.f_narrow(1, span.before, rows)?.f_copy_(&new.f_narrow(1, start, rows)?)?;
            Ok(slot.f_narrow(1, 0, span.end())?)
        };
        let (key, value) = (all(self.keys, &new.key)?, all(self.values, &new.value)?);
        let query = new.query.f_narrow(1, start, rows)?;
        let found = if rows == 1 || span.before == 0 {
            part(&query, &key, &value, rows > 1)?.found
        } else {
            let within = |of: &Tensor, from, count| of.f_narrow(1, from, count);
            let before = part(
                &query,
                &within(&key, 0, span.before)?,
                &within(&value, 0, span.before)?,
                false,
            )?;
            let own = part(
                &query,
                &within(&key, span.before, rows)?,
                &within(&value, span.before, rows)?,
                true,
            )?;
            joined(&before, &own)?
        };
        Ok(found.f_permute([2, 0, 1, 3])?.f_reshape([rows, -1])?)
    }

    /// The same for single tokens, in one call.
    pub(super) fn look_together(&self, new: &Attention, look: &Together) -> Result<Tensor> {
        for (room, new) in [(self.keys, &new.key), (self.values, &new.value)] {
            let at = [Some(&look.slots), None, Some(&look.places)];
            let _ = room.shallow_clone().f_index_put_(&at, &new.f_transpose(0, 1)?, false)?;
        }
        let (heads, rows, head_dim) = new.query.size3()?;
        let kv_heads = self.keys.size4()?.1;
        // Heads that share keys are rows of one head here.
        let query = new.query.f_transpose(0, 1)?;
        let query = query.f_reshape([rows, kv_heads, heads / kv_heads, head_dim])?;
        let room = |of: &Tensor| of.f_narrow(0, look.first, rows)?.f_narrow(2, 0, look.reach);
        let found = Tensor::f_scaled_dot_product_attention(
            &query,
            &room(self.keys)?,
            &room(self.values)?,
            Some(&look.mask),
            0.0,
            false,
            None,
            false,
        )?;
        Ok(found.f_reshape([rows, heads * head_dim])?)
    }
}

/// What rows find among some of the keys.
struct Part {
    /// `[batch, heads, rows, head_dim]`; batch and heads together are all heads of queries.
    found: Tensor,
    /// The logarithms of the sums of exponentials, `[batch, heads, rows, 1]`.
    sums: Tensor,
}

fn part(query: &Tensor, key: &Tensor, value: &Tensor, is_causal: bool) -> Result<Part> {
    let (heads, rows, head_dim) = query.size3()?;
    let (kv_heads, keys, _) = key.size3()?;
    // Heads that share keys are heads of one batch for the processor, which then reads the same
    // keys for each of them and copies none. Kernels of a GPU share them by themselves.
    let (query, key, value) = if query.device().is_cuda() {
        (query.f_unsqueeze(0)?, key.f_unsqueeze(0)?, value.f_unsqueeze(0)?)
    } else {
        let group = heads / kv_heads;
        let shared =
            |of: &Tensor| of.f_unsqueeze(1)?.f_expand([kv_heads, group, keys, head_dim], false);
        let query = query.f_reshape([kv_heads, group, rows, head_dim])?;
        (query, shared(key)?, shared(value)?)
    };
    let [found, sums] = attention_part([&query, &key, &value], is_causal)?;
    let (batch, heads, rows, _) = found.size4()?;
    let sums = sums.f_reshape([batch, heads, rows, 1])?;
    Ok(Part { found, sums })
}

/// Two parts of the same rows as one: each by its share of the sum of exponentials.
fn joined(one: &Part, other: &Part) -> Result<Tensor> {
    let share = one.sums.f_sub(&other.sums)?.f_sigmoid()?;
    let wide = |of: &Part| of.found.f_to_kind(Kind::Float);
    let both = wide(other)?.f_lerp_tensor(&wide(one)?, &share)?;
    Ok(both.f_to_kind(one.found.kind())?)
}
