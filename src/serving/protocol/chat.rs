//! A request of `/v1/chat/completions`: a conversation to reply to.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::{Fields, Object, value};
use super::generation::{Generation, NAMES, logprobs_within};
use super::message;
use crate::constraint::{NAME_BYTES_MAX, SCHEMA_BYTES_MAX, ToolChoice, is_name};

/// Tools in a request, and the bytes of their JSON all together. What a grammar takes of each is for
/// it to say.
const TOOLS_MAX: usize = 512;
const TOOLS_BYTES_MAX: usize = 1 << 20;

/// The form of the reply's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Form {
    /// Any.
    #[default]
    Text,
    /// JSON of this schema.
    Json(Value),
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChatRequest {
    /// The messages as chat templates read them.
    pub(crate) messages: Vec<Value>,
    /// The tools on offer, as they were sent.
    pub(crate) tools: Vec<Value>,
    pub(crate) choice: ToolChoice,
    /// Whether a reply may have several calls.
    pub(crate) parallel: bool,
    pub(crate) form: Form,
    /// Variables for the chat template.
    pub(crate) variables: Map<String, Value>,
    pub(crate) generation: Generation,
}

impl ChatRequest {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut names = NAMES.to_vec();
        names.extend([
            "messages",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "response_format",
            "chat_template_kwargs",
        ]);
        let fields = Fields::read(body, &names)?;
        let mut generation = Generation::read(&fields)?;
        generation.logprobs = logprobs(&fields)?;
        let tools = tools(&fields)?;
        let request = Self {
            messages: message::read(&fields)?,
            choice: choice(&fields, &tools)?,
            tools,
            parallel: fields.take("parallel_tool_calls")?.unwrap_or(true),
            form: form(&fields)?,
            variables: fields.take("chat_template_kwargs")?.unwrap_or_default(),
            generation,
        };
        if request.form != Form::Text && request.offers() {
            return Err(ApiError::field(
                "response_format",
                "`response_format` asks for JSON while tools may be called, and a reply is one or the other. Leave out `tools`, or set `tool_choice` to \"none\".",
            ));
        }
        Ok(request)
    }

    /// Whether tools may be called.
    pub(crate) fn offers(&self) -> bool {
        !self.tools.is_empty() && self.choice != ToolChoice::None
    }

    /// Whether none may be where a model could come to call one: it was told of tools, or reads
    /// calls in what was said before.
    pub(crate) fn forbids_calls(&self) -> bool {
        let has_calls = |message: &Value| message.get("tool_calls").is_some();
        let is_tempted = !self.tools.is_empty() || self.messages.iter().any(has_calls);
        is_tempted && self.choice == ToolChoice::None
    }
}

fn logprobs(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    let wanted: bool = fields.take("logprobs")?.unwrap_or(false);
    let others: Option<usize> = fields.take("top_logprobs")?;
    match (wanted, others) {
        (true, others) => logprobs_within("top_logprobs", others.unwrap_or(0)).map(Some),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(ApiError::field(
            "top_logprobs",
            "`top_logprobs` is set without `logprobs`. Set `logprobs` to true as well.",
        )),
    }
}

#[derive(Deserialize)]
struct Tool {
    r#type: String,
    function: Option<Object<Function>>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    parameters: Option<Map<String, Value>>,
}

fn tools(fields: &Fields<'_>) -> Result<Vec<Value>, ApiError> {
    let raw: Vec<&RawValue> = fields.take("tools")?.unwrap_or_default();
    let bytes: usize = raw.iter().map(|tool| tool.get().len()).sum();
    if raw.len() > TOOLS_MAX || bytes > TOOLS_BYTES_MAX {
        let message = format!(
            "`tools` has {} tools in {bytes} bytes. Offer at most {TOOLS_MAX} in {TOOLS_BYTES_MAX} bytes.",
            raw.len()
        );
        return Err(ApiError::field("tools", message));
    }
    raw.iter().enumerate().map(|(place, raw)| tool(&format!("tools[{place}]"), raw)).collect()
}

fn tool(param: &str, raw: &RawValue) -> Result<Value, ApiError> {
    let none = || ApiError::field(param, format!("`{param}` is no tool. Give a function."));
    let Object(tool): Object<Tool> = value(param, raw)?.ok_or_else(none)?;
    let Some(Object(function)) = tool.function.filter(|_| tool.r#type == "function") else {
        let message = format!(
            "`{param}` is of the type {:?}. Offer functions: {{\"type\": \"function\", \"function\": …}}.",
            tool.r#type
        );
        return Err(ApiError::field(param, message));
    };
    if !is_name(&function.name) {
        let param = format!("{param}.function.name");
        let message = format!(
            "`{param}` is no name of a tool. Give 1 to {NAME_BYTES_MAX} letters, digits, `_` and `-`."
        );
        return Err(ApiError::field(param, message));
    }
    drop(function.parameters);
    let mut tool: Value = value(param, raw)?.ok_or_else(none)?;
    let function = tool.get_mut("function").and_then(Value::as_object_mut).ok_or_else(none)?;
    // It is for the server, and no part of what models were trained on.
    function.shift_remove("strict");
    Ok(tool)
}

#[derive(Deserialize)]
struct Named {
    function: Object<NamedFunction>,
}

#[derive(Deserialize)]
struct NamedFunction {
    name: String,
}

fn choice(fields: &Fields<'_>, tools: &[Value]) -> Result<ToolChoice, ApiError> {
    const NAME: &str = "tool_choice";
    let Some(raw) = fields.take::<&RawValue>(NAME)? else { return Ok(ToolChoice::Auto) };
    let choice = if raw.get().starts_with('"') {
        let word: String = value(NAME, raw)?.unwrap_or_default();
        match word.as_str() {
            "none" => return Ok(ToolChoice::None),
            "auto" => return Ok(ToolChoice::Auto),
            "required" => ToolChoice::Required,
            word => {
                let message = format!(
                    "`tool_choice` is {word:?}. Give \"auto\", \"none\", \"required\" or a function."
                );
                return Err(ApiError::field(NAME, message));
            }
        }
    } else {
        let named: Option<Object<Named>> = value(NAME, raw)?;
        named.map_or(ToolChoice::Auto, |Object(named)| ToolChoice::Named(named.function.0.name))
    };
    let missing = match &choice {
        ToolChoice::Named(name) => !tools.iter().any(|tool| tool["function"]["name"] == **name),
        choice => *choice == ToolChoice::Required && tools.is_empty(),
    };
    if missing {
        let message = "`tool_choice` asks for a tool that is not in `tools`. Offer it there.";
        return Err(ApiError::field(NAME, message));
    }
    Ok(choice)
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    r#type: String,
    #[serde(borrow)]
    json_schema: Option<Object<JsonSchema<'a>>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

fn form(fields: &Fields<'_>) -> Result<Form, ApiError> {
    const NAME: &str = "response_format";
    let Some(Object(format)) = fields.take::<Object<ResponseFormat<'_>>>(NAME)? else {
        return Ok(Form::Text);
    };
    match format.r#type.as_str() {
        "text" => Ok(Form::Text),
        "json_object" => Ok(Form::Json(serde_json::json!({ "type": "object" }))),
        "json_schema" => {
            const SCHEMA: &str = "response_format.json_schema.schema";
            let raw = format.json_schema.and_then(|Object(it)| it.schema).ok_or_else(|| {
                ApiError::field(SCHEMA, format!("`{SCHEMA}` is missing. Give a JSON schema."))
            })?;
            if raw.get().len() > SCHEMA_BYTES_MAX {
                let message = format!(
                    "`{SCHEMA}` is {} bytes. Give one of at most {SCHEMA_BYTES_MAX} bytes.",
                    raw.get().len()
                );
                return Err(ApiError::field(SCHEMA, message));
            }
            let schema: Map<String, Value> = value(SCHEMA, raw)?.unwrap_or_default();
            Ok(Form::Json(Value::Object(schema)))
        }
        other => {
            let message = format!(
                "`response_format` is of the type {other:?}. Give \"text\", \"json_object\" or \"json_schema\"."
            );
            Err(ApiError::field(NAME, message))
        }
    }
}
