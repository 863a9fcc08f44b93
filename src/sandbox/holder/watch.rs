//! Bounds that no limit of the kernel keeps without rights that limn does not have: the memory of
//! everything together, and the number of processes where the user is root.
//!
//! What is used is counted a few times a second. Memory is what a process has for itself: pages
//! that it shares would be counted several times, and files in memory have bounds of their own.
//! Who has most of what is too much is killed, as the kernel does when the machine runs out.

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
    let page_bytes = rustix::param::page_size() as u64;
    let mut all = 0_u64;
    let mut largest = None;
    for process in trees.iter().flat_map(|tree| tree.iter().skip(1)) {
        let bytes = own_pages(*process).saturating_mul(page_bytes);
        all = all.saturating_add(bytes);
        largest = largest.max(Some((bytes, process.as_raw_pid())));
    }
    if all > most
        && let Some(process) = largest.and_then(|(_, process)| Pid::from_raw(process))
    {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// The pages that a process has in memory and shares with no file.
fn own_pages(process: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/statm", process.as_raw_pid()));
    let text = text.unwrap_or_default();
    let mut fields = text.split_ascii_whitespace().skip(1).map(|it| it.parse().unwrap_or(0_u64));
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    resident.saturating_sub(shared)
}
