//! A sandbox of one tier, and commands in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::holder::{HolderProgram, WORD};
use sandbox::{
    CommandSpec, Finished, PolicyFile, Proxy, Running, Sandbox, Surroundings, TerminalSize, Tier,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::ground::{Ground, PATH};

/// Far more than any command needs.
const PATIENCE: Duration = Duration::from_secs(120);

const PROCESSES_MAX: u64 = 400;
const TMP_BYTES_MAX: u64 = 64 << 20;
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// The one host of a sandbox that may speak to any.
pub const ALLOWED_HOST: &str = "allowed.example";

pub struct Cage {
    sandbox: Sandbox,
    /// The way out, where the settings allow one.
    _proxy: Option<Proxy>,
    runtime: Runtime,
    workspace: PathBuf,
    env: Vec<(OsString, OsString)>,
}

impl Cage {
    /// The limits that attempts may know of.
    pub fn limits() -> Value {
        json!({
            "tmp_bytes_max": TMP_BYTES_MAX,
            "memory_bytes_max": MEMORY_BYTES_MAX,
            "allowed_host": ALLOWED_HOST,
        })
    }

    /// A narrow sandbox over a ground, with these settings on top; the error is why this machine has none of this tier.
    pub fn over(ground: &Ground, tier: Tier, more: &str) -> Result<Self, String> {
        let settings = format!(
            "{more}readable = [{:?}]\nlimits = {{ processes = {PROCESSES_MAX}, \
             memory_bytes = {MEMORY_BYTES_MAX}, tmp_bytes = {TMP_BYTES_MAX} }}\n",
            ground.path("outside").to_str().unwrap()
        );
        let env = vec![("PATH".into(), PATH.into()), ("HOME".into(), ground.home().into())];
        let around = Surroundings {
            workspace: ground.workspace(),
            home: Some(ground.home()),
            own: vec![ground.path("data")],
            ..Surroundings::default()
        };
        Self::new(tier, &around, &settings, env)
    }

    /// A sandbox with these settings, in these surroundings.
    pub fn new(
        tier: Tier,
        around: &Surroundings,
        settings: &str,
        env: Vec<(OsString, OsString)>,
    ) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let workspace = around.workspace.clone();
        let sandbox = if tier == Tier::Off {
            Sandbox::off()
        } else {
            let file: PolicyFile = toml::from_str(settings).unwrap();
            let policy = file.policy(around).expect("a policy");
            let program = HolderProgram { path: Ground::limn(), args: vec![WORD.into()] };
            Sandbox::with_program(policy, &[tier], &program)
        };
        match sandbox.tier() {
            Tier::None => Err(sandbox.untried()[0].reason.clone()),
            _ => Ok(Self { _proxy: proxy(&sandbox), sandbox, runtime, workspace, env }),
        }
    }

    /// With one more variable in the environment of commands.
    pub fn with_variable(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn tier(&self) -> Tier {
        self.sandbox.tier()
    }

    fn spec(&self, argv: &[&str]) -> CommandSpec {
        CommandSpec {
            argv: argv.iter().map(OsString::from).collect(),
            cwd: self.workspace.clone(),
            env: self.env.clone(),
            size: TerminalSize::default(),
            timeout: Some(PATIENCE),
            lingers: false,
            exec: None,
        }
    }

    /// Runs a command to its end; what it printed, and how it ended.
    pub fn run(&self, argv: &[&str]) -> (String, Finished) {
        self.start(self.spec(argv)).end()
    }

    /// Starts a shell's command; what it leaves in the background goes on.
    pub fn begin(&self, script: &str) -> Live<'_> {
        self.start(CommandSpec { lingers: true, ..self.spec(&["bash", "-c", script]) })
    }

    /// Starts one that has so much time.
    pub fn begin_for(&self, script: &str, time: Duration) -> Live<'_> {
        self.start(CommandSpec { timeout: Some(time), ..self.spec(&["bash", "-c", script]) })
    }

    fn start(&self, spec: CommandSpec) -> Live<'_> {
        let _inside = self.runtime.enter();
        let running = self.sandbox.spawn(spec).expect("the command starts");
        Live { cage: self, running, seen: String::new() }
    }
}

/// Serves the socket inside, if there is one; what is asked for is heard, and nothing more.
fn proxy(sandbox: &Sandbox) -> Option<Proxy> {
    let listener = sandbox.take_proxy_listener()?;
    let (log, mut requests) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || while requests.blocking_recv().is_some() {});
    Some(Proxy::start(listener.into(), sandbox.policy().network.clone(), log).unwrap())
}

/// A command that runs.
pub struct Live<'a> {
    cage: &'a Cage,
    running: Running,
    seen: String,
}

impl Live<'_> {
    /// Waits until it has printed this.
    pub fn until(&mut self, needle: &str) -> &mut Self {
        while !self.seen.contains(needle) {
            let chunk = self.cage.runtime.block_on(self.running.output.recv());
            let chunk = chunk.unwrap_or_else(|| panic!("no {needle:?} in {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
        self
    }

    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Types.
    pub fn types(&mut self, keys: &str) -> &mut Self {
        self.running.write(keys.as_bytes()).unwrap();
        self
    }

    pub fn resizes(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.running.resize(TerminalSize { columns, rows }).unwrap();
        self
    }

    /// Waits for its end.
    pub fn end(mut self) -> (String, Finished) {
        self.cage.runtime.block_on(async {
            while let Some(chunk) = self.running.output.recv().await {
                self.seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
            }
            let finished = self.running.wait().await.expect("it is followed to its end");
            (self.seen.replace('\r', ""), finished)
        })
    }
}
