//! The engines, one file or folder each. Everything foreign is called here and nowhere else.

pub(crate) mod onednn;
