//! The proxy over real sockets on the loopback, with servers that say what they were asked.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::policy::HostPattern;

/// A proxy, and what it put on record.
struct Served {
    proxy: Proxy,
    port: u16,
    log: mpsc::Receiver<NetworkRequest>,
}

fn serve_with(network: Network) -> Served {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, log) = mpsc::channel(64);
    Served { proxy: Proxy::start(listener.into(), network, sender).unwrap(), port, log }
}

fn hosts(patterns: &[String]) -> Network {
    Network::Hosts(patterns.iter().map(|text| text.parse::<HostPattern>().unwrap()).collect())
}

impl Served {
    async fn connect(&self) -> Client {
        Client(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap())
    }

    /// What was put on record last.
    async fn logged(&mut self) -> NetworkRequest {
        self.log.recv().await.unwrap()
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// A head and the body whose length it gives.
    async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let byte = self.0.read_u8().await.unwrap();
            text.push(byte);
            if text.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let head = String::from_utf8(text).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// All there is until the proxy closes.
    async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.0.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.answer().await
    }
}

/// A server that answers each connection with the bytes it got until then, once it saw `until`.
struct Origin {
    port: u16,
    connections: Arc<AtomicUsize>,
}

async fn origin(until: &'static str, answer: impl Fn(&str) -> String + Send + 'static) -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut seen = Vec::new();
            while !seen.ends_with(until.as_bytes()) {
                match stream.read_u8().await {
                    Ok(byte) => seen.push(byte),
                    Err(_) => break,
                }
            }
            let text = answer(&String::from_utf8_lossy(&seen));
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    Origin { port, connections }
}

fn echo(seen: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len())
}

async fn echoing() -> Origin {
    origin("\r\n\r\n", echo).await
}

impl Origin {
    fn reached(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn allowed(&self) -> Network {
        hosts(&[format!("127.0.0.1:{}", self.port)])
    }
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_to_an_allowed_port() {
    let origin = origin("ping", |seen| format!("{seen} pong")).await;
    let mut served = serve_with(origin.allowed());
    let mut client = served.connect().await;
    let port = origin.port;
    // What is sent before the answer belongs into the tunnel.
    let text = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\npi");
    let answer = client.ask(&text).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    client.send("ng").await;
    assert_eq!(client.rest().await, "ping pong");
    let logged = served.logged().await;
    assert!(logged.allowed && logged.port == port && logged.host == "127.0.0.1");
    assert_eq!(logged.rule, format!("allow_hosts: 127.0.0.1:{port}"));
    let mut client = served.connect().await;
    let answer = client.ask("CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 127.0.0.1 is an address of this machine"), "{answer}");
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_decided_alone() {
    let (one, other) = (echoing().await, echoing().await);
    let mut served = serve_with(one.allowed());
    let mut client = served.connect().await;
    let get = |port: u16| format!("GET http://127.0.0.1:{port}/x?y HTTP/1.1\r\nA: b\r\n\r\n");
    for (port, allowed) in [(one.port, true), (other.port, false), (one.port, true)] {
        let answer = client.ask(&get(port)).await;
        let code = if allowed { "HTTP/1.1 200 " } else { "HTTP/1.1 403 " };
        assert!(answer.starts_with(code), "{answer}");
        if !allowed {
            let remedy = format!("allow the address itself with `/allow 127.0.0.1:{port}`");
            assert!(answer.contains(&remedy), "{answer}");
        }
        assert_eq!(served.logged().await.allowed, allowed);
    }
    assert_eq!((one.reached(), other.reached()), (2, 0));
}

#[tokio::test]
async fn a_server_sees_the_request_and_nothing_of_the_proxy() {
    let origin = echoing().await;
    let port = origin.port;
    let mut served = serve_with(origin.allowed());
    let mut client = served.connect().await;
    // `exec-7:` in base64.
    let answer = client
        .ask(&format!(
            "GET http://127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Proxy-Authorization: Basic ZXhlYy03Og==\r\nProxy-Connection: keep-alive\r\n\
             Connection: X-Private, keep-alive\r\nX-Private: 1\r\nUpgrade: websocket\r\n\
             Accept: */*\r\n\r\n"
        ))
        .await;
    let seen = answer.split_once("\r\n\r\n").unwrap().1;
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(seen, expected);
    assert_eq!(served.logged().await.exec, Some(7));
}

#[tokio::test]
async fn bodies_go_through_by_length_and_by_chunks() {
    let origin = origin("0\r\n\r\n", |seen| {
        let body = seen.split_once("\r\n\r\n").unwrap().1.to_owned();
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    })
    .await;
    let served = serve_with(origin.allowed());
    let mut client = served.connect().await;
    let port = origin.port;
    client
        .send(&format!(
            "POST http://127.0.0.1:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
        ))
        .await;
    let answer = client.rest().await;
    assert!(answer.ends_with("\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"), "{answer}");
    let echo = self::origin("end", echo).await;
    let served = serve_with(echo.allowed());
    let mut client = served.connect().await;
    let port = echo.port;
    let answer = client
        .ask(&format!("POST http://127.0.0.1:{port}/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nabend"))
        .await;
    assert!(answer.contains("Content-Length: 5\r\n") && answer.ends_with("abend"), "{answer}");
}

#[tokio::test]
async fn a_name_that_is_allowed_does_not_lead_inside() {
    let origin = echoing().await;
    let port = origin.port;
    let mut served = serve_with(hosts(&[format!("localhost:{port}")]));
    let mut client = served.connect().await;
    let answer = client.ask(&format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("leads to"), "{answer}");
    let logged = served.logged().await;
    assert!(!logged.allowed && logged.rule.contains("leads to"), "{}", logged.rule);
    assert_eq!(origin.reached(), 0);
    // It is let in once the addresses are named too.
    let both = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    served.proxy.set_network(hosts(&both));
    let answer = client.ask(&format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn addresses_that_are_no_servers_are_refused_whatever_is_allowed() {
    let served = serve_with(Network::All);
    let mut client = served.connect().await;
    for host in
        ["169.254.169.254", "10.0.0.1", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "100.64.0.1"]
    {
        let answer = client.ask(&format!("GET http://{host}/ HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{host}: {answer}");
        let answer = client.ask(&format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{host}: {answer}");
    }
    let answer = client.ask("CONNECT example.com:25 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 example.com:25 is not among"), "{answer}");
}

#[tokio::test]
async fn a_session_without_network_says_so() {
    let mut served = serve_with(Network::Off);
    let mut client = served.connect().await;
    let answer = client.ask("CONNECT docs.example:443 HTTP/1.1\r\n\r\n").await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        "limn refused this request: network is off for this session, and docs.example:443 was \
         asked for; allow it with `/allow docs.example`, `--allow-host docs.example` or \
         sandbox.allow_hosts.\n"
    );
    assert!(!served.logged().await.allowed);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let origin = echoing().await;
    let served = serve_with(origin.allowed());
    let host = format!("127.0.0.1:{}", origin.port);
    let post = format!("POST http://{host}/ HTTP/1.1\r\n");
    for (text, told) in [
        (
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "a length and a",
        ),
        (format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n"), "not chunked alone"),
        (format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"), "chunked"),
        (format!("{post}Content-Length: 4\r\nContent-Length: 5\r\n\r\n"), "two lengths"),
        (format!("{post}Content-Length: +4\r\n\r\n"), "no number"),
        (format!("{post}Content-Length: 4, 4\r\n\r\n"), "no number"),
        (format!("{post}A: b\r\n c\r\n\r\n"), "goes on in the next line"),
        (format!("{post}A: b\n\r\n"), "CR LF"),
        (format!("{post}A: b\rC: d\r\n\r\n"), "a CR stands"),
        (format!("{post}A : b\r\n\r\n"), "no HTTP"),
        (format!("{post}Host: other.example\r\n\r\n"), "the Host header is not"),
        (format!("{post}Host: {host}\r\nHost: {host}\r\n\r\n"), "two Host"),
        (format!("{post}A: \0\r\n\r\n"), "NUL"),
        (format!("GET http://{host}/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "HTTP/1.0"),
        (format!("GET http://me:pw@{host}/ HTTP/1.1\r\n\r\n"), "holds a user"),
        (format!("GET https://{host}/ HTTP/1.1\r\n\r\n"), "CONNECT"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "only http://"),
        ("CONNECT a.example HTTP/1.1\r\n\r\n".to_owned(), "no host and port"),
        (format!("CONNECT {host} HTTP/1.1\r\nHost: b.example\r\n\r\n"), "the Host header is not"),
        (format!("CONNECT {host} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), "has a body"),
        ("GET http://127.1/ HTTP/1.1\r\n\r\n".to_owned(), "names no host"),
        ("GET http://2130706433/ HTTP/1.1\r\n\r\n".to_owned(), "names no host"),
        (format!("{post}A: {}\r\n\r\n", "x".repeat(80 << 10)), "too long"),
        (format!("{post}{}\r\n", "A: b\r\n".repeat(200)), "too many headers"),
        ("\u{16}\u{3}\u{1}hello\r\n\r\n".to_owned(), "no HTTP"),
    ] {
        let mut client = served.connect().await;
        // Of what is too long, not all is taken.
        let _ = client.0.write_all(text.as_bytes()).await;
        let answer = client.rest().await;
        let shown: String = text.chars().take(200).collect();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
        assert!(answer.contains(told), "{shown}: {answer}");
    }
    assert_eq!(origin.reached(), 0);
}

#[tokio::test]
async fn the_body_of_a_request_is_not_the_next_request() {
    let origin = origin("}", echo).await;
    let served = serve_with(origin.allowed());
    let mut client = served.connect().await;
    let hidden = "GET http://10.0.0.1/ HTTP/1.1\r\n\r\n}";
    let text = format!(
        "POST http://127.0.0.1:{}/ HTTP/1.1\r\nContent-Length: {}\r\n\r\n{hidden}",
        origin.port,
        hidden.len()
    );
    let answer = client.ask(&text).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(hidden), "{answer}");
    // Of a request that was refused, the body is nobody's.
    let text = text.replacen(&format!(":{}", origin.port), ":1", 1);
    client.send(&text).await;
    let answer = client.rest().await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn the_last_refusal_on_record_says_that_it_is() {
    let (log, mut told) = mpsc::channel(2 * REFUSALS_MAX);
    let rules = Rules { network: RwLock::new(Network::Off), log, told: Mutex::default() };
    for number in 0..REFUSALS_MAX + 3 {
        let target = Target::parse(&format!("host-{number}.example"), Some(443)).unwrap();
        rules.tell(&target, Some(1), &rules.network().decide(&target)).await.unwrap();
    }
    drop(rules);
    let mut seen = Vec::new();
    while let Some(request) = told.recv().await {
        seen.push(request.rule);
    }
    assert_eq!(seen.len(), REFUSALS_MAX + 1);
    let (last, others) = seen.split_last().unwrap();
    assert!(last.ends_with(LAST) && others.iter().all(|rule| !rule.ends_with(LAST)), "{last}");
}

#[tokio::test]
async fn a_refusal_that_repeats_is_on_record_once() {
    let mut served = serve_with(Network::Off);
    let mut client = served.connect().await;
    for host in ["a.example", "a.example", "b.example", "a.example"] {
        let answer = client.ask(&format!("GET http://{host}/ HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    drop(served.proxy);
    let mut logged = Vec::new();
    while let Some(request) = served.log.recv().await {
        logged.push(request.host);
    }
    assert_eq!(logged, ["a.example", "b.example"]);
}

#[tokio::test]
async fn what_cannot_be_put_on_record_does_not_happen() {
    let origin = echoing().await;
    let served = serve_with(origin.allowed());
    drop(served.log);
    let mut client = Client(TcpStream::connect(("127.0.0.1", served.port)).await.unwrap());
    client.send(&format!("GET http://127.0.0.1:{}/ HTTP/1.1\r\n\r\n", origin.port)).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("ending"), "{answer}");
    assert_eq!(origin.reached(), 0);
}

#[tokio::test]
async fn it_ends_when_it_is_dropped() {
    let served = serve_with(Network::Off);
    let mut client = served.connect().await;
    drop(served.proxy);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_the_connection() {
    let origin = origin("\r\n\r\n", |_| {
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nall"
            .to_owned()
    })
    .await;
    let served = serve_with(origin.allowed());
    let mut client = served.connect().await;
    client.send(&format!("GET http://127.0.0.1:{}/ HTTP/1.1\r\n\r\n", origin.port)).await;
    assert_eq!(
        client.rest().await,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall"
    );
}

/// Pieces from which requests are put together, right ones and wrong ones.
fn any_request(port: u16) -> impl Strategy<Value = Vec<u8>> {
    let canary = format!("127.0.0.1:{port}");
    let pieces = vec![
        "GET ".to_owned(),
        "CONNECT ".to_owned(),
        "POST ".to_owned(),
        "http://".to_owned(),
        "HTTP://".to_owned(),
        canary.clone(),
        format!("localhost:{port}"),
        format!("allowed.test@{canary}"),
        format!("allowed.test#@{canary}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("0x7f.1:{port}"),
        "allowed.test".to_owned(),
        "/".to_owned(),
        " HTTP/1.1\r\n".to_owned(),
        format!("Host: {canary}\r\n"),
        "Host: allowed.test\r\n".to_owned(),
        "Content-Length: 5\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "\r\n".to_owned(),
        "\n".to_owned(),
        "\r".to_owned(),
        " ".to_owned(),
        "\0".to_owned(),
        "5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ];
    let piece = prop_oneof![
        8 => select(pieces).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Pieces from which answers of servers are put together, right ones and wrong ones.
fn any_response() -> impl Strategy<Value = Vec<u8>> {
    let first = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 204 x\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "HTTP/1.1 304\r\n",
    ];
    let header = [
        "Content-Length: 5\r\n",
        "content-length: 05\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: close, X-Private\r\n",
        "X-Private: 1\r\n",
        "Keep-Alive: 5\r\n",
        "A: b\r\n",
        " folded\r\n",
        "no colon\r\n",
    ];
    let headers = vec(select(header.to_vec()), 0..5);
    (select(first.to_vec()), headers).prop_map(|(first, headers)| {
        [first.as_bytes(), headers.concat().as_bytes(), b"\r\n"].concat()
    })
}

#[test]
fn no_bytes_reach_an_address_that_is_not_allowed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let canary = StdListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let port = canary.local_addr().unwrap().port();
    // The name is allowed, and the address that it leads to is not.
    let served = serve_with(hosts(&[format!("localhost:{port}")]));
    let log = std::cell::RefCell::new(served.log);
    let config =
        ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() };
    proptest!(config, |(bytes in any_request(port))| {
        runtime.block_on(async {
            let mut client = Client(TcpStream::connect(("127.0.0.1", served.port)).await.unwrap());
            let _ = client.0.write_all(&bytes).await;
            let _ = client.0.shutdown().await;
            let answer = client.rest().await;
            prop_assert!(answer.is_empty() || !answer.starts_with("HTTP/1.1 200"), "{}", answer);
            while log.borrow_mut().try_recv().is_ok() {}
            Ok(())
        })?;
        prop_assert!(canary.accept().is_err(), "the canary was reached by {:?}", bytes);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![any_request(1), vec(any::<u8>(), 0..200)]) {
        let _ = head::end(&bytes, 0);
        let _ = head::request(&bytes);
        let _ = head::response(&bytes, false, true);
    }

    #[test]
    fn a_head_ends_where_it_ends_in_whatever_pieces_it_comes(
        bytes in any_request(80), cut in any::<prop::sample::Index>(),
    ) {
        let whole = head::end(&bytes, 0);
        let cut = cut.index(bytes.len() + 1);
        match head::end(&bytes[..cut], 0) {
            Ok(None) => prop_assert_eq!(head::end(&bytes, cut), whole),
            first => prop_assert_eq!(first, whole),
        }
    }

    #[test]
    fn what_comes_back_is_read_the_same_way_again(
        bytes in any_response(), is_head: bool, keeps: bool,
    ) {
        if let Ok(response) = head::response(&bytes, is_head, keeps) {
            let text = String::from_utf8_lossy(&response.head).into_owned();
            prop_assert_eq!(head::end(&response.head, 0), Ok(Some(response.head.len())));
            let again = head::response(&response.head, is_head, keeps);
            prop_assert_eq!(again.map(|it| it.body), Ok(response.body), "{}", text);
            prop_assert!(!(text.contains("Content-Length") && text.contains("Transfer-Encoding")));
        }
    }

    #[test]
    fn what_is_handed_on_is_read_the_same_way_again(bytes in any_request(80)) {
        let whole = head::end(&bytes, 0).is_ok_and(|end| end.is_some());
        if let (true, Ok(request)) = (whole, head::request(&bytes))
            && let head::Wish::Forward { head, .. } = request.wish
        {
            let text = String::from_utf8_lossy(&head).into_owned();
            prop_assert!(head::end(&head, 0) == Ok(Some(head.len())), "{}", text);
            prop_assert_eq!(text.matches("\r\nHost: ").count(), 1);
            prop_assert!(!(text.contains("Content-Length") && text.contains("Transfer-Encoding")));
        }
    }
}
