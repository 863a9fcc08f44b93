//! Replies with calls, as a grammar: one for each family's format and choice of tools.
//!
//! What is free stays free: with `auto` a reply is any text up to where a call opens, and only from
//! there on bound. What these grammars let through is what [`chat::Format::read`] reads as calls;
//! where a text could be read as one by accident, it is not let through.
//!
//! The library's lexer takes the longest of all that match, so a text that ends with a tag is one
//! lazy lexeme with its tag, and never a text and then a tag.

mod glm;

use chat::Format;
use serde_json::{Value, json};

use super::ConstraintError;

/// No name of a tool is longer.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// Whether this may be the name of a tool. It stands in prompts and in grammars, and a sign that
/// means something there is none of a name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |sign: char| sign.is_alphanumeric() || "_-.:/".contains(sign);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_plain)
}

/// Arguments as models were taught to write them, with or without a space.
pub(super) fn options() -> Value {
    // Odd keywords are ignored: tools come from many hands, and a reply is better than none.
    json!({
        "whitespace_flexible": false, "item_separator": ", ?", "key_separator": ": ?",
        "lenient": true,
    })
}

/// Who decides whether a tool is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// The model: any text, and calls after it.
    Auto,
    /// Nobody: text without calls.
    None,
    /// The client: one call or more.
    Required,
    /// The client, and it says which tool: one call of it.
    Named(String),
}

/// Which calls a reply may hold.
#[derive(Clone, Debug)]
pub(crate) struct Calls<'a> {
    /// How the model writes them.
    pub(crate) format: Format,
    /// Whether the prompt has opened the thoughts.
    pub(crate) thinking: bool,
    /// The tools, as Chat Completions has them.
    pub(crate) tools: &'a [Value],
    /// Who decides.
    pub(crate) choice: ToolChoice,
    /// Whether there may be more than one call.
    pub(crate) parallel: bool,
}

/// A tool that may be called.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    place: usize,
    name: String,
    /// An object's schema.
    pub(super) parameters: Value,
}

impl Tool {
    fn new(place: usize, tool: &Value) -> Result<Self, ConstraintError> {
        let function = &tool["function"];
        let fault = |reason: &str| ConstraintError::Schema {
            at: format!("tools[{place}]"),
            reason: reason.to_owned(),
        };
        let name = function["name"].as_str().ok_or_else(|| fault("it has no name"))?;
        if !is_name(name) {
            return Err(fault("its name is more than some letters, digits and _-.:/"));
        }
        let mut parameters = match &function["parameters"] {
            Value::Null => json!({"properties": {}}),
            parameters => parameters.clone(),
        };
        let Some(schema) = parameters.as_object_mut() else {
            return Err(fault("its parameters are no object"));
        };
        let is_object = match schema.get("type") {
            None => true,
            Some(Value::Array(types)) => types.iter().any(|kind| kind == "object"),
            Some(kind) => kind == "object",
        };
        if !is_object {
            return Err(fault("the type of its parameters is not object"));
        }
        schema.insert("type".to_owned(), "object".into());
        // Where all keys are named a model makes none up.
        let others =
            ["additionalProperties", "patternProperties", "$ref", "anyOf", "allOf", "oneOf"];
        if schema.contains_key("properties") && !others.iter().any(|key| schema.contains_key(*key))
        {
            schema.insert("additionalProperties".to_owned(), false.into());
        }
        Ok(Self { place, name: name.to_owned(), parameters })
    }

    /// Where it stands, for an error.
    pub(super) fn at(&self) -> String {
        format!("tools[{}].function.parameters of {:?}", self.place, self.name)
    }
}

impl Calls<'_> {
    /// Whether a reply may do without calls.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.choice, ToolChoice::Auto | ToolChoice::None)
    }

    /// The tools that may be called.
    pub(super) fn wanted(&self) -> Result<Vec<Tool>, ConstraintError> {
        let all = || self.tools.iter().enumerate().map(|(place, tool)| Tool::new(place, tool));
        let wanted = match &self.choice {
            ToolChoice::None => Vec::new(),
            ToolChoice::Auto | ToolChoice::Required => all().collect::<Result<_, _>>()?,
            ToolChoice::Named(name) => {
                let place = self.tools.iter().position(|tool| tool["function"]["name"] == **name);
                let place = place.ok_or_else(|| ConstraintError::UnknownTool(name.clone()))?;
                vec![Tool::new(place, &self.tools[place])?]
            }
        };
        if !self.is_free() && wanted.is_empty() {
            Err(ConstraintError::NoTools)
        } else {
            Ok(wanted)
        }
    }

    /// The grammar, in the library's dialect of Lark.
    pub(super) fn lark(&self, tools: &[Tool], thinks: bool) -> Result<String, ConstraintError> {
        let mut lark = String::from("start: ");
        let is_free = self.is_free();
        let family = Family::of(self.format);
        push_thoughts(&mut lark, self.thinking, thinks || is_free);
        lark.push_str("reply\n");
        let many = if self.parallel && !matches!(self.choice, ToolChoice::Named(_)) {
            "(again call)*"
        } else {
            ""
        };
        let close = family.close.map(literal).unwrap_or_default();
        let calls = format!("call {many} {close}");
        if !tools.is_empty() {
            lark.push_str(&format!("again: {}\n", family.again));
            lark.push_str("call: ");
            push_alternatives(&mut lark, tools.iter().map(|tool| format!("call_{}", tool.place)));
            for tool in tools {
                self.push_call(&mut lark, tool)?;
            }
        }
        let is_lone = self.format == Format::Llama3;
        let reply = match (is_free, tools.is_empty(), is_lone) {
            (true, true, _) => "FREE?".to_owned(),
            (true, false, true) => format!("FREE? | {calls}"),
            (true, false, false) => format!("FREE? | lead {calls}"),
            (false, _, true) => calls,
            (false, _, false) => {
                format!("{} {calls}", family.open.map(literal).unwrap_or_default())
            }
        };
        lark.push_str(&format!("reply: {reply}\n"));
        if is_free {
            push_text(&mut lark, &family);
        }
        Ok(lark)
    }

    /// The rules of one tool's call, all that follows what opens calls.
    fn push_call(&self, lark: &mut String, tool: &Tool) -> Result<(), ConstraintError> {
        let (place, name) = (tool.place, &tool.name);
        let quoted = Value::from(name.as_str()).to_string();
        match self.format {
            Format::Hermes => {
                let head = literal(&format!("\n{{\"name\": {quoted}, \"arguments\": "));
                let tail = literal("}\n</tool_call>");
                lark.push_str(&format!("call_{place}: {head} args_{place} {tail}\n"));
            }
            Format::Llama3 => {
                // One lexeme, so that it is as long as a text that could stand there.
                let head = escaped(&format!("{{\"name\": {quoted}, \"parameters\": "));
                lark.push_str(&format!("HEAD_{place}: /[ \\n]{{0,4}}{head}/\n"));
                lark.push_str(&format!("call_{place}: HEAD_{place} args_{place} \"}}\"\n"));
            }
            Format::DeepSeek => {
                let begin = literal("<｜tool▁call▁begin｜>");
                let fenced = literal(&format!("function<｜tool▁sep｜>{name}\n```json\n"));
                let plain = literal(&format!("{name}<｜tool▁sep｜>"));
                let (fence, end) = (literal("\n```"), literal("<｜tool▁call▁end｜>"));
                lark.push_str(&format!(
                    "call_{place}: {begin} ({fenced} args_{place} {fence} | {plain} args_{place}) {end}\n"
                ));
            }
            Format::Glm => return glm::push_call(lark, tool),
        }
        let schema = super::with_options(&tool.parameters, &options());
        lark.push_str(&format!("args_{place}: %json {schema}\n"));
        Ok(())
    }
}

/// What a family puts around calls.
struct Family {
    /// What a text without calls may not hold.
    taboo: &'static [&'static str],
    /// Where the first call opens.
    open: Option<&'static str>,
    /// Between two calls: an expression of Lark.
    again: &'static str,
    /// After all of them.
    close: Option<&'static str>,
}

impl Family {
    fn of(format: Format) -> Self {
        match format {
            Format::Hermes | Format::Glm => Self {
                taboo: &["<tool_call>"],
                open: Some("<tool_call>"),
                again: "\"\\n<tool_call>\"",
                close: None,
            },
            Format::DeepSeek => Self {
                taboo: &["<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"],
                open: Some("<｜tool▁calls▁begin｜>"),
                again: "\"\\n\"?",
                close: Some("<｜tool▁calls▁end｜>"),
            },
            Format::Llama3 => Self { taboo: &[], open: None, again: "\"; \"", close: None },
        }
    }
}

/// Thoughts at the beginning of a reply: those that the prompt has opened, or any.
pub(super) fn push_thoughts(lark: &mut String, thinking: bool, may_think: bool) {
    let open = match (thinking, may_think) {
        (true, _) => "",
        (false, true) => "\\s*<think>",
        (false, false) => return,
    };
    let definitions = format!("think[lazy]: /{open}(?s:.*)<\\/think>/\nGAP: /[ \\n]{{1,4}}/\n");
    let mark = if thinking { "" } else { "?" };
    lark.insert_str(0, &definitions);
    lark.push_str(&format!("(think GAP?){mark} "));
}

/// Text without calls, and text up to where one opens. Neither begins with what would be read as
/// thoughts, or as a call where calls have no tags.
fn push_text(lark: &mut String, family: &Family) {
    let any = "(?s:.*)";
    let mut free = format!("/(?s:.+)/ & ~/\\s*<think>{any}/");
    for tag in family.taboo {
        free.push_str(&format!(" & ~/{any}{}{any}/", escaped(tag)));
    }
    let Some(open) = family.open else {
        free.push_str(&format!(" & ~/\\s*\\{{{any}(\"name\"|\\\\u){any}/"));
        free.push_str(&format!(" & ~/\\s*{}{any}/", escaped("<|python_tag|>")));
        lark.push_str(&format!("FREE: {free}\n"));
        return;
    };
    let mut lead = format!("/{any}{}/ & ~/\\s*<think>{any}/", escaped(open));
    for tag in family.taboo.iter().filter(|tag| **tag != open) {
        lead.push_str(&format!(" & ~/{any}{}{any}/", escaped(tag)));
    }
    lark.push_str(&format!("FREE: {free}\nLEAD: {lead}\nlead[lazy]: LEAD\n"));
}

fn push_alternatives(lark: &mut String, names: impl Iterator<Item = String>) {
    let names: Vec<String> = names.collect();
    lark.push_str(&names.join(" | "));
    lark.push('\n');
}

/// A text as a string of Lark.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let spell = |sign: char| match sign {
        sign if sign.is_alphanumeric() || sign == '_' => sign.to_string(),
        sign => format!("\\x{{{:x}}}", u32::from(sign)),
    };
    text.chars().map(spell).collect()
}
