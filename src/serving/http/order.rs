//! A request → what is ordered from the scheduler.
//!
//! Reading it, writing its prompt and making its grammar take time that grows with the request, so
//! that happens on a thread for blocking work, of a few requests at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::body::Received;
use super::{App, guard, now_s};
use crate::constraint::{Calls, Constraint, ConstraintError, Grammar, ToolChoice};
use crate::job::{Job, Sampling};
use crate::prompt::{Prompt, too_long};
use crate::protocol::{ApiError, ChatRequest, CompletionRequest, Form, Generation};
use crate::reply::Reply;
use crate::scheduler::Refused;
use crate::server::Model;
use crate::speech::{Hearing, Speech};

/// When to ask again where too many wait.
const RETRY_AFTER_S: u32 = 2;

/// What is ordered.
pub(super) struct Order {
    pub(super) model: Model,
    prompt: Prompt,
    constraint: Option<Constraint>,
    hearing: Hearing,
    pub(super) generation: Generation,
}

/// What is being replied, and to what.
pub(super) struct Replying {
    pub(super) reply: Reply,
    pub(super) model: String,
    pub(super) generation: Generation,
    /// The ids of the prompt, where they were asked for.
    pub(super) prompt_ids: Option<Vec<u32>>,
}

/// Reads a request on a thread of its own.
pub(super) async fn read(
    app: &Arc<App>,
    body: Received,
    read: fn(&App, &[u8]) -> Result<Order, ApiError>,
) -> Result<Order, ApiError> {
    let permit = Arc::clone(&app.readers).acquire_owned().await;
    let shared = Arc::clone(app);
    let order = tokio::task::spawn_blocking(move || {
        // It goes on when its client is gone, and takes its place until it is done.
        let _permit = permit;
        read(&shared, &body.bytes)
    })
    .await;
    // It fails when it panics.
    order.unwrap_or_else(|_| Err(guard::failure()))
}

/// A request of `/v1/chat/completions`.
pub(super) fn chat(app: &App, body: &[u8]) -> Result<Order, ApiError> {
    let request = ChatRequest::read(body)?;
    let model = model(app, &request.generation)?;
    let now_s = i64::try_from(now_s()).unwrap_or_default();
    let prompt = app.server.conversation(&request, app.facts.slot_tokens, now_s)?;
    let constraint = constraint(app, &request, prompt.thinking)?;
    // JSON that was asked for is no call, whatever it looks like.
    let may_call = request.offers() && !matches!(request.form, Form::Json(_));
    let format = app.server.dialect.format().filter(|_| may_call);
    let one_call = !request.parallel || matches!(request.choice, ToolChoice::Named(_));
    let hearing = Hearing {
        plain: false,
        format,
        bound: constraint.is_some(),
        thinking: prompt.thinking,
        tools: request.tools,
        one_call,
        stops: request.generation.stops.clone(),
    };
    Ok(Order { model, prompt, constraint, hearing, generation: request.generation })
}

/// A request of `/v1/completions`.
pub(super) fn completion(app: &App, body: &[u8]) -> Result<Order, ApiError> {
    let request = CompletionRequest::read(body)?;
    let model = model(app, &request.generation)?;
    let prompt = app.server.text(request.prompt, app.facts)?;
    let stops = request.generation.stops.clone();
    let hearing = Hearing { plain: true, stops, ..Hearing::default() };
    Ok(Order { model, prompt, constraint: None, hearing, generation: request.generation })
}

fn model(app: &App, generation: &Generation) -> Result<Model, ApiError> {
    let name = generation.model.as_deref();
    app.server.model(name).cloned().ok_or_else(|| no_model(app, name.unwrap_or_default()))
}

/// A model that is not served here.
pub(super) fn no_model(app: &App, name: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    let names: Vec<&str> = app.server.models.iter().map(|model| model.name.as_str()).collect();
    let message = format!(
        "The model {name:?} is not served here. Ask for one of these: {}.",
        names.join(", ")
    );
    ApiError { status: 404, ..ApiError::field("model", message).with_code("model_not_found") }
}

/// What the reply has to spell.
fn constraint(
    app: &App,
    request: &ChatRequest,
    thinking: bool,
) -> Result<Option<Constraint>, ApiError> {
    if let Form::Json(schema) = &request.form {
        let made = grammar(app)?.json_schema(schema, thinking);
        return made.map(Some).map_err(|error| refused("response_format", &error));
    }
    if !request.offers() && !request.forbids_calls() {
        return Ok(None);
    }
    // A call that is wanted has to come; what is merely allowed or forbidden is held to where it can be.
    let is_must = matches!(request.choice, ToolChoice::Required | ToolChoice::Named(_));
    let Some(format) = app.server.dialect.format() else {
        let message = "`tool_choice` asks for a call, and the chat template writes calls in a form that is not known here. Set it to \"auto\", and read calls from the text.";
        return if is_must { Err(ApiError::unsupported("tool_choice", message)) } else { Ok(None) };
    };
    let calls = Calls {
        format,
        thinking,
        tools: &request.tools,
        choice: request.choice.clone(),
        parallel: request.parallel,
    };
    match grammar(app)
        .and_then(|grammar| grammar.calls(&calls).map_err(|error| refused("tools", &error)))
    {
        Ok(constraint) => Ok(Some(constraint)),
        Err(error) if is_must => Err(error),
        // A call that nothing enforces is better than none.
        Err(_) => Ok(None),
    }
}

/// The tokens of the model as grammars need them.
pub(super) fn grammar(app: &App) -> Result<&Grammar, ApiError> {
    let made = app.grammar.get_or_init(|| {
        Grammar::new(app.server.dialect.tokenizer()).map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| ApiError::bad(error.clone()))
}

fn refused(param: &str, error: &ConstraintError) -> ApiError {
    ApiError::field(param, error.to_string())
}

/// Hands an order to the scheduler.
pub(super) fn submit(app: &App, order: Order, arrived: Instant) -> Result<Replying, ApiError> {
    let Order { model, prompt, constraint, hearing, generation } = order;
    let context = app.facts.slot_tokens;
    let room = context.saturating_sub(prompt.ids.len());
    if room < generation.tokens_max.unwrap_or(1) {
        let tokens = prompt.ids.len().to_string();
        return Err(too_long(prompt.field, context, &tokens, generation.tokens_max));
    }
    let tokens_max = generation.tokens_max.unwrap_or(room);
    let own = if generation.ignore_eos { None } else { Some(app.server.dialect.stops()) };
    let stops: Vec<u32> =
        own.into_iter().flatten().chain(generation.stop_ids.iter().copied()).collect();
    let (sender, steps) = mpsc::unbounded_channel();
    let speech = Speech::new(Arc::clone(&app.server), hearing);
    let counted = (prompt.ids.len(), stops.clone());
    let reply = Reply::new(speech, steps, counted, Arc::clone(&app.metrics), arrived);
    let prompt_ids = generation.token_ids.then(|| prompt.ids.clone());
    let job = Job {
        variant: model.variant,
        prompt: prompt.ids,
        sampling: sampling(app, &generation)?,
        constraint,
        stops,
        tokens_max,
        steps: sender,
    };
    app.handle.submit(job).map_err(|refused| turned_away(&refused))?;
    Ok(Replying { reply, model: model.name, generation, prompt_ids })
}

fn turned_away(refused: &Refused) -> ApiError {
    match refused {
        Refused::Full(_) | Refused::Closed => ApiError {
            retry_after_s: Some(RETRY_AFTER_S),
            ..ApiError::new(503, refused.to_string())
        },
        Refused::TooLong { .. } | Refused::Empty => ApiError::bad(refused.to_string()),
        Refused::Unknown(_) => ApiError::new(500, refused.to_string()),
    }
}

/// How to choose tokens: as was asked, else as the model's publisher says.
fn sampling(app: &App, generation: &Generation) -> Result<Sampling, ApiError> {
    let usual = app.server.defaults;
    let seed = match generation.seed {
        Some(seed) => seed,
        None => {
            let seed = getrandom::u64();
            seed.map_err(|error| ApiError::new(500, format!("There is no chance: {error}.")))?
        }
    };
    Ok(Sampling {
        temperature: generation.temperature.unwrap_or(usual.temperature),
        top_p: generation.top_p.unwrap_or(usual.top_p),
        top_k: generation.top_k.unwrap_or(usual.top_k),
        min_p: generation.min_p.unwrap_or(usual.min_p),
        repetition_penalty: generation.repetition_penalty.unwrap_or(usual.repetition_penalty),
        seed,
        logprobs: generation.logprobs,
    })
}
