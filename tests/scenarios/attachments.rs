//! Files that are handed in with a prompt: shown to the model, kept in the recording, exported.

use std::fs;
use std::path::{Path, PathBuf};

use mock_server::Reply;
use serde_json::Value;
use trajectory::Body;
use trajectory::event::Attachment;

use crate::world::{World, run, server};

/// A picture as far as anybody looks.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n some pixels \0\xff";
const GIF: &[u8] = b"GIF89a more pixels";

fn attached(world: &World) -> Vec<Attachment> {
    let attachments = |body| match body {
        Body::Prompt(prompt) => prompt.attachments,
        _ => unreachable!(),
    };
    world.bodies("prompt").into_iter().flat_map(attachments).collect()
}

/// A session with two pictures and a text.
fn recorded() -> World {
    let world = World::new();
    fs::write(world.path("work/one.png"), PNG).unwrap();
    // What it is called says nothing.
    fs::write(world.path("work/two.txt"), GIF).unwrap();
    world.write("work/notes.md", "remember the ```milk```\n");
    let server = server([Reply::text("I see."), Reply::text("Still.")]);
    let files = ["--image", "one.png", "--attach", "two.txt", "--attach", "notes.md"];
    world.exec(&server.url(), &[&files[..], &["what is this?"]].concat()).succeeds();
    let content = server.requests()[0].messages()[1]["content"].clone();
    assert!(
        content[0]["text"].as_str().unwrap().contains("notes.md:\n````\nremember"),
        "{content}"
    );
    assert!(content[1]["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert!(content[2]["image_url"]["url"].as_str().unwrap().starts_with("data:image/gif;base64,"));
    world
}

#[test]
fn pictures_are_shown_and_kept_and_texts_go_into_the_prompt() {
    let world = recorded();
    let attached = attached(&world);
    let named: Vec<(&str, &str)> =
        attached.iter().map(|one| (one.name.as_str(), one.media_type.as_str())).collect();
    assert_eq!(named, [("one.png", "image/png"), ("two.txt", "image/gif")]);
    let bytes = world.archive().attachment(&attached[0].blake3).unwrap();
    assert_eq!(bytes.as_deref(), Some(PNG));
    let shown = world.limn(&["show", "last"]).succeeds();
    assert!(shown.stdout.contains("[with one.png (image/png)]"), "{}", shown.stdout);
    world.assert_sound();
    // They go with the session that they came with.
    world.limn(&["rm", "last"]).succeeds().says(&["removed what only its checkpoints held"]);
    for file in walk(&world.data()) {
        let found = memchr::memmem::find(&fs::read(&file).unwrap(), b"some pixels");
        assert!(found.is_none(), "{}", file.display());
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_resumed_session_sends_its_pictures_again() {
    let world = World::new();
    fs::write(world.path("work/one.png"), PNG).unwrap();
    let server = server([Reply::text("I see."), Reply::text("Still.")]);
    world.exec(&server.url(), &["--image", "one.png", "what is this?"]).succeeds();
    fs::remove_file(world.path("work/one.png")).unwrap();
    world.exec(&server.url(), &["--resume", "last", "and now?"]).succeeds();
    let (first, second) = (server.requests()[0].messages(), server.requests()[1].messages());
    assert_eq!(first[1], second[1]);
}

#[test]
fn what_cannot_be_handed_in_is_refused_before_anything_is_recorded() {
    let world = World::new();
    let server = server([Reply::text("never")]);
    fs::write(world.path("work/program"), b"\x7fELF\0\0\0").unwrap();
    world.write("work/text.txt", "text");
    let long = fs::File::create(world.path("work/long")).unwrap();
    long.set_len(21 << 20).unwrap();
    let cases = [
        ("--attach", "program", "neither a picture"),
        ("--image", "text.txt", "no picture"),
        ("--image", "gone.png", "gone.png"),
        ("--attach", "long", "20 MiB"),
        ("--attach", ".", "regular file"),
    ];
    for (flag, file, word) in cases {
        world.exec(&server.url(), &[flag, file, "go"]).exits(2).says(&[word, file]);
    }
    assert!(server.requests().is_empty());
    assert!(world.home().session_ids().unwrap().is_empty());
}

#[test]
fn each_line_names_its_own_files() {
    let world = World::new();
    fs::write(world.path("work/one.png"), PNG).unwrap();
    let server = server([Reply::text("one"), Reply::text("two")]);
    let lines = "{\"prompt\":\"look\",\"attachments\":[\"one.png\"]}\n\
                 {\"type\":\"prompt\",\"text\":\"and now?\"}\n\
                 {\"prompt\":\"again\",\"attachments\":[\"gone.png\"]}\n";
    world.write("lines", lines);
    let mut command = world.exec_command(&server.url(), &["--input-format", "jsonl"]);
    command.stdin(fs::File::open(world.path("lines")).unwrap());
    let run = run(command).exits(2).says(&["gone.png"]);
    assert_eq!(run.stdout, "one\ntwo\n");
    assert_eq!(attached(&world).len(), 1);
    let more = ["--input-format", "jsonl", "--image", "one.png"];
    world.exec(&server.url(), &more).exits(2).says(&["attachments"]);
}

fn export(world: &World, format: &str, out: &Path) -> Value {
    let out = out.to_str().unwrap();
    let args = ["export", "--format", format, "--out", out, "--status", "all", "--json"];
    world.limn(&args).succeeds().json_lines().remove(0)
}

#[test]
fn a_session_in_a_folder_of_its_part_says_where_its_pictures_are() {
    let world = recorded();
    let out = world.path("out");
    let args = ["export", "--format", "atif", "--status", "all", "--split", "train=1", "--out"];
    world.limn(&[&args[..], &[out.to_str().unwrap()]].concat()).succeeds();
    let id = world.home().find("last").unwrap();
    let file = out.join(format!("train/{id}.trajectory.json"));
    let document: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let path = document["steps"][1]["message"][1]["source"]["path"].as_str().unwrap();
    assert_eq!(fs::read(out.join("train").join(path)).unwrap(), PNG);
}

#[test]
fn an_export_has_the_pictures_as_files() {
    let world = recorded();
    let (one, two) = (world.path("one"), world.path("two"));
    let report = export(&world, "messages", &one);
    export(&world, "messages", &two);
    let lines = fs::read_to_string(one.join("messages.jsonl")).unwrap();
    let row: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let content = &row["messages"][1]["content"];
    assert_eq!((&content[0]["type"], &content[1]["type"]), (&"text".into(), &"image".into()));
    let path = content[1]["image"].as_str().unwrap();
    assert_eq!(path, format!("images/{}.png", blake3::hash(PNG).to_hex()));
    assert_eq!(fs::read(one.join(path)).unwrap(), PNG);
    assert_eq!(fs::read(two.join(path)).unwrap(), PNG);
    assert_eq!(report["ledger"]["kept"]["images"], 2);
    let named = report["files"].as_array().unwrap().iter().any(|file| file["name"] == path);
    assert!(named, "{report}");
    // Messages without pictures are plain texts.
    assert!(row["messages"][2]["content"].is_string());
}

#[test]
fn a_picture_that_the_model_was_not_shown_is_a_line_of_text() {
    let world = World::new();
    fs::write(world.path("work/one.png"), PNG).unwrap();
    let server = server([Reply::text("I see nothing.")]);
    world.settings("[models.\"mock-*\"]\nimages = false\n");
    let run = world.exec(&server.url(), &["--image", "one.png", "what is this?"]).succeeds();
    assert!(run.stderr.contains("cannot be shown"), "{}", run.stderr);
    let sent = server.requests()[0].messages()[1]["content"].to_string();
    assert!(sent.contains("one.png (image/png) cannot be shown"), "{sent}");
    let report = export(&world, "messages", &world.path("out"));
    assert_eq!(report["ledger"]["lost"]["images_not_shown"]["count"], 1, "{report}");
    let lines = fs::read_to_string(world.path("out/messages.jsonl")).unwrap();
    // What was sent is what is exported.
    let row: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(row["messages"][1], server.requests()[0].messages()[1]);
    assert!(!world.path("out/images").exists());
}

#[test]
fn forms_without_a_place_for_pictures_have_lines_of_text_and_no_files() {
    let world = recorded();
    for format in ["openai", "limi"] {
        let out = world.path(format);
        let report = export(&world, format, &out);
        assert_eq!(report["ledger"]["lost"]["images"]["count"], 2, "{report}");
        assert!(report["ledger"]["kept"].get("images").is_none(), "{report}");
        let row = fs::read_to_string(out.join("messages.jsonl")).unwrap();
        let line = attached(&world)[0].placeholder();
        assert!(row.contains(&line), "{row}");
        assert!(!out.join("images").exists());
    }
}

#[test]
fn a_picture_that_is_gone_is_reported_and_stops_nothing() {
    let world = recorded();
    let hash = blake3::hash(PNG);
    let file = world.home().session_file(world.home().find("last").unwrap());
    let connection = rusqlite::Connection::open(file).unwrap();
    let gone = "UPDATE blob SET data = NULL WHERE hash = ?";
    assert_eq!(connection.execute(gone, [hash.as_bytes().as_slice()]).unwrap(), 1);
    drop(connection);
    let report = export(&world, "messages", &world.path("out"));
    assert_eq!(report["ledger"]["lost"]["images_missing"]["count"], 1, "{report}");
    assert_eq!(report["ledger"]["kept"]["images"], 1);
    world.limn(&["show", "last"]).succeeds();
}

#[test]
fn a_bundle_carries_the_pictures() {
    let world = recorded();
    let (one, two) = (world.path("one"), world.path("two"));
    let report = export(&world, "bundle", &one);
    assert_eq!(report["ledger"]["kept"]["images"], 2);
    let is_bundle = |path: &PathBuf| path.extension().is_some_and(|end| end == "limn");
    let bundle = walk(&one).into_iter().find(is_bundle).unwrap();
    let other = World::new();
    other.limn(&["import", "bundle", bundle.to_str().unwrap()]).succeeds();
    let bytes = other.archive().attachment(&attached(&other)[0].blake3).unwrap();
    assert_eq!(bytes.as_deref(), Some(PNG));
    other.assert_sound();
    export(&other, "bundle", &two);
    let again = walk(&two).into_iter().find(is_bundle).unwrap();
    assert!(fs::read(again).unwrap() == fs::read(bundle).unwrap(), "identical bytes");
}
