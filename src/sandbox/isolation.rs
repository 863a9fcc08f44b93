//! Where commands run: a policy and the tier that enforces it.
//!
//! A tier is chosen by trying: a whole sandbox is set up for the policy and a command is run in
//! it, since each part of it can be forbidden on its own, and asking the kernel for one of them
//! says little about the rest. What was tried is then used: the first sandbox that works is the
//! session's, so nothing is set up twice and no answer of yesterday is believed.

#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::ffi::OsString;
use std::fmt;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::sync::Arc;

use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::policy::{Policy, Refusal};
use crate::running::{self, Running};
use crate::terminal;

mod advice;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
mod seatbelt;
#[cfg(target_os = "linux")]
mod session;

#[cfg(target_os = "linux")]
use crate::holder::{HolderProgram, plan::Sockets};
#[cfg(target_os = "macos")]
use macos::Session;
#[cfg(target_os = "linux")]
use session::Session;

/// How the policy is enforced, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Namespaces of its own, with Landlock and seccomp.
    Namespaces,
    /// The same, where the system lets only `bwrap` make them.
    Bwrap,
    /// Landlock and seccomp alone: what is read, and other processes, are isolated in part.
    Landlock,
    /// A profile of macOS's own sandbox. Nobody has tried it.
    Seatbelt,
    /// Isolation was asked for and this build or machine has none: commands are refused.
    None,
    /// The user runs commands without isolation.
    Off,
}

impl Tier {
    /// Those that isolate on this system, the strongest first.
    #[cfg(not(target_os = "macos"))]
    pub const ISOLATING: [Self; 3] = [Self::Namespaces, Self::Bwrap, Self::Landlock];
    /// Those that isolate on this system, the strongest first.
    #[cfg(target_os = "macos")]
    pub const ISOLATING: [Self; 1] = [Self::Seatbelt];

    /// Its name, as events record it and the screen shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Bwrap => "bwrap",
            Self::Landlock => "landlock",
            Self::Seatbelt => "seatbelt",
            Self::None => "none",
            Self::Off => "off",
        }
    }

    /// Whether a command can be let through to single hosts, or to any.
    #[must_use]
    pub const fn reaches_hosts(self) -> bool {
        !matches!(self, Self::Landlock)
    }

    /// The isolating tier of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ISOLATING.into_iter().find(|tier| tier.as_str() == name)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tier that does not work here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untried {
    /// The tier.
    pub tier: Tier,
    /// Why, as a sentence without its full stop.
    pub reason: String,
}

impl Untried {
    /// What would make it work, where somebody knows.
    #[must_use]
    pub fn fix(&self) -> Option<&'static str> {
        advice::fix(self)
    }
}

/// Where commands run. Clones are the same sandbox: they share its processes and its `/tmp`.
#[derive(Clone, Debug)]
pub struct Sandbox {
    policy: Policy,
    tier: Tier,
    untried: Vec<Untried>,
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    session: Option<Arc<Session>>,
}

impl Sandbox {
    /// The strongest isolation that this machine lets us have for this policy; commands are refused
    /// when there is none. Takes a few milliseconds.
    #[must_use]
    pub fn auto(policy: Policy) -> Self {
        Self::strongest(policy, &Tier::ISOLATING)
    }

    /// The first of these tiers that works.
    #[must_use]
    pub fn strongest(policy: Policy, tiers: &[Tier]) -> Self {
        #[cfg(target_os = "linux")]
        return Self::with_program(policy, tiers, &HolderProgram::default());
        #[cfg(target_os = "macos")]
        return Self::first(policy, tiers, Session::begin);
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        return Self::refusing(
            policy,
            tiers
                .iter()
                .map(|tier| Untried { tier: *tier, reason: "it exists on Linux only".into() })
                .collect(),
        );
    }

    /// The same with another program that knows how to be a holder.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn with_program(policy: Policy, tiers: &[Tier], program: &HolderProgram) -> Self {
        let sockets = Sockets::new();
        Self::first(policy, tiers, |policy, tier| Session::begin(policy, tier, program, &sockets))
    }

    /// The first of these tiers that begins.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn first(
        policy: Policy,
        tiers: &[Tier],
        begin: impl Fn(&Policy, Tier) -> Result<Session, String>,
    ) -> Self {
        let mut untried = Vec::new();
        for tier in tiers {
            match begin(&policy, *tier) {
                Ok(session) => {
                    let session = Some(Arc::new(session));
                    return Self { policy, tier: *tier, untried, session };
                }
                Err(reason) => untried.push(Untried { tier: *tier, reason }),
            }
        }
        Self::refusing(policy, untried)
    }

    fn refusing(policy: Policy, untried: Vec<Untried>) -> Self {
        Self {
            policy,
            tier: Tier::None,
            untried,
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            session: None,
        }
    }

    /// No isolation: commands run as the user, with all the user's rights.
    #[must_use]
    pub fn off() -> Self {
        Self { tier: Tier::Off, ..Self::refusing(Policy::default(), Vec::new()) }
    }

    /// A sandbox without isolation, with another policy: what of it needs none still holds.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tier in force.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The stronger tiers that do not work here, with the reasons.
    #[must_use]
    pub fn untried(&self) -> &[Untried] {
        &self.untried
    }

    /// The version of Landlock that is in force, if any.
    #[must_use]
    pub fn landlock(&self) -> Option<i32> {
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        return self.session.as_ref().and_then(|session| session.landlock());
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        return None;
    }

    /// The socket inside that the proxy of the network is to answer, once for each set of processes:
    /// whoever takes it speaks for everybody outside. Commands find it by their variables, and wait
    /// until it is answered.
    #[must_use]
    pub fn take_proxy_listener(&self) -> Option<std::net::TcpListener> {
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        return self.session.as_ref().and_then(|session| session.take_proxy_listener());
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        return None;
    }

    #[cfg(test)]
    #[cfg(target_os = "linux")]
    fn kill_holder(&self) {
        if let Some(session) = &self.session {
            session.kill_holder();
        }
    }

    /// Why commands are refused, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        if self.tier != Tier::None {
            return None;
        }
        let reasons: Vec<String> =
            self.untried.iter().map(|it| format!("{}: {}", it.tier, it.reason)).collect();
        let why =
            if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        Some(Refusal {
            rule: format!("commands run only in isolation, and none works here{why}"),
            remedy: "see `limn doctor` for the fix, or pass `--sandbox off` to run them without \
                     isolation, with all of your rights"
                .into(),
        })
    }

    /// Starts a command. Takes two or three milliseconds, but for a sandbox that has to be set up anew
    /// or whose machine is very busy: it waits for that, so it is not for a thread that others need.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] by the policy; else whatever kept the command from starting.
    pub fn spawn(&self, spec: CommandSpec) -> Result<Running, SandboxError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal.into());
        }
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        if let Some(session) = &self.session {
            return running::start(&spec, &self.policy, || session.spawn(&spec));
        }
        running::start(&spec, &self.policy, || terminal::open(&spec))
    }
}

/// The variables by which programs find the proxy on the loopback: a convenience, since there is no
/// other way out.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) fn proxy_variables(
    port: u16,
    exec: Option<u32>,
) -> impl Iterator<Item = (OsString, OsString)> {
    const PROXY: [&str; 6] =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    /// What is not asked of it.
    const NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];
    let proxy = PROXY.map(|name| (name, format!("http://{}127.0.0.1:{port}", login(exec))));
    let none = NONE.map(|name| (name, "localhost,127.0.0.1,0.0.0.0,::1".to_owned()));
    proxy.into_iter().chain(none).map(|(name, value)| (name.into(), value.into()))
}

/// Whom the proxy is to put on record: a user name, since every program sends that along. Some
/// send none without a password.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn login(exec: Option<u32>) -> String {
    exec.map_or_else(String::new, |exec| format!("exec-{exec}:limn@"))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
