//! The tool, over real HTTP.

use sandbox::{Network, Policy, Preset, Sandbox};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;

use crate::tests::Bench;
use crate::web::tests::{Server, redirect, response};
use crate::{Setup, Web};

const HTML: &str = "content-type: text/html; charset=utf-8\r\n";

#[test]
fn a_page_comes_as_text() {
    let server = Server::start(|_| response("200 OK", HTML, "<title>T</title><h1>Hi</h1><p>é</p>"));
    let url = server.url("/a");
    assert_eq!(
        server.bench().ok("web_fetch", &json!({ "url": url })),
        format!("{url}\nT\n\n# Hi\n\né")
    );
    let asked = server.asked();
    assert_eq!(asked[0].line, "GET /a HTTP/1.1");
    assert!(asked[0].headers.iter().any(|it| it.starts_with("user-agent: limn/")), "{asked:?}");
    assert!(!asked[0].headers.iter().any(|it| it.starts_with("cookie")), "{asked:?}");
}

#[test]
fn a_long_text_is_shown_in_pieces() {
    let body: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
    let length = body.len();
    let whole = body.clone();
    let server = Server::start(move |_| response("200 OK", "content-type: text/plain\r\n", &body));
    let bench = server.bench();
    let mut read = String::new();
    let mut offset = 0;
    loop {
        let outcome = bench.run("web_fetch", &json!({"url": server.url("/"), "offset": offset}));
        assert_eq!(outcome.status, CallStatus::Ok, "{}", outcome.shown);
        let text = outcome.shown.split_once("\n\n").unwrap().1;
        let (text, next) = match text.rsplit_once("\n[characters ") {
            Some((text, note)) => (text, note.rsplit_once("offset ").map(|it| it.1)),
            None => (text, None),
        };
        read.push_str(text);
        read.push('\n');
        let Some(next) = next else { break };
        assert!(outcome.truncated.unwrap().chars_omitted > 0);
        offset = next.trim_end_matches(']').parse().unwrap();
    }
    assert_eq!(read, whole);
    let told = bench.fails("web_fetch", &json!({"url": server.url("/"), "offset": length + 1}));
    assert!(told.starts_with(&format!("Offset {} is beyond the end", length + 1)), "{told}");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let server = Server::start(|path| match path {
        "/start" => redirect("next?x=1"),
        "/next?x=1" => response("200 OK", "content-type: application/json\r\n", "{\"a\": 1}"),
        "/empty" => response("302 Found", "", ""),
        _ => redirect("/loop"),
    });
    let bench = server.bench();
    let shown = bench.ok("web_fetch", &json!({"url": server.url("/start")}));
    assert_eq!(shown, format!("{}\n\n{{\"a\": 1}}", server.url("/next?x=1")));
    let told = bench.fails("web_fetch", &json!({"url": server.url("/loop")}));
    assert!(told.contains("is the end of 5 redirects"), "{told}");
    assert_eq!(server.asked().iter().filter(|asked| asked.line.contains("/loop")).count(), 6);
    let told = bench.fails("web_fetch", &json!({"url": server.url("/empty")}));
    assert!(told.contains("answered 302 Found"), "{told}");
}

#[test]
fn a_redirect_does_not_lead_inside() {
    let inside = Server::start(|_| response("200 OK", HTML, "secret"));
    let targets = [
        inside.url("/"),
        format!("http://localhost:{}/", inside.address.port()),
        format!("http://[::ffff:127.0.0.1]:{}/", inside.address.port()),
        "http://169.254.169.254/latest/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ];
    for target in targets {
        let to = target.clone();
        let outside = Server::start(move |_| redirect(&to));
        let told = outside.bench().fails("web_fetch", &json!({"url": outside.url("/")}));
        let refused = told.contains("private address")
            || told.contains("Only http and https")
            || told.contains("allowed on other ports only");
        assert!(refused, "{target}: {told}");
        assert_eq!(outside.asked().len(), 1);
    }
    assert!(inside.asked().is_empty());
}

#[test]
fn a_name_that_resolves_to_this_machine_is_refused_at_the_connection() {
    let server = Server::start(|_| response("200 OK", HTML, "secret"));
    let web = Web { fetch: true, ..Web::default() };
    let bench = Bench::with(Setup { web, ..Setup::default() });
    let url = format!("http://localhost:{}/", server.address.port());
    let told = bench.fails("web_fetch", &json!({ "url": url }));
    assert!(told.contains("localhost has the private address"), "{told}");
    assert!(told.contains("the user can name it in web.allow_private"), "{told}");
    assert!(server.asked().is_empty());
}

#[test]
fn what_is_no_page_is_told() {
    let server = Server::start(|path| match path {
        "/404" => response("404 Not Found", HTML, "<h1>Gone</h1>"),
        "/zip" => response("200 OK", "content-type: application/zip\r\n", "PK\x03\x04"),
        "/bytes" => response("200 OK", "content-type: text/plain\r\n", b"a\0b"),
        "/empty" => response("200 OK", HTML, "<p> </p>"),
        "/short" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
        _ => b"nonsense".to_vec(),
    });
    let bench = server.bench();
    let told = |path: &str| bench.fails("web_fetch", &json!({"url": server.url(path)}));
    assert_eq!(told("/404"), format!("{} answered 404 Not Found.\n# Gone", server.url("/404")));
    assert_eq!(told("/zip"), format!("{} is application/zip (4 B), not text.", server.url("/zip")));
    assert_eq!(told("/bytes"), format!("{} is text/plain (3 B), not text.", server.url("/bytes")));
    assert!(
        told("/short").starts_with("The exchange with 127.0.0.1 failed: "),
        "{}",
        told("/short")
    );
    assert!(told("/x").starts_with("The exchange with 127.0.0.1 failed: "), "{}", told("/x"));
    let empty = bench.ok("web_fetch", &json!({"url": server.url("/empty")}));
    assert!(empty.ends_with("\n(no text)"), "{empty}");
    let wrong = |url: &str| bench.fails("web_fetch", &json!({ "url": url }));
    assert!(wrong("example.com").contains("is not a URL: "), "{}", wrong("example.com"));
    assert!(wrong("ftp://example.com").starts_with("Only http and https"));
    // No label of a name is that long: any resolver says so without asking the network.
    let nowhere = format!("{}.example", "a".repeat(64));
    let told = wrong(&format!("http://{nowhere}/"));
    assert!(told.starts_with(&format!("{nowhere} cannot be reached: ")), "{told}");
}

#[test]
fn a_page_without_end_is_cut() {
    let server =
        Server::start(|_| response("200 OK", "content-type: text/plain\r\n", "x".repeat(20 << 20)));
    let last = (5 << 20) - 10;
    let shown = server.bench().ok("web_fetch", &json!({"url": server.url("/"), "offset": last}));
    assert!(
        shown.ends_with("\n\nxxxxxxxxxx\n[the page is longer than what is read of it]"),
        "{shown}"
    );
}

#[test]
fn text_in_other_encodings_is_decoded() {
    let server = Server::start(|path| match path {
        "/header" => {
            response("200 OK", "content-type: text/html; charset=\"ISO-8859-1\"\r\n", b"<p>caf\xe9")
        }
        "/meta" => response(
            "200 OK",
            "content-type: text/html\r\n",
            b"<meta charset=shift_jis><p>\x93\xfa",
        ),
        _ => response("200 OK", "", b"<!doctype html><p>plain"),
    });
    let bench = server.bench();
    let text = |path: &str| {
        let shown = bench.ok("web_fetch", &json!({"url": server.url(path)}));
        shown.split_once("\n\n").unwrap().1.to_owned()
    };
    assert_eq!(text("/header"), "café");
    assert_eq!(text("/meta"), "日");
    assert_eq!(text("/none"), "plain");
}

#[test]
fn images_and_pdf_documents_are_read_too() {
    let server = Server::start(|path| match path {
        "/a/dot.gif" => {
            response("200 OK", "content-type: image/gif\r\n", b"GIF89a\x02\0\x03\0\0\0\0")
        }
        _ => response(
            "200 OK",
            "content-type: application/pdf\r\n",
            crate::read::pdf_document(&["A page"]),
        ),
    });
    let bench = server.bench();
    let outcome = bench.run("web_fetch", &json!({"url": server.url("/a/dot.gif")}));
    assert!(outcome.shown.ends_with(": image/gif, 2×3 pixels, 13 B"), "{}", outcome.shown);
    assert_eq!(outcome.attachments[0].name, "dot.gif");
    let shown = bench.ok("web_fetch", &json!({"url": server.url("/b")}));
    assert!(shown.ends_with("\n\n--- page 1 of 1 ---\nA page"), "{shown}");
}

#[test]
fn a_server_that_says_nothing_can_be_cancelled() {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let server = Server::start(move |_| {
        token.cancel();
        // The answer is whole only when nobody waits for it any more.
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec()
    });
    let arguments = json!({"url": server.url("/")}).to_string();
    let (outcome, _) = server.bench().run_with("web_fetch", &arguments, cancel);
    assert_eq!(outcome.status, CallStatus::Cancelled, "{}", outcome.shown);
}

#[test]
fn a_session_without_network_fetches_nothing_and_says_why() {
    let server = Server::start(|_| response("200 OK", HTML, "here"));
    let policy = Policy { preset: Preset::Workspace, network: Network::Off, ..Policy::default() };
    let setup = || Setup { web: Web { fetch: true, ..Web::default() }, ..Setup::default() };
    let bench = Bench::open(Sandbox::off().with_policy(policy), setup());
    let told = bench.fails("web_fetch", &json!({ "url": server.url("/") }));
    let host = server.address;
    assert_eq!(
        told,
        format!(
            "Refused: network is off for this session, and {host} was asked for; allow it \
             with `/allow {host}`, `--allow-host {host}` or sandbox.allow_hosts."
        )
    );
    assert!(server.asked().is_empty());
    // Allowed by its address, it is reached, whatever its network.
    let network = Network::Hosts(vec![host.to_string().parse().unwrap()]);
    let policy = Policy { preset: Preset::Workspace, network, ..Policy::default() };
    let bench = Bench::open(Sandbox::off().with_policy(policy), setup());
    assert!(bench.ok("web_fetch", &json!({ "url": server.url("/") })).contains("here"));
}
