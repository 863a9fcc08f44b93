use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::constraint::{Calls, Grammar, ToolChoice};
use crate::fixtures::{Arithmetic, Control, Counts, Fault, best};
use crate::job::{End, Job, Sampling, Step};
use crate::scheduler::{Handle, Refused, Settings, start};
use crate::{Answer, Engine, EngineError, Facts, Piece};

const FACTS: Facts = Facts { vocab: 97, slots: 4, slot_tokens: 600, variants: 2 };

const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_p: 1.0,
    top_k: 0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    seed: 0,
    logprobs: None,
};

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    cached: usize,
    tokens: Vec<u32>,
    end: Option<End>,
}

fn begin(facts: Facts, settings: Settings) -> (Handle, Control) {
    let (engine, control) = Arithmetic::new(facts);
    (start(Box::new(engine), settings).unwrap(), control)
}

fn job(prompt: &[u32], tokens_max: usize) -> (Job, mpsc::UnboundedReceiver<Step>) {
    let (steps, heard) = mpsc::unbounded_channel();
    let job = Job {
        variant: 0,
        prompt: prompt.to_vec(),
        sampling: GREEDY,
        constraint: None,
        stops: Vec::new(),
        tokens_max,
        steps,
    };
    (job, heard)
}

fn submit(handle: &Handle, prompt: &[u32], tokens_max: usize) -> mpsc::UnboundedReceiver<Step> {
    let (job, heard) = job(prompt, tokens_max);
    handle.submit(job).unwrap();
    heard
}

async fn outcome(mut heard: mpsc::UnboundedReceiver<Step>) -> Outcome {
    let mut outcome = Outcome { cached: 0, tokens: Vec::new(), end: None };
    while let Some(step) = heard.recv().await {
        match step {
            Step::Started { cached } => outcome.cached = cached,
            Step::Token(sampled) => outcome.tokens.push(sampled.id),
            Step::Ended(end) => outcome.end = Some(end),
        }
    }
    outcome
}

/// What the likeliest reply is, computed from the beginning for each token.
fn likeliest(variant: usize, prompt: &[u32], count: usize) -> Vec<u32> {
    let (engine, _) = Arithmetic::new(FACTS);
    let mut text = prompt.to_vec();
    for _ in 0..count {
        text.push(best(&engine.after(variant, &text)));
    }
    text.split_off(prompt.len())
}

fn prompt(number: u32, length: u32) -> Vec<u32> {
    (0..length).map(|place| (number * 31 + place * place) % 97).collect()
}

#[tokio::test]
async fn a_reply_is_what_the_engine_says_and_a_long_prompt_comes_in_pieces() {
    let settings = Settings { turn_tokens: 16, ..Settings::default() };
    let (handle, control) = begin(FACTS, settings);
    let prompt = prompt(1, 100);
    let outcome = outcome(submit(&handle, &prompt, 12)).await;
    assert_eq!(outcome.tokens, likeliest(0, &prompt, 12));
    assert_eq!((outcome.cached, outcome.end), (0, Some(End::Length)));
    // The last token was said and not computed; nobody asked for logits.
    let counts =
        Counts { calls: 7 + 11, tokens: 111, pieces_max: 1, tokens_max: 16, ..Counts::default() };
    assert_eq!(control.counts(), counts);
}

#[tokio::test]
async fn a_reply_ends_at_a_stop_which_is_said() {
    let (handle, control) = begin(FACTS, Settings::default());
    let prompt = prompt(2, 10);
    control.say(&prompt, &[5, 6, 7, 8]);
    let (mut job, heard) = job(&prompt, 50);
    job.stops = vec![9, 7];
    handle.submit(job).unwrap();
    let outcome = outcome(heard).await;
    assert_eq!((outcome.tokens, outcome.end), (vec![5, 6, 7], Some(End::Stop)));
}

#[tokio::test]
async fn nothing_wanted_is_nothing_computed() {
    let (handle, control) = begin(FACTS, Settings::default());
    let outcome = outcome(submit(&handle, &[1, 2], 0)).await;
    assert_eq!((outcome.tokens, outcome.end), (vec![], Some(End::Length)));
    assert_eq!(control.counts().calls, 0);
}

/// A job with all that can be set, different for each number.
fn varied(number: u32) -> (Job, mpsc::UnboundedReceiver<Step>) {
    let (mut job, heard) = job(&prompt(number, 5 + number * 7 % 90), 20);
    job.variant = (number % 2) as usize;
    job.sampling.seed = u64::from(number);
    job.sampling.temperature = [0.0, 0.7, 1.5][(number % 3) as usize];
    job.sampling.top_p = [1.0, 0.8][(number % 2) as usize];
    job.sampling.top_k = [0, 5, 40][(number / 3 % 3) as usize];
    job.sampling.repetition_penalty = [1.0, 1.3][(number / 2 % 2) as usize];
    job.sampling.logprobs = [None, Some(3)][(number / 4 % 2) as usize];
    (job, heard)
}

#[tokio::test]
async fn many_at_once_get_what_each_gets_alone() {
    let (handle, control) = begin(FACTS, Settings { turn_tokens: 32, ..Settings::default() });
    control.permit(0);
    let mut heard = Vec::new();
    for number in 0..64 {
        let (job, steps) = varied(number);
        handle.submit(job).unwrap();
        heard.push(tokio::spawn(outcome(steps)));
    }
    control.release();
    let mut together = Vec::new();
    for outcome in heard {
        together.push(outcome.await.unwrap());
    }
    let load = handle.until(|load| load.ended == 64).await;
    assert_eq!((load.busy, load.waiting), (0, 0));
    assert!(control.counts().pieces_max > 1, "{:?}", control.counts());
    for (number, together) in (0..).zip(together) {
        let (alone, _) = begin(Facts { slots: 1, ..FACTS }, Settings::default());
        let (job, steps) = varied(number);
        alone.submit(job).unwrap();
        let alone = outcome(steps).await;
        assert_eq!(together.end, Some(End::Length));
        assert_eq!(together.tokens, alone.tokens, "job {number}");
    }
}

#[tokio::test]
async fn who_writes_goes_on_while_another_begins() {
    let settings = Settings { turn_tokens: 4, ..Settings::default() };
    let (handle, control) = begin(FACTS, settings);
    control.permit(0);
    let writes = submit(&handle, &prompt(1, 4), 60);
    control.wait_until_held();
    let begins = submit(&handle, &prompt(2, 100), 2);
    control.release();
    let (writes, begins) = (outcome(writes).await, outcome(begins).await);
    assert_eq!(writes.tokens, likeliest(0, &prompt(1, 4), 60));
    assert_eq!(begins.tokens, likeliest(0, &prompt(2, 100), 2));
    // The prompt came in 25 pieces, each beside a word of the other.
    assert_eq!(control.counts().calls, 60);
    assert_eq!(control.counts().tokens_max, 5);
}

#[tokio::test]
async fn a_session_that_grows_computes_only_what_is_new() {
    let (handle, control) = begin(FACTS, Settings::default());
    let mut text = prompt(3, 40);
    let mut held = 0;
    for step in 0..20 {
        control.forget_counts();
        let outcome = outcome(submit(&handle, &text, 8)).await;
        assert_eq!(outcome.cached, held, "step {step}");
        assert_eq!(outcome.tokens, likeliest(0, &text, 8), "step {step}");
        // The last token of a reply was not computed: the next prompt brings it.
        assert_eq!(control.counts().tokens, text.len() - held + 7);
        text.extend(outcome.tokens);
        held = text.len() - 1;
        text.extend(prompt(step, 9));
    }
    assert_eq!(control.counts().copied, 0);
    let load = handle.until(|load| load.ended == 20).await;
    assert_eq!((load.sampled_tokens, load.held), (160, held));
    let prompts: u64 = (0..20).map(|step| 40 + step * 17).sum();
    assert_eq!(load.prompt_tokens + load.cached_tokens, prompts);
}

#[tokio::test]
async fn the_same_prompt_computes_its_last_token_again() {
    let (handle, control) = begin(FACTS, Settings::default());
    let prompt = prompt(4, 30);
    let first = outcome(submit(&handle, &prompt, 5)).await;
    control.forget_counts();
    let second = outcome(submit(&handle, &prompt, 5)).await;
    assert_eq!((first.cached, second.cached), (0, 29));
    assert_eq!(first.tokens, second.tokens);
    assert_eq!(control.counts().tokens, 1 + 4);
}

#[tokio::test]
async fn another_model_uses_nothing_of_the_first_ones_text() {
    let (handle, _) = begin(FACTS, Settings::default());
    let prompt = prompt(5, 30);
    for variant in [0, 1, 0, 1] {
        let (mut job, heard) = job(&prompt, 5);
        job.variant = variant;
        handle.submit(job).unwrap();
        assert_eq!(outcome(heard).await.tokens, likeliest(variant, &prompt, 5));
    }
    assert_eq!(handle.until(|load| load.ended == 4).await.cached_tokens, 29 * 2);
}

#[tokio::test]
async fn sessions_that_begin_alike_share_their_beginning_and_keep_their_own_text() {
    let (handle, control) = begin(FACTS, Settings::default());
    let common = prompt(6, 60);
    let session = |number: u32| [common.clone(), prompt(number, 50)].concat();
    let first = outcome(submit(&handle, &session(7), 4)).await;
    let second = outcome(submit(&handle, &session(8), 4)).await;
    assert_eq!((first.cached, second.cached), (0, 60));
    assert_eq!(second.tokens, likeliest(0, &session(8), 4));
    assert_eq!(control.counts().copied, 60);
    for (number, reply) in [(7, first.tokens), (8, second.tokens)] {
        let grown = [session(number), reply, prompt(9, 5)].concat();
        let outcome = outcome(submit(&handle, &grown, 4)).await;
        assert_eq!(outcome.cached, 110 + 3);
        assert_eq!(outcome.tokens, likeliest(0, &grown, 4));
    }
    // The same while the other one is at work.
    control.permit(0);
    let busy = submit(&handle, &session(7), 40);
    control.wait_until_held();
    let beside = submit(&handle, &[session(7), prompt(10, 3)].concat(), 4);
    control.release();
    assert_eq!(outcome(busy).await.cached, 109);
    assert!(outcome(beside).await.cached >= 109);
}

#[tokio::test]
async fn a_job_whose_reader_is_gone_frees_its_slot_wherever_it_is() {
    let facts = Facts { slots: 1, ..FACTS };
    let (handle, control) = begin(facts, Settings { turn_tokens: 8, ..Settings::default() });
    // While it writes.
    control.permit(0);
    let mut writes = submit(&handle, &prompt(1, 4), 500);
    control.wait_until_held();
    // While it waits.
    let waits = submit(&handle, &prompt(2, 4), 500);
    let begins = submit(&handle, &prompt(3, 80), 400);
    let stays = submit(&handle, &prompt(4, 20), 5);
    assert_eq!(handle.load().waiting, 3);
    control.permit(3);
    for _ in 0..3 {
        assert!(writes.recv().await.is_some());
    }
    control.wait_until_held();
    drop((writes, waits));
    // While its prompt is computed: after the call that was held, two of its ten pieces.
    control.permit(3);
    handle.until(|load| load.prompt_tokens == 4 + 16).await;
    control.wait_until_held();
    drop(begins);
    control.release();
    let stays = outcome(stays).await;
    assert_eq!(stays.tokens, likeliest(0, &prompt(4, 20), 5));
    let load = handle.until(|load| load.busy == 0).await;
    assert_eq!((load.ended, load.waiting), (3, 0));
}

#[tokio::test]
async fn a_reader_that_rests_holds_no_slot_and_misses_nothing() {
    let (handle, _) = begin(Facts { slots: 1, ..FACTS }, Settings::default());
    let rests = submit(&handle, &prompt(1, 10), 40);
    for number in 2..10 {
        let prompt = prompt(number, 10);
        let other = outcome(submit(&handle, &prompt, 60)).await;
        assert_eq!(other.tokens, likeliest(0, &prompt, 60));
    }
    let rested = outcome(rests).await;
    assert_eq!((rested.tokens, rested.end), (likeliest(0, &prompt(1, 10), 40), Some(End::Length)));
}

#[tokio::test]
async fn jobs_that_cannot_be_done_are_refused() {
    let facts = Facts { slots: 1, ..FACTS };
    let (handle, control) = begin(facts, Settings { waiting_max: 2, ..Settings::default() });
    let refused =
        |prompt: &[u32], tokens_max| handle.submit(job(prompt, tokens_max).0).unwrap_err();
    assert_eq!(refused(&[], 5), Refused::Empty);
    let too_long = Refused::TooLong { prompt: 1, reply: 600, most: 600 };
    assert_eq!(refused(&[1], 600), too_long);
    assert!(too_long.to_string().contains("600 of the context"), "{too_long}");
    assert!(matches!(refused(&[1, 97], 5), Refused::Unknown(_)));
    let (mut other, _heard) = job(&[1], 5);
    other.variant = 2;
    assert!(matches!(handle.submit(other), Err(Refused::Unknown(_))));
    control.permit(0);
    let runs = submit(&handle, &[1], 5);
    control.wait_until_held();
    let waits = submit(&handle, &[2], 5);
    let goes = submit(&handle, &[3], 5);
    assert_eq!(refused(&[4], 5), Refused::Full(2));
    // One that is gone makes room.
    drop(goes);
    let comes = submit(&handle, &[4], 5);
    control.release();
    for (heard, token) in [(runs, 1), (waits, 2), (comes, 4)] {
        assert_eq!(outcome(heard).await.tokens, likeliest(0, &[token], 5));
    }
}

#[tokio::test]
async fn a_call_that_fails_fails_its_jobs_and_spoils_nothing() {
    let error = EngineError::Failed("The device is gone.".to_owned());
    for fault in [Fault::Error(error.clone()), Fault::Panic, Fault::TooFew] {
        let (handle, control) = begin(FACTS, Settings::default());
        let prompt = prompt(1, 50);
        control.permit(4);
        let fails = submit(&handle, &prompt, 30);
        control.wait_until_held();
        control.fail(fault.clone());
        control.release();
        let failed = outcome(fails).await;
        let Some(End::Failed(reason)) = failed.end else { panic!("{failed:?}") };
        if matches!(fault, Fault::Error(_)) {
            assert_eq!(reason, error);
        }
        assert_eq!(failed.tokens, likeliest(0, &prompt, 4));
        // What was known before the call is used again, and nothing more.
        let again = outcome(submit(&handle, &prompt, 30)).await;
        assert_eq!(again.cached, 49);
        assert_eq!(again.tokens, likeliest(0, &prompt, 30));
        assert_eq!(handle.until(|load| load.ended == 2).await.failures, 1);
    }
}

#[tokio::test]
async fn logits_that_are_no_numbers_fail_their_job_and_are_not_used_again() {
    let (handle, control) = begin(FACTS, Settings::default());
    for temperature in [0.0, 1.0] {
        control.fail(Fault::NotANumber);
        let (mut job, heard) = job(&prompt(1, 50), 5);
        job.sampling.temperature = temperature;
        handle.submit(job).unwrap();
        assert!(matches!(outcome(heard).await.end, Some(End::Failed(_))));
        let again = outcome(submit(&handle, &prompt(1, 50), 5)).await;
        assert_eq!((again.cached, again.tokens), (0, likeliest(0, &prompt(1, 50), 5)));
    }
}

#[tokio::test]
async fn short_of_memory_a_prompt_comes_in_smaller_pieces() {
    let (handle, control) = begin(FACTS, Settings::default());
    control.memory(Some(100));
    let long = prompt(1, 400);
    let outcome_of_long = outcome(submit(&handle, &long, 5)).await;
    assert_eq!(outcome_of_long.tokens, likeliest(0, &long, 5));
    assert_eq!(outcome_of_long.end, Some(End::Length));
    // 400, then 200, then 100.
    assert_eq!(handle.until(|load| load.ended == 1).await.failures, 2);
    // Where nothing helps, who begins fails, and who writes goes on.
    control.permit(0);
    let writes = submit(&handle, &prompt(2, 10), 20);
    control.wait_until_held();
    control.permit(1);
    handle.until(|load| load.sampled_tokens == 6).await;
    control.wait_until_held();
    control.memory(Some(1));
    let begins = submit(&handle, &prompt(3, 300), 20);
    control.release();
    let begins = outcome(begins).await;
    assert!(matches!(begins.end, Some(End::Failed(EngineError::OutOfMemory(_)))), "{begins:?}");
    let writes = outcome(writes).await;
    assert_eq!((writes.tokens, writes.end), (likeliest(0, &prompt(2, 10), 20), Some(End::Length)));
}

#[tokio::test]
async fn where_slots_take_memory_idle_ones_give_it_back_and_then_the_youngest_job_ends() {
    let (handle, control) = begin(FACTS, Settings::default());
    control.room(300);
    let says = |number: u32, length: u32, count: usize| {
        let prompt = prompt(number, length);
        let (told, expected) = (submit(&handle, &prompt, count), likeliest(0, &prompt, count));
        async { (outcome(told).await, expected) }
    };
    for (number, length) in [(1, 100), (2, 100), (3, 150)] {
        let (found, expected) = says(number, length, 5).await;
        assert_eq!((found.tokens, found.end), (expected, Some(End::Length)), "{number}");
    }
    // The first had to go for the third; the second is still there.
    let (found, expected) = says(2, 100, 5).await;
    assert_eq!((found.cached, found.tokens), (99, expected));
    // Each of these fits, and both do not.
    control.permit(0);
    let older = says(4, 100, 150);
    control.wait_until_held();
    let younger = says(5, 100, 150);
    control.release();
    let (found, expected) = older.await;
    assert_eq!((found.tokens, found.end), (expected, Some(End::Length)));
    let (found, expected) = younger.await;
    assert!(matches!(found.end, Some(End::Failed(EngineError::OutOfMemory(_)))), "{found:?}");
    assert!(!found.tokens.is_empty() && expected.starts_with(&found.tokens));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_reply_and_another_seed_another() {
    let (handle, _) = begin(FACTS, Settings::default());
    let mut replies = Vec::new();
    for seed in [1, 2, 1] {
        let (mut job, heard) = job(&prompt(1, 10), 30);
        job.sampling.temperature = 1.0;
        job.sampling.seed = seed;
        handle.submit(job).unwrap();
        replies.push(outcome(heard).await.tokens);
    }
    assert_eq!(replies[0], replies[2]);
    assert_ne!(replies[0], replies[1]);
}

#[tokio::test]
async fn going_down_lets_those_finish_that_run_and_ends_those_that_wait() {
    let facts = Facts { slots: 1, ..FACTS };
    let (handle, control) = begin(facts, Settings::default());
    control.permit(0);
    let runs = submit(&handle, &[1], 20);
    control.wait_until_held();
    let waits = submit(&handle, &[2], 20);
    handle.shutdown(Duration::from_secs(3600));
    assert_eq!(handle.submit(job(&[3], 20).0), Err(Refused::Closed));
    control.release();
    assert_eq!(outcome(waits).await.end, Some(End::Shutdown));
    assert_eq!(outcome(runs).await.end, Some(End::Length));
    handle.ended().await;
}

#[tokio::test]
async fn going_down_at_once_ends_all() {
    let (handle, control) = begin(FACTS, Settings::default());
    control.permit(0);
    let runs = submit(&handle, &[1], 500);
    control.wait_until_held();
    handle.shutdown(Duration::ZERO);
    control.release();
    assert_eq!(outcome(runs).await.end, Some(End::Shutdown));
    handle.ended().await;
    assert_eq!(handle.submit(job(&[3], 20).0), Err(Refused::Closed));
}

#[tokio::test]
async fn a_constraint_holds_whatever_the_model_would_rather_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../chat/fixtures/model/tokenizer.json");
    let tokenizer = chat::Tokenizer::open(path.as_ref()).unwrap();
    let grammar = Grammar::new(&tokenizer).unwrap();
    let stop = tokenizer.id("<|im_end|>").unwrap();
    // The model computes logits for ids that the tokenizer does not have.
    let facts = Facts { vocab: tokenizer.size() + 41, ..FACTS };
    let (handle, control) = begin(facts, Settings::default());
    let schema = json!({"type": "object", "properties": {"a": {"enum": [1, 2, "three"]}},
        "required": ["a"], "additionalProperties": false});
    // One that no model of this size can say is none.
    let unheard = u32::try_from(facts.vocab).unwrap();
    for (seed, stops) in (0..20).zip([vec![stop], vec![unheard], vec![]].into_iter().cycle()) {
        let (mut job, heard) = job(&prompt(seed, 10), 200);
        job.constraint = Some(grammar.json_schema(&schema, false).unwrap());
        job.sampling.seed = u64::from(seed);
        job.sampling.temperature = [0.0, 1.0][(seed / 2 % 2) as usize];
        job.stops.clone_from(&stops);
        // It thinks about nothing first, which it may.
        control.say(&job.prompt, &[tokenizer.id("{").unwrap()]);
        handle.submit(job).unwrap();
        let mut outcome = outcome(heard).await;
        if stops.contains(&stop) {
            assert_eq!((outcome.end, outcome.tokens.pop()), (Some(End::Stop), Some(stop)));
        } else {
            assert_eq!(outcome.end, Some(End::Complete));
        }
        let text = tokenizer.decode(&outcome.tokens).unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(schema["properties"]["a"]["enum"].as_array().unwrap().contains(&answer["a"]));
    }
}

#[tokio::test]
async fn what_a_grammar_forces_is_computed_at_once() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../chat/fixtures/model/tokenizer.json");
    let tokenizer = chat::Tokenizer::open(path.as_ref()).unwrap();
    let grammar = Grammar::new(&tokenizer).unwrap();
    let (handle, control) = begin(Facts { vocab: tokenizer.size(), ..FACTS }, Settings::default());
    let tools = [json!({"type": "function", "function": {"name": "long_name_of_a_tool"}})];
    let calls = Calls {
        format: chat::Format::Hermes,
        thinking: false,
        tools: &tools,
        choice: ToolChoice::Required,
        parallel: false,
    };
    let mut ways = Vec::new();
    for logprobs in [None, Some(0)] {
        let (mut job, heard) = job(&prompt(1, 10), 200);
        job.constraint = Some(grammar.calls(&calls).unwrap());
        job.sampling.logprobs = logprobs;
        // It thinks about nothing first, which it may.
        let first = tokenizer.encode("<tool_call>").unwrap().ids;
        control.say(&job.prompt, &first);
        control.forget_counts();
        handle.submit(job).unwrap();
        ways.push((outcome(heard).await, control.counts().calls));
    }
    let [(at_once, few), (one_by_one, many)] = ways.try_into().unwrap();
    assert_eq!(at_once.tokens, one_by_one.tokens);
    assert_eq!(at_once.end, Some(End::Complete));
    let text = tokenizer.decode(&at_once.tokens).unwrap();
    let said = chat::Format::Hermes.read(&text, false, &tools);
    assert_eq!(said.calls[0].name, "long_name_of_a_tool");
    assert!(few * 2 < many, "{few} calls instead of {many} for {text:?}");
}

/// An engine that tells when it is gone.
struct Told(Arithmetic, Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.1.take().unwrap().send(()).unwrap();
    }
}

impl Engine for Told {
    fn facts(&self) -> Facts {
        self.0.facts()
    }

    fn forward(
        &mut self,
        variant: usize,
        pieces: &[Piece<'_>],
    ) -> Result<Vec<Answer>, EngineError> {
        self.0.forward(variant, pieces)
    }

    fn truncate(&mut self, slot: usize, tokens: usize) {
        self.0.truncate(slot, tokens);
    }

    fn give_back(&mut self, slot: usize) -> bool {
        self.0.give_back(slot)
    }

    fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), EngineError> {
        self.0.copy(from, to, tokens)
    }
}

#[tokio::test]
async fn the_thread_ends_when_nobody_can_ask_any_more_and_all_is_said() {
    let (engine, control) = Arithmetic::new(FACTS);
    let (told, gone) = oneshot::channel();
    let handle = start(Box::new(Told(engine, Some(told))), Settings::default()).unwrap();
    control.permit(0);
    let heard = submit(&handle.clone(), &[1], 20);
    drop(handle);
    control.release();
    assert_eq!(outcome(heard).await.tokens, likeliest(0, &[1], 20));
    gone.await.unwrap();
}
