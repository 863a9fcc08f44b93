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

/// The least that a control group (version 2) leaves, of the process's own and those above it.
fn of_groups(own: &str, root: &Path) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = root.join(path.trim_start_matches('/'));
    let groups = folder.ancestors().take_while(|group| group.starts_with(root));
    groups.filter_map(of_group).min()
}

/// What a group leaves; `None` where it has no bound.
fn of_group(folder: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let bytes = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (most, used) = (bytes("memory.max")?, bytes("memory.current")?);
    // Pages of files that nobody has looked at for long are given up for whoever wants memory.
    let stat = read("memory.stat").unwrap_or_default();
    let files = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
    let files = files.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{free_bytes, of_groups, of_machine};

    #[test]
    fn the_least_that_a_group_leaves_is_what_is_free() {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("user/memory.max", "9000\n"),
            ("user/memory.current", "5000\n"),
            ("user/memory.stat", "anon 4000\ninactive_file 1000\nactive_file 70\n"),
            ("user/limn/memory.max", "max\n"),
            ("user/limn/memory.current", "4000\n"),
            ("user/tight/memory.max", "4500\n"),
            ("user/tight/memory.current", "4400\n"),
            ("full/memory.max", "1000\n"),
            ("full/memory.current", "2000\n"),
            ("odd/memory.max", "much\n"),
            ("odd/memory.current", "1\n"),
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for (own, expected) in [
            ("0::/user/limn\n", Some(5_000)),
            ("1:name=systemd:/\n0::/user/tight\n", Some(100)),
            ("0::/full\n", Some(0)),
            ("0::/odd\n", None),
            ("0::/absent\n", None),
            ("0::/../../..\n", None),
            ("4:memory:/user\n", None),
            ("", None),
        ] {
            assert_eq!(of_groups(own, root.path()), expected, "{own:?}");
        }
    }

    #[test]
    fn the_machines_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(of_machine(text), Some(2 << 20));
        assert_eq!(of_machine("MemAvailable: 18446744073709551615 kB\n"), None);
        assert_eq!(of_machine("MemAvailable: much\n"), None);
        assert!(free_bytes().is_some_and(|bytes| bytes > 0));
    }
}
