//! The names of tensors in checkpoints. All knowledge about names is in this file.

use crate::architecture::Architecture;

pub(super) const WORD: &str = "embeddings.word_embeddings.weight";
pub(super) const POSITION: &str = "embeddings.position_embeddings.weight";
pub(super) const TOKEN_TYPE: &str = "embeddings.token_type_embeddings.weight";
pub(super) const EMBEDDING_NORM: &str = "embeddings.LayerNorm";
pub(super) const PROJECTION: &str = "embeddings_project";
pub(super) const POOLER: &str = "pooler.dense";

/// Names of the scale of a layer normalisation. Old checkpoints call it gamma.
pub(super) fn gamma(norm: &str) -> [String; 2] {
    ["weight", "gamma"].map(|part| format!("{norm}.{part}"))
}

/// Names of the shift of a layer normalisation. Old checkpoints call it beta.
pub(super) fn beta(norm: &str) -> [String; 2] {
    ["bias", "beta"].map(|part| format!("{norm}.{part}"))
}

/// The linear layers and normalisations of one encoder layer.
pub(super) struct LayerNames {
    pub(super) q: String,
    pub(super) k: String,
    pub(super) v: String,
    pub(super) o: String,
    pub(super) attention_norm: String,
    pub(super) up: String,
    pub(super) down: String,
    pub(super) output_norm: String,
}

/// What the names of all layers begin with.
pub(super) fn layers(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::DistilBert => "transformer.layer",
        _ => "encoder.layer",
    }
}

/// The names of layer `index`.
pub(super) fn layer(architecture: Architecture, index: usize) -> LayerNames {
    let (layers, [q, k, v, o, attention_norm, up, down, output_norm]) = match architecture {
        Architecture::DistilBert => (
            "transformer.layer",
            [
                "attention.q_lin",
                "attention.k_lin",
                "attention.v_lin",
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            ],
        ),
        Architecture::Bert
        | Architecture::Roberta
        | Architecture::XlmRoberta
        | Architecture::Camembert
        | Architecture::Electra => (
            "encoder.layer",
            [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ],
        ),
    };
    let name = |part: &str| format!("{layers}.{index}.{part}");
    LayerNames {
        q: name(q),
        k: name(k),
        v: name(v),
        o: name(o),
        attention_norm: name(attention_norm),
        up: name(up),
        down: name(down),
        output_norm: name(output_norm),
    }
}
