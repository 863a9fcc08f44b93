//! Adapters, PEFT's and ours.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tch::{Device, Kind};

use crate::goldens::Golden;
use crate::weights::safetensors::tests::numbers;
use crate::weights::{Adapter, AdapterConfig, Tensors, Weights, write_adapter};

/// Reads a golden adapter and writes it as ours.
pub(crate) fn written(golden: &Golden, folder: &Path) {
    let adapter = golden.adapter();
    let config = AdapterConfig {
        rank: adapter.rank(),
        alpha: adapter.alpha(),
        base: Some(golden.name.to_owned()),
    };
    let file = golden.folder.join("adapter/adapter_model.safetensors");
    let tensors = Tensors::open(&file).unwrap();
    let linears = golden.weights().shape().linears();
    write_adapter(folder, &config, &linears, Kind::Float, &mut |entry| {
        tensors.take(&entry.name, Kind::Float, Device::Cpu)
    })
    .unwrap();
}

#[test]
fn an_adapter_of_peft_is_read_and_written_as_peft_does() {
    for golden in Golden::all() {
        let folder = tempfile::tempdir().unwrap();
        written(&golden, folder.path());
        let shape = golden.weights().shape().clone();
        let (theirs, ours) = (golden.adapter(), Adapter::open(folder.path(), &shape).unwrap());
        assert_eq!((ours.rank(), ours.scale()), (4, 2.0));
        assert_eq!((theirs.rank(), theirs.scale()), (4, 2.0));
        assert_eq!((ours.base(), theirs.base()), (Some(golden.name), Some(golden.name)));
        for linear in shape.linears() {
            let take = |adapter: &Adapter| adapter.take(&linear, Kind::Float, Device::Cpu).unwrap();
            let [theirs, ours] = [&theirs, &ours].map(|adapter| take(adapter).unwrap());
            assert_eq!(theirs.0.size(), [4, linear.inputs as i64]);
            assert_eq!(theirs.1.size(), [linear.outputs as i64, 4]);
            assert_eq!(numbers(&theirs.0), numbers(&ours.0), "{}", linear.module);
            assert_eq!(numbers(&theirs.1), numbers(&ours.1), "{}", linear.module);
        }
        // What both say, both say alike.
        let said = |folder: &Path| -> Value {
            serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
        };
        let theirs = said(&golden.folder.join("adapter"));
        for (key, value) in said(folder.path()).as_object().unwrap() {
            assert_eq!(theirs[key], *value, "{key}");
        }
    }
}

#[test]
fn an_adapter_that_computes_otherwise_is_refused() {
    let golden = Golden::of("llama");
    let folder = tempfile::tempdir().unwrap();
    let shape = golden.weights().shape().clone();
    let check = |key: &str, value: Value, expected: &str| {
        written(&golden, folder.path());
        let path = folder.path().join("adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        let error = Adapter::open(folder.path(), &shape).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("peft_type", json!("LOHA"), "peft_type \"LOHA\"");
    check("use_dora", json!(true), "use_dora true");
    check("rank_pattern", json!({ "q_proj": 8 }), "rank_pattern");
    check("modules_to_save", json!(["lm_head"]), "modules_to_save");
    check("bias", json!("all"), "bias \"all\"");
    check("r", json!(0), "rank 0");
    check("r", json!(8), "should be [8, 32]");
    check("r", json!(null), "no description of an adapter");
    written(&golden, folder.path());
    fs::write(folder.path().join("adapter_config.json"), "[]").unwrap();
    assert!(Adapter::open(folder.path(), &shape).is_err());
}

#[test]
fn a_scale_by_the_root_of_the_rank_is_kept() {
    let golden = Golden::of("llama");
    let folder = tempfile::tempdir().unwrap();
    written(&golden, folder.path());
    let path = folder.path().join("adapter_config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"use_rslora\": false", "\"use_rslora\": true")).unwrap();
    let adapter = Adapter::open(folder.path(), golden.weights().shape()).unwrap();
    assert_eq!(adapter.scale(), 4.0);
}

#[test]
fn an_adapter_of_another_model_is_refused_and_one_beside_some_layers_is_not() {
    let open = |adapter: &Path, model: &Weights| {
        Adapter::open(adapter, model.shape()).unwrap_err().to_string()
    };
    let (llama, qwen3) = (Golden::of("llama"), Golden::of("qwen3"));
    let error = open(&llama.folder.join("adapter"), &qwen3.weights());
    assert!(error.contains("q_proj.lora_B.weight is [32, 4] and should be [64, 4]"), "{error}");
    let error = open(&llama.folder.join("adapter"), &Golden::of("glm4").weights());
    assert!(error.contains("very model"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let config = AdapterConfig { rank: 4, alpha: 6.5, base: None };
    let shape = llama.weights().shape().clone();
    let linears: Vec<_> = shape.linears().into_iter().filter(|it| it.kind == "v_proj").collect();
    write_adapter(folder.path(), &config, &linears, Kind::BFloat16, &mut |entry| {
        let sizes: Vec<i64> = entry.sizes.iter().map(|size| *size as i64).collect();
        Ok(tch::Tensor::ones(sizes, (Kind::Float, Device::Cpu)))
    })
    .unwrap();
    let adapter = Adapter::open(folder.path(), &shape).unwrap();
    assert_eq!((adapter.alpha(), adapter.base()), (6.5, None));
    let beside = |linear| adapter.take(linear, Kind::Float, Device::Cpu).unwrap().is_some();
    let count = shape.linears().iter().filter(|linear| beside(linear)).count();
    assert_eq!(count, shape.layers);
    fs::remove_file(folder.path().join("adapter_model.safetensors")).unwrap();
    let error = Adapter::open(folder.path(), &shape).unwrap_err().to_string();
    assert!(error.contains("no adapter_model.safetensors"), "{error}");
}
