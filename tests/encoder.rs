//! The compiled encoder against the f32 reference, between tiers, and in every way of batching.

#[path = "support/tiers.rs"]
mod tiers;

use std::sync::Arc;
use std::time::Duration;

use lacuna::config::EncoderConfig;
use lacuna::errors::ModelError;
use lacuna::report::Stage;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, CalibratedModel, Compile, Encoder, Error, Form, Model, Preset};
use lacuna_jit::Tier;

use self::tiers::tiers;

const VOCAB: usize = 500;

fn small(config: impl FnOnce(&mut EncoderConfig)) -> Model {
    let mut small = Preset::BertMini.config();
    (small.layers, small.vocab_size, small.max_position) = (2, VOCAB, 256);
    config(&mut small);
    Model::seeded(small, 7).unwrap()
}

fn calibrated(model: Model) -> CalibratedModel {
    model.calibration().run_ids(&seeded_ids(VOCAB, 16, 40, 1)).unwrap()
}

fn compile(model: &CalibratedModel, tier: Tier, form: Form) -> Encoder {
    model.compiler().tier(tier).form(form).compile().unwrap()
}

fn lengths_to_ids(lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().enumerate().map(|(i, &n)| seeded_ids(VOCAB, 1, n, i as u64 + 100).remove(0)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// All tiers and all forms run the same integers and the same float operations: the same bits come out.
#[test]
fn every_tier_and_form_gives_the_same_bits() {
    let ids = lengths_to_ids(&[1, 7, 64, 65, 3, 130]);
    for sparsity in [0.0, 0.8] {
        let model = calibrated(small(|_| {}).prune(Block::B4x1, sparsity).unwrap());
        let reference = compile(&model, Tier::Portable, Form::Dense).hidden_states(&ids).unwrap();
        for tier in tiers() {
            for form in [Form::Auto, Form::Dense, Form::Sparse] {
                let states = compile(&model, tier, form).hidden_states(&ids).unwrap();
                assert_eq!(states, reference, "tier {tier}, {form:?}, sparsity {sparsity}");
            }
        }
    }
}

/// Zeros of other shapes run on the kernels made for them. The report shows it, and results do not change.
#[test]
fn zeros_of_every_shape_find_their_kernels() {
    let ids = lengths_to_ids(&[5, 64, 70]);
    // On AVX2 without VNNI 4x1 blocks are faster: their weights are in pairs.
    let of_4x4 = if Tier::detect() == Tier::Avx2 { "sparse 4x1" } else { "sparse 4x4" };
    for (block, form, expected) in [
        (Block::B4x1, Form::Auto, "sparse 4x1"),
        (Block::B8x1, Form::Auto, "sparse 4x1"),
        (Block::B4x4, Form::Auto, of_4x4),
        (Block::B1x4, Form::Auto, "sparse 1x4"),
        (Block::Unstructured, Form::Sparse, "sparse 4x1 reordered"),
    ] {
        let model = calibrated(small(|_| {}).prune(block, 0.95).unwrap());
        let dense = compile(&model, Tier::detect(), Form::Dense).hidden_states(&ids).unwrap();
        let encoder = compile(&model, Tier::detect(), form);
        let report = encoder.report();
        assert!(report.linears.iter().any(|linear| linear.form == expected), "{block}: {report}");
        assert!(report.to_string().contains(expected.trim_start_matches("sparse ")), "{block}: {report}");
        assert_eq!(encoder.hidden_states(&ids).unwrap(), dense, "{block}");
    }
}

/// Head sizes that are not multiples of 4 (26 as in 312 / 12) are padded, and hidden sizes need not be multiples of 16.
#[test]
fn odd_head_sizes_agree_with_the_reference() {
    for (hidden, heads, intermediate) in [(52, 2, 66), (30, 10, 50), (312, 12, 600), (64, 1, 64), (9, 3, 5)] {
        let model =
            calibrated(small(|c| (c.hidden_size, c.heads, c.intermediate_size) = (hidden, heads, intermediate)));
        let ids = lengths_to_ids(&[20, 5, 33]);
        let reference = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
        let mut states = Vec::new();
        for tier in tiers() {
            for form in [Form::Dense, Form::Sparse] {
                let encoder = compile(&model, tier, form);
                for (found, expected) in encoder.embed_ids(&ids).unwrap().iter().zip(&reference) {
                    let cosine = cosine(found, expected);
                    assert!(cosine > 0.97, "hidden {hidden}, heads {heads}, {tier}, {form:?}: cosine {cosine}");
                }
                states.push(encoder.hidden_states(&ids).unwrap());
            }
        }
        assert!(states.iter().all(|s| *s == states[0]), "hidden {hidden}, heads {heads}");
    }
}

#[test]
fn embeddings_agree_with_the_reference() {
    for sparsity in [0.0, 0.5, 0.9] {
        let model = calibrated(small(|_| {}).prune(Block::B4x1, sparsity).unwrap());
        let ids = lengths_to_ids(&[12, 40, 128, 3]);
        let reference = model.model().reference().embed(&ids, model.model().pooling()).unwrap();
        let found = compile(&model, Tier::detect(), Form::Auto).embed_ids(&ids).unwrap();
        for (found, expected) in found.iter().zip(&reference) {
            let cosine = cosine(found, expected);
            assert!(cosine > 0.98, "sparsity {sparsity}: cosine {cosine}");
        }
    }
}

/// A sequence gets the same bits alone, in any batch, at any position, on any number of threads.
#[test]
fn batching_and_threads_change_nothing() {
    let model = calibrated(small(|_| {}).prune(Block::B4x1, 0.8).unwrap());
    let encoder = compile(&model, Tier::detect(), Form::Auto);
    let ids = lengths_to_ids(&[5, 64, 1, 100, 31, 200, 2, 63, 66, 128, 17, 40, 256, 9]);
    let alone: Vec<Vec<f32>> = ids.iter().map(|ids| encoder.embed_ids(&[ids]).unwrap().remove(0)).collect();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| encoder.embed_ids(&ids).unwrap());
        assert!(found == alone, "{threads} threads");
        let short = pool.install(|| encoder.embed_ids(&ids[..1]).unwrap());
        assert!(short[0] == alone[0], "one sequence on {threads} threads");
    }
}

/// The same vectors by every entry point, in one buffer, and with a profile whose stages sum to its total.
#[test]
fn results_go_where_the_caller_wants_them() {
    let encoder = compile(&calibrated(small(|_| {})), Tier::detect(), Form::Auto);
    let hidden_size = encoder.config().hidden_size;
    let ids = lengths_to_ids(&[30, 9, 128, 70]);
    let expected = encoder.embed_ids(&ids).unwrap().concat();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut plain, mut profiled) = (vec![f32::NAN; expected.len()], vec![f32::NAN; expected.len()]);
        pool.install(|| encoder.embed_ids_into(&ids, &mut plain)).unwrap();
        let profile = pool.install(|| encoder.profile(&ids, &mut profiled)).unwrap();
        assert!(plain == expected && profiled == expected, "{threads} threads");
        assert_eq!(Stage::ALL.map(|stage| profile.stage(stage)).iter().sum::<Duration>(), profile.total());
        assert!([Stage::Embedding, Stage::Attention, Stage::Up].iter().all(|&s| profile.stage(s) > Duration::ZERO));
    }
    let mut short = vec![0.0; 4 * hidden_size - 1];
    let error = encoder.embed_ids_into(&ids, &mut short).unwrap_err();
    assert!(
        matches!(error, Error::OutputLength { found, expected, sequences: 4, .. } if found + 1 == expected),
        "{error}"
    );
}

#[test]
fn many_threads_share_one_encoder() {
    let encoder = Arc::new(compile(&calibrated(small(|_| {})), Tier::detect(), Form::Auto));
    let ids = lengths_to_ids(&[30, 9, 70]);
    let expected = encoder.embed_ids(&ids).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(encoder.embed_ids(&ids).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn layers_share_kernels_and_the_report_says_so() {
    let model = calibrated(small(|c| c.layers = 3).prune(Block::B4x1, 0.7).unwrap());
    let encoder = compile(&model, Tier::detect(), Form::Sparse);
    let report = encoder.report();
    assert_eq!(report.linears.len(), 3 * 6);
    if report.isa == "avx512vnni" {
        // 6 linear layers, attention, 2 layernorm outputs, embedding at most; three layers need no more than one.
        assert!(report.kernels_generated <= 11, "{report}");
        assert!(report.kernels_reused > 2 * 6, "{report}");
        assert!(report.code_bytes > 0);
    }
    assert!(report.linears.iter().all(|l| (l.density - 0.3).abs() < 0.02), "{report}");
    let text = report.to_string();
    assert!(text.contains("spmm-u8s8") && text.contains("generated"), "{text}");
}

#[test]
fn bad_calls_are_typed_errors() {
    let model = calibrated(small(|_| {}));
    let encoder = compile(&model, Tier::detect(), Form::Auto);
    let none: [Vec<u32>; 0] = [];
    assert!(matches!(encoder.embed_ids(&none), Err(Error::Model(ModelError::EmptyBatch))));
    assert!(matches!(
        encoder.embed_ids(&[vec![1], vec![]]),
        Err(Error::Model(ModelError::EmptySequence { sequence: 1 }))
    ));
    assert!(matches!(
        encoder.embed_ids(&[vec![1; 257]]),
        Err(Error::Model(ModelError::SequenceTooLong { found: 257, limit: 256, .. }))
    ));
    assert!(matches!(
        encoder.embed_ids(&[vec![1, VOCAB as u32]]),
        Err(Error::Model(ModelError::TokenOutOfRange { position: 1, vocab_size: VOCAB, .. }))
    ));
    assert!(matches!(encoder.embed(&["no tokenizer"]), Err(Error::Model(ModelError::NoTokenizer))));
    let above = Tier::ALL.into_iter().find(|t| !t.missing().is_empty());
    match above {
        None => println!("skipped: this machine has every tier"),
        Some(tier) => {
            let error = model.compiler().tier(tier).compile().unwrap_err().to_string();
            assert!(error.contains(tier.name()), "{error}");
        }
    }
}
