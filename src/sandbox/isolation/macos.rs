//! A session's sandbox on macOS: a profile, in which each command is started.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::{Tier, proxy_variables, seatbelt};
use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::policy::{Network, Policy};
use crate::terminal::{self, Terminal};
use crate::tree::Tree;

/// What puts a program under a profile. It is named by its whole path: whoever comes first on the
/// user's path is nobody to be confined by.
const PROGRAM: &str = "/usr/bin/sandbox-exec";

#[derive(Debug)]
pub(super) struct Session {
    profile: String,
    /// What stands for `/tmp`.
    private: TempDir,
    /// The listener for the proxy, until somebody takes it.
    listener: Mutex<Option<TcpListener>>,
    proxy_port: Option<u16>,
}

impl Session {
    /// Writes the profile and runs a command under it that does nothing; the error says what did
    /// not work.
    pub(super) fn begin(policy: &Policy, tier: Tier) -> Result<Self, String> {
        if tier != Tier::Seatbelt {
            return Err("it exists on Linux only".to_owned());
        }
        policy.check().map_err(|refusal| refusal.to_string())?;
        let failed = |doing: &'static str| move |error| format!("{doing}: {error}");
        let private = tempfile::Builder::new().prefix("limn-").tempdir();
        let private = private.map_err(failed("make a temporary folder"))?;
        let folder = private.path().canonicalize().map_err(failed("find the temporary folder"))?;
        let listener = (policy.network != Network::Off)
            .then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .transpose()
            .map_err(failed("listen for the proxy"))?;
        let address = listener.as_ref().map(TcpListener::local_addr).transpose();
        let proxy_port = address.map_err(failed("listen for the proxy"))?.map(|it| it.port());
        let profile = seatbelt::profile(policy, &folder, proxy_port)?;
        let session = Self { profile, private, listener: Mutex::new(listener), proxy_port };
        session.try_out(policy)?;
        Ok(session)
    }

    fn try_out(&self, policy: &Policy) -> Result<(), String> {
        let ended = Command::new(PROGRAM)
            .args(["-p", &self.profile, "/usr/bin/true"])
            .env_clear()
            .current_dir(&policy.workspace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        match ended {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().next().unwrap_or_default().trim().to_owned();
                Err(format!("a command that does nothing failed in it: {line}"))
            }
            Err(error) => Err(format!("start {PROGRAM}: {error}")),
        }
    }

    pub(super) fn landlock(&self) -> Option<i32> {
        None
    }

    /// The socket that the network's proxy is to answer, once.
    pub(super) fn take_proxy_listener(&self) -> Option<TcpListener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn spawn(&self, spec: &CommandSpec) -> Result<(Terminal, Tree), SandboxError> {
        let before = [PROGRAM, "-p", &self.profile].map(Into::into);
        let mut env = spec.env.clone();
        env.push(("TMPDIR".into(), self.private.path().into()));
        env.extend(
            self.proxy_port.map(|port| proxy_variables(port, spec.exec)).into_iter().flatten(),
        );
        let argv = before.into_iter().chain(spec.argv.iter().cloned()).collect();
        terminal::open(&CommandSpec { argv, env, ..spec.clone() })
    }
}
