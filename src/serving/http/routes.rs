//! What can be asked.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Uri};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::body::{self, BODY_BYTES_MAX};
use super::order::{self, Order};
use super::{App, answer, guard};
use crate::prompt::request_bytes_max;
use crate::protocol::ApiError;
use crate::server::Model;

/// The text form of Prometheus.
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// All routes, behind the guard.
pub(super) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .fallback(nowhere)
        .method_not_allowed_fallback(otherwise)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn health() -> Response {
    answer::json(200, &json!({ "status": "ok" }))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.text(app.facts.slots, &app.handle.load());
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, METRICS_TYPE);
    response
}

async fn models(State(app): State<Arc<App>>) -> Response {
    let models: Vec<Value> = app.server.models.iter().map(|model| listed(&app, model)).collect();
    answer::json(200, &json!({ "object": "list", "data": models }))
}

async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.server.model(Some(&name)) {
        Some(model) => answer::json(200, &listed(&app, model)),
        None => answer::error(&order::no_model(&app, &name)),
    }
}

fn listed(app: &App, model: &Model) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": app.began_s,
        "owned_by": "limn",
        "max_model_len": app.facts.slot_tokens,
    })
}

async fn chat(State(app): State<Arc<App>>, request: Body) -> Response {
    let arrived = Instant::now();
    match replying(&app, request, arrived, order::chat).await {
        Ok(replying) => answer::chat(&app, replying).await,
        Err(error) => answer::error(&error),
    }
}

async fn completion(State(app): State<Arc<App>>, request: Body) -> Response {
    let arrived = Instant::now();
    match replying(&app, request, arrived, order::completion).await {
        Ok(replying) => answer::completion(&app, replying).await,
        Err(error) => answer::error(&error),
    }
}

async fn replying(
    app: &Arc<App>,
    request: Body,
    arrived: Instant,
    read: fn(&App, &[u8]) -> Result<Order, ApiError>,
) -> Result<order::Replying, ApiError> {
    let bytes_max = request_bytes_max(app.facts.slot_tokens).min(BODY_BYTES_MAX);
    let body = body::read(request, bytes_max, app.patience.body, &app.room).await?;
    let order = order::read(app, body, read).await?;
    order::submit(app, order, arrived)
}

async fn nowhere(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    let message = format!(
        "There is nothing at {path:?}. Ask at /v1/chat/completions, /v1/completions or /v1/models."
    );
    answer::error(&ApiError::new(404, message))
}

async fn otherwise() -> Response {
    let message = "This is asked with another method. Use POST for completions, GET for the rest.";
    answer::error(&ApiError::new(405, message))
}
