//! One drawing.

use super::look::Drawn;

/// A drawing with words around it.
pub(in crate::report) struct Chart {
    pub(in crate::report) title: String,
    /// How to read it, and what is not in it.
    pub(in crate::report) caption: String,
    /// Or why it could not be drawn.
    pub(in crate::report) svg: Result<String, String>,
}

impl Chart {
    pub(super) fn new(title: String, caption: String, svg: Drawn<String>) -> Chart {
        Chart { title, caption, svg: svg.map_err(|error| error.to_string()) }
    }
}
