//! What checkpoints of every architecture hold, under the names that the libraries they come from give them. Tests of several crates
//! include this file.

use std::collections::BTreeMap;

use lacuna_model::{Architecture, EncoderConfig, EncoderWeights, Matrix};
use serde_json::{Value, json};

/// Shape and values.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// `config.json` as the architecture's library writes it, but for what is not read.
pub(crate) fn config_json(config: &EncoderConfig) -> Value {
    let mut json = json!({
        "model_type": config.architecture.model_type(), "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position + config.position_offset,
    });
    let names = match config.architecture {
        Architecture::DistilBert => ["dim", "n_layers", "n_heads", "hidden_dim", "activation"],
        _ => ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"],
    };
    let activation = json!(config.activation.name());
    let sizes = [config.hidden_size, config.layers, config.heads, config.intermediate_size].map(|size| json!(size));
    for (name, value) in names.into_iter().zip(sizes.into_iter().chain([activation])) {
        json[name] = value;
    }
    if config.architecture != Architecture::DistilBert {
        json["type_vocab_size"] = json!(config.type_vocab_size);
    }
    if config.position_offset > 0 {
        json["pad_token_id"] = json!(config.position_offset - 1);
    }
    if config.architecture == Architecture::Electra {
        json["embedding_size"] = json!(config.embedding_features());
    }
    json
}

/// The tensors of an encoder without a head, without a prefix.
pub(crate) fn tensors(config: &EncoderConfig, weights: &EncoderWeights) -> Tensors {
    let mut all = Tensors::new();
    let embeddings = &weights.embeddings;
    let mut matrix = |name: String, m: &Matrix| {
        all.insert(format!("{name}.weight"), (vec![m.rows, m.cols], m.data.clone()));
    };
    // Rows that belong to no token: if one of them is read, it shows.
    let cols = embeddings.position.cols;
    let unused = vec![1000.0; config.position_offset * cols];
    let data = [unused, embeddings.position.data.clone()].concat();
    let position = Matrix { rows: config.max_position + config.position_offset, cols, data };
    matrix("embeddings.word_embeddings".into(), &embeddings.word);
    matrix("embeddings.position_embeddings".into(), &position);
    let is_distil = config.architecture == Architecture::DistilBert;
    if !is_distil {
        matrix("embeddings.token_type_embeddings".into(), &embeddings.token_type);
    }
    let mut vectors = vec![("embeddings.LayerNorm".to_owned(), Some(&embeddings.norm.gamma), &embeddings.norm.beta)];
    let (layers, linears, norms) = match is_distil {
        true => (
            "transformer.layer",
            ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"],
            ["sa_layer_norm", "output_layer_norm"],
        ),
        false => (
            "encoder.layer",
            [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "intermediate.dense",
                "output.dense",
            ],
            ["attention.output.LayerNorm", "output.LayerNorm"],
        ),
    };
    for (i, layer) in weights.layers.iter().enumerate() {
        for (part, linear) in linears.iter().zip(layer.linears()) {
            matrix(format!("{layers}.{i}.{part}"), &linear.weight);
            vectors.push((format!("{layers}.{i}.{part}"), None, &linear.bias));
        }
        for (part, norm) in norms.iter().zip([&layer.attention_norm, &layer.output_norm]) {
            vectors.push((format!("{layers}.{i}.{part}"), Some(&norm.gamma), &norm.beta));
        }
    }
    for (name, linear) in [("embeddings_project", &embeddings.projection), ("pooler.dense", &weights.pooler)] {
        if let Some(linear) = linear {
            matrix(name.into(), &linear.weight);
            vectors.push((name.into(), None, &linear.bias));
        }
    }
    for (name, weight, bias) in vectors {
        let mut vector = |part, v: &Vec<f32>| all.insert(format!("{name}.{part}"), (vec![v.len()], v.clone()));
        vector("bias", bias);
        weight.map(|weight| vector("weight", weight));
    }
    all
}
