//! Calls of GLM: a name, then keys and values between tags. Values that the schema says are texts
//! stand as they are, all others as JSON.

use serde_json::{Map, Value, json};

use super::{Tool, escaped, literal, options};
use crate::constraint::{ConstraintError, with_options};

const CLOSE: &str = "</arg_value>";

pub(super) fn push_call(lark: &mut String, tool: &Tool) -> Result<(), ConstraintError> {
    let place = tool.place;
    let schema = &tool.parameters;
    let mut pairs = String::new();
    let none = Map::new();
    let properties = schema["properties"].as_object();
    let is_closed = schema["additionalProperties"] == false;
    if properties.is_none() && !is_closed {
        // What it takes is said in a way that does not tell keys: any of them then.
        lark.push_str(&any_pair(place));
        pairs = format!("any_{place}*");
    }
    let properties = properties.unwrap_or(&none);
    let is_required = |key: &str| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|other| other == key))
    };
    for (number, (key, property)) in properties.iter().enumerate() {
        if key.contains("</arg_key>") {
            let reason = format!("no call can spell the key {key:?}");
            return Err(ConstraintError::Schema { at: tool.at(), reason });
        }
        let rule = format!("pair_{place}_{number}");
        let mark = if is_required(key) { "" } else { "?" };
        pairs.push_str(&format!("{rule}{mark} "));
        let head = literal(&format!("<arg_key>{key}</arg_key>\n<arg_value>"));
        let value = value(lark, tool, property, &format!("{place}_{number}"))?;
        lark.push_str(&format!("{rule}: {head} {value} \"\\n\"\n"));
    }
    let (name, end) = (literal(&format!("{}\n", tool.name)), literal("</tool_call>"));
    lark.push_str(&format!("call_{place}: {name} {pairs} {end}\n"));
    Ok(())
}

/// A value with the tag that closes it.
fn value(
    lark: &mut String,
    tool: &Tool,
    property: &Value,
    id: &str,
) -> Result<String, ConstraintError> {
    if property["type"] != "string" {
        let mut schema = match property {
            Value::Object(_) => property.clone(),
            Value::Bool(true) => json!({}),
            _ => {
                let reason = "the schema of a property is no object".to_owned();
                return Err(ConstraintError::Schema { at: tool.at(), reason });
            }
        };
        // What it refers to lies beside the properties.
        for key in ["$defs", "definitions"] {
            if let (Some(defs), None) = (tool.parameters.get(key), schema.get(key)) {
                schema[key] = defs.clone();
            }
        }
        let schema = with_options(&schema, &options());
        lark.push_str(&format!("value_{id}: %json {schema}\n"));
        return Ok(format!("value_{id} {}", literal(CLOSE)));
    }
    let listed = match (&property["enum"], &property["const"]) {
        (Value::Array(values), _) => Some(values.as_slice()),
        (_, Value::Null) => None,
        (_, value) => Some(std::slice::from_ref(value)),
    };
    if let Some(values) = listed {
        let texts = values.iter().filter_map(Value::as_str).filter(|text| !text.contains(CLOSE));
        let texts: Vec<String> = texts.map(|text| literal(&format!("{text}{CLOSE}"))).collect();
        if texts.is_empty() {
            let reason = "none of the values of a property can be spelled".to_owned();
            return Err(ConstraintError::Schema { at: tool.at(), reason });
        }
        return Ok(format!("({})", texts.join(" | ")));
    }
    let close = escaped(CLOSE);
    let (least, most) =
        (property["minLength"].as_u64().unwrap_or(0), property["maxLength"].as_u64());
    let most = most.map(|most| most.to_string()).unwrap_or_default();
    let mut text = format!("/(?s:.{{{least},{most}}}){close}/ & ~/(?s:.*){close}(?s:.+)/");
    if let Some(pattern) = property["pattern"].as_str() {
        text.push_str(&format!(" & /{}{close}/", whole(pattern)));
    }
    lark.push_str(&format!("TEXT_{id}: {text}\nvalue_{id}[lazy]: TEXT_{id}\n"));
    Ok(format!("value_{id}"))
}

/// Any key with any value.
fn any_pair(place: usize) -> String {
    let key = escaped("</arg_key>");
    let schema = with_options(&json!({}), &options());
    format!(
        "key_{place}[lazy]: /[^<\\n]{{1,100}}{key}/\nany_{place}: \"<arg_key>\" key_{place} \"\\n<arg_value>\" anything_{place} \"{CLOSE}\\n\"\nanything_{place}: %json {schema}\n"
    )
}

/// A pattern, which is looked for anywhere, as one that matches all of a text.
fn whole(pattern: &str) -> String {
    let (begin, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => ("", rest),
        None => ("(?s:.*)", pattern),
    };
    let (pattern, end) = match pattern.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => (rest, ""),
        _ => (pattern, "(?s:.*)"),
    };
    let mut whole = format!("{begin}(");
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '/' => whole.push_str("\\x{2f}"),
            '\\' => match signs.next() {
                Some('/') | None => whole.push_str("\\x{2f}"),
                Some(other) => whole.extend(['\\', other]),
            },
            sign => whole.push(sign),
        }
    }
    whole.push(')');
    whole.push_str(end);
    whole
}
