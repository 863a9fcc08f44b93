//! Providers by name, the keys that belong to them, and what is known of their models.

use std::io::Write;
use std::process::Stdio;

use mock_server::{MockServer, Reply};
use serde_json::{Value, json};
use trajectory::Body;

use crate::world::{Run, World, run, say_skipped, server};

const KEY: &str = "sk-secret-5678";

/// A server with so many answers.
fn answering(count: usize) -> MockServer {
    server((0..count).map(|_| Reply::text("ok")))
}

/// The keys that came with the requests so far.
fn keys(server: &MockServer) -> Vec<Option<String>> {
    let key = |request: &mock_server::RecordedRequest| {
        request.header("authorization").map(|value| value.replace("Bearer ", ""))
    };
    server.requests().iter().map(key).collect()
}

/// Runs with these variables set.
fn with(world: &World, variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.envs(variables.iter().copied());
    run(command)
}

/// Nothing of the world holds the key.
#[track_caller]
fn assert_unseen(world: &World, runs: &[Run]) {
    for run in runs {
        assert!(!run.stdout.contains(KEY) && !run.stderr.contains(KEY), "{}", run.stderr);
    }
    for entry in std::fs::read_dir(world.data().join("sessions")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(memchr::memmem::find(&bytes, KEY.as_bytes()).is_none());
    }
}

#[test]
fn a_named_provider_gets_its_key_its_parameters_and_its_name_on_record() {
    let world = World::new();
    let server = answering(1);
    world.settings(&format!(
        "model = \"mine/org/some-model\"\n[providers.mine]\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n\
         params = {{ temperature = 0.25 }}\n",
        server.url()
    ));
    let run = with(&world, &[("MY_KEY", KEY)], &["exec", "--sandbox", "off", "go"]).succeeds();
    let request = &server.requests()[0];
    assert_eq!(request.json()["model"], "org/some-model");
    assert_eq!(request.json()["temperature"], 0.25);
    assert_eq!(keys(&server), [Some(KEY.to_owned())]);
    let Body::ModelChanged(model) = &world.bodies("model_changed")[0] else { panic!() };
    assert_eq!((model.provider.as_str(), model.model.as_str()), ("mine", "org/some-model"));
    assert_unseen(&world, &[run]);
    world.assert_sound();
}

#[test]
fn replies_are_limited_where_somebody_wants_them_to_be() {
    let limit = |settings: &str| {
        let world = World::new();
        let server = answering(1);
        let named =
            format!("model = \"mine/m\"\n[providers.mine]\nbase_url = \"{}\"\n", server.url());
        world.settings(&format!("{named}{settings}"));
        world.limn(&["exec", "--sandbox", "off", "go"]).succeeds();
        server.requests()[0].json()["max_tokens"].as_u64()
    };
    assert_eq!(limit(""), None);
    assert_eq!(limit("params = { max_completion_tokens = 900 }\n"), Some(900));
    assert_eq!(limit("[context]\nreply_tokens = 700\n"), Some(700));
    assert_eq!(limit("params = { max_tokens = 900 }\n[context]\nreply_tokens = 700\n"), Some(900));
    // Its server would cut them at less than the model can write.
    assert_eq!(limit("profile = \"deepseek\"\n"), Some(16_384));
}

#[test]
fn a_key_of_one_provider_goes_to_no_other_server() {
    let world = World::new();
    let (named, other) = (answering(2), answering(4));
    world.settings(&format!(
        "model = \"m\"\napi_key_env = \"TOP_KEY\"\nprovider = \"a\"\n\
         [providers.a]\nbase_url = \"{}\"\n[providers.b]\nbase_url = \"{}\"\n",
        named.url(),
        other.url(),
    ));
    let variables = [("TOP_KEY", KEY), ("OPENAI_API_KEY", KEY), ("DEEPSEEK_API_KEY", KEY)];
    let exec = |more: &[&str]| {
        let args = [&["exec", "--sandbox", "off", "go"], more].concat();
        with(&world, &variables, &args)
    };
    // The file's variable is named for the file's provider.
    exec(&[]).succeeds();
    assert_eq!(keys(&named), [Some(KEY.to_owned())]);
    // Another provider, by a flag, by the model's name, by a variable; another address.
    exec(&["--provider", "b"]).succeeds();
    exec(&["--model", "b/m"]).succeeds();
    exec(&["--provider", "a", "--base-url", &other.url()]).succeeds();
    exec(&["--provider", "deepseek", "--base-url", &other.url()]).succeeds();
    assert_eq!(keys(&other), [None, None, None, None]);
    // Unless it is named for it here and now.
    exec(&["--provider", "a", "--api-key-env", "OPENAI_API_KEY"]).succeeds();
    assert_eq!(keys(&named)[1].as_deref(), Some(KEY));
}

#[test]
fn the_word_before_the_slash_counts_where_no_endpoint_is_nearer() {
    let world = World::new();
    let (a, b) = (answering(3), answering(2));
    world.settings(&format!(
        "provider = \"a\"\nmodel = \"b/one\"\n[providers.a]\nbase_url = \"{}\"\n\
         [providers.b]\nbase_url = \"{}\"\n",
        a.url(),
        b.url(),
    ));
    let exec = |more: &[&str]| world.limn(&[&["exec", "--sandbox", "off", "go"], more].concat());
    exec(&[]).succeeds();
    exec(&["--model", "b/two"]).succeeds();
    exec(&["--provider", "a", "--model", "b/three"]).succeeds();
    exec(&["--base-url", &b.url(), "--model", "a/four"]).succeeds();
    exec(&["--model", "org/five"]).succeeds();
    let models = |server: &MockServer| -> Vec<Value> {
        server.requests().iter().map(|request| request.json()["model"].clone()).collect()
    };
    assert_eq!(models(&a), ["b/one", "b/three", "org/five"]);
    assert_eq!(models(&b), ["two", "a/four"]);
}

#[test]
fn a_key_comes_from_a_program_and_its_complaint_is_told() {
    let world = World::new();
    let server = answering(1);
    let settings = |script: &str| {
        world.settings(&format!(
            "model = \"mine/m\"\n[providers.mine]\nbase_url = \"{}\"\n\
             key_command = [\"sh\", \"-c\", \"{script}\"]\n",
            server.url()
        ));
    };
    settings(&format!("echo {KEY}"));
    let run = world.limn(&["exec", "--sandbox", "off", "go"]).succeeds();
    assert_eq!(keys(&server), [Some(KEY.to_owned())]);
    // It is asked when a session begins, not to list things.
    settings("touch asked; echo locked >&2; exit 1");
    let listed = world.limn(&["models"]).succeeds();
    assert!(listed.stdout.contains("key from the program sh"), "{}", listed.stdout);
    assert!(!world.workspace().join("asked").exists());
    world.limn(&["exec", "--sandbox", "off", "go"]).exits(2).says(&["key_command", "locked"]);
    assert_unseen(&world, &[run]);
}

#[test]
fn a_missing_key_is_said_before_anything_is_sent_or_recorded() {
    let world = World::new();
    let say = ["DEEPSEEK_API_KEY", "limn key set deepseek"];
    world.limn(&["exec", "--model", "deepseek/x", "go"]).exits(2).says(&say);
    world.limn(&["exec", "--model", "x", "--provider", "nobody", "go"]).exits(2).says(&["nobody"]);
    assert!(world.home().session_ids().unwrap().is_empty());
    let mut doctor = world.command(&["doctor", "--json"]);
    doctor.env("LIMN_MODEL", "deepseek/deepseek-chat");
    let checks = run(doctor).exits(1).json_lines();
    let check = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap().clone();
    assert_eq!(check("key")["ok"], false);
    assert!(check("key")["fix"].as_str().unwrap().contains("limn key set deepseek"));
    assert!(check("model")["found"].as_str().unwrap().contains("api.deepseek.com"));
    assert!(check("context")["found"].as_str().unwrap().contains("tokens"));
    assert!(check("price")["found"].as_str().unwrap().contains('$'));
}

/// Pipes a key into `limn key set`; whether this machine has a keyring for it.
fn key_set(world: &World, provider: &str) -> bool {
    let mut command = world.command(&["key", "set", provider]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{KEY}\nmore\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains(KEY), "{stderr}");
    if !output.status.success() {
        assert!(stderr.contains("keyring") && stderr.contains("key_command"), "{stderr}");
        say_skipped("a keyring, which is not here");
    }
    output.status.success()
}

#[test]
fn a_key_lies_in_the_keyring_until_it_is_taken_out() {
    let world = World::new();
    let server = answering(2);
    // A name of its own: the keyring is the user's, not the world's.
    let name = format!("test-{}", std::process::id());
    let table =
        |url: &str| format!("[providers.{name}]\nbase_url = \"{url}\"\nkey_keyring = true\n");
    world.settings(&table(&server.url()));
    let model = format!("{name}/m");
    let exec = || world.limn(&["exec", "--sandbox", "off", "--model", &model, "go"]);
    exec().exits(2).says(&[&format!("limn key set {name}")]);
    if !key_set(&world, &name) {
        return;
    }
    let run = exec().succeeds();
    assert_eq!(keys(&server), [Some(KEY.to_owned())]);
    let listed = world.limn(&["key", "list"]).succeeds();
    assert_eq!(listed.stdout.lines().filter(|line| *line == name).count(), 1, "{}", listed.stdout);
    // A name that moves to another server takes no key along.
    let other = answering(1);
    world.settings(&table(&other.url()));
    exec().exits(2).says(&["is missing"]);
    world.settings(&table(&server.url()));
    world.limn(&["key", "rm", &name]).succeeds();
    world.limn(&["key", "rm", &name]).exits(1).says(&["limn key list"]);
    exec().exits(2);
    assert!(other.requests().is_empty());
    assert_unseen(&world, &[run, listed]);
}

#[test]
fn what_is_no_key_is_not_stored() {
    let world = World::new();
    for (typed, word) in [("", "No key came"), ("two words", "spaces"), ("k\u{e9}y", "ASCII")] {
        world.write("typed", typed);
        let mut command = world.command(&["key", "set", "openai"]);
        command.stdin(std::fs::File::open(world.path("typed")).unwrap());
        run(command).exits(2).says(&[word]);
    }
    world.limn(&["key", "set", "nobody"]).exits(2).says(&["[providers.NAME]"]);
}

#[test]
fn providers_are_listed_and_asked_what_they_have() {
    let world = World::new();
    let server = answering(0);
    world.settings(&format!(
        "[providers.mine]\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\nprofile = \"vllm\"\n",
        server.url()
    ));
    let list = with(&world, &[("MY_KEY", KEY), ("GEMINI_API_KEY", KEY)], &["models", "--json"]);
    let list = list.succeeds();
    let of = |name: &str| {
        list.json_lines().into_iter().find(|provider| provider["provider"] == name).unwrap()
    };
    assert_eq!(of("mine")["key"], true);
    assert_eq!(of("mine")["profile"], "vllm");
    assert_eq!((&of("gemini")["key"], &of("gemini")["profile"]), (&json!(true), &json!("gemini")));
    assert_eq!(of("mistral")["key"], false);
    assert_eq!((&of("ollama")["key"], &of("ollama")["local"]), (&Value::Null, &json!(true)));
    let remote = with(&world, &[("MY_KEY", KEY)], &["models", "--remote", "mine"]).succeeds();
    assert_eq!(remote.stdout, "mock-model\n");
    assert!(!list.stdout.contains(KEY));
    let gone = "[providers.mine]\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    world.settings(gone);
    world.limn(&["models", "--remote", "mine"]).exits(3).says(&["127.0.0.1:9"]);
}

#[test]
fn a_provider_or_a_profile_that_there_is_not() {
    let world = World::new();
    world.settings("[providers.a]\nbase_url = \"http://127.0.0.1:9/v1\"\nprofile = \"vlm\"\n");
    world.limn(&["exec", "--model", "a/m", "go"]).exits(2).says(&["\"vlm\"", "vllm"]);
    world.settings(
        "[providers.a]\nbase_url = \"http://127.0.0.1:9/v1\"\nquirks = { imgaes = true }\n",
    );
    world.limn(&["exec", "--model", "a/m", "go"]).exits(2).says(&["quirks", "imgaes"]);
    world.settings("provider = \"a\"\nbase_url = \"http://127.0.0.1:9/v1\"\n[providers.a]\n");
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["[providers.a]"]);
    world.settings("[providers.a]\nbase_url = \"http://127.0.0.1:9/v1\"\nkeyenv = \"K\"\n");
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["line 3", "keyenv"]);
}

#[test]
fn a_workspace_that_nobody_trusts_names_no_provider() {
    let world = World::new();
    world.write("work/.limn/config.toml", "[providers.openai]\nbase_url = \"http://evil\"\n");
    world
        .limn(&["exec", "--model", "m", "go"])
        .exits(2)
        .says(&["(providers.openai)", "limn trust"]);
    world.write("work/.limn/config.toml", "[rules]\nallow = [\"rm\"]\n");
    world.limn(&["exec", "--model", "m", "go"]).exits(2).says(&["(rules.allow)", "limn trust"]);
    world.write("work/.limn/config.toml", "[rules]\ndeny = [\"rm *\"]\n");
    let server = answering(1);
    world.exec(&server.url(), &["go"]).succeeds();
}

#[test]
fn costs_are_told_where_a_price_is_known() {
    let world = World::new();
    let usage = json!({
        "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 30},
    });
    let server = server((0..3).map(|_| Reply::text("done").usage(usage.clone())));
    let price = "[models.\"mock-*\"]\nprice = { input = 10, cached = 1, output = 100 }\n";
    world.exec(&server.url(), &["--json", "go"]).succeeds();
    world.settings(price);
    let cost = (600.0 * 10.0 + 400.0 + 100.0 * 100.0) / 1e6;
    let run = world.exec(&server.url(), &["--json", "go"]).succeeds();
    let result = run.json_lines().pop().unwrap();
    assert_eq!(result["cost_usd"], cost);
    assert_eq!(result["usage"]["cached_tokens"], 400);
    let plain = world.exec(&server.url(), &["go"]).succeeds();
    let line = "1,000 tokens in (400 cached), 100 out (30 reasoning), $0.0164";
    plain.says(&[line]);
    // Computed when it is shown: what was recorded before the price was known has one, too.
    let listed = world.limn(&["sessions"]).succeeds();
    assert_eq!(listed.stdout.matches("$0.0164").count(), 3, "{}", listed.stdout);
    assert!(world.limn(&["show", "last"]).succeeds().stdout.contains(line));
    world.settings("");
    let result = world.limn(&["show", "last", "--json"]).succeeds().json_lines().pop().unwrap();
    assert_eq!(result["cost_usd"], Value::Null);
}

#[test]
fn a_server_that_the_environment_names_is_not_taken_for_openai() {
    let world = World::new();
    let said = |settings: &str| {
        let server = answering(1);
        world.settings(settings);
        let mut command = world.command(&["exec", "--model", "m", "--sandbox", "off", "go"]);
        command.env("OPENAI_BASE_URL", server.url()).env("OPENAI_API_KEY", KEY);
        run(command).succeeds();
        assert_eq!(keys(&server), [Some(KEY.to_owned())]);
        server.requests()[0].messages()[0]["role"].clone()
    };
    // Templates of open models know no developer.
    assert_eq!(said(""), "system");
    assert_eq!(said("[providers.openai]\nprofile = \"openai\"\n"), "developer");
}
