use std::io::Write;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::engine::{EngineError, Facts};
use crate::fixtures::Fault;
use crate::http::fixtures::{Plan, Site, chat, qwen3, rest, says, says_with};
use crate::http::{Listen, Patience};

const CHAT: &str = "/v1/chat/completions";

/// What is asked comes to this error, in OpenAI's form.
async fn check(site: &Site, body: impl ToString, status: u16, code: &str, words: &str) {
    let body = body.to_string();
    let (answered, answer) = site.post(CHAT, &body).await;
    let shown: String = body.chars().take(200).collect();
    assert_eq!(answered, status, "{shown} {answer}");
    let error = &answer["error"];
    assert_eq!(error["code"].as_str().unwrap_or(""), code, "{shown} {answer}");
    assert!(error["message"].as_str().unwrap().contains(words), "{shown} {answer}");
    assert!(error["type"].is_string());
    assert!(error.as_object().unwrap().contains_key("param"));
}

#[tokio::test]
async fn a_request_that_is_wrong_is_answered_and_the_server_lives() {
    let site = Site::open();
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for body in ["", "{", "nonsense", "[1]", "\u{0}", "{\"messages\":", &nested] {
        check(&site, body, 400, "", "cannot be read").await;
    }
    check(&site, says_with("x", json!({ "tools": nested })), 400, "", "`tools` is wrong").await;
    check(
        &site,
        says_with("x", json!({ "model": "gpt-4" })),
        404,
        "model_not_found",
        "run, base/model",
    )
    .await;
    check(&site, says_with("x", json!({ "n": 3 })), 400, "unsupported_parameter", "`n`").await;
    let image = json!([{ "type": "image_url", "image_url": { "url": "x" } }]);
    let body = json!({ "messages": [{ "role": "user", "content": image }] });
    check(&site, body, 400, "", "reads text only").await;
    let hostile = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": {
        "type": "object", "properties": { "a": { "$ref": "#/nowhere" } }, "required": ["a"],
    } } });
    check(&site, says_with("x", json!({ "response_format": hostile })), 400, "", "schema").await;
    let (status, health) = site.get("/health").await;
    assert_eq!((status, health.as_str()), (200, "{\"status\":\"ok\"}"));
    let metrics = site.get("/metrics").await.1;
    let counted = "limn_requests_total{route=\"/v1/chat/completions\",status=\"404\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_context_that_is_too_short_names_both_numbers() {
    let site = Site::open();
    let long = "word ".repeat(3000);
    let prompt = format!("<|im_start|>user\n{long}<|im_end|>\n<|im_start|>assistant\n");
    let tokens = site.ids(&prompt).len();
    let words = format!("maximum context length is 2048 tokens, and the request has {tokens}");
    check(&site, says(&long), 400, "context_length_exceeded", &words).await;
    let body = says_with("Hi", json!({ "max_tokens": 4000 }));
    check(&site, body, 400, "context_length_exceeded", "4000 for the reply").await;
}

#[tokio::test]
async fn a_request_that_fits_into_no_context_is_not_even_read() {
    let site = Site::open();
    // It is nonsense, and longer than what 2048 tokens may be in JSON, and tools beside them.
    let nonsense = "x".repeat((2 << 20) + 2048 * 256 + 1);
    let (status, answer) = site.post(CHAT, &nonsense).await;
    assert!(status == 413 && answer.to_string().contains("2621440 bytes"), "{status} {answer}");
    let (status, answer) = site.post(CHAT, &nonsense[1..]).await;
    assert!(status == 400 && answer.to_string().contains("cannot be read"), "{status} {answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_errors_of_the_same_form() {
    let site = Site::open();
    let (status, body) = site.get("/v1/nothing").await;
    assert_eq!(status, 404);
    assert!(body.contains("\"not_found_error\""), "{body}");
    let (status, body) = site.get(CHAT).await;
    assert_eq!(status, 405);
    assert!(body.contains("invalid_request_error"), "{body}");
    let (status, body) = site.get("/v1/models/other").await;
    assert_eq!((status, body.contains("model_not_found")), (404, true));
}

#[tokio::test]
async fn the_models_are_listed_and_found() {
    let site = Site::open();
    let (status, body) = site.get("/v1/models").await;
    let list: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &list["object"]), (200, &json!("list")));
    assert_eq!(list["data"][0]["id"], "run");
    assert_eq!(list["data"][1]["max_model_len"], 2048);
    let (status, body) = site.get("/v1/models/base/model").await;
    assert_eq!(status, 200);
    assert!(body.contains("\"id\":\"base/model\""), "{body}");
}

#[tokio::test]
async fn a_key_that_is_set_is_needed() {
    let site = Plan::new().with_key("s3cret").open();
    site.when("Hello there", "Yes.");
    let ask = |key: Option<&str>| {
        let request = site.request(Method::POST, CHAT).body(says("Hello there").to_string());
        let request = match key {
            Some(key) => request.header("authorization", key),
            None => request,
        };
        async { request.send().await.unwrap() }
    };
    assert_eq!(ask(Some("Bearer s3cret")).await.status(), 200);
    assert_eq!(ask(Some("bearer s3cret")).await.status(), 200);
    let proxied = site.request(Method::GET, "/v1/models").header("host", "models.example");
    let proxied = proxied.header("authorization", "Bearer s3cret").send().await.unwrap();
    assert_eq!(proxied.status(), 200, "by a proxy's name");
    for wrong in
        [None, Some("Bearer s3cre"), Some("Bearer s3cret2"), Some("s3cret"), Some("Bearer")]
    {
        let response = ask(wrong).await;
        assert_eq!(response.status(), 401, "{wrong:?}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert!(response.text().await.unwrap().contains("invalid_api_key"));
    }
    assert_eq!(site.get("/health").await.0, 200);
    assert_eq!(site.get("/metrics").await.0, 401);
    assert_eq!(site.get("/v1/models").await.0, 401);
}

#[tokio::test]
async fn pages_of_other_sites_are_not_answered() {
    let site = Site::open();
    let ask = |name: &'static str, value: &'static str| {
        let request = site.request(Method::GET, "/v1/models").header(name, value);
        async { request.send().await.unwrap().status().as_u16() }
    };
    for host in ["localhost", "localhost:80", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:9", "[::1]:80"]
    {
        assert_eq!(ask("host", host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "10.0.0.1",
        "0.0.0.0",
    ] {
        assert_eq!(ask("host", host).await, 403, "{host}");
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]"] {
        assert_eq!(ask("origin", origin).await, 200, "{origin}");
    }
    for origin in ["http://evil.example", "null", "https://localhost.evil.example", "file://", ""] {
        assert_eq!(ask("origin", origin).await, 403, "{origin}");
    }
    let unnamed = site.raw(b"GET /v1/models HTTP/1.0\r\n\r\n");
    assert!(rest(&unnamed).starts_with("HTTP/1.0 403"), "a request without a host");
}

#[tokio::test]
async fn a_client_that_stalls_is_given_up() {
    let short = Duration::from_millis(50);
    let with = |of: fn(Duration, Patience) -> Patience| {
        let mut plan = Plan::new();
        plan.patience = of(short, plan.patience);
        plan.open()
    };
    let site = with(|head, other| Patience { head, ..other });
    // Each of these comes back only because the server ends it.
    let silent = site.raw(b"");
    assert_eq!(rest(&silent), "");
    let half = site.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: local");
    assert!(!rest(&half).starts_with("HTTP/1.1 200"));
    let site = with(|body, other| Patience { body, ..other });
    let waiting =
        site.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{\"a\":");
    let answer = rest(&waiting);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("timeout_error"), "{answer}");
    assert_eq!(site.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let site = Site::open();
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = site.raw(head);
    let piece =
        [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..70 {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let answer = rest(&stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(site.get("/health").await.0, 200);
}

#[tokio::test]
async fn too_many_connections_wait() {
    let mut plan = Plan::new();
    plan.patience.connections = 2;
    let site = plan.open();
    let held = [site.raw(b""), site.raw(b"")];
    let third = site.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    third.set_nonblocking(true).unwrap();
    assert!(third.peek(&mut [0]).is_err(), "it is answered while there is no room");
    third.set_nonblocking(false).unwrap();
    drop(held);
    assert!(rest(&third).starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_engine_that_fails_is_an_error_before_and_within_a_stream() {
    let site = Site::open();
    site.when("Hello there", "one two three four five six seven");
    site.control.fail(Fault::Error(EngineError::Failed("The device is on fire.".to_owned())));
    let (status, answer) = site.post(CHAT, says("Hello there")).await;
    assert_eq!((status, &answer["error"]["type"]), (500, &json!("server_error")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("on fire"));
    site.control.fail(Fault::Panic);
    let events = site.stream(CHAT, says("Hello there")).await;
    let last = events.last().unwrap();
    assert_eq!(last["error"]["type"], "server_error", "{last}");
    assert_eq!(site.chat(says("Hello there")).await["choices"][0]["finish_reason"], "stop");
    site.until("limn_engine_failures_total 2").await;
}

#[tokio::test]
async fn tools_are_refused_where_the_template_drops_them() {
    let mut plan = Plan::new();
    let chat = chat();
    let template = chat.join("templates/smollm2.jinja");
    plan.server = crate::Server::open(&chat.join("model"), Some(&template)).unwrap();
    let site = plan.open();
    assert!(site.ready.notices[0].contains("tools"), "{:?}", site.ready.notices);
    let tool = json!({ "type": "function", "function": { "name": "look" } });
    let body = json!({ "messages": [{ "role": "user", "content": "Hi" }], "tools": [tool] });
    check(&site, body, 400, "unsupported_parameter", "served without tools").await;
}

#[test]
fn others_may_not_ask_without_a_key() {
    let server = qwen3();
    let facts = Facts { vocab: 565, slots: 1, slot_tokens: 64, variants: 2 };
    let (engine, _) = crate::fixtures::Arithmetic::new(facts);
    let listen = Listen { host: "0.0.0.0".to_owned(), port: 0 };
    let served = crate::serve(server, Box::new(engine), &listen, |_| panic!("it serves"), async {});
    assert!(matches!(served, Err(crate::ServeError::KeyNeeded(_))), "{served:?}");
}
