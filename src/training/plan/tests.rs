use std::path::Path;

use serde_json::json;

use super::*;
use crate::recipe::{Lora, Memory, Precision};

const GIB: f64 = 1_073_741_824.0;

/// Qwen3 in four sizes.
fn qwen3(
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    tied: bool,
) -> ModelShape {
    let config = json!({
        "model_type": "qwen3", "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 8,
        "head_dim": 128, "vocab_size": 151_936, "max_position_embeddings": 40960,
        "tie_word_embeddings": tied,
    });
    ModelShape::of_config(&config.to_string(), Path::new("config.json")).unwrap()
}

fn sizes() -> [ModelShape; 4] {
    [
        qwen3(1024, 3072, 28, 16, true),
        qwen3(2048, 6144, 28, 16, true),
        qwen3(2560, 9728, 36, 32, true),
        qwen3(4096, 12288, 36, 32, false),
    ]
}

fn h200() -> Machine {
    Machine::of_nvidia_smi("NVIDIA H200, 142336\n", 256 << 30).remove(0)
}

fn recipe(method: Method) -> Recipe {
    Recipe::new(Path::new("model"), Path::new("data"), method)
}

fn lora() -> Recipe {
    recipe(Method::Lora(Lora::default()))
}

fn way(save_attention: bool, host_optimizer: bool) -> Way {
    Way { save_layers: false, save_attention, mlp_tile: 16_384, offload: false, host_optimizer }
}

fn plan(shape: &ModelShape, recipe: &Recipe, tokens: usize, machine: &Machine) -> Plan {
    let lengths = vec![(tokens, tokens * 3 / 10); 78];
    Plan::of_lengths(shape, recipe, &lengths, ([78, 0, 0], [40, 10], tokens), machine)
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    let off = (found - expected).abs() / expected;
    assert!(off <= tolerance, "{found:.2} is {:.1} % off {expected}", 100.0 * off);
}

#[test]
fn the_memory_of_a_long_sample_is_what_was_computed_by_hand() {
    // GiB at 152,000 tokens: weights, layer inputs, LoRA, with attention saved, full with the
    // optimizer on the device and on the host.
    let table = [
        [1.1, 8.1, 22.0, 39.0, 31.0, 24.0],
        [3.2, 16.0, 36.0, 52.0, 61.0, 41.0],
        [7.5, 26.0, 54.0, 97.0, 113.0, 68.0],
        [15.0, 42.0, 82.0, 125.0, f64::NAN, 111.0],
    ];
    for (shape, row) in sizes().iter().zip(table) {
        let of = |recipe: &Recipe, way| MemoryUse::of(shape, recipe, way, 152_000, &h200());
        let plain = of(&lora(), way(false, false));
        let full = recipe(Method::Full);
        let found = [
            (shape.parameters() * 2) as f64,
            plain.layer_inputs as f64,
            plain.total() as f64,
            of(&lora(), way(true, false)).total() as f64,
            of(&full, way(false, false)).total() as f64,
            of(&full, way(false, true)).total() as f64,
        ];
        for (found, expected) in found.into_iter().zip(row).filter(|(_, it)| it.is_finite()) {
            near(found / GIB, expected, 0.1);
        }
    }
}

#[test]
fn the_ladder_is_gone_down_until_it_fits() {
    let [small, _, four, eight] = sizes();
    let rung = |shape, recipe: &Recipe| plan(shape, recipe, 152_000, &h200()).rung;
    assert_eq!(rung(&small, &lora()), Rung::AllOnDevice);
    assert_eq!(rung(&four, &lora()), Rung::AllOnDevice);
    assert_eq!(rung(&four, &recipe(Method::Full)), Rung::AttentionAgain);
    let full = plan(&eight, &recipe(Method::Full), 152_000, &h200());
    assert_eq!(full.rung, Rung::HostOptimizer);
    assert!(full.way.host_optimizer && full.way.offload);
    assert!(full.host_bytes as f64 > 12.0 * 8e9);
    let rungs: Vec<Rung> = full.refused.iter().map(|refusal| refusal.rung).collect();
    assert_eq!(rungs, Rung::ALL[..5]);
    assert!(full.refused[0].why.contains("of the device's memory, and 139 GiB are free"));
    let poor = Machine { host_bytes: 16 << 30, ..h200() };
    let poor = plan(&eight, &recipe(Method::Full), 152_000, &poor);
    assert_eq!(poor.rung, Rung::HandOver);
    assert!(poor.refused[5].why.contains("of the host's memory"), "{:?}", poor.refused);
    assert!(poor.advice.iter().any(|sentence| sentence.contains("One device is not enough")));
}

#[test]
fn what_the_recipe_says_counts_more_than_the_rung() {
    let mut recipe = lora();
    recipe.memory = Memory { save_attention: Some(false), ..Memory::default() };
    recipe.lengths.mlp_tile = 512;
    let plan = plan(&sizes()[0], &recipe, 8_192, &h200());
    assert_eq!((plan.way.save_attention, plan.way.mlp_tile), (false, 512));
    assert!(!plan.way.save_layers && plan.memory.attention == 0);
    assert!(plan.to_string().contains(Rung::AttentionAgain.describe()), "{plan}");
    recipe.memory = Memory { offload: Some(true), ..Memory::default() };
    let offloaded = self::plan(&sizes()[0], &recipe, 8_192, &h200());
    assert!(offloaded.way.offload && !offloaded.way.save_layers);
    // Kept, there is nothing that a lower rung could save but the state of the optimizer.
    recipe.memory = Memory { save_layers: Some(true), ..Memory::default() };
    let ways = Rung::ALL[..5].iter().map(|rung| Way::of(*rung, &recipe));
    assert!(ways.clone().all(|way| way == Way::of(Rung::LayersKept, &recipe)));
    assert_ne!(Way::of(Rung::HostOptimizer, &recipe), Way::of(Rung::LayersKept, &recipe));
}

#[test]
fn a_processor_has_no_host_to_put_things_on() {
    let machine = Machine { kind: Kind::Cpu, device_bytes: 4 << 30, host_bytes: 4 << 30, ..h200() };
    let plan = plan(&sizes()[0], &recipe(Method::Full), 512, &machine);
    assert_eq!(plan.rung, Rung::HandOver);
    let tried: Vec<Rung> = plan.refused.iter().map(|refusal| refusal.rung).collect();
    assert_eq!(tried, Rung::ALL[..4]);
    let slow = Machine { device_bytes: 64 << 30, has_bf16: false, ..machine };
    let slow = self::plan(&sizes()[0], &recipe(Method::Full), 512, &slow);
    assert_eq!((slow.rung, slow.machine.precision()), (Rung::LayersKept, Precision::F32));
    assert!(slow.advice.iter().any(|sentence| sentence.contains("no instructions for bf16")));
    let here = Machine::processor();
    assert!(here.device_bytes > 0 && here.flops > 0.0);
}

#[test]
fn the_speed_on_one_gpu_is_what_it_is_to_reach() {
    // Tokens a second of all weights, at three lengths.
    let table = [
        [62_000.0, 18_000.0, 5_500.0],
        [33_000.0, 14_400.0, 5_100.0],
        [13_200.0, 5_600.0, 2_000.0],
        [8_200.0, 4_500.0, 1_800.0],
    ];
    for (shape, row) in sizes().iter().zip(table) {
        for (tokens, expected) in [8_192, 42_400, 152_000].into_iter().zip(row) {
            let plan = plan(shape, &recipe(Method::Full), tokens, &h200());
            near(plan.tokens_per_s, expected, 0.12);
            near(plan.seconds, 4.0 * 78.0 * tokens as f64 / plan.tokens_per_s, 1e-9);
        }
    }
}

#[test]
fn an_adapter_needs_no_gradients_of_the_weights() {
    let work = Work { linear: 10.0, attention: 1.0 };
    assert_eq!(work.flops(Method::Full), 33.0);
    assert_eq!(work.flops(Method::Lora(Lora::default())), 23.0);
    let shape = &sizes()[0];
    let one = Work::of(shape, 100, 10);
    let linear = 2.0 * 440_401_920.0 * 100.0 + 2.0 * 151_936.0 * 1_024.0 * 10.0;
    assert_eq!(one.linear, linear);
    assert_eq!(one.attention, 2.0 * 28.0 * 2_048.0 * 10_000.0);
}

#[test]
fn gpus_are_read_from_what_their_tool_prints() {
    let gpus = Machine::of_nvidia_smi("NVIDIA H100 80GB HBM3, 81000\nOther, 1000\nno line\n", 7);
    let seen: Vec<(&str, u64, f64)> =
        gpus.iter().map(|gpu| (gpu.name.as_str(), gpu.device_bytes >> 20, gpu.flops)).collect();
    assert_eq!(seen, [("NVIDIA H100 80GB HBM3", 81_000, 989e12), ("Other", 1_000, 100e12)]);
}

#[test]
fn a_plan_says_what_to_think_about() {
    let shape = &sizes()[0];
    let lengths = [(50_000, 9)];
    let plan = Plan::of_lengths(shape, &lora(), &lengths, ([1, 0, 2], [4, 1], 50_000), &h200());
    let text = plan.to_string();
    for part in ["Only 4 steps", "made for 40960", "Nothing is held out", "2 too long", "about"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn a_plan_is_a_table() {
    let mut plan = plan(&sizes()[2], &lora(), 42_400, &h200());
    plan.machine.name = "H200".to_owned();
    insta::assert_snapshot!(plan.to_string());
}

#[test]
fn times_and_numbers_are_written_as_people_write_them() {
    let times = [0.4, 59.6, 200.0, 3_725.0, 200_000.0, f64::INFINITY].map(duration);
    let expected =
        ["0 s", "1 min 00 s", "3 min 20 s", "1 h 02 min", "2 days 7 h", "an unknown time"];
    assert_eq!(times, expected);
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
}
