//! Marks as bytes, and output cut into parts.

use proptest::prelude::*;

use crate::output::*;

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    let number = || prop_oneof![0..300_u32, any::<u32>()];
    prop::collection::vec((number(), number()).prop_map(|(dt_us, len)| Mark { dt_us, len }), 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn marks_survive_their_encoding(marks in marks()) {
        prop_assert_eq!(decode_marks(&encode_marks(&marks)), Some(marks));
    }

    /// Any bytes are marks in one way only, or none.
    #[test]
    fn hostile_marks_are_refused_or_are_the_only_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(marks) = decode_marks(&bytes) {
            prop_assert_eq!(encode_marks(&marks), bytes);
        }
    }

    /// However chunks, marks and flushes fall: the parts hold all bytes in order, and the marks of
    /// each part cover it.
    #[test]
    fn parts_hold_every_byte(
        chunks in prop::collection::vec((0..400_000_usize, 0..5_u32, any::<bool>()), 1..12)
    ) {
        let mut outputs = Outputs::default();
        let mut all = Vec::new();
        let mut parts = BTreeMap::new();
        for (round, (len, pieces, flush)) in chunks.into_iter().enumerate() {
            let bytes = vec![round as u8; len];
            all.extend_from_slice(&bytes);
            let piece = (len as u32).checked_div(pieces).unwrap_or(0);
            let marks = (0..pieces).map(|dt_us| Mark { dt_us, len: piece }).collect();
            let chunk = OutputChunk { bytes: bytes.into(), marks, direction: Direction::Out };
            outputs.push(7, &chunk);
            if flush {
                parts.extend(outputs.take().into_iter().map(|part| (part.idx, part)));
                prop_assert!(outputs.is_clean());
            }
        }
        parts.extend(outputs.take().into_iter().map(|part| (part.idx, part)));
        let mut back = Vec::new();
        for (place, (idx, part)) in parts.into_iter().enumerate() {
            prop_assert_eq!(place as u32, idx);
            prop_assert_eq!(part.offset, back.len() as u64);
            let bytes = blob::decode(part.codec, part.raw_len, &part.data, 1 << 20).unwrap();
            let covered: u64 =
                decode_marks(&part.marks).unwrap().iter().map(|mark| u64::from(mark.len)).sum();
            prop_assert_eq!(covered, bytes.len() as u64);
            prop_assert!(bytes.len() <= PART_BYTES_MAX);
            back.extend(bytes);
        }
        prop_assert!(back == all);
    }
}
