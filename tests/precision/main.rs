//! The arithmetic of every tensor: against a simulation of its own, between tiers, in every way of batching, and in the report.

mod simulation;

use lacuna::calibration::{ActivationBits, LayerPrecision};
use lacuna::config::{Activation, EncoderConfig};
use lacuna::tokens::seeded_ids;
use lacuna::weights::Matrix;
use lacuna::{Block, CalibratedModel, Compile, Encoder, Error, Form, Model, Precision, Preset};
use lacuna_jit::{Avx512Bf16, Isa, Tier};
use lacuna_kernels::KernelError;

const VOCAB: usize = 300;

/// A tiny model with weights that are pruned in some layers, as a [`Case`] says.
fn config(hidden: usize, heads: usize, intermediate: usize, activation: Activation) -> EncoderConfig {
    EncoderConfig {
        hidden_size: hidden,
        heads,
        intermediate_size: intermediate,
        activation,
        layers: 3,
        vocab_size: VOCAB,
        max_position: 200,
        ..Preset::BertMini.config()
    }
}

/// Head sizes of 26 and 32, every activation, dense and pruned, with and without a projection of the embeddings; activations in eight bits,
/// then in seven.
fn models(layers: usize) -> Vec<(&'static str, CalibratedModel)> {
    let electra = |config| EncoderConfig { embedding_size: Some(36), ..config };
    let cases = [
        ("heads of 26", config(52, 2, 66, Activation::Gelu), None),
        ("heads of 32, relu, 4x1", config(64, 2, 130, Activation::Relu), Some((Block::B4x1, 0.8))),
        ("tanh, unstructured", config(64, 4, 96, Activation::GeluTanh), Some((Block::Unstructured, 0.9))),
        ("projection, 16x1", electra(config(48, 4, 96, Activation::Gelu)), Some((Block::B16x1, 0.6))),
    ];
    let calibrated = |(name, config, pruning): (_, EncoderConfig, Option<(Block, f64)>)| {
        let config = EncoderConfig { layers, ..config };
        let architecture = if config.embedding_size.is_some() {
            Preset::ElectraSmall.config().architecture
        } else {
            config.architecture
        };
        let mut model = Model::seeded(EncoderConfig { architecture, ..config }, 17).unwrap();
        if let Some((block, sparsity)) = pruning {
            model = model.prune(block, sparsity).unwrap();
        }
        [ActivationBits::Eight, ActivationBits::Seven].map(|bits| {
            let calibration = model.clone().calibration().activation_bits(bits);
            (name, calibration.run_ids(&seeded_ids(VOCAB, 16, 40, 1)).unwrap())
        })
    };
    let [eight, seven]: [Vec<_>; 2] = {
        let all = cases.map(calibrated);
        [0, 1].map(|i| all.iter().map(|bits| bits[i].clone()).collect())
    };
    [eight, seven].concat()
}

/// Whether `precisions` run here; says so if not.
fn runs(tier: Tier, precisions: &[LayerPrecision]) -> bool {
    let halves = |l: &LayerPrecision| [l.attn_in, l.ffn_in, l.gelu_out].contains(&Precision::Bf16);
    let missing = tier != Tier::Portable && precisions.iter().any(halves) && Avx512Bf16::detect().is_none();
    if missing {
        println!("skipped bf16 on tier {tier}: this machine lacks {}", Avx512Bf16::FEATURE);
    }
    !missing
}

/// Every precision alone, then random mixes.
fn assignments(layers: usize) -> Vec<Vec<LayerPrecision>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Precision::ALL[(state >> 62) as usize]
    };
    let mut mix = || LayerPrecision { attn_in: random(), ffn_in: random(), gelu_out: random() };
    let mixes: Vec<Vec<LayerPrecision>> = (0..8).map(|_| (0..layers).map(|_| mix()).collect()).collect();
    let alone = Precision::ALL.map(|precision| vec![LayerPrecision::all(precision); layers]);
    alone.into_iter().chain(mixes).collect()
}

fn compile(model: &CalibratedModel, precision: &[LayerPrecision], tier: Tier, form: Form) -> Encoder {
    let model = model.clone().with_precision(precision.to_vec()).unwrap();
    model.compiler().tier(tier).form(form).compile().unwrap()
}

fn ids(lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().enumerate().map(|(i, &n)| seeded_ids(VOCAB, 1, n, i as u64 + 50).remove(0)).collect()
}

/// Root of the mean square of the differences, relative to that of `expected`.
fn error(found: &[Matrix], expected: &[Matrix]) -> f64 {
    let values = |m: &[Matrix]| m.iter().flat_map(|m| m.data.clone()).map(f64::from).collect::<Vec<f64>>();
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len());
    let square: f64 = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum();
    (square / expected.iter().map(|e| e.powi(2)).sum::<f64>()).sqrt()
}

/// What is left are codes at the edge of two, which adding in another order moves by one: a fraction of what rounding does in one
/// layer. Layers carry them on, and static codes, which are coarser than those per token, move by more.
#[test]
fn every_arithmetic_is_what_its_simulation_says() {
    let ids = ids(&[20, 5, 70]);
    for layers in [1, 3] {
        for (name, model) in models(layers) {
            let reference = model.model().reference().forward(&ids).unwrap();
            for precision in assignments(layers).into_iter().filter(|precision| runs(Tier::detect(), precision)) {
                let expected = simulation::forward(&model, &precision, &ids);
                let rounding = error(&expected, &reference);
                let fixed = |l: &LayerPrecision| [l.attn_in, l.ffn_in, l.gelu_out].contains(&Precision::Static);
                let limit = match (layers, precision.iter().any(fixed)) {
                    (1, false) => 0.25,
                    (1, true) => 0.45,
                    _ => 0.85,
                };
                for form in [Form::Auto, Form::Dense, Form::Sparse] {
                    let found = compile(&model, &precision, Tier::detect(), form).hidden_states(&ids).unwrap();
                    let error = error(&found, &expected);
                    assert!(error < limit * rounding, "{name}, {form:?}, {precision:?}: {error} of {rounding}");
                }
            }
        }
    }
}

#[test]
fn floats_are_closer_to_the_reference() {
    let ids = ids(&[40, 9, 64, 100]);
    for (name, model) in models(1) {
        let reference = model.model().reference().forward(&ids).unwrap();
        let error = |precision| {
            let layers = [LayerPrecision::all(precision)];
            runs(Tier::detect(), &layers).then(|| {
                error(&compile(&model, &layers, Tier::detect(), Form::Auto).hidden_states(&ids).unwrap(), &reference)
            })
        };
        let [fixed, dynamic, halves, floats] = Precision::ALL.map(error);
        println!("{name}: static {fixed:?}, dynamic {dynamic:?}, bf16 {halves:?}, f32 {floats:?}");
        assert!(floats < fixed, "{name}");
        assert!(halves.is_none() || halves < fixed, "{name}");
    }
}

/// The rule of static models holds for all: the same bits on every tier, alone and in any batch, on any number of threads.
#[test]
fn tiers_batches_and_threads_change_nothing() {
    let ids = ids(&[5, 64, 1, 100, 31, 2, 63, 66, 128, 17]);
    for (name, model) in models(2) {
        for (i, precision) in assignments(2).into_iter().enumerate() {
            let forms: &[Form] = if i < 4 { &[Form::Auto, Form::Dense, Form::Sparse] } else { &[Form::Auto] };
            for &form in forms {
                let portable = compile(&model, &precision, Tier::Portable, form).hidden_states(&ids).unwrap();
                let generated = Tier::ALL.into_iter().filter(|tier| *tier != Tier::Portable);
                for tier in generated.filter(|tier| tier.missing().is_empty() && runs(*tier, &precision)) {
                    let encoder = compile(&model, &precision, tier, form);
                    let states = encoder.hidden_states(&ids).unwrap();
                    assert!(states == portable, "{name}, {tier}, {form:?}, {precision:?}");
                    for (ids, together) in ids.iter().zip(&states) {
                        let alone = encoder.hidden_states(&[ids]).unwrap().remove(0);
                        assert!(alone == *together, "{name}, {tier}, {form:?}, {precision:?}: {} tokens", ids.len());
                    }
                    for threads in [2, 3] {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        let spread = pool.install(|| encoder.hidden_states(&ids).unwrap());
                        assert!(spread == states, "{name}, {tier}, {threads} threads, {precision:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_report_says_what_runs_how() {
    let (_, model) = models(3).remove(1);
    let mut precision = vec![LayerPrecision::default(); 3];
    precision[1] = LayerPrecision { attn_in: Precision::F32, ffn_in: Precision::Dynamic, gelu_out: Precision::Static };
    let encoder = compile(&model, &precision, Tier::detect(), Form::Auto);
    let report = encoder.report();
    let of = |layer: usize| report.linears[6 * layer..][..6].iter().map(|l| l.precision).collect::<Vec<_>>();
    assert_eq!(of(0), [Precision::Static; 6]);
    let [f32, dynamic, fixed] = [Precision::F32, Precision::Dynamic, Precision::Static];
    assert_eq!(of(1), [f32, f32, f32, fixed, dynamic, fixed]);
    assert_eq!(report.linears[6].form, "sparse 4x1");
    assert!(report.linears[6].kernel.starts_with("spmm-f32-"), "{report}");
    assert!(report.linears[10].kernel.starts_with("spmm-u8s8-"), "{report}");
    let note = "1 of 3 layers are not all static; of 9 tensors 7 static, 1 dynamic, 1 f32";
    assert!(report.notes.iter().any(|found| found == note), "{report}");
    assert!(report.to_string().contains(note), "{report}");

    let fixed = compile(&model, &[LayerPrecision::default(); 3], Tier::detect(), Form::Auto);
    assert!(fixed.report().linears.iter().all(|l| l.precision == Precision::Static));
    assert!(!fixed.report().notes.iter().any(|note| note.contains("static")), "{}", fixed.report());
}

#[test]
fn bf16_without_the_feature_is_an_error_that_names_it() {
    let (_, model) = models(3).remove(0);
    let halves = vec![LayerPrecision::all(Precision::Bf16); 3];
    if Isa::detect().or_portable_for_avx2() == Isa::Portable || Avx512Bf16::detect().is_some() {
        return println!("skipped: bf16 runs on this machine");
    }
    let error = model.with_precision(halves).unwrap().compile().unwrap_err();
    assert!(matches!(error, Error::Kernel(KernelError::Feature { feature: "avx512bf16", .. })), "{error}");
}
