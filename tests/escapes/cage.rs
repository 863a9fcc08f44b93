//! A sandbox of one tier over one ground.

use std::ffi::OsString;
use std::time::Duration;

use sandbox::{CommandSpec, Finished, Sandbox, TerminalSize};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::ground::{Ground, PATH};

/// Far more than any command needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The ways to confine, and none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Off,
}

pub struct Cage {
    kind: Kind,
    sandbox: Sandbox,
    runtime: Runtime,
}

impl Cage {
    /// The limits that attempts may know of.
    pub fn limits() -> Value {
        json!({
            "tmp_bytes_max": 64 << 20,
            "memory_bytes_max": 512 << 20,
            "flood_bytes": 64 << 20,
            "allowed_host": "allowed.example",
        })
    }

    pub fn new(kind: Kind, _ground: &Ground) -> Self {
        let sandbox = match kind {
            Kind::Off => Sandbox::off(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { kind, sandbox, runtime }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs a command to its end; what it printed, and how it ended.
    pub fn run(&self, ground: &Ground, argv: &[&str]) -> (String, Finished) {
        let spec = CommandSpec {
            argv: argv.iter().map(OsString::from).collect(),
            cwd: ground.workspace(),
            env: vec![
                ("PATH".into(), PATH.into()),
                ("HOME".into(), ground.home().into()),
            ],
            size: TerminalSize::default(),
            timeout: Some(PATIENCE),
            lingers: false,
        };
        self.runtime.block_on(async {
            let mut running = self.sandbox.spawn(spec).expect("the command starts");
            let mut text = Vec::new();
            while let Some(chunk) = running.output.recv().await {
                text.extend_from_slice(&chunk.bytes);
            }
            let finished = running.wait().await.expect("the command is followed to its end");
            (String::from_utf8_lossy(&text).replace('\r', ""), finished)
        })
    }
}
