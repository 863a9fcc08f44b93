//! Landlock: a second wall behind the mounts, and the first one where there are none.
//!
//! The library's default is to do as much as the kernel can and to call that a success. Here the
//! kernel is asked first what it can, exactly that is demanded, and what was enforced is checked.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope,
};

use super::failure::Failure;

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

/// Rules that are ready to be enforced.
#[derive(Debug)]
pub(super) struct Rules(RulesetCreated);

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("Landlock: {error}"))
}

impl Rules {
    /// What can be read, and run; and what can be written as well. None on a kernel without.
    pub(super) fn new(
        readable: &[OsString],
        writable: &[OsString],
    ) -> Result<Option<Self>, Failure> {
        let version = version();
        if version == 0 {
            return Ok(None);
        }
        let abi = abi(version);
        let all = AccessFs::from_all(abi);
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(all)
            .and_then(Ruleset::create)
            .map_err(|error| failed(&error))?;
        let read = AccessFs::from_read(abi);
        let paths = readable.iter().map(|path| (path, read));
        let mut rules = Self(ruleset);
        for (path, access) in paths.chain(writable.iter().map(|path| (path, all))) {
            // What is not there any more is not opened either.
            let Ok(descriptor) = PathFd::new(path) else { continue };
            let is_folder = Path::new(path).is_dir();
            let access = if is_folder { access } else { access & AccessFs::from_file(abi) };
            rules = rules.with(descriptor, access)?;
        }
        Ok(Some(rules))
    }

    fn with(self, at: impl AsFd, access: BitFlags<AccessFs>) -> Result<Self, Failure> {
        let rule = PathBeneath::new(at, access);
        self.0.add_rule(rule).map(Self).map_err(|error| failed(&error))
    }

    /// The same rules, and this file may be read and written.
    pub(super) fn and_file(&self, file: impl AsFd) -> Result<Self, Failure> {
        let copy = self.0.try_clone().map(Self).map_err(|error| failed(&error))?;
        copy.with(file, AccessFs::from_file(abi(version())))
    }

    /// Enforces them for good, for this process and all that it starts.
    pub(super) fn enforce(self) -> Result<(), Failure> {
        let status = self.0.restrict_self().map_err(|error| failed(&error))?;
        check(&status)
    }
}

/// Keeps this process and all that it starts from signalling others and from speaking to abstract
/// sockets of others, where the kernel knows how (version 6).
///
/// Moving a file from folder to folder is the one thing that every set of rules forbids unless it
/// says otherwise, so this one lets it happen everywhere, and leaves it to the rules of paths.
pub(super) fn stay_inside() -> Result<(), Failure> {
    let scopes: BitFlags<Scope> = Scope::from_all(abi(version()));
    if scopes.is_empty() {
        return Ok(());
    }
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)
        .and_then(|rules| rules.scope(scopes))
        .and_then(Ruleset::create)
        .map_err(|error| failed(&error))?;
    let root = PathFd::new("/").map_err(|error| failed(&error))?;
    Rules(ruleset).with(root, AccessFs::Refer.into())?.enforce()
}

fn check(status: &RestrictionStatus) -> Result<(), Failure> {
    if status.ruleset == RulesetStatus::FullyEnforced && status.no_new_privs {
        return Ok(());
    }
    Err(Failure::new("Landlock: the kernel enforced only a part of what it can"))
}
