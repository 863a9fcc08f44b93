use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use training::answers;
use training::data::{Preparation, prepare};
use training::folder::{DatasetFacts, Run};
use training::metrics::{Metric, Step, read_all};
use training::recipe::{self, Lora, Method, Precision, Recipe};
use training::shape::ModelShape;

use super::{Ended, run};
use crate::decoder::{Decoder, Places};
use crate::goldens::Golden;
use crate::merge::merge;
use crate::method::load_adapters;
use crate::torch::Cuda;
use crate::weights::{Adapter, Entry, Weights, write_model};

/// Set for a process that a test starts to train, and perhaps to kill.
const CHILD: &str = "LIMN_TRAIN_TEST_RUN";

/// A tiny model with a tokenizer, a dataset, and runs.
pub(crate) struct World(TempDir);

impl World {
    pub(crate) fn new(family: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(Golden::of(family).folder.join(name), model.join(name)).unwrap();
        }
        let words: BTreeMap<String, u32> = (0..128).map(|id| (format!("w{id:03}"), id)).collect();
        let model_part = json!({ "type": "WordLevel", "vocab": words, "unk_token": "w000" });
        let tokenizer = json!({ "version": "1.0", "model": model_part });
        fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        // Each text counts on from where it begins: something that can be learned.
        let rows = (0..12_i64).map(|text| {
            let ids: Vec<i64> = (0..20 + text).map(|at| 3 + (text * 9 + at) % 120).collect();
            let labels: Vec<i64> =
                ids.iter().enumerate().map(|(at, id)| if at < 4 { -100 } else { *id }).collect();
            format!(
                "{}\n",
                json!({ "id": format!("text {text}"), "input_ids": ids, "labels": labels })
            )
        });
        fs::write(folder.path().join("rows.jsonl"), rows.collect::<String>()).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn recipe(&self, method: Method) -> Recipe {
        let mut recipe = Recipe::new(&self.path("model"), &self.path("rows.jsonl"), method);
        recipe.device = recipe::Device::Cpu;
        recipe.precision = Precision::F32;
        recipe.epochs = 6;
        recipe.batch = 3;
        recipe.optimizer.learning_rate = 5e-3;
        recipe.optimizer.learning_rate_min = 5e-4;
        recipe.cadence.save_steps = 3;
        recipe
    }

    /// Makes a run ready, as `limn train` does.
    pub(crate) fn ready(&self, name: &str, recipe: &Recipe) -> PathBuf {
        let run = Run::create(&self.path(name), recipe).unwrap();
        let preparation = Preparation {
            dataset: &recipe.dataset,
            model: &recipe.model,
            template: recipe.template.as_deref(),
            vocab: ModelShape::of_folder(&recipe.model).unwrap().vocab,
            cache: &self.path("cache"),
        };
        let dataset = prepare(&preparation, &mut |_| {}).unwrap();
        let split = dataset.split(recipe.cadence.held_out, 512, false).unwrap();
        run.write_dataset(&DatasetFacts::of(&dataset, &split)).unwrap();
        self.path(name)
    }
}

pub(crate) fn train(folder: &Path) -> Result<Ended, String> {
    let stop = Arc::new(AtomicBool::new(false));
    run(folder, &Cuda::Absent(PathBuf::new()), &stop).map_err(|error| error.to_string())
}

/// The last word on every step.
fn steps(folder: &Path) -> BTreeMap<u64, Step> {
    let lines = read_all(folder).unwrap_or_default();
    lines
        .into_iter()
        .filter_map(|line| match line.metric {
            Metric::Step(step) => Some((step.step, step)),
            _ => None,
        })
        .collect()
}

fn losses(folder: &Path) -> Vec<(u64, f64)> {
    steps(folder).into_values().map(|step| (step.step, step.loss)).collect()
}

pub(crate) fn lora() -> Method {
    Method::Lora(Lora { rank: 4, alpha: 8 })
}

#[test]
fn a_run_learns_and_leaves_what_is_needed() {
    let world = World::new("qwen3");
    for (name, method, rate) in [("full", Method::Full, 5e-3), ("adapter", lora(), 5e-2)] {
        let mut recipe = world.recipe(method);
        recipe.optimizer.learning_rate = rate;
        let folder = world.ready(name, &recipe);
        assert_eq!(train(&folder), Ok(Ended::Finished));
        let losses = losses(&folder);
        assert_eq!(losses.len(), 24, "11 texts are trained, 3 at a time, 6 times");
        let (first, last) = (losses[0].1, losses[23].1);
        assert!(last < first / 2.0, "{name}: {first} {last}");
        let kept = fs::read_dir(folder.join("checkpoints")).unwrap().count();
        assert_eq!(kept, 2, "{name}");
        for file in ["final", "curves.svg", "README.md", "plan.json"] {
            assert!(folder.join(file).exists(), "{name} has no {file}");
        }
        let lines = read_all(&folder).unwrap();
        let measured = lines.iter().any(|line| matches!(line.metric, Metric::HeldOut(_)));
        assert!(measured && matches!(lines.last().unwrap().metric, Metric::Finished(_)));
        // It is done, and says so again without doing anything.
        let made = fs::metadata(folder.join("final")).unwrap().modified().unwrap();
        assert_eq!(train(&folder), Ok(Ended::Finished));
        assert_eq!(fs::metadata(folder.join("final")).unwrap().modified().unwrap(), made);
    }
}

#[test]
fn what_came_of_a_run_can_be_loaded_and_merged() {
    let world = World::new("llama");
    let folder = world.ready("run", &world.recipe(lora()));
    train(&folder).unwrap();
    let base = Weights::open(&world.path("model")).unwrap();
    let mut beside = Decoder::new(&base, Kind::Float, Device::Cpu).unwrap();
    let adapter = Adapter::open(&folder.join("final"), base.shape()).unwrap();
    load_adapters(&mut beside, &adapter).unwrap();
    merge(&folder, &world.path("merged")).unwrap();
    let merged = Weights::open(&world.path("merged")).unwrap();
    let merged = Decoder::new(&merged, Kind::Float, Device::Cpu).unwrap();
    let ids = Tensor::from_slice(&[5_i64, 6, 7, 8, 9, 10]);
    let logits = |decoder: &Decoder| {
        let places = Places::new(decoder.shape(), &[6], Kind::Float, Device::Cpu).unwrap();
        decoder.logits(&ids, &places).unwrap()
    };
    let off = (logits(&beside) - logits(&merged)).abs().max().double_value(&[]);
    assert!(off <= 1e-5, "{off}");
    assert!(world.path("merged/tokenizer.json").is_file());
    let again = merge(&folder, &world.path("merged")).unwrap_err().to_string();
    assert!(again.contains("weights already"), "{again}");
}

/// This is the process that the next test starts: no test by itself.
#[test]
#[ignore = "started by another test"]
fn a_child_trains() {
    if let Some(folder) = std::env::var_os(CHILD) {
        train(Path::new(&folder)).unwrap();
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "run::tests::a_child_trains", "--ignored"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_run_that_is_killed_again_and_again_is_the_run_that_never_was() {
    let world = World::new("qwen2");
    for (name, method) in [("full", Method::Full), ("adapter", lora())] {
        let whole = world.ready(&format!("{name} whole"), &world.recipe(method));
        train(&whole).unwrap();
        let killed = world.ready(&format!("{name} killed"), &world.recipe(method));
        for after in [2, 7, 8, 16] {
            let mut child = start(&killed);
            // Killed in the middle of whatever comes after this step.
            while steps(&killed).len() < after && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(train(&killed), Ok(Ended::Finished));
        let lines = read_all(&killed).unwrap();
        let begun = lines.iter().filter(|line| matches!(line.metric, Metric::Started(_))).count();
        assert!(begun > 2, "nobody was killed in {name}: it was begun {begun} times");
        assert_eq!(losses(&killed), losses(&whole), "{name}");
        for entry in fs::read_dir(whole.join("final")).unwrap() {
            let name = entry.unwrap().file_name();
            let [one, other] = [&whole, &killed].map(|run| fs::read(run.join("final").join(&name)));
            assert!(one.unwrap() == other.unwrap(), "{name:?} differs");
        }
    }
}

#[test]
fn a_run_that_is_asked_to_stop_saves_and_goes_on() {
    let world = World::new("glm4");
    let folder = world.ready("run", &world.recipe(lora()));
    let stop = Arc::new(AtomicBool::new(true));
    let absent = Cuda::Absent(PathBuf::new());
    assert_eq!(run(&folder, &absent, &stop).unwrap(), Ended::Stopped);
    assert!(steps(&folder).is_empty());
    assert_eq!(train(&folder), Ok(Ended::Finished));
    assert_eq!(steps(&folder).len(), 24);
}

#[test]
fn what_cannot_be_trained_says_why() {
    let world = World::new("llama");
    let told = |name: &str, change: &dyn Fn(&mut Recipe), spoil: &dyn Fn(&Path)| {
        let mut recipe = world.recipe(lora());
        change(&mut recipe);
        let folder = world.ready(name, &recipe);
        spoil(&folder);
        train(&folder).unwrap_err()
    };
    let check = |told: String, words: &[&str]| {
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    };
    let nothing = |_: &Path| {};
    let no_gpu = told("gpu", &|recipe| recipe.device = recipe::Device::Cuda, &nothing);
    check(no_gpu, &["device", "no GPU", "LD_LIBRARY_PATH"]);
    let locked = |folder: &Path| std::mem::forget(Run::open(folder).unwrap().lock().unwrap());
    check(told("locked", &|_| {}, &locked), &["is being trained"]);
    check(train(&world.path("nowhere")).unwrap_err(), &["no run"]);
    let no_number = |_: &Path| {
        let path = world.path("model/model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    let wild = told("wild", &|_| {}, &no_number);
    check(wild, &["loss of step 1", "text", "lower learning rate"]);
    let lines = read_all(&world.path("wild")).unwrap();
    assert!(matches!(&lines.last().unwrap().metric, Metric::Stopped(it) if it.failed));
}

/// A disk of its own for a run; nobody but root may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let disk = Self(path.to_owned());
        disk.mounted(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).then_some(disk)
    }

    fn grow(&self, bytes: u64) {
        assert!(self.mounted(&["-o", &format!("remount,size={bytes}")]));
    }

    fn mounted(&self, args: &[&str]) -> bool {
        let mount = Command::new("mount").args(args).arg(&self.0).output();
        mount.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn a_disk_that_fills_up_stops_a_run_which_goes_on_when_there_is_room() {
    let world = World::new("llama");
    let recipe = world.recipe(Method::Full);
    let whole = world.ready("whole", &recipe);
    train(&whole).unwrap();
    let checkpoint =
        bytes(&fs::read_dir(whole.join("checkpoints")).unwrap().next().unwrap().unwrap().path());
    // Room for one checkpoint and for all that is said, and not for the next one.
    let Some(disk) = SmallDisk::mount(&world.path("disk"), checkpoint * 7 / 4) else {
        assert!(std::env::var_os("CI").is_none(), "CI cannot skip this: no disk can be mounted");
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    let run = world.ready("disk/run", &recipe);
    let why = train(&run).unwrap_err();
    assert!(why.contains("No space left"), "{why}");
    let kept: Vec<PathBuf> =
        fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let good = Run::open(&run).unwrap().checkpoints();
    assert!(kept.len() == 1 && good.len() == 1, "{kept:?}");
    disk.grow(64 << 20);
    assert_eq!(train(&run), Ok(Ended::Finished));
    assert_eq!(losses(&run), losses(&whole));
}

/// Whoever stops a run while its held-out samples are measured finds no half of a measure, and goes
/// on with it whenever they like.
#[test]
fn a_run_that_is_stopped_while_it_measures_measures_when_it_goes_on() {
    let world = World::new("llama");
    let mut recipe = world.recipe(Method::Full);
    recipe.cadence.eval_steps = 1;
    let whole = world.ready("whole", &recipe);
    train(&whole).unwrap();
    let folder = world.ready("run", &recipe);
    for stopped_after in [1, 12, 24] {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, watched) = (Arc::clone(&stop), folder.clone());
        // Told as soon as a step is said, which is when it is measured or soon after.
        let watcher = std::thread::spawn(move || {
            while !steps(&watched).contains_key(&stopped_after) && !flag.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            flag.store(true, Ordering::Relaxed);
        });
        let ended = run(&folder, &Cuda::Absent(PathBuf::new()), &stop).unwrap();
        stop.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        assert!(stopped_after > 1 || ended == Ended::Stopped);
    }
    assert_eq!(train(&folder), Ok(Ended::Finished));
    let measured = |folder: &Path| {
        let lines = read_all(folder).unwrap();
        let told = lines.into_iter().filter_map(|line| match line.metric {
            Metric::HeldOut(told) => Some((told.step, told.loss)),
            _ => None,
        });
        told.collect::<BTreeMap<u64, f64>>()
    };
    let (expected, found) = (measured(&whole), measured(&folder));
    for (step, loss) in &found {
        assert_eq!(expected.get(step), Some(loss), "after step {step}");
    }
    let last = expected.last_key_value().unwrap();
    assert_eq!(found.last_key_value(), Some(last), "the last measure is never left out");
}

/// A tiny model without any training, with the tokenizer of the fixtures of `chat`.
fn untrained(folder: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures/model");
    fs::create_dir(folder).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(fixtures.join(name), folder.join(name)).unwrap();
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": 576, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let shape = ModelShape::of_folder(folder).unwrap();
    let entries: Vec<Entry> = shape
        .tensors()
        .into_iter()
        .map(|tensor| Entry { name: tensor.name, sizes: tensor.sizes, kind: Kind::Float })
        .collect();
    tch::manual_seed(5);
    let mut give = |entry: &Entry| {
        let sizes: Vec<i64> = entry.sizes.iter().map(|size| *size as i64).collect();
        Ok(match sizes.as_slice() {
            [_] => Tensor::ones(sizes, (Kind::Float, Device::Cpu)),
            _ => Tensor::randn(sizes, (Kind::Float, Device::Cpu)) * 0.05,
        })
    };
    write_model(folder, &entries, &mut give).unwrap();
}

/// From a dataset of conversations to a model that makes their calls, in the way of a user.
#[test]
fn a_model_that_made_no_call_learns_to_make_them() {
    let folder = tempfile::tempdir().unwrap();
    let world = World(folder);
    untrained(&world.path("model"));
    let tool = json!({ "type": "function", "function": { "name": "read", "description": "Reads.",
        "parameters": { "type": "object", "properties": { "path": { "type": "string" } } } } });
    let rows = (0..48).map(|at| {
        let path = format!("{}{}.txt", ["a", "b", "c", "d"][at % 4], at / 4);
        let call = json!({ "type": "function",
            "function": { "name": "read", "arguments": { "path": path } } });
        let messages = json!([
            { "role": "user", "content": format!("Read {path}") },
            { "role": "assistant", "content": "", "tool_calls": [call] },
        ]);
        format!("{}\n", json!({ "messages": messages, "tools": [tool] }))
    });
    fs::write(world.path("rows.jsonl"), rows.collect::<String>()).unwrap();
    let mut recipe = world.recipe(Method::Full);
    recipe.template = Some(PathBuf::from("chatml-tools"));
    recipe.batch = 4;
    recipe.epochs = 8;
    recipe.cadence.eval_steps = 8;
    recipe.cadence.save_steps = 1_000;
    let run = world.ready("run", &recipe);
    assert_eq!(train(&run), Ok(Ended::Finished));
    let rates: Vec<(Option<f64>, Option<f64>)> = read_all(&run)
        .unwrap()
        .into_iter()
        .filter_map(|line| match line.metric {
            Metric::HeldOut(told) => Some((told.tool_validity, told.exact_name)),
            _ => None,
        })
        .collect();
    assert_eq!(rates.first(), Some(&(Some(0.0), Some(0.0))), "{rates:?}");
    assert_eq!(rates.last(), Some(&(Some(1.0), Some(1.0))), "{rates:?}");
    // What was said is kept, with what it was said to.
    let answers = answers::read_all(&run).unwrap();
    let (first, last) = (answers.first().unwrap(), answers.last().unwrap());
    assert!(first.step == 0 && !first.valid, "{first:?}");
    assert!(last.step > 0 && last.valid && last.exact, "{last:?}");
    assert!(last.asked.ends_with("<|im_start|>assistant\n"), "{last:?}");
    assert!(last.said.starts_with("<tool_call>") && last.wanted.contains("\"read\""), "{last:?}");
}
