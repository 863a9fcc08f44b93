use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{WaitOptions, waitpid};
use tempfile::TempDir;

use super::{Sandbox, Tier};
use crate::holder::HolderProgram;
use crate::policy::{Policy, PolicyFile, Surroundings};
use crate::{CommandSpec, Finished, Running, TerminalSize};

/// Longer than any test takes on the slowest machine.
const FOR_EVER: &str = "100000";

/// This program as a holder: the test that acts as one.
fn program() -> HolderProgram {
    let test = "isolation::tests::acts_as_holder";
    HolderProgram {
        path: "/proc/self/exe".into(),
        args: ["--exact", test, "--ignored", "--nocapture"].map(OsString::from).to_vec(),
    }
}

#[test]
#[ignore = "the holder of other tests"]
fn acts_as_holder() {
    #[allow(unsafe_code, reason = "a holder has one thread, and the tests' program has two")]
    // SAFETY: the other thread only waits for this one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        crate::holder::run();
        std::process::exit(0);
    }
    let _ = waitpid(rustix::process::Pid::from_raw(child), WaitOptions::empty());
}

/// A machine of its own: a workspace, a home, and a sandbox of each tier that there is.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["home/work", "data"] {
            fs::create_dir_all(folder.path().join(name)).expect("created");
        }
        Self { folder }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn workspace(&self) -> PathBuf {
        self.home().join("work")
    }

    fn policy(&self) -> Policy {
        let around = Surroundings {
            workspace: self.workspace(),
            home: Some(self.home()),
            own: vec![self.folder.path().join("data")],
            ..Surroundings::default()
        };
        PolicyFile::default().policy(&around).expect("a policy")
    }

    fn sandbox(&self, tier: Tier) -> Sandbox {
        let sandbox = Sandbox::with_program(self.policy(), &[tier], &program());
        assert_eq!(sandbox.tier(), tier, "{:?}", sandbox.untried());
        sandbox
    }
}

fn spec(workspace: &Path, script: &str) -> CommandSpec {
    CommandSpec {
        argv: ["bash", "-c", script].map(OsString::from).to_vec(),
        cwd: workspace.to_owned(),
        env: vec![("PATH".into(), std::env::var_os("PATH").expect("a path"))],
        size: TerminalSize::default(),
        timeout: None,
        lingers: false,
    }
}

async fn finish(mut running: Running) -> (String, Finished) {
    let mut bytes = Vec::new();
    while let Some(chunk) = running.output.recv().await {
        bytes.extend_from_slice(&chunk.bytes);
    }
    let finished = running.wait().await.expect("it is followed to its end");
    (String::from_utf8_lossy(&bytes).into_owned(), finished)
}

#[tokio::test]
async fn first() {
    let world = World::new();
    let started = std::time::Instant::now();
    let sandbox = world.sandbox(Tier::Namespaces);
    println!("up in {:?}, landlock {:?}", started.elapsed(), sandbox.landlock());
    let script = std::env::var("SCRIPT").unwrap_or_else(|_| "id; tty; ls -la / ~ /dev; mount | head -50; ps aux; ip a; touch x /etc/x; echo $?; grep -E 'Cap|Seccomp|NoNew' /proc/self/status; cat /etc/shadow".into());
    let (text, finished) = finish(sandbox.spawn(spec(&world.workspace(), &script)).expect("it starts")).await;
    println!("{text}\n{:?}", finished.exit);
    for _ in 0..20 {
        let started = std::time::Instant::now();
        let mut spec = spec(&world.workspace(), "");
        spec.argv = vec!["true".into()];
        finish(sandbox.spawn(spec).expect("it starts")).await;
        print!("{:?} ", started.elapsed());
    }
    let _ = (FOR_EVER, Duration::ZERO);
}
