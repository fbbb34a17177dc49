//! Accuracy of the quantisation on sentence pairs, by simulation in f32.
//!
//! A tiny model of the tests with sentences of its few words is always there. A real sentence encoder needs the model and the
//! sentences in a folder next to the checkout. Without them its tests print that they skip.
//! `cargo test --release --package lacuna-model --test accuracy -- --ignored --nocapture` prints the study behind the
//! default calibration options.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lacuna_model::reference::{Tap, TapSet};
use lacuna_model::{CalibratedModel, CalibrationOptions, Model, Pooling, PoolingMode, RangeMethod, Smoothing};

/// A file beside the checkout, or `None` with a message.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} does not exist", path.display());
    None
}

/// Sentence pairs with their gold scores.
fn pairs(path: &Path) -> Vec<(String, String, f64)> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// A model, its calibration sentences and its evaluation pairs.
struct Study {
    model: Model,
    calibration: Vec<String>,
    ids: Vec<Vec<u32>>,
    gold: Vec<f64>,
    reference: Vec<Vec<f32>>,
}

impl Study {
    /// The real model, evaluated on every `step`-th sentence pair.
    fn real(step: usize) -> Option<Self> {
        let model = Model::open(shared("models/all-MiniLM-L6-v2")?).unwrap();
        let train = pairs(&shared("data/stsb-en-train.csv")?);
        let dev = pairs(&shared("data/stsb-en-dev.csv")?);
        let calibration = train.into_iter().map(|(a, _, _)| a).take(200).collect();
        Some(Self::new(model, calibration, dev.into_iter().step_by(step).collect()))
    }

    /// The tiny model, whose random weights tell sentences apart by the words in them: the score of a pair is the number of parts
    /// that both have.
    fn tiny() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-rank");
        let model = Model::open(dir).unwrap().with_pooling(Pooling::new(PoolingMode::Mean, true)).unwrap();
        let parts: [[&str; 4]; 3] = [
            ["The cat", "A big old dog", "Zoe", "Emile"],
            ["sat", "went home", "was not", "met Emile"],
            ["on the mat.", "by the river!", "in Paris", "in London, the old city."],
        ];
        let sentences: Vec<[usize; 3]> = (0..64).map(|i| [i / 16, i / 4 % 4, i % 4]).collect();
        let text =
            |sentence: &[usize; 3]| parts.iter().zip(sentence).map(|(part, &i)| part[i]).collect::<Vec<_>>().join(" ");
        let pairs = sentences.iter().enumerate().flat_map(|(i, a)| sentences[i + 1..].iter().map(move |b| (a, b)));
        let shared = |a: &[usize; 3], b: &[usize; 3]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64;
        let dev = pairs.step_by(5).map(|(a, b)| (text(a), text(b), shared(a, b))).collect();
        Self::new(model, sentences.iter().step_by(3).map(text).collect(), dev)
    }

    fn new(model: Model, calibration: Vec<String>, dev: Vec<(String, String, f64)>) -> Self {
        let gold = dev.iter().map(|row| row.2).collect();
        let sentences: Vec<String> = dev.into_iter().flat_map(|(a, b, _)| [a, b]).collect();
        let encoded = model.tokenizer().unwrap().encode_batch(&sentences).unwrap();
        let ids: Vec<Vec<u32>> = encoded.into_iter().map(|e| e.ids).collect();
        let reference = model.reference().embed(&ids, model.pooling()).unwrap();
        Self { model, calibration, ids, gold, reference }
    }

    fn calibrate(&self, options: &CalibrationOptions) -> CalibratedModel {
        self.model.clone().calibration().options(*options).run(&self.calibration).unwrap()
    }

    /// Spearman's rank correlation of cosines with the gold scores.
    fn spearman(&self, embeddings: &[Vec<f32>]) -> f64 {
        let cosines: Vec<f64> = embeddings.chunks_exact(2).map(|p| cosine(&p[0], &p[1])).collect();
        pearson(&ranks(&cosines), &ranks(&self.gold))
    }

    /// Mean and least cosine to the f32 embeddings.
    fn cosines(&self, embeddings: &[Vec<f32>]) -> (f64, f64) {
        let cosines = embeddings.iter().zip(&self.reference).map(|(a, b)| cosine(a, b));
        let (sum, min) = cosines.fold((0.0, 1.0f64), |(sum, min), c| (sum + c, min.min(c)));
        (sum / embeddings.len() as f64, min)
    }

    fn report(&self, name: &str, calibrated: &CalibratedModel, taps: TapSet, weights: bool) {
        let embeddings = calibrated.simulate(&self.ids, taps, weights).unwrap();
        let (mean, min) = self.cosines(&embeddings);
        println!("| {name} | {mean:.5} | {min:.4} | {:.4} |", self.spearman(&embeddings));
    }
}

/// What the tiny model reaches in f64.
const TINY_SPEARMAN: f64 = 0.4181;

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Ranks with ties sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut sums: HashMap<u64, (f64, f64)> = HashMap::new();
    for (rank, &i) in order.iter().enumerate() {
        let entry = sums.entry(values[i].to_bits()).or_default();
        *entry = (entry.0 + rank as f64, entry.1 + 1.0);
    }
    values.iter().map(|v| sums[&v.to_bits()]).map(|(sum, count)| sum / count).collect()
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let cov: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
    let var = |x: &[f64], m: f64| x.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    cov / (var(a, ma) * var(b, mb)).sqrt()
}

/// Embeddings of f32 order the pairs as they are known to.
fn check_f32(study: &Study, expected: f64) {
    let spearman = study.spearman(&study.reference);
    println!("f32 Spearman {spearman:.4}");
    assert!((spearman - expected).abs() < 5e-4, "f32 Spearman {spearman}");
}

/// Embeddings of int8 have at least these mean cosine to f32 and Spearman.
fn check_default_quantisation(study: &Study, least_mean: f64, least_spearman: f64) {
    let calibrated = study.calibrate(&CalibrationOptions::default());
    let embeddings = calibrated.simulate(&study.ids, TapSet::ALL, true).unwrap();
    let ((mean, min), spearman) = (study.cosines(&embeddings), study.spearman(&embeddings));
    println!("int8 simulation: mean cosine {mean:.5}, least {min:.4}, Spearman {spearman:.4}");
    assert!(mean >= least_mean, "mean cosine {mean}");
    assert!(spearman >= least_spearman, "Spearman {spearman}");
}

#[test]
fn f32_reference_orders_the_pairs_of_a_tiny_model() {
    check_f32(&Study::tiny(), TINY_SPEARMAN);
}

#[test]
fn f32_reference_reaches_the_published_spearman() {
    let Some(study) = Study::real(1) else { return };
    check_f32(&study, 0.8672);
}

#[test]
fn default_quantisation_keeps_the_embeddings_of_a_tiny_model() {
    check_default_quantisation(&Study::tiny(), 0.999, TINY_SPEARMAN - 0.02);
}

#[test]
fn default_quantisation_keeps_the_embeddings() {
    let Some(study) = Study::real(1) else { return };
    check_default_quantisation(&study, 0.997, 0.865);
}

#[test]
#[ignore = "a study of several minutes"]
fn study_of_schemes() {
    let Some(study) = Study::real(6) else { return };
    println!("| scheme | mean cosine | least | Spearman |\n| --- | --- | --- | --- |");
    println!("| f32 | 1 | 1 | {:.4} |", study.spearman(&study.reference));
    let base = CalibrationOptions::default();
    let mut schemes = vec![("default".to_owned(), base)];
    let alphas = [0.5, 0.65, 0.85, 1.0].map(Smoothing::Alpha);
    for smoothing in [Smoothing::None, Smoothing::Search].into_iter().chain(alphas) {
        schemes.push((format!("{smoothing:?}"), CalibrationOptions { smoothing, ..base }));
    }
    for range in [RangeMethod::Percentile(99.99), RangeMethod::Mse] {
        schemes.push((format!("inputs {range:?}"), CalibrationOptions { range, ..base }));
        let options = CalibrationOptions { attention_range: range, ..base };
        schemes.push((format!("q, k, v {range:?}"), options));
    }
    for (headroom, floor) in [(1.0, 0.0), (1.25, 0.0), (1.0, 1.0), (1.5, 1.0)] {
        let options = CalibrationOptions { headroom, floor, ..base };
        schemes.push((format!("headroom {headroom}, floor {floor}"), options));
    }
    schemes.push(("no bias correction".into(), CalibrationOptions { bias_correction: false, ..base }));
    for (name, options) in &schemes {
        study.report(name, &study.calibrate(options), TapSet::ALL, true);
    }
    let calibrated = study.calibrate(&base);
    study.report("only weights", &calibrated, TapSet::NONE, true);
    for tap in Tap::ALL {
        study.report(&format!("only {}", tap.name()), &calibrated, TapSet::only(tap), false);
    }
}

#[test]
#[ignore = "a measurement, meaningful in release builds on a quiet machine"]
fn timings() {
    let Some(dir) = shared("models/all-MiniLM-L6-v2") else { return };
    let reads: Vec<_> = (0..5).map(|_| Model::open(&dir).unwrap().timings().read).collect();
    println!("read: {reads:?}");
    let model = Model::open(&dir).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for length in [32, 128] {
        let ids = lacuna_model::seeded_ids(model.config().vocab_size, 1, length, 1);
        let once = || {
            let start = std::time::Instant::now();
            model.reference().embed(&ids, model.pooling()).unwrap();
            start.elapsed()
        };
        let mut times: Vec<_> = (0..21).map(|_| pool.install(once)).collect();
        times.sort();
        println!("reference, one thread, 1 x {length}: median {:?}, least {:?}", times[10], times[0]);
    }
}
