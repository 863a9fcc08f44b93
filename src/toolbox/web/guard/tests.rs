//! Who may be spoken to.

use super::*;

fn guard(allowed: &[&str]) -> Guard {
    Guard::new(&allowed.iter().map(ToString::to_string).collect::<Vec<_>>(), None)
}

fn check(guard: &Guard, url: &str) -> Result<(), String> {
    guard.check(&Url::parse(url).unwrap())
}

#[test]
fn urls_that_lead_inside_are_refused_however_they_are_spelled() {
    let none = guard(&[]);
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "http://10.0.0.1:80/",
        "http://127。0。0。1/",
    ] {
        let told = check(&none, url).unwrap_err();
        assert!(told.contains("has the private address"), "{url}: {told}");
    }
    for (url, told) in [
        ("ftp://example.com/", "Only http and https"),
        ("file:///etc/passwd", "Only http and https"),
        ("data:text/html,x", "Only http and https"),
        ("http://user:secret@example.com/", "a user name or password"),
    ] {
        assert!(check(&none, url).unwrap_err().contains(told), "{url}");
    }
    assert_eq!(check(&none, "https://example.com/"), Ok(()));
    assert_eq!(check(&none, "http://1.1.1.1/"), Ok(()));
}

#[test]
fn hosts_that_are_named_are_exempt_on_their_ports() {
    let some = guard(&["localhost:8080", "127.0.0.1", "[::1]:9000", "Intranet.Example"]);
    assert_eq!(check(&some, "http://localhost:8080/"), Ok(()));
    let local = || vec!["127.0.0.1:0".parse().unwrap()];
    assert!(some.filter("localhost", 8080, local()).is_ok());
    let told = some.filter("localhost", 80, local()).unwrap_err().to_string();
    assert!(told.contains("localhost has the private address 127.0.0.1"), "{told}");
    assert_eq!(check(&some, "http://127.0.0.1:1/"), Ok(()));
    assert_eq!(check(&some, "http://[::1]:9000/"), Ok(()));
    assert!(check(&some, "http://[::1]:9001/").is_err());
    assert_eq!(check(&some, "http://intranet.example/"), Ok(()));
    assert!(check(&some, "http://127.0.0.2/").is_err());
}

#[test]
fn one_private_address_spoils_a_name() {
    let mixed: Vec<SocketAddr> =
        ["8.8.8.8:0", "192.168.0.1:0"].iter().map(|it| it.parse().unwrap()).collect();
    let told = guard(&[]).filter("rebind.test", 443, mixed.clone()).unwrap_err().to_string();
    assert!(told.starts_with("rebind.test has the private address 192.168.0.1."), "{told}");
    assert_eq!(guard(&["Rebind.test"]).filter("rebind.test.", 443, mixed.clone()).unwrap(), mixed);
    assert_eq!(guard(&[]).filter("a.test", 443, mixed[..1].to_vec()).unwrap(), mixed[..1]);
}

#[test]
fn the_sessions_policy_is_asked_first() {
    let by =
        |network: Network| Guard::new(&["wiki.example:8080".to_owned()], Some(Reach::new(network)));
    let hosts =
        Network::Hosts(vec!["docs.example".parse().unwrap(), "127.0.0.1:3000".parse().unwrap()]);
    let off = check(&by(Network::Off), "https://docs.example/").unwrap_err();
    assert_eq!(
        off,
        "Refused: network is off for this session, and docs.example:443 was asked for; allow it \
         with `/allow docs.example`, `--allow-host docs.example` or sandbox.allow_hosts."
    );
    assert!(check(&by(Network::Off), "http://wiki.example:8080/").is_err());
    assert_eq!(check(&by(hosts.clone()), "https://docs.example/"), Ok(()));
    assert_eq!(check(&by(hosts.clone()), "http://wiki.example:8080/"), Ok(()));
    assert_eq!(check(&by(hosts.clone()), "http://127.0.0.1:3000/"), Ok(()));
    assert!(check(&by(hosts.clone()), "https://other.example/").unwrap_err().contains("not among"));
    assert!(check(&by(Network::All), "http://127.0.0.1:3000/").is_err());
    assert_eq!(check(&by(Network::All), "https://other.example/"), Ok(()));
}

#[test]
fn an_address_that_the_session_allows_is_meant_for_the_web_tools_too() {
    let allows = |hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Guard::new(&[], Some(Reach::new(Network::Hosts(hosts))))
    };
    let found = || vec!["10.0.0.5:0".parse().unwrap()];
    for (hosts, port, fits) in [
        (&["intranet.example", "10.0.0.5"][..], 443, true),
        (&["intranet.example:8443", "10.0.0.5:8443"], 8443, true),
        (&["intranet.example", "10.0.0.5:8443"], 443, false),
        (&["intranet.example"], 443, false),
    ] {
        let filtered = allows(hosts).filter("intranet.example", port, found());
        assert_eq!(filtered.is_ok(), fits, "{hosts:?} {port}");
        if let Err(refused) = filtered {
            let told = refused.to_string();
            assert!(told.contains("`/allow 10.0.0.5`"), "{told}");
        }
    }
}
