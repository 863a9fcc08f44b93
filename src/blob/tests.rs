//! Packing, naming and the store on a real folder.

use proptest::prelude::*;

use crate::*;

fn blobs() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..5000),
        (any::<u8>(), 0..100_000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn bytes_survive_packing(bytes in blobs()) {
        let mut encoder = Encoder::new();
        let packed = encoder.encode(&bytes);
        prop_assert!(packed.data.len() <= bytes.len());
        let again = decode(packed.codec, packed.raw_len, &packed.data, packed.raw_len);
        prop_assert_eq!(again, Ok(bytes));
    }

    /// Whatever stands in a file, reading it ends in bytes or in an error.
    #[test]
    fn hostile_frames_are_refused(data in prop::collection::vec(any::<u8>(), 0..300),
                                  claimed in 0..10_000u64) {
        let _ = decode(Codec::Zstd, claimed, &data, 4096);
        prop_assert_eq!(decode(Codec::Raw, claimed, &data, 4096).is_ok(),
                        claimed == data.len() as u64);
    }
}

#[test]
fn a_frame_that_lies_about_its_length_is_refused() {
    let packed = Encoder::new().encode(&vec![7; 100_000]);
    assert_eq!(packed.codec, Codec::Zstd);
    assert!(decode(Codec::Zstd, 10, &packed.data, u64::MAX).is_err());
    assert!(decode(Codec::Zstd, 200_000, &packed.data, u64::MAX).is_err());
    let error = decode(Codec::Zstd, 1 << 60, &packed.data, 1 << 20).unwrap_err();
    assert!(matches!(error, CodecError::TooLong { .. }), "{error}");
}

#[test]
fn short_bytes_are_kept_as_they_are() {
    assert_eq!(Encoder::new().encode(&[7; 1000]).codec, Codec::Raw);
    assert_eq!(Encoder::new().encode(&[7; 2000]).codec, Codec::Zstd);
}

#[test]
fn hashes_are_printed_and_read() {
    let hash = Hash::of(b"limn");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(hash.to_string().len(), 64);
    assert!("xyz".parse::<Hash>().is_err());
    let mut hasher = Hasher::default();
    hasher.update(b"li");
    hasher.update(b"mn");
    assert_eq!(hasher.finish(), hash);
}

#[test]
fn the_store_keeps_bytes_and_finds_damage() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("blobs"));
    let absent = Hash::of(b"absent");
    assert!(store.get(&absent, 100).unwrap().is_none());
    for bytes in [Vec::new(), b"short".to_vec(), vec![9; 70_000]] {
        let hash = store.put(&bytes).unwrap();
        assert_eq!(store.put(&bytes).unwrap(), hash);
        assert!(store.contains(&hash));
        assert_eq!(store.get(&hash, 1 << 20).unwrap(), Some(bytes));
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path_of(&hash)), 0o600);
        assert_eq!(mode(store.path_of(&hash).parent().unwrap()), 0o700);
    }
    let hash = store.put(&vec![9; 70_000]).unwrap();
    assert!(store.get(&hash, 1000).is_err());
    let path = store.path_of(&hash);
    let whole = std::fs::read(&path).unwrap();
    for damaged in [&whole[..5], &whole[..whole.len() - 1], b"", b"\x07garbagegarbage"] {
        std::fs::write(&path, damaged).unwrap();
        let error = store.get(&hash, 1 << 20).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    let mut other = whole;
    other.clear();
    other.extend([0, 5, 0, 0, 0, 0, 0, 0, 0]);
    other.extend(b"wrong");
    std::fs::write(&path, other).unwrap();
    assert!(store.get(&hash, 1 << 20).unwrap_err().to_string().contains("match"));
}
