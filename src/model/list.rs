//! Which models a server says it has: `GET /models`, which nearly every server answers in the form
//! of OpenAI.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::endpoint::{ApiKey, head};
use crate::failure::{Failure, FailureKind, Fault, tame};
use crate::peer::Peer;
use crate::transport::Transport;

/// How long a list may take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// No list is longer.
const LIST_BYTES_MAX: usize = 8 << 20;
/// No name is longer.
const NAME_CHARACTERS_MAX: usize = 200;

/// The models that the server at this base URL offers, as it names and orders them. The key, if
/// any, is the one that was named for it.
///
/// # Errors
/// When the server cannot be reached, refuses, or answers with something else.
pub async fn list(base_url: &str, key: Option<&ApiKey>) -> Result<Vec<String>, Failure> {
    let key = key.filter(|key| !key.is_empty());
    let failed = |fault: Fault| Failure {
        kind: fault.kind,
        message: fault.message,
        hint: fault.hint,
        partial: Box::default(),
    };
    let transport = Transport::new(base_url, key.map(ApiKey::secret)).map_err(|error| {
        failed(Fault::new(FailureKind::BadRequest, error.to_string(), String::new()))
    })?;
    let asked = tokio::time::timeout(TIME_MAX, ask(&transport)).await;
    let asked = asked.unwrap_or_else(|_| Err(transport.peer().silent(TIME_MAX, false)));
    asked.map_err(failed)
}

async fn ask(transport: &Transport) -> Result<Vec<String>, Fault> {
    let response = transport.get("/models").await?;
    let (head, peer) = (head(&response), transport.peer());
    let body = read(response, peer).await?;
    if !(200..300).contains(&head.status) {
        return Err(peer.status(&head, &body));
    }
    names(&body).ok_or_else(|| {
        let message = format!("{} answered with something that is no list of models.", peer.name());
        Fault::new(FailureKind::Protocol, message, "Check the base URL (--base-url).")
    })
}

async fn read(mut response: Response, peer: &Peer) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| peer.unreachable(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > LIST_BYTES_MAX {
            return Err(peer.too_large("a list", LIST_BYTES_MAX));
        }
    }
    Ok(body)
}

/// `{"data": [{"id": …}]}`, and what others made of it.
fn names(body: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let list = ["data", "models"].iter().find_map(|key| value.get(key)).unwrap_or(&value);
    let name = |item: &Value| {
        let named = ["id", "name", "model"].iter().find_map(|key| item.get(key)?.as_str());
        named.or_else(|| item.as_str()).map(|name| tame(name, NAME_CHARACTERS_MAX))
    };
    Some(list.as_array()?.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&[&str]>) {
        let names = names(body.as_bytes());
        let names =
            names.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(names.as_deref(), expected, "{body}");
    }

    #[test]
    fn lists_come_in_several_forms() {
        check(r#"{"object":"list","data":[{"id":"a"},{"id":"b/c"},{}]}"#, Some(&["a", "b/c"]));
        check(r#"{"models":[{"name":"a"},{"model":"b"}]}"#, Some(&["a", "b"]));
        check(r#"["a"]"#, Some(&["a"]));
        check(r#"{"data":[]}"#, Some(&[]));
        check("<html>", None);
        check(r#"{"error":"no"}"#, None);
    }
}
