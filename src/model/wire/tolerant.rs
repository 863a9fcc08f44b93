//! The second reading of a line, when the fast one has failed.
//!
//! Every value is looked at as raw JSON first, and taken for what it is: strings as bytes, so that
//! half characters get through, numbers of any size, lists and objects only as deep as there is
//! something to find in them. What should hold something and cannot be read is left out, and the
//! answer says so. Of a key that stands there twice the last value counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::responses::Event;
use super::{Arguments, CallDelta, Choice, Chunk, Delta, FunctionDelta, Loose, Piece};

/// Reads a line. The second answer is whether all that matters in it was understood; `None` when
/// the line is no JSON object.
pub(crate) fn read(line: &str) -> Option<(Chunk<'_>, bool)> {
    let json: &RawValue = serde_json::from_str(line).ok()?;
    let mut reader = Reader { missed: false };
    let chunk = is_object(json).then(|| reader.chunk(json))?;
    Some((chunk, !reader.missed))
}

/// Reads a line of Responses, likewise.
pub(crate) fn read_event(line: &str) -> Option<(Event<'_>, bool)> {
    let json: &RawValue = serde_json::from_str(line).ok()?;
    let mut reader = Reader { missed: false };
    let event = is_object(json).then(|| reader.event(json))?;
    Some((event, !reader.missed))
}

struct Reader {
    /// Something could not be read.
    missed: bool,
}

impl Reader {
    fn chunk<'a>(&mut self, json: &'a RawValue) -> Chunk<'a> {
        let mut chunk = Chunk::default();
        self.each_field(json, &mut |reader, key, value| match key {
            b"id" => chunk.id = name(value),
            b"object" => chunk.object = name(value),
            b"model" => chunk.model = name(value),
            b"choices" => chunk.choices = reader.list(value, Self::choice),
            b"usage" => chunk.usage = present(value),
            b"prompt_token_ids" => chunk.prompt_token_ids = present(value),
            b"timings" => chunk.timings = present(value),
            b"error" => chunk.error = present(value),
            _ => {}
        });
        chunk
    }

    fn event<'a>(&mut self, json: &'a RawValue) -> Event<'a> {
        let mut event = Event::default();
        self.each_field(json, &mut |reader, key, value| match key {
            b"type" => event.kind = name(value),
            b"object" => event.object = name(value),
            b"output_index" => event.output_index = index(value),
            b"summary_index" => event.summary_index = index(value),
            b"item_id" => event.item_id = name(value),
            // Some events have an object here, which is nothing that is said.
            b"delta" if is_object(value) => {}
            b"delta" => event.delta = reader.spoken(value),
            b"arguments" => event.arguments = Arguments(arguments(value)),
            b"input" => event.input = reader.spoken(value),
            b"item" => event.item = present(value),
            b"response" => event.response = present(value),
            b"error" => event.error = present(value),
            _ => {}
        });
        event
    }

    fn choice<'a>(&mut self, json: &'a RawValue) -> Choice<'a> {
        let mut choice = Choice::default();
        self.each_field(json, &mut |reader, key, value| match key {
            b"index" => choice.index = index(value),
            b"delta" => choice.delta = reader.object(value, Self::delta),
            b"message" => choice.message = reader.object(value, Self::delta),
            b"finish_reason" => choice.finish_reason = name(value),
            b"token_ids" => choice.token_ids = present(value),
            b"error" => choice.error = present(value),
            _ => {}
        });
        choice
    }

    fn delta<'a>(&mut self, json: &'a RawValue) -> Delta<'a> {
        let mut delta = Delta::default();
        self.each_field(json, &mut |reader, key, value| match key {
            b"reasoning_content" => delta.reasoning_content = reader.spoken(value),
            b"reasoning" => delta.reasoning = reader.spoken(value),
            b"content" => delta.content = reader.spoken(value),
            b"refusal" => delta.refusal = reader.spoken(value),
            b"reasoning_details" => delta.reasoning_details = present(value),
            b"tool_calls" => delta.tool_calls = reader.list(value, Self::call),
            _ => {}
        });
        delta
    }

    fn call<'a>(&mut self, json: &'a RawValue) -> CallDelta<'a> {
        let mut call = CallDelta::default();
        self.each_field(json, &mut |reader, key, value| match key {
            b"index" => call.index = index(value),
            b"id" => call.id = name(value),
            b"function" => call.function = reader.object(value, Self::function),
            b"extra_content" => call.extra_content = present(value),
            _ => {}
        });
        call
    }

    fn function<'a>(&mut self, json: &'a RawValue) -> FunctionDelta<'a> {
        let mut function = FunctionDelta::default();
        self.each_field(json, &mut |_, key, value| match key {
            b"name" => function.name = name(value),
            b"arguments" => function.arguments = Arguments(arguments(value)),
            _ => {}
        });
        function
    }

    /// Text: a string, a number, or a list of parts, of which those that are text are read.
    fn spoken<'a>(&mut self, json: &'a RawValue) -> Piece<'a> {
        if let Some(text) = string(json) {
            return Piece::of_wtf8(text);
        }
        match first(json) {
            b'n' => Piece::default(),
            b'-' | b'0'..=b'9' => Piece::Whole(Cow::Borrowed(json.get())),
            b'[' => {
                let mut whole = Vec::new();
                self.each_element(json, &mut |reader, part| reader.part(part, &mut whole));
                Piece::of_wtf8(Cow::Owned(whole))
            }
            _ => {
                self.missed = true;
                Piece::default()
            }
        }
    }

    /// A part of a list of parts.
    fn part(&mut self, json: &RawValue, whole: &mut Vec<u8>) {
        if let Some(text) = string(json) {
            whole.extend_from_slice(&text);
            return;
        }
        let mut kind = Loose::default();
        let mut text = None;
        if is_object(json) {
            self.each_field(json, &mut |_, key, value| match key {
                b"type" => kind = name(value),
                b"text" => text = string(value),
                _ => {}
            });
        }
        match (kind.text(), text) {
            (None | Some("text" | "output_text"), Some(text)) => whole.extend_from_slice(&text),
            _ => self.missed = true,
        }
    }

    fn object<'a, T>(
        &mut self,
        json: &'a RawValue,
        read: fn(&mut Self, &'a RawValue) -> T,
    ) -> Option<T> {
        if is_object(json) {
            return Some(read(self, json));
        }
        self.missed |= present(json).is_some();
        None
    }

    fn list<'a, T>(
        &mut self,
        json: &'a RawValue,
        read: fn(&mut Self, &'a RawValue) -> T,
    ) -> Option<Vec<T>> {
        if first(json) != b'[' {
            self.missed |= present(json).is_some();
            return None;
        }
        let mut all = Vec::new();
        self.each_element(json, &mut |reader, element| all.extend(reader.object(element, read)));
        Some(all)
    }

    fn each_field<'a>(
        &mut self,
        json: &'a RawValue,
        take: &mut dyn FnMut(&mut Self, &[u8], &'a RawValue),
    ) {
        let mut deserializer = serde_json::Deserializer::from_str(json.get());
        let fields = Fields(|key: &[u8], value| take(self, key, value));
        let read = deserializer.deserialize_map(fields);
        self.missed |= read.is_err();
    }

    fn each_element<'a>(
        &mut self,
        json: &'a RawValue,
        take: &mut dyn FnMut(&mut Self, &'a RawValue),
    ) {
        let mut deserializer = serde_json::Deserializer::from_str(json.get());
        let elements = Elements(|element| take(self, element));
        let read = deserializer.deserialize_seq(elements);
        self.missed |= read.is_err();
    }
}

fn first(json: &RawValue) -> u8 {
    json.get().as_bytes().first().copied().unwrap_or(b'n')
}

fn is_object(json: &RawValue) -> bool {
    first(json) == b'{'
}

fn present(json: &RawValue) -> Option<&RawValue> {
    (first(json) != b'n').then_some(json)
}

fn index(json: &RawValue) -> Option<u32> {
    json.get().parse().ok()
}

/// A string's content, in WTF-8.
fn string(json: &RawValue) -> Option<Cow<'_, [u8]>> {
    // A list would be taken for bytes.
    if first(json) != b'"' {
        return None;
    }
    Bytes.deserialize(&mut serde_json::Deserializer::from_str(json.get())).ok()
}

/// A short string that comes in one piece.
fn name(json: &RawValue) -> Loose<'_> {
    Loose(match first(json) {
        b'"' => string(json).map(|text| Piece::of_wtf8(text).into_text()),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json.get())),
        _ => None,
    })
}

fn arguments(json: &RawValue) -> Piece<'_> {
    match string(json) {
        Some(text) => Piece::of_wtf8(text),
        None => present(json)
            .map_or_else(Piece::default, |json| Piece::Whole(Cow::Borrowed(json.get()))),
    }
}

/// A string as bytes.
struct Bytes;

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Bytes {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_owned()))
    }
}

struct Fields<F>(F);

impl<'de, F: FnMut(&[u8], &'de RawValue)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Bytes)? {
            (self.0)(&key, map.next_value()?);
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}
