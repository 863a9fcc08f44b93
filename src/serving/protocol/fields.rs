//! The fields of a request, each read when it is wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::ApiError;

/// The fields of an object, by their names; those that nobody asks for are not kept.
#[derive(Debug)]
pub(crate) struct Fields<'a>(BTreeMap<&'static str, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads an object, of which these fields are kept.
    pub(crate) fn read(body: &'a [u8], names: &[&'static str]) -> Result<Self, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = Known(names).deserialize(&mut json).and_then(|fields| {
            json.end()?;
            Ok(fields)
        });
        fields.map(Self).map_err(|error| {
            ApiError::bad(format!(
                "The body cannot be read: {error}. Send one JSON object, in UTF-8."
            ))
        })
    }

    /// A field, unless it is absent or null.
    pub(crate) fn take<T: Deserialize<'a>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ApiError> {
        match self.0.get(name) {
            Some(raw) => value(name, raw),
            None => Ok(None),
        }
    }

    /// A number that has to lie between two others.
    pub(crate) fn number(
        &self,
        name: &'static str,
        (min, max): (f32, f32),
    ) -> Result<Option<f32>, ApiError> {
        let number: Option<f32> = self.take(name)?;
        match number {
            Some(number) if !(min..=max).contains(&number) => Err(ApiError::field(
                name,
                format!("`{name}` is {number}. Give a number from {min} to {max}."),
            )),
            number => Ok(number),
        }
    }

    /// Refuses a field that says anything but what these JSON texts say.
    pub(crate) fn refuse_unless(
        &self,
        name: &'static str,
        harmless: &[&str],
        why: &str,
    ) -> Result<(), ApiError> {
        let Some(said) = self.take::<Value>(name)? else { return Ok(()) };
        let says = |text: &&str| {
            serde_json::from_str(text).is_ok_and(|harmless: Value| match harmless.as_f64() {
                // However the number is written.
                Some(number) => said.as_f64() == Some(number),
                None => said == harmless,
            })
        };
        if harmless.iter().any(says) {
            return Ok(());
        }
        Err(ApiError::unsupported(name, format!("`{name}` is not supported: {why}")))
    }
}

/// Reads the value of a field; null is none.
pub(crate) fn value<'a, T: Deserialize<'a>>(
    name: &str,
    raw: &'a RawValue,
) -> Result<Option<T>, ApiError> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let error = error.to_string();
        // The place is one within the field, of which the client knows nothing.
        let reason = error.split(" at line ").next().unwrap_or_default();
        ApiError::field(name, format!("`{name}` is wrong: {reason}. Correct it."))
    })
}

/// A struct that is written as an object. Left to itself it could be read from an array as well,
/// its fields in their order, and whoever looks for their names afterwards finds none.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'a, T: Deserialize<'a>> Deserialize<'a> for Object<T> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OfObject(PhantomData)).map(Self)
    }
}

struct OfObject<T>(PhantomData<T>);

impl<'a, T: Deserialize<'a>> Visitor<'a> for OfObject<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

struct Known<'n>(&'n [&'static str]);

impl<'a> DeserializeSeed<'a> for Known<'_> {
    type Value = BTreeMap<&'static str, &'a RawValue>;

    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Known<'_> {
    type Value = BTreeMap<&'static str, &'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(Key(name)) = map.next_key()? {
            match self.0.iter().find(|known| **known == name) {
                Some(known) => drop(fields.insert(*known, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// A name, borrowed where it is spelled without escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
