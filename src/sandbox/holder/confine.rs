//! The last steps before commands are taken: rights are given up, and nothing brings them back.

use std::io;

use rustix::process::{DumpableBehavior, getpid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

use super::failure::{Doing, Failure};
use super::filter::{self, Needs};
use super::landlock::{self, Rules};
use super::message::Strength;
use super::plan::{Means, Plan};

/// No kernel numbers its capabilities beyond this.
const CAPABILITIES_MAX: libc::c_ulong = 63;

/// What every command is put under on top, where the holder itself cannot be.
#[derive(Debug, Default)]
pub(super) struct PerCommand {
    /// Where a command's terminal lies among everybody's, only it is opened to it, and that is
    /// not known before it is there.
    pub(super) rules: Option<Rules>,
}

/// Confines this process, and with it everything that it will start.
pub(super) fn confine(plan: &Plan) -> Result<(Strength, PerCommand), Failure> {
    // Nobody inside may look into the process that starts commands.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("become unreadable")?;
    drop_capabilities().doing("give up capabilities")?;
    set_no_new_privs(true).doing("refuse new rights")?;
    let strength = Strength { landlock: landlock::version() };
    let rules = Rules::new(&plan.readable, &plan.writable)?;
    landlock::stay_inside()?;
    let mut per_command = PerCommand::default();
    let alone = plan.means != Means::None;
    match rules {
        Some(rules) if alone => rules.enforce()?,
        None if !alone => return Err(Failure::new("the kernel has no Landlock")),
        rules => per_command.rules = rules,
    }
    filter::install(Needs {
        sees_processes: !alone,
        no_network: !alone,
        guarded: (plan.means != Means::Own).then(|| getpid().as_raw_pid()),
    })?;
    Ok((strength, per_command))
}

/// As root of a user namespace the holder has all of them there; afterwards it has none, and no
/// program that it starts gets any.
fn drop_capabilities() -> io::Result<()> {
    for capability in 0..=CAPABILITIES_MAX {
        #[allow(unsafe_code, reason = "libraries know only the capabilities of their own time")]
        // SAFETY: this call takes numbers and touches no memory.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        if done < 0 {
            match io::Error::last_os_error() {
                // It is numbered beyond what this kernel knows.
                error if error.raw_os_error() == Some(libc::EINVAL) => break,
                // Without the right to, there is nothing that a program could gain: what is set
                // below is all there is, and new rights are refused.
                error if error.raw_os_error() == Some(libc::EPERM) => break,
                error => return Err(error),
            }
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
