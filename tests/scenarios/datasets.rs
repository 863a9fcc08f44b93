//! Versions of a dataset: chosen, split, put before the gates, checked, compared, made again.

use std::fs;
use std::path::Path;

use mock_server::Reply;
use serde_json::Value;

use crate::export::{TOOL_AWARE, lines, model, template};
use crate::world::{Run, World, server, shell};

/// A session that runs a command and answers.
fn record(world: &World, says: &str) -> String {
    record_with(world, says, "mock-model")
}

fn record_with(world: &World, says: &str, model: &str) -> String {
    let server = server([shell(&format!("echo {says}")), Reply::text(says)]);
    let url = server.url();
    let args = ["exec", "--model", model, "--base-url", &url, "--sandbox", "off", says];
    world.limn(&args).succeeds();
    world.home().find("last").unwrap().to_string()
}

fn export(world: &World, out: &str, more: &[&str]) -> Run {
    let out = world.path(out);
    let mut args = vec!["export", "--out", out.to_str().unwrap(), "--json"];
    if !more.contains(&"--again") && !more.contains(&"--format") {
        args.extend(["--format", "messages"]);
    }
    world.limn(&[&args[..], more].concat())
}

fn report(run: Run) -> Value {
    serde_json::from_str(&run.succeeds().stdout).unwrap()
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The sessions of an export.
fn sessions(folder: &Path) -> Vec<String> {
    let manifest = manifest(folder);
    let sessions = manifest["sessions"].as_array().unwrap().iter();
    sessions.map(|facts| facts["session"].as_str().unwrap().to_owned()).collect()
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn sessions_are_chosen_by_what_is_said_and_known_of_them() {
    let world = World::new();
    world.settings("annotator = \"ada\"\n");
    let one = record(&world, "one");
    let two = record_with(&world, "two", "other-model");
    let annotate = |id: &str, more: &[&str]| {
        world.limn(&[&["annotate", id], more].concat()).succeeds();
    };
    let args = ["--tag", "first", "--tag", "kept", "--domain", "coding", "--consent", "team"];
    annotate(&one, &args);
    annotate(&two, &["--tag", "kept", "--outcome", "failure"]);
    let work = world.workspace();
    let (tomorrow, work) = ("2100-01-01", work.to_str().unwrap());
    let mut number = 0;
    let mut check = |filters: &[&str], expected: &[&String]| {
        number += 1;
        let out = format!("out{number}");
        let run = export(&world, &out, filters);
        if expected.is_empty() {
            run.exits(1).says(&["Nothing to export"]);
        } else {
            run.succeeds();
            let found = sessions(&world.path(&out));
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filters:?}");
        }
    };
    let all = ["--status", "all"];
    let with = |more: &[&'static str]| [&all[..], more].concat();
    check(&all, &[&one, &two]);
    check(&with(&["--tag", "kept"]), &[&one, &two]);
    check(&with(&["--tag", "kept", "--tag", "first"]), &[&one]);
    check(&with(&["--without-tag", "first"]), &[&two]);
    check(&with(&["--domain", "coding"]), &[&one]);
    check(&with(&["--model", "other-model"]), &[&two]);
    check(&with(&["--annotator", "ada"]), &[&one, &two]);
    check(&with(&["--annotator", "bob"]), &[]);
    check(&with(&["--since", tomorrow]), &[]);
    check(&with(&["--until", tomorrow]), &[&one, &two]);
    check(&with(&["--since", "1h"]), &[&one, &two]);
    check(&with(&["--until", "1h"]), &[]);
    check(&with(&["--consent", "team"]), &[&one]);
    check(&with(&["--consent", "public"]), &[]);
    check(&with(&["--workspace", "/nowhere"]), &[]);
    check(&[&all[..], &["--workspace", work]].concat(), &[&one, &two]);
    check(&["--outcome", "failure"], &[&two]);
    check(&[], &[]);
    annotate(&one, &["--untag", "first", "--consent", "private"]);
    check(&with(&["--tag", "first"]), &[]);
    check(&all, &[&two]);
    export(&world, "bad", &with(&["--since", "soon"])).exits(2).says(&["2026-11-20"]);
    world.limn(&["annotate", "last", "--tag", "two words"]).exits(2).says(&["one word"]);
    // Where a workspace lies is nobody's business.
    assert!(!fs::read_to_string(world.path("out16/manifest.json")).unwrap().contains(work));
}

#[test]
fn what_is_private_by_its_settings_or_became_so_stays_out() {
    let world = World::new();
    world.settings("consent = \"team\"\n");
    let team = record(&world, "one");
    world.settings("consent = \"private\"\n");
    let private = record(&world, "two");
    export(&world, "v1", &["--status", "all"]).succeeds();
    assert_eq!(sessions(&world.path("v1")), [team.as_str()]);
    assert_eq!(manifest(&world.path("v1"))["sessions"][0]["consent"], "team");
    export(&world, "team", &["--status", "all", "--consent", "team"]).succeeds();
    let named = ["--status", "all", "--session", &private];
    export(&world, "no", &named).exits(1).says(&["1 private"]);
    // What is said later counts more than what was set, unless that was private.
    for id in [&team, &private] {
        world.limn(&["annotate", id, "--consent", "public"]).succeeds();
    }
    export(&world, "public", &["--status", "all", "--consent", "public"]).succeeds();
    assert_eq!(sessions(&world.path("public")), [team.as_str()]);
    export(&world, "no", &named).exits(1).says(&["1 private"]);
    world.limn(&["annotate", &team, "--consent", "private"]).succeeds();
    let v1 = world.path("v1");
    let again = ["--again", v1.to_str().unwrap()];
    export(&world, "again", &again).exits(1).says(&[&team, "private now", "--parent"]);
    assert!(!world.path("again").exists());
}

#[test]
fn a_bundle_is_the_same_again_whatever_is_said_until_its_session_goes_on() {
    let world = World::new();
    let id = record(&world, "one");
    let args = ["--format", "bundle", "--status", "all"];
    export(&world, "v1", &args).succeeds();
    world.limn(&["annotate", &id, "--outcome", "failure", "--tag", "later"]).succeeds();
    let v1 = world.path("v1");
    let again = ["--again", v1.to_str().unwrap()];
    export(&world, "again", &again).succeeds();
    assert_eq!(files(&world.path("again")), files(&v1));
    let server = server([Reply::text("More.")]);
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    export(&world, "more", &again).exits(1).says(&[&id, "went on since", "without --again"]);
}

#[test]
fn a_version_is_the_same_bytes_again_after_its_sessions_went_on() {
    let world = World::new();
    let id = record(&world, "one");
    let args = ["--status", "all", "--name", "Mine", "--licence", "cc-by-4.0"];
    export(&world, "v1", &args).succeeds();
    let v1 = world.path("v1");
    // The session goes on, another one is recorded, and what is said changes.
    let server = server([Reply::text("More.")]);
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    world.limn(&["annotate", &id, "--outcome", "failure"]).succeeds();
    let other = record(&world, "two");
    let place = v1.to_str().unwrap();
    export(&world, "again", &["--again", place]).succeeds();
    assert_eq!(files(&world.path("again")), files(&v1));
    // A version after it says so, and keeps what is not said anew.
    export(&world, "v2", &["--status", "all", "--parent", place]).succeeds();
    let (first, second) = (manifest(&v1), manifest(&world.path("v2")));
    assert_eq!(second["parent"], first["id"]);
    assert_eq!(second["recipe"]["licence"], "cc-by-4.0");
    let v2 = world.path("v2");
    let run = world.limn(&["dataset", "diff", place, v2.to_str().unwrap(), "--json"]).succeeds();
    let differs: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(differs["is_child"], true);
    assert_eq!(differs["added"], serde_json::json!([other]));
    assert_eq!(differs["went_on"], serde_json::json!([id]));
    let same = world.path("again");
    let run = world.limn(&["dataset", "diff", place, same.to_str().unwrap()]).succeeds();
    assert_eq!(run.stdout, "the same version\n");
    // Without its session there is no version, and nothing is left behind.
    world.limn(&["rm", &id]).succeeds();
    export(&world, "gone", &["--again", place]).exits(1).says(&[&id]);
    assert!(!world.path("gone").exists());
}

#[test]
fn parts_are_by_workspace_and_stay_when_sessions_are_added() {
    let world = World::new();
    let record_in = |number: usize| {
        let folder = world.path(&format!("work/{number}"));
        fs::create_dir_all(&folder).unwrap();
        for says in ["one", "two"] {
            let server = server([Reply::text(&format!("{says} {number}"))]);
            let mut command = world.exec_command(&server.url(), &[says]);
            command.current_dir(&folder);
            crate::world::run(command).succeeds();
        }
    };
    (0..6).for_each(record_in);
    let args = ["--status", "all", "--split", "train=1,test=1", "--seed", "3"];
    let first = report(export(&world, "v1", &args));
    let parts = |folder: &Path| -> Vec<(String, String, String)> {
        let manifest = manifest(folder);
        let word = |facts: &Value, key: &str| facts[key].as_str().unwrap().to_owned();
        let sessions = manifest["sessions"].as_array().unwrap().iter();
        sessions.map(|it| (word(it, "session"), word(it, "group"), word(it, "split"))).collect()
    };
    let before = parts(&world.path("v1"));
    assert_eq!(before.len(), 12);
    for (_, group, part) in &before {
        let apart = before.iter().find(|(_, other, it)| other == group && it != part);
        assert_eq!(apart, None);
    }
    // Where a group goes hangs on the device, which is a new one each time: all may go to one part,
    // and the other has no file then.
    for part in ["train", "test"] {
        let path = world.path("v1").join(format!("messages-{part}.jsonl"));
        let rows = fs::read_to_string(path).map_or(0, |text| text.lines().count() as u64);
        let named = before.iter().filter(|(_, _, of)| of == part).count() as u64;
        assert_eq!((first["parts"][part].as_u64().unwrap_or(0), named), (rows, rows), "{part}");
    }
    assert!(!world.path("v1/messages.jsonl").exists());
    (6..9).for_each(record_in);
    export(&world, "v2", &args).succeeds();
    let after = parts(&world.path("v2"));
    assert_eq!(after.len(), 18);
    assert_eq!(before.iter().find(|it| !after.contains(it)), None);
    let card = fs::read_to_string(world.path("v1/README.md")).unwrap();
    assert!(card.contains("  - split: test\n    path: messages-test.jsonl\n"), "{card}");
    for (bad, why) in [("train", "train=90"), ("a=1,a=2", "named twice"), ("a/b=1", "train=90")] {
        export(&world, "bad", &["--split", bad]).exits(2).says(&[why]);
    }
}

#[test]
fn every_clone_of_a_repository_is_in_the_same_part_and_its_address_is_nowhere() {
    let world = World::new();
    let urls = [
        "https://ada:s3cret@example.org/ada/engine.git",
        "git@example.org:ada/engine.git",
        "https://example.org/Ada/Engine",
        "https://example.org/ada/loom.git",
    ];
    let mut sessions = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let folder = world.path(&format!("work/clone{number}"));
        fs::create_dir_all(folder.join("src")).unwrap();
        for args in [&["init", "--quiet"][..], &["remote", "add", "origin", url]] {
            let mut git = std::process::Command::new("git");
            assert!(git.args(args).current_dir(&folder).status().unwrap().success());
        }
        let server = server([Reply::text(&format!("in {number}"))]);
        let mut command = world.exec_command(&server.url(), &["--no-checkpoints", "go"]);
        command.current_dir(folder.join(if number == 1 { "src" } else { "." }));
        crate::world::run(command).succeeds();
        sessions.push(world.home().find("last").unwrap().to_string());
    }
    export(&world, "v1", &["--status", "all", "--split", "train=1,test=1"]).succeeds();
    let manifest = manifest(&world.path("v1"));
    let group = |session: &String| {
        let all = manifest["sessions"].as_array().unwrap();
        all.iter().find(|it| it["session"] == session.as_str()).unwrap()["group"].clone()
    };
    let groups: Vec<Value> = sessions.iter().map(group).collect();
    assert!(groups[..3].iter().all(|it| *it == groups[0]), "{groups:?}");
    assert_ne!(groups[0], groups[3]);
    // What is known of a repository is a hash, here and in what is exported.
    let folders = [world.home().sessions(), world.path("v1")];
    for path in folders.iter().flat_map(|folder| crate::world::files(folder)) {
        let bytes = fs::read(&path).unwrap();
        for word in ["s3cret", "example.org", "ada/engine"] {
            let found = memchr::memmem::find(&bytes, word.as_bytes());
            assert_eq!(found, None, "{word} in {}", path.display());
        }
    }
    let shown = world.limn(&["show", &sessions[1], "--json"]).succeeds().json_lines();
    assert_eq!(
        shown[0]["environment"]["repository"].as_str().map(str::len),
        Some(64),
        "{}",
        shown[0]
    );
}

#[test]
fn what_a_gate_leaves_out_is_named_and_can_be_kept_for_a_reason() {
    let world = World::new();
    let good = record(&world, "one");
    let double = record(&world, "one");
    let unfinished = server([shell("true")]);
    world.exec(&unfinished.url(), &["--max-steps", "1", "go"]).exits(1);
    let cut = world.home().find("last").unwrap().to_string();
    let first = report(export(&world, "v1", &["--status", "all"]));
    assert_eq!(sessions(&world.path("v1")), [good.as_str()]);
    assert_eq!(first["gates"]["duplicates"]["sessions"], serde_json::json!([double]));
    assert_eq!(first["gates"]["unfinished"]["sessions"], serde_json::json!([cut]));
    let v1 = world.path("v1");
    export(&world, "again", &["--again", v1.to_str().unwrap()]).succeeds();
    assert_eq!(files(&world.path("again")), files(&v1));
    let waive = ["--status", "all", "--waive", "unfinished=a lesson in stopping"];
    let second = report(export(&world, "v2", &waive));
    assert_eq!(sessions(&world.path("v2")), [good, cut.clone()]);
    assert_eq!(second["gates"]["unfinished"]["waived"], "a lesson in stopping");
    assert!(fs::read_to_string(world.path("v2/README.md")).unwrap().contains("a lesson in stop"));
    let alone = ["--status", "all", "--session", &cut];
    export(&world, "v3", &alone).exits(1).says(&["1 × unfinished", "--waive"]);
    assert!(!world.path("v3").exists());
    export(&world, "v3", &["--waive", "unfinished"]).exits(2).says(&["reason"]);
    export(&world, "v3", &["--waive", "nothing=x"]).exits(2).says(&["unfinished, unpaired"]);
}

#[test]
fn a_version_is_verified_to_the_byte() {
    let world = World::new();
    record(&world, "one");
    export(&world, "v1", &["--status", "all"]).succeeds();
    let v1 = world.path("v1");
    let verify = || world.limn(&["dataset", "verify", v1.to_str().unwrap()]);
    verify().succeeds().says(&["whole"]);
    let data = v1.join("messages.jsonl");
    let whole = fs::read_to_string(&data).unwrap();
    fs::write(&data, whole.replace("one", "two")).unwrap();
    verify().exits(1).says(&["messages.jsonl is not what was written", "--again"]);
    fs::write(&data, &whole).unwrap();
    fs::write(v1.join("more.jsonl"), "{}").unwrap();
    verify().exits(1).says(&["more.jsonl was added"]);
    fs::remove_file(v1.join("more.jsonl")).unwrap();
    let manifest = fs::read_to_string(v1.join("manifest.json")).unwrap();
    fs::write(v1.join("manifest.json"), manifest.replace("\"rows\": 1", "\"rows\": 2")).unwrap();
    verify().exits(1).says(&["manifest.json was changed"]);
    fs::write(v1.join("manifest.json"), manifest.replace("messages.jsonl", "../work/x")).unwrap();
    verify().exits(1).says(&["outside"]);
    fs::write(v1.join("manifest.json"), "{").unwrap();
    verify().exits(1).says(&["no JSON"]);
    fs::remove_file(v1.join("manifest.json")).unwrap();
    verify().exits(1).says(&["no manifest.json"]);
}

#[test]
fn a_card_says_what_is_in_a_version() {
    let world = World::new();
    record(&world, "one");
    world.limn(&["annotate", "last", "--outcome", "success", "--domain", "coding"]).succeeds();
    // A name is a text, and nothing of it is markup.
    let name = "Mine: \"<b>\" | \n---";
    export(&world, "v1", &["--name", name, "--licence", "mit"]).succeeds();
    let v1 = world.path("v1");
    let card = fs::read_to_string(v1.join("README.md")).unwrap();
    for words in [
        "pretty_name: \"Mine: \\\"<b>\\\" | \\n---\"\n",
        "license: \"mit\"\n",
        "\n# Mine: \"\\<b\\>\" \\|  ---\n",
        "    path: messages.jsonl\n",
        "| coding | 1 |",
        "| shell | 1 |",
        "| success | 1 |",
        "](tokens.svg)",
    ] {
        assert!(card.contains(words), "{words:?}: {card}");
    }
    for picture in ["tokens.svg", "steps.svg"] {
        let svg = fs::read_to_string(v1.join(picture)).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("<rect"));
    }
    let place = v1.to_str().unwrap();
    assert_eq!(world.limn(&["dataset", "card", place]).succeeds().stdout, card);
    let stats = world.limn(&["dataset", "stats", place, "--json"]).succeeds().stdout;
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["models"], serde_json::json!({ "mock-model": 1 }));
    assert_eq!((&stats["rows"], &stats["steps"]), (&1.into(), &serde_json::json!([2])));
    let drawn = world.limn(&["dataset", "stats", place]).succeeds().stdout;
    for words in ["about ", "█", "tools       shell 1", "domains     coding 1"] {
        assert!(drawn.contains(words), "{words:?}: {drawn}");
    }
}

/// Calls made at once, text beside them, a thought, and two rounds.
fn record_much(world: &World) -> String {
    let server = server([
        Reply::new()
            .reasoning("Two at once.")
            .then_text("I look.")
            .call("shell", "{\"command\": \"echo a\"}")
            .call("shell", "{\"command\": \"echo b\"}"),
        Reply::text("Both are there."),
        shell("echo c"),
        Reply::text("That too."),
    ]);
    world.exec(&server.url(), &["look"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "and c"]).succeeds();
    world.home().find("last").unwrap().to_string()
}

fn row(folder: &Path) -> Value {
    let lines = fs::read_to_string(folder.join("messages.jsonl")).unwrap();
    serde_json::from_str(lines.lines().next().unwrap()).unwrap()
}

#[test]
fn sharegpt_has_turns_and_says_what_they_cannot_hold() {
    let world = World::new();
    record_much(&world);
    let made = |format: &str| {
        let report = report(export(&world, format, &["--format", format, "--status", "all"]));
        let row = row(&world.path(format));
        let turns = row["conversations"].as_array().unwrap().iter();
        let word = |turn: &Value, key: &str| turn[key].as_str().unwrap().to_owned();
        let turns: Vec<(String, String)> =
            turns.map(|turn| (word(turn, "from"), word(turn, "value"))).collect();
        (report, row, turns)
    };
    let (report, row, turns) = made("llamafactory");
    let who: Vec<&str> = turns.iter().map(|(who, _)| who.as_str()).collect();
    let round = ["human", "function_call", "observation", "gpt"];
    assert_eq!(who, [round, round].concat());
    assert!(!row["system"].as_str().unwrap().is_empty());
    let tools: Value = serde_json::from_str(row["tools"].as_str().unwrap()).unwrap();
    assert!(tools.as_array().unwrap().iter().any(|tool| tool["name"] == "shell"), "{tools}");
    // A thought in its tags, and then nothing but JSON: as many calls as were made.
    let (thought, calls) = turns[1].1.split_once("</think>").unwrap();
    assert_eq!(thought, "<think>\nTwo at once.\n");
    let calls: Value = serde_json::from_str(calls).unwrap();
    assert_eq!(calls[1], serde_json::json!({"name": "shell", "arguments": {"command": "echo b"}}));
    for (loss, count) in [("text_beside_calls", 1), ("turns_joined", 1), ("origins", 1)] {
        assert_eq!(report["ledger"]["lost"][loss]["count"], count, "{loss}");
    }
    let (report, _, turns) = made("sharegpt");
    let who: Vec<&str> = turns.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(who[..6], ["system", "human", "gpt", "tool", "tool", "gpt"]);
    assert!(turns[2].1.starts_with("<think>\nTwo at once.\n</think>\n\nI look.\n<tool_call>\n{"));
    assert_eq!(report["ledger"]["lost"]["calls_as_text"]["count"], 3);
    // A row with a reply that must not be trained is left out of both.
    let server = server([Reply::new().call("read", "{broken"), Reply::text("Done.")]);
    world.exec(&server.url(), &["break"]).succeeds();
    let alone = ["--status", "all", "--session", "last", "--format", "llamafactory"];
    let report = self::report(export(&world, "alone", &alone));
    assert_eq!(report["ledger"]["lost"]["rows_with_an_untrained_reply"]["count"], 1);
}

#[test]
fn whole_sessions_are_written_for_viewers_and_read_back() {
    let world = World::new();
    let id = record_much(&world);
    let report =
        |format: &str| report(export(&world, format, &["--format", format, "--status", "all"]));
    let kept = report("atif")["ledger"]["kept"].clone();
    assert_eq!(
        (&kept["replies"], &kept["tool_calls"], &kept["observations"]),
        (&4.into(), &3.into(), &3.into())
    );
    let text = fs::read_to_string(world.path(&format!("atif/{id}.trajectory.json"))).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema_version"], "ATIF-v1.8");
    let steps = document["steps"].as_array().unwrap();
    let who: Vec<&str> = steps.iter().map(|step| step["source"].as_str().unwrap()).collect();
    assert_eq!(who, ["system", "user", "agent", "agent", "user", "agent", "agent"]);
    let step = &steps[2];
    assert_eq!(step["reasoning_content"], "Two at once.");
    assert_eq!(step["message"], "I look.");
    let call = &step["tool_calls"][1];
    assert_eq!(call["arguments"]["command"], "echo b");
    let result = &step["observation"]["results"][1];
    assert_eq!(result["source_call_id"], call["tool_call_id"]);
    assert!(result["content"].as_str().unwrap().contains('b'));
    assert_eq!(result["extra"]["status"], "ok");

    let lost = report("traces")["ledger"]["lost"].clone();
    for (loss, count) in [("observation_details", 3), ("usage", 4), ("model_settings", 1)] {
        assert_eq!(lost[loss]["count"], count, "{loss}: {lost}");
    }
    let text = fs::read_to_string(world.path(&format!("traces/{id}.jsonl"))).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["type"], "session");
    assert_eq!((&lines[0]["harness"], &lines[0]["name"]), (&"limn".into(), &"look".into()));
    let roles: Vec<&str> =
        lines[1..].iter().map(|line| line["message"]["role"].as_str().unwrap()).collect();
    assert_eq!(roles[..6], ["system", "user", "assistant", "tool", "tool", "assistant"]);
    let call = &lines[3]["message"]["toolCalls"][0];
    assert_eq!(call["function"]["arguments"], "{\"command\": \"echo a\"}");
    assert_eq!(lines[4]["message"]["toolCallId"], call["id"]);
    for format in ["atif", "traces"] {
        let place = world.path(format);
        world.limn(&["dataset", "verify", place.to_str().unwrap()]).succeeds();
        let stats = world.limn(&["dataset", "stats", place.to_str().unwrap(), "--json"]).succeeds();
        let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
        assert_eq!((&stats["rows"], &stats["replies"]), (&1.into(), &4.into()), "{format}");
    }
    let args = ["--format", "traces", "--status", "all", "--split", "train=1"];
    export(&world, "split", &args).succeeds();
    assert!(world.path(&format!("split/train/{id}.jsonl")).exists());
    let args = ["--format", "atif", "--rows", "round"];
    export(&world, "rows", &args).exits(2).says(&["--rows"]);
    for format in ["limi", "llamafactory", "sharegpt"] {
        let args = ["--format", format, "--rows", "round"];
        export(&world, "rows", &args).exits(2).says(&["trains every reply", "axolotl"]);
    }
}

#[test]
fn rows_in_parquet_are_the_rows_of_the_lines() {
    let world = World::new();
    record_much(&world);
    let all = ["--status", "all", "--files"];
    export(&world, "lines", &[&all[..], &["jsonl"]].concat()).succeeds();
    export(&world, "columns", &[&all[..], &["parquet"]].concat()).succeeds();
    let stats = |name: &str| {
        let place = world.path(name).display().to_string();
        world.limn(&["dataset", "verify", &place]).succeeds();
        let stats = world.limn(&["dataset", "stats", &place, "--json"]).succeeds();
        let mut stats = stats.json_lines().remove(0);
        stats.as_object_mut().unwrap().remove("hashes");
        stats
    };
    assert_eq!(stats("lines"), stats("columns"));
    let file = fs::read(world.path("columns/messages.parquet")).unwrap();
    assert_eq!((&file[..4], &file[file.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let card = fs::read_to_string(world.path("columns/README.md")).unwrap();
    assert!(card.contains("    path: messages.parquet\n"), "{card}");
    let place = world.path("columns").display().to_string();
    export(&world, "again", &["--again", &place]).succeeds();
    assert_eq!(files(&world.path("again")), files(&world.path("columns")));
    let args = ["--format", "openai", "--files", "parquet"];
    export(&world, "no", &args).exits(2).says(&["Parquet"]);
}

#[test]
fn rows_of_messages_are_counted_as_the_model_reads_them() {
    let world = World::new();
    let short = record(&world, "one");
    let long = {
        let server = server([shell("seq 1 200").reasoning("Much."), Reply::text("Long.")]);
        world.exec(&server.url(), &["print"]).succeeds();
        world.home().find("last").unwrap().to_string()
    };
    let (model, template) = (model(), template(TOOL_AWARE));
    let (model, template) = (model.to_str().unwrap(), template.to_str().unwrap());
    let named = ["--status", "all", "--tokenizer", model, "--template", template];
    export(&world, "ids", &[&named[..], &["--format", "tokens"]].concat()).succeeds();
    let rows = lines(&world.path("ids/tokens.jsonl"));
    let tokens: Vec<usize> =
        rows.iter().map(|row| row["input_ids"].as_array().unwrap().len()).collect();
    assert_eq!(rows[0]["session"], short.as_str());
    assert!(tokens[0] < tokens[1], "{tokens:?}");
    let max = (tokens[1] - 1).to_string();
    let budget = [&named[..], &["--max-tokens", &max]].concat();
    for format in ["messages", "axolotl", "slime", "llamafactory", "sharegpt", "openai", "limi"] {
        let args = [&budget[..], &["--format", format]].concat();
        let report = report(export(&world, format, &args));
        let found: Vec<&Value> = report["over_budget"].as_array().unwrap().iter().collect();
        if matches!(format, "openai" | "limi") {
            // Without its thought it is short enough.
            assert_eq!((found.len(), &report["samples"]), (0, &2.into()), "{format}");
            continue;
        }
        assert_eq!((found.len(), &report["samples"]), (1, &1.into()), "{format}");
        assert_eq!(found[0]["session"], long.as_str());
        assert_eq!(found[0]["tokens"], tokens[1], "{format}");
        assert_eq!(report["ledger"]["lost"]["rows_over_budget"]["count"], 1);
        assert_eq!(report["gates"]["budget"]["sessions"], serde_json::json!([long]));
    }
    let waive = [&budget[..], &["--format", "axolotl", "--waive", "budget=long is good"]].concat();
    let waived = report(export(&world, "waived", &waive));
    assert_eq!(
        (&waived["samples"], &waived["over_budget"][0]["tokens"]),
        (&2.into(), &tokens[1].into())
    );
    // A version that was counted is counted again, with the same model.
    let place = world.path("axolotl");
    let again = ["--again", place.to_str().unwrap()];
    export(&world, "again", &again).exits(2).says(&["--tokenizer"]);
    let args = ["--tokenizer", model, "--template", template];
    export(&world, "again", &[&again[..], &args].concat()).succeeds();
    assert_eq!(files(&world.path("again")), files(&place));
    export(&world, "no", &[&named[..], &["--format", "slime"]].concat())
        .exits(2)
        .says(&["--max-tokens", "--format tokens"]);
    export(&world, "no", &[&budget[..], &["--format", "atif"]].concat())
        .exits(2)
        .says(&["--tokenizer", "--format"]);
    // What the template cannot hold is said, and nothing is written.
    let drops = self::template("src/chat/fixtures/templates/qwen2_5.jinja");
    let drops = ["--status", "all", "--tokenizer", model, "--template", drops.to_str().unwrap()];
    let drops = [&drops[..], &["--format", "messages", "--max-tokens", &max]].concat();
    export(&world, "no", &drops).exits(1).says(&[&long, "drops reasoning", "--template"]);
    assert!(!world.path("no").exists());
}
