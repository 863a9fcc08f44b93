//! What threads are blocked in, read from `/proc`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};

use rustix::fs::{major, minor};

use super::Use;

/// Processes and threads that are looked at: those of a foreground are few.
const PROCESSES_MAX: usize = 64;
const THREADS_MAX: usize = 64;
/// Descriptors of one wait that are looked at.
const DESCRIPTORS_MAX: usize = 256;

/// Whoever wakes at least this often has other things to do.
const SHORT_MS: u64 = 1_000;

/// `/dev/tty`, the terminal of whoever opens it.
const OWN_TERMINAL: (u32, u32) = (5, 0);

#[cfg(target_arch = "x86_64")]
const OLD_POLL: &[libc::c_long] = &[libc::SYS_poll];
#[cfg(target_arch = "x86_64")]
const OLD_SELECT: &[libc::c_long] = &[libc::SYS_select];
#[cfg(target_arch = "x86_64")]
const OLD_EPOLL: &[libc::c_long] = &[libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const OLD_POLL: &[libc::c_long] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_SELECT: &[libc::c_long] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_EPOLL: &[libc::c_long] = &[];

/// A process as its files show it.
struct Process {
    pid: i32,
    terminal: Use,
}

/// The descriptors that a thread waits for to become readable.
struct Awaited {
    descriptors: Vec<u64>,
    /// Nothing but one of them ends the wait, or a timer that is not there to keep something going.
    is_long: bool,
}

pub(super) fn any_waits(pids: &[i32], terminal: Use) -> bool {
    pids.iter().take(PROCESSES_MAX).any(|pid| Process { pid: *pid, terminal }.waits())
}

impl Process {
    fn path(&self, rest: &str) -> String {
        format!("/proc/{}/{rest}", self.pid)
    }

    fn waits(&self) -> bool {
        let Ok(threads) = fs::read_dir(self.path("task")) else { return false };
        for thread in threads.flatten().take(THREADS_MAX) {
            match fs::read_to_string(thread.path().join("syscall")) {
                Ok(text) => {
                    if parse(&text)
                        .is_some_and(|(number, arguments)| self.waits_in(number, &arguments))
                    {
                        return true;
                    }
                }
                // It has other rights than limn, or the kernel does not tell.
                Err(_) => return self.terminal.hides && self.terminal.prompts && self.sleeps(),
            }
        }
        false
    }

    /// Whether a thread that is blocked in this call waits for the terminal.
    fn waits_in(&self, number: libc::c_long, arguments: &[u64; 6]) -> bool {
        let [first, second, third, fourth, fifth, _] = *arguments;
        let is_long = |time_out_ms: u64| {
            let time_out_ms = time_out_ms as i32;
            time_out_ms < 0 || u64::from(time_out_ms.unsigned_abs()) > SHORT_MS
        };
        let awaited = match number {
            libc::SYS_read | libc::SYS_readv => return self.is_terminal(first),
            libc::SYS_ppoll => self.polled(first, second, self.is_long(third, 1_000_000)),
            libc::SYS_pselect6 => self.selected(first, second, self.is_long(fifth, 1_000_000)),
            libc::SYS_epoll_pwait => self.registered(first, is_long(fourth)),
            libc::SYS_epoll_pwait2 => self.registered(first, self.is_long(fourth, 1_000_000)),
            old if OLD_POLL.contains(&old) => self.polled(first, second, is_long(third)),
            old if OLD_SELECT.contains(&old) => {
                self.selected(first, second, self.is_long(fifth, 1_000))
            }
            old if OLD_EPOLL.contains(&old) => self.registered(first, is_long(fourth)),
            _ => None,
        };
        let Some(Awaited { descriptors, is_long }) = awaited else { return false };
        let terminals = descriptors.iter().filter(|it| self.is_terminal(**it)).count();
        let is_evident = self.terminal.prompts || self.terminal.by_keys;
        terminals > 0 && (terminals == descriptors.len() || (is_long && is_evident))
    }

    /// Whether a time of seconds and a fraction, of which so many make a millisecond, is long;
    /// none is for ever.
    fn is_long(&self, address: u64, fractions: u64) -> bool {
        if address == 0 {
            return true;
        }
        let Some(bytes) = self.memory(address, 16) else { return false };
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word));
        let (seconds, fraction) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
        seconds.saturating_mul(1_000).saturating_add(fraction / fractions) > SHORT_MS
    }

    /// Whether a descriptor of the process is its terminal.
    fn is_terminal(&self, descriptor: u64) -> bool {
        let path = self.path(&format!("fd/{}", descriptor as i32));
        fs::metadata(path).is_ok_and(|file| {
            let device = file.rdev();
            file.file_type().is_char_device()
                && (device == self.terminal.device
                    || (major(device), minor(device)) == OWN_TERMINAL)
        })
    }

    /// The descriptors of `poll`.
    fn polled(&self, address: u64, count: u64, is_long: bool) -> Option<Awaited> {
        let count = usize::try_from(count).ok()?.min(DESCRIPTORS_MAX);
        let bytes = self.memory(address, count * 8)?;
        let descriptors = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .filter(|entry| i16::from_ne_bytes([entry[4], entry[5]]) & libc::POLLIN != 0)
            .map(|entry| i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]))
            .filter_map(|descriptor| u64::try_from(descriptor).ok())
            .collect();
        Some(Awaited { descriptors, is_long })
    }

    /// The descriptors of `select` that are to become readable.
    fn selected(&self, count: u64, address: u64, is_long: bool) -> Option<Awaited> {
        if address == 0 {
            return None;
        }
        let count = usize::try_from(count).ok()?.min(1_024);
        let bytes = self.memory(address, count.div_ceil(64) * 8)?;
        let is_set = |descriptor: &usize| {
            // Words of the machine's own order, so that the first bit is the lowest one.
            let word = bytes.as_chunks::<8>().0.get(descriptor / 64);
            word.is_some_and(|word| u64::from_ne_bytes(*word) >> (descriptor % 64) & 1 == 1)
        };
        let descriptors = (0..count).filter(is_set).map(|it| it as u64).collect();
        Some(Awaited { descriptors, is_long })
    }

    /// The descriptors of an `epoll`.
    fn registered(&self, epoll: u64, is_long: bool) -> Option<Awaited> {
        let text = fs::read_to_string(self.path(&format!("fdinfo/{}", epoll as i32))).ok()?;
        let mut descriptors = Vec::new();
        for line in text.lines().take(DESCRIPTORS_MAX) {
            let mut words = line.split_ascii_whitespace();
            if words.next() != Some("tfd:") {
                continue;
            }
            let descriptor = words.next()?.parse().ok()?;
            let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
            if events & libc::EPOLLIN as u32 != 0 {
                descriptors.push(descriptor);
            }
        }
        Some(Awaited { descriptors, is_long })
    }

    fn memory(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let file = File::open(self.path("mem")).ok()?;
        file.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    /// Whether it is blocked at all.
    fn sleeps(&self) -> bool {
        fs::read_to_string(self.path("stat"))
            .is_ok_and(|text| text.rsplit(')').next().is_some_and(|it| it.starts_with(" S")))
    }
}

/// The number of the call and its arguments; none when the thread is not blocked in one.
fn parse(text: &str) -> Option<(libc::c_long, [u64; 6])> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some((number, arguments))
}
