//! A run, from its folder to what comes of it: the recipe, read from top to bottom.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat::Dialect;
use training::TrainingError;
use training::answers::{self, Answer};
use training::data::{Dataset, Sample, Split};
use training::folder::{CheckpointFacts, CheckpointFolder, Run};
use training::metrics::{self, History, Line, Metric, Writer};
use training::order::{Cursor, OptimizerStep, Order};
use training::plan::{Machine, Plan, Rung, Work};
use training::recipe::{Method, Recipe};
use training::tensorboard::EventFile;

use crate::checkpoint;
use crate::decoder::Decoder;
use crate::error::{Result, TrainError};
use crate::judge::{Limits, judge};
use crate::machine;
use crate::method::{train_adapters, train_all};
use crate::torch::{self, Cuda, Kernels, memory, reset_peak};
use crate::trainer::{Stepped, Trainer};
use crate::weights::Weights;

/// What is generated each time the held-out samples are measured.
const JUDGED_REPLIES: usize = 40;

/// Tokens of one of them.
const JUDGED_TOKENS: usize = 256;

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are made.
    Finished,
    /// Somebody asked for it; it can be gone on with.
    Stopped,
}

/// Trains what the folder says, from the beginning or from its newest checkpoint, until it is done
/// or `stop` is set.
///
/// # Errors
/// When something of it cannot be read, computed or written. What was saved before is whole, and
/// the reason is in the metrics.
pub fn run(folder: &Path, cuda: &Cuda, stop: &Arc<AtomicBool>) -> Result<Ended> {
    let run = Run::open(folder)?;
    let _lock = run.lock()?;
    let mut journal = Journal::open(&run)?;
    // Nothing is left to do of what is done; whoever watches is told again.
    let finished = History::of(folder)?.finished.filter(|_| run.final_folder().is_some());
    if let Some(finished) = finished {
        journal.add(Metric::Finished(finished))?;
        return Ok(Ended::Finished);
    }
    let (mut done, mut saved) = (0, 0);
    let ended = Running::open(run, cuda, &mut journal).and_then(|mut running| {
        let ended = running.go(&mut journal, stop);
        (done, saved) = (running.done, running.saved);
        ended
    });
    let stopped = |why: String, failed: bool| {
        Metric::Stopped(metrics::Stopped { step: done, saved, why, failed })
    };
    match &ended {
        Ok(Ended::Finished) => {}
        Ok(Ended::Stopped) => journal.add(stopped("Somebody asked for it.".to_owned(), false))?,
        // What failed is what is reported, not that it could not be written down.
        Err(error) => drop(journal.add(stopped(error.to_string(), true))),
    }
    ended
}

/// The metrics, as lines and for TensorBoard.
struct Journal {
    lines: Writer,
    events: EventFile,
}

impl Journal {
    fn open(run: &Run) -> Result<Self> {
        let lines = Writer::open(run.folder())?;
        let name = format!("limn-{}", std::process::id());
        Ok(Self { lines, events: EventFile::create(run.folder(), now_ms(), &name)? })
    }

    fn add(&mut self, metric: Metric) -> Result<()> {
        let line = Line { at_ms: now_ms(), metric };
        self.events.add(&line)?;
        Ok(self.lines.add(line.metric)?)
    }
}

/// A run that is under way.
struct Running {
    run: Run,
    recipe: Recipe,
    dataset: Dataset,
    split: Split,
    order: Order,
    trainer: Trainer,
    /// How the model is spoken to; a model without a template generates nothing.
    dialect: Option<Dialect>,
    machine: Machine,
    kernels: Kernels,
    cursor: Cursor,
    /// The last step that was made.
    done: u64,
    /// The last step of which there is a checkpoint.
    saved: u64,
    /// The last step after which the held-out samples were measured, by this process.
    measured: Option<u64>,
}

impl Running {
    fn open(run: Run, cuda: &Cuda, journal: &mut Journal) -> Result<Self> {
        let began = Instant::now();
        let recipe = run.recipe()?;
        let weights = Weights::open(&recipe.model)?;
        let shape = weights.shape().clone();
        let (dataset, split) = run.open_dataset(&shape)?;
        let (device, machine) = machine::choose(recipe.device, cuda)?;
        let kernels = Kernels { deterministic: recipe.deterministic, ..Kernels::default() };
        kernels.apply()?;
        let plan = Plan::new(&shape, &recipe, &dataset, &split, &machine);
        run.write_plan(&plan)?;
        let found = run.resume(dataset.key())?;
        let rung = begun_on(&plan, found.as_ref(), run.folder())?;
        // Counted from here on, so that weights are in it.
        reset_peak(device)?;
        let mut decoder = Decoder::new(&weights, machine::kind(recipe.precision), device)?;
        match recipe.method {
            Method::Full => train_all(&mut decoder),
            Method::Lora(lora) => train_adapters(&mut decoder, lora, recipe.seed)?,
        }
        let (attention, kernels) = machine::attention(&decoder, kernels)?;
        let mut trainer = Trainer::new(decoder, &recipe, rung)?;
        let order = Order::new(&dataset, &split.train, &recipe);
        let (mut cursor, mut done) = (Cursor::default(), 0);
        if let Some(found) = found {
            checkpoint::restore(&mut trainer, &recipe, &found.path, found.facts.step)?;
            (cursor, done) = (found.facts.cursor, found.facts.step);
        }
        journal.add(Metric::Started(metrics::Started {
            pid: std::process::id(),
            step: done,
            steps: order.steps(),
            epochs: recipe.epochs,
            samples: split.train.len(),
            held_out: split.held_out.len(),
            rung: rung.as_str().to_owned(),
            device: machine.name.clone(),
            device_bytes: machine.device_bytes,
            attention: attention.to_owned(),
            peak_flops: machine.flops,
            load_s: began.elapsed().as_secs_f64(),
            versions: versions(),
        }))?;
        let dialect = Dialect::open(&recipe.model, recipe.template.as_deref()).ok();
        Ok(Self {
            run,
            recipe,
            dataset,
            split,
            order,
            trainer,
            dialect,
            machine,
            kernels,
            cursor,
            done,
            saved: done,
            measured: None,
        })
    }

    fn go(&mut self, journal: &mut Journal, stop: &Arc<AtomicBool>) -> Result<Ended> {
        let mut made = Duration::ZERO;
        let steps: Vec<OptimizerStep> = self.order.from(self.cursor).collect();
        let first = self.done;
        if first == 0 && self.recipe.cadence.eval_first && !stop.load(Ordering::Relaxed) {
            self.measure(journal, stop)?;
        }
        for step in steps {
            if stop.load(Ordering::Relaxed) {
                self.save(journal)?;
                return Ok(Ended::Stopped);
            }
            let began = Instant::now();
            self.step(journal, &step, (made, self.done - first))?;
            made += began.elapsed();
            let cadence = &self.recipe.cadence;
            let is_epoch = step.next.epoch != step.epoch;
            let is_due =
                |every: u64| if every == 0 { is_epoch } else { step.number.is_multiple_of(every) };
            let (is_eval, is_save) = (is_due(cadence.eval_steps), is_due(cadence.save_steps));
            // First what would be lost.
            if is_save {
                self.save(journal)?;
            }
            if is_eval {
                self.measure(journal, stop)?;
            }
        }
        if self.saved < self.done {
            self.save(journal)?;
        }
        if self.measured != Some(self.done) {
            self.measure(journal, stop)?;
        }
        // All is trained and saved; whoever goes on with it measures what is left to measure.
        if self.measured != Some(self.done) {
            return Ok(Ended::Stopped);
        }
        self.finish(journal)?;
        Ok(Ended::Finished)
    }

    /// Makes a step. `before` is the time that was spent on how many steps of this process.
    fn step(
        &mut self,
        journal: &mut Journal,
        step: &OptimizerStep,
        before: (Duration, u64),
    ) -> Result<()> {
        let began = Instant::now();
        let batches: Vec<Vec<Sample>> = step
            .micro_batches
            .iter()
            .map(|batch| batch.samples.iter().map(|place| self.sample(*place)).collect())
            .collect::<Result<_>>()?;
        let steps = self.order.steps();
        let rate = self.recipe.optimizer.learning_rate_at(step.number, steps);
        let stepped = self.trainer.step(step.number, &batches, rate)?;
        let took = began.elapsed();
        for rung in &stepped.rungs {
            journal.add(Metric::Rung(rung.clone()))?;
        }
        (self.cursor, self.done) = (step.next, step.number);
        let metric = self.told(step, &stepped, &batches, rate, took, before)?;
        journal.add(Metric::Step(metric))
    }

    #[allow(clippy::cast_precision_loss, reason = "speeds and shares")]
    fn told(
        &self,
        step: &OptimizerStep,
        stepped: &Stepped,
        batches: &[Vec<Sample>],
        lr: f64,
        took: Duration,
        (spent, made): (Duration, u64),
    ) -> Result<metrics::Step> {
        let memory = memory(self.trainer.decoder().device())?;
        let shape = self.trainer.decoder().shape();
        let samples = batches.iter().flatten();
        let flops: f64 = samples
            .clone()
            .map(|sample| {
                let trained = sample.trained.iter().filter(|it| **it).count();
                Work::of(shape, sample.ids.len(), trained).flops(self.recipe.method)
            })
            .sum();
        let seconds = took.as_secs_f64();
        let mean = (spent + took).as_secs_f64() / (made + 1) as f64;
        let left = self.order.steps().saturating_sub(step.number);
        let in_epoch = self.order.steps_in_epoch().max(1) as f64;
        Ok(metrics::Step {
            step: step.number,
            epoch: step.number as f64 / in_epoch,
            loss: stepped.loss,
            trained_tokens: step.trained,
            tokens: step.tokens,
            grad_norm: stepped.grad_norm,
            lr,
            tokens_per_s: step.tokens as f64 / seconds,
            mfu: if self.machine.flops > 0.0 { flops / seconds / self.machine.flops } else { 0.0 },
            peak_bytes: memory.peak as u64,
            reserved_bytes: memory.reserved as u64,
            phases_s: stepped.phases_s.clone(),
            samples: samples.map(|sample| sample.id.clone()).collect(),
            eta_s: mean * left as f64,
        })
    }

    /// Measures the held-out samples. Where memory does not do for it, the run goes on without what
    /// there was no memory for. When it is stopped nothing is told: half of it is another number.
    fn measure(&mut self, journal: &mut Journal, stop: &AtomicBool) -> Result<()> {
        let mut told = None;
        let found = self.held_out(&mut told, stop);
        if stop.load(Ordering::Relaxed) {
            return found;
        }
        self.measured = Some(self.done);
        if let Some(told) = told {
            journal.add(Metric::HeldOut(told))?;
        }
        match found {
            Err(TrainError::OutOfMemory(why)) => {
                torch::give_back()?;
                let text = format!("Not all of the held-out samples could be measured: {why}.");
                journal.add(Metric::Note(metrics::Note { text }))
            }
            other => other,
        }
    }

    /// The loss first, which is there whatever becomes of the answers.
    fn held_out(&self, told: &mut Option<metrics::HeldOut>, stop: &AtomicBool) -> Result<()> {
        if self.split.held_out.is_empty() {
            return Ok(());
        }
        let goes_on = |_: &Result<Sample>| !stop.load(Ordering::Relaxed);
        let samples = || self.split.held_out.iter().map(|place| self.sample(*place));
        let (loss, tokens) = self.trainer.measure(&mut samples().take_while(goes_on))?;
        let step = self.done;
        let told = told.insert(metrics::HeldOut { step, loss, tokens, ..Default::default() });
        if let Some(dialect) = &self.dialect {
            let limits = Limits { replies: JUDGED_REPLIES, tokens: JUDGED_TOKENS, stop };
            let decoder = self.trainer.decoder();
            Kernels { varied: true, ..self.kernels }.apply()?;
            let judged = judge(decoder, dialect, &mut samples().take_while(goes_on), limits);
            self.kernels.apply()?;
            let judged = judged?;
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            told.replies = (judged.replies > 0).then_some(judged.replies);
            told.tool_validity = judged.rate(judged.valid);
            told.exact_name = judged.rate(judged.exact);
            let answers = judged.answers.into_iter();
            let answers: Vec<Answer> = answers.map(|it| Answer { step, ..it }).collect();
            answers::add(self.run.folder(), &answers)?;
        }
        Ok(())
    }

    fn save(&mut self, journal: &mut Journal) -> Result<()> {
        if self.saved == self.done {
            return Ok(());
        }
        let began = Instant::now();
        let draft = self.run.begin_checkpoint(CheckpointFacts {
            step: self.done,
            cursor: self.cursor,
            recipe: self.run.recipe_hash()?,
            dataset: self.dataset.key().to_owned(),
            rung: self.trainer.rung().as_str().to_owned(),
            ..CheckpointFacts::default()
        })?;
        checkpoint::save(&self.trainer, &self.recipe, draft.path())?;
        let (path, bytes) = draft.finish(self.recipe.cadence.keep)?;
        self.saved = self.done;
        let folder = path.strip_prefix(self.run.folder()).unwrap_or(&path);
        journal.add(Metric::Checkpoint(metrics::Checkpoint {
            step: self.done,
            folder: folder.display().to_string(),
            bytes,
            seconds: began.elapsed().as_secs_f64(),
        }))?;
        journal.lines.sync()?;
        Ok(self.run.describe()?)
    }

    fn finish(&self, journal: &mut Journal) -> Result<()> {
        let draft = self.run.begin_final()?;
        checkpoint::write_final(&self.trainer, &self.recipe, draft.path())?;
        let path = draft.finish()?;
        let folder = path.strip_prefix(self.run.folder()).unwrap_or(&path);
        journal.add(Metric::Finished(metrics::Finished {
            step: self.done,
            seconds: History::of(self.run.folder())?.seconds(),
            folder: folder.display().to_string(),
        }))?;
        journal.lines.sync()?;
        Ok(self.run.describe()?)
    }

    fn sample(&self, place: usize) -> Result<Sample> {
        let entry = self.dataset.entries().get(place);
        let entry = entry.ok_or_else(|| TrainError::Torch(format!("no sample {place}")))?;
        Ok(self.dataset.sample(entry)?)
    }
}

/// The rung to begin on: as planned, or lower where the run had to go down before.
fn begun_on(plan: &Plan, found: Option<&CheckpointFolder>, folder: &Path) -> Result<Rung> {
    let before = found.and_then(|found| Rung::named(&found.facts.rung));
    let rung = plan.rung.max(before.unwrap_or(plan.rung));
    if rung < Rung::HandOver {
        return Ok(rung);
    }
    let remedy = "Free some, train an adapter or shorter samples, or hand it over: limn train \
                  --hand-over.";
    Err(TrainError::Training(TrainingError::Run {
        path: folder.to_owned(),
        reason: "needs more memory than there is".to_owned(),
        remedy: remedy.to_owned(),
    }))
}

fn versions() -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("limn".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch".to_owned(), torch::version()),
    ]);
    if tch::Cuda::is_available() {
        all.insert("cuda".to_owned(), tch::utils::version_cudart().to_string());
        if tch::Cuda::cudnn_is_available() {
            all.insert("cudnn".to_owned(), tch::utils::version_cudnn().to_string());
        }
    }
    all
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
