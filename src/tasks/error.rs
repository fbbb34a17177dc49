//! Lines that are not the record that a task reads.

/// Why a line is not the JSON record of a task. Each variant that is about a field names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The line is not a JSON object.
    #[error("{reason}")]
    NotAnObject {
        /// What the parser says, with the column where the line is no JSON.
        reason: String,
    },
    /// A field that the record needs is not there.
    #[error("{reason}")]
    MissingField {
        /// Its name.
        field: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A field that is there twice.
    #[error("{reason}")]
    RepeatedField {
        /// Its name.
        field: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A field with a value of another type.
    #[error("{reason}")]
    FieldType {
        /// Its name.
        field: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A field that the output has, so that the input cannot have it.
    #[error("a field {field:?}, which is the result's")]
    ReservedField {
        /// Its name.
        field: &'static str,
    },
}

impl RecordError {
    /// The field that is wrong; `None` where the line is not an object at all.
    pub fn field(&self) -> Option<&str> {
        match self {
            RecordError::NotAnObject { .. } => None,
            RecordError::MissingField { field, .. }
            | RecordError::RepeatedField { field, .. }
            | RecordError::FieldType { field, .. }
            | RecordError::ReservedField { field } => Some(field),
        }
    }
}
