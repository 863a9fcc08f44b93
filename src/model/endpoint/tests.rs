use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mock_server::Reply as Answer;
use serde_json::json;
use trajectory::Progress;

use crate::tests::{
    ask, call, chat, hello, once, once_in, prompt, serve, speaking, text, transcript,
};
use crate::*;

#[tokio::test]
async fn the_body_is_sent_byte_for_byte() {
    let server = serve([Answer::text("hi")]);
    let model = chat(&server.url());
    let odd = "quote \" backslash \\ line\nend \u{2028} nul \0 é 𝄞 </script>";
    let request = model.encode(1, &transcript([prompt(odd)]), &|_| None);
    ask(&model, &request).await.0.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, request.body().as_bytes());
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_key_is_sent_only_when_there_is_one() {
    let server = serve([Answer::text("hi"), Answer::text("hi"), Answer::text("hi")]);
    for key in [None, Some(ApiKey::new(" ")), Some(ApiKey::new("sk-test\n"))] {
        let config = EndpointConfig { key, ..EndpointConfig::new(&server.url(), "m") };
        let model = EndpointModel::new(config).unwrap().into();
        ask(&model, &hello(&model)).await.0.unwrap();
    }
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(sent, [None, None, Some("Bearer sk-test")]);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = serve([Answer::text("one"), Answer::text("two"), Answer::html("<html>")]);
    let model = chat(&server.url());
    for _ in 0..3 {
        let _ = ask(&model, &hello(&model)).await;
    }
    let connections: Vec<usize> = server.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn nothing_is_asked_twice() {
    let answers = || [Answer::status(500, &[], ""), Answer::reset(), Answer::text("no")];
    for (skip, kind) in
        [(0, FailureKind::Server { retry_after: None }), (1, FailureKind::Interrupted)]
    {
        let server = serve(answers().into_iter().skip(skip));
        let model = chat(&server.url());
        let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.kind.is_worth_retrying());
        assert_eq!(server.requests().len(), 1);
    }
    let limited = Answer::status(429, &[("retry-after", "3600")], r#"{"error":"slow down"}"#);
    let failure = once(limited).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(3600));
    assert_eq!(failure.kind, FailureKind::RateLimited { retry_after });
    assert_eq!(failure.partial.http_status, Some(429));
    assert!(failure.to_string().contains("slow down"), "{failure}");
}

#[tokio::test]
async fn streams_that_break_leave_what_came() {
    let answer = || Answer::text("one ").then_text("two ").call("f", "{\"a\":1}");
    for (broken, expected) in [
        (answer().cut_after(2), vec![text("one ")]),
        (answer().cut_after(3), vec![text("one two ")]),
        (answer().without_finish(), vec![text("one two "), call("call_0_0", "f", "{\"a\":1}")]),
        (answer().cut_after(0), vec![]),
    ] {
        let failure = once(broken).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Interrupted, "{failure}");
        assert_eq!(failure.partial.parts, expected);
        assert_eq!(failure.partial.http_status, Some(200));
        assert!(failure.message.contains("127.0.0.1:"), "{failure}");
    }
}

#[tokio::test]
async fn a_missing_done_is_forgiven_after_the_finish_reason() {
    for answer in [
        Answer::text("hi").without_done(),
        Answer::text("hi").usage(json!(null)),
        Answer::text("hi").carriage_returns().raw_event(": keepalive\r\n\r\n"),
    ] {
        assert_eq!(once(answer).await.unwrap().parts, [text("hi")]);
    }
    // The connection breaks behind the finish reason: the reply was complete.
    let reply = once(Answer::text("hi").cut_after(3)).await.unwrap();
    assert_eq!((reply.parts, reply.usage), (vec![text("hi")], None));
}

#[tokio::test]
async fn what_is_no_stream_is_told() {
    let page = once(Answer::html("<html><body>Welcome to nginx!")).await.unwrap_err();
    assert_eq!(page.kind, FailureKind::Protocol);
    assert!(page.message.contains("web page"), "{page}");
    assert_eq!(page.partial.raw, b"<html><body>Welcome to nginx!");
    let object = once(Answer::json(&json!({"hello": "world"}))).await.unwrap_err();
    assert_eq!(object.kind, FailureKind::Protocol);
    let whole = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]});
    assert_eq!(once(Answer::json(&whole)).await.unwrap().parts, [text("hi")]);
    let to = [("location", "http://127.0.0.1:1/v1/chat/completions")];
    let redirect = once(Answer::status(302, &to, "")).await.unwrap_err();
    assert!(redirect.message.contains("elsewhere"), "{redirect}");
}

#[tokio::test]
async fn a_base_url_without_v1_is_suspected() {
    let server = serve([]);
    let model = chat(&server.root_url());
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFound);
    assert!(failure.hint.contains("/v1"), "{failure}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let model = chat(&format!("http://{free}/v1"));
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains(&free.to_string()), "{failure}");
    assert!(failure.message.contains("refused"), "{failure}");
    assert_eq!(failure.partial.http_status, None);
    // No label of a name is that long: any resolver says so without asking the network.
    let name = "x".repeat(64);
    let nowhere = chat(&format!("http://{name}.invalid/v1"));
    let failure = ask(&nowhere, &hello(&nowhere)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains(&format!("{name}.invalid:80")), "{failure}");
    assert!(failure.message.contains("resolved"), "{failure}");
}

#[tokio::test]
async fn tls_with_a_server_that_speaks_none_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the client has had enough: a close before would hide the answer.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let model = chat(&format!("https://{address}/v1"));
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    server.join().unwrap();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    assert!(failure.message.contains("No secure connection"), "{failure}");
    assert!(failure.hint.contains("http://"), "{failure}");
}

#[tokio::test]
async fn a_key_that_is_echoed_stays_secret() {
    let key = "sk-very-secret";
    let told = format!(r#"{{"error":{{"message":"Incorrect API key: {key}"}}}}"#);
    let server = serve([Answer::status(401, &[], told)]);
    let config =
        EndpointConfig { key: Some(ApiKey::new(key)), ..EndpointConfig::new(&server.url(), "m") };
    assert!(!format!("{config:?}").contains(key));
    let model = Model::from(EndpointModel::new(config).unwrap());
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    let raw = String::from_utf8_lossy(&failure.partial.raw).into_owned();
    assert!(!format!("{failure:?} {failure} {raw} {model:?}").contains(key));
    assert!(failure.message.contains("***"), "{failure}");
}

#[tokio::test]
async fn silence_can_be_cancelled_and_leaves_what_came() {
    let server = serve([Answer::text("first ").then_text("second").hang_after(3)]);
    let model = chat(&server.url());
    let (sink, mut pieces) = mpsc::channel(8);
    let exchange = Exchange::new();
    let request = hello(&model);
    let asking = model.ask(&request, &sink, &exchange);
    let listening = async {
        let mut seen = String::new();
        while !seen.ends_with("second") {
            if let Some(Progress::Text { text, .. }) = pieces.recv().await {
                seen.push_str(&text);
            }
        }
    };
    tokio::select! {
        reply = asking => panic!("the server hangs, but: {reply:?}"),
        () = listening => {}
    }
    let failure = exchange.cancelled();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert_eq!(failure.partial.parts, [text("first second")]);
    assert_eq!(failure.partial.http_status, Some(200));
    assert!(failure.partial.raw.ends_with(b"\n\n"));
    // The same exchange serves the next request.
    assert!(exchange.cancelled().partial.parts.is_empty());
}

#[tokio::test]
async fn a_sink_that_nobody_reads_holds_the_stream_back_and_a_closed_one_does_not() {
    let deltas = || Answer::new().text_deltas((0..500).map(|n| format!("{n} ")));
    let server = serve([deltas(), deltas()]);
    let model = chat(&server.url());
    let request = hello(&model);
    let exchange = Exchange::new();
    let (sink, mut pieces) = mpsc::channel(1);
    {
        let mut asking = Box::pin(model.ask(&request, &sink, &exchange));
        // The channel holds one piece: with nobody reading, the reply cannot end.
        let first = tokio::select! {
            reply = &mut asking => panic!("it ended: {reply:?}"),
            piece = pieces.recv() => piece,
        };
        assert!(first.is_some());
        drop(pieces);
        let reply = asking.await.unwrap();
        assert!(reply.parts[0] != text(""));
    }
    let reply = model.ask(&request, &sink, &exchange).await.unwrap();
    assert_eq!(reply.skipped_count, 0);
}

#[tokio::test]
async fn a_large_call_in_one_event_arrives_whole() {
    let arguments = json!({"content": "line\n".repeat(400_000)}).to_string();
    for pieces in [1, 50] {
        let reply = once(Answer::new().call_in("write", &arguments, pieces)).await.unwrap();
        assert_eq!(reply.parts, [call("call_0_0", "write", &arguments)]);
    }
}

/// A model that is waited for as long as a test may take.
fn impatient(url: &str, silence: Duration) -> Model {
    EndpointModel::new(EndpointConfig { silence, ..EndpointConfig::new(url, "m") }).unwrap().into()
}

/// Long enough for a busy machine to answer within it.
const SILENCE: Duration = Duration::from_secs(1);

async fn is_noticed(answer: Answer, expected: Vec<Part>) -> Failure {
    let server = serve([answer]);
    let model = impatient(&server.url(), SILENCE);
    let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Silent, "{failure}");
    assert!(failure.kind.is_worth_retrying());
    assert_eq!(failure.partial.parts, expected);
    let dialect = Dialect::of(&model.description());
    let again = parse(1, dialect, &failure.partial.raw).unwrap_err();
    assert_eq!(again.partial.parts, expected);
    failure
}

#[tokio::test]
async fn a_server_that_says_nothing_is_noticed() {
    let answer = || Answer::text("first ").then_text("second");
    let comments = answer().only_comments_after(3, Duration::from_millis(10));
    let (.., commented) = tokio::join!(
        is_noticed(answer().hang_after(3), vec![text("first second")]),
        is_noticed(answer().hang_after(0), vec![]),
        is_noticed(answer().first_pause(Duration::from_secs(3600)), vec![]),
        // Signs of life are believed for a while, and only for a while.
        is_noticed(comments, vec![text("first second")]),
    );
    assert!(commented.message.contains("signs"), "{commented}");
    assert!(commented.partial.raw.ends_with(b": keepalive\n\n"));
}

#[tokio::test]
async fn faults_are_told_apart_in_both_forms() {
    use mock_server::Fault;
    let server =
        |wait: Option<u64>| FailureKind::Server { retry_after: wait.map(Duration::from_secs) };
    let limited = FailureKind::RateLimited { retry_after: Some(Duration::from_secs(3)) };
    let too_long = r#"{"error":{"message":"maximum context length is 9 tokens","code":400}}"#;
    let window = Some(9);
    let matrix = [
        (Fault::Status(500), server(None)),
        (Fault::RetryAfter(503, "7".into()), server(Some(7))),
        (Fault::RetryAfter(429, "3".into()), limited),
        (Fault::Status(401), FailureKind::Unauthorized),
        (Fault::Status(404), FailureKind::NotFound),
        (Fault::Status(408), FailureKind::TimedOut),
        (Fault::Body(400, too_long.into()), FailureKind::ContextOverflow { window }),
        (Fault::Reset, FailureKind::Interrupted),
        (Fault::ResetAfter(0), FailureKind::Interrupted),
        (Fault::ResetAfter(300), FailureKind::Interrupted),
        (Fault::Cut(2), FailureKind::Interrupted),
        (Fault::Stop(3), FailureKind::Interrupted),
    ];
    for api in Api::ALL {
        let faults = matrix.iter().map(|(fault, _)| fault.clone());
        let reply = Answer::text("one ").then_text("two").call("f", "{}").after(faults);
        let server = serve([reply]);
        let model = speaking(api, &server.url());
        let request = hello(&model);
        for (fault, kind) in &matrix {
            let failure = ask(&model, &request).await.0.unwrap_err();
            assert_eq!(failure.kind, *kind, "{api:?} {fault:?}: {failure}");
            assert!(!failure.hint.is_empty() && failure.message.contains("127.0.0.1:"));
        }
        let reply = ask(&model, &request).await.0.unwrap();
        assert_eq!(reply.parts[0], text("one two"));
        assert_eq!(server.requests().len(), matrix.len() + 1);
    }
}

#[tokio::test]
async fn the_wait_a_server_asks_for_is_told() {
    let at = std::time::SystemTime::now() + Duration::from_secs(7200);
    let date = mock_server::http_date(at);
    let faults = [
        mock_server::Fault::RetryAfter(503, "120".into()),
        mock_server::Fault::RetryAfter(429, date),
        mock_server::Fault::BadLine(1),
    ];
    let server = serve([Answer::text("at last").after(faults)]);
    let model = chat(&server.url());
    let request = hello(&model);
    let busy = ask(&model, &request).await.0.unwrap_err();
    let retry_after = Some(Duration::from_secs(120));
    assert_eq!(busy.kind, FailureKind::Server { retry_after });
    assert!(busy.hint.contains("2 min"), "{busy}");
    let limited = ask(&model, &request).await.0.unwrap_err();
    let FailureKind::RateLimited { retry_after: Some(wait) } = limited.kind else {
        panic!("{limited:?}");
    };
    assert!(wait > Duration::from_secs(3600) && wait <= Duration::from_secs(7200));
    assert_eq!(RetryPolicy::default().wait(1, limited.kind, 0.0), None);
    assert!(limited.hint.contains(" h"), "{limited}");
    let reply = ask(&model, &request).await.0.unwrap();
    assert_eq!((reply.parts, reply.skipped_count), (vec![text("at last")], 1));
}

#[tokio::test]
async fn the_responses_form_has_its_own_path() {
    let server = serve([Answer::text("hi")]);
    let model = speaking(Api::Responses, &format!("{}/responses", server.url()));
    let request = hello(&model);
    assert_eq!(ask(&model, &request).await.0.unwrap().parts, [text("hi")]);
    let requests = server.requests();
    assert_eq!(requests[0].path, "/v1/responses");
    assert_eq!(requests[0].body, request.body().as_bytes());
    assert_eq!(requests[0].input().len(), 1);
}

/// What a server puts on the wire.
struct Wire {
    head: &'static str,
    body: Vec<u8>,
}

/// The head of a stream whose end is the connection's.
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

impl Wire {
    fn stream(body: impl Into<Vec<u8>>) -> Self {
        Self { head: STREAM, body: body.into() }
    }

    fn to_bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// The bytes of a stream in this form.
fn events(api: Api, answer: &Answer) -> Vec<u8> {
    match api {
        Api::Chat => answer.to_bytes(0),
        Api::Responses => answer.to_responses_bytes(0),
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).unwrap().replace(from, to).into_bytes()
}

fn chunked(bytes: &[u8], trailer: &str) -> Vec<u8> {
    let chunks = bytes.chunks(7).flat_map(|chunk| {
        [format!("{:X}; ext=1\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
    });
    chunks.chain(format!("0\r\n{trailer}\r\n").into_bytes()).collect()
}

#[tokio::test]
async fn odd_but_whole_answers_are_read() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n";
    const EARLY: &str = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n";
    let said = "Grüße 日本 😀";
    let long = "y".repeat(1 << 20);
    for api in Api::ALL {
        let stream = events(api, &Answer::text(said));
        let signed = |sign: &[u8]| [sign, &stream].concat();
        let mut rows = vec![
            ("CR LF", Wire::stream(replaced(&stream, "\n", "\r\n")), said),
            ("CR alone", Wire::stream(replaced(&stream, "\n", "\r")), said),
            ("no empty lines", Wire::stream(replaced(&stream, "\n\n", "\n")), said),
            ("no space behind data", Wire::stream(replaced(&stream, "data: ", "data:")), said),
            ("a byte order mark", Wire::stream(signed(b"\xef\xbb\xbf")), said),
            ("comments first", Wire::stream(signed(b": PROCESSING\n\n:\n\n")), said),
            ("trailers", Wire { head: CHUNKED, body: chunked(&stream, "x-sum: 1\r\n") }, said),
            ("a status before the status", Wire { head: EARLY, body: stream.clone() }, said),
            ("a line of 1 MiB", Wire::stream(events(api, &Answer::text(&long))), long.as_str()),
        ];
        if api == Api::Chat {
            let twice = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
            let twice = format!("{twice}\n\ndata: [DONE]");
            rows.push(("two ends", Wire::stream(replaced(&stream, "data: [DONE]", &twice)), said));
            let other = r#"data: {"choices":[{"index":1,"delta":{"content":"other"},"finish_reason":"stop"}]}"#;
            let other = format!("{other}\n\n");
            rows.push(("a second choice", Wire::stream(signed(other.as_bytes())), said));
        }
        for (name, wire, expected) in rows {
            let reply = once_in(api, Answer::wire(wire.to_bytes())).await;
            let reply = reply.unwrap_or_else(|failure| panic!("{api:?}, {name}: {failure}"));
            assert_eq!(reply.parts, [text(expected)], "{api:?}, {name}");
        }
    }
}

#[tokio::test]
async fn what_is_not_whole_or_no_answer_is_told() {
    use FailureKind::{Interrupted, Protocol};
    const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
    let half = |bytes: &[u8], at: &str| {
        let found = memchr::memmem::find(bytes, at.as_bytes()).unwrap();
        bytes[..found + at.len() - 1].to_vec()
    };
    for api in Api::ALL {
        let spoken = events(api, &Answer::text("one ").then_text("two 😀"));
        let called = events(api, &Answer::new().call_in("f", r#"{"a": "bcdefgh"}"#, 3));
        let done = [events(api, &Answer::text("one").without_finish()), b"data: [DONE]\n\n".into()];
        for (name, wire, kind, word) in [
            ("cut in a character", Wire::stream(half(&spoken, "😀")), Interrupted, "without"),
            ("cut in a call", Wire::stream(half(&called, "bcd")), Interrupted, "without"),
            (
                "shorter than said",
                Wire { head: LONG, body: half(&spoken, "😀") },
                Interrupted,
                "broke",
            ),
            ("done, but not finished", Wire::stream(done.concat()), Interrupted, "without"),
            ("no chunk", Wire { head: CHUNKED, body: b"zz\r\n".into() }, Interrupted, "broke"),
            ("nothing", Wire::stream(""), Interrupted, "before it began"),
            ("no HTTP", Wire { head: "SSH-2.0-other", body: Vec::new() }, Protocol, "not HTTP"),
            ("gzip", Wire::stream(b"\x1f\x8b\x08\x00rest"), Protocol, "compressed"),
        ] {
            let failure = once_in(api, Answer::wire(wire.to_bytes())).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{api:?}, {name}: {failure}");
            assert!(failure.message.contains(word), "{api:?}, {name}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_redirect_gets_neither_the_request_nor_the_key() {
    for status in [301, 302, 303, 307, 308] {
        let other = serve([Answer::text("stolen")]);
        let there = format!("{}/chat/completions", other.url());
        let server = serve([Answer::status(status, &[("location", &there)], "")]);
        let key = Some(ApiKey::new("sk-test"));
        let config = EndpointConfig { key, ..EndpointConfig::new(&server.url(), "m") };
        let model = EndpointModel::new(config).unwrap().into();
        let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Protocol);
        assert!(failure.message.contains(&there) && failure.hint.contains("key"), "{failure}");
        assert!(other.requests().is_empty(), "status {status} was followed");
    }
}

#[tokio::test]
async fn pieces_that_say_nothing_are_signs_of_life_only() {
    let empty = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]});
    let chat = format!("data: {empty}\n\n");
    let responses = "data: {\"type\":\"response.in_progress\"}\n\n";
    for (api, nothing) in [(Api::Chat, chat.as_str()), (Api::Responses, responses)] {
        // Many more than the patience is long.
        let stream = Answer::raw_stream(nothing.repeat(1000));
        let server = serve([stream.bytes_per_write(nothing.len()).pause(SILENCE / 10)]);
        let config =
            EndpointConfig { api, silence: SILENCE, ..EndpointConfig::new(&server.url(), "m") };
        let model = EndpointModel::new(config).unwrap().into();
        let failure = ask(&model, &hello(&model)).await.0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Silent, "{api:?}: {failure}");
        assert!(failure.message.contains("signs"), "{failure}");
    }
}
