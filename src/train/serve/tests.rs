use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tch::Kind;
use training::plan::{self, Machine};

use super::{attempt, context, memory};
use crate::goldens::{Generation, Golden};
use crate::run::tests::{World, lora, train};
use crate::torch::Cuda;

/// Set for a process that a test starts to serve: its arguments, as JSON.
const CHILD: &str = "LIMN_TRAIN_TEST_SERVE";

/// This is the process that other tests start: no test by itself.
#[test]
#[ignore = "started by other tests"]
fn a_child_serves() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let words: Vec<String> = serde_json::from_str(&words).unwrap();
    let served = attempt(words.into_iter().map(OsString::from), &Cuda::Absent(PathBuf::new()));
    let code = served.map_or_else(
        |(text, code)| {
            eprintln!("error: {text}");
            i32::from(code)
        },
        |()| 0,
    );
    std::process::exit(code);
}

fn start(words: &[&str]) -> Child {
    let words: Vec<&str> = words.iter().copied().chain(["--device", "cpu"]).collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve::tests::a_child_serves", "--ignored", "--nocapture"])
        .env(CHILD, json!(words).to_string())
        .env_remove("LIMN_SERVE_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A process that serves.
struct Serving {
    child: Child,
    said: Value,
}

impl Serving {
    fn start(target: &Path, more: &[&str]) -> Self {
        let common = [target.to_str().unwrap(), "--json", "--until-stdin-ends", "--port", "0"];
        let mut child = start(&[&common[..], more].concat());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness of the test speaks before.
        let said = lines.find_map(|line| serde_json::from_str(&line.unwrap()).ok());
        let Some(said) = said else {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("nothing is served: {told}");
        };
        Self { child, said }
    }

    /// What is answered: the status, and the body.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = self.said["url"].as_str().unwrap();
        let host = url.strip_prefix("http://").and_then(|it| it.strip_suffix("/v1")).unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /v1/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
    }

    /// The likeliest tokens after these, and how many of these were kept from before.
    fn complete(&self, model: &str, prompt: &[u32], tokens: usize) -> (Vec<u32>, u64) {
        let body = json!({
            "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "return_token_ids": true, "ignore_eos": true,
        });
        let (status, answer) = self.post("completions", &body);
        assert_eq!(status, 200, "{answer}");
        let ids = answer["choices"][0]["token_ids"].as_array().unwrap();
        let ids = ids.iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect();
        (ids, answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0))
    }

    /// Closes its input, and waits for its end.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

/// What a process that serves nothing says, and its exit code.
fn refused(words: &[&str]) -> (String, Option<i32>) {
    let output = start(words).wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

/// A model that can be spoken to: words, and a template.
fn speaking(family: &'static str) -> World {
    let world = World::new(family);
    let path = world.path("model/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tokenizer["pre_tokenizer"] = json!({ "type": "WhitespaceSplit" });
    fs::write(&path, tokenizer.to_string()).unwrap();
    let template = "{% for message in messages %}w001 {{ message.content }} w002 {% endfor %}\
                    {% if add_generation_prompt %}w001 {% endif %}";
    let settings = json!({ "chat_template": template, "eos_token": "w002" });
    fs::write(world.path("model/tokenizer_config.json"), settings.to_string()).unwrap();
    world
}

#[test]
fn many_ask_over_http_and_each_hears_what_transformers_says() {
    let world = speaking("qwen3");
    let golden = Golden::of("qwen3");
    let adapter = format!("mine={}", golden.folder.join("adapter").display());
    let more = ["--adapter", &adapter, "--precision", "f32", "--slots", "3", "--context", "256"];
    let server = Serving::start(&world.path("model"), &more);
    assert_eq!(server.said["type"], "serving");
    assert_eq!(server.said["models"], json!(["model", "mine"]));
    assert_eq!((&server.said["context"], &server.said["slots"]), (&json!(256), &json!(3)));
    let notices = server.said["notices"].to_string();
    assert!(notices.contains("3 texts of 256 tokens take"), "{notices}");
    // More than there are slots, of two models, at once.
    thread::scope(|scope| {
        for Generation { prompt, base, adapter } in &golden.said.generations {
            for (model, expected) in [("model", base), ("mine", adapter)] {
                let server = &server;
                scope.spawn(move || {
                    let (said, _) = server.complete(model, prompt, expected.len());
                    assert_eq!(said, *expected, "{model}");
                });
            }
        }
    });
    // What a slot holds is not computed again, and says the same.
    let Generation { prompt, base, .. } = &golden.said.generations[3];
    let longer = [prompt.as_slice(), &base[..8]].concat();
    server.complete("model", prompt, 4);
    let (said, kept) = server.complete("model", &longer, base.len() - 8);
    assert_eq!(said, base[8..]);
    assert!(kept >= prompt.len() as u64, "{kept} of {}", longer.len());
    let (status, answer) = server.post(
        "chat/completions",
        &json!({
            "messages": [{ "role": "user", "content": "w010 w011" }], "max_tokens": 5,
            "temperature": 0, "return_token_ids": true,
        }),
    );
    assert_eq!((status, &answer["prompt_token_ids"]), (200, &json!([1, 10, 11, 2, 1])), "{answer}");
    assert_eq!(server.end(), Some(0), "its input ended");
}

#[test]
fn a_run_is_served_and_a_signal_ends_it_cleanly() {
    let world = speaking("qwen2");
    let mut recipe = world.recipe(lora());
    recipe.optimizer.learning_rate = 5e-2;
    let run = world.ready("run", &recipe);
    train(&run).unwrap();
    let mut server = Serving::start(&run, &["--context", "128"]);
    assert_eq!(server.said["models"], json!(["run", "model"]));
    let prompt: Vec<u32> = (20..40).collect();
    let (trained, _) = server.complete("run", &prompt, 6);
    let (base, _) = server.complete("model", &prompt, 6);
    assert_ne!(trained, base);
    let pid = i32::try_from(server.child.id()).unwrap();
    let killed = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let world = speaking("llama");
    let model = world.path("model");
    let model = model.to_str().unwrap();
    let long = world.path("long");
    fs::write(&long, "k".repeat(4_097)).unwrap();
    for (words, code, part) in [
        (vec![model, "--host", "0.0.0.0"], 2, "LIMN_SERVE_KEY"),
        (vec![model, "--slots", "many"], 2, "Usage:"),
        (vec![model, "--context", "513"], 1, "for texts of 512 tokens"),
        (vec![model, "--key-file", "absent"], 1, "Cannot read absent"),
        (vec![model, "--key-file", long.to_str().unwrap()], 1, "more than 4096 bytes"),
        (vec!["absent"], 1, "absent"),
    ] {
        let (told, found) = refused(&words);
        assert_eq!(found, Some(code), "{words:?}: {told}");
        assert!(told.contains(part), "{words:?}: {told}");
    }
}

#[test]
fn memory_is_said_before_it_is_taken() {
    let golden = Golden::of("qwen2");
    let shape = golden.weights().shape().clone();
    let machine = |kind, bytes| Machine {
        kind,
        name: "one".to_owned(),
        device_bytes: bytes,
        host_bytes: bytes,
        flops: 1.0,
        has_bf16: true,
    };
    // Two layers of keys and values, 16 numbers each, of 4 bytes.
    let each = 2 * 2 * 16 * 4;
    let room = (4, 1 << 20);
    let told = memory(&shape, Kind::Float, room, &machine(plan::Kind::Cuda, u64::MAX)).unwrap();
    assert!(told.contains(&plan::gib((4 * each) << 20)), "{told}");
    let full = memory(&shape, Kind::Float, room, &machine(plan::Kind::Cuda, 1 << 29));
    let full = full.unwrap_err().to_string();
    assert!(full.contains("512 MiB are free") && full.contains("--slots"), "{full}");
    let told = memory(&shape, Kind::Float, room, &machine(plan::Kind::Cpu, 1 << 29)).unwrap();
    assert!(told.contains("512 MiB are free"), "{told}");
    assert_eq!(context(None, &shape).unwrap(), 512);
    assert_eq!(context(Some(512), &shape).unwrap(), 512);
    assert!(context(Some(513), &shape).is_err());
}
