//! Blobs of folders: one spelling each, and nothing hostile gets through.

use proptest::prelude::*;

use super::*;

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let name = prop::collection::vec(1..=255_u8, 1..12)
        .prop_filter("a name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    let kind = prop_oneof![
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(node, content)| Kind::Folder {
            node: Hash::from_bytes(node),
            content: Hash::from_bytes(content)
        }),
        (any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(size, hash)| Kind::File { size, hash: Hash::from_bytes(hash) }),
        prop::collection::vec(1..=255_u8, 1..40).prop_map(|target| Kind::Link { target }),
    ];
    let entry = (name, 0..=MODE_BITS, any::<i64>(), kind);
    prop::collection::vec(entry, 0..12).prop_map(|entries| {
        let mut entries: Vec<Entry> = entries
            .into_iter()
            .map(|(name, mode, mtime_ns, kind)| {
                let mode = if matches!(kind, Kind::Link { .. }) { 0 } else { mode };
                let mtime_ns = if matches!(kind, Kind::Folder { .. }) { 0 } else { mtime_ns };
                Entry { name, mode, mtime_ns, kind }
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        entries
    })
}

proptest! {
    #[test]
    fn folders_survive_and_have_one_spelling(entries in entries()) {
        let bytes = encode(&entries);
        let again = decode(&bytes).unwrap();
        prop_assert_eq!(&again, &entries);
        prop_assert_eq!(encode(&again), bytes);
    }

    /// Whatever stands in a blob, reading it ends in entries of one spelling or in an error.
    #[test]
    fn damaged_folders_are_read_or_refused(entries in entries(), at in any::<usize>(), flip in 1..=255_u8) {
        let mut bytes = encode(&entries);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(entries) = decode(&bytes) {
            prop_assert_eq!(encode(&entries), bytes);
        }
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [&b"."[..], b"..", b"a/b", b"", b"a\0b"] {
        let entry = Entry {
            name: name.to_vec(),
            mode: 0o644,
            mtime_ns: 0,
            kind: Kind::File { size: 0, hash: Hash::of(b"") },
        };
        assert!(decode(&encode(&[entry])).is_err(), "{name:?}");
    }
}
