//! Who may ask, and that nothing that is asked ends the server.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;

use super::{App, answer};
use crate::protocol::ApiError;

#[cfg(test)]
mod tests;

/// Lets requests through that may be answered, and counts them.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = route(request.uri().path());
    let response = match check(&app, &request) {
        Err(error) => refuse(&error),
        Ok(()) => match caught(next.run(request)).await {
            Some(response) => response,
            None => answer::error(&failure()),
        },
    };
    app.metrics.request(route, response.status().as_u16());
    response
}

/// What a client is told when a part of the server broke.
pub(super) fn failure() -> ApiError {
    ApiError::new(500, "The server failed at this request. Others are answered: report it.")
}

fn refuse(error: &ApiError) -> Response {
    let mut response = answer::error(error);
    if error.status == 401 {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The routes, as metrics name them: what a client makes up is no name.
fn route(path: &str) -> &'static str {
    let known = ["/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics"];
    let is_at = |known: &&&str| {
        path.strip_prefix(**known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    known.iter().find(is_at).copied().unwrap_or("other")
}

fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    // Without a key it listens on a loopback address. What knows the key is no page that found it by
    // chance, and a proxy before it may well speak to it by the name that it has itself.
    let Some(key) = &app.key else { return check_origin(request) };
    if request.uri().path() == "/health" {
        return Ok(());
    }
    let given = header(request, &AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    match given {
        Some(given) if blake3::hash(given.as_bytes()) == *key => Ok(()),
        Some(_) => Err(ApiError::new(401, "The key is wrong. Send the one this server was given.")
            .with_code("invalid_api_key")),
        None => Err(ApiError::new(401, "A key is needed. Send it as `Authorization: Bearer KEY`.")
            .with_code("invalid_api_key")),
    }
}

/// Refuses what pages of other origins ask, and names that were made to point here.
fn check_origin(request: &Request) -> Result<(), ApiError> {
    let host = request.uri().host().map(str::to_owned).or_else(|| {
        let host: Authority = header(request, &HOST)?.parse().ok()?;
        Some(host.host().to_owned())
    });
    if !host.is_some_and(|host| is_loopback(&host)) {
        return Err(ApiError::new(
            403,
            "This server answers on its own machine only, as localhost or 127.0.0.1. Use that name.",
        ));
    }
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let origin: Option<Authority> = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .and_then(|(_, authority)| authority.parse().ok());
    match origin {
        Some(origin) if is_loopback(origin.host()) => Ok(()),
        _ => Err(ApiError::new(
            403,
            "This server answers no pages of other sites. Ask from a program, or from a page of this machine.",
        )),
    }
}

fn header<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address: Option<IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// What a future comes to; `None` when it panics.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
