//! Out of the store and in again.

use std::fs;
use std::path::{Path, PathBuf};

use mock_server::Reply;
use serde_json::Value;

use crate::world::{World, server, shell};

fn recorded() -> World {
    let world = World::new();
    let server = server([
        Reply::new()
            .reasoning("Let me see.")
            .call("shell", "{ \"command\":  \"echo \\u0068i\" }")
            .call("read", "{broken"),
        shell("printf 'x\\000\\377y'"),
        Reply::text("Done."),
    ]);
    world.exec(&server.url(), &["the prompt"]).succeeds();
    world
}

fn export(world: &World, format: &str, out: &Path, more: &[&str]) -> crate::world::Run {
    let out = out.to_str().unwrap();
    let args = ["export", "--format", format, "--out", out, "--json"];
    world.limn(&[&args[..], more].concat())
}

#[test]
fn messages_hold_what_was_said_and_a_ledger_what_they_cannot_hold() {
    let world = recorded();
    let out = world.path("out");
    export(&world, "messages", &out, &["--status", "all"]).succeeds();
    let text = fs::read_to_string(out.join("messages.jsonl")).unwrap();
    let rows = lines(&out.join("messages.jsonl"));
    assert_eq!(rows.len(), 1);
    let messages = rows[0]["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    );
    let call = &messages[2]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"]["command"], "echo hi");
    assert_eq!(messages[2]["reasoning_content"], "Let me see.");
    // A reply with a malformed call is context, not target.
    let train: Vec<bool> =
        rows[0]["train"].as_array().unwrap().iter().map(|t| t.as_bool().unwrap()).collect();
    assert_eq!(train, [false, false, false, false, false, true, false, true]);
    let names: Vec<&str> = rows[0]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"shell"));

    let ledger: Value =
        serde_json::from_str(&fs::read_to_string(out.join("ledger.json")).unwrap()).unwrap();
    assert!(text.contains(r#"{ "command":  "echo \u0068i" }"#), "the model's own spelling");
    for loss in ["model_exchanges", "observation_details"] {
        assert!(ledger["lost"][loss]["count"].as_u64().unwrap() > 0, "{loss}: {ledger}");
    }
    assert_eq!(ledger["untrained"]["malformed"], 1);
}

#[test]
fn exporting_twice_gives_the_same_bytes() {
    let world = recorded();
    for format in ["messages", "bundle"] {
        let (one, two) = (world.path(&format!("{format}1")), world.path(&format!("{format}2")));
        export(&world, format, &one, &["--status", "all"]).succeeds();
        export(&world, format, &two, &["--status", "all"]).succeeds();
        for file in fs::read_dir(&one).unwrap() {
            let name = file.unwrap().file_name();
            let (a, b) = (fs::read(one.join(&name)).unwrap(), fs::read(two.join(&name)).unwrap());
            assert!(a == b, "{format}: {} differs", name.display());
        }
    }
}

#[test]
fn what_is_exported_is_chosen_by_its_annotations() {
    let world = recorded();
    let out = world.path("out");
    export(&world, "messages", &out, &[]).exits(1).says(&["limn annotate", "--status all"]);
    assert!(!out.exists());
    world.limn(&["annotate", "last", "--outcome", "success"]).succeeds();
    export(&world, "messages", &out, &[]).succeeds();
    world.limn(&["annotate", "last", "--outcome", "failure", "--source", "verifier"]).succeeds();
    export(&world, "messages", &world.path("out2"), &[]).exits(1);
    world.limn(&["annotate", "last", "--review", "accepted"]).succeeds();
    export(&world, "messages", &world.path("out3"), &["--status", "accepted"]).succeeds();
    export(&world, "messages", &out, &["--status", "all"]).exits(1).says(&["--out"]);
}

#[test]
fn a_session_that_cannot_be_read_keeps_no_other_from_being_exported() {
    let world = recorded();
    let sessions = world.data().join("sessions");
    let file = world.home().session_file(world.home().find("last").unwrap());
    let broken = sessions.join("01900000-0000-7000-8000-000000000000.db");
    fs::write(&broken, b"no database").unwrap();
    let out = world.path("out");
    let run = export(&world, "messages", &out, &["--status", "all"]).succeeds();
    assert!(run.stderr.contains("01900000"), "{}", run.stderr);
    let named = ["--status", "all", "--session", "01900000"];
    export(&world, "messages", &world.path("out2"), &named).exits(1).says(&["01900000"]);
    assert!(file.exists());
}

#[test]
fn a_session_that_is_still_being_recorded_is_left_out() {
    let world = World::new();
    let server = server([Reply::new().hang_after(0)]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    assert!(server.wait_for_requests(1, crate::world::PATIENCE));
    let run = export(&world, "bundle", &world.path("out"), &["--status", "all"]);
    crate::world::kill(&mut child);
    run.exits(1).says(&["1 still being recorded"]);
}

#[test]
fn what_killed_exports_left_behind_is_removed_a_day_later() {
    let world = recorded();
    let day = std::time::Duration::from_secs(25 * 3600);
    for (name, age) in [(".limn-export-old", day), (".limn-export-new", day / 100)] {
        fs::create_dir(world.path(name)).unwrap();
        let then = std::time::SystemTime::now() - age;
        fs::File::open(world.path(name)).unwrap().set_modified(then).unwrap();
    }
    export(&world, "messages", &world.path("out"), &["--status", "all"]).succeeds();
    assert!(!world.path(".limn-export-old").exists() && world.path(".limn-export-new").exists());
}

#[test]
fn private_sessions_stay_out_of_datasets() {
    let world = World::new();
    let server = server([Reply::text("ok")]);
    world.exec(&server.url(), &["--private", "between us"]).succeeds();
    let out = world.path("out");
    export(&world, "messages", &out, &["--status", "all"]).exits(1).says(&["private"]);
    assert!(!out.exists());
}

fn bundle_of(world: &World) -> PathBuf {
    let out = world.path("bundles");
    export(world, "bundle", &out, &["--status", "all"]).succeeds();
    let is_bundle = |path: &PathBuf| path.extension().is_some_and(|end| end == "limn");
    fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).find(is_bundle).unwrap()
}

#[test]
fn a_bundle_gives_identical_rows_and_hashes_elsewhere() {
    let world = recorded();
    let bundle = bundle_of(&world);
    let other = World::new();
    let path = bundle.to_str().unwrap();
    other.limn(&["import", "bundle", path]).succeeds();
    assert_eq!(other.events(), world.events());
    other.assert_sound();
    let raw =
        |world: &World| world.command(&["show", "last", "--output", "2"]).output().unwrap().stdout;
    assert_eq!(raw(&other), b"x\0\xffy");
    assert_eq!(raw(&other), raw(&world));
    assert!(fs::read(bundle_of(&other)).unwrap() == fs::read(&bundle).unwrap());
    // Once more changes nothing; and only the device it began on goes on with it: here a fork does.
    other.limn(&["import", "bundle", path]).succeeds();
    let imported = other.events();
    let original = other.home().find("last").unwrap();
    let server = server([Reply::text("Here I am.")]);
    other.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    assert_eq!(other.home().session_ids().unwrap().len(), 2);
    let forked = other.events();
    assert!(forked.iter().take(imported.len()).all(|event| event.copied));
    assert!(forked.iter().skip(imported.len()).all(|event| !event.copied));
    let untouched = record::Archive::open(&other.home(), original).unwrap().events().unwrap();
    assert_eq!(untouched.len(), imported.len());
    other.assert_sound();
}

const OTHER_ID: &str = "01900000-0000-7000-8000-000000000000";

/// The lines with a last line that fits them, as a forger would write it.
fn sealed(bundle: &str) -> String {
    let lines: Vec<&str> = bundle.lines().collect();
    let body: String = lines[..lines.len() - 1].iter().map(|line| format!("{line}\n")).collect();
    let rows = lines.iter().filter(|line| line.starts_with('[')).count();
    let hash = blake3::hash(body.as_bytes());
    format!("{body}{{\"end\":{{\"rows\":{rows},\"blake3\":\"{hash}\"}}}}\n")
}

#[test]
fn a_damaged_bundle_changes_nothing() {
    let world = recorded();
    let bundle = fs::read(bundle_of(&world)).unwrap();
    let plain = zstd::decode_all(&bundle[..]).unwrap();
    let cut = bundle[..bundle.len() / 2].to_vec();
    let mut flipped = bundle.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let original = String::from_utf8(plain.clone()).unwrap();
    let swapped = original.replacen("the prompt", "a prompt!!", 1);
    let id = world.home().find("last").unwrap().to_string();
    let header = original.lines().next().unwrap();
    let renamed = sealed(&original.replacen(header, &header.replace(&id, OTHER_ID), 1));
    let missing: String = String::from_utf8(plain)
        .unwrap()
        .lines()
        .enumerate()
        .filter(|(number, _)| *number != 7)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    let cases = [
        ("cut", cut),
        ("flipped", flipped),
        ("swapped and sealed again", sealed(&swapped).into_bytes()),
        ("swapped", swapped.into_bytes()),
        ("under another name", renamed.into_bytes()),
        ("missing", missing.into_bytes()),
        ("empty", Vec::new()),
        ("no bundle", b"{\"hello\": \"world\"}\n".to_vec()),
        ("noise", (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ];
    let other = World::new();
    for (name, bytes) in cases {
        let path = other.path("damaged.limn");
        fs::write(&path, bytes).unwrap();
        let run = other.limn(&["import", "bundle", path.to_str().unwrap()]).exits(1);
        run.says(&["damaged.limn"]);
        assert_eq!(other.home().session_ids().unwrap().len(), 0, "{name}");
    }
    other.limn(&["import", "bundle", "gone.limn"]).exits(1).says(&["gone.limn"]);
}

/// A tokenizer of a few hundred tokens with the control tokens of Qwen.
pub fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chat/fixtures/model")
}

pub fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub const TOOL_AWARE: &str = "assets/templates/chatml-tools.jinja";

pub fn export_tokens(world: &World, out: &Path, more: &[&str]) -> crate::world::Run {
    let (model, template) = (model(), template(TOOL_AWARE));
    let args = ["--status", "all", "--tokenizer", model.to_str().unwrap(), "--template"];
    export(world, "tokens", out, &[&args[..], &[template.to_str().unwrap()], more].concat())
}

fn rows(out: &Path) -> Vec<Value> {
    lines(&out.join("tokens.jsonl"))
}

/// The rows of a file of lines.
pub fn lines(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn ids(row: &Value, key: &str) -> Vec<i64> {
    row[key].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

/// The tokens of a request as it was sent, up to where the model went on.
pub fn prompt(archive: &record::Archive, dialect: &chat::Dialect, request: u32) -> Vec<i64> {
    let body = archive.request_body(request, 1).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    prompt_of(&body, dialect).into_iter().map(i64::from).collect()
}

/// The tokens of a request, as a server would read it.
pub fn prompt_of(body: &Value, dialect: &chat::Dialect) -> Vec<u32> {
    let mut messages = body["messages"].as_array().unwrap().clone();
    for message in &mut messages {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            let arguments = &mut call["function"]["arguments"];
            *arguments = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
        }
    }
    let sent = dialect.conversation(&messages, body["tools"].as_array().unwrap(), 0).unwrap();
    let text = dialect.template().render(&sent, true).unwrap();
    dialect.tokenizer().encode(&text).unwrap().ids
}

/// What is trained of a row, reply by reply; the prompt of each is the request that was sent.
fn trained(world: &World, row: &Value) -> Vec<String> {
    let dialect = chat::Dialect::open(&model(), Some(&template(TOOL_AWARE))).unwrap();
    let (input, labels) = (ids(row, "input_ids"), ids(row, "labels"));
    let archive = world.archive();
    let mut texts = Vec::new();
    for reply in row["replies"].as_array().unwrap() {
        let tokens = ids(reply, "tokens");
        let (from, to) = (tokens[0] as usize, tokens[1] as usize);
        let request = reply["request"].as_u64().unwrap() as u32;
        assert!(input[..from] == prompt(&archive, &dialect, request), "request {request}");
        let kept: Vec<u32> =
            labels[from..to].iter().filter(|id| **id >= 0).map(|id| *id as u32).collect();
        texts.push(dialect.tokenizer().decode(&kept).unwrap());
        assert!(!reply["events"].as_array().unwrap().is_empty());
    }
    texts
}

#[test]
fn tokens_train_what_the_model_wrote_on_the_prompts_it_was_given() {
    let world = recorded();
    let out = world.path("out");
    export_tokens(&world, &out, &[]).succeeds();
    let rows = rows(&out);
    assert_eq!(rows.len(), 1);
    let texts = trained(&world, &rows[0]);
    // Of the first reply, the call that was malformed is not trained, nor that it ended there.
    let first = "<think>\nLet me see.\n</think>\n\n<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"echo hi\"}}\n</tool_call>";
    assert_eq!(texts[0], first);
    assert!(
        texts[1].contains("\\\\377y") && texts[1].ends_with("</tool_call><|im_end|>"),
        "{texts:?}"
    );
    assert_eq!(texts[2], "Done.<|im_end|>");
    let read =
        |name: &str| serde_json::from_slice::<Value>(&fs::read(out.join(name)).unwrap()).unwrap();
    let (ledger, manifest) = (read("ledger.json"), read("manifest.json"));
    let labels = ids(&rows[0], "labels");
    let count = labels.iter().filter(|id| **id >= 0).count();
    assert_eq!(ledger["kept"]["trained_tokens"], count);
    assert_eq!(ledger["untrained"]["malformed"], 1);
    // The spaces between arguments are the template's; that of a malformed call is not trained.
    assert_eq!(ledger["lost"]["arguments_the_template_spells"]["count"], 2);
    assert_eq!(manifest["target"]["template"].as_str().unwrap().len(), 64);
    // The same sessions give the same bytes.
    export_tokens(&world, &world.path("again"), &[]).succeeds();
    let bytes = |folder: &str| fs::read(world.path(folder).join("tokens.jsonl")).unwrap();
    assert!(bytes("out") == bytes("again"));
}

#[test]
fn a_round_is_a_row_and_each_reply_is_trained_once() {
    let world = World::new();
    let server = server([
        shell("echo one"),
        Reply::new().reasoning("So.").then_text("First."),
        Reply::text("Second."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    let (whole, rounds) = (world.path("whole"), world.path("rounds"));
    export_tokens(&world, &whole, &[]).succeeds();
    export_tokens(&world, &rounds, &["--rows", "round"]).succeeds();
    let texts =
        |out: &Path| rows(out).iter().map(|row| trained(&world, row)).collect::<Vec<Vec<String>>>();
    let (whole, rounds) = (texts(&whole), texts(&rounds));
    assert_eq!((whole.len(), rounds.len()), (1, 2));
    assert_eq!(whole.concat(), rounds.concat());
    assert_eq!(rounds[1], ["Second.<|im_end|>"]);
    // A template that forgets earlier thoughts needs it, and says so.
    let forgets = template("src/chat/fixtures/templates/qwen3.jinja");
    let forgets = ["--template", forgets.to_str().unwrap()];
    let model = model();
    let args =
        [&["--status", "all", "--tokenizer", model.to_str().unwrap()], &forgets[..]].concat();
    let out = world.path("forgets");
    export(&world, "tokens", &out, &args).exits(1).says(&["--rows round", "Message 4"]);
    assert!(!out.exists());
    let args = [&args[..], &["--rows", "round"]].concat();
    export(&world, "tokens", &out, &args).succeeds();
    assert_eq!(rows(&out).len(), 2);
}

#[test]
fn a_row_that_is_too_long_is_named_and_not_cut() {
    let world = recorded();
    let out = world.path("out");
    let run = export_tokens(&world, &out, &["--max-tokens", "20"]).succeeds();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["samples"], 0);
    assert!(report["over_budget"][0]["tokens"].as_u64().unwrap() > 20);
    assert_eq!(report["ledger"]["lost"]["rows_over_budget"]["count"], 1);
    // Nothing of it was kept.
    assert_eq!(report["ledger"]["kept"], serde_json::json!({}));
    assert!(rows(&out).is_empty());
}

#[test]
fn a_template_that_drops_tools_is_refused() {
    let world = recorded();
    let out = world.path("out");
    let (model, drops) = (model(), template("src/chat/fixtures/templates/smollm2.jinja"));
    let args = ["--status", "all", "--tokenizer", model.to_str().unwrap(), "--template"];
    let args = [&args[..], &[drops.to_str().unwrap()]].concat();
    let run = export(&world, "tokens", &out, &args).exits(1);
    run.says(&["the tools on offer", "tool calls", "--template chatml-tools"]);
    assert!(!out.exists());
    export(&world, "tokens", &out, &["--status", "all"]).exits(2).says(&["--tokenizer"]);
    export(&world, "messages", &out, &args).exits(2).says(&["--format tokens"]);
}

#[test]
fn an_export_of_tokens_is_shown_with_what_is_trained() {
    let world = recorded();
    let out = world.path("out");
    export_tokens(&world, &out, &[]).succeeds();
    let (place, model) = (out.to_str().unwrap(), model());
    let inspect = ["dataset", "inspect", place, "--tokenizer", model.to_str().unwrap()];
    let run = world.limn(&inspect).succeeds();
    for words in ["row 1:", "⟦Done.<|im_end|>⟧", "\n⟦<think>\nLet me see."] {
        assert!(run.stdout.contains(words), "{words:?}: {}", run.stdout);
    }
    let run = world.limn(&["dataset", "stats", place, "--json"]).succeeds();
    let stats: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&stats["rows"], &stats["replies"]), (&1.into(), &3.into()));
    let drawn = world.limn(&["dataset", "stats", place]).succeeds().stdout;
    assert!(drawn.contains("1 row of 1 session\n") && drawn.contains('█'), "{drawn}");
    for what in ["version", "tokenizer", "template"] {
        let hash = stats["hashes"][what].as_str().unwrap();
        assert!(hash.len() == 64 && drawn.contains(&format!("{what:<11} {hash}")), "{drawn}");
    }
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    let tokenizer = fs::read_to_string(model.join("tokenizer.json")).unwrap();
    fs::write(other.join("tokenizer.json"), format!("{tokenizer}\n")).unwrap();
    let other = ["dataset", "inspect", place, "--tokenizer", other.to_str().unwrap()];
    world.limn(&other).exits(1).says(&["tokenizer"]);
    for row in ["0", "2"] {
        let args = [&inspect[..], &["--row", row]].concat();
        world.limn(&args).exits(1).says(&[&format!("no row {row}"), "from 1 to 1"]);
    }
    let nowhere = world.limn(&["dataset", "stats", "nowhere"]).exits(1);
    nowhere.says(&["no export", "manifest.json", "limn export"]);
    let messages = world.path("messages");
    export(&world, "messages", &messages, &["--status", "all"]).succeeds();
    let messages =
        ["dataset", "inspect", messages.to_str().unwrap(), "--tokenizer", model.to_str().unwrap()];
    world.limn(&messages).exits(1).says(&["the format \"messages\"", "no tokens"]);
}

#[test]
fn messages_are_written_in_the_forms_of_other_trainers() {
    let world = recorded();
    let written = |format: &str| {
        let out = world.path(format);
        let run = export(&world, format, &out, &["--status", "all"]).succeeds();
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(report["format"], format);
        let lines = fs::read_to_string(out.join("messages.jsonl")).unwrap();
        let row = lines.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap());
        (row, report)
    };
    // The first reply has a malformed call, and is context in each of them.
    for (format, key, no, yes) in [
        ("openai", "weight", 0.into(), 1.into()),
        ("axolotl", "train", false.into(), true.into()),
        ("slime", "step_loss_mask", Value::from(0), Value::from(1)),
    ] {
        let (row, _) = written(format);
        let row = row.unwrap();
        assert_eq!((&row["messages"][2][key], &row["messages"][5][key]), (&no, &yes), "{format}");
    }
    let (row, report) = written("limi");
    assert!(row.is_none());
    assert_eq!(report["ledger"]["lost"]["rows_with_an_untrained_reply"]["count"], 1);
    assert_eq!(report["ledger"]["kept"], serde_json::json!({}));
}
