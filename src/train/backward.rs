//! There and back through the decoder, one layer at a time.
//!
//! Forward, nothing is kept but the input of each layer. Back, from the last layer to the first,
//! each is computed again with a graph of its own and gives the gradient of its input. So memory is
//! that of one layer and the inputs of all, whatever the depth; the price is a second forward pass.
//! Where there is memory for it, the graph of each layer is kept instead, and nothing is computed
//! twice. Either way the gradients are those of a graph of the whole model: to the bit where an MLP is
//! one tile, attention is computed again, too, and a row has more than eight tokens. Tiles are added to
//! the sums in single precision, with what attention gave at hand the parts of a gradient are added in
//! another order, and a row of few tokens is multiplied in one where no graph is made of it
//! ([`linear`](crate::torch::linear)).

use tch::{Device, Tensor};
use training::plan::Way;

use crate::decoder::{Attention, Decoder, Feed, Layer, Parameter, Places, Saved};
use crate::error::{Result, TrainError};
use crate::gradients::Gradients;
use crate::loss::{Chunks, loss_backward};
use crate::row::Row;
use crate::torch::gradients;

/// What waits of a layer for the way back.
enum Kept {
    /// All that it computed, as a graph between the two.
    Graph {
        /// What went in.
        input: Tensor,
        /// What came out.
        output: Tensor,
    },
    /// What it is computed from again.
    Input {
        /// What went in.
        input: Tensor,
        /// What attention gave, where that is kept.
        saved: Option<Saved>,
    },
}

/// Computes a row there and back. Its gradients are added to the sums; the sum of losses over its
/// trained tokens is returned.
///
/// # Errors
/// When memory runs out: then the sums are not to be used.
pub fn row_backward(
    decoder: &Decoder,
    row: &Row,
    chunks: Chunks,
    way: Way,
    sums: &mut Gradients,
) -> Result<f64> {
    let _guard = tch::no_grad_guard();
    let mut kept = Vec::with_capacity(decoder.layers().len());
    let mut stream = decoder.embed(&row.ids)?;
    for layer in decoder.layers() {
        let (next, waits) = layer_forward(layer, stream, &row.places, way)?;
        kept.push(waits);
        stream = next;
    }
    let (loss, mut back) = loss_backward(decoder, &stream, &row.targets, chunks, sums)?;
    drop(stream);
    for layer in decoder.layers().iter().rev() {
        let lost = || TrainError::Torch("a layer is lost".to_owned());
        back = match kept.pop().ok_or_else(lost)? {
            Kept::Graph { input, output } => {
                through(&[&output], &[&back], &input, &layer.trained(), sums)?
            }
            Kept::Input { input, saved } => {
                let input = input.f_to_device(decoder.device())?;
                layer_backward(layer, &input, saved, &row.places, &back, way.mlp_tile, sums)?
            }
        };
    }
    sums.add_rows(decoder.embedding(), &row.ids, &back)?;
    Ok(loss)
}

/// What comes out of a layer, and what of it waits.
fn layer_forward(
    layer: &Layer,
    stream: Tensor,
    places: &Places,
    way: Way,
) -> Result<(Tensor, Kept)> {
    if way.save_layers {
        let input = leaf(&stream)?;
        let output = tch::with_grad(|| layer.forward(&input, places, 0))?;
        return Ok((output.f_detach()?, Kept::Graph { input, output }));
    }
    let attention = layer.project.forward(&stream, places)?;
    let (found, saved) = if way.save_attention {
        let saved = attention.save(places)?;
        (saved.found()?, Some(saved))
    } else {
        (attention.forward(places)?, None)
    };
    drop(attention);
    let next = layer.feed.forward_in_tiles(&layer.close.forward(&stream, &found)?, way.mlp_tile)?;
    let input = if way.offload { stream.f_to_device(Device::Cpu)? } else { stream };
    Ok((next, Kept::Input { input, saved }))
}

/// The gradient of a layer's input from that of its output, both `[length, hidden]`.
///
/// With what attention found at hand it is not computed again: the graph is cut on both of its
/// sides, and its own way back stands between.
///
/// # Errors
/// When memory runs out.
pub fn layer_backward(
    layer: &Layer,
    input: &Tensor,
    saved: Option<Saved>,
    places: &Places,
    back: &Tensor,
    tile: usize,
    sums: &mut Gradients,
) -> Result<Tensor> {
    let input = leaf(input)?;
    let Some(saved) = saved else {
        let middle = tch::with_grad(|| -> Result<Tensor> {
            let found = layer.project.forward(&input, places)?.forward(places)?;
            layer.close.forward(&input, &found)
        })?;
        let back = feed_backward(&layer.feed, &middle.f_detach()?, back, tile, sums)?;
        let trained = [layer.project.trained(), layer.close.trained()].concat();
        return through(&[&middle], &[&back], &input, &trained, sums);
    };
    let attention = tch::with_grad(|| layer.project.forward(&input, places))?;
    let found = leaf(&saved.found()?)?;
    let middle = tch::with_grad(|| layer.close.forward(&input.f_detach()?, &found))?;
    let back = feed_backward(&layer.feed, &middle.f_detach()?, back, tile, sums)?;
    let to_found = through(&[&middle], &[&back], &found, &layer.close.trained(), sums)?;
    drop(middle);
    let Attention { query, key, value } =
        saved.backward(&attention.detached()?, places, &to_found)?;
    let to_input = through(
        &[&attention.query, &attention.key, &attention.value],
        &[&query, &key, &value],
        &input,
        &layer.project.trained(),
        sums,
    )?;
    Ok(back.f_add(&to_input)?)
}

/// The same for the MLP, in tiles of rows: every row goes through it by itself.
fn feed_backward(
    feed: &Feed,
    input: &Tensor,
    back: &Tensor,
    tile: usize,
    sums: &mut Gradients,
) -> Result<Tensor> {
    let length = input.size2()?.0;
    let tile = i64::try_from(tile).unwrap_or(i64::MAX);
    let tile = if tile == 0 { length } else { tile.min(length) };
    let trained = feed.trained();
    let mut parts = Vec::new();
    let mut start = 0;
    while start < length {
        let rows = tile.min(length - start);
        let input = leaf(&input.f_narrow(0, start, rows)?)?;
        let output = tch::with_grad(|| feed.forward(&input))?;
        let back = back.f_narrow(0, start, rows)?;
        parts.push(through(&[&output], &[&back], &input, &trained, sums)?);
        start += rows;
    }
    match <[Tensor; 1]>::try_from(parts) {
        Ok([one]) => Ok(one),
        Err(many) => Ok(Tensor::f_cat(&many, 0)?),
    }
}

/// Goes back through a graph: adds the gradients of its parameters, returns that of its input.
fn through(
    outputs: &[&Tensor],
    backs: &[&Tensor],
    input: &Tensor,
    trained: &[&Parameter],
    sums: &mut Gradients,
) -> Result<Tensor> {
    let mut inputs = vec![input];
    inputs.extend(trained.iter().map(|parameter| parameter.value()));
    let mut found = gradients(outputs, backs, &inputs)?.into_iter();
    let to_input = found.next().flatten();
    for (parameter, gradient) in trained.iter().zip(found) {
        if let Some(gradient) = gradient {
            sums.add(parameter, &gradient)?;
        }
    }
    to_input.ok_or_else(|| TrainError::Torch("a layer gave no gradient back".to_owned()))
}

/// The same numbers, at which a graph begins.
fn leaf(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_detach()?.set_requires_grad(true))
}
