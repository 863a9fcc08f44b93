//! What is wrong is named, with its place and the remedy, and costs nothing.

use std::fs;
use std::process::Command;

use mock_server::Reply;
use trajectory::Body;

use crate::world::{World, in_namespace, namespaces_can_mount, run, server, shell};

/// A recorded session, and the file it lies in.
fn recorded(world: &World) -> std::path::PathBuf {
    let server = server([Reply::text("done")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let id = world.home().find("last").unwrap();
    world.home().session_file(id)
}

#[test]
fn a_corrupt_database_is_named_and_hurts_no_other() {
    let world = World::new();
    let first = recorded(&world);
    let second = recorded(&world);
    fs::write(&second, b"this was a database once".repeat(400)).unwrap();
    let broken = second.file_stem().unwrap().to_str().unwrap();
    let file_name = second.file_name().unwrap().to_str().unwrap();
    world.limn(&["show", broken]).exits(1).says(&[file_name]);
    let whole = first.file_stem().unwrap().to_str().unwrap();
    world.limn(&["show", whole]).succeeds();
    let listed = world.limn(&["sessions"]).succeeds();
    assert!(listed.stdout.contains(&whole[..8]) && listed.stdout.contains(&broken[..8]));
    let server = server([Reply::text("never")]);
    world.exec(&server.url(), &["--resume", broken, "go on"]).exits(4).says(&[file_name]);
    let doctor = world.limn(&["doctor", "--store", "--json"]).exits(1);
    let bad = |line: &serde_json::Value| line["ok"] == false && line.to_string().contains(broken);
    assert!(doctor.json_lines().iter().any(bad), "{}", doctor.stdout);
}

#[test]
fn a_newer_database_is_refused() {
    let world = World::new();
    let file = recorded(&world);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    let id = file.file_stem().unwrap().to_str().unwrap();
    world.limn(&["show", id]).exits(1).says(&["999", "Update limn"]);
    let server = server([Reply::text("never")]);
    world.exec(&server.url(), &["--resume", id, "go on"]).exits(4).says(&["999", "Update limn"]);
}

/// Runs a command with a file system of its own mounted on the data folder.
fn with_mount(world: &World, options: &str, command: &Command) -> crate::world::Run {
    let script = format!("mount -t tmpfs -o {options} none \"$LIMN_HOME\" && exec \"$@\"");
    in_namespace(world, &script, command)
}

#[test]
fn a_full_disk_stops_the_session_with_exit_code_4() {
    let world = World::new();
    let noise = "head -c 5000000 /dev/urandom | base64; echo effect > effect.txt";
    let server = server([shell(noise), shell("touch too-late"), Reply::text("never")]);
    let command = world.exec_command(&server.url(), &["go"]);
    if !namespaces_can_mount() {
        return;
    }
    with_mount(&world, "size=1m", &command).exits(4).says(&["resume"]);
    assert!(!world.workspace().join("too-late").exists());
}

#[test]
fn a_read_only_data_folder_stops_the_session_before_it_begins() {
    let world = World::new();
    let server = server([Reply::text("never")]);
    let command = world.exec_command(&server.url(), &["go"]);
    if !namespaces_can_mount() {
        return;
    }
    with_mount(&world, "ro", &command).exits(4).says(&["LIMN_HOME"]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_file_where_the_data_folder_should_be() {
    let world = World::new();
    fs::remove_dir(world.data()).unwrap();
    fs::write(world.data(), "a file").unwrap();
    let server = server([Reply::text("never")]);
    world.exec(&server.url(), &["go"]).exits(4).says(&["data"]);
}

#[test]
fn a_file_where_the_workspace_should_be_and_a_workspace_that_is_gone() {
    let world = World::new();
    world.write("work/file", "x");
    let server = server([Reply::text("never")]);
    let url = server.url();
    world.exec(&url, &["--workspace", "file", "go"]).exits(2).says(&["file", "--workspace"]);
    world.exec(&url, &["--workspace", "gone", "go"]).exits(2).says(&["gone", "--workspace"]);
}

#[test]
fn a_workspace_that_goes_away_while_the_model_works() {
    let world = World::new();
    let path = world.workspace();
    let remove = format!("rm -rf {}", path.display());
    let server = server([
        shell(&remove),
        shell("echo still here"),
        Reply::new().call("write", r#"{"file_path":"a","content":"b"}"#),
        Reply::text("It is gone."),
    ]);
    world.exec(&server.url(), &["go"]).succeeds();
    let statuses: Vec<String> = world
        .bodies("observation")
        .into_iter()
        .map(|body| match body {
            Body::Observation(seen) => format!("{:?}", seen.status),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(statuses, ["Ok", "Error", "Error"]);
}

#[test]
fn an_unknown_settings_key_is_named_with_its_line() {
    let world = World::new();
    world.settings("model = \"m\"\n\nmodle = \"oops\"\n");
    world.limn(&["exec", "go"]).exits(2).says(&["config.toml", "line 3", "modle"]);
}

#[test]
fn a_workspace_can_only_tighten() {
    let world = World::new();
    world.write("work/.limn/config.toml", "base_url = \"http://evil.example/v1\"\n");
    let server = server([Reply::text("never")]);
    world.exec(&server.url(), &["go"]).exits(2).says(&["base_url", "limn trust"]);
    assert!(server.requests().is_empty());

    world.settings("approval = \"auto\"\nmax_steps = 1\n");
    world.write("work/.limn/config.toml", "approval = \"read-only\"\nmax_steps = 9\n");
    let server = crate::world::server([shell("touch ran")]);
    world.exec(&server.url(), &["go"]).exits(1).says(&["limit of 1 steps"]);
    assert!(!world.workspace().join("ran").exists());
}

#[test]
fn a_workspace_cannot_widen_what_nobody_set() {
    let world = World::new();
    world.write("work/.limn/config.toml", "approval = \"all\"\n");
    let server = server([Reply::text("ok")]);
    world.exec(&server.url(), &["go"]).succeeds();
    let Body::ConfigChanged(config) = &world.bodies("config_changed")[0] else { panic!() };
    assert_eq!(config.approval, Some(trajectory::ApprovalMode::Auto));
}

#[test]
fn endless_and_blocking_settings_files_are_refused() {
    let world = World::new();
    fs::create_dir(world.path("work/.limn")).unwrap();
    let file = world.path("work/.limn/config.toml");
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["regular file"]);
    fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["regular file"]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "#".repeat(70_000)).unwrap();
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["64 KiB"]);
}

#[test]
fn a_data_folder_that_cannot_be_written_can_be_read() {
    let world = World::new();
    recorded(&world);
    if !namespaces_can_mount() {
        return;
    }
    let copied = "cp -r \"$LIMN_HOME\" /tmp/copy-$$ && mount -t tmpfs -o mode=700 none \"$LIMN_HOME\" && \
                  cp -r /tmp/copy-$$/. \"$LIMN_HOME\" && rm -r /tmp/copy-$$ && \
                  mount -o remount,ro \"$LIMN_HOME\" && exec \"$@\"";
    for (args, word) in [(["show", "last"], "done"), (["sessions", "--json"], "completed")] {
        let run = in_namespace(&world, copied, &world.command(&args)).succeeds();
        assert!(run.stdout.contains(word), "{}", run.stdout);
    }
}

#[test]
fn settings_come_from_files_variables_and_flags() {
    let world = World::new();
    let server = server((0..3).map(|_| Reply::text("ok")));
    world.settings(&format!("model = \"from-file\"\nbase_url = \"{}\"\n", server.url()));
    world.limn(&["exec", "go"]).succeeds();
    let mut command = world.command(&["exec", "go"]);
    command.env("LIMN_MODEL", "from-variable");
    run(command).succeeds();
    let mut command = world.command(&["exec", "--model", "from-flag", "go"]);
    command.env("LIMN_MODEL", "from-variable");
    run(command).succeeds();
    let models: Vec<String> =
        server.requests().iter().map(|request| request.json()["model"].to_string()).collect();
    assert_eq!(models, ["\"from-file\"", "\"from-variable\"", "\"from-flag\""]);
    let mut command = world.command(&["exec", "go"]);
    command.env("LIMN_APPROVAL", "perhaps");
    run(command).exits(2).says(&["LIMN_APPROVAL", "read-only"]);
    let mut command = world.command(&["exec", "go"]);
    command.env("LIMN_MAX_STEPS", "many");
    run(command).exits(2).says(&["LIMN_MAX_STEPS", "many"]);
}

#[test]
fn no_model_and_bad_base_urls() {
    let world = World::new();
    world.limn(&["exec", "go"]).exits(2).says(&["--model", "limn demo"]);
    for url in ["localhost:8080", "ftp://x/v1", "http://", "not a url"] {
        world.exec(url, &["go"]).exits(2).says(&["--base-url"]);
    }
    // Nobody listens there.
    world.exec("http://127.0.0.1:9/v1", &["go"]).exits(3).says(&["127.0.0.1:9"]);
}

#[test]
fn servers_that_answer_something_else() {
    let world = World::new();
    let cases: [(Reply, i32, &str); 6] = [
        (Reply::html("<html><body>Welcome</body></html>"), 3, "--base-url"),
        (Reply::status(401, &[], r#"{"error":{"message":"bad key"}}"#), 3, "key"),
        (Reply::status(404, &[], r#"{"error":{"message":"no model x"}}"#), 3, "--model"),
        (Reply::status(429, &[("retry-after", "7")], "{}"), 3, "7"),
        (Reply::status(500, &[], "oops"), 3, "500"),
        (Reply::status(400, &[], r#"{"error":{"message":"too long"}}"#), 1, "too long"),
    ];
    for (reply, code, word) in cases {
        let server = server([reply]);
        let once = ["--retries", "0", "--json", "go"];
        let run = world.exec(&server.url(), &once).exits(code);
        let lines = run.json_lines();
        assert_eq!(lines.last().unwrap()["ended"], "failed");
        let error = lines.iter().find(|line| line["kind"] == "error").unwrap();
        assert!(error.to_string().contains(word), "no {word:?} in {error}");
    }
    world.assert_sound();
}

#[test]
fn a_stream_that_ends_early_is_not_an_answer() {
    let world = World::new();
    let server = server([Reply::new().then_text("half ").then_text("an answer").cut_after(2)]);
    world.exec(&server.url(), &["--retries", "0", "go"]).exits(1);
    let Body::Message(half) = &world.bodies("message")[0] else { panic!() };
    assert!(half.interrupted);
    assert!("half an answer".starts_with(&half.text), "{half:?}");
    world.assert_sound();
}

#[test]
fn empty_prompts_and_wrong_words() {
    let world = World::new();
    world.limn(&["exec", "--model", "m", "  "]).exits(2).says(&["prompt is empty"]);
    world.limn(&["exec", "--model", "m"]).exits(2).says(&["prompt is empty"]);
    world.limn(&["exec", "--model", "m", "-"]).exits(2).says(&["prompt is empty"]);
    world.limn(&["frobnicate"]).exits(2).says(&["no terminal", "limn --help"]);
    world.limn(&["store", "frobnicate"]).exits(2).says(&["frobnicate"]);
    world.limn(&["exec", "--aproval", "all", "go"]).exits(2).says(&["--approval"]);
    world.limn(&["show", "nothing"]).exits(1).says(&["limn sessions"]);
    world.limn(&["exec", "--model", "m", "--resume", "nothing", "go"]).exits(2);
    world.limn(&["exec", "--model", "scripted:gone.toml", "go"]).exits(2).says(&["gone.toml"]);
    world.write("work/bad.toml", "format = \"limn-script\"\nversion = 1\nturns = 3\n");
    let bad = ["exec", "--model", "scripted:bad.toml", "go"];
    world.limn(&bad).exits(2).says(&["bad.toml:3", "turns"]);
}

#[test]
fn a_malformed_prompt_line_ends_the_session_in_order() {
    let world = World::new();
    let server = server([Reply::text("one")]);
    let mut command = world.exec_command(&server.url(), &["--input-format", "jsonl"]);
    world.write("lines", "{\"type\":\"prompt\",\"text\":\"first\"}\n{oops\n");
    command.stdin(fs::File::open(world.path("lines")).unwrap());
    run(command).exits(2).says(&["line 2"]);
    assert_eq!(world.bodies("session_ended").len(), 1);
}
