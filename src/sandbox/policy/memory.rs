//! How much memory there is: what the machine has, or less where a control group gives less.
//!
//! In a container or a service the machine's memory says nothing, and the kernel kills somebody
//! long before it is used up. What is read here is only what limits begin from.

use std::fs;
use std::path::{Path, PathBuf};

/// What this process and all that it starts can have together.
pub(super) fn bytes() -> u64 {
    let system = rustix::system::sysinfo();
    let machine = system.totalram.saturating_mul(u64::from(system.mem_unit.max(1)));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    granted(&own, Path::new("/sys/fs/cgroup")).map_or(machine, |granted| granted.min(machine))
}

/// The least that a control group gives, of those that the process is in by its list.
fn granted(own: &str, root: &Path) -> Option<u64> {
    let limits = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            return Some((root.join(path), "memory.max"));
        }
        let is_memory = controllers.split(',').any(|it| it == "memory");
        is_memory.then(|| (root.join("memory").join(path), "memory.limit_in_bytes"))
    });
    // Each group above bounds as well.
    let above = |(folder, name): (PathBuf, &'static str)| {
        let folders: Vec<PathBuf> = folder
            .ancestors()
            .take_while(|it| it.starts_with(root))
            .map(|it| it.join(name))
            .collect();
        folders.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    };
    // Nothing runs with less, so that is not meant.
    limits.flat_map(above).filter(|bytes: &u64| *bytes >= 1 << 20).min()
}

#[cfg(test)]
mod tests;
