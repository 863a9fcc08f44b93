//! Chat templates: messages and tools as the text that a model reads, byte for byte as
//! `transformers` writes it.
//!
//! A template is a program that came with a model, so it is given fuel and bounded in what it
//! writes. `{% generation %}` blocks, with which templates for training mark what the model wrote,
//! are compiled twice: once as if they were not there, and once with marks that are taken out of
//! the text again and give the places. Jinja is `minijinja`'s; what differs from Python lies in
//! `python.rs`.

mod python;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use crate::error::ChatError;

/// Steps of a template after which it is taken to loop. A message takes some two hundred.
const FUEL: u64 = 20_000_000;

/// No conversation is longer than this when it is written out.
const TEXT_BYTES_MAX: usize = 512 << 20;

/// No template is longer.
pub(crate) const SOURCE_BYTES_MAX: u64 = 4 << 20;

/// The two forms of a template within its environment.
const PLAIN: &str = "chat";
const MARKED: &str = "marked";

/// What `raise_exception` puts before its message, to be told from other errors.
const RAISED: &str = "\u{0}raised\u{0}";

/// The variables that hold the marks.
const OPEN: &str = "limn_generation_begins";
const CLOSE: &str = "limn_generation_ends";

/// A conversation in the form in which templates read it.
#[derive(Clone, Debug)]
pub struct Conversation {
    messages: Vec<Value>,
    tools: Value,
    /// What makes the marks of this conversation occur nowhere in it.
    nonce: String,
    now: Timestamp,
    variables: BTreeMap<String, Value>,
}

impl Conversation {
    /// A conversation of chat messages and function tools, and the second of the Unix epoch at
    /// which it was had: some templates write the date.
    #[must_use]
    pub fn new(messages: &[serde_json::Value], tools: &[serde_json::Value], now_s: i64) -> Self {
        let mut hasher = blake3::Hasher::new();
        for value in messages.iter().chain(tools) {
            // Writing into a hasher does not fail.
            let _ = serde_json::to_writer(&mut hasher, value);
        }
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from_serialize(tools) };
        Self {
            messages: messages.iter().map(read).collect(),
            tools,
            nonce: hasher.finalize().to_hex().to_string(),
            now: Timestamp::from_second(now_s).unwrap_or_default(),
            variables: BTreeMap::new(),
        }
    }

    /// The same with variables of the template's own, such as `enable_thinking`. What every template
    /// is given keeps its meaning.
    #[must_use]
    pub fn with_variables(self, variables: &serde_json::Map<String, serde_json::Value>) -> Self {
        let variable = |(name, value): (&String, _)| (name.clone(), Value::from_serialize(value));
        Self { variables: variables.iter().map(variable).collect(), ..self }
    }

    /// Its first messages.
    pub(crate) fn first(&self, count: usize) -> Self {
        let messages = self.messages.iter().take(count).cloned().collect();
        Self {
            messages,
            tools: self.tools.clone(),
            nonce: self.nonce.clone(),
            now: self.now,
            variables: self.variables.clone(),
        }
    }

    /// The conversation with another message in a place.
    pub(crate) fn replacing(&self, place: usize, message: &serde_json::Value) -> Self {
        let mut other = self.clone();
        if let Some(slot) = other.messages.get_mut(place) {
            *slot = read(message);
        }
        other
    }
}

/// A message as `transformers` hands it to templates: without what is `null`, and with reasoning
/// under the names that templates look for.
fn read(message: &serde_json::Value) -> Value {
    let Some(fields) = message.as_object() else { return Value::from_serialize(message) };
    let mut given: Vec<(&str, &serde_json::Value)> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let named = |name: &&str| fields.get(*name).filter(|value| !value.is_null());
    if let Some(reasoning) = REASONING.iter().find_map(named) {
        given.retain(|(name, _)| *name != "reasoning_content");
        given.push(("reasoning_content", reasoning));
        if !given.iter().any(|(name, _)| *name == "thinking") {
            given.push(("thinking", reasoning));
        }
    }
    given.into_iter().map(|(name, value)| (name, Value::from_serialize(value))).collect()
}

/// The names under which a message has its reasoning, the usual one first.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A text with what of it the template says the model wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The stretches within `{% generation %}`, in bytes, in order; those that touch are one.
    pub generated: Vec<Range<usize>>,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    specials: BTreeMap<String, String>,
    hash: String,
    has_marks: bool,
}

impl Template {
    /// Compiles a template. `specials` are the special tokens that it may name (`bos_token`, …).
    ///
    /// # Errors
    /// When it is no Jinja.
    pub fn new(source: &str, specials: BTreeMap<String, String>) -> Result<Self, ChatError> {
        Self::with_fuel(source, specials, FUEL)
    }

    fn with_fuel(
        source: &str,
        specials: BTreeMap<String, String>,
        fuel: u64,
    ) -> Result<Self, ChatError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(false);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(fuel));
        environment.set_formatter(|out, _, value| match value.as_str() {
            Some(text) => out.write_str(text).map_err(Error::from),
            None => out.write_str(&python::to_text(value)?).map_err(Error::from),
        });
        environment.add_filter("tojson", |value: Value, options: Kwargs| {
            python::to_json(&value, &options)
        });
        environment.add_filter("string", |value: Value| python::to_text(&value));
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
        });
        // Jinja reads every line end as this one.
        let lines = source.replace("\r\n", "\n").replace('\r', "\n");
        let (plain, marked) = (without_generation(&lines), with_marks(&lines));
        let has_marks = marked.is_some();
        environment.add_template_owned(PLAIN, plain).map_err(broken)?;
        if let Some(marked) = marked {
            environment.add_template_owned(MARKED, marked).map_err(broken)?;
        }
        let hash = blake3::hash(source.as_bytes()).to_hex().to_string();
        Ok(Self { environment, specials, hash, has_marks })
    }

    /// BLAKE3 of the source, hexadecimal: what was trained with this template is served with it.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether the template itself says what the model wrote.
    #[must_use]
    pub fn has_generation_tags(&self) -> bool {
        self.has_marks
    }

    /// The text of a conversation; with `prompt`, up to where the model is to go on.
    ///
    /// # Errors
    /// When the template fails or refuses.
    pub fn render(&self, conversation: &Conversation, prompt: bool) -> Result<String, ChatError> {
        self.run(PLAIN, conversation, prompt)
    }

    /// The text of a whole conversation, with the stretches that the template marks.
    ///
    /// # Errors
    /// When the template fails or refuses, or reads its own marks.
    pub fn render_marked(&self, conversation: &Conversation) -> Result<Rendered, ChatError> {
        let text = self.render(conversation, false)?;
        if !self.has_marks {
            return Ok(Rendered { text, generated: Vec::new() });
        }
        let marked = self.run(MARKED, conversation, false)?;
        let rendered = take_marks_out(&marked, &conversation.nonce);
        if rendered.text == text {
            return Ok(rendered);
        }
        let reason = "its text depends on its own generation tags".to_owned();
        Err(ChatError::Template { line: None, reason })
    }

    fn run(&self, form: &str, of: &Conversation, prompt: bool) -> Result<String, ChatError> {
        let own = of.variables.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut context: BTreeMap<&str, Value> = own.collect();
        for (name, token) in &self.specials {
            context.insert(name, Value::from(token.as_str()));
        }
        context.insert("messages", Value::from(of.messages.clone()));
        context.insert("tools", of.tools.clone());
        context.insert("documents", Value::from(()));
        context.insert("add_generation_prompt", Value::from(prompt));
        context.insert(OPEN, Value::from(mark('<', &of.nonce)));
        context.insert(CLOSE, Value::from(mark('>', &of.nonce)));
        let now = of.now;
        let date = move |form: String| {
            let date = now.to_zoned(TimeZone::UTC);
            jiff::fmt::strtime::format(&form, &date)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
        };
        context.insert("strftime_now", Value::from_function(date));
        let mut out = Bounded(Vec::new());
        let template = self.environment.get_template(form).map_err(broken)?;
        template.render_captured_to(context, &mut out).map_err(broken)?;
        String::from_utf8(out.0).map_err(|_| ChatError::Template {
            line: None,
            reason: "it wrote what is no text".to_owned(),
        })
    }
}

/// Text up to a limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(io::Error::other("it writes without end"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells an error of the template from a refusal by it.
fn broken(error: Error) -> ChatError {
    let detail = error.detail().unwrap_or_default();
    if let Some((_, message)) = detail.split_once(RAISED) {
        return ChatError::Refused(message.trim_end_matches('.').to_owned());
    }
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => "it does not come to an end".to_owned(),
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    };
    ChatError::Template { line: error.line(), reason }
}

fn mark(side: char, nonce: &str) -> String {
    format!("\u{10ffff}{nonce}{side}")
}

/// Takes the marks out of a text and says where they were.
fn take_marks_out(marked: &str, nonce: &str) -> Rendered {
    let beginning = format!("\u{10ffff}{nonce}");
    let mut rendered =
        Rendered { text: String::with_capacity(marked.len()), ..Rendered::default() };
    let (mut depth, mut opened, mut rest) = (0usize, 0, marked);
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), beginning.as_bytes()) {
        rendered.text.push_str(&rest[..at]);
        rest = &rest[at + beginning.len()..];
        let place = rendered.text.len();
        if let Some(after) = rest.strip_prefix('<') {
            opened = if depth == 0 { place } else { opened };
            (depth, rest) = (depth + 1, after);
        } else if let Some(after) = rest.strip_prefix('>') {
            (depth, rest) = (depth.saturating_sub(1), after);
            if depth == 0 {
                add_stretch(&mut rendered.generated, opened..place);
            }
        }
    }
    rendered.text.push_str(rest);
    rendered
}

fn add_stretch(stretches: &mut Vec<Range<usize>>, stretch: Range<usize>) {
    match stretches.last_mut() {
        Some(last) if last.end == stretch.start => last.end = stretch.end,
        _ if stretch.is_empty() => {}
        _ => stretches.push(stretch),
    }
}

/// A tag of a template: where it stands, the signs that trim the space around it, and its word
/// when it begins or ends a generation block.
struct Tag<'a> {
    at: Range<usize>,
    before: &'a str,
    after: &'a str,
    begins: bool,
}

/// The tags of generation blocks.
fn generation_tags(source: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut from = 0;
    while let Some(at) = source[from..].find("{%") {
        let start = from + at;
        let Some(length) = source[start..].find("%}") else { break };
        let inner = &source[start + 2..start + length];
        from = start + length + 2;
        let sign = |found: bool, sign: &'static str| if found { sign } else { "" };
        let before = match inner.as_bytes().first() {
            Some(b'-') => "-",
            first => sign(first == Some(&b'+'), "+"),
        };
        let after = match inner.as_bytes().last() {
            Some(b'-') => "-",
            last => sign(last == Some(&b'+'), "+"),
        };
        let word = inner.trim_matches(|sign: char| "-+".contains(sign) || sign.is_whitespace());
        if word == "generation" || word == "endgeneration" {
            let begins = word == "generation";
            tags.push(Tag { at: start..from, before, after, begins });
        }
    }
    tags
}

/// The template as if its generation blocks were not there.
fn without_generation(source: &str) -> String {
    rewrite(source, |tag, out| {
        let word = if tag.begins { "if true" } else { "endif" };
        out.push_str(&format!("{{%{} {word} {}%}}", tag.before, tag.after));
    })
}

/// The template with marks in the place of its generation tags; `None` when it has none. The mark
/// stands between two tags that trim outwards as the one did, so the space around stays the same.
fn with_marks(source: &str) -> Option<String> {
    if generation_tags(source).is_empty() {
        return None;
    }
    Some(rewrite(source, |tag, out| {
        let (before, after) = (tag.before, tag.after);
        out.push_str(&if tag.begins {
            format!("{{%{before} if true %}}{{{{ {OPEN} }}}}{{% if true {after}%}}")
        } else {
            format!("{{%{before} endif %}}{{{{ {CLOSE} }}}}{{% endif {after}%}}")
        });
    }))
}

fn rewrite(source: &str, mut tag_into: impl FnMut(&Tag<'_>, &mut String)) -> String {
    let mut out = String::with_capacity(source.len());
    let mut copied = 0;
    for tag in generation_tags(source) {
        out.push_str(&source[copied..tag.at.start]);
        tag_into(&tag, &mut out);
        copied = tag.at.end;
    }
    out.push_str(&source[copied..]);
    out
}
