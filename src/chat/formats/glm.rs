//! GLM 4.5: a name, then keys and values between tags of their own. Values that are texts stand as
//! they are, others as JSON; which is which, only the tool's schema says.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Call;
use super::hermes::{CLOSE, OPEN};
use super::stream::{Found, Json, open_tag};

pub(super) const KEY: [&str; 2] = ["<arg_key>", "</arg_key>"];
pub(super) const VALUE: [&str; 2] = ["<arg_value>", "</arg_value>"];

const NAME_BYTES_MAX: usize = 1024;

/// The arguments that are texts, as tool and key.
#[derive(Debug, Default)]
pub(super) struct Texts(HashSet<(String, String)>);

impl Texts {
    pub(super) fn of(tools: &[Value]) -> Self {
        let mut texts = HashSet::new();
        for tool in tools.iter().map(|tool| &tool["function"]) {
            let (Some(name), Some(properties)) =
                (tool["name"].as_str(), tool["parameters"]["properties"].as_object())
            else {
                continue;
            };
            let keys = properties.iter().filter(|(_, schema)| schema["type"] == "string");
            texts.extend(keys.map(|(key, _)| (name.to_owned(), key.clone())));
        }
        Self(texts)
    }

    fn has(&self, name: &str, key: &str) -> bool {
        self.0.contains(&(name.to_owned(), key.to_owned()))
    }
}

/// What stands at the opening tag with which this text begins.
pub(super) fn find(text: &str, is_end: bool, texts: &Texts) -> Found {
    let within = &text[OPEN.len()..];
    let first = [KEY[0], CLOSE].iter().filter_map(|tag| within.find(tag)).min();
    let is_sure = first.is_some() || is_end;
    let open = if is_sure { 0 } else { open_tag(within, &[KEY[0], CLOSE]) };
    let name = within[..first.unwrap_or(within.len() - open)].trim();
    let is_none = name.contains(['\n', '{'])
        || name.len() > NAME_BYTES_MAX
        || (is_sure && (name.is_empty() || name.contains('<')));
    if is_none {
        return Found::None(OPEN.len());
    }
    if !is_sure {
        return Found::Open;
    }
    let mut arguments = Map::new();
    let mut rest = first.map_or("", |at| &within[at..]);
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(CLOSE) {
            rest = after;
            break;
        }
        if rest.is_empty() && is_end {
            break;
        }
        match pair(rest, is_end, |key| texts.has(name, key)) {
            Pair::Found(key, value, after) => {
                arguments.insert(key.to_owned(), value);
                rest = after;
            }
            Pair::Open => return Found::open(is_end, OPEN),
            Pair::None => return Found::None(OPEN.len()),
        }
    }
    let arguments = Value::Object(arguments).to_string();
    Found::Call(Call { name: name.to_owned(), arguments }, text.len() - rest.len())
}

enum Pair<'a> {
    /// A key, its value, and what follows.
    Found(&'a str, Value, &'a str),
    None,
    Open,
}

fn pair<'a>(text: &'a str, is_end: bool, is_text: impl Fn(&str) -> bool) -> Pair<'a> {
    let begins = |text: &str, tag: &str| {
        if tag.starts_with(text) { Pair::Open } else { Pair::None }
    };
    let Some(after) = text.strip_prefix(KEY[0]) else {
        return if CLOSE.starts_with(text) { Pair::Open } else { begins(text, KEY[0]) };
    };
    let Some((key, after)) = after.split_once(KEY[1]) else { return Pair::Open };
    let after = after.trim_start();
    let Some(after) = after.strip_prefix(VALUE[0]) else { return begins(after, VALUE[0]) };
    let Some((plain, behind)) = after.split_once(VALUE[1]) else { return Pair::Open };
    if is_text(key) {
        return Pair::Found(key, plain.into(), behind);
    }
    if let Ok(value) = serde_json::from_str(plain) {
        return Pair::Found(key, value, behind);
    }
    // The closing tag may stand inside a text of the JSON.
    let json = after.trim_start();
    if json.starts_with(['{', '[', '"']) {
        match Json::of(json) {
            Json::Open if !is_end => return Pair::Open,
            Json::Open | Json::Broken => {}
            Json::End(end) => {
                let (value, behind) =
                    (serde_json::from_str(&json[..end]), json[end..].trim_start());
                if let (Ok(value), Some(behind)) = (value, behind.strip_prefix(VALUE[1])) {
                    return Pair::Found(key, value, behind);
                }
                if !is_end && VALUE[1].starts_with(behind) {
                    return Pair::Open;
                }
            }
        }
    }
    Pair::Found(key, plain.into(), behind)
}
