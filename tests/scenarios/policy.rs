//! What a session may do, said in settings and flags; and what a workspace may say of it.

use mock_server::Reply;
use serde_json::{Value, json};
use trajectory::Body;

use crate::world::{Run, World, by_proxy, server, shell};

const WORKSPACE_FILE: &str = "work/.limn/config.toml";

/// A session of these replies, isolated, with these flags. Nothing where this machine has no
/// isolation, which is said.
fn isolated(world: &World, replies: &[Reply], flags: &[&str]) -> Option<Run> {
    if !world.isolates() {
        return None;
    }
    let server = server(replies.iter().cloned());
    let flags = [&["--sandbox", "auto", "go"], flags].concat();
    Some(world.exec(&server.url(), &flags).succeeds())
}

#[test]
fn what_commands_ask_the_network_for_is_decided_and_on_record() {
    let world = World::new();
    let origin = server([]);
    let url = origin.url();
    let host = url.trim_start_matches("http://").split('/').next().unwrap();
    let page = format!("http://{host}/v1/models");
    // Programs do not ask the proxy for their own loopback unless they are told to.
    // Not by its name: that may lead to a program that looks for the interpreter in a home.
    let python = String::from_utf8(
        std::process::Command::new("python3")
            .args(["-c", "import sys; print(sys.executable, sys.base_prefix)"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let (python, prefix) = python.trim().split_once(' ').unwrap();
    let get = |url: &str| {
        shell(&format!(
            "env -u no_proxy -u NO_PROXY {python} -c \"import urllib.request as r\ntry: print(r.build_opener(r.ProxyHandler({{'http': __import__('os').environ['http_proxy']}})).open('{url}').read().decode())\nexcept Exception as e: print(e.read().decode())\""
        ))
    };
    let replies = [get(&page), get("http://169.254.169.254/latest/"), Reply::text("done")];
    let Some(_) = isolated(&world, &replies, &["--allow-host", host, "--readable", prefix]) else {
        return;
    };
    let shown = world.shown();
    assert!(shown[0].contains("mock-model"), "{}", shown[0]);
    assert!(shown[1].contains("limn refused this request"), "{}", shown[1]);
    let requests: Vec<(String, bool, Option<u32>)> = world
        .bodies("network_request")
        .into_iter()
        .map(|body| match body {
            Body::NetworkRequest(request) => (request.host, request.allowed, request.exec),
            other => panic!("{other:?}"),
        })
        .collect();
    let own = host.split(':').next().unwrap().to_owned();
    // Each names the command that asked.
    let other = "169.254.169.254".to_owned();
    assert_eq!(requests, [(own, true, Some(1)), (other, false, Some(2))]);
    world.assert_sound();
}

#[test]
fn the_network_outlives_a_settings_file_of_git_that_is_written_anew() {
    let world = World::new();
    world.write("work/.git/HEAD", "ref: refs/heads/main\n");
    world.write("work/.git/config", "[core]\n");
    world.write("work/.git/config.new", "[core]\n\tbare = false\n");
    let origin = server([]);
    let url = origin.url();
    let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let get = by_proxy(&host);
    // The user's own git replaces the file while the first command runs. The second one gets new
    // processes, and with them another way out.
    let replacing = format!("{get}; touch asked; until [ -e replaced ]; do sleep 0.05; done");
    let replies = [shell(&replacing), shell(&get), Reply::text("done")];
    let work = world.path("work");
    let (running, ended) = std::sync::mpsc::channel::<()>();
    let git = std::thread::spawn(move || {
        while !work.join("asked").exists() {
            if ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                return;
            }
            std::thread::yield_now();
        }
        std::fs::rename(work.join(".git/config.new"), work.join(".git/config")).unwrap();
        std::fs::write(work.join("replaced"), "").unwrap();
    });
    let run = isolated(&world, &replies, &["--allow-host", &host]);
    drop(running);
    git.join().unwrap();
    if run.is_none() {
        return;
    }
    for shown in world.shown() {
        assert!(shown.contains("mock-model"), "{shown}");
    }
}

#[test]
fn a_session_without_network_names_the_remedy() {
    let world = World::new();
    let fetch =
        Reply::new().call("web_fetch", &json!({"url": "https://docs.example/"}).to_string());
    let Some(_) = isolated(&world, &[fetch, Reply::text("done")], &[]) else { return };
    assert!(world.shown()[0].contains("`--allow-host docs.example`"), "{}", world.shown()[0]);
}

#[test]
fn a_session_that_only_reads_writes_nothing_by_any_tool() {
    let world = World::new();
    world.write("work/file", "as it is\n");
    let write =
        Reply::new().call("write", &json!({"file_path": "file", "content": "changed"}).to_string());
    let replies = [write, shell("echo changed > file; cat file"), Reply::text("done")];
    let flags = ["--preset", "read-only", "--approval", "all"];
    let Some(_) = isolated(&world, &replies, &flags) else { return };
    let shown = world.shown();
    assert!(shown[0].contains("read-only in this session"), "{}", shown[0]);
    assert!(shown[1].contains("as it is"), "{}", shown[1]);
    assert_eq!(std::fs::read_to_string(world.path("work/file")).unwrap(), "as it is\n");
}

#[test]
fn a_workspace_gets_what_it_asks_for_once_it_is_trusted_and_until_it_changes() {
    let world = World::new();
    let server = server([Reply::text("one"), Reply::text("two")]);
    world.write(WORKSPACE_FILE, "max_steps = 7\n[sandbox]\nallow_hosts = [\"docs.example\"]\n");
    let exec = || world.exec(&server.url(), &["go"]);
    let trusts = |args: &[&str]| -> Value {
        let run = world.limn(&[&["trust", "--json"], args].concat());
        run.json_lines().first().cloned().unwrap_or_default()
    };
    exec().exits(2).says(&["sandbox.allow_hosts", "limn trust"]);
    world.limn(&["trust"]).exits(1).says(&["--yes"]);
    exec().exits(2);
    let asks = &trusts(&["--yes"])["asks"];
    assert_eq!(asks[0], json!({"key": "sandbox.allow_hosts", "value": "docs.example"}));
    exec().succeeds();
    assert_eq!(trusts(&["--list"])["state"], "trusted");
    world.write(WORKSPACE_FILE, "[sandbox]\nallow_hosts = [\"evil.example\"]\n");
    assert_eq!(trusts(&["--list"])["state"], "changed");
    exec().exits(2).says(&["nobody has trusted it as it is now"]);
    assert_eq!(trusts(&["--revoke"])["revoked"], true);
    assert_eq!(trusts(&["--list"]), Value::Null);
    // What only makes things stricter needs no trust.
    world.write(WORKSPACE_FILE, "max_steps = 7\n[sandbox]\nnetwork = \"off\"\n");
    world.limn(&["trust"]).succeeds().says(&["needs no trust"]);
    exec().succeeds();
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_with_a_word() {
    let world = World::new();
    let exec =
        |flags: &[&str]| world.limn(&[&["exec", "--model", "scripted:x", "go"], flags].concat());
    for (flags, words) in [
        (&["--preset", "everything"][..], &["invalid value"][..]),
        (&["--allow-host", "http://a.example"], &["is no host"]),
        (&["--sandbox", "off", "--preset", "packages"], &["no preset packages"]),
    ] {
        exec(flags).exits(2).says(words);
    }
    world.settings("[sandbox]\npreste = \"off\"\n");
    exec(&[]).exits(2).says(&["line 2", "preste"]);
    world.settings("");
    let home = world.path("home");
    let server = server([]);
    for (workspace, word) in [(home.to_str().unwrap(), "home folder"), ("/", "the root")] {
        let flags = ["--sandbox", "auto", "--workspace", workspace, "go"];
        world.exec(&server.url(), &flags).exits(2).says(&[word, "--workspace"]);
    }
    let flags = ["--sandbox", "auto", "--writable", "/absent", "go"];
    world.exec(&server.url(), &flags).exits(2).says(&["sandbox.writable names /absent"]);
}
