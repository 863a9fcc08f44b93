//! cargo inside the sandbox, with nothing said of where packages come from: the registry is the one
//! that the user's cargo has an index of.
//!
//! The story is told where that registry answers without a sandbox; where it does not, that is said.
//! npm and pip, and more of cargo, are in `tests/escapes/packages.rs`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use mock_server::Reply;
use trajectory::Body;

use crate::world::{World, run, say_skipped, server, shell};

/// The hosts that a session's commands spoke to.
fn reached(world: &World) -> Vec<String> {
    let hosts = world.bodies("network_request").into_iter().filter_map(|body| match body {
        Body::NetworkRequest(request) => request.allowed.then_some(request.host),
        _ => None,
    });
    hosts.collect()
}

/// What a program prints, when it ends well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether a script works without a sandbox, in a folder of its own.
fn answers(what: &str, script: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command.args(["-ec", script]).current_dir(folder.path());
    command.env("CARGO_HOME_OF_ITS_OWN", folder.path().join("cargo"));
    let works = said(&mut command).is_some();
    if !works {
        say_skipped(&format!("packages: no registry answers {what} on this machine"));
    }
    works
}

/// A session with the user's real home, where toolchains and their settings are, and caches of its
/// own: it runs a script with the preset `packages`, and tells what it printed.
fn with_packages(world: &World, script: &str) -> Option<String> {
    let home: OsString = std::env::var_os("HOME")?;
    if !world.isolates() {
        return None;
    }
    let server = server([shell(script), Reply::text("done")]);
    let url = server.url();
    let mut command =
        world.exec_command(&url, &["--sandbox", "auto", "--preset", "packages", "go"]);
    command.env("HOME", &home);
    command.env("XDG_CACHE_HOME", world.path("cache"));
    command.env("XDG_CONFIG_HOME", world.path("config"));
    run(command).succeeds();
    Some(world.shown().remove(0))
}

#[test]
fn cargo_fetches_and_builds_with_what_the_users_cargo_knows() {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or(Path::new(&home).join(".cargo"), Into::into);
    if std::fs::read_dir(cargo.join("registry/index")).is_err() {
        say_skipped("packages: the user's cargo has no index of a registry");
        return;
    }
    let project = "mkdir -p src; echo 'fn main() { assert!(matches::matches!(1, 1)) }' > src/main.rs
        printf '[package]\\nname = \"story\"\\nedition = \"2021\"\\n[dependencies]\\nmatches = \"=0.1.10\"\\n' \
                   > Cargo.toml
        cargo run --quiet 2>&1 && echo built";
    let own = format!("export CARGO_HOME=$CARGO_HOME_OF_ITS_OWN CARGO_NET_RETRY=0; {project}");
    if !answers("cargo", &own) {
        return;
    }
    let world = World::new();
    let Some(shown) = with_packages(&world, project) else { return };
    assert!(shown.contains("built"), "{shown}\n{:?}", world.bodies("network_request"));
    assert!(!reached(&world).is_empty(), "the package was there already");
    // What was fetched lies in caches of this workspace, and nothing in the home.
    let caches = world.path("cache/limn/packages");
    let of_workspace = std::fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
    assert!(of_workspace.join("cargo/registry/index").is_dir());
    world.assert_sound();
}
