//! GGUF files of llama architecture, as llama.cpp and its converters write them.
//!
//! Names become those of `transformers`. llama.cpp turns neighbours where `transformers` turns
//! halves, so its files hold the rows of queries and keys in another order; they are put back.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use chat::gguf::{Header, Tensor};
use tch::Kind;
use training::TrainingError;
use training::shape::{GGUF_FACTORS, ModelShape};

use super::broken;
use super::packed::Packing;
use super::tensors::{Lying, Mapped, Numbers, Tensors};
use crate::error::TrainError;

/// What stands outside layers: the name here, and that of `transformers`.
const OUTER: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// What stands in each layer, without `.weight` or `.bias`.
const INNER: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// How `ggml` numbers what is not read here, for messages.
const OTHERS: [(u32, &str); 9] = [
    (6, "Q5_0"),
    (7, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (20, "IQ4_NL"),
    (23, "IQ4_XS"),
];

/// Opens a file and says what its model consists of.
pub(super) fn open(path: &Path) -> Result<(ModelShape, Tensors), TrainError> {
    let header = Header::open(path).map_err(TrainingError::from)?;
    let shape = ModelShape::of_gguf(&header, path)?;
    let file = Mapped::open(path)?;
    let mut found = BTreeMap::new();
    for tensor in header.tensors().iter().filter(|tensor| tensor.name != GGUF_FACTORS) {
        let (name, heads) = published(&tensor.name, &shape);
        let lying = lying(tensor, heads, file.bytes.len())
            .map_err(|reason| broken(path, format!("{} {reason}", tensor.name)))?;
        found.insert(name, lying);
    }
    Ok((shape, Tensors::new(path, vec![file], found)))
}

/// The name that `transformers` has for a tensor, and how many heads its rows belong to when they
/// lie in another order. What has no such name keeps its own, and is told to be too much later.
fn published(name: &str, shape: &ModelShape) -> (String, Option<usize>) {
    if let Some((_, other)) = OUTER.iter().find(|(here, _)| *here == name) {
        return ((*other).to_owned(), None);
    }
    let known = || {
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, ending) = rest.rsplit_once('.')?;
        // A number that is written otherwise, such as 01, would be another tensor's name.
        let layer = layer.parse::<usize>().ok().filter(|number| number.to_string() == layer)?;
        let (_, other) = INNER.iter().find(|(here, _)| *here == part)?;
        let heads = match part {
            "attn_q" => Some(shape.heads),
            "attn_k" => Some(shape.kv_heads),
            _ => None,
        };
        Some((format!("model.layers.{layer}.{other}.{ending}"), heads))
    };
    known().unwrap_or_else(|| (name.to_owned(), None))
}

/// Where a tensor lies in a file of so many bytes; or what is wrong with it and what to do.
fn lying(tensor: &Tensor, heads: Option<usize>, file_bytes: usize) -> Result<Lying, String> {
    let sizes: Option<Vec<usize>> =
        tensor.sizes.iter().map(|size| usize::try_from(*size).ok()).collect();
    let sizes = sizes.ok_or("has impossible sizes. Download the file again.")?;
    let numbers = numbers(tensor.packing)?;
    let columns = sizes.last().copied().unwrap_or(1);
    let rows = sizes.split_last().map_or(&[][..], |(_, rows)| rows);
    let rows = rows.iter().try_fold(1_usize, |rows, size| rows.checked_mul(*size));
    let bytes = rows.and_then(|rows| match numbers {
        Numbers::Plain(kind) => rows.checked_mul(columns)?.checked_mul(kind.elt_size_in_bytes()),
        // One row alone is never packed, and could not be put in order by rows.
        Numbers::Packed(packing) if sizes.len() == 2 => packing.bytes(rows, columns),
        Numbers::Packed(_) => None,
    });
    let bytes = bytes.ok_or_else(|| {
        format!("is {sizes:?}, which no {numbers:?} can be. Download the file again.")
    })?;
    let end = usize::try_from(tensor.at).ok().and_then(|at| at.checked_add(bytes));
    let Some(end) = end.filter(|end| *end <= file_bytes) else {
        return Err("lies behind the end of the file. Download it again.".to_owned());
    };
    let divides = |heads: &usize| sizes.first().is_some_and(|rows| rows.is_multiple_of(2 * heads));
    if !heads.iter().all(divides) {
        return Err(format!("is {sizes:?}, which are no whole heads. Download the file again."));
    }
    Ok(Lying { file: 0, place: end - bytes..end, sizes, numbers, interleaved: heads })
}

/// How numbers are packed, from how `ggml` numbers it.
fn numbers(packing: u32) -> Result<Numbers, String> {
    Ok(match packing {
        0 => Numbers::Plain(Kind::Float),
        1 => Numbers::Plain(Kind::Half),
        2 => Numbers::Packed(Packing::Q4_0),
        3 => Numbers::Packed(Packing::Q4_1),
        8 => Numbers::Packed(Packing::Q8_0),
        28 => Numbers::Plain(Kind::Double),
        30 => Numbers::Plain(Kind::BFloat16),
        other => {
            let name = OTHERS.iter().find(|(number, _)| *number == other);
            let name = name.map_or_else(|| format!("number {other}"), |it| it.1.to_owned());
            return Err(format!(
                "is packed as {name}, which is not read here. Take a file of Q4_0, Q4_1, Q8_0, F16, BF16 or F32, or the folder that it was made from."
            ));
        }
    })
}
