use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::*;

fn ask(stream: &mut TcpStream, path: &str, body: &str) {
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads until the answer so far ends like this, or the server closes.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(end.as_bytes()) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn replies_come_in_order_over_one_connection() {
    let scenario = Scenario::replies([Reply::text("one"), Reply::text("two").usage(json!(null))]);
    let server = MockServer::start(scenario).unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let answers: Vec<String> = (0..3)
        .map(|turn| {
            ask(&mut stream, "/v1/chat/completions", &format!(r#"{{"turn":{turn}}}"#));
            read_until(&mut stream, if turn < 2 { "0\r\n\r\n" } else { "}}" })
        })
        .collect();
    assert!(answers[0].contains(r#""content":"one""#) && answers[0].contains("prompt_tokens"));
    assert!(answers[1].contains(r#""content":"two""#) && !answers[1].contains("prompt_tokens"));
    assert!(answers[2].starts_with("HTTP/1.1 500"));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.connection == 0));
    assert_eq!(requests[1].json(), json!({"turn": 1}));
    assert_eq!(server.steps().len(), 2);
}

#[test]
fn a_generator_sees_the_request() {
    let scenario = Scenario::generate(|number, request| {
        Reply::text(&format!("{number}: {}", request.json()["word"]))
    });
    let server = MockServer::start(scenario).unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    ask(&mut stream, "/v1/chat/completions", r#"{"word":"hello"}"#);
    assert!(read_until(&mut stream, "0\r\n\r\n").contains(r#"0: \"hello\""#));
}

#[test]
fn faults_break_where_they_should() {
    let scenario = Scenario::replies([
        Reply::new().text_deltas(["alpha", "beta"]).cut_after(2),
        Reply::reset(),
        Reply::text("never").without_finish(),
    ]);
    let server = MockServer::start(scenario).unwrap();
    let answers: Vec<String> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            ask(&mut stream, "/v1/chat/completions", "{}");
            read_until(&mut stream, "0\r\n\r\n")
        })
        .collect();
    assert!(answers[0].contains("alpha") && !answers[0].contains("0\r\n\r\n"));
    assert!(!answers[0].contains("[DONE]"));
    assert_eq!(answers[1], "");
    assert!(answers[2].contains("never") && !answers[2].contains("finish_reason\":\"stop"));
}

#[test]
fn a_drop_ends_what_hangs_and_pauses() {
    let scenario = Scenario::replies([
        Reply::text("then silence").hang_after(2),
        Reply::text("slow").pause(Duration::from_secs(3600)),
    ]);
    let server = MockServer::start(scenario).unwrap();
    let mut streams = [(), ()].map(|()| TcpStream::connect(server.address()).unwrap());
    for (turn, stream) in streams.iter_mut().enumerate() {
        ask(stream, "/v1/chat/completions", "{}");
        assert!(server.wait_for_requests(turn + 1, Duration::from_secs(60)));
    }
    drop(server);
    for stream in &mut streams {
        assert!(!read_until(stream, "[DONE]").contains("[DONE]"));
    }
}

#[test]
fn other_paths_are_web_pages_and_models_are_listed() {
    let server = MockServer::start(Scenario::replies([])).unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    ask(&mut stream, "/chat/completions", "{}");
    assert!(read_until(&mut stream, "</html>").starts_with("HTTP/1.1 404"));
    stream.write_all(b"GET /v1/models HTTP/1.1\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "]}").contains("mock-model"));
}

#[test]
fn twenty_thousand_deltas_are_one_buffer() {
    let words = (0..20_000).map(|n| format!("word{n} "));
    let bytes = Reply::new().text_deltas(words).to_bytes(7);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches("data: {").count(), 20_003);
    assert!(text.contains("chatcmpl-7") && text.ends_with("data: [DONE]\n\n"));
}

#[test]
fn arguments_are_cut_at_characters() {
    let text = String::from_utf8(Reply::new().call_in("t", "äöü€𝄞", 5).to_bytes(3)).unwrap();
    assert_eq!(text.matches("tool_calls\":[").count(), 5);
    assert!(text.contains("call_3_0"));
}
