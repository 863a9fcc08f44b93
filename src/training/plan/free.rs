//! How much memory the host has that is free.
//!
//! In a container or a service the machine's memory says nothing: a control group gives less, and the
//! kernel ends a process of the group that takes more.

use std::fs;
use std::path::Path;

/// Bytes that this process can still take, before others lose theirs; `None` where the system does
/// not say.
#[must_use]
pub fn free_bytes() -> Option<u64> {
    let machine = of_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(of_groups(&own, Path::new("/sys/fs/cgroup")).map_or(machine, |free| free.min(machine)))
}

/// What `/proc/meminfo` says can be had.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// Where a control group says what it gives, what of that is taken, and, in `memory.stat`, what of
/// that is pages of files that nobody has looked at for long: they are given up for whoever wants
/// memory.
type Names = [&'static str; 3];
const SECOND: Names = ["memory.max", "memory.current", "inactive_file"];
const FIRST: Names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];

/// The least that a control group leaves, of those that the process is in by its list and those above
/// them.
fn of_groups(own: &str, root: &Path) -> Option<u64> {
    let own = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        if controllers.is_empty() {
            return Some((root.join(path), SECOND));
        }
        let is_memory = controllers.split(',').any(|it| it == "memory");
        is_memory.then(|| (root.join("memory").join(path), FIRST))
    });
    own.filter_map(|(folder, names)| {
        let groups = folder.ancestors().take_while(|group| group.starts_with(root));
        groups.filter_map(|group| of_group(group, names)).min()
    })
    .min()
}

/// What a group leaves; `None` where it has no bound.
fn of_group(folder: &Path, [most, used, files]: Names) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let bytes = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (most, used) = (bytes(most)?, bytes(used)?);
    let stat = read("memory.stat").unwrap_or_default();
    let files = stat.lines().find_map(|line| line.strip_prefix(files)?.strip_prefix(' '));
    let files = files.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests;
