use std::fs;

use super::{bytes, granted};

#[test]
fn the_least_that_a_control_group_gives_is_what_there_is() {
    let root = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("user/memory.max", "8000000000\n"),
        ("user/limn/memory.max", "max\n"),
        ("narrow/memory.max", "2000000\n"),
        ("narrow/limn/memory.max", "3000000\n"),
        ("silly/memory.max", "0\n"),
        ("broken/memory.max", "much\n"),
        ("memory/old/memory.limit_in_bytes", "5000000\n"),
    ] {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }
    for (own, expected) in [
        ("0::/user/limn\n", Some(8_000_000_000)),
        ("0::/narrow/limn\n", Some(2_000_000)),
        ("1:name=systemd:/\n4:cpu,memory:/old\n0::/\n", Some(5_000_000)),
        ("4:memory:/old\n0::/narrow\n", Some(2_000_000)),
        ("0::/silly\n", None),
        ("0::/broken\n", None),
        ("0::/absent:with:colons\n", None),
        ("0::/../../../..\n", None),
        ("nonsense", None),
        ("", None),
    ] {
        assert_eq!(granted(own, root.path()), expected, "{own:?}");
    }
}

#[test]
fn there_is_memory_here() {
    assert!(bytes() >= 64 << 20);
}
