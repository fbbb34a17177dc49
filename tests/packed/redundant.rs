//! Bytes that repeat others, or pad: they must be what `pack` writes, since not every kernel reads them.

use lacuna::config::Architecture;
use lacuna::errors::PackedError;
use lacuna::{Block, Compile, Form, Model, Precision};
use lacuna_jit::Tier;

use super::hostile::Forged;
use super::{Bench, batch, seeded, tiny};

/// A file, taken apart.
fn forged(bench: &Bench, model: &lacuna::CalibratedModel, form: Form) -> Forged {
    let _ = std::fs::remove_file(bench.path());
    // Only the portable tier plans bf16 on every CPU; what is packed does not depend on the tier.
    model.compiler().tier(Tier::Portable).form(form).pack().unwrap().write(bench.path()).unwrap();
    Forged::of(&std::fs::read(bench.path()).unwrap())
}

#[track_caller]
fn refused(bench: &Bench, forged: &Forged, expected: &str) {
    let error = bench.refused(&forged.to_bytes(), expected).to_string();
    assert!(error.contains(expected), "{error}, expected {expected}");
}

#[test]
fn weights_behind_the_last_computed_group() {
    let bench = Bench::new();
    let model = Model::seeded(tiny(Architecture::Bert), 3).unwrap().prune(Block::B4x1, 0.8).unwrap();
    let ids = batch(model.config());
    let whole = forged(&bench, &model.calibration().run_ids(&ids).unwrap(), Form::Sparse);
    bench.open(&whole.to_bytes()).unwrap();
    let mut changed = whole.clone();
    *changed.section("layers.0.q.weights").last_mut().unwrap() = 1;
    refused(&bench, &changed, "zeros behind the last group");
    let mut changed = whole;
    let section = changed.section("layers.0.q.weights");
    let last = section.len() - 65; // of the last group of a row block, before the padding
    section[last] ^= 1;
    bench.refused(&changed.to_bytes(), "a group that is not computed");
}

#[test]
fn words_of_fixed_point_records() {
    let bench = Bench::new();
    for form in [Form::Sparse, Form::Dense] {
        let whole = forged(&bench, &seeded(tiny(Architecture::Bert)), form);
        let mut found = 0;
        for (section, record) in [("layers.0.q.params", 64), ("layers.1.v.params", 64), ("layers.0.up.params", 192)] {
            // Multipliers, and what activations need, are words that are repeated four times.
            for at in (32..record).step_by(2) {
                let mut changed = whole.clone();
                changed.section(section)[at] ^= 1;
                refused(&bench, &changed, "repeated words that differ");
                found += 1;
            }
        }
        assert_eq!(found, 16 + 16 + 80);
    }
}

#[test]
fn parameters_of_features_that_do_not_exist() {
    let bench = Bench::new();
    // 45 features of the inner layer are 12 row blocks, the last of which has one.
    let whole = forged(&bench, &seeded(tiny(Architecture::Bert)), Form::Dense);
    let mut changed = whole.clone();
    let params = changed.section("layers.0.up.params");
    let last = params.len() - 192;
    params[last + 4] = 1;
    refused(&bench, &changed, "a feature beyond M");
    // Heads of 10 features are stored as 12.
    let mut changed = whole.clone();
    changed.section("layers.0.attention.out_scale")[4 * 10] = 1;
    refused(&bench, &changed, "0 where nothing is read");
    let mut changed = whole.clone();
    changed.section("layers.0.attention.q_zero")[1] ^= 1;
    refused(&bench, &changed, "for every head");
    // 30 input features of a dense layer are stored as 32.
    let mut changed = whole;
    let weights = changed.section("layers.0.q.weights");
    *weights.last_mut().unwrap() = 1;
    refused(&bench, &changed, "a feature beyond M or K");
}

#[test]
fn floats_that_are_not_read() {
    let bench = Bench::new();
    let model = seeded(tiny(Architecture::Bert));
    for precision in [Precision::F32, Precision::Bf16] {
        let layers = vec![lacuna::calibration::LayerPrecision::all(precision); 2];
        let Ok(model) = model.clone().with_precision(layers) else { continue };
        let whole = forged(&bench, &model, Form::Sparse);
        let mut changed = whole.clone();
        *changed.section("layers.0.up.bias").last_mut().unwrap() = 1;
        refused(&bench, &changed, "a feature beyond M");
        // The normalisation behind the last layer writes no panel.
        let mut changed = whole;
        changed.section("layers.1.output_norm")[8] = 1;
        refused(&bench, &changed, "0 where nothing is read");
    }
}

#[test]
fn padding_and_sections_that_nothing_reads() {
    let bench = Bench::new();
    let whole = forged(&bench, &seeded(tiny(Architecture::Bert)), Form::Dense);
    let mut changed = whole.clone();
    let end = changed.place("position").end;
    assert!(!end.is_multiple_of(64));
    changed.data[end] = 1;
    refused(&bench, &changed, "padding that is not zero");

    for name in ["other", "tokenizer", "head.out.bias", "layers.0.q.more"] {
        let mut changed = whole.clone();
        let offset = changed.data.len().next_multiple_of(64);
        changed.data.resize(offset, 0);
        changed.data.extend([1; 64]);
        let section = serde_json::json!({"name": name, "offset": offset, "length": 64});
        changed.manifest["sections"].as_array_mut().unwrap().push(section);
        let error = bench.refused(&changed.to_bytes(), name);
        assert!(matches!(&error, PackedError::Section { section, .. } if section == name), "{error}");
    }
}
