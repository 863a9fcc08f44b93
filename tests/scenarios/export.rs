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
    let lines = fs::read_to_string(out.join("messages.jsonl")).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
    assert!(lines.contains(r#"{ "command":  "echo \u0068i" }"#), "the model's own spelling");
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
    // Once more changes nothing; and only the device it began on goes on with it.
    other.limn(&["import", "bundle", path]).succeeds();
    let server = server([Reply::text("never")]);
    other.exec(&server.url(), &["--resume", "last", "go on"]).exits(4).says(&["another device"]);
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
