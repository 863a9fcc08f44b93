//! What of a model is trained: all of it, or an adapter beside each linear layer.

use tch::{Device, Kind, Tensor};
use training::recipe::Lora;

use crate::decoder::{Adapter, Decoder, Parameter};
use crate::error::{Result, TrainError};
use crate::weights;

/// Trains every parameter. An embedding that is the output's matrix too is one parameter, to which
/// both give gradients.
pub fn train_all(decoder: &mut Decoder) {
    for (slot, parameter) in decoder.parameters_mut().into_iter().enumerate() {
        parameter.train(slot);
    }
}

/// Puts a new adapter beside every linear layer and trains these alone. The first matrix is drawn
/// as PEFT draws it, evenly from ±1/√inputs, and the second is zero.
///
/// # Errors
/// When memory runs out.
pub fn train_adapters(decoder: &mut Decoder, lora: Lora, seed: u64) -> Result<()> {
    tch::manual_seed(i64::from_ne_bytes(seed.to_ne_bytes()));
    attach(decoder, lora.scale(), &|_, inputs, outputs, (kind, device)| {
        let rank = i64::try_from(lora.rank).unwrap_or(i64::MAX);
        // Drawn in f32 on the processor, so that the numbers are the same wherever they are used.
        #[allow(clippy::cast_precision_loss, reason = "the width of a layer")]
        let bound = (inputs as f64).sqrt().recip();
        let down = Tensor::f_zeros([rank, inputs], (Kind::Float, Device::Cpu))?;
        let down = down.f_uniform(-bound, bound)?.f_to_device(device)?.f_to_kind(kind)?;
        Ok(Some((down, Tensor::f_zeros([outputs, rank], (kind, device))?)))
    })
}

/// Puts an adapter from a folder beside the linear layers that it has matrices for, and trains it.
///
/// # Errors
/// When it is not for this model, or memory runs out.
pub fn load_adapters(decoder: &mut Decoder, adapter: &weights::Adapter) -> Result<()> {
    let linears = decoder.shape().linears();
    attach(decoder, adapter.scale(), &|module, _, _, (kind, device)| {
        let linear = linears.iter().find(|linear| linear.module == module);
        let linear =
            linear.ok_or_else(|| TrainError::Torch(format!("the model has no layer {module}")))?;
        adapter.take(linear, kind, device)
    })
}

/// Makes the two matrices of an adapter for a layer: its module, inputs and outputs. `None` is no
/// adapter there.
type Make<'a> = dyn Fn(&str, i64, i64, (Kind, Device)) -> Result<Option<(Tensor, Tensor)>> + 'a;

fn attach(decoder: &mut Decoder, scale: f64, make: &Make<'_>) -> Result<()> {
    let options = (decoder.kind(), decoder.device());
    let mut slots = 0..;
    for linear in decoder.linears_mut() {
        let module = linear.module().to_owned();
        let (outputs, inputs) = linear.weight().value().size2()?;
        let Some((down, up)) = make(&module, inputs, outputs, options)? else { continue };
        let mut parameter = |value: Tensor, which: &str| {
            let name = format!("base_model.model.{module}.{which}.weight");
            let mut parameter = Parameter::new(&name, value);
            parameter.train(slots.next().unwrap_or_default());
            parameter
        };
        let (down, up) = (parameter(down, "lora_A"), parameter(up, "lora_B"));
        linear.set_adapter(Some(Adapter { down, up, scale }));
    }
    Ok(())
}
