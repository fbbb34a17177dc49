//! The hub's variables, with the meaning and the precedence that its own tools give them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The most bytes of a file with a token.
const TOKEN_LIMIT: u64 = 64 << 10;

/// What the variables say.
pub(super) struct HubVariables {
    /// `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else the folder `hub` of the home.
    pub(super) cache: Option<PathBuf>,
    /// `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the text of the file `HF_TOKEN_PATH`, else that of the file `token` of the home.
    pub(super) token: Option<String>,
    /// `HF_ENDPOINT`.
    pub(super) endpoint: Option<String>,
    /// `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`.
    pub(super) offline: bool,
}

impl HubVariables {
    /// Of this process.
    pub(super) fn read() -> HubVariables {
        HubVariables::of(|name| std::env::var_os(name), std::env::home_dir().as_deref())
    }

    /// The hub's home is `HF_HOME`, else the folder `huggingface` of `XDG_CACHE_HOME`, else `~/.cache/huggingface`. Empty variables count as
    /// absent.
    fn of(variable: impl Fn(&str) -> Option<OsString>, user: Option<&Path>) -> HubVariables {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let folder = |name| variable(name).map(|value| expanded(PathBuf::from(value), user));
        let user = user.filter(|user| !user.as_os_str().is_empty());
        let home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| user.map(|user| user.join(".cache/huggingface")));
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
        let token_file = folder("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let is_on = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true");
        HubVariables {
            cache: cache.or_else(|| home.map(|home| home.join("hub"))),
            token: text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| token_of(&token_file?)),
            endpoint: text("HF_ENDPOINT"),
            offline: text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE")).is_some_and(is_on),
        }
    }
}

/// A path whose first part may be `~`.
fn expanded(path: PathBuf, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), user) {
        (Ok(rest), Some(user)) => user.join(rest),
        _ => path,
    }
}

/// The token in a file, if there is one that can be read.
fn token_of(file: &Path) -> Option<String> {
    let bytes = lacuna_files::read(file, TOKEN_LIMIT).ok()?;
    let token = lacuna_files::utf8(&bytes).ok()?.trim();
    (!token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&str, &str)]) -> HubVariables {
        let variable =
            |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value));
        HubVariables::of(variable, Some(Path::new("/home/a")))
    }

    #[test]
    fn the_cache_is_where_the_hubs_tools_have_it() {
        let all = [
            ("HF_HUB_CACHE", "/1", "/1"),
            ("HUGGINGFACE_HUB_CACHE", "/2", "/2"),
            ("HF_HOME", "/3", "/3/hub"),
            ("XDG_CACHE_HOME", "/4", "/4/huggingface/hub"),
        ];
        // Each goes before all that follow.
        for (first, (name, _, expected)) in all.iter().enumerate() {
            let set: Vec<(&str, &str)> = all[first..].iter().map(|(name, value, _)| (*name, *value)).collect();
            assert_eq!(variables(&set).cache.as_deref(), Some(Path::new(expected)), "{name}");
            // An empty one counts as absent.
            let set: Vec<(&str, &str)> = [(*name, "")].into_iter().chain(set[1..].iter().copied()).collect();
            let next = all.get(first + 1).map_or("/home/a/.cache/huggingface/hub", |(_, _, expected)| expected);
            assert_eq!(variables(&set).cache.as_deref(), Some(Path::new(next)), "empty {name}");
        }
        assert_eq!(variables(&[("HF_HOME", "~/x")]).cache.as_deref(), Some(Path::new("/home/a/x/hub")));
        assert_eq!(HubVariables::of(|_| None, None).cache, None);
    }

    #[test]
    fn tokens_and_offline() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        assert_eq!(variables(&[("HF_HOME", home)]).token, None);
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(variables(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        // Wherever the cache is.
        assert_eq!(variables(&[("HF_HOME", home), ("HF_HUB_CACHE", "/1")]).token.as_deref(), Some("hf_file"));
        let both = [("HF_HOME", home), ("HUGGING_FACE_HUB_TOKEN", "hf_old"), ("HF_TOKEN", "hf_new")];
        assert_eq!(variables(&both).token.as_deref(), Some("hf_new"));
        assert_eq!(variables(&both[..2]).token.as_deref(), Some("hf_old"));
        for (value, on) in [("1", true), ("ON", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(variables(&[("HF_HUB_OFFLINE", value)]).offline, on, "{value}");
            assert_eq!(variables(&[("TRANSFORMERS_OFFLINE", value)]).offline, on, "{value}");
        }
        assert!(!variables(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
    }
}
