use serving::{Answer, Piece, Want};
use tch::{Device, Kind, Tensor};
use training::data::Sample;
use training::plan::Way;

use super::kept::{Kept, Span, Together};
use super::{Attention, Cache, Decoder, Extent, Places};
use crate::backward::{layer_backward, row_backward};
use crate::goldens::Golden;
use crate::gradients::Gradients;
use crate::loss::{Chunks, loss};
use crate::method::{load_adapters, train_all};
use crate::row::Row;
use crate::torch::gradients;

const PLAIN: Way = Way {
    save_layers: false,
    save_attention: false,
    mlp_tile: 0,
    offload: false,
    host_optimizer: false,
};

fn decoder(golden: &Golden, kind: Kind) -> Decoder {
    Decoder::new(&golden.weights(), kind, Device::Cpu).unwrap()
}

fn with_adapter(golden: &Golden) -> Decoder {
    let mut decoder = decoder(golden, Kind::Float);
    load_adapters(&mut decoder, &golden.adapter()).unwrap();
    decoder
}

fn logits(decoder: &Decoder, ids: &[i64]) -> Tensor {
    let places = Places::new(decoder.shape(), &[ids.len()], decoder.kind(), Device::Cpu).unwrap();
    decoder.logits(&Tensor::from_slice(ids), &places).unwrap()
}

fn off(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found - expected).abs().max().double_value(&[])
}

/// The rows of all texts of a golden, each alone or all in one.
fn rows(golden: &Golden, decoder: &Decoder, packed: bool) -> Vec<Row> {
    let samples = golden.samples();
    let row = |samples: &[Sample]| Row::new(decoder, samples).unwrap();
    if packed {
        vec![row(&samples)]
    } else {
        samples.iter().map(|it| row(std::slice::from_ref(it))).collect()
    }
}

/// The mean loss over all rows, and the gradients of it.
fn back(decoder: &Decoder, rows: &[Row], way: Way) -> (f64, Gradients) {
    let trained: usize = rows.iter().map(|row| row.targets.count).sum();
    let chunks = Chunks { tokens: 5, denominator: trained as f64 };
    let mut sums = Gradients::new(&decoder.trained(), Device::Cpu).unwrap();
    let losses = rows.iter().map(|row| row_backward(decoder, row, chunks, way, &mut sums).unwrap());
    (losses.sum::<f64>() / trained as f64, sums)
}

fn check_gradients(golden: &Golden, kind: &str, decoder: &Decoder, sums: &Gradients) {
    for (parameter, sum) in decoder.trained().iter().zip(sums.sums()) {
        golden.check_gradient(kind, parameter.name(), sum, 1e-4);
    }
}

#[test]
fn every_family_says_what_transformers_says() {
    for golden in Golden::all() {
        let decoder = decoder(&golden, Kind::Float);
        for (at, sequence) in golden.said.sequences.iter().enumerate() {
            let off = off(&logits(&decoder, &sequence.ids), &golden.array(&format!("logits.{at}")));
            assert!(off <= 1e-5, "{} {at}: off by {off}", golden.name);
        }
    }
}

#[test]
fn positions_are_scaled_as_transformers_scales_them() {
    let golden = Golden::of("llama");
    let weights = golden.weights();
    let config = std::fs::read_to_string(golden.folder.join("config.json")).unwrap();
    for (kind, parameters) in &golden.said.positions {
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["rope_parameters"] = parameters.clone();
        let path = std::path::Path::new("config.json");
        let shape = training::shape::ModelShape::of_config(&config.to_string(), path).unwrap();
        let mut decoder = Decoder::new(&weights, Kind::Float, Device::Cpu).unwrap();
        decoder.shape = shape;
        let found = logits(&decoder, &golden.said.sequences[0].ids);
        let off = off(&found.slice(0, -8, None, 1), &golden.array(&format!("logits.{kind}")));
        assert!(off <= 1e-5, "{kind}: off by {off}");
    }
}

#[test]
fn an_adapter_says_what_peft_says() {
    for golden in Golden::all() {
        let found = logits(&with_adapter(&golden), &golden.said.sequences[0].ids);
        let off = off(&found, &golden.array("adapter.logits.0"));
        assert!(off <= 1e-5, "{}: off by {off}", golden.name);
    }
}

#[test]
fn losses_are_those_of_transformers() {
    for golden in Golden::all() {
        let decoder = decoder(&golden, Kind::Float);
        for (row, expected) in rows(&golden, &decoder, false).iter().zip(&golden.said.losses) {
            let stream = decoder.forward(&row.ids, &row.places, 7).unwrap();
            let sum = loss(&decoder, &stream, &row.targets, 3).unwrap();
            let found = sum / row.targets.count as f64;
            assert!((found - expected).abs() <= 1e-5, "{}: {found} {expected}", golden.name);
        }
    }
}

#[test]
fn gradients_are_those_of_transformers_and_peft() {
    for golden in Golden::all() {
        let mut full = decoder(&golden, Kind::Float);
        train_all(&mut full);
        let adapted = with_adapter(&golden);
        for (kind, decoder, said) in
            [("full", &full, &golden.said.full), ("adapter", &adapted, &golden.said.adapter)]
        {
            assert_eq!(decoder.trained().len(), said.norms.len());
            let (loss, sums) = back(decoder, &rows(&golden, decoder, false), PLAIN);
            assert!((loss - said.loss).abs() <= 1e-5, "{} {kind}: {loss}", golden.name);
            check_gradients(&golden, kind, decoder, &sums);
        }
    }
}

#[test]
fn what_fills_a_row_up_changes_nothing() {
    for golden in Golden::all() {
        let mut decoder = decoder(&golden, Kind::Float);
        train_all(&mut decoder);
        let filled = |sample| Row::filled_up(&decoder, std::slice::from_ref(sample), 64).unwrap();
        let rows: Vec<Row> = golden.samples().iter().map(filled).collect();
        assert!(rows.iter().all(|row| row.ids.size()[0] % 64 == 0));
        let (loss, sums) = back(&decoder, &rows, PLAIN);
        assert!((loss - golden.said.full.loss).abs() <= 1e-5, "{}: {loss}", golden.name);
        check_gradients(&golden, "full", &decoder, &sums);
    }
}

#[test]
fn texts_in_one_row_give_what_they_give_alone() {
    for golden in Golden::all() {
        let mut decoder = decoder(&golden, Kind::Float);
        train_all(&mut decoder);
        let (loss, sums) = back(&decoder, &rows(&golden, &decoder, true), PLAIN);
        assert!((loss - golden.said.full.loss).abs() <= 1e-5, "{}: {loss}", golden.name);
        check_gradients(&golden, "full", &decoder, &sums);
    }
}

#[test]
fn whatever_saves_memory_changes_nothing() {
    for golden in Golden::all() {
        let mut decoder = decoder(&golden, Kind::Float);
        train_all(&mut decoder);
        let rows = rows(&golden, &decoder, false);
        for way in [
            Way { offload: true, ..PLAIN },
            Way { mlp_tile: 7, ..PLAIN },
            Way { save_attention: true, ..PLAIN },
            Way { save_attention: true, mlp_tile: 7, offload: true, ..PLAIN },
            Way { save_layers: true, ..PLAIN },
        ] {
            let (loss, sums) = back(&decoder, &rows, way);
            assert!((loss - golden.said.full.loss).abs() <= 1e-5, "{} {way:?}", golden.name);
            check_gradients(&golden, "full", &decoder, &sums);
        }
    }
}

/// The promise of `backward.rs`: computed again, a layer gives the bits of one graph of everything.
/// With what attention gave at hand its gradients are added in another order, and differ by rounding.
#[test]
fn recomputed_gradients_are_those_of_plain_autograd() {
    for golden in Golden::all() {
        for (kind, rounding) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
            let mut decoder = decoder(&golden, kind);
            train_all(&mut decoder);
            let row = &rows(&golden, &decoder, true)[0];
            let input = decoder.embed(&row.ids).unwrap().detach().set_requires_grad(true);
            let weight = Tensor::randn_like(&input);
            for layer in decoder.layers() {
                let plain = layer.forward(&input, &row.places, 0).unwrap();
                let trained = layer.trained();
                let mut inputs = vec![&input];
                inputs.extend(trained.iter().map(|parameter| parameter.value()));
                let expected = gradients(&[&plain], &[&weight], &inputs).unwrap();
                let mut sums = Gradients::new(&decoder.trained(), Device::Cpu).unwrap();
                for is_kept in [false, true] {
                    sums.clear().unwrap();
                    let saved = is_kept.then(|| {
                        let _guard = tch::no_grad_guard();
                        let attention = layer.project.forward(&input, &row.places).unwrap();
                        attention.save(&row.places).unwrap()
                    });
                    let back =
                        layer_backward(layer, &input, saved, &row.places, &weight, 0, &mut sums);
                    let check = |name: &str, found: &Tensor, expected: &Option<Tensor>| {
                        let expected = expected.as_ref().unwrap();
                        let scale = expected.abs().max().double_value(&[]);
                        let most = if is_kept { rounding * scale } else { 0.0 };
                        let off = off(found, expected);
                        assert!(off <= most, "{} {name} {kind:?}: off by {off}", golden.name);
                    };
                    check("input", &back.unwrap(), &expected[0]);
                    for (parameter, expected) in trained.iter().zip(&expected[1..]) {
                        let sum = sums.sums()[parameter.slot().unwrap()].to_kind(kind);
                        check(parameter.name(), &sum, expected);
                    }
                }
            }
        }
    }
}

/// Whether a layer is kept or computed again, a run that goes on with less memory goes on the same.
#[test]
fn what_is_kept_gives_the_bits_of_what_is_computed_again() {
    for golden in Golden::all() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let mut decoder = decoder(&golden, kind);
            train_all(&mut decoder);
            let rows = rows(&golden, &decoder, true);
            let (loss, again) = back(&decoder, &rows, PLAIN);
            let (loss_kept, kept) = back(&decoder, &rows, Way { save_layers: true, ..PLAIN });
            assert_eq!(loss, loss_kept, "{}", golden.name);
            for (again, kept) in again.sums().iter().zip(kept.sums()) {
                assert!(again == kept, "{} {kind:?}", golden.name);
            }
        }
    }
}

/// The logits after the last of these tokens, which follow what the slot holds.
fn after(decoder: &Decoder, cache: &mut Cache, slot: usize, ids: &[i64]) -> Tensor {
    let tokens: Vec<u32> = ids.iter().map(|id| u32::try_from(*id).unwrap()).collect();
    let piece = Piece { slot, tokens: &tokens, want: Want::Logits };
    match decoder.advance(cache, &[piece]).unwrap().as_slice() {
        [Answer::Logits(logits)] => Tensor::from_slice(logits),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_in_pieces_says_what_it_says_at_once() {
    for golden in Golden::all() {
        let decoder = decoder(&golden, Kind::Float);
        let ids = &golden.said.sequences[0].ids;
        let whole = logits(&decoder, ids);
        for pieces in [vec![ids.len()], vec![5, 1, 1, 7, 1, 9], vec![1, 2, 3, 4, 5]] {
            let mut cache = Cache::new(&decoder, 2, ids.len()).unwrap();
            for piece in pieces {
                let from = cache.length(1);
                let found = after(&decoder, &mut cache, 1, &ids[from..from + piece]);
                let at = cache.length(1) as i64 - 1;
                assert!(off(&found, &whole.get(at)) <= 1e-4, "{} {at}", golden.name);
            }
            // What was forgotten is said anew.
            let all = cache.length(1);
            cache.truncate(1, 3);
            let again = after(&decoder, &mut cache, 1, &ids[3..all]);
            assert!(off(&again, &whole.get(all as i64 - 1)) <= 1e-4, "{}", golden.name);
            assert_eq!(cache.length(0), 0, "the other slot is nobody's");
        }
    }
}

/// The way of a GPU, computed by the processor.
#[test]
fn single_tokens_of_several_texts_find_together_what_they_find_apart() {
    let golden = Golden::of("qwen3");
    let decoder = decoder(&golden, Kind::Float);
    let shape = decoder.shape();
    let (heads, kv, width) = (shape.heads as i64, shape.kv_heads as i64, shape.head_dim as i64);
    tch::manual_seed(7);
    let random = |sizes: &[i64]| Tensor::randn(sizes, (Kind::Float, Device::Cpu));
    let (keys, values) = (random(&[5, kv, 13, width]), random(&[5, kv, 13, width]));
    let new = Attention {
        query: random(&[heads, 4, width]),
        key: random(&[kv, 4, width]),
        value: random(&[kv, 4, width]),
    };
    // The third row is nobody's: its token goes behind all others.
    let places = [11, 3, 12, 6];
    let spans: Vec<Span> = (0..4)
        .filter(|row| *row != 2)
        .map(|row| Span { slot: row + 1, before: places[row as usize], rows: row..row + 1 })
        .collect();
    let (same_keys, same_values) = (keys.copy(), values.copy());
    let apart = Kept { keys: &keys, values: &values }.look(&new, &spans).unwrap();
    let hides = |place: i64| move |key: i64| if key > place { f32::NEG_INFINITY } else { 0.0 };
    let mask: Vec<f32> = places.iter().flat_map(|place| (0..12).map(hides(*place))).collect();
    let look = Together {
        first: 1,
        reach: 12,
        slots: Tensor::from_slice(&[1_i64, 2, 3, 4]),
        places: Tensor::from_slice(&places),
        mask: Tensor::from_slice(&mask).view([4, 1, 1, 12]),
    };
    let together = Kept { keys: &same_keys, values: &same_values };
    let together = together.look_together(&new, &look).unwrap();
    let together = together.index_select(0, &Tensor::from_slice(&[0_i64, 1, 3]));
    assert!(off(&together, &apart) <= 1e-6);
    let kept = |of: &Tensor| of.narrow(2, 0, 12);
    assert!(kept(&keys) == kept(&same_keys) && kept(&values) == kept(&same_values));
}

#[test]
fn what_is_no_number_in_one_text_is_not_left_to_the_next() {
    let golden = Golden::of("llama");
    let decoder = decoder(&golden, Kind::Float);
    let mut cache = Cache::new(&decoder, 1, 20).unwrap();
    cache.wipes = true;
    let tokens: Vec<u32> = (3..23).collect();
    let ask = |tokens| [Piece { slot: 0, tokens, want: Want::Logits }];
    decoder.advance(&mut cache, &ask(&tokens)).unwrap();
    for (keys, values) in &cache.layers {
        let _ = [keys, values].map(|room| room.shallow_clone().fill_(f64::NAN));
    }
    cache.truncate(0, 0);
    decoder.advance(&mut cache, &ask(&tokens[..4])).unwrap();
    let stepped = decoder.step(&mut cache, &ask(&tokens[4..5]), &mut |it| it.compute()).unwrap();
    let [Answer::Logits(logits)] = stepped.as_slice() else { panic!("{stepped:?}") };
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_step_looks_at_no_more_than_it_has_to_in_few_extents() {
    let extent = |slots: &[(i64, i64)], room| {
        let span = |(slot, before): &(i64, i64)| Span { slot: *slot, before: *before, rows: 0..1 };
        let Extent { first, slots, reach } =
            Extent::of(&slots.iter().map(span).collect::<Vec<_>>(), room);
        (first, slots, reach)
    };
    assert_eq!(extent(&[(0, 0)], (1, 100)), (0, 1, 100));
    assert_eq!(extent(&[(3, 255)], (8, 4_096)), (3, 1, 256));
    assert_eq!(extent(&[(3, 256)], (8, 4_096)), (3, 1, 384));
    assert_eq!(extent(&[(3, 383), (5, 7)], (8, 4_096)), (3, 4, 384));
    assert_eq!(extent(&[(5, 384), (7, 7)], (8, 4_096)), (4, 4, 512));
    assert_eq!(extent(&[(2, 0), (0, 3_000)], (3, 4_096)), (0, 3, 3_072));
    assert_eq!(extent(&[(4, 3_999)], (5, 4_000)), (4, 1, 4_000));
    // However long a text becomes, it is asked for in few ways.
    let all: std::collections::HashSet<_> =
        (0..100_000).map(|before| extent(&[(0, before)], (1, 100_000))).collect();
    assert_eq!(all.len(), 19);
}
