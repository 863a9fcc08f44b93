use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ApiError, ChatRequest, CompletionRequest, Form, Written};
use crate::constraint::ToolChoice;

fn read(body: &Value) -> Result<ChatRequest, ApiError> {
    ChatRequest::read(body.to_string().as_bytes())
}

/// A request with these fields beside one message.
fn with(fields: Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } })
}

#[test]
fn a_request_with_everything_is_read() {
    let request = read(&with(json!({
        "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 7,
        "temperature": 0, "top_p": 0.5, "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.5,
        "seed": -1, "stop": ["a", "b"], "logprobs": true, "top_logprobs": 3,
        "return_token_ids": true, "frequency_penalty": 0, "presence_penalty": 0.0, "n": 1.0,
        "tools": [tool("look")], "tool_choice": { "type": "function", "function": { "name": "look" } },
        "parallel_tool_calls": false, "chat_template_kwargs": { "enable_thinking": false },
        "user": "nobody", "metadata": { "some": "thing" }, "logit_bias": { },
    })))
    .unwrap();
    assert_eq!(request.choice, ToolChoice::Named("look".to_owned()));
    assert!(!request.parallel);
    assert_eq!(request.variables["enable_thinking"], false);
    let generation = request.generation;
    assert!(generation.stream && generation.include_usage && generation.token_ids);
    assert_eq!(generation.tokens_max, Some(7));
    assert_eq!(generation.temperature, Some(0.0));
    assert_eq!(generation.top_k, Some(0));
    assert_eq!(generation.seed, Some(u64::MAX));
    assert_eq!(generation.stops, ["a", "b"]);
    assert_eq!(generation.logprobs, Some(3));
}

#[test]
fn messages_become_what_templates_read() {
    let request = read(&json!({ "messages": [
        { "role": "developer", "content": [{ "type": "text", "text": "Be " }, { "type": "text", "text": "brief." }] },
        { "role": "user", "content": "Look." },
        { "role": "assistant", "content": null, "reasoning": "Hm.", "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{\"at\": 1}" } },
            { "id": "call_2", "type": "function", "function": { "name": "look", "arguments": "{broken" } },
        ] },
        { "role": "tool", "tool_call_id": "call_1", "content": "A tree." },
        { "role": "assistant", "content": "A tree.", "refusal": null },
    ] }))
    .unwrap();
    assert_eq!(
        Value::from(request.messages),
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Look." },
            { "role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "look", "arguments": { "at": 1 } } },
                { "id": "call_2", "type": "function", "function": { "name": "look", "arguments": "{broken" } },
            ] },
            { "role": "tool", "content": "A tree.", "name": "look", "tool_call_id": "call_1" },
            { "role": "assistant", "content": "A tree." },
        ])
    );
}

/// The request is refused with this field, and with these words.
#[track_caller]
fn check_refused(fields: Value, param: &str, words: &str) {
    let error = read(&with(fields)).unwrap_err();
    assert_eq!(error.status, 400, "{error:?}");
    assert_eq!(error.param.as_deref(), Some(param), "{error:?}");
    assert!(error.message.contains(words), "{error:?}");
    assert!(error.message.ends_with('.'), "{error:?}");
}

#[test]
fn an_error_names_the_field_that_is_wrong() {
    check_refused(json!({ "temperature": "hot" }), "temperature", "invalid type: string \"hot\"");
    check_refused(json!({ "temperature": 3 }), "temperature", "from 0 to 2");
    check_refused(json!({ "top_p": -0.1 }), "top_p", "from 0 to 1");
    check_refused(json!({ "max_tokens": 0 }), "max_tokens", "one token or more");
    check_refused(json!({ "max_completion_tokens": -5 }), "max_completion_tokens", "-5");
    check_refused(json!({ "stop": [""] }), "stop", "none of them empty");
    check_refused(json!({ "stop": 7 }), "stop", "a text, or a list of texts");
    check_refused(json!({ "stream": "yes" }), "stream", "boolean");
    check_refused(json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs", "0 to 20");
    check_refused(json!({ "top_logprobs": 2 }), "top_logprobs", "without `logprobs`");
    check_refused(json!({ "messages": [] }), "messages", "empty");
    check_refused(json!({ "messages": "Hello" }), "messages", "expected a sequence");
    check_refused(json!({ "messages": [{ "role": "user" }, 7] }), "messages[1]", "integer");
    check_refused(json!({ "messages": [{ "content": "x" }] }), "messages[0]", "`role`");
    check_refused(json!({ "messages": [{ "role": "robot" }] }), "messages[0].role", "\"robot\"");
    check_refused(
        json!({ "messages": [{ "role": "user", "content": 7 }] }),
        "messages[0].content",
        "expected a string",
    );
    check_refused(
        json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "id": "x" }] }] }),
        "messages[0].tool_calls[0]",
        "no call of a function",
    );
    check_refused(json!({ "tools": [{ "type": "web_search" }] }), "tools[0]", "\"web_search\"");
    for name in ["a b", "", &"a".repeat(129)] {
        check_refused(json!({ "tools": [tool(name)] }), "tools[0].function.name", "letters");
    }
    check_refused(json!({ "tool_choice": "maybe" }), "tool_choice", "\"maybe\"");
    check_refused(json!({ "tool_choice": "required" }), "tool_choice", "not in `tools`");
    check_refused(
        json!({ "tools": [tool("a")], "tool_choice": { "type": "function", "function": { "name": "b" } } }),
        "tool_choice",
        "not in `tools`",
    );
    check_refused(json!({ "response_format": { "type": "xml" } }), "response_format", "\"xml\"");
    check_refused(
        json!({ "response_format": { "type": "json_schema" } }),
        "response_format.json_schema.schema",
        "missing",
    );
    check_refused(
        json!({ "tools": [tool("a")], "response_format": { "type": "json_object" } }),
        "response_format",
        "one or the other",
    );
}

#[test]
fn a_list_is_no_object() {
    for (fields, param) in [
        (json!({ "tools": [["function", { "name": "x" }]] }), "tools[0]"),
        (json!({ "tools": [{ "type": "function", "function": ["x", {}] }] }), "tools[0]"),
        (json!({ "tools": [tool("x")], "tool_choice": [{ "name": "x" }] }), "tool_choice"),
        (json!({ "tools": [tool("x")], "tool_choice": { "function": ["x"] } }), "tool_choice"),
        (json!({ "messages": [["user", "Hello"]] }), "messages[0]"),
        (
            json!({ "messages": [{ "role": "user", "content": [["text", "Hello"]] }] }),
            "messages[0].content",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": [["id", { "name": "x" }]] }] }),
            "messages[0].tool_calls[0]",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "function": ["x"] }] }] }),
            "messages[0].tool_calls[0]",
        ),
        (json!({ "response_format": ["json_object"] }), "response_format"),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": [{}] } }),
            "response_format",
        ),
        (json!({ "stream_options": [true] }), "stream_options"),
    ] {
        check_refused(fields, param, "expected an object");
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    for (field, value) in [
        ("n", json!(2)),
        ("frequency_penalty", json!(0.5)),
        ("presence_penalty", json!(-1)),
        ("logit_bias", json!({ "50256": -100 })),
        ("functions", json!([{ "name": "old" }])),
        ("modalities", json!(["text", "audio"])),
    ] {
        let error = read(&with(json!({ field: value }))).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field));
        assert_eq!(error.code, Some("unsupported_parameter"));
    }
}

#[test]
fn an_image_for_a_model_of_text_is_refused() {
    check_refused(
        json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "What is it?" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
        ] }] }),
        "messages[0].content[1]",
        "reads text only",
    );
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in ["", "{", "[]", "null", "\"x\"", "{} {}", "\u{feff}{}", "{\"a\": 1,}"] {
        let error = ChatRequest::read(body.as_bytes()).unwrap_err();
        assert_eq!((error.status, error.param), (400, None), "{body}");
    }
    let deep = format!("{{\"messages\": {}", "[".repeat(100_000));
    assert_eq!(ChatRequest::read(deep.as_bytes()).unwrap_err().status, 400);
    let deep = format!(
        "{{\"messages\": [{{\"role\": \"user\", \"content\": \"x\"}}], \"tools\": [{}{}]}}",
        "{\"type\": \"function\", \"function\": {\"name\": \"a\", \"parameters\": {\"a\":"
            .repeat(1000),
        "{}}}".repeat(1000)
    );
    assert_eq!(ChatRequest::read(deep.as_bytes()).unwrap_err().status, 400);
}

#[test]
fn a_schema_is_the_form_of_the_reply() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let request = read(&with(json!({ "response_format": format }))).unwrap();
    assert_eq!(request.form, Form::Json(schema));
    let request = read(&with(json!({ "response_format": { "type": "text" } }))).unwrap();
    assert_eq!(request.form, Form::Text);
}

#[test]
fn a_prompt_is_a_text_or_tokens() {
    let read = |prompt: Value| {
        CompletionRequest::read(json!({ "prompt": prompt }).to_string().as_bytes())
            .map(|request| request.prompt)
    };
    assert_eq!(read(json!("Once")).unwrap(), Written::Text("Once".to_owned()));
    assert_eq!(read(json!(["Once"])).unwrap(), Written::Text("Once".to_owned()));
    assert_eq!(read(json!([1, 2])).unwrap(), Written::Ids(vec![1, 2]));
    assert_eq!(read(json!([[1, 2]])).unwrap(), Written::Ids(vec![1, 2]));
    assert_eq!(read(json!([])).unwrap(), Written::Ids(vec![]));
    for several in [json!(["a", "b"]), json!(["a", 1]), json!([[1], [2], "c"])] {
        assert!(read(several).unwrap_err().message.contains("several texts"));
    }
    let spaced = CompletionRequest::read(b"{\"prompt\": [ \n[ 1 , 2 ] ]}").unwrap();
    assert_eq!(spaced.prompt, Written::Ids(vec![1, 2]));
    for wrong in [json!(7), json!([1, -1]), json!([1, "a"]), json!({}), json!([[[1]]]), Value::Null]
    {
        assert_eq!(read(wrong).unwrap_err().param.as_deref(), Some("prompt"));
    }
}

/// JSON of any kind, with names that mean something here and there.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("role".to_owned()),
        Just("content".to_owned()),
        Just("type".to_owned()),
        Just("function".to_owned()),
        Just("name".to_owned()),
        Just("arguments".to_owned()),
        Just("json_schema".to_owned()),
        "[a-z]{0,5}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(user|assistant|tool|text|function|json_schema|none|auto|[ -~]{0,8})"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is in the fields, reading them comes to a request or to an error of the client's.
    #[test]
    fn no_field_breaks_the_reader(
        fields in prop::collection::vec((0usize..40, any_json()), 0..6),
    ) {
        let names: Vec<&str> = super::generation::NAMES
            .into_iter()
            .chain(["messages", "tools", "tool_choice", "response_format", "prompt"])
            .collect();
        let mut body = with(json!({}));
        for (place, value) in fields {
            body[names[place % names.len()]] = value;
        }
        let body = body.to_string();
        for status in [
            ChatRequest::read(body.as_bytes()).err().map(|error| error.status),
            CompletionRequest::read(body.as_bytes()).err().map(|error| error.status),
        ] {
            prop_assert!(status.is_none_or(|status| status == 400));
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(ChatRequest::read(&bytes).is_err());
    }
}
