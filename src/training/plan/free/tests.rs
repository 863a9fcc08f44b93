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
        ("memory/old/memory.limit_in_bytes", "800\n"),
        ("memory/old/memory.usage_in_bytes", "500\n"),
        ("memory/old/memory.stat", "inactive_file 9\ntotal_inactive_file 40\n"),
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
        ("5:cpu,memory:/old/er\n0::/user/limn\n", Some(340)),
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
