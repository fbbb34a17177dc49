//! What the name of an output file says.

use std::path::Path;

use lacuna_console::error::{Error, Result};

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    JsonLines,
    Npy,
    Parquet,
}

impl OutputKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            OutputKind::JsonLines => "JSON lines",
            OutputKind::Npy => "a NumPy array",
            OutputKind::Parquet => "Parquet",
        }
    }
}

/// What the name says; `None` for names that say nothing.
///
/// # Errors
/// [`Error::Argument`] for the ending of a format that is not written.
pub(crate) fn output_kind(path: Option<&Path>) -> Result<Option<OutputKind>> {
    let Some(ending) = path.and_then(Path::extension) else { return Ok(None) };
    let ending = ending.to_string_lossy().to_ascii_lowercase();
    match &*ending {
        "jsonl" | "ndjson" | "json" => Ok(Some(OutputKind::JsonLines)),
        "npy" => Ok(Some(OutputKind::Npy)),
        "parquet" => Ok(Some(OutputKind::Parquet)),
        "csv" | "tsv" | "npz" | "gz" | "zst" | "bz2" | "xz" | "zip" | "pt" | "bin" | "safetensors" | "arrow"
        | "feather" | "h5" | "pkl" | "xlsx" => Err(Error::Argument {
            option: "--output",
            found: format!("a file whose name ends in .{ending}"),
            expected: "a name that ends in .jsonl, or for embeddings .npy or .parquet".into(),
        }),
        _ => Ok(None),
    }
}

/// Refuses names of other formats than JSON lines.
pub(super) fn json_lines_only(path: Option<&Path>) -> Result<()> {
    match output_kind(path)? {
        None | Some(OutputKind::JsonLines) => Ok(()),
        Some(other) => Err(Error::Argument {
            option: "--output",
            found: format!("the name of {}", other.name()),
            expected: "a name that ends in .jsonl: the results are JSON lines".into(),
        }),
    }
}
