//! Where packages come from, and the caches they go into.

use tempfile::TempDir;

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
        sources.read(text, false);
        assert_eq!(texts(&sources.hosts), found, "{text}");
    }
}

#[test]
fn what_tools_inside_cannot_read_they_are_told() {
    let mut sources = Sources::default();
    sources.read("[global]\nindex-url = https://pypi.example/simple\ncert = /etc/ca.pem", false);
    sources.read("registry=https://npm.example/", false);
    sources.read("[source.mirror]\nregistry = \"sparse+https://crates.example/\"", true);
    assert_eq!(sources.variables["PIP_INDEX_URL"], "https://pypi.example/simple");
    assert_eq!(sources.variables["npm_config_registry"], "https://npm.example/");
    assert_eq!(texts(&sources.hosts), ["pypi.example", "npm.example", "crates.example"]);
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
        copy_settings(&theirs, &ours).unwrap();
        link_crates(&theirs, &ours).unwrap();
    }
    let link = ours.join("registry/cache/index-1/a-1.0.0.crate");
    assert!(link.is_symlink() && fs::read_to_string(&link).unwrap() == "packed");
    let settings = fs::read_to_string(ours.join("config.toml")).unwrap();
    assert_eq!(settings, "[net]\nretry = 3\n[registry]\n");
}
