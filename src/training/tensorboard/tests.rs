use super::*;
use crate::metrics::{HeldOut, Started, Step};

/// Written by `RecordWriter` of the package `tensorboard` 2.21.0, with the events of this file.
const GOLDEN: &[u8] = include_bytes!("golden.tfevents");

#[test]
fn a_file_is_the_one_that_tensorboard_itself_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(folder.path(), 1_764_000_000_000, "a host/1.2").unwrap();
    let step = Step {
        step: 1,
        loss: 2.5,
        grad_norm: 0.75,
        lr: 1e-6,
        epoch: 0.125,
        tokens_per_s: 1234.5,
        mfu: 0.34,
        peak_bytes: 2 << 30,
        reserved_bytes: 3 << 30,
        ..Step::default()
    };
    let held_out = HeldOut {
        step: 300,
        loss: 1.75,
        tool_validity: Some(0.9),
        exact_name: Some(0.8),
        ..HeldOut::default()
    };
    for (at_ms, metric) in [
        (1_764_000_001_500, Metric::Step(step)),
        (1_764_000_001_700, Metric::Unknown),
        (1_764_000_002_000, Metric::HeldOut(held_out)),
    ] {
        events.add(&Line { at_ms, metric }).unwrap();
    }
    let path = folder.path().join("events.out.tfevents.1764000000.a_host_1_2");
    assert_eq!(std::fs::read(path).unwrap(), GOLDEN);
}

#[test]
fn a_process_that_goes_on_takes_back_what_came_after_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(folder.path(), 0, "one").unwrap();
    let path = folder.path().join("events.out.tfevents.0000000000.one");
    let before = std::fs::read(&path).unwrap().len();
    let started = Started { step: 5, ..Started::default() };
    events.add(&Line { at_ms: 0, metric: Metric::Started(started) }).unwrap();
    let added = std::fs::read(&path).unwrap().split_off(before);
    // The length, its checksum, the time, the step after the checkpoint, session_log { START }.
    let expected = [&[9, 0, 0, 0, 0, 0, 0, 0, 0][..], &[2 << 3, 6], &[7 << 3 | 2, 2, 1 << 3, 1]];
    assert_eq!(added[12..added.len() - 4], expected.concat());
}

#[test]
fn the_checksum_is_that_of_castagnoli() {
    assert_eq!(crc::crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc::crc32c(b""), 0);
}
