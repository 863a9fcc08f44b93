//! Servers on the Internet, and none elsewhere.
//!
//! A model that is led astray must not reach what only this machine reaches: itself, its network,
//! the metadata services of clouds. Each URL is checked before it is requested, that of every
//! redirect too; the addresses of a name are checked when it is resolved, and the connection goes
//! to just these addresses. Hosts that the settings name are exempt. Where commands are isolated,
//! the policy of the session decides first, with the same words as its proxy.
//!
//! [`Browser`] is all that speaks HTTP here, and [`client`] is where a proxy will be put in. No
//! cookies, no proxy of the environment: behind one, nobody could say which address is spoken to.

mod guard;
mod readable;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use secrecy::SecretString;

use guard::{Door, Guard, Refused};

use crate::network::Reach;

pub(crate) use readable::readable;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// From the request to the last byte, each redirect anew.
const TIME_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;
/// Clients that are kept.
const CLIENTS_MAX: usize = 8;
/// What is read of a response, bytes.
const BODY_BYTES_MAX: usize = 5 << 20;
const URL_CHARS_MAX: usize = 4_000;
const USER_AGENT: &str = concat!("limn/", env!("CARGO_PKG_VERSION"));
const ACCEPTED: &str = "text/html, text/markdown;q=0.9, text/plain;q=0.9, */*;q=0.5";

/// What the tools may do on the web.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Whether pages may be fetched: without it the tool is not offered.
    pub fetch: bool,
    /// Where searches go: without it the tool is not offered.
    pub search: Option<SearchEndpoint>,
    /// Hosts, as `host` or `host:port`, that may have a private address.
    pub allow_private: Vec<String>,
}

/// A server that answers searches in JSON, such as SearXNG, Brave or Tavily.
#[derive(Clone, Debug)]
pub struct SearchEndpoint {
    /// Its URL, with `{query}` where the words go; without that they are posted as JSON. It may
    /// have a private address: who set it knows.
    pub url: String,
    /// The header that carries the key, such as `X-Subscription-Token`; `Authorization`, with
    /// `Bearer` before the key, if absent.
    pub key_header: Option<String>,
    /// The key, if it wants one.
    pub key: Option<SecretString>,
}

/// What came of a request.
pub(crate) struct Page {
    /// Where it came from, after redirects.
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    /// Its media type, in small letters, without parameters.
    pub(crate) media_type: Option<String>,
    pub(crate) charset: Option<String>,
    pub(crate) body: Vec<u8>,
    /// The body goes on.
    pub(crate) is_cut: bool,
}

/// Clients, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct Browser {
    guard: Arc<Guard>,
    /// One for each port: whether an address may be connected to depends on it, and who resolves
    /// names is told the name alone.
    clients: Mutex<BTreeMap<u16, Client>>,
}

impl Browser {
    /// A browser that may go where the network of the session goes, if there is a policy for that,
    /// and to these hosts though their addresses are private.
    pub(crate) fn new(allow_private: &[String], reach: Option<Reach>) -> Self {
        Self { guard: Arc::new(Guard::new(allow_private, reach)), clients: Mutex::default() }
    }

    /// Fetches what is at a URL, following redirects.
    ///
    /// # Errors
    /// A sentence for the model.
    pub(crate) async fn get(&self, url: &str) -> Result<Page, String> {
        let mut url = parse(url)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::new(Method::GET, url.clone());
            request.headers_mut().insert(ACCEPT, header(ACCEPTED)?);
            let response = self.send(request).await?;
            let target =
                response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(target) = target else {
                return page(response).await;
            };
            let target = target.to_str().ok().and_then(|target| url.join(target).ok());
            url = target.ok_or_else(|| format!("{url} redirects to something that is no URL."))?;
        }
        Err(format!("{url} is the end of {REDIRECTS_MAX} redirects and redirects again."))
    }

    /// Sends one request, to where the guard lets it go, and does not follow a redirect.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, String> {
        let url = request.url().clone();
        self.guard.check(&url)?;
        let client = self.client(url.port_or_known_default().unwrap_or(0))?;
        client.execute(request).await.map_err(|error| explain(&url, &error))
    }

    fn client(&self, port: u16) -> Result<Client, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let made = client(Door { guard: Arc::clone(&self.guard), port })
            .map_err(|error| format!("There is no HTTP client: {}.", innermost(&error)))?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert(port, made.clone());
        Ok(made)
    }
}

/// The one place where a client is made.
fn client(door: Door) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIME_MAX)
        .timeout(TIME_MAX)
        .dns_resolver(Arc::new(door))
        .build()
}

fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let shown: String = text.chars().take(200).collect();
    if text.chars().count() > URL_CHARS_MAX {
        return Err(format!("The URL is longer than {URL_CHARS_MAX} characters: {shown}…"));
    }
    let url = Url::parse(text);
    let url =
        url.map_err(|error| format!("{shown:?} is not a URL: {error}. Begin with https://."))?;
    Ok(url)
}

pub(crate) fn header(value: &str) -> Result<reqwest::header::HeaderValue, String> {
    value.parse().map_err(|_| "A header cannot be sent.".to_owned())
}

/// Reads a response, as far as its body is allowed to go.
pub(crate) async fn page(mut response: Response) -> Result<Page, String> {
    let url = response.url().clone();
    let status = response.status();
    let (media_type, charset) = kind(response.headers());
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&url, &error))? {
        let room = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(Page { url, status, media_type, charset, body, is_cut })
}

fn kind(headers: &HeaderMap) -> (Option<String>, Option<String>) {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return (None, None);
    };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().filter(|kind| !kind.is_empty()).map(str::to_ascii_lowercase);
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim_matches(['"', ' ']).to_owned())
    });
    (media_type, charset)
}

fn explain(url: &Url, error: &reqwest::Error) -> String {
    let host = url.host_str().unwrap_or("The host");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return refused.to_string();
        }
        source = inner.source();
    }
    if error.is_timeout() {
        return format!("{host} did not answer in time.");
    }
    if error.is_connect() {
        return format!("{host} cannot be reached: {}.", innermost(error));
    }
    format!("The exchange with {host} failed: {}.", innermost(error))
}

/// What is at the bottom of an error; what lies above only says that it happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().trim_end_matches('.').chars().take(200).collect()
}

#[cfg(test)]
pub(crate) mod tests;
