//! What the agent may do on the network with its own tools.

use serde::{Deserialize, Serialize};

use super::place::variable;

/// What stands for the query in the address of a search.
const QUERY: &str = "{query}";

/// `[web]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebFile {
    fetch: Option<bool>,
    search_url: Option<SearchUrl>,
    search_key_env: Option<String>,
    search_key_header: Option<String>,
    allow_private: Vec<Host>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct SearchUrl(String);

impl TryFrom<String> for SearchUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let web = url.starts_with("https://") || url.starts_with("http://");
        if web && url.matches(QUERY).count() == 1 {
            Ok(Self(url))
        } else {
            Err(format!("search_url is an http(s) address with {QUERY} in it once"))
        }
    }
}

/// `host` or `host:port`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Host(String);

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(host: String) -> Result<Self, String> {
        let bad = host.is_empty() || host.contains(['/', ' ', '@', '*']) || !host.is_ascii();
        if bad {
            return Err(format!("{host:?} is no host: write it as \"localhost:3000\""));
        }
        Ok(Self(host.to_ascii_lowercase()))
    }
}

/// What the agent may do on the network with its own tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WebSettings {
    /// Whether pages can be fetched.
    pub(crate) fetch: bool,
    /// Where searches go, with `{query}` in it; none: there is no search.
    pub(crate) search_url: Option<String>,
    /// The environment variable that holds the key for that address.
    pub(crate) search_key_env: Option<String>,
    /// The header that carries it; `Authorization` if absent.
    pub(crate) search_key_header: Option<String>,
    /// Hosts of this machine and its networks that may be fetched from all the same.
    pub(crate) allow_private: Vec<String>,
}

impl WebSettings {
    pub(super) fn of(file: WebFile) -> Self {
        Self {
            fetch: file.fetch.unwrap_or(true),
            search_url: file.search_url.map(|url| url.0),
            search_key_env: file.search_key_env,
            search_key_header: file.search_key_header,
            allow_private: file.allow_private.into_iter().map(|host| host.0).collect(),
        }
    }

    /// The key for searches, once a search is configured and its variable is set.
    pub(crate) fn search_key(&self) -> Option<String> {
        self.search_url.as_ref()?;
        variable(self.search_key_env.as_deref()?)
    }
}
