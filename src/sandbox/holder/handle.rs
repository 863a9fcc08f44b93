//! limn's side: a holder that runs, and commands that it is asked to start.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use tempfile::TempDir;

use super::bwrap;
use super::message::{self, Greeting, Report, Request, Strength};
use super::plan::{Means, Plan};
use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::isolation::proxy_variables;
use crate::terminal::Terminal;
use crate::tree::{Held, MARKER, forget_holder, kill_descendants, number, start_holder};

/// The word by which the program knows that it is to be a holder.
pub const WORD: &str = "sandbox-holder";

/// How long a holder may take to set itself up, and to start a command. Both take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that is a holder when it is started so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Default for HolderProgram {
    /// This program.
    fn default() -> Self {
        Self { path: "/proc/self/exe".into(), args: vec![WORD.into()] }
    }
}

/// A holder and all that runs in it. Dropping it kills everything.
#[derive(Debug)]
pub(crate) struct Holder {
    control: OwnedFd,
    /// The process in which the sandbox lives and dies.
    first: OwnedFd,
    child: Mutex<Child>,
    pub(crate) strength: Strength,
    /// The listener inside, for the proxy, until somebody takes it.
    listener: Mutex<Option<TcpListener>>,
    /// Its port.
    proxy_port: Option<u16>,
    /// What stands for `/tmp` where there is no other.
    private: Option<TempDir>,
    /// Whether a namespace ends with the first process.
    has_namespaces: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holders that may be there, for [`kill_all`].
static HOLDERS: Mutex<Vec<std::sync::Weak<Holder>>> = Mutex::new(Vec::new());

/// Kills all holders of this process, with everything in them.
pub(crate) fn kill_all() {
    let holders = match HOLDERS.try_lock() {
        Ok(holders) => holders,
        Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Whoever holds it only adds to it, and is not seen then.
        Err(std::sync::TryLockError::WouldBlock) => return,
    };
    for holder in holders.iter().filter_map(std::sync::Weak::upgrade) {
        holder.kill();
    }
}

impl Holder {
    /// Starts one and waits until it is confined; the error is a sentence without its full stop.
    pub(crate) fn start(
        program: &HolderProgram,
        plan: &Plan,
        private: Option<TempDir>,
    ) -> Result<Arc<Self>, String> {
        let failed = |doing: &'static str| move |error: io::Error| format!("{doing}: {error}");
        let (control, theirs) = message::pair().map_err(failed("open a socket pair"))?;
        let wrapped = message::wrap(plan).map_err(failed("write the plan"))?;
        message::send(&control, &(), &[wrapped.as_fd()]).map_err(failed("send the plan"))?;
        let memory = memfd_create("limn", MemfdFlags::CLOEXEC);
        let mut complaint = File::from(memory.map_err(|it| failed("make a file")(it.into()))?);
        let mut command = command_of(program, plan)?;
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(complaint.try_clone().map_err(failed("share a file"))?));
        // What is typed where limn runs is not for it. Where it does not fork, it leaves the
        // session at once, which the leader of a group may not.
        if plan.means != Means::None {
            command.process_group(0);
        }
        let child = start_holder(&mut command)
            .map_err(failed("start the process that holds the sandbox"))?;
        let mut child = Ending(Some(child));
        // It holds the other end of the socket, which closes when the holder ends only without it.
        drop(command);
        let (strength, mut descriptors) =
            greet(&control).map_err(|reason| with_complaint(reason, &mut complaint))?;
        let first = match descriptors.is_empty() {
            true => return Err("the process that holds the sandbox has no name".to_owned()),
            false => descriptors.remove(0),
        };
        let child = child.0.take().ok_or("the process that holds the sandbox is gone")?;
        let listener = descriptors.pop().map(TcpListener::from);
        let holder = Arc::new(Self {
            control,
            first,
            child: Mutex::new(child),
            strength,
            proxy_port: listener.as_ref().and_then(|it| it.local_addr().ok()).map(|it| it.port()),
            listener: Mutex::new(listener),
            private,
            has_namespaces: plan.means != Means::None,
        });
        let mut holders = lock(&HOLDERS);
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(Arc::downgrade(&holder));
        Ok(holder)
    }

    /// The socket on the loopback inside that the proxy is to answer, once.
    pub(crate) fn take_listener(&self) -> Option<TcpListener> {
        lock(&self.listener).take()
    }

    /// Whether it is there.
    pub(crate) fn is_alive(&self) -> bool {
        !is_readable(&self.first, Duration::ZERO)
    }

    /// Starts a command in it.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        spec: &CommandSpec,
        marker: &str,
    ) -> Result<(Terminal, Held), SandboxError> {
        let failed =
            |doing: &'static str| move |source: io::Error| SandboxError::System { doing, source };
        let program =
            || spec.argv.first().map_or_else(String::new, |it| it.to_string_lossy().into());
        let (report, theirs) = message::pair().map_err(failed("open a socket pair"))?;
        let (ready, begun) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("open a pipe")(error.into()))?;
        let request =
            message::wrap(&self.request(spec, marker)).map_err(failed("write the command"))?;
        let descriptors = [request.as_fd(), theirs.as_fd(), begun.as_fd()];
        message::send(&self.control, &(), &descriptors).map_err(|_| SandboxError::IsolationGone)?;
        drop((theirs, begun));
        if !is_readable(&report, PATIENCE) {
            return Err(SandboxError::NotStarted);
        }
        let (device, mut descriptors) = match message::receive::<Report>(&report) {
            Ok(Some((Report::Started { device }, descriptors))) => (device, descriptors),
            Ok(Some((Report::Failed(reason), _))) => {
                return Err(SandboxError::Spawn { program: program(), reason });
            }
            _ => return Err(SandboxError::NotStarted),
        };
        let (Some(keeper), Some(master)) = (descriptors.pop(), descriptors.pop()) else {
            return Err(SandboxError::NotStarted);
        };
        let held = Held::new(Arc::clone(self), marker.to_owned(), keeper, report);
        let mut reason = String::new();
        // Nobody writes but the command that could not be, and nobody holds it open once it is.
        let _ = File::from(ready).take(4_096).read_to_string(&mut reason);
        if !reason.is_empty() {
            return Err(SandboxError::Spawn { program: program(), reason });
        }
        rustix::io::ioctl_fionbio(&master, true)
            .map_err(|error| failed("use the terminal")(error.into()))?;
        Ok((Terminal { master, device }, held))
    }

    /// A command with the variables that are the sandbox's to say.
    fn request(&self, spec: &CommandSpec, marker: &str) -> Request {
        let mut env = spec.env.clone();
        env.push(("TERM".into(), "xterm-256color".into()));
        env.push((MARKER.into(), marker.into()));
        if let Some(port) = self.proxy_port {
            env.extend(proxy_variables(port, spec.exec));
        }
        if let Some(private) = &self.private {
            env.push(("TMPDIR".into(), private.path().into()));
        }
        let size = spec.size.clamped();
        Request {
            argv: spec.argv.clone(),
            cwd: spec.cwd.clone().into(),
            env,
            columns: size.columns,
            rows: size.rows,
        }
    }

    /// Whether everything in it dies with it.
    pub(crate) fn has_namespaces(&self) -> bool {
        self.has_namespaces
    }

    /// Kills everything in it.
    pub(crate) fn kill(&self) {
        if !self.has_namespaces
            && let Some(first) = number(&self.first)
        {
            kill_descendants(first);
        }
        let _ = pidfd_send_signal(&self.first, Signal::KILL);
        is_readable(&self.first, Duration::from_millis(400));
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.kill();
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        forget_holder(&child);
    }
}

fn command_of(program: &HolderProgram, plan: &Plan) -> Result<Command, String> {
    if plan.means == Means::Bwrap {
        return bwrap::command(program, plan);
    }
    let mut command = Command::new(&program.path);
    command.args(&program.args);
    Ok(command)
}

/// A child that is killed unless it is taken out.
struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
            forget_holder(child);
        }
    }
}

/// Why a holder did not begin, with the first line of what it or `bwrap` said of that.
fn with_complaint(reason: String, complaint: &mut File) -> String {
    const CHARS_MAX: usize = 400;
    let mut bytes = Vec::new();
    let _ = complaint.rewind();
    let _ = complaint.take(4 * CHARS_MAX as u64).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let shown = |line: &str| line.chars().filter(|it| !it.is_control()).take(CHARS_MAX).collect();
    match line.map(shown) {
        None => reason,
        Some::<String>(line) => format!("{reason}: {line}"),
    }
}

/// Waits for the holder's first message.
fn greet(control: &OwnedFd) -> Result<(Strength, Vec<OwnedFd>), String> {
    if !is_readable(control, PATIENCE) {
        return Err("the process that holds the sandbox does not answer".to_owned());
    }
    match message::receive::<Greeting>(control) {
        Ok(Some((Greeting::Ready(strength), descriptors))) => Ok((strength, descriptors)),
        Ok(Some((Greeting::Failed(reason), _))) => Err(reason),
        Ok(None) => Err("the process that holds the sandbox ended at once".to_owned()),
        Err(error) => Err(format!("the process that holds the sandbox said nonsense: {error}")),
    }
}

/// Waits until something can be read or is closed, for so long.
pub(crate) fn is_readable(descriptor: &OwnedFd, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], left.as_ref()) {
            Ok(found) => return found > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}
