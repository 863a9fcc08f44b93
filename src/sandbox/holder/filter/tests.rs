use libc::{EAFNOSUPPORT, ENOSYS, EPERM, c_int, c_long};
use seccompiler::{BpfProgram, sock_filter};

use super::{Needs, programs};

/// The needs of a holder in namespaces of its own.
const APART: Needs = Needs { sees_processes: false, no_network: false, guarded: None };
/// Those of one that has nothing but filters.
const AMONG_OTHERS: Needs = Needs { sees_processes: true, no_network: true, guarded: Some(1_234) };

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;

fn own_architecture() -> u32 {
    if cfg!(target_arch = "x86_64") { X86_64 } else { AARCH64 }
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Allowed,
    Refused(c_int),
    Killed,
}

/// A call as a filter sees it.
#[derive(Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    /// The word at an offset of what the kernel hands to a filter.
    fn word(&self, offset: u32) -> u32 {
        let at = usize::try_from(offset).expect("small") / 4;
        let halves = self.arguments.iter().flat_map(|it| [*it as u32, (*it >> 32) as u32]);
        let instruction = [0, 0];
        let words = [self.number, self.architecture].into_iter().chain(instruction).chain(halves);
        words.collect::<Vec<_>>()[at]
    }
}

/// What one program answers, run as the kernel runs it.
fn run(program: &[sock_filter], call: &Call) -> u32 {
    let (mut word, mut at) = (0_u32, 0_usize);
    loop {
        let step = program[at].clone();
        at += 1;
        let holds = match step.code {
            // Load a word.
            0x20 => {
                word = call.word(step.k);
                continue;
            }
            // Mask it.
            0x54 => {
                word &= step.k;
                continue;
            }
            // Jump.
            0x05 => {
                at += usize::try_from(step.k).expect("small");
                continue;
            }
            0x06 => return step.k,
            0x15 => word == step.k,
            0x25 => word > step.k,
            0x35 => word >= step.k,
            0x45 => word & step.k != 0,
            other => panic!("a step that this does not know: {other:#x}"),
        };
        at += usize::from(if holds { step.jt } else { step.jf });
    }
}

/// What all programs together answer: the strictest counts, and of equals the last.
fn ask(programs: &[BpfProgram], call: &Call) -> Answer {
    let answers = programs.iter().rev().map(|program| run(program, call));
    let strictest = answers.min_by_key(|answer| (answer & 0xffff_0000).cast_signed());
    match strictest.expect("a program") {
        0x7fff_0000 => Answer::Allowed,
        0x8000_0000 => Answer::Killed,
        answer if answer & 0xffff_0000 == 0x0005_0000 => {
            Answer::Refused(c_int::try_from(answer & 0xffff).expect("small"))
        }
        other => panic!("an answer that nobody asked for: {other:#x}"),
    }
}

fn call(number: c_long, arguments: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let number = u32::try_from(number).expect("a number");
    Call { number, architecture: own_architecture(), arguments: all }
}

#[track_caller]
fn check(needs: Needs, number: c_long, arguments: &[u64], expected: Answer) {
    let programs = programs(needs).expect("they can be built");
    assert_eq!(ask(&programs, &call(number, arguments)), expected, "{number} {arguments:x?}");
}

#[track_caller]
fn allows(needs: Needs, number: c_long, arguments: &[u64]) {
    check(needs, number, arguments, Answer::Allowed);
}

#[track_caller]
fn refuses(needs: Needs, number: c_long, arguments: &[u64]) {
    check(needs, number, arguments, Answer::Refused(EPERM));
}

fn word(value: impl TryInto<i64>) -> u64 {
    value.try_into().unwrap_or_default().cast_unsigned()
}

#[test]
fn what_every_program_needs_is_let_through() {
    for needs in [APART, AMONG_OTHERS] {
        for number in [libc::SYS_read, libc::SYS_write, libc::SYS_execve, libc::SYS_exit_group] {
            allows(needs, number, &[u64::MAX; 6]);
        }
        allows(needs, libc::SYS_openat, &[0, 0, word(libc::O_RDWR | libc::O_CREAT), 0o666]);
        allows(needs, libc::SYS_ioctl, &[0, word(libc::TIOCGWINSZ)]);
        allows(needs, libc::SYS_socket, &[word(libc::AF_UNIX), word(libc::SOCK_STREAM)]);
        let thread = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_THREAD;
        allows(needs, libc::SYS_clone, &[word(thread)]);
    }
}

#[test]
fn what_leads_out_is_refused_whatever_its_arguments() {
    for needs in [APART, AMONG_OTHERS] {
        for number in [libc::SYS_mount, libc::SYS_setns, libc::SYS_unshare, libc::SYS_bpf] {
            refuses(needs, number, &[]);
            refuses(needs, number, &[u64::MAX; 6]);
        }
    }
}

#[test]
fn what_has_its_arguments_in_memory_does_not_exist() {
    for needs in [APART, AMONG_OTHERS] {
        check(needs, libc::SYS_clone3, &[0, 88], Answer::Refused(ENOSYS));
        check(needs, libc::SYS_openat2, &[0, 0, 0, 24], Answer::Refused(ENOSYS));
    }
}

#[test]
fn nothing_types_into_a_terminal_whatever_stands_in_the_half_that_the_kernel_drops() {
    for command in [0x5412, 0x541c_u64] {
        for high in [0, 1 << 32, 1 << 63, u64::MAX << 32] {
            refuses(APART, libc::SYS_ioctl, &[0, command | high]);
        }
        allows(APART, libc::SYS_ioctl, &[0, command ^ 1]);
        // It is the command that counts.
        allows(APART, libc::SYS_ioctl, &[command, 0, command]);
    }
}

#[test]
fn no_flag_of_a_namespace_passes_among_others() {
    let flags = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    for flag in flags {
        refuses(APART, libc::SYS_clone, &[word(flag)]);
        refuses(APART, libc::SYS_clone, &[word(flag | libc::SIGCHLD | libc::CLONE_VM)]);
    }
}

#[test]
fn no_way_to_make_a_file_gives_it_the_rights_of_its_owner() {
    let creating = [libc::O_CREAT, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, libc::O_TMPFILE];
    for bit in [libc::S_ISUID, libc::S_ISGID] {
        let mode = u64::from(bit | 0o755);
        refuses(APART, libc::SYS_fchmod, &[3, mode]);
        refuses(APART, libc::SYS_fchmodat, &[0, 0, mode]);
        refuses(APART, 452, &[0, 0, mode]);
        refuses(APART, libc::SYS_mknodat, &[0, 0, u64::from(libc::S_IFREG) | mode]);
        for flags in creating {
            refuses(APART, libc::SYS_openat, &[0, 0, word(flags), mode]);
            #[cfg(target_arch = "x86_64")]
            refuses(APART, libc::SYS_open, &[0, word(flags), mode]);
        }
        #[cfg(target_arch = "x86_64")]
        {
            refuses(APART, libc::SYS_chmod, &[0, mode]);
            refuses(APART, libc::SYS_creat, &[0, mode]);
            refuses(APART, libc::SYS_mknod, &[0, u64::from(libc::S_IFREG) | mode]);
        }
        // What is only opened has no mode: what stands there is left over from another call.
        for flags in [libc::O_RDONLY, libc::O_RDWR | libc::O_TRUNC, libc::O_DIRECTORY] {
            allows(APART, libc::SYS_openat, &[0, 0, word(flags), mode]);
        }
    }
    allows(APART, libc::SYS_fchmod, &[3, 0o1777]);
    allows(APART, libc::SYS_openat, &[0, 0, word(libc::O_TMPFILE | libc::O_RDWR), 0o600]);
}

#[test]
fn devices_are_not_made_and_pipes_are() {
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        refuses(APART, libc::SYS_mknodat, &[0, 0, u64::from(kind | 0o666)]);
    }
    for kind in [libc::S_IFIFO, libc::S_IFREG, libc::S_IFSOCK, 0] {
        allows(APART, libc::SYS_mknodat, &[0, 0, u64::from(kind | 0o666)]);
    }
}

#[test]
fn only_the_sockets_of_programs_are_made() {
    let other = |needs, family: c_int| {
        let call = [word(family), word(libc::SOCK_RAW)];
        check(needs, libc::SYS_socket, &call, Answer::Refused(EAFNOSUPPORT));
    };
    for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_BLUETOOTH, 255] {
        other(APART, family);
        other(AMONG_OTHERS, family);
    }
    for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
        allows(APART, libc::SYS_socket, &[word(family), word(libc::SOCK_DGRAM), 0]);
        other(AMONG_OTHERS, family);
    }
    let netlink = |kind: u64| [word(libc::AF_NETLINK), word(libc::SOCK_RAW), kind];
    allows(APART, libc::SYS_socket, &netlink(word(libc::NETLINK_ROUTE)));
    for kind in [libc::NETLINK_AUDIT, libc::NETLINK_CONNECTOR, libc::NETLINK_KOBJECT_UEVENT] {
        let refused = Answer::Refused(EAFNOSUPPORT);
        check(APART, libc::SYS_socket, &netlink(word(kind)), refused);
    }
}

#[test]
fn without_namespaces_nobody_is_spoken_to() {
    let refused = Answer::Refused(EAFNOSUPPORT);
    check(AMONG_OTHERS, libc::SYS_connect, &[3], refused);
    for flags in [0, libc::SOCK_CLOEXEC, libc::SOCK_NONBLOCK] {
        let datagram = [word(libc::AF_UNIX), word(libc::SOCK_DGRAM | flags)];
        check(AMONG_OTHERS, libc::SYS_socket, &datagram, refused);
        check(AMONG_OTHERS, libc::SYS_socketpair, &datagram, refused);
        let stream = [word(libc::AF_UNIX), word(libc::SOCK_STREAM | flags)];
        allows(AMONG_OTHERS, libc::SYS_socketpair, &stream);
    }
    allows(APART, libc::SYS_connect, &[3]);
}

#[test]
fn without_namespaces_others_are_left_alone() {
    for number in [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_pidfd_getfd] {
        refuses(AMONG_OTHERS, number, &[0, 1_234]);
        allows(APART, number, &[0, 1_234]);
    }
    for number in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_pidfd_open] {
        refuses(AMONG_OTHERS, number, &[1_234, 9]);
        refuses(AMONG_OTHERS, number, &[word(-1), 9]);
        // The same process to a kernel that reads 32 bits.
        refuses(AMONG_OTHERS, number, &[u64::from(u32::MAX), 9]);
        allows(AMONG_OTHERS, number, &[1_235, 9]);
    }
    refuses(AMONG_OTHERS, libc::SYS_prlimit64, &[1]);
    allows(AMONG_OTHERS, libc::SYS_prlimit64, &[0]);
}

#[test]
fn the_calls_of_x32_do_not_exist() {
    if cfg!(target_arch = "x86_64") {
        for number in [libc::SYS_read, libc::SYS_mount, libc::SYS_ioctl] {
            let x32 = number | 0x4000_0000;
            check(APART, x32, &[0, 0x5412], Answer::Refused(ENOSYS));
        }
    }
}

#[test]
fn who_speaks_as_another_architecture_is_ended() {
    let programs = programs(APART).expect("they can be built");
    for architecture in [I386, 0, X86_64, AARCH64] {
        let foreign = Call { architecture, ..call(libc::SYS_read, &[]) };
        let expected = match architecture == own_architecture() {
            true => Answer::Allowed,
            false => Answer::Killed,
        };
        assert_eq!(ask(&programs, &foreign), expected, "{architecture:x}");
    }
}
