//! Bounds that no limit of the kernel keeps without rights that limn does not have: the memory of
//! everything together, and the number of processes where the user is root.
//!
//! What is used is counted a few times a second. Memory is what a process has mapped of what lies
//! on no disk; what several share is divided among them. Files in memory have bounds of their own,
//! but for those without a name, which count only while they are mapped. Who has most of what is
//! too much is killed, as the kernel does when the machine runs out.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::plan::Bounds;
use super::serve::{Kept, below};

/// Kills what leads beyond the bounds.
pub(super) fn keep_within(bounds: &Bounds, kept: &[Kept]) {
    let trees: Vec<Vec<Pid>> = kept.iter().map(|it| below(vec![it.keeper])).collect();
    if let Some(most) = bounds.processes {
        keep_processes(most, &trees);
    }
    if let Some(most) = bounds.memory_bytes {
        keep_memory(most, &trees);
    }
}

/// Kills the largest tree when there are too many processes.
fn keep_processes(most: u64, trees: &[Vec<Pid>]) {
    let all: usize = trees.iter().map(Vec::len).sum();
    // Keepers are ours and not counted.
    if (all.saturating_sub(trees.len()) as u64) <= most {
        return;
    }
    let largest = trees.iter().max_by_key(|tree| tree.len());
    // The keeper, which is the first, ends when it has nothing left to keep.
    for process in largest.into_iter().flat_map(|tree| tree.iter().skip(1)) {
        let _ = kill_process(*process, Signal::KILL);
    }
}

/// Kills the largest process when all together have too much.
fn keep_memory(most: u64, trees: &[Vec<Pid>]) {
    let processes = || trees.iter().flat_map(|tree| tree.iter().skip(1)).copied();
    // This costs little and counts what is shared too often: below the bound it is enough.
    let resident = processes().map(resident_bytes).fold(0, u64::saturating_add);
    if resident <= most {
        return;
    }
    let mut all = 0_u64;
    let mut largest = None;
    for process in processes() {
        let bytes = memory_bytes(process);
        all = all.saturating_add(bytes);
        largest = largest.max(Some((bytes, process.as_raw_pid())));
    }
    if all > most
        && let Some(process) = largest.and_then(|(_, process)| Pid::from_raw(process))
    {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// What a process has in memory, what it shares and files among it.
fn resident_bytes(process: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/statm", process.as_raw_pid()));
    let text = text.unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
}

/// What a process has in memory that is no file on a disk: its part of what it shares.
fn memory_bytes(process: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.as_raw_pid()));
    // Who does not let this be read is counted whole.
    text.map_or_else(|_| resident_bytes(process), |text| anonymous_bytes(&text))
}

/// The sum of what is anonymous and what is shared memory, of a text as the kernel writes it.
fn anonymous_bytes(rollup: &str) -> u64 {
    let counted = |line: &str| {
        let rest = ["Pss_Anon:", "Pss_Shmem:"].into_iter().find_map(|it| line.strip_prefix(it))?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    rollup.lines().filter_map(counted).fold(0, u64::saturating_add).saturating_mul(1_024)
}

#[cfg(test)]
mod tests;
