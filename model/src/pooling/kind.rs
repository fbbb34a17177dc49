//! Which module a Python path names.

/// A module of sentence-transformers that is run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    /// The encoder.
    Transformer,
    /// From tokens to one vector.
    Pooling,
    /// A linear layer.
    Dense,
    /// A layer normalisation.
    LayerNorm,
    /// Division by the norm.
    Normalize,
    /// Does nothing when a model is used.
    Dropout,
}

/// What is run, for errors.
pub(super) const SUPPORTED: &str =
    "Transformer, Pooling, Dense, LayerNorm, Normalize and Dropout of sentence_transformers";

impl ModuleKind {
    /// The module of a path such as `sentence_transformers.models.Pooling`, in all versions of the library:
    ///
    /// ```text
    /// sentence_transformers.models.Pooling                                      until 5.3; the encoder may be called BERT, RoBERTa, ...
    /// sentence_transformers.models.Pooling.Pooling                              with the name of the file
    /// sentence_transformers.sentence_transformer.modules.pooling.Pooling        since 5.4
    /// sentence_transformers.base.modules.normalize.Normalize                    since 5.4
    /// ```
    ///
    /// A class of another library is another module, whatever it is called.
    pub(super) fn of(path: &str) -> Option<ModuleKind> {
        let rest = path.strip_prefix("sentence_transformers.")?;
        let (folders, class) = rest.rsplit_once('.')?;
        let is_known = folders.split('.').any(|folder| matches!(folder, "models" | "modules"));
        match class {
            _ if !is_known => None,
            "Transformer" | "BERT" | "RoBERTa" | "DistilBERT" | "CamemBERT" | "XLMRoBERTa" => {
                Some(ModuleKind::Transformer)
            }
            "Pooling" => Some(ModuleKind::Pooling),
            "Dense" => Some(ModuleKind::Dense),
            "LayerNorm" => Some(ModuleKind::LayerNorm),
            "Normalize" => Some(ModuleKind::Normalize),
            "Dropout" => Some(ModuleKind::Dropout),
            _ => None,
        }
    }

    /// The module of a folder such as `1_Pooling`, with its number.
    pub(super) fn of_folder(name: &str) -> Option<(usize, ModuleKind)> {
        let (number, class) = name.split_once('_')?;
        let kind = ModuleKind::of(&format!("sentence_transformers.models.{class}"))?;
        Some((number.parse().ok()?, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_all_versions_are_known_and_others_are_not() {
        for (path, expected) in [
            ("sentence_transformers.models.Transformer", Some(ModuleKind::Transformer)),
            ("sentence_transformers.models.BERT", Some(ModuleKind::Transformer)),
            ("sentence_transformers.base.modules.transformer.Transformer", Some(ModuleKind::Transformer)),
            ("sentence_transformers.models.Pooling", Some(ModuleKind::Pooling)),
            ("sentence_transformers.models.Pooling.Pooling", Some(ModuleKind::Pooling)),
            ("sentence_transformers.sentence_transformer.modules.pooling.Pooling", Some(ModuleKind::Pooling)),
            ("sentence_transformers.base.modules.dense.Dense", Some(ModuleKind::Dense)),
            ("sentence_transformers.base.modules.normalize.Normalize", Some(ModuleKind::Normalize)),
            ("sentence_transformers.models.LayerNorm", Some(ModuleKind::LayerNorm)),
            ("sentence_transformers.models.WordWeights", None),
            ("sentence_transformers.sparse_encoder.models.SpladePooling", None),
            ("my_models.Pooling", None),
            ("sentence_transformers.Pooling", None),
            ("pylate.models.Dense", None),
            ("Pooling", None),
            ("", None),
        ] {
            assert_eq!(ModuleKind::of(path), expected, "{path}");
        }
        assert_eq!(ModuleKind::of_folder("2_Dense"), Some((2, ModuleKind::Dense)));
        assert_eq!(ModuleKind::of_folder("onnx"), None);
        assert_eq!(ModuleKind::of_folder("x_Dense"), None);
    }
}
