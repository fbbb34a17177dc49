//! What is packed is what is run.

use std::sync::Arc;

use lacuna::calibration::{ActivationBits, LayerPrecision};
use lacuna::config::{Architecture, EncoderConfig};
use lacuna::errors::{ModelError, PackedError};
use lacuna::tasks::MaskFiller;
use lacuna::{Block, Compile, Encoder, Error, Form, Model, PackedModel, Precision, Tuning, TuningTable};
use lacuna_jit::Tier;

use super::{batch, calibrated, head_folder, seeded, through_file, tiers, tiny};

const FORMS: [Form; 3] = [Form::Auto, Form::Dense, Form::Sparse];

/// The same bits from the calibrated model, from it packed in memory, and from the file, on every tier.
fn check(config: EncoderConfig, zeros: Option<(Block, f64)>, form: Form) {
    check_in(ActivationBits::Eight, config, zeros, form);
}

fn check_in(bits: ActivationBits, config: EncoderConfig, zeros: Option<(Block, f64)>, form: Form) {
    let what = format!("{} {zeros:?} {form:?}", config.architecture);
    let model = Model::seeded(config, 3).unwrap();
    let model = match zeros {
        Some((block, sparsity)) => model.prune(block, sparsity).unwrap(),
        None => model,
    };
    let ids = batch(model.config());
    let model = model.calibration().activation_bits(bits).run_ids(&ids).unwrap();
    let packed = model.compiler().form(form).pack().unwrap();
    let opened = through_file(&packed);
    assert_eq!(opened.config(), model.model().config());
    assert_eq!(opened.pruning(), model.model().pruning());
    assert_eq!(opened.activation_bits(), bits);
    for tier in tiers() {
        let expected = model.compiler().tier(tier).form(form).compile().unwrap();
        let states = expected.hidden_states(&ids).unwrap();
        // What was packed for the best tier runs on every tier, with the same bits.
        for packed in [&packed, &opened] {
            let encoder = packed.compiler().tier(tier).compile().unwrap();
            assert_eq!(encoder.hidden_states(&ids).unwrap(), states, "{what} on {tier}");
        }
        // What is packed for a tier has the kernels that are chosen for it.
        let packed = model.compiler().tier(tier).form(form).pack().unwrap();
        for packed in [&packed, &through_file(&packed)] {
            let encoder = packed.compiler().tier(tier).compile().unwrap();
            assert_eq!(encoder.hidden_states(&ids).unwrap(), states, "{what} packed for {tier}");
            let forms = |encoder: &Encoder| {
                let linears = encoder.report().linears.iter().chain(&encoder.report().projection);
                linears.map(|linear| (linear.form, linear.kernel.clone(), linear.weight_bytes)).collect::<Vec<_>>()
            };
            assert_eq!(forms(&encoder), forms(&expected), "{what} on {tier}");
        }
    }
}

#[test]
fn every_architecture() {
    for architecture in Architecture::ALL {
        for form in FORMS {
            check(tiny(architecture), Some((Block::B4x1, 0.8)), form);
        }
    }
}

#[test]
fn fewer_heads_of_the_same_size() {
    let wide = EncoderConfig { hidden_size: 64, heads: 4, intermediate_size: 100, ..tiny(Architecture::Bert) };
    for kept in [1, 3] {
        for form in FORMS {
            check(wide.with_heads(kept), Some((Block::B4x1, 0.8)), form);
        }
    }
    let padded = EncoderConfig { hidden_size: 30, heads: 10, ..tiny(Architecture::DistilBert) };
    check(padded.with_heads(7), None, Form::Auto);
}

#[test]
fn every_pattern_of_zeros() {
    let wide = EncoderConfig { hidden_size: 64, heads: 2, intermediate_size: 128, ..tiny(Architecture::Bert) };
    for block in [Block::B4x1, Block::B1x4, Block::B4x4, Block::B8x1, Block::Unstructured] {
        check(wide.clone(), Some((block, 0.95)), Form::Auto);
        check(wide.clone(), Some((block, 0.5)), Form::Sparse);
    }
    check(wide.clone(), None, Form::Auto);
    check(wide, None, Form::Dense);
}

/// Activations in seven bits, with every form of product and a projection of the embeddings.
#[test]
fn seven_bits() {
    for (architecture, block) in
        [(Architecture::Bert, Block::B4x1), (Architecture::Electra, Block::B4x4), (Architecture::Bert, Block::B1x4)]
    {
        for form in FORMS {
            check_in(ActivationBits::Seven, tiny(architecture), Some((block, 0.8)), form);
        }
    }
}

/// Every precision of every tensor, and mixtures; the same bits as from the calibrated model.
#[test]
fn every_precision() {
    let config = EncoderConfig { layers: 3, ..tiny(Architecture::Electra) };
    for block in [Block::B4x1, Block::Unstructured] {
        let model = calibrated(Model::seeded(config.clone(), 3).unwrap().prune(block, 0.7).unwrap());
        let ids = batch(model.model().config());
        let mixed = Precision::ALL.into_iter().enumerate().map(|(i, attn_in)| {
            let at = |by: usize| Precision::ALL[(i + by) % Precision::ALL.len()];
            LayerPrecision { attn_in, ffn_in: at(1), gelu_out: at(2) }
        });
        for precision in Precision::ALL.into_iter().map(LayerPrecision::all).chain(mixed) {
            let layers = vec![precision, LayerPrecision::default(), precision];
            let model = model.clone().with_precision(layers.clone()).unwrap();
            for form in [Form::Auto, Form::Sparse] {
                // What is packed does not depend on the tier, but only the portable one plans bf16 on every CPU.
                let opened = through_file(&model.compiler().tier(Tier::Portable).form(form).pack().unwrap());
                assert_eq!(opened.precision(), layers);
                for tier in tiers() {
                    let compiled = model.compiler().tier(tier).form(form).compile();
                    let encoder = opened.compiler().tier(tier).compile();
                    match (compiled, encoder) {
                        (Ok(expected), Ok(encoder)) => {
                            let expected = expected.hidden_states(&ids).unwrap();
                            assert_eq!(
                                encoder.hidden_states(&ids).unwrap(),
                                expected,
                                "{precision:?} {form:?} on {tier}"
                            );
                        }
                        (Err(expected), Err(error)) => {
                            println!("skipped {precision:?} on {tier}: {expected}");
                            assert_eq!(error.to_string(), expected.to_string());
                        }
                        (expected, found) => panic!("{precision:?} on {tier}: {expected:?}, {found:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn indices_of_four_bytes() {
    let wide = EncoderConfig { intermediate_size: 8200, layers: 1, ..tiny(Architecture::Bert) };
    check(wide, Some((Block::B4x1, 0.9)), Form::Sparse);
}

/// All heads, with their tokenizers: the same scores for the same text.
#[test]
fn heads_and_tokenizers_come_along() {
    for name in [
        "bert-classify",
        "bert-rank",
        "bert-tag",
        "bert-answer",
        "bert-fill",
        "distilbert-classify",
        "distilbert-tag",
        "distilbert-fill",
        "roberta-classify",
        "roberta-answer",
        "roberta-fill",
        "electra-classify",
        "electra-fill",
    ] {
        let model = Model::open(head_folder(name)).unwrap();
        let head = model.head().unwrap();
        let texts = ["The cat sat on the mat.", "the river went e and", ""];
        let model = model.calibration().run(texts).unwrap();
        let packed = model.pack().unwrap();
        let opened = through_file(&packed);
        assert_eq!(packed.head().unwrap(), head, "{name}");
        assert_eq!(opened.head_class(), Some(head.class()));
        let expected = model.compile().unwrap();
        let (encoder, found) = (opened.compile().unwrap(), opened.head().unwrap());
        assert_eq!(encoder.embed(&texts).unwrap(), expected.embed(&texts).unwrap(), "{name}");
        let ids: Vec<Vec<u32>> =
            opened.tokenizer().unwrap().encode_batch(&texts).unwrap().into_iter().map(|encoded| encoded.ids).collect();
        let states = encoder.hidden_states(&ids).unwrap();
        for states in &states {
            assert_eq!(found.logits(states).unwrap(), head.logits(states).unwrap(), "{name}");
        }
        assert_eq!((found.kind(), found.class(), found.labels()), (head.kind(), head.class(), head.labels()), "{name}");
        if name.ends_with("-fill") {
            let decoder = opened.sections().iter().find(|section| section.name == "head.out.weight");
            assert_eq!(decoder, None, "{name}: the decoder is the word table, and there once");
            let filler = MaskFiller::new(Arc::new(encoder), found).unwrap();
            assert!(!filler.fill(&[format!("The {} sat.", filler.mask_token())], 3).unwrap()[0].is_empty());
        }
    }
}

#[test]
fn measured_schedules_are_kept() {
    let model = calibrated(Model::seeded(tiny(Architecture::Bert), 3).unwrap().prune(Block::B4x1, 0.9).unwrap());
    let tuning = Tuning::Measure { budget: std::time::Duration::from_millis(1) };
    let packed = model.compiler().form(Form::Sparse).tuning(tuning).pack().unwrap();
    let kernels = |model: &PackedModel| -> Vec<String> {
        model.compile().unwrap().report().linears.iter().map(|linear| linear.kernel.clone()).collect()
    };
    assert_eq!(kernels(&through_file(&packed)), kernels(&packed));
}

#[test]
fn many_threads_open_one_file() {
    let model = seeded(tiny(Architecture::Roberta));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.lacuna");
    model.pack().unwrap().write(&path).unwrap();
    let ids = batch(model.model().config());
    let expected = model.compile().unwrap().hidden_states(&ids).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(Encoder::open(&path).unwrap().hidden_states(&ids).unwrap(), expected);
                }
            });
        }
    });
}

/// A successor takes the place of the name; what is mapped stays what it was.
#[test]
fn a_file_in_use_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.lacuna");
    let (first, second) = (seeded(tiny(Architecture::Bert)), seeded(tiny(Architecture::Electra)));
    first.pack().unwrap().write(&path).unwrap();
    let opened = PackedModel::open(&path).unwrap();
    second.pack().unwrap().write(&path).unwrap();
    let ids = batch(first.model().config());
    let states = opened.compile().unwrap().hidden_states(&ids).unwrap();
    assert_eq!(states, first.compile().unwrap().hidden_states(&ids).unwrap());
    assert_eq!(PackedModel::open(&path).unwrap().config().architecture, Architecture::Electra);

    // An opened model is written byte for byte.
    let copy = folder.path().join("copy.lacuna");
    opened.write(&copy).unwrap();
    assert_eq!(PackedModel::open(&copy).unwrap().compile().unwrap().hidden_states(&ids).unwrap(), states);
}

#[test]
fn what_was_decided_cannot_be_asked_for_again() {
    let packed = through_file(&seeded(tiny(Architecture::Bert)).pack().unwrap());
    let tuning = Tuning::Measure { budget: std::time::Duration::from_millis(1) };
    let mut table = TuningTable::default();
    for (compiler, expected) in [
        (packed.compiler().form(Form::Dense), "form"),
        (packed.compiler().tuning(tuning), "tuning"),
        (packed.compiler().table(&mut table), "table"),
    ] {
        match compiler.compile().unwrap_err() {
            Error::Packed(PackedError::Decided { option, .. }) => assert_eq!(option, expected),
            error => panic!("{error}"),
        }
    }
    assert!(matches!(packed.head().unwrap_err(), Error::Model(ModelError::NoHead { .. })));
    let error = packed.needs_weights("--verify", "give its path with --model");
    assert!(error.to_string().contains("--verify needs the f32 weights"), "{error}");
    let portable = packed.compiler().tier(Tier::Portable).compile().unwrap();
    assert_eq!(portable.report().tier, "portable");
    let phases: Vec<&str> = portable.report().phases.iter().map(|phase| phase.name).collect();
    assert_eq!(phases, ["map", "verify", "plan", "emit", "seal"]);
}
