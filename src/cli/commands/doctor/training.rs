//! Whether models can be trained here, and on what: `limn-train` says it of itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Check;
use crate::limn_train;
use crate::patience;

const NAME: &str = "training";

/// Longer than a slow disk and the slowest driver that works take together.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn check() -> Check {
    let runner = match limn_train::find() {
        Ok(runner) => runner,
        // Most people train nothing.
        Err(error) => return Check::fact(NAME, error.message, None),
    };
    match ask(&runner) {
        Ok(said) => judge(&said),
        Err(why) => {
            let found = format!("{} {why}", runner.display());
            Check::bad(NAME, found, Some(BROKEN))
        }
    }
}

/// What the runner says of its libtorch.
fn ask(runner: &Path) -> Result<Value, String> {
    let said = patience::ask(Command::new(runner).arg("doctor"), PATIENCE);
    let said = said.map_err(|error| error.to_string())?;
    if !said.status.success() {
        let told = String::from_utf8_lossy(&said.stderr);
        let line = told.lines().last().unwrap_or_default().to_owned();
        return Err(format!("failed ({}): {line}", said.status));
    }
    serde_json::from_slice(&said.stdout).map_err(|_| "says nothing that can be read".to_owned())
}

/// Good where a GPU computes, and a failure where one is there and does not.
pub(super) fn judge(said: &Value) -> Check {
    let text = |key: &str| said[key].as_str().unwrap_or("unknown").to_owned();
    let number = |key: &str| said[key].as_i64().map_or_else(String::new, |it| it.to_string());
    let (libtorch, attention) = (text("libtorch"), text("attention"));
    if said["usable"] == true {
        let (cudart, cudnn) = (number("cudart"), number("cudnn"));
        let graphs = match text("graphs").as_str() {
            "yes" => ", CUDA graphs".to_owned(),
            why => format!(", no CUDA graphs ({why})"),
        };
        let found = format!(
            "libtorch {libtorch} on a GPU: CUDA {cudart}, cuDNN {cudnn}, attention by \
             {attention}{graphs}"
        );
        return Check::good(NAME, found);
    }
    let found = format!(
        "libtorch {libtorch} on the processor: {} threads, attention by {attention}",
        number("threads")
    );
    let why = said["cuda"]["broken"].as_str().or_else(|| {
        said["cuda"]["library"].is_string().then_some("the driver of the GPU does not answer")
    });
    match why {
        Some(why) => Check::bad(NAME, format!("{found}; no GPU: {why}"), Some(GPU)),
        None => Check::fact(NAME, found, Some(GPU)),
    }
}

const BROKEN: &str = "Build it again, beside the libtorch it is run with. Where it does not answer, \
    see whether nvidia-smi does: a driver that hangs needs the machine started again.";

const GPU: &str = "For a GPU, name the lib folder of a PyTorch with CUDA by LD_LIBRARY_PATH.";
