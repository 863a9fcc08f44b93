//! The machine that a run is planned for. Without libtorch the driver's own tool says which GPUs
//! there are.

use std::process::Command;
use std::time::Duration;

use training::plan::Machine;
use training::recipe::Device;

use crate::error::CliError;
use crate::patience::ask;

/// Longer than a driver that works ever takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The machine for a run: the first GPU, which is the one that the runner takes, or the processor.
pub(super) fn find(device: Device) -> Result<Machine, CliError> {
    let processor = Machine::processor();
    if device == Device::Cpu {
        return Ok(processor);
    }
    let gpus = Machine::of_nvidia_smi(&asked(), processor.host_bytes);
    match (gpus.into_iter().next(), device) {
        (Some(gpu), _) => Ok(gpu),
        (None, Device::Cuda) => {
            let why = "No GPU of NVIDIA was found: nvidia-smi names none. Choose --device cpu, or \
                       see that its driver works.";
            Err(CliError::failed(why))
        }
        (None, _) => Ok(processor),
    }
}

/// What the driver's tool says; nothing where there is none, or it fails or hangs.
fn asked() -> String {
    let said = ask(Command::new("nvidia-smi").args(Machine::NVIDIA_SMI), PATIENCE);
    let said = said.ok().filter(|said| said.status.success());
    said.map_or_else(String::new, |said| String::from_utf8_lossy(&said.stdout).into_owned())
}
