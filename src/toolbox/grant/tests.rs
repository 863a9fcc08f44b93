//! What is allowed while a session runs.

use sandbox::{Network, Policy, Preset, Sandbox};
use serde_json::json;

use crate::beneath::GRANTED_MAX;
use crate::tests::Bench;
use crate::web::tests::Server;
use crate::{Setup, Web};

/// A bench whose policy knows no network, though nothing isolates it here.
fn closed() -> Bench {
    let network = Network::Off;
    let policy = Policy { preset: Preset::Workspace, network, ..Policy::default() };
    let setup = Setup { web: Web { fetch: true, ..Web::default() }, ..Setup::default() };
    Bench::open(Sandbox::off().with_policy(policy), setup)
}

#[test]
fn a_host_is_refused_until_the_user_allows_it() {
    let server = Server::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage".to_vec());
    let bench = closed();
    let fetch = json!({ "url": server.url("/") });
    assert!(bench.fails("web_fetch", &fetch).contains("network is off"));
    let host = server.address.to_string();
    let grant = bench.toolbox.grant(&host).unwrap();
    assert_eq!((grant.scope.as_str(), grant.call), (host.as_str(), None));
    assert!(grant.rule.contains("network is off"), "{}", grant.rule);
    assert!(grant.shown.contains(&format!("The user allows {host}")), "{}", grant.shown);
    // What is not in force yet changes nothing.
    assert!(bench.fails("web_fetch", &fetch).contains("network is off"));
    bench.toolbox.put_in_force(&grant);
    assert!(bench.ok("web_fetch", &fetch).contains("page"));
    let told = bench.toolbox.grant(&host).unwrap_err();
    assert!(told.contains("can be reached already"), "{told}");
    let other = json!({ "url": "http://other.example/" });
    assert!(bench.fails("web_fetch", &other).contains("not among the hosts"));
}

#[test]
fn what_is_no_host_or_needs_no_grant_is_told() {
    let bench = closed();
    for (host, told) in [("http://a.example/", "is no host"), ("*.com", "would allow too much")] {
        let found = bench.toolbox.grant(host).unwrap_err();
        assert!(found.contains(told), "{host}: {found}");
    }
    assert!(bench.toolbox.grant("*.docs.example").is_ok());
    let found = Bench::new().toolbox.grant("docs.example").unwrap_err();
    assert!(found.contains("no sandbox"), "{found}");
}

#[test]
fn a_file_is_read_once_the_user_allows_it_and_nothing_beside_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let top = folder.path().canonicalize().unwrap();
    for name in ["asked", "other", "secret"] {
        std::fs::write(top.join(name), name).unwrap();
    }
    let policy =
        Policy { preset: Preset::Workspace, hidden: vec![top.join("secret")], ..Policy::default() };
    let bench = Bench::open(Sandbox::off().with_policy(policy), Setup::default());
    let read = |name: &str| json!({ "file_path": top.join(name) });
    let told = bench.fails("read", &read("asked"));
    assert!(told.contains("is outside the workspace"), "{told}");
    // What could be opened is known from the call alone; what could not is not offered.
    let could = |tool: &str, arguments: &serde_json::Value| {
        bench.toolbox.grantable(tool, &arguments.to_string())
    };
    assert_eq!(could("read", &read("asked")), top.join("asked").to_str().map(str::to_owned));
    let to_root = "../".repeat(bench.workspace().components().count());
    let from_here = json!({ "file_path": format!("{to_root}{}", top.join("asked").display()) });
    assert_eq!(could("read", &from_here), could("read", &read("asked")));
    assert_eq!((could("read", &read("secret")), could("read", &read("absent"))), (None, None));
    assert_eq!((could("write", &read("asked")), could("read", &json!({}))), (None, None));
    let grant = bench.toolbox.grant(top.join("asked").to_str().unwrap()).unwrap();
    bench.toolbox.put_in_force(&grant);
    assert!(bench.ok("read", &read("asked")).contains("asked"));
    assert_eq!(could("read", &read("asked")), None);
    for name in ["other", "secret"] {
        assert!(bench.fails("read", &read(name)).contains("is outside the workspace"), "{name}");
    }
    let write = json!({ "file_path": top.join("asked"), "content": "changed" });
    let told = bench.run("write", &write).shown;
    assert!(told.contains("outside what this session may write"), "{told}");
    for (what, told) in [
        ("asked", "open to the file tools already"),
        ("secret", "is hidden from this session"),
        ("absent", "cannot be opened"),
        ("", "is no file"),
    ] {
        let found = bench.toolbox.grant(top.join(what).to_str().unwrap()).unwrap_err();
        assert!(found.contains(told), "{what}: {found}");
    }
}

#[test]
fn no_more_files_are_allowed_than_can_be_opened() {
    let folder = tempfile::TempDir::new().unwrap();
    let bench = closed();
    let grant = |number: usize| {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, "x").unwrap();
        bench.toolbox.grant(path.to_str().unwrap())
    };
    for number in 0..GRANTED_MAX {
        bench.toolbox.put_in_force(&grant(number).unwrap());
    }
    let told = grant(GRANTED_MAX).unwrap_err();
    assert!(told.starts_with("32 files are open already."), "{told}");
}
