//! One HTTP request through `async-openai`, and its response before anybody has read it.
//!
//! `async-openai` gives the URL, the headers and the request; its own reading is not used: its
//! stream is an unbounded channel (no backpressure), drops keepalives and the raw bytes, and ends
//! at the first line it cannot read. It is also where it would retry by itself, without a cap on
//! `Retry-After`. The hook that it offers for the transport is where the response is taken: the
//! service sends the request once, puts the response aside, and tells the library that there is
//! nothing to decode. What is sent is the given body, byte for byte: the service puts it in the
//! place of the library's, which would parse and copy the whole conversation on its way.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;

use crate::api::Api;
use crate::error::ModelError;
use crate::failure::{FailureKind, Fault};
use crate::peer::Peer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("limn/", env!("CARGO_PKG_VERSION"));

/// Where requests go, with what headers. Nothing in it is taken from the environment: the
/// library's own configuration sends `OPENAI_API_KEY` to whatever base URL it is given.
#[derive(Clone)]
struct Endpoint {
    base_url: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// The library wants to see a key; the one in use is in the headers.
    no_key: SecretString,
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.no_key
    }
}

/// A server that can be sent requests. The HTTP client is made with the first request: a terminal
/// that shows an old session never pays for it.
pub(crate) struct Transport {
    endpoint: Endpoint,
    peer: Peer,
    secure: bool,
    loopback: bool,
    client: Mutex<Option<reqwest::Client>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("base_url", &self.endpoint.base_url)
            .finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn new(base_url: &str, key: Option<&SecretString>) -> Result<Self, ModelError> {
        let url = parse_base_url(base_url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| ModelError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let query = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let path = url
            .path()
            .trim_end_matches('/')
            .trim_end_matches("/chat/completions")
            .trim_end_matches("/responses");
        let mut bare = url.clone();
        bare.set_query(None);
        bare.set_path(path);
        let base_url = bare.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            peer: Peer::server(&format!("{host}:{port}"), path),
            secure: url.scheme() == "https",
            loopback: is_loopback(&url),
            endpoint: Endpoint { base_url, query, headers, no_key: String::new().into() },
            client: Mutex::new(None),
        })
    }

    /// Without credentials and query.
    pub(crate) fn base_url(&self) -> &str {
        &self.endpoint.base_url
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends a body, once.
    pub(crate) async fn send(&self, api: Api, body: String) -> Result<Response, Fault> {
        let client = self.client().map_err(|error| self.peer.unreachable(&error))?;
        let (body, taken) = (Slot::with(body), Slot::default());
        let service = TakingService { client: client.clone(), body, taken: taken.clone() };
        let library =
            async_openai::Client::build(client, self.endpoint.clone()).with_http_service(service);
        let error = match api {
            Api::Chat => library.chat().create_stream_byot::<_, IgnoredAny>(()).await.err(),
            Api::Responses => {
                library.responses().create_stream_byot::<_, IgnoredAny>(()).await.err()
            }
        };
        match (taken.take(), error) {
            (Some(Ok(response)), _) => Ok(response),
            (Some(Err(error)), _) => Err(self.peer.unreachable(&error)),
            (None, error) => Err(Fault::new(
                FailureKind::BadRequest,
                format!(
                    "The request to {} could not be made ({}).",
                    self.peer.name(),
                    error.map(|error| error.to_string()).unwrap_or_default()
                ),
                "Check the base URL (--base-url).",
            )),
        }
    }

    /// Asks for what lies under a path of the base URL.
    pub(crate) async fn get(&self, path: &str) -> Result<Response, Fault> {
        let client = self.client().map_err(|error| self.peer.unreachable(&error))?;
        let mut url = Url::parse(&self.endpoint.url(path)).map_err(|error| {
            let message = format!("The address of {} is none ({error}).", self.peer.name());
            Fault::new(FailureKind::BadRequest, message, "Check the base URL (--base-url).")
        })?;
        if !self.endpoint.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.endpoint.query);
        }
        let sent = client.get(url).headers(self.endpoint.headers.clone()).send().await;
        sent.map_err(|error| self.peer.unreachable(&error))
    }

    fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if self.loopback {
            // A proxy knows another machine by this name.
            builder = builder.no_proxy();
        }
        if !self.secure {
            // Without TLS no certificate is ever looked at, and loading them all takes longer
            // than a whole request to this machine.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build()?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// What is handed over once, here the body and there the response.
struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Slot<T> {
    fn with(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The transport that `async-openai` is given: sends our body, and keeps the response for us.
#[derive(Clone)]
struct TakingService {
    client: reqwest::Client,
    body: Slot<String>,
    taken: Slot<Result<Response, reqwest::Error>>,
}

impl tower_service::Service<HttpRequestFactory> for TakingService {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let Self { client, body, taken } = self.clone();
        Box::pin(async move {
            let mut request = factory.build().await?;
            // Once: there is no second attempt below us.
            if let Some(body) = body.take() {
                *request.body_mut() = Some(body.into());
                taken.put(client.execute(request).await);
            }
            Err(OpenAIError::InvalidArgument("the response was taken by the transport".to_owned()))
        })
    }
}

fn parse_base_url(text: &str) -> Result<Url, ModelError> {
    let wrong = |reason: &str| ModelError::BaseUrl {
        url: without_credentials(text),
        reason: reason.to_owned(),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    let url = Url::parse(text).map_err(|error| {
        if text.contains("://") {
            wrong(&error.to_string())
        } else {
            wrong("it lacks http:// or https://")
        }
    })?;
    // `localhost:8080/v1` parses as a URL of the scheme `localhost`.
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it does not begin with http:// or https://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user name or a password, which would end up in recordings"));
    }
    Ok(url)
}

/// Good enough for a message: whatever stands between `//` and `@` is a secret.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("//") else { return text.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//***@{host}{path}"),
        None => text.to_owned(),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
