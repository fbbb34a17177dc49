//! Fields of a record that a task does not know.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// Fields of a line of JSON that a task does not know, in their order and with their values as they were written: `1e3` stays `1e3`.
///
/// ```
/// use lacuna::tasks::{Record, TextRecord};
///
/// let record = TextRecord::parse(r#"{"id": 1e3, "text": "Ada met Charles."}"#).unwrap();
/// assert_eq!(record.other.names().collect::<Vec<_>>(), ["id"]);
/// assert_eq!(record.other.get("id"), Some("1e3"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct OtherFields(Vec<(String, Box<RawValue>)>);

impl OtherFields {
    pub(super) fn new(fields: Vec<(String, Box<RawValue>)>) -> OtherFields {
        OtherFields(fields)
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The JSON of the first field of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.get())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Of names and values in their spelling.
impl PartialEq for OtherFields {
    fn eq(&self, other: &OtherFields) -> bool {
        let fields = |all: &OtherFields| {
            all.0.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect::<Vec<_>>()
        };
        fields(self) == fields(other)
    }
}

impl Serialize for OtherFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
