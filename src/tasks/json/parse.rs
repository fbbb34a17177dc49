//! From a line to a record, and from a failure to the field that caused it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::other::OtherFields;
use crate::tasks::error::RecordError;

/// A field of a record, as far as errors must know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// A string.
    Text,
    /// A string, or null, or the field is not there.
    OptionalText,
    /// An array of strings.
    Texts,
    /// Whatever it holds, if it is there.
    Anything,
}

impl Field {
    pub(super) const fn text(name: &'static str) -> Field {
        Field { name, kind: FieldKind::Text }
    }

    pub(super) const fn optional_text(name: &'static str) -> Field {
        Field { name, kind: FieldKind::OptionalText }
    }

    pub(super) const fn texts(name: &'static str) -> Field {
        Field { name, kind: FieldKind::Texts }
    }

    pub(super) const fn anything(name: &'static str) -> Field {
        Field { name, kind: FieldKind::Anything }
    }

    fn is_required(self) -> bool {
        matches!(self.kind, FieldKind::Text | FieldKind::Texts)
    }

    fn takes(self, value: &Value) -> bool {
        match self.kind {
            FieldKind::Text => value.is_string(),
            FieldKind::OptionalText => value.is_string() || value.is_null(),
            FieldKind::Texts => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
            FieldKind::Anything => true,
        }
    }
}

/// Parses a line; `fields` are those of the record.
pub(super) fn parse<R: DeserializeOwned>(line: &str, fields: &[Field]) -> Result<R, RecordError> {
    // serde takes an array for a struct, too.
    if line.trim_start().starts_with('[') {
        return Err(RecordError::NotAnObject { reason: "found an array, expected a JSON object".into() });
    }
    serde_json::from_str(line).map_err(|error| explain(line, fields, said(&error)))
}

/// Parses a line, and keeps the fields that are not among `fields`. The field `result` is the row's.
pub(super) fn parse_with_others<R: DeserializeOwned>(
    line: &str,
    fields: &[Field],
    result: &'static str,
) -> Result<(R, OtherFields), RecordError> {
    let known = parse(line, fields)?;
    let Pairs(mut pairs) = serde_json::from_str::<Pairs<Box<RawValue>>>(line)
        .map_err(|error| RecordError::NotAnObject { reason: said(&error) })?;
    if pairs.iter().any(|(name, _)| name == result) {
        return Err(RecordError::ReservedField { field: result });
    }
    pairs.retain(|(name, _)| fields.iter().all(|field| field.name != name));
    Ok((known, OtherFields::new(pairs)))
}

/// What the parser says: with the column where the line is no JSON, and without the line, which is always the first.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match (text.strip_suffix(&place), error.is_data()) {
        (Some(reason), true) => reason.to_owned(),
        (Some(reason), false) => format!("{reason} at column {}", error.column()),
        (None, _) => text,
    }
}

/// Finds the field that made parsing fail: the first wrong one in the order of the line, as the parser sees them.
fn explain(line: &str, fields: &[Field], reason: String) -> RecordError {
    let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs<Value>>(line) else {
        return RecordError::NotAnObject { reason };
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &pairs {
        let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
        if seen.contains(&field.name) {
            return RecordError::RepeatedField { field: field.name, reason };
        }
        if !field.takes(value) {
            return RecordError::FieldType { field: field.name, reason };
        }
        seen.push(field.name);
    }
    let missing = fields.iter().find(|field| field.is_required() && !seen.contains(&field.name));
    match missing {
        Some(field) => RecordError::MissingField { field: field.name, reason },
        None => RecordError::NotAnObject { reason },
    }
}

/// The fields of an object in their order, repeated ones too.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<V>, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}
