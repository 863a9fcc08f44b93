//! Ask a search engine that the settings name.
//!
//! The answers of SearXNG, Brave, Tavily and their like differ in where the list stands and in
//! what they call the text; what is looked for here is a list of objects with a URL.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, Url};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure};
use crate::network::Reach;
use crate::web::{self, Browser, SearchEndpoint};

const QUERY_CHARS_MAX: usize = 500;
const RESULTS_MAX: usize = 10;
const TITLE_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 500;
const PLACE: &str = "{query}";
/// How deep the list of results may stand in the answer.
const LEVELS_MAX: usize = 3;

/// Searches the web; answers with titles, URLs and excerpts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) query: String,
}

/// A search engine, ready to be asked.
#[derive(Debug)]
pub(crate) struct Engine {
    endpoint: SearchEndpoint,
    browser: Browser,
}

impl Engine {
    pub(crate) fn new(endpoint: &SearchEndpoint, reach: Option<Reach>) -> Self {
        // Who set the endpoint knows where it is.
        let url = Url::parse(&endpoint.url.replace(PLACE, "")).ok();
        let host = url.and_then(|url| url.host_str().map(str::to_owned));
        let allowed: Vec<String> = host.into_iter().collect();
        Self { endpoint: endpoint.clone(), browser: Browser::new(&allowed, reach) }
    }

    fn request(&self, query: &str) -> Result<Request, String> {
        let has_place = self.endpoint.url.contains(PLACE);
        let words = escaped(query);
        let url = Url::parse(&self.endpoint.url.replace(PLACE, &words))
            .map_err(|error| format!("The search endpoint of the settings is no URL: {error}."))?;
        let method = if has_place { Method::GET } else { Method::POST };
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.endpoint.key {
            let (name, value) = match &self.endpoint.key_header {
                Some(name) => (name.parse::<HeaderName>().ok(), key.expose_secret().to_owned()),
                None => (Some(AUTHORIZATION), format!("Bearer {}", key.expose_secret())),
            };
            let name = name.ok_or("The key header of the settings is not a header's name.")?;
            let mut value = web::header(&value)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if !has_place {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = json!({ "query": query, "max_results": RESULTS_MAX }).to_string();
            *request.body_mut() = Some(Body::from(body));
        }
        Ok(request)
    }

    async fn ask(&self, query: &str) -> Result<Value, String> {
        let response = self.browser.send(self.request(query)?).await?;
        let page = web::page(response).await?;
        if !page.status.is_success() {
            // What it says of the key is nobody's business here.
            return Err(format!("The search engine answered {}.", page.status));
        }
        serde_json::from_slice(&page.body)
            .map_err(|_| "The search engine answered with something that is not JSON.".to_owned())
    }
}

/// As it may stand anywhere in a URL.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Runs the tool.
pub(crate) async fn run(
    engine: &Engine,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let query = input.query.trim();
    if query.is_empty() {
        return Err(Failure::Error("The query is empty.".to_owned()));
    }
    if query.chars().count() > QUERY_CHARS_MAX {
        let told = format!("The query is longer than {QUERY_CHARS_MAX} characters.");
        return Err(Failure::Error(told));
    }
    let answer = tokio::select! {
        answer = engine.ask(query) => answer?,
        () = cancel.cancelled() => return Err(Failure::Cancelled("Cancelled while searching.".to_owned())),
    };
    let found = results(&answer, LEVELS_MAX);
    let mut shown = String::new();
    for (index, result) in found.unwrap_or_default().into_iter().take(RESULTS_MAX).enumerate() {
        shown.push_str(&line(index + 1, result));
    }
    if shown.is_empty() {
        return Ok(Answer::from("Nothing was found.".to_owned()));
    }
    shown.truncate(shown.trim_end().len());
    Ok(Answer::from(shown))
}

/// The first list of objects that have a URL.
fn results(answer: &Value, levels: usize) -> Option<Vec<&Value>> {
    match answer {
        Value::Array(items) => {
            let found: Vec<&Value> = items.iter().filter(|item| url(item).is_some()).collect();
            (!found.is_empty()).then_some(found)
        }
        Value::Object(fields) if levels > 0 => {
            let named = fields.get("results").and_then(|inner| results(inner, levels - 1));
            // Brave has its list in `web`, beside those of news and videos.
            let web = || fields.get("web").and_then(|inner| results(inner, levels - 1));
            let any = || fields.values().find_map(|inner| results(inner, levels - 1));
            named.or_else(web).or_else(any)
        }
        _ => None,
    }
}

fn url(item: &Value) -> Option<&str> {
    part(item, &["url", "link", "href"])
}

fn part<'a>(item: &'a Value, names: &[&str]) -> Option<&'a str> {
    let found = names.iter().find_map(|name| item.get(*name)?.as_str());
    found.filter(|text| !text.trim().is_empty())
}

fn line(number: usize, item: &Value) -> String {
    let title = clipped(part(item, &["title", "name"]).unwrap_or("(no title)"), TITLE_CHARS_MAX);
    let url = clipped(url(item).unwrap_or_default(), TEXT_CHARS_MAX);
    let text = part(item, &["content", "description", "snippet", "text"]).unwrap_or_default();
    let text = clipped(text, TEXT_CHARS_MAX);
    let text = if text.is_empty() { text } else { format!("   {text}\n") };
    format!("{number}. {title}\n   {url}\n{text}")
}

/// On one line, without tags that mark the words found.
fn clipped(text: &str, chars_max: usize) -> String {
    let mut plain = text.to_owned();
    for tag in ["<strong>", "</strong>", "<b>", "</b>", "<em>", "</em>"] {
        plain = plain.replace(tag, "");
    }
    let words: Vec<&str> = plain
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let mut short: String = line.chars().take(chars_max).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
