//! The decoder: one model code for all families, cut where the backward pass needs it cut.
//!
//! A trajectory is one matrix, `[length, hidden]`, from the embedding to the last norm: there is no
//! batch, because long trajectories fill a GPU alone and short ones are packed into one row
//! ([`Places`]). A [`Layer`] is three functions with the attention between the first and the second:
//! [`Project`] makes queries, keys and values, [`Close`] adds what attention found to the stream,
//! [`Feed`] is the MLP. Each is recomputed by itself when gradients go back, so that neither a
//! graph of the whole model nor attention's scores are ever held.
//!
//! What differs between families is in [`ModelShape`], and read once,
//! here, when the parts are put together.

mod adapter;
mod attention;
mod cache;
mod kept;
mod layer;
mod linear;
mod norm;
mod parameter;
mod places;
mod rotary;
mod step;

#[cfg(test)]
mod tests;

pub use adapter::Adapter;
pub use attention::{Attention, Saved};
pub use cache::Cache;
pub use layer::{Close, Feed, Layer, Project};
pub use linear::Linear;
pub use norm::Norm;
pub use parameter::Parameter;
pub use places::Places;
pub use step::{Extent, Step};

use tch::{Device, Kind, Tensor};
use training::shape::ModelShape;

use crate::error::Result;
use crate::weights::Weights;

/// A model, ready to compute.
#[derive(Debug)]
pub struct Decoder {
    shape: ModelShape,
    embedding: Parameter,
    layers: Vec<Layer>,
    norm: Norm,
    /// The output's matrix, where it is not the embedding.
    head: Option<Parameter>,
    kind: Kind,
    device: Device,
}

impl Decoder {
    /// Puts a model together from its tensors, nothing of it trained yet.
    ///
    /// # Errors
    /// When a tensor cannot be had.
    pub fn new(weights: &Weights, kind: Kind, device: Device) -> Result<Self> {
        let shape = weights.shape();
        let take = |name: &str| -> Result<Parameter> {
            Ok(Parameter::new(name, weights.take(name, kind, device)?))
        };
        let layers = (0..shape.layers).map(|at| Layer::new(shape, at, &take));
        let head = if shape.tied_embeddings { None } else { Some(take("lm_head.weight")?) };
        Ok(Self {
            embedding: take("model.embed_tokens.weight")?,
            layers: layers.collect::<Result<_>>()?,
            norm: Norm::new(take("model.norm.weight")?, shape.norm_eps),
            head,
            shape: shape.clone(),
            kind,
            device,
        })
    }

    /// What it consists of.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// The kind of number that it computes with.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Its layers, the first first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The rows of the embedding for these ids, `[length, hidden]`.
    ///
    /// # Errors
    /// When an id has no row, or memory runs out.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        Ok(Tensor::f_embedding(self.embedding.value(), ids, -1, false, false)?)
    }

    /// The embedding.
    #[must_use]
    pub fn embedding(&self) -> &Parameter {
        &self.embedding
    }

    /// The norm before the output.
    #[must_use]
    pub fn norm(&self) -> &Norm {
        &self.norm
    }

    /// The output's matrix, `[vocab, hidden]`: the embedding itself where the two are tied.
    #[must_use]
    pub fn head(&self) -> &Parameter {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The stream after the last layer, `[length, hidden]`, without a graph, with this many rows of
    /// an MLP at once; all when it is 0.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, ids: &Tensor, places: &Places, tile: usize) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let mut stream = self.embed(ids)?;
        for layer in &self.layers {
            stream = layer.forward(&stream, places, tile)?;
        }
        Ok(stream)
    }

    /// What the model says comes after each token: logits `[length, vocab]` in f32.
    ///
    /// # Errors
    /// When memory runs out: this is for short texts, training never holds all of it.
    pub fn logits(&self, ids: &Tensor, places: &Places) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let stream = self.norm.forward(&self.forward(ids, places, 0)?)?;
        let logits = stream.f_linear(self.head().value(), None::<&Tensor>)?;
        Ok(logits.f_to_kind(Kind::Float)?)
    }

    /// Every parameter with its published name, adapters not included, in the order of use.
    #[must_use]
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut all = vec![&self.embedding];
        all.extend(self.layers.iter().flat_map(Layer::parameters));
        all.extend(self.norm.parameters());
        all.extend(&self.head);
        all
    }

    /// Every parameter, to be changed.
    pub fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let mut all = vec![&mut self.embedding];
        all.extend(self.layers.iter_mut().flat_map(Layer::parameters_mut));
        all.extend(self.norm.parameters_mut());
        all.extend(&mut self.head);
        all
    }

    /// Everything that is trained, by slot.
    #[must_use]
    pub fn trained(&self) -> Vec<&Parameter> {
        let adapters = self.linears().into_iter().filter_map(Linear::adapter);
        let adapters = adapters.flat_map(|adapter| [&adapter.down, &adapter.up]);
        let all = self.parameters().into_iter().chain(adapters);
        let mut trained: Vec<&Parameter> =
            all.filter(|parameter| parameter.slot().is_some()).collect();
        trained.sort_by_key(|parameter| parameter.slot());
        trained
    }

    /// Every linear layer of the decoder, to put adapters beside.
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        self.layers.iter_mut().flat_map(Layer::linears_mut).collect()
    }

    /// Every linear layer of the decoder.
    #[must_use]
    pub fn linears(&self) -> Vec<&Linear> {
        self.layers.iter().flat_map(Layer::linears).collect()
    }
}
