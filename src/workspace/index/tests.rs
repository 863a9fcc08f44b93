//! The index alone: what it remembers, and for how long.

use super::*;

fn recent(at_ns: i64, name: &[u8]) -> Recent {
    Recent { at_ns, tree: Hash::of(name) }
}

#[test]
fn what_was_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let key = Key { size: 3, mtime_ns: -5, ctime_ns: 7, inode: u64::MAX, device: 0 };
    let (node, hash, tree) = (Hash::of(b"node"), Hash::of(b"file"), Hash::of(b"tree"));
    let mut writer = Writer::default();
    writer.folder(b"", &Hash::of(b"top"), &[]);
    writer.folder(b"a/b", &node, &[(b"x", key, hash), (b"y", Key::default(), node)]);
    let old = recent(now_ns() - 2 * RECENT_AGE_MAX.as_nanos() as i64, b"old");
    let young = recent(now_ns(), b"young");
    let before = Index { recent: vec![old, young], ..Index::default() };
    writer.save(&path, &before, tree, false).unwrap();
    let index = Index::load(&path);
    let trees: Vec<Hash> = index.recent().iter().map(|recent| recent.tree).collect();
    assert_eq!(trees, [young.tree, tree]);
    let known = index.folder(b"a/b").unwrap();
    assert_eq!(known.node, node);
    assert_eq!(index.file(known, b"x", &key), Some(hash));
    assert_eq!(index.file(known, b"x", &Key { size: 4, ..key }), None);
    assert_eq!(index.file(known, b"z", &key), None);
    assert!(index.folder(b"a").is_none());
    assert!(index.is_volatile, "it was written without syncs");
    assert!(index.is_current(&tree) && !index.is_current(&young.tree));
    Writer::default().save(&path, &index, tree, true).unwrap();
    assert!(Index::load(&path).is_volatile, "what it took over may not be on the disk");
    Writer::default().save(&path, &Index::default(), tree, true).unwrap();
    assert!(!Index::load(&path).is_volatile);
}

#[test]
fn what_changed_just_now_is_not_settled() {
    let second = 1_000_000_000;
    let check = |ctime_ns: i64, now_ns: i64| Key { ctime_ns, ..Key::default() }.is_settled(now_ns);
    assert!(!check(10 * second + 1, 10 * second + 2));
    assert!(check(10 * second + 1, 11 * second));
    // A clock of whole seconds.
    assert!(!check(10 * second, 12 * second));
    assert!(check(10 * second, 14 * second));
}
