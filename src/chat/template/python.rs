//! Values as Python writes them: chat templates are written for it, and a space more in a tool's
//! schema is another prompt.
//!
//! [`to_json`] is `json.dumps` as `transformers` gives it to templates, [`to_text`] is `str`.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Nothing that is printed nests deeper.
const DEPTH_MAX: usize = 128;

/// How JSON is laid out.
struct Layout {
    indent: Option<usize>,
    between_items: String,
    after_key: String,
    sort_keys: bool,
    ascii: bool,
}

/// The filter `tojson`.
pub(super) fn to_json(value: &Value, options: &Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get::<Option<usize>>("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let flag = |name: &str| options.get::<Option<bool>>(name).map(|flag| flag.unwrap_or(false));
    let (sort_keys, ascii) = (flag("sort_keys")?, flag("ensure_ascii")?);
    options.assert_all_used()?;
    let (between_items, after_key) = match separators.as_deref() {
        Some([items, keys]) => (items.clone(), keys.clone()),
        Some(_) => return Err(invalid("separators of tojson are two")),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let layout = Layout { indent, between_items, after_key, sort_keys, ascii };
    let mut out = String::new();
    layout.write(&mut out, value, 0)?;
    Ok(out)
}

impl Layout {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(invalid("a value nests too deep"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => match float(value) {
                Some(number) if number.is_nan() => out.push_str("NaN"),
                Some(number) if number.is_infinite() => {
                    out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
                }
                Some(number) => push_float(out, number),
                None => out.push_str(&value.to_string()),
            },
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Map => self.map(out, value, depth)?,
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, ('[', ']'), depth, items.len(), &mut |out, place| {
                    self.write(out, &items[place], depth + 1)
                })?;
            }
            other => return Err(invalid(&format!("{other} has no JSON"))),
        }
        Ok(())
    }

    fn map(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        self.list(out, ('{', '}'), depth, keys.len(), &mut |out, place| {
            let key = &keys[place];
            match key.as_str() {
                Some(text) => self.string(out, text),
                None => {
                    let mut text = String::new();
                    self.write(&mut text, key, depth + 1)?;
                    self.string(out, &text);
                }
            }
            out.push_str(&self.after_key);
            self.write(out, &value.get_item(key)?, depth + 1)
        })
    }

    fn list(
        &self,
        out: &mut String,
        (open, close): (char, char),
        depth: usize,
        count: usize,
        item: &mut dyn FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for place in 0..count {
            if place > 0 {
                out.push_str(&self.between_items);
            }
            self.line(out, depth + 1);
            item(out, place)?;
        }
        if count > 0 {
            self.line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.saturating_mul(depth).min(1 << 16)));
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                low if low < ' ' => escape(out, low),
                high if self.ascii && !(' '..='~').contains(&high) => escape(out, high),
                plain => out.push(plain),
            }
        }
        out.push('"');
    }
}

fn escape(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

/// A value as `{{ … }}` prints it.
pub(super) fn to_text(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        _ => repr(&mut out, value, 0)?,
    }
    Ok(out)
}

/// Python's `repr`.
fn repr(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(invalid("a value nests too deep"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => match float(value) {
            Some(number) if number.is_nan() => out.push_str("nan"),
            Some(number) if number.is_infinite() => {
                out.push_str(if number > 0.0 { "inf" } else { "-inf" });
            }
            Some(number) => push_float(out, number),
            None => out.push_str(&value.to_string()),
        },
        ValueKind::String => repr_string(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (place, item) in value.try_iter()?.enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                repr(out, &item, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (place, key) in value.try_iter()?.enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                repr(out, &key, depth + 1)?;
                out.push_str(": ");
                repr(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

fn repr_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            same if same == quote => {
                out.push('\\');
                out.push(same);
            }
            low if low < ' ' || ('\u{7f}'..='\u{a0}').contains(&low) || low == '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(low)));
            }
            plain => out.push(plain),
        }
    }
    out.push(quote);
}

/// The number, when it is a floating-point one.
fn float(value: &Value) -> Option<f64> {
    if value.is_integer() { None } else { f64::try_from(value.clone()).ok() }
}

/// The shortest spelling that reads back, in the form that Python gives it.
fn push_float(out: &mut String, number: f64) {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{digits}e{sign}{:02}", exponent.abs()));
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}
