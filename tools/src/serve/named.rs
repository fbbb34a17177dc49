//! Models with the names that requests use.

use std::path::{Path, PathBuf};

use lacuna::hub::HubModel;

/// A model, and the name that requests use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedModel {
    pub(super) name: String,
    pub(super) source: Source,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A directory or a packed file.
    Path(PathBuf),
    /// The hub.
    Hub(HubModel),
}

impl NamedModel {
    /// A model of `--model`: `PATH`, or `NAME=PATH`. Without a name, the name is that of the folder, or of the file without its ending.
    pub(super) fn path(text: &str) -> Result<NamedModel, String> {
        let (name, path) = split(text);
        let path = PathBuf::from(path);
        let name = name.map(str::to_owned).or_else(|| name_of(&path));
        match name.filter(|name| is_name(name)) {
            Some(name) if !path.as_os_str().is_empty() => Ok(NamedModel { name, source: Source::Path(path) }),
            _ => Err("expected PATH or NAME=PATH".into()),
        }
    }

    /// A model of `--from-hub`: `MODEL`, or `NAME=MODEL`. Without a name, the name is the last part of the model's.
    pub(super) fn hub(text: &str) -> Result<NamedModel, String> {
        let (name, model) = split(text);
        let model: HubModel = model.parse().map_err(|error| format!("{error}"))?;
        let written = model.to_string();
        let short = written.split('@').next().and_then(|name| name.rsplit('/').next());
        match name.or(short).filter(|name| is_name(name)) {
            Some(name) => Ok(NamedModel { name: name.to_owned(), source: Source::Hub(model.clone()) }),
            None => Err("expected MODEL or NAME=MODEL".into()),
        }
    }
}

/// The name before the first `=`, if there is one.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, rest)) if !name.contains(['/', '\\']) => (Some(name), rest),
        _ => (None, text),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
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
        let of = |text: &str| match NamedModel::path(text)? {
            NamedModel { name, source: Source::Path(path) } => Ok((name, path)),
            other => Err(format!("{other:?}")),
        };
        assert_eq!(of("a/minilm.lacuna"), Ok(("minilm".into(), "a/minilm.lacuna".into())));
        assert_eq!(of("small=a/minilm.lacuna"), Ok(("small".into(), "a/minilm.lacuna".into())));
        assert_eq!(of("a/b=c"), Ok(("b=c".into(), "a/b=c".into())));
        for wrong in ["", "=a", "a=", "/"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_model_of_the_hub_has_the_name_that_is_given_or_its_last_part() {
        let of = |text: &str| NamedModel::hub(text).map(|model| model.name);
        assert_eq!(of("sentence-transformers/all-MiniLM-L6-v2"), Ok("all-MiniLM-L6-v2".into()));
        assert_eq!(of("a/b@main"), Ok("b".into()));
        assert_eq!(of("small=a/b@main"), Ok("small".into()));
        assert!(of("").is_err() && of("=a/b").is_err());
    }
}
