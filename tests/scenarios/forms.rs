//! Every form of an export, byte for byte. Two sessions that were recorded once lie as bundles in
//! `forms/`, with what each form makes of them beside them: a change of a form is a change there,
//! and is seen in review.
//!
//! `LIMN_FORMS=write cargo test --workspace --test scenarios forms` writes the forms anew;
//! `LIMN_FORMS=record` records the sessions anew, too, where what is recorded has changed.

use std::fs;
use std::path::{Path, PathBuf};

use mock_server::Reply;

use crate::export::{TOOL_AWARE, model, template};
use crate::world::{World, copy_folder, files, run, server};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/forms")
}

/// Each form, with the files of it that are compared: all of them, or those that hold what was
/// recorded. Cards and manifests are the same in all forms but for names and hashes.
const FORMS: [(&str, bool); 11] = [
    ("messages", true),
    ("tokens", false),
    ("openai", false),
    ("axolotl", false),
    ("slime", false),
    ("limi", false),
    ("llamafactory", false),
    ("sharegpt", false),
    ("atif", false),
    ("traces", false),
    ("bundle", false),
];

/// What forms stumble over: thoughts, text and calls in one reply, odd spellings, a second round,
/// what is not ASCII; and in a session of their own, a picture and a broken call.
fn record(world: &World) {
    let odd = "{ \"command\":\t\"printf '%s' \\u0068\\ud83d\\ude80 '<a & b>' \\u65e5本\", \"timeout_ms\": 5e3 }";
    let with_calls = server([
        Reply::new()
            .reasoning("Two at once.\nSo be it.")
            .then_text("I look: <b>&amp;</b>")
            .call("list", "{}")
            .call("shell", odd),
        Reply::new().call("shell", "{\"command\": \"exit 3\"}"),
        Reply::new().reasoning("Good.").then_text("Both are there. \u{1f680} e\u{301}\n"),
        Reply::text("Again."),
    ]);
    // What lies where on this machine is nobody's business.
    let exec = |url: &str, args: &[&str]| {
        let mut command = world.exec_command(url, args);
        command.env("PATH", "/usr/bin:/bin");
        run(command).succeeds();
    };
    let url = with_calls.url();
    exec(&url, &["Look. \"Please\" — 日本"]);
    exec(&url, &["--resume", "last", "And again?"]);
    fs::write(world.path("work/one.png"), b"\x89PNG\r\n\x1a\n some pixels").unwrap();
    let broken = Reply::new().reasoning("Hm.").call("read", "{\"file_path\": \"no");
    let with_picture = server([broken, Reply::text("I see it.")]);
    exec(&with_picture.url(), &["--image", "one.png", "What is this?"]);
}

/// Everything in this form, whatever the gates say.
fn export(world: &World, form: &str) -> PathBuf {
    let out = world.path(form);
    let (model, template) = (model(), template(TOOL_AWARE));
    let (model, template) = (model.to_str().unwrap(), template.to_str().unwrap());
    let mut args = vec!["export", "--status", "all", "--format", form];
    args.extend(["--out", out.to_str().unwrap(), "--name", "Two sessions", "--licence", "cc0-1.0"]);
    args.extend(["--waive", "refused=a fixed session"]);
    if form == "tokens" {
        args.extend(["--tokenizer", model, "--template", template]);
    }
    world.limn(&args).succeeds();
    out
}

/// The files that are compared, by their paths within the folder.
fn compared(folder: &Path, everything: bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = files(folder)
        .into_iter()
        .map(|path| path.strip_prefix(folder).unwrap().to_owned())
        .filter(|path| {
            let name = path.to_str().unwrap();
            everything || !(name == "README.md" || name == "manifest.json" || name.ends_with("svg"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_form_is_what_it_was_to_the_byte() {
    let sessions = folder().join("sessions");
    let mode = std::env::var("LIMN_FORMS").unwrap_or_default();
    if mode == "record" {
        let world = World::new();
        record(&world);
        let _ = fs::remove_dir_all(&sessions);
        copy_folder(&export(&world, "bundle"), &sessions);
        for name in ["ledger.json", "manifest.json"] {
            fs::remove_file(sessions.join(name)).unwrap();
        }
    }
    let world = World::new();
    for bundle in files(&sessions) {
        world.limn(&["import", "bundle", bundle.to_str().unwrap()]).succeeds();
    }
    let mut differ = Vec::new();
    for (form, everything) in FORMS {
        let (made, kept) = (export(&world, form), folder().join(form));
        let names = compared(&made, everything);
        if !mode.is_empty() {
            let _ = fs::remove_dir_all(&kept);
            for name in &names {
                fs::create_dir_all(kept.join(name).parent().unwrap()).unwrap();
                fs::copy(made.join(name), kept.join(name)).unwrap();
            }
        }
        assert_eq!(names, compared(&kept, everything), "the files of {form}");
        for name in names {
            if fs::read(made.join(&name)).unwrap() != fs::read(kept.join(&name)).unwrap() {
                differ.push(format!("{form}/{}", name.display()));
            }
        }
    }
    assert!(
        differ.is_empty(),
        "{differ:?} are not what tests/scenarios/forms holds. Where that is meant, write them \
         anew with LIMN_FORMS=write, and say in the changelog what changed."
    );
}

/// The recorded sessions may be of an earlier format; what was made of them is of this one.
#[test]
fn the_recorded_sessions_are_the_bundles_they_came_from() {
    let world = World::new();
    let mut sessions = files(&folder().join("bundle"));
    sessions.retain(|path| path.extension().is_some_and(|it| it == "limn"));
    assert_eq!(sessions.len(), 2);
    for bundle in &sessions {
        world.limn(&["import", "bundle", bundle.to_str().unwrap()]).succeeds();
    }
    let out = export(&world, "bundle");
    for bundle in sessions {
        let name = bundle.file_name().unwrap();
        assert!(fs::read(out.join(name)).unwrap() == fs::read(&bundle).unwrap(), "{name:?}");
    }
}
