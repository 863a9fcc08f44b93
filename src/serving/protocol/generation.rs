//! What both kinds of request say of how to generate.

use serde::Deserialize;

use super::error::ApiError;
use super::fields::{Fields, Object};

/// Texts at which a reply may end, and the length of each in bytes.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1000;
/// Tokens at which it may end, beside the model's own.
const STOP_IDS_MAX: usize = 64;
/// Log-probabilities that are said of one token.
const LOGPROBS_MAX: usize = 20;

/// The names of the fields.
pub(crate) const NAMES: [&str; 28] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "n",
    "best_of",
    "logprobs",
    "top_logprobs",
    "return_token_ids",
    "modalities",
    "audio",
    "functions",
    "function_call",
    "echo",
    "suffix",
];

/// How to generate, as it was asked for. What was not said is the model's to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Generation {
    pub(crate) model: Option<String>,
    /// Piece by piece.
    pub(crate) stream: bool,
    /// A stream ends with what it cost.
    pub(crate) include_usage: bool,
    pub(crate) tokens_max: Option<usize>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) top_k: Option<usize>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) seed: Option<u64>,
    /// Texts before which the reply ends.
    pub(crate) stops: Vec<String>,
    /// Tokens at which it ends, beside the model's own.
    pub(crate) stop_ids: Vec<u32>,
    /// It does not end at those of the model.
    pub(crate) ignore_eos: bool,
    /// Say log-probabilities: of each token, and of so many others.
    pub(crate) logprobs: Option<usize>,
    /// Say the ids of the prompt and of the reply.
    pub(crate) token_ids: bool,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

impl Generation {
    /// Reads the fields, all but those of log-probabilities, which the two kinds of request spell
    /// differently.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        refuse(fields)?;
        let options: Option<Object<StreamOptions>> = fields.take("stream_options")?;
        Ok(Self {
            model: fields.take("model")?,
            stream: fields.take("stream")?.unwrap_or(false),
            include_usage: options.and_then(|Object(it)| it.include_usage).unwrap_or(false),
            tokens_max: tokens_max(fields)?,
            temperature: fields.number("temperature", (0.0, 2.0))?,
            top_p: fields.number("top_p", (0.0, 1.0))?,
            top_k: top_k(fields)?,
            min_p: fields.number("min_p", (0.0, 1.0))?,
            repetition_penalty: repetition_penalty(fields)?,
            // Any 64 bits will do, and clients have signed ones.
            seed: fields.take::<i128>("seed")?.map(|seed| seed as u64),
            stops: stops(fields)?,
            stop_ids: stop_ids(fields)?,
            ignore_eos: fields.take("ignore_eos")?.unwrap_or(false),
            logprobs: None,
            token_ids: fields.take("return_token_ids")?.unwrap_or(false),
        })
    }
}

/// Refuses what is known and not obeyed.
fn refuse(fields: &Fields<'_>) -> Result<(), ApiError> {
    for name in ["frequency_penalty", "presence_penalty"] {
        fields.refuse_unless(name, &["0"], "use `repetition_penalty`, or leave it at 0.")?;
    }
    fields.refuse_unless("logit_bias", &["{}"], "leave it out.")?;
    fields.refuse_unless("n", &["1"], "one reply is given to a request; send it several times.")?;
    fields.refuse_unless("best_of", &["1"], "one reply is given to a request.")?;
    fields.refuse_unless("echo", &["false"], "the reply comes without the prompt.")?;
    fields.refuse_unless("suffix", &["\"\""], "a text is gone on with, not filled in.")?;
    fields.refuse_unless("functions", &["[]"], "offer `tools` instead.")?;
    fields.refuse_unless("function_call", &["\"none\"", "\"auto\""], "use `tool_choice`.")?;
    fields.refuse_unless("audio", &[], "this model writes text.")?;
    let modalities: Option<Vec<String>> = fields.take("modalities")?;
    match modalities.unwrap_or_default().iter().find(|it| *it != "text") {
        Some(other) => Err(ApiError::unsupported(
            "modalities",
            format!("`modalities` asks for {other:?}. This model writes text: leave it out."),
        )),
        None => Ok(()),
    }
}

fn tokens_max(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    for name in ["max_completion_tokens", "max_tokens"] {
        let Some(tokens) = fields.take::<usize>(name)? else { continue };
        if tokens == 0 {
            let message = format!("`{name}` is 0. Ask for one token or more.");
            return Err(ApiError::field(name, message));
        }
        return Ok(Some(tokens));
    }
    Ok(None)
}

/// -1 is how vLLM says all of them.
fn top_k(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    match fields.take::<i64>("top_k")? {
        Some(count @ ..-1) => {
            let message = format!("`top_k` is {count}. Give a number from 1, or 0 for all.");
            Err(ApiError::field("top_k", message))
        }
        count => Ok(count.map(|count| usize::try_from(count).unwrap_or(0))),
    }
}

fn repetition_penalty(fields: &Fields<'_>) -> Result<Option<f32>, ApiError> {
    let penalty = fields.number("repetition_penalty", (0.0, 100.0))?;
    if penalty == Some(0.0) {
        let message = "`repetition_penalty` is 0. Give a number above 0; 1 does nothing.";
        return Err(ApiError::field("repetition_penalty", message));
    }
    Ok(penalty)
}

fn stops(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    let stops = match fields.take("stop")? {
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Several(stops)) => stops,
        None => Vec::new(),
    };
    let fits = |stop: &String| !stop.is_empty() && stop.len() <= STOP_BYTES_MAX;
    if stops.len() > STOPS_MAX || !stops.iter().all(fits) {
        let message = format!(
            "`stop` is wrong. Give at most {STOPS_MAX} texts, none of them empty or longer than {STOP_BYTES_MAX} bytes."
        );
        return Err(ApiError::field("stop", message));
    }
    Ok(stops)
}

fn stop_ids(fields: &Fields<'_>) -> Result<Vec<u32>, ApiError> {
    let ids: Vec<u32> = fields.take("stop_token_ids")?.unwrap_or_default();
    if ids.len() > STOP_IDS_MAX {
        let message = format!("`stop_token_ids` has {}. Give at most {STOP_IDS_MAX}.", ids.len());
        return Err(ApiError::field("stop_token_ids", message));
    }
    Ok(ids)
}

/// How many log-probabilities beside a token's own, within what is said.
pub(crate) fn logprobs_within(param: &'static str, count: usize) -> Result<usize, ApiError> {
    if count > LOGPROBS_MAX {
        let message = format!("`{param}` is {count}. Give a number from 0 to {LOGPROBS_MAX}.");
        return Err(ApiError::field(param, message));
    }
    Ok(count)
}
