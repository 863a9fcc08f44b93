//! The last steps before commands are taken: rights are given up, and nothing brings them back.

use std::ffi::OsString;
use std::io;

use rustix::process::{DumpableBehavior, getpid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use super::failure::{Doing, Failure};
use super::filter::{self, Needs};
use super::landlock::{self, Rules};
use super::message::Strength;
use super::plan::{Means, Plan};

/// No kernel numbers its capabilities beyond this.
const CAPABILITIES_MAX: libc::c_ulong = 63;

/// Confines this process, and with it everything that it will start.
pub(super) fn confine(plan: &Plan) -> Result<Strength, Failure> {
    // Nobody inside may look into the process that starts commands.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("become unreadable")?;
    drop_capabilities().doing("give up capabilities")?;
    set_no_new_privs(true).doing("refuse new rights")?;
    let everything = [OsString::from("/")];
    let strength = Strength {
        landlock: landlock::enforce(&Rules {
            readable: &everything,
            writable: &plan.writable,
            reaches_out: false,
        })?,
    };
    let alone = plan.means != Means::None;
    filter::install(Needs {
        sees_processes: !alone,
        no_network: !alone && !plan.shares_network,
        guarded: (!alone).then(|| getpid().as_raw_pid()),
    })?;
    Ok(strength)
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
    set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    Ok(())
}
