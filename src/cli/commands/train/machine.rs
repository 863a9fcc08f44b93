//! The machine that a run is planned for. Without libtorch the driver's own tool says which GPUs
//! there are.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use training::plan::Machine;
use training::recipe::Device;

use crate::compose;
use crate::error::CliError;

/// Longer than a driver that works ever takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// No tool says more about its GPUs.
const SAID_BYTES_MAX: u64 = 1 << 16;

/// The machine for a run: the first GPU, which is the one that the runner takes, or the processor.
pub(super) fn find(device: Device) -> Result<Machine, CliError> {
    let processor = Machine::processor();
    if device == Device::Cpu {
        return Ok(processor);
    }
    let gpus = Machine::of_nvidia_smi(&asked()?, processor.host_bytes);
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

/// What the driver's tool says; nothing where there is none or it hangs.
fn asked() -> Result<String, CliError> {
    let mut command = Command::new("nvidia-smi");
    command.args(Machine::NVIDIA_SMI);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else { return Ok(String::new()) };
    compose::run(async {
        let reading = tokio::task::spawn_blocking(move || read(child));
        let said = tokio::time::timeout(PATIENCE, reading).await;
        said.ok().and_then(Result::ok).unwrap_or_default()
    })
}

fn read(mut child: Child) -> String {
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        // What cannot be read names no GPU.
        let _ = stdout.take(SAID_BYTES_MAX).read_to_string(&mut said);
    }
    let is_well = child.wait().is_ok_and(|status| status.success());
    if is_well { said } else { String::new() }
}
