//! Safetensors, as others write them and as nobody should.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::goldens::Golden;
use crate::weights::{Tensors, Weights};

/// The numbers of a tensor of single precision.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).unwrap()
}

/// A file as the format is described: the length of the header, the header, the numbers.
fn file(header: &Value, numbers: &[u8]) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes(), header.as_slice(), numbers].concat()
}

/// The header of a file, and its numbers.
fn parts(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

/// A copy of a golden model that a test may spoil.
fn copy(name: &'static str) -> tempfile::TempDir {
    let golden = Golden::of(name);
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(golden.folder.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

/// Changes the header of a model.
fn change(folder: &Path, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let path = folder.join("model.safetensors");
    let (mut header, mut numbers) = parts(&fs::read(&path).unwrap());
    change(&mut header, &mut numbers);
    fs::write(&path, file(&header, &numbers)).unwrap();
}

fn refused(path: &Path, expected: &[&str]) {
    let error = Weights::open(path).unwrap_err().to_string();
    for expected in expected {
        assert!(error.contains(expected), "{expected:?} is not in: {error}");
    }
}

#[test]
fn every_tensor_has_the_numbers_of_its_file() {
    for golden in Golden::all() {
        let (header, bytes) = parts(&fs::read(golden.folder.join("model.safetensors")).unwrap());
        let weights = golden.weights();
        for tensor in weights.shape().tensors() {
            let place: [usize; 2] =
                serde_json::from_value(header[&tensor.name]["data_offsets"].clone()).unwrap();
            let expected: Vec<f32> = bytes[place[0]..place[1]]
                .chunks_exact(4)
                .map(|number| f32::from_le_bytes(number.try_into().unwrap()))
                .collect();
            let found = weights.take(&tensor.name, Kind::Float, Device::Cpu).unwrap();
            assert_eq!(numbers(&found), expected, "{} {}", golden.name, tensor.name);
            let sizes: Vec<usize> = found.size().into_iter().map(|size| size as usize).collect();
            assert_eq!(sizes, tensor.sizes);
            let small = weights.take(&tensor.name, Kind::BFloat16, Device::Cpu).unwrap();
            assert_eq!(small, found.to_kind(Kind::BFloat16));
        }
    }
}

#[test]
fn numbers_that_lie_between_multiples_of_their_width_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let header = json!({
        "flag": { "dtype": "BOOL", "shape": [1], "data_offsets": [0, 1] },
        "number": { "dtype": "F32", "shape": [1, 2], "data_offsets": [1, 9] },
        "nothing": { "dtype": "F32", "shape": [0, 7], "data_offsets": [9, 9] },
        "one": { "dtype": "BF16", "shape": [], "data_offsets": [9, 11] },
    });
    let bytes = [&[1][..], &1.5_f32.to_le_bytes(), &(-2.0_f32).to_le_bytes(), &[0x80, 0x3f]];
    fs::write(&path, file(&header, &bytes.concat())).unwrap();
    let tensors = Tensors::open(&path).unwrap();
    let take = |name: &str| tensors.take(name, Kind::Float, Device::Cpu).unwrap();
    assert_eq!(numbers(&take("number")), [1.5, -2.0]);
    assert_eq!(take("nothing").size(), [0, 7]);
    assert_eq!(take("one").double_value(&[]), 1.0);
    assert_eq!(take("flag").double_value(&[0]), 1.0);
    assert!(tensors.take("another", Kind::Float, Device::Cpu).is_err());
}

#[test]
fn tensors_that_are_not_those_of_the_description_are_named() {
    let folder = copy("qwen3");
    let query = "model.layers.0.self_attn.q_proj.weight";
    change(folder.path(), |header, _| header[query]["shape"] = json!([32, 64]));
    refused(folder.path(), &[query, "[32, 64]", "[64, 32]"]);

    let folder = copy("qwen3");
    change(folder.path(), |header, _| {
        let moved = header.as_object_mut().unwrap().remove(query).unwrap();
        header["model.layers.2.self_attn.q_proj.weight"] = moved;
    });
    let missing = format!("{query} is missing");
    refused(folder.path(), &[&missing, "model.layers.2.self_attn.q_proj.weight belongs to no"]);

    let folder = copy("qwen3");
    change(folder.path(), |header, bytes| {
        let (from, to) = (bytes.len(), bytes.len() + 4);
        header["extra"] = json!({ "dtype": "F32", "shape": [1], "data_offsets": [from, to] });
        bytes.extend([0; 4]);
    });
    refused(folder.path(), &["extra belongs to no such model"]);
}

#[test]
fn a_tied_output_may_be_there_and_another_one_has_to() {
    let folder = copy("llama");
    change(folder.path(), |header, bytes| {
        let from = bytes.len();
        bytes.resize(from + 128 * 32 * 4, 0);
        header["lm_head.weight"] =
            json!({ "dtype": "F32", "shape": [128, 32], "data_offsets": [from, bytes.len()] });
    });
    Weights::open(folder.path()).unwrap();
    let folder = copy("qwen2");
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(config.contains("\"tie_word_embeddings\": false"));
    change(folder.path(), |header, _| {
        let head = header.as_object_mut().unwrap().remove("lm_head.weight").unwrap();
        header["lm_tail.weight"] = head;
    });
    refused(folder.path(), &["lm_head.weight is missing"]);
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let norm = "model.norm.weight";
    let check = |spoil: &dyn Fn(&mut Value, &mut Vec<u8>), expected: &str| {
        let folder = copy("llama");
        change(folder.path(), |header, bytes| spoil(header, bytes));
        refused(folder.path(), &["model.safetensors", expected, "again."]);
    };
    check(&|_, bytes| bytes.truncate(bytes.len() - 1), "more or fewer");
    check(&|_, bytes| bytes.push(0), "more or fewer");
    check(&|header, _| header[norm]["data_offsets"] = json!([0, 128]), "where the tensor before");
    check(&|header, _| header[norm]["data_offsets"] = json!([128, 0]), "where the tensor before");
    check(&|header, _| header[norm]["data_offsets"] = json!([0]), "cannot be read");
    check(&|header, _| header[norm]["shape"] = json!([31]), "than its sizes ask for");
    check(&|header, _| header[norm]["shape"] = json!([u64::MAX, 2]), "impossible");
    check(&|header, _| header[norm]["shape"] = json!([-32]), "cannot be read");
    check(&|header, _| header[norm]["dtype"] = json!("F12"), "F12");
    check(&|header, _| *header = json!(7), "cannot be read");

    let written = |bytes: &[u8], expected: &str| {
        let folder = copy("llama");
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        refused(folder.path(), &["model.safetensors", expected]);
    };
    written(b"", "does not begin as safetensors do");
    written(b"1234567", "does not begin as safetensors do");
    written(&[0xff; 64], "does not begin as safetensors do");
    written(&[&1_000_u64.to_le_bytes()[..], b"{}"].concat(), "does not begin as safetensors do");
    written(&[&4_u64.to_le_bytes()[..], &[0xff; 4]].concat(), "does not begin as safetensors do");
    written(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull");
}

#[test]
fn numbers_that_mean_nothing_without_scales_are_refused() {
    let folder = copy("llama");
    let norm = "model.norm.weight";
    change(folder.path(), |header, _| {
        header[norm]["dtype"] = json!("I32");
    });
    refused(folder.path(), &[norm, "before it was quantized"]);
    change(folder.path(), |header, _| header[norm]["dtype"] = json!("U32"));
    refused(folder.path(), &[norm, "U32", "BF16 or F32"]);
}

#[test]
fn a_folder_without_weights_says_which_files_it_should_have() {
    let folder = copy("llama");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    refused(folder.path(), &["model.safetensors.index.json", "Download"]);
    fs::create_dir(folder.path().join("model.safetensors")).unwrap();
    refused(folder.path(), &["no file"]);
}

/// Splits a model into two files with an index, by the parity of places.
fn split(folder: &Path) -> BTreeMap<String, String> {
    let path = folder.join("model.safetensors");
    let (header, bytes) = parts(&fs::read(&path).unwrap());
    fs::remove_file(&path).unwrap();
    let mut map = BTreeMap::new();
    for (parity, name) in ["first.safetensors", "second.safetensors"].into_iter().enumerate() {
        let (mut own, mut numbers) = (json!({}), Vec::new());
        let tensors = header.as_object().unwrap().iter().filter(|it| it.0 != "__metadata__");
        for (tensor, info) in tensors.skip(parity).step_by(2) {
            let place: [usize; 2] = serde_json::from_value(info["data_offsets"].clone()).unwrap();
            let from = numbers.len();
            numbers.extend_from_slice(&bytes[place[0]..place[1]]);
            own[tensor] = info.clone();
            own[tensor]["data_offsets"] = json!([from, numbers.len()]);
            map.insert(tensor.clone(), name.to_owned());
        }
        fs::write(folder.join(name), file(&own, &numbers)).unwrap();
    }
    index(folder, &map);
    map
}

fn index(folder: &Path, map: &BTreeMap<String, String>) {
    let text = json!({ "metadata": {}, "weight_map": map }).to_string();
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}

#[test]
fn a_model_in_several_files_is_the_same_model() {
    let whole = Golden::of("glm4").weights();
    let folder = copy("glm4");
    let map = split(folder.path());
    let parts = Weights::open(folder.path()).unwrap();
    for tensor in whole.shape().tensors() {
        let take = |weights: &Weights| weights.take(&tensor.name, Kind::Float, Device::Cpu);
        assert_eq!(take(&whole).unwrap(), take(&parts).unwrap(), "{}", tensor.name);
    }

    let spoiled = |change: &dyn Fn(&mut BTreeMap<String, String>), expected: &[&str]| {
        let mut map = map.clone();
        change(&mut map);
        index(folder.path(), &map);
        refused(folder.path(), expected);
    };
    let norm = "model.norm.weight";
    let name = |name: &'static str| {
        move |map: &mut BTreeMap<String, String>| drop(map.insert(norm.to_owned(), name.to_owned()))
    };
    spoiled(&name("third.safetensors"), &["third.safetensors"]);
    spoiled(&name("../first.safetensors"), &["\"../first.safetensors\""]);
    spoiled(&name("/etc/passwd"), &["\"/etc/passwd\""]);
    spoiled(&name(".."), &["\"..\""]);
    let other = if map[norm] == "first.safetensors" { "second" } else { "first" };
    let other = format!("{other}.safetensors");
    spoiled(&|map| drop(map.insert(norm.to_owned(), other.clone())), &[&other, norm, "promises"]);
    spoiled(&|map| drop(map.insert("ghost".to_owned(), other.clone())), &["ghost", "promises"]);
    fs::write(folder.path().join("model.safetensors.index.json"), "{").unwrap();
    refused(folder.path(), &["index.json", "no index"]);
    fs::write(folder.path().join("first.safetensors"), b"").unwrap();
    index(folder.path(), &map);
    refused(folder.path(), &["first.safetensors"]);
}

#[test]
fn a_tensor_in_two_files_is_refused() {
    let folder = copy("llama");
    let map = split(folder.path());
    fs::copy(folder.path().join("first.safetensors"), folder.path().join("third.safetensors"))
        .unwrap();
    let mut twice = map;
    twice.insert("ghost".to_owned(), "third.safetensors".to_owned());
    index(folder.path(), &twice);
    refused(folder.path(), &["third.safetensors", "in another file too"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_file_that_was_changed_anywhere_is_read_or_refused(
        changes in prop::collection::vec((0_usize..2_800, any::<u8>()), 1..6),
        cut in prop::option::of(0_usize..3_000),
    ) {
        let folder = copy("llama");
        let path = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        fs::write(&path, bytes).unwrap();
        if let Ok(weights) = Weights::open(folder.path()) {
            for tensor in weights.shape().tensors() {
                let _ = weights.take(&tensor.name, Kind::BFloat16, Device::Cpu).unwrap();
            }
        }
    }
}
