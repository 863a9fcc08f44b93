//! Cross-entropy on the trained tokens, in chunks: the logits of a long trajectory would be larger
//! than the model (152,000 tokens × 151,936 words × 4 bytes = 86 GiB).

use tch::{Kind, Tensor};

use crate::decoder::Decoder;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::row::Targets;
use crate::torch::{gradients, number};

/// How the loss is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chunks {
    /// Trained tokens whose logits are held at once.
    pub tokens: usize,
    /// What the sum of losses is divided by: the trained tokens of the whole step, so that each
    /// counts the same, in whichever row it stands.
    pub denominator: f64,
}

/// The sum of losses over the trained tokens of a row, in nats.
///
/// # Errors
/// When memory runs out.
pub fn loss(decoder: &Decoder, stream: &Tensor, targets: &Targets, tokens: usize) -> Result<f64> {
    let _guard = tch::no_grad_guard();
    let mut sum = Sum::default();
    for chunk in Chunk::all(targets, tokens)? {
        let normal = decoder.norm().forward(&stream.f_index_select(0, &chunk.rows)?)?;
        sum.add(chunk.logits(decoder, &normal)?.0)?;
    }
    sum.value()
}

/// The same sum, and the gradient of the mean with respect to the stream after the last layer,
/// `[length, hidden]`. The gradients of the last norm and the output's matrix are added.
///
/// # Errors
/// When memory runs out.
pub fn loss_backward(
    decoder: &Decoder,
    stream: &Tensor,
    targets: &Targets,
    chunks: Chunks,
    sums: &mut Gradients,
) -> Result<(f64, Tensor)> {
    let _guard = tch::no_grad_guard();
    let mut back = stream.f_zeros_like()?;
    let mut sum = Sum::default();
    for chunk in Chunk::all(targets, chunks.tokens)? {
        let selected = stream.f_index_select(0, &chunk.rows)?.set_requires_grad(true);
        let graph = tch::with_grad(|| decoder.norm().forward(&selected))?;
        let normal = graph.f_detach()?;
        let (losses, mut logits, whole) = chunk.logits(decoder, &normal)?;
        sum.add(losses)?;
        // The gradient of a logit is its probability, less one where it is the label.
        let mut logits = logits.f_sub_(&whole.f_unsqueeze(1)?)?.f_exp_()?;
        let labels = chunk.labels.f_unsqueeze(1)?;
        let less = labels.f_ones_like()?.f_neg()?.f_to_kind(Kind::Float)?;
        let mut logits = logits.f_scatter_add_(1, &labels, &less)?;
        let logits = logits.f_mul_(&number(1.0 / chunks.denominator)?)?.f_to_kind(stream.kind())?;
        let head = decoder.head();
        if head.slot().is_some() {
            sums.add(head, &logits.f_transpose(0, 1)?.f_matmul(&normal)?)?;
        }
        let to_normal = logits.f_matmul(head.value())?;
        let norms: Vec<_> =
            decoder.norm().parameters().filter(|norm| norm.slot().is_some()).collect();
        let mut inputs = vec![&selected];
        inputs.extend(norms.iter().map(|norm| norm.value()));
        let mut found = gradients(&[&graph], &[&to_normal], &inputs)?.into_iter();
        if let Some(gradient) = found.next().flatten() {
            let _ = back.f_index_copy_(0, &chunk.rows, &gradient)?;
        }
        for (norm, gradient) in norms.into_iter().zip(found) {
            if let Some(gradient) = gradient {
                sums.add(norm, &gradient)?;
            }
        }
    }
    Ok((sum.value()?, back))
}

/// Some of the trained tokens of a row.
struct Chunk {
    rows: Tensor,
    labels: Tensor,
}

impl Chunk {
    fn all(targets: &Targets, tokens: usize) -> Result<Vec<Self>> {
        let count = i64::try_from(targets.count).unwrap_or(i64::MAX);
        let size = i64::try_from(tokens.max(1)).unwrap_or(i64::MAX);
        let starts = (0..count).step_by(usize::try_from(size).unwrap_or(usize::MAX));
        let chunk = |start: i64| {
            let length = size.min(count - start);
            Ok(Self {
                rows: targets.rows.f_narrow(0, start, length)?,
                labels: targets.labels.f_narrow(0, start, length)?,
            })
        };
        starts.map(chunk).collect()
    }

    /// The sum of losses, the logits in f32, and the logarithm of the sum of their exponentials.
    fn logits(&self, decoder: &Decoder, normal: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let logits = normal.f_linear(decoder.head().value(), None::<&Tensor>)?;
        let logits = logits.f_to_kind(Kind::Float)?;
        let whole = logits.f_logsumexp(&[1_i64][..], false)?;
        let labels = self.labels.f_unsqueeze(1)?;
        let picked = logits.f_gather(1, &labels, false)?.f_squeeze_dim(1)?;
        Ok((whole.f_sub(&picked)?.f_sum(Kind::Double)?, logits, whole))
    }
}

/// A sum that stays on the device until it is asked for: asking waits for all work there.
#[derive(Default)]
struct Sum(Option<Tensor>);

impl Sum {
    fn add(&mut self, part: Tensor) -> Result<()> {
        self.0 = Some(match self.0.take() {
            Some(sum) => sum.f_add(&part)?,
            None => part,
        });
        Ok(())
    }

    fn value(&self) -> Result<f64> {
        match &self.0 {
            Some(sum) => Ok(sum.f_double_value(&[])?),
            None => Ok(0.0),
        }
    }
}
