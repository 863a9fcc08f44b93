//! Answers: an object, an error, or events one after the other.

mod chat;
mod completion;
mod logprobs;
mod stream;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::Response;
use serde::Serialize;

pub(super) use chat::chat;
pub(super) use completion::completion;

use super::now_s;
use crate::protocol::ApiError;

/// An object.
pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
    // What is answered are texts and numbers, of which every one can be written.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// An error.
pub(super) fn error(error: &ApiError) -> Response {
    let mut response = json(error.status, &error.body());
    if let Some(after_s) = error.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after_s));
    }
    response
}

/// What all pieces of an answer begin with.
#[derive(Clone, Debug)]
struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    fn new(prefix: &str, model: String) -> Self {
        Self { id: name(prefix), created: now_s(), model }
    }
}

/// A name that nothing else has.
fn name(prefix: &str) -> String {
    let mut bytes = [0; 12];
    // Where there is no chance, names repeat; clients tell answers apart by their connections.
    let _ = getrandom::fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{hex}")
}
