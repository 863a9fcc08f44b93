//! Searching, with the answers of several engines.

use serde_json::json;
use trajectory::event::CallStatus;

use crate::tests::Bench;
use crate::web::tests::{Server, response};
use crate::{SearchEndpoint, Setup, Web};

const JSON: &str = "content-type: application/json\r\n";

fn bench(server: &Server, path: &str, header: Option<&str>, key: Option<&str>) -> Bench {
    let search = SearchEndpoint {
        url: server.url(path),
        key_header: header.map(str::to_owned),
        key: key.map(Into::into),
    };
    let web = Web { search: Some(search), ..Web::default() };
    Bench::with(Setup { web, ..Setup::default() })
}

#[test]
fn the_words_go_where_the_template_says_and_the_key_with_them() {
    let server = Server::start(|_| response("200 OK", JSON, r#"{"results": []}"#));
    let get =
        bench(&server, "/search?q={query}&format=json", Some("X-Subscription-Token"), Some("k1"));
    assert_eq!(get.ok("web_search", &json!({"query": "a b&c=é"})), "Nothing was found.");
    let post = bench(&server, "/search", None, Some("k2"));
    post.ok("web_search", &json!({"query": "x"}));
    let asked = server.asked();
    assert_eq!(asked[0].line, "GET /search?q=a%20b%26c%3D%C3%A9&format=json HTTP/1.1");
    assert!(asked[0].headers.contains(&"x-subscription-token: k1".to_owned()), "{asked:?}");
    assert_eq!(asked[1].line, "POST /search HTTP/1.1");
    assert!(asked[1].headers.contains(&"authorization: Bearer k2".to_owned()), "{asked:?}");
    assert_eq!(asked[1].body, r#"{"query":"x","max_results":10}"#);
}

#[test]
fn results_are_found_in_the_shapes_of_several_engines() {
    let one = "1. A <T>\n   https://a.test/\n   some words";
    let searx = r#"{"query": "x", "suggestions": [], "results": [{"title": "A <T>", "url": "https://a.test/", "content": "some\n words", "score": 1}]}"#;
    let brave = r#"{"type": "search", "news": {"results": [{"title": "N", "url": "https://n.test"}]}, "web": {"results": [{"title": "A <T>", "url": "https://a.test/", "description": "some <strong>words</strong>"}]}}"#;
    let tavily = r#"{"answer": null, "images": [], "results": [{"url": "https://a.test/", "title": "A <T>", "content": "some words"}]}"#;
    let google =
        r#"{"items": [{"title": "A <T>", "link": "https://a.test/", "snippet": "some words"}]}"#;
    let bare =
        r#"[{"name": "A <T>", "href": "https://a.test/", "text": "some words"}, {"no": 1}, 7]"#;
    for (name, body) in
        [("searx", searx), ("brave", brave), ("tavily", tavily), ("google", google), ("bare", bare)]
    {
        let server = Server::start(move |_| response("200 OK", JSON, body));
        let bench = bench(&server, "/?q={query}", None, None);
        assert_eq!(bench.ok("web_search", &json!({"query": "x"})), one, "{name}");
    }
}

#[test]
fn what_is_shown_is_bounded() {
    let item = json!({"title": "t".repeat(1_000), "url": "https://a.test/", "content": "c ".repeat(10_000)});
    let body = json!({"results": vec![item; 100]}).to_string();
    let server = Server::start(move |_| response("200 OK", JSON, &body));
    let shown = bench(&server, "/?q={query}", None, None).ok("web_search", &json!({"query": "x"}));
    assert!(shown.len() < 10_000, "{}", shown.len());
    assert!(shown.contains("10. t") && !shown.contains("11. "));
}

#[test]
fn what_goes_wrong_is_told_without_the_key() {
    let server = Server::start(|path| match path {
        "/401?q=x" => response("401 Unauthorized", JSON, "the key k1 is wrong"),
        "/move?q=x" => response("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
        _ => response("200 OK", JSON, "<html>"),
    });
    let told = |path: &str| {
        bench(&server, path, None, Some("k1")).fails("web_search", &json!({"query": "x"}))
    };
    assert_eq!(told("/401?q={query}"), "The search engine answered 401 Unauthorized.");
    assert_eq!(told("/move?q={query}"), "The search engine answered 302 Found.");
    assert_eq!(told("/?q={query}"), "The search engine answered with something that is not JSON.");
    let bench = bench(&server, "/", None, None);
    assert_eq!(bench.fails("web_search", &json!({"query": " "})), "The query is empty.");
    let outcome = bench.run("web_search", &json!({"query": "y".repeat(501)}));
    assert_eq!(outcome.status, CallStatus::Error);
}
