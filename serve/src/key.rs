//! API keys.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The digests of the keys that are accepted. Comparing digests in constant time tells neither a key nor its length.
#[derive(Clone, Default)]
pub(crate) struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    pub(crate) fn new(keys: &[String]) -> ApiKeys {
        ApiKeys(keys.iter().map(|key| digest(key)).collect())
    }

    /// Whether a key must be given.
    pub(crate) fn are_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a key is one of them. All of them are compared.
    pub(crate) fn accept(&self, key: &str) -> bool {
        let given = digest(key);
        let found = self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&given));
        found.into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_a_whole() {
        let keys = ApiKeys::new(&["secret".into(), "other".into()]);
        assert!(keys.are_required() && keys.accept("secret") && keys.accept("other"));
        for wrong in ["", "secre", "secret ", "Secret", "secretother"] {
            assert!(!keys.accept(wrong), "{wrong:?}");
        }
        assert!(!ApiKeys::default().are_required());
    }
}
