//! Models with the names that requests use.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A model of `--model`: `PATH`, or `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedModel {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl FromStr for NamedModel {
    type Err = String;

    /// Without a name, the name is that of the folder, or of the file without its ending.
    fn from_str(text: &str) -> Result<NamedModel, String> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) if !name.contains(['/', '\\']) => (Some(name), path),
            _ => (None, text),
        };
        let path = PathBuf::from(path);
        let name = name.map(str::to_owned).or_else(|| name_of(&path));
        match name.filter(|name| !name.is_empty() && !name.contains('/')) {
            Some(name) if !path.as_os_str().is_empty() => Ok(NamedModel { name, path }),
            _ => Err("expected PATH or NAME=PATH".into()),
        }
    }
}

fn name_of(path: &Path) -> Option<String> {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_name_that_is_given_or_that_of_its_path() {
        let of = |text: &str| text.parse::<NamedModel>().map(|model| (model.name, model.path));
        assert_eq!(of("a/minilm.lacuna"), Ok(("minilm".into(), "a/minilm.lacuna".into())));
        assert_eq!(of("small=a/minilm.lacuna"), Ok(("small".into(), "a/minilm.lacuna".into())));
        assert_eq!(of("a/b=c"), Ok(("b=c".into(), "a/b=c".into())));
        for wrong in ["", "=a", "a=", "/"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
