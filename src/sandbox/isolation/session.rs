//! A session's sandbox: its holder, started anew if it should die.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use screen::TerminalSize;
use tempfile::TempDir;

use super::Tier;
use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::holder::HolderProgram;
use crate::holder::handle::Holder;
use crate::holder::plan::{Guard, Means, Plan, Sockets};
use crate::policy::Policy;
use crate::terminal::Terminal;
use crate::tree::{Tree, check_not_ending, marker};

/// How long the first command, which does nothing, may take.
const TRIAL: Duration = Duration::from_secs(20);

/// A holder, and what it guards.
#[derive(Debug)]
struct Guarding {
    holder: Arc<Holder>,
    guards: Vec<Guard>,
}

#[derive(Debug)]
pub(super) struct Session {
    policy: Policy,
    means: Means,
    program: HolderProgram,
    holder: Mutex<Option<Guarding>>,
}

impl Session {
    /// Sets everything up and runs a command that does nothing; the error says what did not work.
    pub(super) fn begin(
        policy: &Policy,
        tier: Tier,
        program: &HolderProgram,
        sockets: &Sockets,
    ) -> Result<Self, String> {
        policy.check().map_err(|refusal| refusal.to_string())?;
        let means = match tier {
            Tier::Namespaces => Means::Own,
            Tier::Bwrap => Means::Bwrap,
            Tier::Landlock => Means::None,
            Tier::Seatbelt => return Err("it exists on macOS only".to_owned()),
            Tier::None | Tier::Off => return Err("it does not isolate".to_owned()),
        };
        let session = Self {
            policy: policy.clone(),
            means,
            program: program.clone(),
            holder: Mutex::new(None),
        };
        let begun = session.start(sockets)?;
        session.try_out(&begun.holder)?;
        *session.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(session)
    }

    fn start(&self, sockets: &Sockets) -> Result<Guarding, String> {
        let private = (self.means == Means::None)
            .then(|| tempfile::Builder::new().prefix("limn-").tempdir())
            .transpose()
            .map_err(|error| format!("make a temporary folder: {error}"))?;
        let folder = private.as_ref().map(TempDir::path);
        let plan = Plan::new(&self.policy, self.means, folder, sockets)?;
        let guards = plan.guards(&self.policy);
        Ok(Guarding { holder: Holder::start(&self.program, &plan, private)?, guards })
    }

    /// Runs `true`.
    fn try_out(&self, holder: &Arc<Holder>) -> Result<(), String> {
        let spec = CommandSpec {
            argv: vec!["true".into()],
            cwd: self.policy.workspace.clone(),
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            size: TerminalSize::default(),
            timeout: None,
            lingers: false,
            exec: None,
        };
        let (terminal, held) = holder.spawn(&spec, &marker()).map_err(|it| it.to_string())?;
        let mut tree = Tree::Held(held);
        let until = std::time::Instant::now() + TRIAL;
        while tree.exit().is_none() && std::time::Instant::now() < until {
            tree.wait_for_exit(until);
        }
        let exit = tree.uproot();
        drop(terminal);
        match exit {
            Some(exit) if exit.success() => Ok(()),
            _ => Err("a command that does nothing failed in it".to_owned()),
        }
    }

    pub(super) fn landlock(&self) -> Option<i32> {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.as_ref().map(|it| it.holder.strength.landlock).filter(|version| *version > 0)
    }

    /// The socket on the loopback inside that the network's proxy is to answer, once a holder.
    pub(super) fn take_proxy_listener(&self) -> Option<TcpListener> {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.as_ref()?.holder.take_listener()
    }

    #[cfg(test)]
    pub(super) fn kill_holder(&self) {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        holder.as_ref().expect("a holder").holder.kill();
    }

    /// The holder: a new one if the last one died, or guards what is not there any more. In that
    /// case what still runs in the last one goes on there.
    fn holder(&self) -> Result<Arc<Holder>, SandboxError> {
        let mut current = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let is_sound = |it: &&Guarding| it.holder.is_alive() && it.guards.iter().all(Guard::holds);
        if let Some(sound) = current.as_ref().filter(is_sound) {
            return Ok(Arc::clone(&sound.holder));
        }
        let begun = self.start(&Sockets::new()).map_err(SandboxError::Isolation)?;
        Ok(Arc::clone(&current.insert(begun).holder))
    }

    pub(super) fn spawn(&self, spec: &CommandSpec) -> Result<(Terminal, Tree), SandboxError> {
        check_not_ending()?;
        let (terminal, held) = once_more(|| self.holder()?.spawn(spec, &marker()))?;
        Ok((terminal, Tree::Held(held)))
    }
}

/// A holder that died between the look at it and the command has not seen the command, and the
/// next one may have it. Whoever may have seen it is not asked twice.
pub(super) fn once_more<T>(spawn: impl Fn() -> Result<T, SandboxError>) -> Result<T, SandboxError> {
    match spawn() {
        Err(SandboxError::IsolationGone) => spawn(),
        other => other,
    }
}
