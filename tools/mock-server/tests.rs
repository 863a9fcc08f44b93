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

/// The answer to each of these many requests, a connection each.
fn answers(server: &MockServer, path: &str, count: usize) -> Vec<String> {
    let answer = |_| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        ask(&mut stream, path, "{}");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        read_until(&mut stream, "\n0\r\n\r\n")
    };
    (0..count).map(answer).collect()
}

#[test]
fn responses_are_items_that_grow_and_are_done() {
    let reply = Reply::new()
        .reasoning("hm")
        .then_text("so")
        .call_in("f", "{\"a\":1}", 2)
        .freeform_call_in("patch", "*** Begin", 2)
        .usage(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}));
    let text = String::from_utf8(reply.to_responses_bytes(5)).unwrap();
    let kinds: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("event: response.")).collect();
    let expected = "created output_item.added reasoning_summary_text.delta output_item.done \
                    output_item.added output_text.delta output_item.done \
                    output_item.added function_call_arguments.delta \
                    function_call_arguments.delta output_item.done \
                    output_item.added custom_tool_call_input.delta custom_tool_call_input.delta \
                    output_item.done completed";
    assert_eq!(kinds.join(" "), expected);
    for part in [r#""call_id":"call_5_0""#, r#""input":"*** Begin""#, r#""input_tokens":3"#] {
        assert!(text.contains(part), "{part}");
    }
    let cut_off = Reply::text("so").finish_reason("length").to_responses_bytes(0);
    assert!(String::from_utf8(cut_off).unwrap().contains("max_output_tokens"));
    let full = Reply::new().reasoning("hm").in_full().to_responses_bytes(0);
    assert!(String::from_utf8(full).unwrap().contains("response.reasoning_text.delta"));
}

#[test]
fn a_request_is_answered_in_the_form_it_was_made_in() {
    let server = MockServer::start(Scenario::repeat_last([Reply::text("hello")])).unwrap();
    let chat = answers(&server, "/v1/chat/completions", 1);
    let responses = answers(&server, "/v1/responses", 1);
    assert!(chat[0].contains("chat.completion.chunk") && chat[0].contains("hello"));
    assert!(responses[0].contains("response.completed") && responses[0].contains("hello"));
}

#[test]
fn faults_spoil_an_attempt_each() {
    let faults = [
        Fault::Status(500),
        Fault::RetryAfter(429, "3".to_owned()),
        Fault::Body(400, r#"{"error":"no"}"#.to_owned()),
        Fault::Reset,
        Fault::ResetAfter(40),
        Fault::Cut(1),
        Fault::Stop(2),
        Fault::BadLine(1),
        Fault::Wire(b"SSH-2.0-other\r\n".to_vec()),
    ];
    for path in ["/v1/chat/completions", "/v1/responses"] {
        let reply = Reply::text("at last").after(faults.clone());
        let server = MockServer::start(Scenario::replies([reply])).unwrap();
        let answers = answers(&server, path, faults.len() + 1);
        assert!(answers[0].starts_with("HTTP/1.1 500"));
        assert!(answers[1].starts_with("HTTP/1.1 429") && answers[1].contains("retry-after: 3"));
        assert!(answers[2].ends_with(r#"{"error":"no"}"#));
        assert_eq!(answers[3], "");
        for broken in &answers[4..6] {
            assert!(!broken.ends_with("0\r\n\r\n") && broken.starts_with("HTTP/1.1 200"));
        }
        assert!(answers[6].ends_with("0\r\n\r\n") && !answers[6].contains("complet\"ed"));
        assert!(answers[7].contains("[oops") && answers[7].contains("at last"));
        assert_eq!(answers[8], "SSH-2.0-other\r\n");
        assert!(answers[9].contains("at last") && !answers[9].contains("[oops"));
    }
}

#[test]
fn comments_go_on_until_the_client_has_enough() {
    let reply = Reply::text("first").only_comments_after(2, Duration::from_millis(1));
    let server = MockServer::start(Scenario::replies([reply])).unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    ask(&mut stream, "/v1/chat/completions", "{}");
    let answer = read_until(&mut stream, ": keepalive\n\n\r\n");
    assert!(answer.contains("first") && !answer.contains("finish_reason\":\"stop"));
}

#[test]
fn dates_are_those_of_http() {
    let at = |seconds| http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(at(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
    assert_eq!(at(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 GMT");
    assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
}
