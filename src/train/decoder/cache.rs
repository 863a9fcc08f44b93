//! Keys and values of what was said before, so that the next token costs one token.
//!
//! The room for all of them is taken at the beginning and never moves. What comes next may be one
//! token or a chunk of a prompt; either looks at everything before it and at nothing after.

use tch::{Device, Kind, Tensor};

use crate::decoder::{Attention, Decoder, Layer, Places};
use crate::error::{Result, TrainError};

/// The keys and values of one text, layer by layer.
#[derive(Debug)]
pub struct Cache {
    /// `[kv_heads, capacity, head_dim]` each.
    layers: Vec<(Tensor, Tensor)>,
    length: usize,
    capacity: usize,
}

impl Cache {
    /// Room for so many tokens of a model.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(decoder: &Decoder, capacity: usize) -> Result<Self> {
        let shape = decoder.shape();
        let sizes = [shape.kv_heads, capacity, shape.head_dim].map(as_i64);
        let zeros = || Tensor::f_zeros(sizes, (decoder.kind(), decoder.device()));
        let layers = (0..shape.layers).map(|_| Ok((zeros()?, zeros()?)));
        Ok(Self { layers: layers.collect::<Result<_>>()?, length: 0, capacity })
    }

    /// The tokens that are in it.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Forgets all but the first so many.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Decoder {
    /// What comes after the last of these tokens, which follow what is in the cache: logits `[vocab]`
    /// in f32. The tokens are in the cache then.
    ///
    /// # Errors
    /// When there is no token, no room, or memory runs out.
    pub fn next_logits(&self, ids: &[i64], cache: &mut Cache) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        if ids.is_empty() || cache.length + ids.len() > cache.capacity {
            let (more, room) = (ids.len(), cache.capacity - cache.length);
            return Err(TrainError::Torch(format!("{more} tokens do not fit where {room} do")));
        }
        let (kind, device) = (self.kind(), self.device());
        let window = cache.length..cache.length + ids.len();
        let places = Places::window(self.shape(), window, kind, device)?;
        let mask = mask(ids.len(), cache.length, device)?;
        let mut stream = self.embed(&Tensor::f_from_slice(ids)?.f_to_device(device)?)?;
        for (layer, (keys, values)) in self.layers().iter().zip(&cache.layers) {
            let room = Room { keys, values, length: cache.length, mask: mask.as_ref() };
            stream = room.through(layer, &stream, &places)?;
        }
        cache.length += ids.len();
        let last = stream.f_narrow(0, as_i64(ids.len()) - 1, 1)?;
        let normal = self.norm().forward(&last)?;
        let logits = normal.f_linear(self.head().value(), None::<&Tensor>)?;
        Ok(logits.f_squeeze_dim(0)?.f_to_kind(Kind::Float)?)
    }
}

/// One layer's part of a cache.
struct Room<'a> {
    keys: &'a Tensor,
    values: &'a Tensor,
    length: usize,
    mask: Option<&'a Tensor>,
}

impl Room<'_> {
    fn through(&self, layer: &Layer, stream: &Tensor, places: &Places) -> Result<Tensor> {
        let new = layer.project.forward(stream, places)?;
        let (start, rows) = (as_i64(self.length), stream.size2()?.0);
        let all = |room: &Tensor, new: &Tensor| -> Result<Tensor> {
            room.f_narrow(1, start, rows)?.f_copy_(new)?;
            Ok(room.f_narrow(1, 0, start + rows)?)
        };
        let (key, value) = (all(self.keys, &new.key)?, all(self.values, &new.value)?);
        let found = Attention { query: new.query, key, value }.look(self.mask)?;
        layer.feed.forward(&layer.close.forward(stream, &found)?)
    }
}

/// Who may look at whom, `[rows, before + rows]`; none is needed where a single token looks at all.
///
/// The causal flag of libtorch's kernels aligns the first row with the first key, which is right
/// only where nothing stands before.
fn mask(rows: usize, before: usize, device: Device) -> Result<Option<Tensor>> {
    if rows == 1 {
        return Ok(None);
    }
    let sizes = [rows, before + rows].map(as_i64);
    let ones = Tensor::f_ones(sizes, (Kind::Bool, device))?;
    Ok(Some(ones.f_tril(as_i64(before))?))
}

fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
