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

#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("blobs"));
    let mut encoder = Encoder::new();
    let dropped = store.batch(true).unwrap();
    let hash = dropped.put(&mut encoder, b"dropped").unwrap();
    assert!(!store.contains(&hash));
    drop(dropped);
    assert_eq!(store.size().unwrap(), (0, 0));

    // More than are synced one by one.
    for durable in [true, false] {
        let batch = store.batch(durable).unwrap();
        let bytes = |number: usize| format!("{durable} {number}").into_bytes();
        let hashes: Vec<Hash> =
            (0..100).map(|number| batch.put(&mut encoder, &bytes(number)).unwrap()).collect();
        assert_eq!(batch.put(&mut encoder, &bytes(0)).unwrap(), hashes[0]);
        assert_eq!(batch.commit().unwrap().blobs, 100);
        for (number, hash) in hashes.iter().enumerate() {
            assert_eq!(store.get(hash, 100).unwrap(), Some(bytes(number)));
        }
        let again = store.batch(durable).unwrap();
        again.put(&mut encoder, &bytes(7)).unwrap();
        assert_eq!(again.commit().unwrap(), Added::default());
    }
}

#[test]
fn long_files_are_packed_and_unpacked_piece_by_piece() {
    use std::io::Write;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("blobs"));
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let packs = vec![7; 9 << 20];
    let does_not: Vec<u8> = (0..9 << 20).map(|_| noise()).collect();
    for bytes in [packs, does_not, b"short".to_vec(), Vec::new()] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let batch = store.batch(false).unwrap();
        let (hash, length) = batch.put_file(&mut file).unwrap();
        assert_eq!((hash, length), (Hash::of(&bytes), bytes.len() as u64));
        batch.commit().unwrap();
        let mut out = Vec::new();
        assert_eq!(store.copy_to(&hash, length, &mut out).unwrap(), Some(length));
        assert!(out == bytes);
        assert_eq!(store.get(&hash, length).unwrap(), Some(bytes));
        assert!(length == 0 || store.copy_to(&hash, length - 1, &mut Vec::new()).is_err());
        let path = store.path_of(&hash);
        let mut damaged = std::fs::read(&path).unwrap();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(store.copy_to(&hash, length, &mut Vec::new()).is_err());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(store.copy_to(&hash, length, &mut Vec::new()).unwrap(), None);
    }
}

#[test]
fn a_sweep_spares_what_is_named_and_what_is_young() {
    use std::time::{Duration, SystemTime};

    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("blobs"));
    let [kept, young, old] =
        ["kept", "young", "old"].map(|name| store.put(name.as_bytes()).unwrap());
    let long_ago = SystemTime::now() - Duration::from_hours(5);
    for hash in [&kept, &old] {
        let file = std::fs::File::open(store.path_of(hash)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    std::fs::write(folder.path().join("blobs/notes.txt"), "not ours").unwrap();
    let an_hour_ago = SystemTime::now() - Duration::from_hours(1);
    let swept = store.sweep(&[kept].into(), an_hour_ago).unwrap();
    assert_eq!((swept.kept, swept.removed), (2, 1));
    assert!(store.contains(&kept) && store.contains(&young) && !store.contains(&old));
    assert!(folder.path().join("blobs/notes.txt").exists());
    // What is put again is young again.
    let file = std::fs::File::open(store.path_of(&young)).unwrap();
    file.set_modified(long_ago).unwrap();
    let batch = store.batch(false).unwrap();
    batch.put(&mut Encoder::new(), b"young").unwrap();
    batch.commit().unwrap();
    assert_eq!(store.sweep(&[kept].into(), an_hour_ago).unwrap().removed, 0);
}
