use proptest::prelude::*;

use crate::job::Sampling;
use crate::sampling::{Choice, Sampler};

const PLAIN: Sampling = Sampling {
    temperature: 1.0,
    top_p: 1.0,
    top_k: 0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    seed: 7,
    logprobs: None,
};

/// How often each token comes of so many draws.
fn shares(settings: &Sampling, prompt: &[u32], logits: &[f32], draws: usize) -> Vec<f64> {
    let mut sampler = Sampler::new(settings.clone(), prompt);
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..draws {
        counts[sampler.choose(logits, Choice::default()).unwrap().id as usize] += 1.0;
    }
    counts.into_iter().map(|count: f64| count / draws as f64).collect()
}

fn check(settings: &Sampling, prompt: &[u32], logits: &[f32], expected: &[f64]) {
    let shares = shares(settings, prompt, logits, 20_000);
    for (share, expected) in shares.iter().zip(expected) {
        let is_near =
            if *expected == 0.0 { *share == 0.0 } else { (share - expected).abs() < 0.015 };
        assert!(is_near, "{shares:?} instead of {expected:?} with {settings:?}");
    }
}

/// Logits of these shares.
fn logits(shares: &[f32]) -> Vec<f32> {
    shares.iter().map(|share| share.ln() + 3.0).collect()
}

#[test]
fn tokens_come_as_often_as_they_should() {
    let given = logits(&[0.1, 0.4, 0.2, 0.3]);
    check(&PLAIN, &[], &given, &[0.1, 0.4, 0.2, 0.3]);
    // Half the temperature squares the shares.
    let cold = Sampling { temperature: 0.5, ..PLAIN };
    check(&cold, &[], &given, &[0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3, 0.09 / 0.3]);
    check(&Sampling { top_k: 2, ..PLAIN }, &[], &given, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
    check(&Sampling { top_p: 0.8, ..PLAIN }, &[], &given, &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]);
    check(&Sampling { min_p: 0.6, ..PLAIN }, &[], &given, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
    // Of the three that top-k leaves, the first two are more than three quarters.
    let both = Sampling { top_k: 3, top_p: 0.75, ..PLAIN };
    check(&both, &[], &given, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
    check(&Sampling { top_p: 0.0, ..PLAIN }, &[], &given, &[0.0, 1.0, 0.0, 0.0]);
    check(&Sampling { temperature: 0.0, ..PLAIN }, &[], &given, &[0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn tokens_that_occurred_come_less_often() {
    let penalty = Sampling { repetition_penalty: 2.0, temperature: 0.0, ..PLAIN };
    let mut sampler = Sampler::new(penalty, &[0]);
    let given = [3.0, 2.0, -1.0];
    // 3 becomes 1.5; then 2 becomes 1.
    assert_eq!(sampler.choose(&given, Choice::default()).unwrap().id, 1);
    sampler.note(1);
    assert_eq!(sampler.choose(&given, Choice::default()).unwrap().id, 0);
    // What is negative becomes more so.
    let mut sampler =
        Sampler::new(Sampling { repetition_penalty: 2.0, temperature: 0.0, ..PLAIN }, &[0]);
    assert_eq!(sampler.choose(&[-1.0, -1.5], Choice::default()).unwrap().id, 1);
}

proptest! {
    /// Of tokens that may not follow and tokens that there are not none is taken for another.
    #[test]
    fn each_token_that_occurred_is_penalized_and_no_other(
        prompt in prop::collection::vec(0u32..60, 0..40), penalty in 0.5f32..3.0,
        logits in prop::collection::vec(prop_oneof![4 => -9f32..9.0, 1 => Just(f32::NEG_INFINITY)], 1..50),
    ) {
        let settings = Sampling { repetition_penalty: penalty, temperature: 0.0, ..PLAIN };
        let sampler = Sampler::new(settings, &prompt);
        let expected: Vec<(u32, f32)> = (0..)
            .zip(logits.iter().copied())
            .filter(|(_, logit)| *logit > f32::NEG_INFINITY)
            .map(|(id, logit)| match (prompt.contains(&id), logit > 0.0) {
                (false, _) => (id, logit),
                (true, true) => (id, logit / penalty),
                (true, false) => (id, logit * penalty),
            })
            .collect();
        prop_assert_eq!(sampler.candidates(&logits, Choice::default()), expected);
    }
}

#[test]
fn a_draw_is_the_same_everywhere() {
    let mut sampler = Sampler::new(PLAIN, &[]);
    let given = [0.0; 1000];
    let drawn: Vec<u32> =
        (0..6).map(|_| sampler.choose(&given, Choice::default()).unwrap().id).collect();
    // Written down once: another number here is another reply to every seed.
    assert_eq!(drawn, DRAWN);
}

const DRAWN: [u32; 6] = [157, 167, 704, 726, 601, 359];

#[test]
fn logprobs_are_the_models_own() {
    let settings =
        Sampling { temperature: 0.0, repetition_penalty: 100.0, logprobs: Some(2), ..PLAIN };
    let mut sampler = Sampler::new(settings, &[1]);
    let sampled = sampler.choose(&logits(&[0.1, 0.5, 0.1, 0.3]), Choice::default()).unwrap();
    // The likeliest occurred; it is told all the same.
    assert_eq!(sampled.id, 3);
    assert!((sampled.logprob.unwrap() - 0.3f32.ln()).abs() < 1e-5);
    let top: Vec<(u32, f32)> = sampled.top.iter().map(|it| (it.id, it.logprob)).collect();
    assert_eq!((top[0].0, top[1].0), (1, 3));
    assert!((top[0].1 - 0.5f32.ln()).abs() < 1e-5);
    let mut none = Sampler::new(Sampling { logprobs: Some(0), ..PLAIN }, &[]);
    assert!(none.choose(&[0.0], Choice::default()).unwrap().top.is_empty());
}

#[test]
fn what_is_no_number_is_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut sampler = Sampler::new(PLAIN, &[]);
        assert!(sampler.choose(&[0.0, bad, 1.0], Choice::default()).is_err());
    }
    let mut sampler = Sampler::new(PLAIN, &[]);
    assert!(sampler.choose(&[f32::NEG_INFINITY; 3], Choice::default()).is_err());
    assert!(sampler.choose(&[], Choice::default()).is_err());
    assert_eq!(sampler.choose(&[f32::NEG_INFINITY, 0.0], Choice::default()).unwrap().id, 1);
}

fn settings() -> impl Strategy<Value = Sampling> {
    let numbers = (0.0f32..3.0, 0.0f32..1.2, 0usize..8, 0.0f32..1.1, 0.5f32..2.0, any::<u64>());
    let strange = prop::sample::select(vec![f32::NAN, -1.0, 1e-30, 1e30]);
    (numbers, prop::option::of(0usize..9), prop::option::weighted(0.1, strange)).prop_map(
        |((temperature, top_p, top_k, min_p, repetition_penalty, seed), logprobs, strange)| {
            let temperature = strange.unwrap_or(temperature);
            Sampling { temperature, top_p, top_k, min_p, repetition_penalty, seed, logprobs }
        },
    )
}

proptest! {
    /// Whatever is set, a token that may be chosen is, twice the same, and nothing panics.
    #[test]
    fn any_settings_choose_a_token(
        settings in settings(),
        logits in prop::collection::vec(prop_oneof![9 => -1e4f32..1e4, 1 => Just(f32::NEG_INFINITY)], 1..600),
        prompt in prop::collection::vec(0u32..600, 0..20),
    ) {
        let choose = || Sampler::new(settings.clone(), &prompt).choose(&logits, Choice::default());
        match choose() {
            Err(_) => prop_assert!(logits.iter().all(|logit| *logit == f32::NEG_INFINITY)),
            Ok(sampled) => {
                prop_assert!(logits[sampled.id as usize] > f32::NEG_INFINITY);
                prop_assert_eq!(choose().unwrap(), sampled.clone());
                prop_assert_eq!(sampled.logprob.is_some(), settings.logprobs.is_some());
                prop_assert!(sampled.logprob.is_none_or(|logprob| logprob <= 1e-4));
                prop_assert!(sampled.top.is_sorted_by(|one, other| one.logprob >= other.logprob));
                prop_assert!(sampled.top.len() <= settings.logprobs.unwrap_or(0));
            }
        }
    }

    /// Nothing outside of what top-k, top-p and min-p keep is ever drawn.
    #[test]
    fn what_is_cut_off_is_not_drawn(
        top_k in 0usize..40, top_p in 0.05f32..1.0, min_p in 0.0f32..0.5, seed in any::<u64>(),
        logits in prop::collection::vec(-3f32..3.0, 1..900),
    ) {
        let settings = Sampling { top_k, top_p, min_p, seed, ..PLAIN };
        let id = Sampler::new(settings, &[]).choose(&logits, Choice::default()).unwrap().id;
        let chosen = f64::from(logits[id as usize]);
        let above: Vec<f64> =
            logits.iter().map(|logit| f64::from(*logit)).filter(|logit| *logit > chosen).collect();
        prop_assert!(top_k == 0 || above.len() < top_k);
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        prop_assert!((chosen - f64::from(most)).exp() >= f64::from(min_p) * 0.999);
        let mut kept: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
        kept.sort_by(|one, other| other.total_cmp(one));
        kept.truncate(if top_k == 0 { kept.len() } else { top_k });
        let total: f64 = kept.iter().sum();
        let before: f64 = above.iter().map(|logit| logit.exp()).sum();
        prop_assert!(before < f64::from(top_p) * total * 1.001);
    }
}
