//! What is written, read again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};

use crate::error::TrainError;
use crate::goldens::Golden;
use crate::weights::write::write_shards;
use crate::weights::{Entry, Tensors, Weights, write_file, write_model};

fn entries(weights: &Weights, kind: Kind) -> Vec<Entry> {
    let tensors = weights.shape().tensors().into_iter();
    tensors.map(|it| Entry { name: it.name, sizes: it.sizes, kind }).collect()
}

#[test]
fn a_model_that_is_written_is_the_one_that_was_read() {
    for golden in Golden::all() {
        let weights = golden.weights();
        // In one file, and in as many as a bound of 20 kB makes of it.
        for bytes_max in [u64::MAX, 20_000] {
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("config.json");
            fs::copy(golden.folder.join("config.json"), config).unwrap();
            let mut order = Vec::new();
            let entries = entries(&weights, Kind::Float);
            write_shards(folder.path(), &entries, bytes_max, &mut |entry| {
                order.push(entry.name.clone());
                weights.take(&entry.name, Kind::Float, Device::Cpu)
            })
            .unwrap();
            assert_eq!(order.len(), entries.len(), "each is asked for once");
            let files = fs::read_dir(folder.path()).unwrap().count();
            assert!(if bytes_max == u64::MAX { files == 2 } else { files > 4 }, "{files}");
            let again = Weights::open(folder.path()).unwrap();
            for entry in &entries {
                let take = |weights: &Weights| weights.take(&entry.name, Kind::Float, Device::Cpu);
                assert_eq!(take(&weights).unwrap(), take(&again).unwrap(), "{}", entry.name);
            }
        }
    }
}

#[test]
fn kinds_are_mixed_and_none_lies_between_multiples_of_its_width() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.safetensors");
    let entry = |name: &str, sizes: &[usize], kind| Entry {
        name: name.to_owned(),
        sizes: sizes.to_vec(),
        kind,
    };
    let entries = [
        entry("flag", &[3], Kind::Bool),
        entry("small", &[3, 1], Kind::BFloat16),
        entry("step", &[], Kind::Int64),
        entry("large", &[2, 2], Kind::Float),
        entry("nothing", &[0], Kind::Float),
    ];
    // What is given is in another order in memory, of another kind, and part of a graph.
    let large = Tensor::from_slice(&[1.0_f64, 2.0, 3.0, 4.0]).view([2, 2]).transpose(0, 1);
    let give = |entry: &Entry| {
        Ok(match entry.name.as_str() {
            "flag" => Tensor::from_slice(&[true, false, true]),
            "small" => Tensor::from_slice(&[0.1_f32, 0.2, 0.3]).view([3, 1]),
            "step" => Tensor::from(7_i64),
            "large" => large.copy().set_requires_grad(true) * 1.0,
            _ => Tensor::zeros([0], (Kind::Float, Device::Cpu)),
        })
    };
    write_file(&path, &entries, &mut { give }).unwrap();
    let tensors = Tensors::open(&path).unwrap();
    let take = |name: &str, kind| tensors.take(name, kind, Device::Cpu).unwrap();
    assert_eq!(take("large", Kind::Double), large);
    let small = Tensor::from_slice(&[0.1_f32, 0.2, 0.3]).view([3, 1]).to_kind(Kind::BFloat16);
    assert_eq!(take("small", Kind::BFloat16), small);
    assert_eq!(take("step", Kind::Int64).int64_value(&[]), 7);
    assert_eq!(take("flag", Kind::Bool), Tensor::from_slice(&[true, false, true]));
    // Other programs and other users read it.
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444 & !umask(), "{mode:o}");
}

/// What the mask takes from a file that is made here.
fn umask() -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    !fs::metadata(&path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_fails_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let entries = [Kind::Float; 2].map(|kind| Entry { name: "a".to_owned(), sizes: vec![2], kind });
    let zeros = |size: i64| Ok(Tensor::zeros([size], (Kind::Float, Device::Cpu)));
    write_file(&path, &entries[..1], &mut |_| zeros(2)).unwrap();
    let before = fs::read(&path).unwrap();

    let told = |result: crate::Result<()>, expected: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    };
    told(write_file(&path, &entries[..1], &mut |_| zeros(3)), "announced as [2]");
    told(write_file(&path, &entries, &mut |_| zeros(2)), "announced twice");
    let stopped = || Err(TrainError::Torch("stopped".to_owned()));
    told(write_file(&path, &entries[..1], &mut |_| stopped()), "stopped");
    told(write_model(folder.path(), &entries[..1], &mut |_| zeros(2)), "weights already");
    let nowhere = folder.path().join("nowhere/model.safetensors");
    told(write_file(&nowhere, &entries[..1], &mut |_| zeros(2)), "nowhere");
}

/// Goldens as they were read, in several files each, and their adapters: `cargo xtask interop` reads
/// them with `transformers` and PEFT.
#[test]
#[ignore = "writes into the folder that LIMN_OUT names, for others to read"]
fn what_transformers_and_peft_are_to_read() {
    let out = PathBuf::from(std::env::var_os("LIMN_OUT").unwrap());
    for golden in Golden::all() {
        let folder = out.join(golden.name);
        fs::create_dir_all(folder.join("adapter")).unwrap();
        fs::copy(golden.folder.join("config.json"), folder.join("config.json")).unwrap();
        let weights = golden.weights();
        write_shards(&folder, &entries(&weights, Kind::Float), 20_000, &mut |entry| {
            weights.take(&entry.name, Kind::Float, Device::Cpu)
        })
        .unwrap();
        crate::weights::adapter::tests::written(&golden, &folder.join("adapter"));
    }
}
