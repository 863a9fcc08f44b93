//! System calls that are refused.
//!
//! A list of what is refused, not of what is allowed: what runs here is everything a developer
//! runs. It holds what leads out of the sandbox, what was the way into the kernel again and again,
//! and what no program of a developer needs. A few traps: the command of an `ioctl` is compared as
//! 32 bits, as the kernel reads it (CVE-2019-10063); `clone3` and `openat2` have what counts in
//! memory, where a filter cannot look, so they "do not exist" and programs use `clone` and
//! `openat`; the numbers of x32 are other names for the same calls; and whoever changes to the
//! calls of another architecture is ended.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is,
    SeccompCondition as Condition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

use super::failure::Failure;

/// Refused whatever the arguments.
const REFUSED: &[c_long] = &[
    // Other namespaces and mounts.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    // Files by number, past every path.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    // The keys of the user's session.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Large doors into the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    // The machine itself.
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_move_pages,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
];

/// Those of one architecture only.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[libc::SYS_kexec_file_load];

/// Looking into other processes, and what is shared with them by number: refused where they are
/// not in namespaces of their own.
const LOOKING: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
];

/// `ioctl`s that type into a terminal.
const TYPING: [u32; 2] = [0x5412, 0x541c];

const NEW_NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

const SET_ID: u64 = (libc::S_ISUID | libc::S_ISGID) as u64;

/// How far the filter has to go, given what else there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// Other processes of the user can be seen.
    pub(super) sees_processes: bool,
    /// The network is the machine's, and none of it may be used.
    pub(super) no_network: bool,
    /// A process that must not be signalled.
    pub(super) guarded: Option<i32>,
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Installs it, for this process and all that it starts.
pub(super) fn install(needs: Needs) -> Result<(), Failure> {
    for program in programs(needs).map_err(failed)? {
        seccompiler::apply_filter(&program).map_err(failed)?;
    }
    Ok(())
}

fn failed(error: Error) -> Failure {
    Failure::new(format!("seccomp: {error}"))
}

/// The programs, of which the strictest answer counts.
fn programs(needs: Needs) -> Result<Vec<BpfProgram>, Error> {
    let not_there =
        BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    let mut programs = vec![
        program(rules(needs)?, libc::EPERM)?,
        program(not_there, libc::ENOSYS)?,
        program(families(needs)?, libc::EAFNOSUPPORT)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    Ok(programs)
}

fn program(rules: Rules, errno: i32) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?)
}

fn when(argument: u8, length: Length, is: Is, value: u64) -> Result<Condition, Error> {
    Ok(Condition::new(argument, length, is, value)?)
}

fn rule(conditions: Vec<Condition>) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions)?)
}

/// Any of these bits, of which each needs a rule.
fn any_bit(argument: u8, bits: u64) -> Result<Vec<SeccompRule>, Error> {
    (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| bits & bit != 0)
        .map(|bit| rule(vec![when(argument, Length::Dword, Is::MaskedEq(bit), bit)?]))
        .collect()
}

fn rules(needs: Needs) -> Result<Rules, Error> {
    let mut rules: Rules =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    if needs.sees_processes {
        rules.extend(LOOKING.iter().map(|number| (*number, Vec::new())));
        add_tuning(&mut rules)?;
    }
    rules.insert(libc::SYS_clone, any_bit(0, NEW_NAMESPACES)?);
    let typing = |command: &u32| rule(vec![when(1, Length::Dword, Is::Eq, u64::from(*command))?]);
    rules.insert(libc::SYS_ioctl, TYPING.iter().map(typing).collect::<Result<_, _>>()?);
    add_modes(&mut rules)?;
    if let Some(guarded) = needs.guarded {
        add_guard(&mut rules, guarded)?;
    }
    Ok(rules)
}

/// Limits and priorities of others; a program's own go by no number.
fn add_tuning(rules: &mut Rules) -> Result<(), Error> {
    let not = |argument: u8, value: u64| rule(vec![when(argument, Length::Dword, Is::Ne, value)?]);
    for number in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        rules.insert(number, vec![not(0, 0)?]);
    }
    // Here the first argument says what the second is the number of: 0 and 1 are processes.
    rules.insert(libc::SYS_setpriority, vec![not(0, 0)?, not(1, 0)?]);
    rules.insert(libc::SYS_ioprio_set, vec![not(0, 1)?, not(1, 0)?]);
    Ok(())
}

/// No file gets the rights of its owner for whoever runs it, and nothing becomes a device.
fn add_modes(rules: &mut Rules) -> Result<(), Error> {
    /// `fchmodat2`, which libraries do not know yet; the number is the same everywhere.
    const FCHMODAT2: c_long = 452;
    // What is made without a name can be given one. Its flag holds that of opening a folder too,
    // which makes nothing.
    let makes = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];
    let create = |flags: u8, mode: u8| -> Result<Vec<SeccompRule>, Error> {
        let mut all = Vec::new();
        for flag in makes.map(|it| u64::from(it.unsigned_abs())) {
            for bit in [libc::S_ISUID, libc::S_ISGID].map(u64::from) {
                all.push(rule(vec![
                    when(flags, Length::Dword, Is::MaskedEq(flag), flag)?,
                    when(mode, Length::Dword, Is::MaskedEq(bit), bit)?,
                ])?);
            }
        }
        Ok(all)
    };
    let node = |mode: u8| -> Result<Vec<SeccompRule>, Error> {
        let kind = u64::from(libc::S_IFMT);
        let devices = [libc::S_IFCHR, libc::S_IFBLK];
        let device =
            |it: u32| rule(vec![when(mode, Length::Dword, Is::MaskedEq(kind), it.into())?]);
        let mut all: Vec<SeccompRule> =
            devices.into_iter().map(device).collect::<Result<_, _>>()?;
        all.extend(any_bit(mode, SET_ID)?);
        Ok(all)
    };
    rules.insert(libc::SYS_fchmod, any_bit(1, SET_ID)?);
    rules.insert(libc::SYS_fchmodat, any_bit(2, SET_ID)?);
    rules.insert(FCHMODAT2, any_bit(2, SET_ID)?);
    rules.insert(libc::SYS_openat, create(2, 3)?);
    rules.insert(libc::SYS_mknodat, node(2)?);
    rules.insert(libc::SYS_mkdirat, any_bit(2, u64::from(libc::S_ISUID))?);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_chmod, any_bit(1, SET_ID)?);
        rules.insert(libc::SYS_open, create(1, 2)?);
        rules.insert(libc::SYS_creat, any_bit(1, SET_ID)?);
        rules.insert(libc::SYS_mknod, node(1)?);
    }
    Ok(())
}

/// The holder is not signalled, by its own number or by those that mean everybody.
fn add_guard(rules: &mut Rules, guarded: i32) -> Result<(), Error> {
    let everybody = -1_i32;
    for number in [libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_pidfd_open] {
        let mut refused = Vec::new();
        for pid in [guarded, everybody] {
            let pid = u64::from(pid.cast_unsigned());
            refused.push(rule(vec![when(0, Length::Dword, Is::Eq, pid)?])?);
        }
        rules.insert(number, refused);
    }
    Ok(())
}

/// Kinds of sockets that there are: those of the machine itself, the Internet's, and the one by
/// which programs ask for their addresses.
fn families(needs: Needs) -> Result<Rules, Error> {
    let mut allowed = vec![libc::AF_UNIX];
    if !needs.no_network {
        allowed.extend([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]);
    }
    let other = |argument: u8| -> Result<SeccompRule, Error> {
        let conditions = allowed
            .iter()
            .map(|family| when(argument, Length::Dword, Is::Ne, u64::from(family.unsigned_abs())))
            .collect::<Result<_, _>>()?;
        rule(conditions)
    };
    let mut sockets = vec![other(0)?];
    // Of the links into the kernel only the one that lists addresses.
    for kind in 1..32 {
        sockets.push(rule(vec![
            when(0, Length::Dword, Is::Eq, u64::from(libc::AF_NETLINK.unsigned_abs()))?,
            when(2, Length::Dword, Is::Eq, kind)?,
        ])?);
    }
    let mut rules = BTreeMap::from([(libc::SYS_socket, sockets)]);
    if needs.no_network {
        // What is connected in the file system may be anybody's: pairs still work.
        rules.insert(libc::SYS_connect, Vec::new());
        // Datagrams carry their address with them and need no connection.
        let datagram = rule(vec![
            when(0, Length::Dword, Is::Eq, u64::from(libc::AF_UNIX.unsigned_abs()))?,
            when(1, Length::Dword, Is::MaskedEq(0xf), u64::from(libc::SOCK_DGRAM.unsigned_abs()))?,
        ])?;
        if let Some(sockets) = rules.get_mut(&libc::SYS_socket) {
            sockets.push(datagram.clone());
        }
        rules.insert(libc::SYS_socketpair, vec![datagram]);
    } else {
        rules.insert(libc::SYS_socketpair, vec![other(0)?]);
    }
    Ok(rules)
}

/// The calls of x32: the same ones under other numbers, which no rule above names.
fn no_x32() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32: u32 = 0x4000_0000;
    const REFUSE: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
    const ALLOW: u32 = 0x7fff_0000;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, REFUSE),
        step(RETURN, 0, 0, ALLOW),
    ]
}

#[cfg(test)]
mod tests;
