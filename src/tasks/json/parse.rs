//! From a line to a record, and from a failure to the field that caused it.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;

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
    serde_json::from_str(line).map_err(|error| explain(line, fields, error.to_string()))
}

/// Finds the field that made parsing fail: the first wrong one in the order of the line, as the parser sees them.
fn explain(line: &str, fields: &[Field], reason: String) -> RecordError {
    let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs>(line) else {
        return RecordError::NotAnObject { reason };
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &pairs {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            // A record that lets other fields through never fails on one of them.
            if reason.starts_with("unknown field") {
                return RecordError::UnknownField { field: name.clone(), reason };
            }
            continue;
        };
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
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
