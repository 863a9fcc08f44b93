use super::*;

#[test]
fn base_urls_are_checked_when_they_are_given() {
    for (url, word) in [
        ("", "empty"),
        ("127.0.0.1:8080/v1", "lacks http://"),
        ("localhost:8080/v1", "does not begin with http"),
        ("ftp://host/v1", "does not begin with http"),
        ("http://", "host"),
        ("http://host:99999/v1", "port"),
        ("https://user:hunter2@host/v1", "password"),
        ("http://[::1/v1", "cannot be used"),
    ] {
        let error = Transport::new(url, None).unwrap_err().to_string();
        assert!(error.contains(word), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_base_url_is_where_the_api_begins() {
    for (given, expected) in [
        ("http://host/v1", "http://host/v1"),
        (" http://host/v1/ ", "http://host/v1"),
        ("http://host", "http://host"),
        ("https://host:8443/a/b//", "https://host:8443/a/b"),
        ("http://host/v1/chat/completions", "http://host/v1"),
        ("http://host/v1?api-version=1", "http://host/v1"),
    ] {
        let transport = Transport::new(given, None).unwrap();
        assert_eq!(transport.base_url(), expected);
        let url = transport.endpoint.url("/chat/completions");
        assert_eq!(url, format!("{expected}/chat/completions"));
    }
    let with_query = Transport::new("http://host/v1?a=1&b=2", None).unwrap();
    assert_eq!(with_query.endpoint.query(), [("a", "1"), ("b", "2")]);
}

#[test]
fn loopback_is_recognised() {
    for (url, expected) in [
        ("http://127.0.0.1:1/v1", true),
        ("http://127.9.9.9/v1", true),
        ("http://[::1]:1/v1", true),
        ("http://localhost/v1", true),
        ("http://api.localhost/v1", true),
        ("http://10.0.0.1/v1", false),
        ("http://localhost.example/v1", false),
    ] {
        assert_eq!(Transport::new(url, None).unwrap().loopback, expected, "{url}");
    }
}

#[test]
fn a_key_is_a_header_or_nothing() {
    let without = Transport::new("http://host/v1", None).unwrap();
    assert!(!without.endpoint.headers().contains_key(AUTHORIZATION));
    let key = SecretString::from("sk-1");
    let with = Transport::new("http://host/v1", Some(&key)).unwrap();
    assert_eq!(with.endpoint.headers()[AUTHORIZATION], "Bearer sk-1");
    assert!(!format!("{with:?} {:?}", with.endpoint.headers()).contains("sk-1"));
    let broken = SecretString::from("sk\n1");
    let error = Transport::new("http://host/v1", Some(&broken)).unwrap_err();
    assert!(matches!(error, ModelError::Key));
}
