use std::sync::atomic::{AtomicU64, Ordering};

use serving::{Answer, Engine, EngineError, Facts, Piece, Want};
use tch::{Device, Kind};

use super::{LEFT_BYTES, TorchEngine};
use crate::decoder::Decoder;
use crate::goldens::{Generation, Golden};
use crate::merge::merged;
use crate::method::beside;
use crate::torch::grant;
use crate::weights::Weights;

pub(super) const SLOT_TOKENS: usize = 200;

/// The base, and the adapter of the golden beside it.
pub(super) fn engine(golden: &Golden, slots: usize) -> TorchEngine {
    let decoder = Decoder::new(&golden.weights(), Kind::Float, Device::Cpu).unwrap();
    let adapter = beside(&decoder, &golden.adapter()).unwrap();
    TorchEngine::new(decoder, vec![adapter], slots, SLOT_TOKENS).unwrap()
}

pub(super) fn piece(slot: usize, tokens: &[u32], want: Want) -> Piece<'_> {
    Piece { slot, tokens, want }
}

pub(super) fn best(answer: &Answer) -> u32 {
    match answer {
        Answer::Best(id) => *id,
        other => panic!("{other:?}"),
    }
}

pub(super) fn logits(engine: &mut TorchEngine, slot: usize, tokens: &[u32]) -> Vec<f32> {
    match engine.forward(0, &[piece(slot, tokens, Want::Logits)]).unwrap().remove(0) {
        Answer::Logits(logits) => logits,
        other => panic!("{other:?}"),
    }
}

pub(super) fn off(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// The likeliest tokens after a prompt, which is read in chunks.
pub(super) fn generate(
    engine: &mut TorchEngine,
    variant: usize,
    slot: usize,
    prompt: &[u32],
    chunk: usize,
    count: usize,
) -> Vec<u32> {
    let (last, first) = prompt.split_last().unwrap();
    for tokens in first.chunks(chunk) {
        let found = engine.forward(variant, &[piece(slot, tokens, Want::Nothing)]).unwrap();
        assert_eq!(found, [Answer::Nothing]);
    }
    let mut said = vec![*last];
    while said.len() <= count {
        let next = [*said.last().unwrap()];
        said.push(best(&engine.forward(variant, &[piece(slot, &next, Want::Best)]).unwrap()[0]));
    }
    said.split_off(1)
}

#[test]
fn what_is_generated_is_what_transformers_generates() {
    for golden in Golden::all() {
        let mut engine = engine(&golden, 1);
        for (at, Generation { prompt, base, .. }) in golden.said.generations.iter().enumerate() {
            assert!(base.len() >= 48);
            for chunk in [1, 7, 512] {
                engine.truncate(0, 0);
                let found = generate(&mut engine, 0, 0, prompt, chunk, base.len());
                assert_eq!(found, *base, "{} {at} in chunks of {chunk}", golden.name);
            }
        }
    }
}

#[test]
fn texts_that_are_computed_together_say_what_they_say_alone() {
    for golden in Golden::all() {
        let mut engine = engine(&golden, golden.said.generations.len() + 1);
        together(&golden, &mut engine);
    }
}

/// As a scheduler does it: while one text is read, others go on by a token each.
pub(super) fn together(golden: &Golden, engine: &mut TorchEngine) {
    let texts = &golden.said.generations;
    let mut said: Vec<Vec<u32>> = vec![Vec::new(); texts.len()];
    let mut read = vec![0; texts.len()];
    let slot = |text: usize| texts.len() - text;
    while said.iter().any(|it| it.len() < 56) {
        let mut tokens: Vec<(usize, Vec<u32>, Want)> = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let rest = &text.prompt[read[at]..];
            if rest.is_empty() && said[at].len() < 56 {
                tokens.push((at, vec![*said[at].last().unwrap()], Want::Best));
            } else if !rest.is_empty() {
                let chunk = &rest[..rest.len().min(3 + 5 * at)];
                let want = if chunk.len() == rest.len() { Want::Best } else { Want::Nothing };
                read[at] += chunk.len();
                tokens.push((at, chunk.to_vec(), want));
            }
        }
        let pieces: Vec<Piece<'_>> =
            tokens.iter().map(|(at, tokens, want)| piece(slot(*at), tokens, *want)).collect();
        let answers = engine.forward(0, &pieces).unwrap();
        for ((at, _, want), answer) in tokens.iter().zip(&answers) {
            match want {
                Want::Best => said[*at].push(best(answer)),
                _ => assert_eq!(*answer, Answer::Nothing),
            }
        }
    }
    for (said, text) in said.iter().zip(texts) {
        assert_eq!(*said, text.base, "{}", golden.name);
    }
}

#[test]
fn logits_are_the_same_alone_and_among_others() {
    for golden in Golden::all() {
        let mut engine = engine(&golden, 3);
        let [first, second, third] = [&[5, 6, 7][..], &[9][..], &[11, 12, 13, 14][..]];
        let alone = [first, second, third].map(|text| {
            engine.truncate(0, 0);
            logits(&mut engine, 0, text)
        });
        engine.truncate(0, 0);
        let pieces = [
            piece(2, first, Want::Logits),
            piece(0, second, Want::Best),
            piece(1, third, Want::Logits),
        ];
        let together = engine.forward(0, &pieces).unwrap();
        let [Answer::Logits(one), Answer::Best(two), Answer::Logits(three)] = together.as_slice()
        else {
            panic!("{together:?}");
        };
        assert!(off(one, &alone[0]) <= 1e-5 && off(three, &alone[2]) <= 1e-5, "{}", golden.name);
        let likeliest = alone[1].iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(alone[1][*two as usize], likeliest, "{}", golden.name);
    }
}

#[test]
fn what_a_slot_holds_may_be_used_again() {
    for golden in Golden::all() {
        let mut engine = engine(&golden, 3);
        let text: Vec<u32> = golden.said.generations[3].prompt.clone();
        let whole = logits(&mut engine, 0, &text);
        // The end of it is said anew, over what was kept of the beginning.
        engine.truncate(0, 60);
        assert!(off(&logits(&mut engine, 0, &text[60..]), &whole) <= 1e-4, "{}", golden.name);
        // Another text begins in the same way.
        engine.copy(0, 2, 40).unwrap();
        let other = logits(&mut engine, 2, &[100, 101, 102]);
        let mut fresh = text[..40].to_vec();
        fresh.extend([100, 101, 102]);
        assert!(off(&logits(&mut engine, 1, &fresh), &other) <= 1e-4, "{}", golden.name);
        // The one it was copied from is as it was.
        engine.truncate(0, 99);
        assert!(off(&logits(&mut engine, 0, &text[99..]), &whole) <= 1e-4, "{}", golden.name);
        engine.copy(0, 0, 60).unwrap();
        assert!(off(&logits(&mut engine, 0, &text[60..]), &whole) <= 1e-4, "{}", golden.name);
    }
}

#[test]
fn models_with_adapters_take_turns_over_the_same_weights() {
    for golden in Golden::all() {
        let mut engine = engine(&golden, 2);
        // Models whose output is their embedding like to repeat themselves.
        let is_tied = golden.weights().shape().tied_embeddings;
        for Generation { prompt, base, adapter } in &golden.said.generations {
            assert!(is_tied || base != adapter, "{}", golden.name);
            for (variant, expected) in [(1, adapter), (0, base), (1, adapter)] {
                engine.truncate(variant, 0);
                let found = generate(&mut engine, variant, variant, prompt, 16, expected.len());
                assert_eq!(found, *expected, "{} as model {variant}", golden.name);
            }
        }
    }
}

#[test]
fn an_adapter_beside_the_weights_says_what_it_says_within_them() {
    for golden in Golden::all() {
        let folder = tempfile::tempdir().unwrap();
        merged(&golden.weights(), &golden.adapter(), Kind::Float, folder.path()).unwrap();
        let config = golden.folder.join("config.json");
        std::fs::copy(config, folder.path().join("config.json")).unwrap();
        let weights = Weights::open(folder.path()).unwrap();
        let decoder = Decoder::new(&weights, Kind::Float, Device::Cpu).unwrap();
        let mut engine = TorchEngine::new(decoder, Vec::new(), 1, SLOT_TOKENS).unwrap();
        for Generation { prompt, adapter, .. } in &golden.said.generations {
            engine.truncate(0, 0);
            let found = generate(&mut engine, 0, 0, prompt, 512, adapter.len());
            assert_eq!(found, *adapter, "{}", golden.name);
        }
    }
}

#[test]
fn half_precision_computes_too() {
    for golden in Golden::all() {
        let decoder = Decoder::new(&golden.weights(), Kind::BFloat16, Device::Cpu).unwrap();
        let mut engine = TorchEngine::new(decoder, Vec::new(), 2, SLOT_TOKENS).unwrap();
        let text = &golden.said.generations[3].prompt;
        let whole = logits(&mut engine, 0, text);
        logits(&mut engine, 1, &text[..50]);
        let pieces = logits(&mut engine, 1, &text[50..]);
        let size = whole.iter().fold(0.0, |size: f32, it| size.max(it.abs()));
        assert!(off(&pieces, &whole) <= 0.05 * size, "{}: {}", golden.name, off(&pieces, &whole));
    }
}

#[test]
fn what_cannot_be_computed_is_said_and_changes_nothing() {
    let golden = Golden::of("llama");
    let mut engine = engine(&golden, 2);
    let facts = Facts { vocab: 128, slots: 2, slot_tokens: SLOT_TOKENS, variants: 2 };
    assert_eq!(engine.facts(), facts);
    let text: Vec<u32> = (3..53).collect();
    let whole = logits(&mut engine, 0, &text);
    engine.truncate(0, 49);
    let long = vec![5; SLOT_TOKENS - 48];
    let mut told = |variant: usize, pieces: &[Piece<'_>]| match engine.forward(variant, pieces) {
        Err(EngineError::Failed(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(told(0, &[piece(0, &[], Want::Best)]).contains("0 tokens"));
    assert!(told(0, &[piece(0, &long, Want::Best)]).contains("152 tokens do not fit where 151 do"));
    assert!(told(0, &[piece(0, &[128], Want::Best)]).contains("128 tokens, and 128 is none"));
    assert!(told(0, &[piece(2, &[5], Want::Best)]).contains("no slot 2"));
    let twice = [piece(1, &[5], Want::Best), piece(1, &[6], Want::Best)];
    assert!(told(0, &twice).contains("two pieces"));
    assert!(told(2, &[piece(0, &[5], Want::Best)]).contains("2 models"));
    assert!(engine.copy(0, 2, 3).is_err() && engine.copy(0, 1, 50).is_err());
    assert_eq!(engine.forward(0, &[]), Ok(Vec::new()));
    assert!(off(&logits(&mut engine, 0, &text[49..]), &whole) <= 1e-4);
}

/// Free memory, as tests have it.
static FREE: AtomicU64 = AtomicU64::new(0);

#[test]
fn texts_take_no_memory_that_is_not_free_and_give_back_what_they_took() {
    let golden = Golden::of("qwen2");
    // Large enough that a text fills pages.
    let decoder = Decoder::new(&golden.weights(), Kind::Float, Device::Cpu).unwrap();
    let mut engine = TorchEngine::new(decoder, Vec::new(), 2, 1 << 16).unwrap();
    engine.stay_within(|| Some(FREE.load(Ordering::Relaxed)));
    let frees = |bytes: u64| FREE.store(LEFT_BYTES + bytes, Ordering::Relaxed);
    let text: Vec<u32> = (0..100).map(|it| 3 + it % 90).collect();
    frees(1 << 30);
    let whole = logits(&mut engine, 0, &text);
    // Two layers of keys and values, 16 numbers each, of 4 bytes: for 128 tokens at a time.
    let each = 2 * 2 * 16 * 4;
    frees(64 * each - 1);
    let more = [5; 64];
    let failed = engine.forward(0, &[piece(0, &more, Want::Best)]);
    let Err(EngineError::OutOfMemory(told)) = failed else { panic!("{failed:?}") };
    assert!(told.contains("of keys and values"), "{told}");
    frees(128 * each - 1);
    assert!(matches!(engine.copy(0, 1, 100), Err(EngineError::OutOfMemory(_))));
    // What it has already it may go on with, however little is free.
    frees(0);
    engine.truncate(0, 99);
    assert!(off(&logits(&mut engine, 0, &text[99..]), &whole) <= 1e-4);
    // Nor is it held to what was free when it took the last of that.
    frees(64 * each);
    let _ = engine.forward(0, &[piece(0, &more, Want::Nothing)]);
    engine.truncate(0, 99);
    assert!(off(&logits(&mut engine, 0, &text[99..]), &whole) <= 1e-4);
    frees(0);
    assert!(engine.give_back(0) && !engine.give_back(0) && !engine.give_back(1));
    assert!(engine.forward(0, &[piece(0, &text, Want::Best)]).is_err());
    frees(1 << 30);
    assert!(off(&logits(&mut engine, 0, &text), &whole) <= 1e-4);
    grant(None);
}

#[test]
fn memory_that_runs_out_is_told_apart_and_the_next_call_is_computed() {
    let golden = Golden::of("qwen2");
    let mut engine = engine(&golden, 1);
    let text: Vec<u32> = (3..103).collect();
    let whole = logits(&mut engine, 0, &text);
    engine.truncate(0, 10);
    grant(Some(4_096));
    let failed = engine.forward(0, &[piece(0, &text[10..], Want::Logits)]);
    grant(None);
    assert!(matches!(failed, Err(EngineError::OutOfMemory(_))), "{failed:?}");
    engine.truncate(0, 10);
    assert!(off(&logits(&mut engine, 0, &text[10..]), &whole) <= 1e-4);
}

#[test]
#[ignore = "needs a model of 540 MB and what was generated, which LIMN_CONVERTED and LIMN_GENERATED name"]
fn a_real_model_generates_what_transformers_generates() {
    #[derive(serde::Deserialize)]
    struct Row {
        prompt: Vec<u32>,
        said: Vec<u32>,
    }
    let path = |name: &str| std::path::PathBuf::from(std::env::var_os(name).unwrap());
    let rows = std::fs::read(path("LIMN_GENERATED")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&rows).unwrap();
    let weights = Weights::open(&path("LIMN_CONVERTED")).unwrap();
    let decoder = Decoder::new(&weights, Kind::Float, Device::Cpu).unwrap();
    let mut engine = TorchEngine::new(decoder, Vec::new(), 2, 1_024).unwrap();
    for Row { prompt, said } in rows {
        for (slot, chunk) in [(0, 512), (1, 64)] {
            engine.truncate(slot, 0);
            assert_eq!(generate(&mut engine, 0, slot, &prompt, chunk, said.len()), said);
        }
    }
}
