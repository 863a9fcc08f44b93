//! Landlock: a second wall behind the mounts, and the first one where there are none.
//!
//! The library's default is to do as much as the kernel can and to call that a success. Here the
//! kernel is asked first what it can, exactly that is demanded, and what was enforced is checked.

use std::ffi::OsString;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::failure::Failure;

/// What may be done where, for this process and all that it starts.
pub(super) struct Rules<'a> {
    /// What can be read, and run.
    pub(super) readable: &'a [OsString],
    /// What can be written as well.
    pub(super) writable: &'a [OsString],
    /// Whether processes outside can be signalled, and their abstract sockets spoken to.
    pub(super) reaches_out: bool,
}

/// The newest version that both we and the kernel know; 0 is none.
pub(super) fn version() -> i32 {
    #[allow(unsafe_code, reason = "a system call that no library exposes")]
    // SAFETY: with this flag the call reads no memory and answers a number.
    let known = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32)
    };
    i32::try_from(known).unwrap_or(0).clamp(0, ABI::V7 as i32)
}

fn abi(version: i32) -> ABI {
    match version {
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        7 => ABI::V7,
        _ => ABI::Unsupported,
    }
}

/// Enforces the rules for good; the version that is in force.
pub(super) fn enforce(rules: &Rules<'_>) -> Result<i32, Failure> {
    let version = version();
    if version == 0 {
        return Ok(0);
    }
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("Landlock: {error}"));
    let abi = abi(version);
    let all = AccessFs::from_all(abi);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)
        .map_err(|error| failed(&error))?;
    let scopes: BitFlags<Scope> = Scope::from_all(abi);
    if !rules.reaches_out && !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(|error| failed(&error))?;
    }
    let mut ruleset = ruleset.create().map_err(|error| failed(&error))?;
    let read = AccessFs::from_read(abi);
    let paths = rules.readable.iter().map(|path| (path, read));
    for (path, access) in paths.chain(rules.writable.iter().map(|path| (path, all))) {
        let Ok(descriptor) = PathFd::new(path) else { continue };
        let access = if Path::new(path).is_dir() { access } else { access & AccessFs::from_file(abi) };
        ruleset = ruleset
            .add_rule(PathBeneath::new(descriptor, access))
            .map_err(|error| failed(&error))?;
    }
    let status = ruleset.restrict_self().map_err(|error| failed(&error))?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(Failure::new("Landlock: the kernel enforced only a part of what it can"));
    }
    Ok(version)
}
