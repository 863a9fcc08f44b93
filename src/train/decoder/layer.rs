//! One layer, in the three parts between which attention and the backward pass stand.

use tch::Tensor;
use training::shape::{self, ModelShape};

use crate::decoder::{Attention, Linear, Norm, Parameter, Places};
use crate::error::{Result, TrainError};

/// A layer: `h = x + close(attention(project(x)))`, then `h + feed(h)`.
#[derive(Debug)]
pub struct Layer {
    /// Before attention.
    pub project: Project,
    /// After attention.
    pub close: Close,
    /// The MLP.
    pub feed: Feed,
}

/// Norm, queries, keys and values.
#[derive(Debug)]
pub struct Project {
    norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    head_dim: i64,
}

/// The output of attention, and its way into the stream.
#[derive(Debug)]
pub struct Close {
    output: Linear,
    norm: Option<Norm>,
}

/// The gated MLP (SwiGLU, Shazeer, arXiv 2002.05202).
#[derive(Debug)]
pub struct Feed {
    norm: Norm,
    gate: Gate,
    down: Linear,
    last_norm: Option<Norm>,
}

/// The projections into the MLP.
#[derive(Debug)]
enum Gate {
    Two {
        gate: Box<Linear>,
        up: Box<Linear>,
    },
    /// One matrix, the gate's rows first.
    Fused(Box<Linear>),
}

impl Layer {
    /// The layer at this place, whose tensors `take` finds.
    ///
    /// # Errors
    /// When a tensor cannot be had.
    pub fn new(
        shape: &ModelShape,
        at: usize,
        take: &dyn Fn(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let linears = shape.linears_of(at);
        let linear = |kind: &str| -> Result<Linear> {
            let found: Option<&shape::Linear> = linears.iter().find(|it| it.kind == kind);
            let found = found.ok_or_else(|| TrainError::Torch(format!("no {kind} in a layer")))?;
            Linear::new(&found.module, found.bias, take)
        };
        let norm = |name: &str| -> Result<Norm> {
            let weight = take(&format!("model.layers.{at}.{name}.weight"))?;
            Ok(Norm::new(weight, shape.norm_eps))
        };
        let norm_if = |there: bool, name: &str| -> Result<Option<Norm>> {
            if there { norm(name).map(Some) } else { Ok(None) }
        };
        let gate = if shape.fused_gate_up {
            Gate::Fused(Box::new(linear("gate_up_proj")?))
        } else {
            Gate::Two { gate: Box::new(linear("gate_proj")?), up: Box::new(linear("up_proj")?) }
        };
        Ok(Self {
            project: Project {
                norm: norm("input_layernorm")?,
                query: linear("q_proj")?,
                key: linear("k_proj")?,
                value: linear("v_proj")?,
                query_norm: norm_if(shape.qk_norm, "self_attn.q_norm")?,
                key_norm: norm_if(shape.qk_norm, "self_attn.k_norm")?,
                head_dim: i64::try_from(shape.head_dim).unwrap_or(i64::MAX),
            },
            close: Close {
                output: linear("o_proj")?,
                norm: norm_if(shape.sandwich_norms, "post_self_attn_layernorm")?,
            },
            feed: Feed {
                norm: norm("post_attention_layernorm")?,
                gate,
                down: linear("down_proj")?,
                last_norm: norm_if(shape.sandwich_norms, "post_mlp_layernorm")?,
            },
        })
    }

    /// `[length, hidden]` to the same, with this many rows of the MLP at once; all when it is 0.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, stream: &Tensor, places: &Places, tile: usize) -> Result<Tensor> {
        let found = self.project.forward(stream, places)?.forward(places)?;
        self.feed.forward_in_tiles(&self.close.forward(stream, &found)?, tile)
    }

    /// What of it is trained.
    #[must_use]
    pub fn trained(&self) -> Vec<&Parameter> {
        [self.project.trained(), self.close.trained(), self.feed.trained()].concat()
    }

    /// Its parameters by published names, without adapters.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        let norms = self.norms().into_iter().flat_map(Norm::parameters);
        norms.chain(self.linears().into_iter().flat_map(Linear::parameters))
    }

    /// Its parameters, to be changed.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        let Self { project, close, feed } = self;
        let norms = [&mut project.norm, &mut feed.norm].into_iter();
        let norms = norms.chain(&mut project.query_norm).chain(&mut project.key_norm);
        let norms = norms.chain(&mut close.norm).chain(&mut feed.last_norm);
        let linears = [&mut project.query, &mut project.key, &mut project.value];
        let linears = linears.into_iter().chain([&mut close.output]);
        let linears = linears.chain(feed.gate.linears_mut()).chain([&mut feed.down]);
        norms.flat_map(Norm::parameters_mut).chain(linears.flat_map(Linear::parameters_mut))
    }

    /// Its linear layers, in the order of use.
    #[must_use]
    pub fn linears(&self) -> Vec<&Linear> {
        [self.project.linears(), self.close.linears(), self.feed.linears()].concat()
    }

    /// Its linear layers, to be changed.
    pub fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let Self { project, close, feed } = self;
        let mut all = vec![&mut project.query, &mut project.key, &mut project.value];
        all.push(&mut close.output);
        all.extend(feed.gate.linears_mut());
        all.push(&mut feed.down);
        all
    }

    fn norms(&self) -> Vec<&Norm> {
        [self.project.norms(), self.close.norms(), self.feed.norms()].concat()
    }
}

/// A part of a layer: what in it may be trained.
trait Part {
    fn norms(&self) -> Vec<&Norm>;
    fn linears(&self) -> Vec<&Linear>;
}

/// The parameters of a part that are trained, adapters among them.
fn trained(part: &impl Part) -> Vec<&Parameter> {
    let norms = part.norms().into_iter().flat_map(Norm::parameters);
    let linears = part.linears().into_iter().flat_map(Linear::all);
    norms.chain(linears).filter(|parameter| parameter.slot().is_some()).collect()
}

impl Project {
    /// What attention needs of a stream, `[length, hidden]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, stream: &Tensor, places: &Places) -> Result<Attention> {
        let normal = self.norm.forward(stream)?;
        let heads = |linear: &Linear, norm: Option<&Norm>| -> Result<Tensor> {
            let flat = linear.forward(&normal)?;
            let (length, width) = flat.size2()?;
            let heads = flat.f_reshape([length, width / self.head_dim, self.head_dim])?;
            let heads = match norm {
                Some(norm) => norm.forward(&heads)?,
                None => heads,
            };
            Ok(heads.f_transpose(0, 1)?)
        };
        Ok(Attention {
            query: places.angles.turn(&heads(&self.query, self.query_norm.as_ref())?)?,
            key: places.angles.turn(&heads(&self.key, self.key_norm.as_ref())?)?,
            value: heads(&self.value, None)?,
        })
    }

    /// What of it is trained.
    #[must_use]
    pub fn trained(&self) -> Vec<&Parameter> {
        trained(self)
    }
}

impl Part for Project {
    fn norms(&self) -> Vec<&Norm> {
        let mut all = vec![&self.norm];
        all.extend(self.query_norm.iter().chain(&self.key_norm));
        all
    }

    fn linears(&self) -> Vec<&Linear> {
        vec![&self.query, &self.key, &self.value]
    }
}

impl Close {
    /// The stream with what attention found, `[length, heads · head_dim]`, added.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, stream: &Tensor, found: &Tensor) -> Result<Tensor> {
        let output = self.output.forward(found)?;
        let output = match &self.norm {
            Some(norm) => norm.forward(&output)?,
            None => output,
        };
        Ok(stream.f_add(&output)?)
    }

    /// What of it is trained.
    #[must_use]
    pub fn trained(&self) -> Vec<&Parameter> {
        trained(self)
    }
}

impl Part for Close {
    fn norms(&self) -> Vec<&Norm> {
        self.norm.iter().collect()
    }

    fn linears(&self) -> Vec<&Linear> {
        vec![&self.output]
    }
}

impl Feed {
    /// The stream with the MLP's output added. Every row by itself, so rows may come in tiles.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, stream: &Tensor) -> Result<Tensor> {
        let normal = self.norm.forward(stream)?;
        let (gate, up) = match &self.gate {
            Gate::Two { gate, up } => (gate.forward(&normal)?, up.forward(&normal)?),
            Gate::Fused(both) => {
                let both = both.forward(&normal)?;
                let half = both.size2()?.1 / 2;
                (both.f_narrow(1, 0, half)?, both.f_narrow(1, half, half)?)
            }
        };
        drop(normal);
        let output = self.down.forward_gated(&gate, &up)?;
        let output = match &self.last_norm {
            Some(norm) => norm.forward(&output)?,
            None => output,
        };
        Ok(stream.f_add(&output)?)
    }

    /// The same, so many rows at a time; all at once when it is 0.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward_in_tiles(&self, stream: &Tensor, tile: usize) -> Result<Tensor> {
        let length = stream.size2()?.0;
        let tile = i64::try_from(tile).unwrap_or(i64::MAX);
        if tile == 0 || tile >= length {
            return self.forward(stream);
        }
        let tiles = stream.f_split(tile, 0)?;
        let tiles: Vec<Tensor> =
            tiles.iter().map(|rows| self.forward(rows)).collect::<Result<_>>()?;
        Ok(Tensor::f_cat(&tiles, 0)?)
    }

    /// What of it is trained.
    #[must_use]
    pub fn trained(&self) -> Vec<&Parameter> {
        trained(self)
    }
}

impl Part for Feed {
    fn norms(&self) -> Vec<&Norm> {
        let mut all = vec![&self.norm];
        all.extend(&self.last_norm);
        all
    }

    fn linears(&self) -> Vec<&Linear> {
        match &self.gate {
            Gate::Two { gate, up } => vec![gate, up, &self.down],
            Gate::Fused(both) => vec![both, &self.down],
        }
    }
}

impl Gate {
    fn linears_mut(&mut self) -> Vec<&mut Linear> {
        match self {
            Self::Two { gate, up } => vec![gate, up],
            Self::Fused(both) => vec![both],
        }
    }
}
