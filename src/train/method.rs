//! What of a model is trained: all of it, or an adapter beside each linear layer.

use tch::{Device, Kind, Tensor};
use training::recipe::Lora;

use crate::decoder::{Adapter, Decoder, Linear, Parameter};
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
    let made = adapters(decoder, lora.scale(), &|_, inputs, outputs, (kind, device)| {
        let rank = i64::try_from(lora.rank).unwrap_or(i64::MAX);
        // Drawn in f32 on the processor, so that the numbers are the same wherever they are used.
        #[allow(clippy::cast_precision_loss, reason = "the width of a layer")]
        let bound = (inputs as f64).sqrt().recip();
        let down = Tensor::f_zeros([rank, inputs], (Kind::Float, Device::Cpu))?;
        let down = down.f_uniform(-bound, bound)?.f_to_device(device)?.f_to_kind(kind)?;
        Ok(Some((down, Tensor::f_zeros([outputs, rank], (kind, device))?)))
    })?;
    train(decoder, made);
    Ok(())
}

/// Puts an adapter from a folder beside the linear layers that it has matrices for, and trains it.
///
/// # Errors
/// When it is not for this model, or memory runs out.
pub fn load_adapters(decoder: &mut Decoder, adapter: &weights::Adapter) -> Result<()> {
    let made = beside(decoder, adapter)?;
    train(decoder, made);
    Ok(())
}

/// What an adapter from a folder has for each linear layer, in their order. Nothing is put there.
///
/// # Errors
/// When it is not for this model, or memory runs out.
pub fn beside(decoder: &Decoder, adapter: &weights::Adapter) -> Result<Vec<Option<Adapter>>> {
    let linears = decoder.shape().linears();
    adapters(decoder, adapter.scale(), &|module, _, _, (kind, device)| {
        let linear = linears.iter().find(|linear| linear.module == module);
        let linear =
            linear.ok_or_else(|| TrainError::Torch(format!("the model has no layer {module}")))?;
        adapter.take(linear, kind, device)
    })
}

/// Makes the two matrices of an adapter for a layer: its module, inputs and outputs. `None` is no
/// adapter there.
type Make<'a> = dyn Fn(&str, i64, i64, (Kind, Device)) -> Result<Option<(Tensor, Tensor)>> + 'a;

/// An adapter for each linear layer, in their order.
fn adapters(decoder: &Decoder, scale: f64, make: &Make<'_>) -> Result<Vec<Option<Adapter>>> {
    let options = (decoder.kind(), decoder.device());
    let adapter = |linear: &Linear| -> Result<Option<Adapter>> {
        let module = linear.module();
        let (outputs, inputs) = linear.weight().value().size2()?;
        let Some((down, up)) = make(module, inputs, outputs, options)? else { return Ok(None) };
        let parameter = |value: Tensor, which: &str| {
            Parameter::new(&format!("base_model.model.{module}.{which}.weight"), value)
        };
        let (down, up) = (parameter(down, "lora_A"), parameter(up, "lora_B"));
        Ok(Some(Adapter { down, up, scale }))
    };
    decoder.linears().into_iter().map(adapter).collect()
}

/// Puts adapters beside their layers, and trains them.
fn train(decoder: &mut Decoder, adapters: Vec<Option<Adapter>>) {
    let mut slots = 0..;
    for (linear, mut adapter) in decoder.linears_mut().into_iter().zip(adapters) {
        for parameter in adapter.iter_mut().flat_map(|it| [&mut it.down, &mut it.up]) {
            parameter.train(slots.next().unwrap_or_default());
        }
        drop(linear.set_adapter(adapter));
    }
}
