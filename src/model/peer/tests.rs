use super::*;

fn status(status: u16, body: &str) -> Fault {
    let head = Head { status, ..Head::default() };
    Peer::server("host:80", "/v1").status(&head, body.as_bytes())
}

#[test]
fn statuses_are_told_apart() {
    use FailureKind::{
        BadRequest, ContextOverflow, NotFound, QuotaExhausted, RateLimited, Server, TimedOut,
        Unauthorized,
    };
    let server = Server { retry_after: None };
    let limited = RateLimited { retry_after: None };
    for (code, kind, word) in [
        (400, BadRequest, "objects"),
        (401, Unauthorized, "OPENAI_API_KEY"),
        (402, QuotaExhausted, "balance"),
        (403, Unauthorized, "may use"),
        (404, NotFound, "model"),
        (408, TimedOut, "again"),
        (413, ContextOverflow { window: None }, "shorten"),
        (422, BadRequest, "parameters"),
        (429, limited, "later"),
        (500, server, "log"),
        (503, server, "log"),
        (504, TimedOut, "gateway"),
        (529, server, "log"),
    ] {
        let fault = status(code, r#"{"error":{"message":"it is so"}}"#);
        assert_eq!(fault.kind, kind, "{code}");
        assert!(fault.hint.contains(word), "{code}: {}", fault.hint);
        assert!(fault.message.contains("host:80") && fault.message.contains("it is so"));
        assert!(fault.message.contains(&code.to_string()));
    }
}

#[test]
fn what_a_server_says_is_quoted_tamely() {
    let long = "word ".repeat(1000);
    for (body, quoted) in [
        (r#"{"error":"plain"}"#.to_owned(), "plain."),
        (r#"{"error":"Is it \"so\"?"}"#.to_owned(), "Is it \"so\"?"),
        (r#"{"detail":"fast\n\tapi"}"#.to_owned(), "fast api"),
        (r#"{"message":"\u001b]0;title\u0007red"}"#.to_owned(), "]0;title red"),
        (format!(r#"{{"error":{{"message":"{long}"}}}}"#), "word word"),
        ("<html>".to_owned(), "status 500."),
        (String::new(), "status 500."),
    ] {
        let message = status(500, &body).message;
        assert!(message.contains(quoted), "{message:?}");
        assert!(message.ends_with(['.', '?', '…']) && !message.ends_with("?."), "{message:?}");
        assert!(message.chars().count() < 600 && !message.contains(char::is_control));
    }
}

#[test]
fn a_base_url_without_v1_is_suspected() {
    let head = Head { status: 404, ..Head::default() };
    let suspect = Peer::server("host:80", "/").status(&head, b"<html>");
    assert!(suspect.hint.contains("/v1"), "{}", suspect.hint);
    assert!(Peer::server("host:80", "/api").page().hint.contains("/v1"));
    for path in ["/v1", "/api/v1", "/api/paas/v4", "/v1beta/openai"] {
        assert!(!Peer::server("host:80", path).page().hint.contains("lacks"), "{path}");
    }
}

#[test]
fn a_redirect_names_where_to() {
    let location = Some("https://other/v1".to_owned());
    let head = Head { status: 307, location, ..Head::default() };
    let fault = Peer::server("host:80", "/v1").status(&head, b"");
    assert_eq!(fault.kind, FailureKind::Protocol);
    assert!(fault.message.contains("https://other/v1"));
}
