//! cargo, npm and pip inside the sandbox, with the registries that this machine's user has.
//!
//! A story is told where its registry answers without a sandbox; where it does not, that is said.

use std::ffi::OsString;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mock_server::Reply;
use trajectory::Body;

use crate::world::{World, run, server, shell};

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
        eprintln!("SKIPPED: no registry answers {what} on this machine");
    }
    works
}

/// A session with the user's real home, where toolchains and their settings are, and caches of its
/// own: it runs a script with the preset `packages` and these hosts, and tells what it printed.
fn with_packages(world: &World, script: &str, hosts: &[String]) -> Option<String> {
    let home: OsString = std::env::var_os("HOME")?;
    if !world.isolates() {
        return None;
    }
    let server = server([shell(script), Reply::text("done")]);
    let url = server.url();
    let mut args = vec!["--sandbox", "auto", "--preset", "packages", "go"];
    args.extend(hosts.iter().flat_map(|host| ["--allow-host", host]));
    let mut command = world.exec_command(&url, &args);
    command.env("HOME", &home);
    command.env("XDG_CACHE_HOME", world.path("cache"));
    command.env("XDG_CONFIG_HOME", world.path("config"));
    run(command).succeeds();
    Some(world.shown().remove(0))
}

/// The hosts of URLs, and their addresses: a mirror may stand on the machine's own network.
fn with_addresses(urls: &str) -> Vec<String> {
    let authority = |url: &str| url.split('/').next().unwrap_or_default().to_owned();
    let hosts: Vec<String> = urls.split("://").skip(1).map(authority).collect();
    let addresses = |host: &String| {
        let named = if host.contains(':') { host.clone() } else { format!("{host}:443") };
        let found = named.to_socket_addrs().into_iter().flatten();
        let is_web = !host.contains(':');
        let text = found.map(move |address| match (is_web, address) {
            (true, std::net::SocketAddr::V4(address)) => address.ip().to_string(),
            (true, std::net::SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            (false, address) => address.to_string(),
        });
        text.collect::<Vec<_>>()
    };
    let found: Vec<String> = hosts.iter().flat_map(addresses).collect();
    hosts.into_iter().chain(found).collect()
}

#[test]
fn cargo_fetches_and_builds_with_what_the_users_cargo_knows() {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or(Path::new(&home).join(".cargo"), Into::into);
    if std::fs::read_dir(cargo.join("registry/index")).is_err() {
        eprintln!("SKIPPED: the user's cargo has no index of a registry");
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
    let Some(shown) = with_packages(&world, project, &[]) else { return };
    assert!(shown.contains("built"), "{shown}\n{:?}", world.bodies("network_request"));
    assert!(!reached(&world).is_empty(), "the package was there already");
    // What was fetched lies in caches of this workspace, and nothing in the home.
    let caches = world.path("cache/limn/packages");
    let of_workspace = std::fs::read_dir(caches).unwrap().next().unwrap().unwrap().path();
    assert!(of_workspace.join("cargo/registry/index").is_dir());
    world.assert_sound();
}

#[test]
fn npm_installs_from_the_users_registry() {
    let registry = said(Command::new("npm").args(["config", "get", "registry"]));
    let install = "echo '{\"name\": \"story\", \"version\": \"1.0.0\"}' > package.json
        npm install --no-audit --no-fund --fetch-retries=0 is-number@7.0.0 2>&1
        node -e 'console.log(require(\"is-number\")(5) ? \"installed\" : \"\")'";
    let Some(registry) = registry.filter(|_| answers("npm", install)) else { return };
    let world = World::new();
    let Some(shown) = with_packages(&world, install, &with_addresses(&registry)) else { return };
    assert!(shown.contains("installed"), "{shown}\n{:?}", world.bodies("network_request"));
    assert!(!reached(&world).is_empty());
    world.assert_sound();
}

#[test]
fn pip_installs_from_the_users_index() {
    let install =
        "python3 -m pip install --quiet --retries 0 --no-deps --target here six==1.17.0 2>&1
        PYTHONPATH=here python3 -c 'import six; print(\"installed\", six.__version__)'";
    // What pip itself takes where no settings say otherwise.
    let index = "from pip._internal.models.index import PyPI as it\n\
                 print(it.simple_url, it.url.split(':')[0] + '://' + it.file_storage_domain)";
    let configured =
        said(Command::new("python3").args(["-m", "pip", "config", "get", "global.index-url"]));
    let default = || said(Command::new("python3").args(["-c", index]));
    let Some(index) = configured.or_else(default).filter(|_| answers("pip", install)) else {
        return;
    };
    let world = World::new();
    let Some(shown) = with_packages(&world, install, &with_addresses(&index)) else { return };
    assert!(shown.contains("installed 1.17.0"), "{shown}\n{:?}", world.bodies("network_request"));
    assert!(!reached(&world).is_empty());
    world.assert_sound();
}
