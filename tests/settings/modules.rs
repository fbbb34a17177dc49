//! `modules.json`, and the folders that it names.

use lacuna::config::{Pooling, PoolingMode, PoolingSource};
use lacuna::errors::ModelError;
use serde_json::{Value, json};

use super::{Folder, TEXTS, close, encoders, mean, noise, normalized, said, states};

const HIDDEN: usize = 32;

/// `modules.json` of these folders and types.
fn list(modules: &[(&str, &str)]) -> Value {
    let module = |(idx, (path, class)): (usize, &(&str, &str))| json!({ "idx": idx, "name": idx.to_string(), "path": path, "type": class });
    modules.iter().enumerate().map(module).collect()
}

fn old(class: &str) -> String {
    format!("sentence_transformers.models.{class}")
}

/// Transformer, Pooling, and modules behind it in folders of their names.
fn folder(behind: &[&str]) -> Folder {
    let names: Vec<String> = behind.iter().enumerate().map(|(i, class)| format!("{}_{class}", i + 2)).collect();
    let classes: Vec<String> = behind.iter().map(|class| old(class)).collect();
    let (transformer, pooling) = (old("Transformer"), old("Pooling"));
    let mut modules = vec![("", &transformer[..]), ("1_Pooling", &pooling[..])];
    modules.extend(names.iter().zip(&classes).map(|(name, class)| (&name[..], &class[..])));
    Folder::new().with("modules.json", &list(&modules))
}

fn flags(on: &[&str]) -> Value {
    let mut json = json!({ "word_embedding_dimension": HIDDEN });
    for mode in ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"] {
        json[format!("pooling_mode_{mode}")] = on.contains(&mode).into();
    }
    json
}

fn dense(inputs: usize, outputs: usize, activation: &str) -> Value {
    json!({
        "in_features": inputs, "out_features": outputs, "bias": true,
        "activation_function": format!("torch.nn.modules.{activation}"),
    })
}

/// Two poolings, then Normalize, Dense, LayerNorm and Normalize: in f32, compiled and packed.
#[test]
fn modules_are_computed_in_their_order() {
    let (weight, bias) = (noise(2 * HIDDEN * 5), noise(5));
    let (gamma, beta) = (vec![1.0, 0.5, 2.0, -1.0, 0.25], vec![0.0, 0.5, -0.5, 1.0, 0.0]);
    let folder = folder(&["Normalize", "Dense", "LayerNorm", "Normalize"])
        .with("1_Pooling/config.json", &flags(&["cls_token", "mean_tokens"]))
        .with("3_Dense/config.json", &dense(2 * HIDDEN, 5, "activation.Tanh"))
        .with_tensors("3_Dense", &[("linear.weight", &[5, 2 * HIDDEN], &weight), ("linear.bias", &[5], &bias)])
        .with("4_LayerNorm/config.json", &json!({"dimension": 5}))
        .with_tensors("4_LayerNorm", &[("norm.weight", &[5], &gamma), ("norm.bias", &[5], &beta)]);
    let model = folder.open();
    assert_eq!(model.pooling().features(HIDDEN), 5);
    assert_eq!(said(&model), [""; 0], "nothing is assumed");
    let expected: Vec<Vec<f32>> = TEXTS
        .iter()
        .map(|text| {
            let states = states(&model, text);
            let rows: Vec<&[f32]> = (0..states.rows).map(|row| states.row(row)).collect();
            let x = normalized(&[rows[0].to_vec(), mean(&rows)].concat());
            let row = |i: usize| weight[i * 2 * HIDDEN..][..2 * HIDDEN].iter().zip(&x).map(|(w, x)| w * x).sum::<f32>();
            let y: Vec<f32> = (0..5).map(|i| (row(i) + bias[i]).tanh()).collect();
            let (m, v) = (y.iter().sum::<f32>() / 5.0, |m: f32| y.iter().map(|y| (y - m).powi(2)).sum::<f32>() / 5.0);
            let scale = 1.0 / (v(m) + 1e-5).sqrt();
            normalized(&(0..5).map(|i| gamma[i] * (y[i] - m) * scale + beta[i]).collect::<Vec<_>>())
        })
        .collect();
    let ids: Vec<Vec<u32>> = TEXTS.iter().map(|text| model.tokenizer().unwrap().encode(text).unwrap().ids).collect();
    for (found, expected) in model.reference().embed(&ids, model.pooling()).unwrap().iter().zip(&expected) {
        close(found, expected, 2e-4); // a normalisation of nearly equal values magnifies the last bits
    }
    let written = tempfile::tempdir().unwrap();
    model.write(written.path()).unwrap();
    let read = lacuna::Model::open(written.path()).unwrap();
    assert_eq!((&read.pooling().modes, &read.pooling().modules), (&model.pooling().modes, &model.pooling().modules));
    let [compiled, packed] = encoders(model);
    let found = compiled.embed(&TEXTS).unwrap();
    assert_eq!(compiled.features(), 5);
    assert_eq!(packed.embed(&TEXTS).unwrap(), found, "to the bit");
    for (found, expected) in found.iter().zip(&expected) {
        let cosine: f32 = found.iter().zip(expected).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.97, "{cosine}");
    }
}

#[test]
fn every_mode_has_its_names_and_joins_in_its_order() {
    let modes = |config: &Value| {
        let folder = folder(&[]).with("1_Pooling/config.json", config);
        folder.open().pooling().modes.clone()
    };
    let all = ["mean_tokens", "lasttoken", "cls_token", "weightedmean_tokens", "max_tokens", "mean_sqrt_len_tokens"];
    assert_eq!(modes(&flags(&all)), PoolingMode::ALL);
    for mode in PoolingMode::ALL {
        assert_eq!(modes(&json!({"embedding_dimension": HIDDEN, "pooling_mode": mode.name()})), [mode]);
    }
    let newer = json!({"embedding_dimension": HIDDEN, "pooling_mode": ["lasttoken", "cls"], "include_prompt": true});
    assert_eq!(modes(&newer), [PoolingMode::LastToken, PoolingMode::Cls], "in the order of the list");
    assert_eq!(modes(&json!({"pooling_mode": "cls", "pooling_mode_mean_tokens": true})), [PoolingMode::Cls]);
    let silent = folder(&[]).with("1_Pooling/config.json", &json!({"word_embedding_dimension": HIDDEN})).open();
    assert_eq!(said(&silent), ["pooling: mean (assumed: 1_Pooling/config.json names no mode)"]);
}

#[test]
fn types_of_all_versions_mean_the_same() {
    let newer = list(&[
        ("", "sentence_transformers.base.modules.transformer.Transformer"),
        ("1_Pooling", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"),
        ("2_Normalize", "sentence_transformers.base.modules.normalize.Normalize"),
    ]);
    let config = json!({"embedding_dimension": HIDDEN, "pooling_mode": "cls", "include_prompt": true});
    let newer = Folder::new().with("modules.json", &newer).with("1_Pooling/config.json", &config).open();
    let older = folder(&["Normalize"]).with("1_Pooling/config.json", &flags(&["cls_token"])).open();
    for model in [&newer, &older] {
        let plain = Pooling { source: PoolingSource::Chosen, ..model.pooling().clone() };
        assert_eq!(plain, Pooling::new(PoolingMode::Cls, true));
        assert!(
            matches!(&model.pooling().source, PoolingSource::File(path) if path.ends_with("1_Pooling/config.json"))
        );
    }
}

#[test]
fn folders_are_modules_where_no_file_lists_them() {
    let (weight, bias) = (noise(HIDDEN * 3), noise(3));
    let folder = Folder::new()
        .with("10_Normalize/config.json", &json!({}))
        .with("1_Pooling/config.json", &flags(&["max_tokens"]))
        .with("2_Dense/config.json", &dense(HIDDEN, 3, "linear.Identity"))
        .with_tensors("2_Dense", &[("linear.weight", &[3, HIDDEN], &weight), ("linear.bias", &[3], &bias)]);
    assert_eq!(folder.open().pooling().describe(), "max, dense 32 to 3 with identity, normalised");
    assert_eq!(said(&Folder::new().open()), ["pooling: mean (assumed: no 1_Pooling)"]);
    let transformer = list(&[("", &old("Transformer"))]);
    let model = Folder::new().with("modules.json", &transformer).open();
    assert_eq!(said(&model), ["pooling: mean (assumed: modules.json names no Pooling)"]);
    let chosen = model.with_pooling(Pooling::new(PoolingMode::Mean, false)).unwrap();
    assert_eq!(said(&chosen), [""; 0], "what is chosen is not assumed");
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let cls = flags(&["cls_token"]);
    let plain = |modules: &[(&str, &str)]| {
        Folder::new().with("modules.json", &list(modules)).with("1_Pooling/config.json", &cls)
    };
    let (transformer, pooling, normalize) = (old("Transformer"), old("Pooling"), old("Normalize"));
    let (first, second) = (("", &transformer[..]), ("1_Pooling", &pooling[..]));
    let with_dense = |config: &Value| {
        folder(&["Dense"])
            .with("1_Pooling/config.json", &cls)
            .with("2_Dense/config.json", config)
            .with_tensors("2_Dense", &[("linear.weight", &[3, HIDDEN], &noise(96)), ("linear.bias", &[3], &noise(3))])
    };
    let tanh = dense(HIDDEN, 3, "activation.Tanh");
    let changed = |key: &str, value: Value| {
        let mut config = tanh.clone();
        config[key] = value;
        with_dense(&config)
    };
    with_dense(&tanh).open();
    for (folder, expected) in [
        (plain(&[first, second, ("2_CNN", "sentence_transformers.models.CNN")]), "sentence_transformers.models.CNN"),
        (plain(&[first, ("1_Pooling", "my_models.Pooling")]), "my_models.Pooling"),
        (plain(&[first, ("../other", &pooling)]), "path of a module: found \"../other\""),
        (plain(&[first, ("/etc", &pooling)]), "path of a module: found \"/etc\""),
        (plain(&[("1_Pooling/../..", &transformer), second]), "path of a module"),
        (plain(&[second, ("", &transformer)]), "one, first"),
        (plain(&[second]), "no Transformer"),
        (plain(&[first, ("2_Normalize", &normalize), second]), "Normalize before Pooling"),
        (plain(&[first, second, second]), "a second Pooling"),
        (plain(&[first, ("3_Pooling", &pooling)]), "3_Pooling/config.json"),
        (folder(&[]).with("1_Pooling/config.json", &flags(&[])), "unsupported pooling mode: found none"),
        (folder(&[]).with("1_Pooling/config.json", &json!({"pooling_mode": "sum"})), "found \"sum\""),
        (folder(&[]).with("1_Pooling/config.json", &json!({"pooling_mode": []})), "found none"),
        (folder(&[]).with("1_Pooling/config.json", &json!({"pooling_mode": "cls", "layers": [1]})), "\"layers\": [1]"),
        (folder(&[]).with("1_Pooling/config.json", &json!({"embedding_dimension": 31, "pooling_mode": "cls"})), "31"),
        (with_dense(&dense(HIDDEN, 3, "activation.PReLU")), "torch.nn.modules.activation.PReLU"),
        (with_dense(&dense(HIDDEN + 1, 3, "activation.Tanh")), "linear.weight"),
        (changed("use_residual", json!(true)), "use_residual"),
        (changed("module_input_name", json!("token_embeddings")), "token_embeddings"),
        (changed("temperature", json!(2)), "\"temperature\": 2"),
        (changed("in_features", json!(0)), "in_features"),
    ] {
        let error = folder.error();
        let kind = matches!(
            error,
            ModelError::UnsupportedSetting { .. }
                | ModelError::InvalidSetting { .. }
                | ModelError::Io { .. }
                | ModelError::Weights(_)
        );
        assert!(kind && error.to_string().contains(expected), "{expected}: {error}");
    }
    // Parts that do not fit one another.
    let twice = with_dense(&tanh).with("1_Pooling/config.json", &flags(&["cls_token", "mean_tokens"]));
    assert!(twice.error().to_string().contains("found 32 (dense 32 to 3 with tanh); expected 64"), "{}", twice.error());
    let missing = folder(&["Dense"]).with("1_Pooling/config.json", &cls).with("2_Dense/config.json", &tanh);
    assert!(missing.error().to_string().contains("2_Dense"), "{}", missing.error());
}
