//! Where packages come from, and the caches they go into.

use std::collections::BTreeMap;

use sandbox::HostPattern;
use tempfile::TempDir;

use super::sources::{Tool, indexed, private_addresses};
use super::*;

fn texts(hosts: &[HostPattern]) -> Vec<String> {
    hosts.iter().map(HostPattern::to_string).collect()
}

#[test]
fn hosts_are_found_in_the_settings_of_each_tool() {
    for (text, found) in [
        ("registry = \"sparse+https://mirror.example:8081/index/\"", vec!["mirror.example:8081"]),
        ("index-url = https://pypi.example/simple", vec!["pypi.example"]),
        ("@scope:registry=https://npm.example/", vec!["npm.example"]),
        ("# index-url = https://no.example", vec![]),
        ("proxy = http://proxy.example:3128", vec![]),
        ("index-url = https://me:pw@secret.example/simple", vec![]),
        ("find-links = /opt/wheels", vec![]),
    ] {
        let mut sources = Sources::default();
        sources.read(text, Tool::Pip);
        assert_eq!(texts(&sources.hosts), found, "{text}");
    }
}

#[test]
fn what_tools_inside_cannot_read_they_are_told() {
    let mut sources = Sources::default();
    let pip = "[global]\nindex-url = https://pypi.example/simple\ncert = /etc/ca.pem";
    sources.read(pip, Tool::Pip);
    // npm's `cert` is a client's own certificate, and pip's is what it trusts.
    sources
        .read("registry=https://npm.example/\ncert=\"-----BEGIN\"\ncafile=/etc/npm.pem", Tool::Npm);
    sources.read("[source.mirror]\nregistry = \"sparse+https://crates.example/\"", Tool::Cargo);
    sources.read("index-url = \"https://uv.example/simple\"", Tool::Uv);
    let told: Vec<(&str, &str)> =
        sources.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("PIP_CERT", "/etc/ca.pem"),
        ("PIP_INDEX_URL", "https://pypi.example/simple"),
        ("UV_INDEX_URL", "https://uv.example/simple"),
        ("npm_config_cafile", "/etc/npm.pem"),
        ("npm_config_registry", "https://npm.example/"),
    ];
    assert_eq!(told, expected);
    let hosts = ["pypi.example", "npm.example", "crates.example", "uv.example"];
    assert_eq!(texts(&sources.hosts), hosts);
}

#[test]
fn a_registry_that_the_users_cargo_has_an_index_of_is_one() {
    let cargo = TempDir::new().unwrap();
    let index = cargo.path().join("registry/index/index.example-1949cf8c6b5b557f");
    fs::create_dir_all(&index).unwrap();
    let settings = r#"{"dl": "https://files.example/{crate}", "api": "https://publish.example"}"#;
    fs::write(index.join("config.json"), settings).unwrap();
    for other in ["odd name", "git.example-1ecc6299db9ec823"] {
        fs::create_dir_all(cargo.path().join("registry/index").join(other)).unwrap();
    }
    assert_eq!(texts(&indexed(cargo.path())), ["index.example", "files.example"]);
    assert_eq!(texts(&indexed(&cargo.path().join("absent"))), [""; 0]);
}

#[test]
fn a_mirror_on_the_own_network_is_meant() {
    let named: Vec<HostPattern> = vec!["localhost:8081".parse().unwrap()];
    assert!(texts(&private_addresses(&named)).contains(&"127.0.0.1:8081".to_owned()));
}

#[test]
fn a_cache_begins_with_what_the_user_has_and_without_secrets() {
    let folder = TempDir::new().unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    fs::create_dir_all(theirs.join("registry/cache/index-1")).unwrap();
    fs::create_dir_all(&ours).unwrap();
    fs::write(theirs.join("registry/cache/index-1/a-1.0.0.crate"), "packed").unwrap();
    fs::write(theirs.join("config.toml"), "[net]\nretry = 3\n[registry]\ntoken = \"x\"\n").unwrap();
    for _ in 0..2 {
        let ours = Folder::open(&ours).unwrap();
        copy_settings(&theirs, &ours).unwrap();
        link_crates(&theirs, &ours).unwrap();
    }
    let link = ours.join("registry/cache/index-1/a-1.0.0.crate");
    assert!(link.is_symlink() && fs::read_to_string(&link).unwrap() == "packed");
    let settings = fs::read_to_string(ours.join("config.toml")).unwrap();
    assert_eq!(settings, "[net]\nretry = 3\n[registry]\n");
}

/// A policy with caches in this folder.
fn cached(caches: &Path) -> Policy {
    let cargo = caches.join("cargo").to_str().unwrap().to_owned();
    Policy {
        preset: sandbox::Preset::Packages,
        workspace: PathBuf::from("/elsewhere"),
        writable: vec![caches.to_owned()],
        variables: BTreeMap::from([("CARGO_HOME".to_owned(), cargo)]),
        ..Policy::default()
    }
}

#[test]
fn a_link_that_a_command_planted_in_a_cache_is_not_followed() {
    for planted in ["cargo", "cargo/registry", "cargo/registry/cache", "cargo/registry/cache/one"] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (home, outside) = (folder.join("home"), folder.join("outside"));
        let caches = folder.join(CACHES);
        fs::create_dir_all(home.join(".cargo/registry/cache/one")).unwrap();
        fs::write(home.join(".cargo/registry/cache/one/a.crate"), "packed").unwrap();
        fs::write(home.join(".cargo/config.toml"), "[net]\n").unwrap();
        fs::create_dir(&outside).unwrap();
        let link = caches.join(planted);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        prepared(&caches, &home).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{planted}");
        assert!(link.is_symlink(), "{planted}");
    }
}

#[test]
fn settings_of_a_cache_take_the_place_of_a_trap() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (home, precious) = (folder.join("home"), folder.join("precious"));
    let caches = folder.join(CACHES);
    fs::create_dir_all(home.join(".cargo")).unwrap();
    fs::create_dir_all(caches.join("cargo")).unwrap();
    fs::write(home.join(".cargo/config.toml"), "[net]\n").unwrap();
    fs::write(&precious, "as it is").unwrap();
    let settings = caches.join("cargo/config.toml");
    let pipe = |path: &Path| {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
    };
    let link = |path: &Path| std::os::unix::fs::symlink(&precious, path).unwrap();
    for trap in [&pipe as &dyn Fn(&Path), &link] {
        let _ = fs::remove_file(&settings);
        trap(&settings);
        trap(&caches.join(format!("cargo/.config.toml.{}", std::process::id())));
        prepared(&caches, &home).unwrap();
        assert!(settings.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_to_string(&settings).unwrap(), "[net]\n");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "as it is");
    }
    // A pipe in the place of a folder keeps nobody waiting.
    fs::remove_dir_all(caches.join("cargo")).unwrap();
    pipe(&caches.join("cargo"));
    prepared(&caches, &home).unwrap();
}

#[test]
fn a_link_on_the_way_to_the_caches_ends_it() {
    for planted in ["users/limn", "users/limn/packages", CACHES] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let outside = folder.join("outside");
        fs::create_dir_all(outside.join("packages/1")).unwrap();
        let link = folder.join(planted);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        let told = prepared(&folder.join(CACHES), &folder.join("home")).unwrap_err().to_string();
        assert!(told.contains("Cannot make the caches"), "{planted}: {told}");
        let inside: Vec<_> = fs::read_dir(&outside).unwrap().flatten().collect();
        assert_eq!(inside.len(), 1, "{planted}");
        assert_eq!(fs::read_dir(outside.join("packages/1")).unwrap().count(), 0, "{planted}");
    }
    // Where caches lie is the user's to choose, by a link too.
    let folder = TempDir::new().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fs::create_dir(folder.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("users")).unwrap();
    prepared(&folder.join("elsewhere/limn/packages/1"), &folder.join("home")).unwrap();
}

/// Where the caches of a workspace lie; what is below `users` is limn's to make.
const CACHES: &str = "users/limn/packages/1";

/// Prepares the caches of a user whose cargo lies in this home.
fn prepared(caches: &Path, home: &Path) -> Result<(), CliError> {
    prepare_from(&cached(caches), Some(&home.join(".cargo")))
}
