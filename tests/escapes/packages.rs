//! Work that needs a registry of packages: with limn itself, the preset `packages` and the user's
//! own settings of cargo, npm and pip, which say where packages come from.
//!
//! Where no registry answers outside there is nothing to try inside, and that is said.

use std::process::{Command, Stdio};

use mock_server::Reply;
use sandbox::Tier;
use serde_json::json;
use trajectory::Body;

use crate::ground::Ground;
use crate::usability::NAMESPACES;
use crate::world::say_skipped;
use crate::world::{Run, World, run, server};

/// How long a command may take that downloads and builds, milliseconds.
const PATIENCE_MS: u64 = 600_000;

/// Whether the tool gets an answer outside, where nothing is in its way.
fn answers_outside(outside: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("bash")
        .args(["-c", outside])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let answers = status.is_ok_and(|it| it.success());
    if !answers {
        say_skipped(&format!("packages from a registry, since this fails outside: {outside}"));
    }
    answers
}

/// No package needs more hosts.
const HOSTS_MAX: usize = 8;

/// Runs a script in a workspace with these files, in each tier that has a network; it has to come
/// to its end, when the user allows host after host that a refusal names.
fn online(outside: &str, files: &[(&str, &str)], script: &str) {
    if !answers_outside(outside) {
        return;
    }
    for tier in NAMESPACES {
        let world = World::new();
        for (name, text) in files {
            world.write(&format!("work/{name}"), text);
        }
        let mut hosts: Vec<String> = Vec::new();
        loop {
            let outcome = run_with(&world, tier, &hosts, script);
            if outcome.stderr.contains("none works here") {
                say_skipped(&format!("packages in the tier {tier}: {}", outcome.stderr));
                break;
            }
            let shown = world.shown().concat();
            if shown.contains("the-end-42") {
                break;
            }
            let refused = refused(&world);
            let named = refused.into_iter().find(|host| !hosts.contains(host));
            let may_go_on = named.is_some() && hosts.len() < HOSTS_MAX;
            assert!(may_go_on, "{tier}, with {hosts:?}: {shown}\n{}", outcome.stderr);
            hosts.extend(named);
        }
    }
}

/// The hosts that were asked for and refused, as the recording has them: by their names, or by the
/// private addresses that allowed names lead to.
fn refused(world: &World) -> Vec<String> {
    let named = |body| match body {
        Body::NetworkRequest(request) if !request.allowed => {
            let address =
                request.rule.split_once("leads to ").and_then(|(_, rest)| rest.split_once(','));
            Some(address.map_or(request.host, |(address, _)| address.to_owned()))
        }
        _ => None,
    };
    world.bodies("network_request").into_iter().filter_map(named).collect()
}

/// Has limn run the script, with these hosts allowed beside those of the preset.
fn run_with(world: &World, tier: Tier, hosts: &[String], script: &str) -> Run {
    let command = format!("{script} && echo the-end-$((40+2))");
    let call = json!({"command": command, "timeout_ms": PATIENCE_MS}).to_string();
    let server = server([Reply::new().call("shell", &call), Reply::text("Done.")]);
    let mut limn = Command::new(Ground::limn());
    limn.args(["exec", "--model", "mock-model", "--base-url", &server.url()])
        .args(["--sandbox", "auto", "--preset", "packages"])
        .args(hosts.iter().flat_map(|host| ["--allow-host", host]))
        .arg("go")
        .env("LIMN_HOME", world.data())
        .env("LIMN_SANDBOX_TIER", tier.as_str())
        .env("XDG_CONFIG_HOME", world.path("home"))
        .env("XDG_CACHE_HOME", world.path("cache"))
        .current_dir(world.workspace())
        .stdin(Stdio::null());
    run(limn)
}

#[test]
fn cargo_builds_with_a_crate_from_its_registry() {
    online(
        "cargo info itoa",
        &[
            (
                "Cargo.toml",
                "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2024'\n\
                 [dependencies]\nitoa = '1'\n",
            ),
            ("src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(42)) }\n"),
        ],
        "CARGO_NET_RETRY=0 cargo build --quiet && ./target/debug/small | grep -x 42",
    );
}

#[test]
fn npm_installs_and_tests_with_a_package_from_its_registry() {
    online(
        "npm view is-number version",
        &[
            (
                "package.json",
                "{\"name\": \"whole\", \"version\": \"1.0.0\", \"scripts\": {\"test\": \"node test.js\"}}",
            ),
            ("test.js", "if (!require('is-number')('42')) process.exit(1);\n"),
        ],
        "npm install --fetch-retries=0 --no-audit --no-fund is-number && npm test",
    );
}

#[test]
fn pip_installs_pytest_and_it_runs() {
    online(
        "python3 -m venv v && v/bin/pip download --quiet --no-deps iniconfig",
        &[("test_small.py", "def test_it():\n    assert 6 * 7 == 42\n")],
        "python3 -m venv .venv && .venv/bin/pip install --retries 1 pytest && .venv/bin/pytest -q",
    );
}
