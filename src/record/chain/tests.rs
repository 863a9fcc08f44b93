//! The canonical encoding: another link, another hash.

use proptest::prelude::*;
use trajectory::{DeviceId, EventId, QueryId, RunId, SessionId};
use uuid::Uuid;

use crate::chain::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    ids: [u128; 2],
    parent: Option<u128>,
    numbers: (u64, u32, i64, u64, bool),
    texts: [String; 2],
    digests: [u8; 2],
}

impl Fields {
    fn link(&self) -> Link<'_> {
        Link {
            prev_hash: [self.digests[0]; 32],
            id: EventId::from_uuid(Uuid::from_u128(self.ids[0])),
            seq: self.numbers.0,
            parent: self.parent.map(|id| EventId::from_uuid(Uuid::from_u128(id))),
            run: RunId::from_uuid(Uuid::from_u128(self.ids[1])),
            round: self.numbers.1,
            kind: &self.texts[0],
            source: &self.texts[1],
            wall_ns: self.numbers.2,
            mono_ns: self.numbers.3,
            copied: self.numbers.4,
            commitment: [self.digests[1]; 32],
        }
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    // Few values each, so that two links often share most of what they hold.
    let text = || prop_oneof![Just(String::new()), Just("a".into()), Just("ab".into()), ".*"];
    (
        [0..2_u128, 0..2_u128],
        prop::option::of(0..2_u128),
        (0..2_u64, 0..2_u32, -1..2_i64, 0..2_u64, any::<bool>()),
        [text(), text()],
        [0..2_u8, 0..2_u8],
    )
        .prop_map(|(ids, parent, numbers, texts, digests)| Fields {
            ids,
            parent,
            numbers,
            texts,
            digests,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..Default::default() })]

    #[test]
    fn two_links_share_an_encoding_only_if_they_are_one(one in fields(), other in fields()) {
        prop_assert_eq!(one.link().encode() == other.link().encode(), one == other);
        prop_assert_eq!(one.link().hash() == other.link().hash(), one == other);
    }
}

/// The encoding is part of the format: what it hashes to today it hashes to for ever.
#[test]
fn the_encoding_stays() {
    let fields = Fields {
        ids: [1, 2],
        parent: Some(3),
        numbers: (4, 5, -6, 7, true),
        texts: ["prompt".into(), "user".into()],
        digests: [8, 9],
    };
    assert_eq!(
        blob::Hash::from_bytes(fields.link().hash()).to_string(),
        "8f258cf9f5dc05240972e7202f206a5914b5bc7498ade463b67916b7ca667ae5"
    );
    assert_eq!(commitment(b"ab", b"c"), commitment(b"a", b"bc"));
    assert_eq!(
        blob::Hash::from_bytes(commitment(&[0; 16], b"{}")),
        blob::Hash::of(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0{}")
    );
}

/// What a session's chain begins with: so it stays, and each part of it counts.
#[test]
fn the_genesis_stays() {
    let id = Uuid::from_u128;
    let genesis = Genesis {
        id: SessionId::from_uuid(id(1)),
        device: DeviceId::from_uuid(id(2)),
        started_ns: -3,
        parent: Some((SessionId::from_uuid(id(4)), EventId::from_uuid(id(5)))),
        app_version: "0.1.0",
        config: "{}",
        annotator: Some("fox"),
        private: true,
        query: Some((QueryId::from_uuid(id(6)), [7; 32])),
        environment: [8; 32],
    };
    assert_eq!(
        blob::Hash::from_bytes(genesis.hash()).to_string(),
        "07e513f1992eafb7f755f9abe17632f1c3733a85cc6dabd87fea627f8897f823"
    );
    let others = [
        Genesis { id: SessionId::from_uuid(id(9)), ..genesis },
        Genesis { device: DeviceId::from_uuid(id(9)), ..genesis },
        Genesis { started_ns: 3, ..genesis },
        Genesis { parent: None, ..genesis },
        Genesis { app_version: "0.1.0\0", ..genesis },
        Genesis { config: "{ }", ..genesis },
        Genesis { annotator: None, ..genesis },
        Genesis { annotator: Some(""), ..genesis },
        Genesis { private: false, ..genesis },
        Genesis { query: None, ..genesis },
        Genesis { query: Some((QueryId::from_uuid(id(6)), [9; 32])), ..genesis },
        Genesis { environment: [9; 32], ..genesis },
    ];
    let mut hashes: Vec<Digest> = others.iter().map(Genesis::hash).collect();
    hashes.push(genesis.hash());
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), others.len() + 1);
}
