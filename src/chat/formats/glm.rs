//! GLM 4.5: a name, then keys and values between tags of their own. Values that are texts stand as
//! they are, others as JSON; which is which, only the tool's schema says.

use serde_json::{Map, Value};

use super::{Call, between};

pub(super) fn read(text: &str, tools: &[Value]) -> (String, Vec<Call>) {
    between(text, ("<tool_call>", "</tool_call>"), |body| {
        let (name, mut rest) = match body.find("<arg_key>") {
            Some(at) => (body[..at].trim(), &body[at..]),
            None => (body.trim(), ""),
        };
        if name.is_empty() || name.contains(['\n', '<', '{']) {
            return None;
        }
        let mut arguments = Map::new();
        while !rest.trim().is_empty() {
            let (key, after) =
                rest.trim_start().strip_prefix("<arg_key>")?.split_once("</arg_key>")?;
            let (value, after) =
                after.trim_start().strip_prefix("<arg_value>")?.split_once("</arg_value>")?;
            arguments.insert(key.to_owned(), typed(tools, name, key, value));
            rest = after;
        }
        Some(Call { name: name.to_owned(), arguments: Value::Object(arguments).to_string() })
    })
}

fn typed(tools: &[Value], name: &str, key: &str, value: &str) -> Value {
    let tool = tools.iter().map(|tool| &tool["function"]).find(|tool| tool["name"] == name);
    let is_text =
        tool.is_some_and(|tool| tool["parameters"]["properties"][key]["type"] == "string");
    let json = if is_text { None } else { serde_json::from_str(value).ok() };
    json.unwrap_or_else(|| value.into())
}
