//! Causal attention within each trajectory of a row, there and back, without the matrix of scores.

use tch::Tensor;

use crate::decoder::Places;
use crate::error::Result;
use crate::torch::KeptAttention;

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

/// What the trajectories of a row found, kept with what the way back needs.
#[derive(Debug)]
pub struct Saved(Vec<KeptAttention>);

impl Attention {
    /// What each token finds, `[length, heads · head_dim]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, places: &Places) -> Result<Tensor> {
        let parts = self.parts(places)?;
        let found: Vec<Tensor> = parts.iter().map(Self::attend).collect::<Result<_>>()?;
        in_a_row(found)
    }

    /// The same, kept for the way back.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn save(&self, places: &Places) -> Result<Saved> {
        let parts = self.parts(places)?;
        let kept = parts.iter().map(|part| {
            let [query, key, value] = part.repeated()?;
            KeptAttention::new([&query, &key, &value])
        });
        Ok(Saved(kept.collect::<Result<_>>()?))
    }

    /// The same numbers without their graph.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn detached(&self) -> Result<Self> {
        let detached = |tensor: &Tensor| tensor.f_detach();
        Ok(Self {
            query: detached(&self.query)?,
            key: detached(&self.key)?,
            value: detached(&self.value)?,
        })
    }

    /// The trajectories of the row.
    fn parts(&self, places: &Places) -> Result<Vec<Self>> {
        let part = |segment: &std::ops::Range<i64>| -> Result<Self> {
            let part = |of: &Tensor| of.f_narrow(1, segment.start, segment.end - segment.start);
            Ok(Self { query: part(&self.query)?, key: part(&self.key)?, value: part(&self.value)? })
        };
        places.segments().iter().map(part).collect()
    }

    /// How many heads of queries share one of keys.
    fn sharing(&self) -> i64 {
        match (self.query.size().first(), self.key.size().first()) {
            (Some(queries), Some(keys)) if *keys > 0 => queries / keys,
            _ => 1,
        }
    }

    /// With a batch of one in front, and as many keys as queries where the kernels want it: that of
    /// the processor does, those of a GPU share them.
    fn repeated(&self) -> Result<[Tensor; 3]> {
        let times = if self.query.device().is_cuda() { 1 } else { self.sharing() };
        let repeat = |tensor: &Tensor| -> Result<Tensor> {
            let batch = tensor.f_unsqueeze(0)?;
            if times == 1 {
                return Ok(batch);
            }
            Ok(batch.f_repeat_interleave_self_int(times, Some(1), None)?)
        };
        Ok([self.query.f_unsqueeze(0)?, repeat(&self.key)?, repeat(&self.value)?])
    }

    /// Attention of one trajectory, `[1, heads, length, head_dim]`.
    fn attend(&self) -> Result<Tensor> {
        let [query, key, value] = self.repeated()?;
        let shares = query.size().get(1) != key.size().get(1);
        Ok(Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            0.0,
            true,
            None,
            shares,
        )?)
    }
}

impl Saved {
    /// What each token found, `[length, heads · head_dim]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn found(&self) -> Result<Tensor> {
        let found = self.0.iter().map(|kept| kept.found().f_detach());
        in_a_row(found.collect::<std::result::Result<_, _>>()?)
    }

    /// Gradients of queries, keys and values, computed anew, from that of what was found.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn backward(
        &self,
        attention: &Attention,
        places: &Places,
        gradient: &Tensor,
    ) -> Result<Attention> {
        let (heads, length, head_dim) = attention.query.size3()?;
        let gradient = gradient.f_reshape([length, heads, head_dim])?.f_transpose(0, 1)?;
        let mut backs = [Vec::new(), Vec::new(), Vec::new()];
        let parts = attention.parts(places)?;
        for ((part, segment), kept) in parts.iter().zip(places.segments()).zip(&self.0) {
            let [query, key, value] = part.repeated()?;
            let rows = segment.end - segment.start;
            let gradient = gradient.f_narrow(1, segment.start, rows)?.f_unsqueeze(0)?;
            let back = kept.backward([&query, &key, &value], &gradient)?;
            for (all, one) in backs.iter_mut().zip(back) {
                all.push(one.f_squeeze_dim(0)?);
            }
        }
        let [query, key, value] = backs.map(|parts| Tensor::f_cat(&parts, 1));
        // What was repeated was looked at by several: their gradients add up.
        let gathered = |tensor: Tensor| -> Result<Tensor> {
            let (heads, length, head_dim) = tensor.size3()?;
            let keys = attention.key.size3()?.0;
            if heads == keys {
                return Ok(tensor);
            }
            let groups = tensor.f_reshape([keys, heads / keys, length, head_dim])?;
            Ok(groups.f_sum_dim_intlist(&[1_i64][..], false, None)?)
        };
        Ok(Attention { query: query?, key: gathered(key?)?, value: gathered(value?)? })
    }
}

/// Trajectories `[1, heads, length, head_dim]` behind each other as `[length, heads · head_dim]`.
fn in_a_row(found: Vec<Tensor>) -> Result<Tensor> {
    let found = match <[Tensor; 1]>::try_from(found) {
        Ok([one]) => one,
        Err(many) => Tensor::f_cat(&many, 2)?,
    };
    let (_, heads, length, head_dim) = found.size4()?;
    Ok(found.f_squeeze_dim(0)?.f_transpose(0, 1)?.f_reshape([length, heads * head_dim])?)
}
