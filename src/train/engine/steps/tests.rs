//! Steps as a GPU makes them, computed by the processor, and records that are none of a GPU.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serving::{Answer, Engine, Piece, Want};

use super::{KEPT, PATIENCE, Recorder, Replay, Steps};
use crate::decoder::{Extent, Step};
use crate::engine::tests::{SLOT_TOKENS, best, engine, generate, logits, off, piece, together};
use crate::engine::{Singles, TorchEngine, are_alike};
use crate::error::{Result, TrainError};
use crate::goldens::{Generation, Golden};

/// What a record remembers of a step: what it looks at, and where it writes.
type Place = (Extent, usize);

fn place(step: &Step<'_>) -> Place {
    (step.extent(), step.logits().unwrap().data_ptr() as usize)
}

/// Records that compute, and are strict about what they were recorded for.
#[derive(Clone, Default)]
struct Tapes {
    recorded: Arc<Mutex<Vec<Extent>>>,
    replayed: Arc<AtomicUsize>,
}

struct Tape {
    place: Place,
    replayed: Arc<AtomicUsize>,
}

impl Recorder for Tapes {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        step.compute()?;
        self.recorded.lock().unwrap().push(step.extent());
        Ok(Box::new(Tape { place: place(step), replayed: Arc::clone(&self.replayed) }))
    }
}

impl Replay for Tape {
    fn replay(&self, step: &Step<'_>) -> Result<()> {
        assert_eq!(self.place, place(step));
        self.replayed.fetch_add(1, Ordering::Relaxed);
        step.compute()
    }
}

/// Records of nothing.
struct Empty;

impl Recorder for Empty {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        step.compute()?;
        Ok(Box::new(Self))
    }
}

impl Replay for Empty {
    fn replay(&self, _: &Step<'_>) -> Result<()> {
        Ok(())
    }
}

/// Records that cannot be made from the second on.
#[derive(Default)]
struct Failing {
    made: AtomicUsize,
    tapes: Tapes,
}

impl Recorder for Failing {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        if self.made.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(TrainError::Torch("operation not permitted while capturing".to_owned()));
        }
        self.tapes.record(step)
    }
}

/// An engine whose slots held other texts before, and whose single tokens are made so.
fn stepping(golden: &Golden, slots: usize, recorder: Box<dyn Recorder + Send>) -> TorchEngine {
    let mut engine = engine(golden, slots);
    let old: Vec<u32> = (0..SLOT_TOKENS).map(|at| 3 + (at as u32 * 7) % 100).collect();
    for slot in 0..slots {
        logits(&mut engine, slot, &old);
        engine.truncate(slot, 0);
    }
    engine.singles = Singles::Steps(Steps::new(Ok(recorder)));
    engine
}

fn refusal(engine: &TorchEngine) -> Option<&str> {
    match &engine.singles {
        Singles::Steps(steps) => steps.refusal(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn steps_say_what_transformers_says() {
    for golden in Golden::all() {
        let tapes = Tapes::default();
        let mut engine = stepping(&golden, 2, Box::new(tapes.clone()));
        for Generation { prompt, base, adapter } in &golden.said.generations {
            for (variant, expected) in [(1, adapter), (0, base), (1, adapter)] {
                engine.truncate(variant, 0);
                let found = generate(&mut engine, variant, variant, prompt, 16, expected.len());
                assert_eq!(found, *expected, "{} as model {variant}", golden.name);
            }
        }
        let (recorded, replayed) = (tapes.recorded.lock().unwrap(), &tapes.replayed);
        // One for each model, as far as a slot reaches.
        assert_eq!(recorded.len(), 2, "{recorded:?}");
        assert!(replayed.load(Ordering::Relaxed) > 200);
        assert_eq!(refusal(&engine), None);
    }
}

#[test]
fn texts_say_in_steps_with_others_what_they_say_alone() {
    for golden in Golden::all() {
        let mut engine =
            stepping(&golden, golden.said.generations.len() + 1, Box::<Tapes>::default());
        together(&golden, &mut engine);
        assert_eq!(refusal(&engine), None);
    }
}

#[test]
fn a_slot_between_those_that_are_asked_keeps_what_it_holds() {
    let golden = Golden::of("qwen2");
    let mut engine = stepping(&golden, 3, Box::<Tapes>::default());
    let texts: [Vec<u32>; 3] = [5, 40, 9].map(|first| (first..first + 30).collect());
    let alone = texts.each_ref().map(|text| {
        engine.truncate(0, 0);
        logits(&mut engine, 0, text)
    });
    // The second is as long as a slot can be but for its last token.
    let long: Vec<u32> = texts[1].iter().copied().cycle().take(SLOT_TOKENS).collect();
    engine.truncate(1, 0);
    let expected = logits(&mut engine, 1, &long);
    engine.truncate(1, SLOT_TOKENS - 1);
    for slot in [0, 2] {
        engine.truncate(slot, 0);
        logits(&mut engine, slot, &texts[slot][..29]);
    }
    let pieces = [0, 2].map(|slot| Piece { slot, tokens: &texts[slot][29..], want: Want::Logits });
    let found = engine.forward(0, &pieces).unwrap();
    for (found, slot) in found.iter().zip([0, 2]) {
        let Answer::Logits(found) = found else { panic!("{found:?}") };
        assert!(off(found, &alone[slot]) <= 1e-4);
    }
    assert!(off(&logits(&mut engine, 1, &long[SLOT_TOKENS - 1..]), &expected) <= 1e-4);
}

#[test]
fn a_record_that_says_something_else_is_never_heard() {
    let golden = Golden::of("llama");
    let mut engine = stepping(&golden, 1, Box::new(Empty));
    let Generation { prompt, base, .. } = &golden.said.generations[0];
    assert_eq!(generate(&mut engine, 0, 0, prompt, 512, base.len()), *base);
    assert!(refusal(&engine).unwrap().contains("off what was computed"), "{:?}", refusal(&engine));
}

#[test]
fn what_cannot_be_recorded_is_computed() {
    let golden = Golden::of("glm4");
    let failing = Failing::default();
    let replayed = Arc::clone(&failing.tapes.replayed);
    let mut engine = stepping(&golden, 2, Box::new(failing));
    let Generation { prompt, base, adapter } = &golden.said.generations[0];
    assert_eq!(generate(&mut engine, 0, 0, prompt, 512, base.len()), *base);
    assert_eq!(refusal(&engine), None);
    let before = replayed.load(Ordering::Relaxed);
    assert_eq!(generate(&mut engine, 1, 1, prompt, 512, adapter.len()), *adapter);
    assert!(refusal(&engine).unwrap().contains("not permitted while capturing"));
    assert_eq!(replayed.load(Ordering::Relaxed), before, "what was recorded before is not trusted");
}

/// Records for which there is no memory the first two times.
#[derive(Default)]
struct Short {
    asked: Arc<AtomicUsize>,
    tapes: Tapes,
}

impl Recorder for Short {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < 2 {
            return Err(TrainError::OutOfMemory("of a test".to_owned()));
        }
        self.tapes.record(step)
    }
}

#[test]
fn where_memory_does_not_do_for_a_record_it_is_tried_again_later() {
    let golden = Golden::of("qwen2");
    let short = Short::default();
    let (asked, replayed) = (Arc::clone(&short.asked), Arc::clone(&short.tapes.replayed));
    let mut engine = stepping(&golden, 1, Box::new(short));
    let step = |engine: &mut TorchEngine| {
        engine.truncate(0, 0);
        best(&engine.forward(0, &[piece(0, &[7], Want::Best)]).unwrap()[0])
    };
    let first = step(&mut engine);
    assert!(refusal(&engine).unwrap().contains("memory"));
    // Once more with what could be given back, and then not at every step.
    for _ in 1..PATIENCE {
        assert_eq!(step(&mut engine), first);
    }
    assert_eq!((asked.load(Ordering::Relaxed), replayed.load(Ordering::Relaxed)), (2, 0));
    for _ in 0..3 {
        assert_eq!(step(&mut engine), first);
    }
    assert_eq!((asked.load(Ordering::Relaxed), replayed.load(Ordering::Relaxed)), (3, 3));
    assert_eq!(refusal(&engine), None);
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let golden = Golden::of("qwen3");
    let mut engine = stepping(&golden, 2, Box::<Tapes>::default());
    let first = piece(0, &[7], Want::Best);
    let alone = best(&engine.forward(0, &[first]).unwrap()[0]);
    engine.truncate(0, 0);
    assert_eq!(engine.rehearse(Steps::new(Ok(Box::<Tapes>::default()))).unwrap(), Ok(()));
    assert_eq!(engine.cache.length(0), 0);
    assert_eq!(best(&engine.forward(0, &[first]).unwrap()[0]), alone);
    engine.truncate(0, 0);
    // A processor records nothing, and says so.
    let why = engine.take_steps(true).unwrap().unwrap_err();
    assert!(why.contains("no CUDA graphs"), "{why}");
    assert!(engine.take_steps(false).unwrap().unwrap_err().contains("not to be used"));
    assert_eq!(best(&engine.forward(0, &[first]).unwrap()[0]), alone);
}

/// Records that were made of something else.
struct Wrong;

impl Recorder for Wrong {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        self.replay(step)?;
        Ok(Box::new(Self))
    }
}

impl Replay for Wrong {
    fn replay(&self, step: &Step<'_>) -> Result<()> {
        step.compute()?;
        let mut logits = step.logits()?;
        Ok(logits.f_copy_(&logits.f_flip([-1])?)?)
    }
}

#[test]
fn steps_that_are_wrong_from_the_first_on_are_not_made() {
    let golden = Golden::of("llama");
    let mut engine = stepping(&golden, 1, Box::<Tapes>::default());
    let why = engine.rehearse(Steps::new(Ok(Box::new(Wrong)))).unwrap().unwrap_err();
    assert!(why.contains("something else"), "{why}");
    let Generation { prompt, base, .. } = &golden.said.generations[0];
    assert_eq!(generate(&mut engine, 0, 0, prompt, 512, base.len()), *base);
    let logits = |of: &[f32]| [Answer::Logits(of.to_vec())];
    assert!(are_alike(&logits(&[10.0, -1.0]), &logits(&[10.4, -1.2])));
    assert!(!are_alike(&logits(&[10.0, -1.0]), &logits(&[10.4, -2.0])));
    assert!(!are_alike(&logits(&[f32::NAN, -1.0]), &logits(&[10.0, -1.0])));
    assert!(!are_alike(&logits(&[10.0]), &logits(&[10.0, -1.0])));
}

#[test]
fn of_many_records_the_oldest_are_forgotten() {
    let golden = Golden::of("llama");
    let tapes = Tapes::default();
    let slots = KEPT + 2;
    let mut engine = stepping(&golden, slots, Box::new(tapes.clone()));
    let mut ask = |slot: usize| {
        engine.truncate(slot, 0);
        engine.forward(0, &[piece(slot, &[7], Want::Best)]).unwrap();
        tapes.recorded.lock().unwrap().len()
    };
    for slot in 0..KEPT {
        assert_eq!(ask(slot), slot + 1);
    }
    assert_eq!(ask(0), KEPT, "it is kept");
    assert_eq!(ask(KEPT), KEPT + 1);
    assert_eq!(ask(0), KEPT + 1, "it was used since");
    assert_eq!(ask(1), KEPT + 2, "it was the oldest");
}
