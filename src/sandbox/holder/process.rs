//! The holder's own process, from its first instruction to the loop in which it takes commands.
//!
//! It is our program once more, started with its end of a socket pair as standard input, no
//! environment and a plan as the first message. It makes its namespaces and forks: the child is the
//! first process of the new process namespace, sets everything up, confines itself and serves. The
//! parent only waits. When limn is gone, however it went, the socket closes, the first process
//! ends, and the kernel kills whatever is left in its namespace; should the first process hang, the
//! parent kills it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal, setsid, waitpid,
};

use super::confine::confine;
use super::failure::{Doing, Failure};
use super::message::{self, Greeting};
use super::mounts;
use super::plan::{Means, Plan};
use super::serve::{end_descendants, serve};

/// What the program does when it is started as a holder: called before it has a second thread.
#[must_use]
pub fn run() -> ExitCode {
    let Ok(control) = take_control() else { return ExitCode::FAILURE };
    let Err(failure) = begin(&control) else { return ExitCode::SUCCESS };
    // Nobody may be listening any more.
    let _ = message::send(&control, &Greeting::Failed(failure.to_string()), &[]);
    ExitCode::FAILURE
}

/// Takes our end of the socket pair from standard input, which becomes an empty one.
fn take_control() -> rustix::io::Result<OwnedFd> {
    let control = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(control)
}

fn begin(control: &OwnedFd) -> Result<(), Failure> {
    let first = message::receive::<()>(control).doing("read the plan")?;
    let plan = first.and_then(|(_, descriptors)| descriptors.into_iter().next());
    let plan = plan.ok_or_else(|| Failure::new("there is no plan"))?;
    let plan: Plan = message::unwrap(plan).doing("read the plan")?;
    reset_signals();
    if plan.means != Means::Own {
        return hold(control, &plan);
    }
    unshare()?;
    match fork().doing("start the first process")? {
        None => {
            set_parent_process_death_signal(Some(Signal::KILL)).doing("die with the parent")?;
            hold(control, &plan)
        }
        Some(first) => {
            watch(control, first);
            Ok(())
        }
    }
}

/// Makes the namespaces, in which the user is who they are and has every right until the end of
/// the set-up.
fn unshare() -> Result<(), Failure> {
    use rustix::thread::UnshareFlags as Flags;
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = Flags::NEWUSER
        | Flags::NEWNS
        | Flags::NEWPID
        | Flags::NEWIPC
        | Flags::NEWUTS
        | Flags::NEWNET
        | Flags::NEWCGROUP;
    #[allow(unsafe_code, reason = "unsharing descriptors is unsound, which the flags do not ask")]
    // SAFETY: the process has one thread, and its table of descriptors stays what it is.
    unsafe { rustix::thread::unshare_unsafe(flags) }.doing("make namespaces")?;
    fs::write("/proc/self/setgroups", "deny").doing("give up other groups")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1")).doing("keep the user")?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1")).doing("keep the group")?;
    raise_loopback()
}

/// A network namespace begins with a loopback that is down.
fn raise_loopback() -> Result<(), Failure> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    use std::os::fd::AsRawFd;
    const DOING: &str = "raise the loopback";
    let kind = (AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC);
    let socket = socket_with(kind.0, kind.1, kind.2, None).doing(DOING)?;
    #[allow(unsafe_code, reason = "a request that no library wraps")]
    // SAFETY: the request is plain data of which every pattern of bits is valid, it is ours, and
    // the name in it ends with a zero.
    let raised = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if raised < 0 { Err(std::io::Error::last_os_error()).doing(DOING) } else { Ok(()) }
}

/// Sets up, confines and serves, until limn hangs up.
fn hold(control: &OwnedFd, plan: &Plan) -> Result<(), Failure> {
    // The terminal that limn runs in is none of ours.
    setsid().doing("leave the session")?;
    if plan.means == Means::Own {
        mounts::set_up(&plan.mounts, &plan.bounds)?;
    }
    if plan.means != Means::Own {
        rustix::process::set_child_subreaper(Some(getpid())).doing("adopt orphans")?;
    }
    let listener = plan
        .proxy
        .then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listen for the proxy"))
        .transpose()?;
    let own = pidfd_open(getpid(), PidfdFlags::empty()).doing("name the process")?;
    let (strength, per_command) = confine(plan)?;
    let mut descriptors = vec![own.as_fd()];
    descriptors.extend(listener.as_ref().map(AsFd::as_fd));
    message::send(control, &Greeting::Ready(strength), &descriptors).doing("report")?;
    drop((listener, own));
    let served = serve(control, plan, &per_command);
    if plan.means == Means::None {
        // No namespace ends with this process.
        end_descendants();
    }
    served
}

/// Waits for the first process, or for limn to be gone.
fn watch(control: &OwnedFd, first: Pid) {
    if let Ok(process) = pidfd_open(first, PidfdFlags::empty()) {
        let mut polled =
            [PollFd::new(&process, PollFlags::IN), PollFd::new(control, PollFlags::empty())];
        while let Err(rustix::io::Errno::INTR) = poll(&mut polled, None) {}
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
    let _ = waitpid(Some(first), WaitOptions::empty());
}

/// What limn or its starter ignored is a command's own affair again.
pub(super) fn reset_signals() {
    for signal in 1..32 {
        #[allow(unsafe_code, reason = "libraries only set handlers")]
        // SAFETY: the default is no code of ours; signals that cannot be set are left alone.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Forks; none in the child.
pub(super) fn fork() -> std::io::Result<Option<Pid>> {
    #[allow(unsafe_code, reason = "no library forks")]
    // SAFETY: the process has one thread, so its copy is whole.
    let child = unsafe { libc::fork() };
    if child < 0 { Err(std::io::Error::last_os_error()) } else { Ok(Pid::from_raw(child)) }
}
