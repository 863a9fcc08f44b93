//! A sandbox of one tier over one ground.

use std::ffi::OsString;
use std::time::Duration;

use sandbox::holder::{HolderProgram, WORD};
use sandbox::{CommandSpec, Finished, PolicyFile, Sandbox, Surroundings, TerminalSize, Tier};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::ground::{Ground, PATH};

/// Far more than any command needs.
const PATIENCE: Duration = Duration::from_secs(120);

const PROCESSES_MAX: u64 = 400;
const TMP_BYTES_MAX: u64 = 64 << 20;
const MEMORY_BYTES_MAX: u64 = 512 << 20;
const FLOOD_BYTES: u64 = 64 << 20;

pub struct Cage {
    sandbox: Sandbox,
    runtime: Runtime,
}

impl Cage {
    /// The limits that attempts may know of.
    pub fn limits() -> Value {
        json!({
            "tmp_bytes_max": TMP_BYTES_MAX,
            "memory_bytes_max": MEMORY_BYTES_MAX,
            "flood_bytes": FLOOD_BYTES,
            "allowed_host": "allowed.example",
        })
    }

    /// A sandbox of this tier, with more settings than the usual ones; the error is why this
    /// machine has none.
    pub fn new(tier: Tier, ground: &Ground, settings: &str) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        if tier == Tier::Off {
            return Ok(Self { sandbox: Sandbox::off(), runtime });
        }
        let usual = format!(
            "readable = [{:?}]\nlimits = {{ processes = {PROCESSES_MAX}, \
             memory_bytes = {MEMORY_BYTES_MAX}, tmp_bytes = {TMP_BYTES_MAX} }}\n",
            ground.path("outside").to_str().unwrap()
        );
        let file: PolicyFile = toml::from_str(&format!("{usual}{settings}")).unwrap();
        let around = Surroundings {
            workspace: ground.workspace(),
            home: Some(ground.home()),
            own: vec![ground.path("data")],
            variables: std::env::vars_os().collect(),
            ..Surroundings::default()
        };
        let policy = file.policy(&around).expect("a policy");
        let program = HolderProgram { path: Ground::limn(), args: vec![WORD.into()] };
        let sandbox = Sandbox::with_program(policy, &[tier], &program);
        match sandbox.tier() {
            Tier::None => Err(sandbox.untried()[0].reason.clone()),
            _ => Ok(Self { sandbox, runtime }),
        }
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
