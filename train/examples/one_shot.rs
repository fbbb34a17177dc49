//! Prunes a sentence encoder without training, and measures what it kept.
//!
//! ```text
//! cargo run --release -p lacuna-train --example one_shot -- --model DIR --texts FILE [--texts FILE] \
//!     --sparsity 0.8 --block 4x1 [--out DIR] [--pairs FILE]
//! ```
//!
//! With `--sensitivity yes`, blocks are weighed by what an error in their outputs costs. With `--spread yes`, matrices get sparsities of their own. `--block` and `--sparsity` may be given several times; the last result is
//! written.
//!
//! `--alike 4x1` first puts outputs that need the same inputs next to each other.
//!
//! Texts are lines, or in files that end in `.csv` the first two columns. Pairs are rows of two sentences and a score, without a header.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use lacuna_model::{EncoderWeights, Model, SentenceTokenizer};
use lacuna_train::ops::Pool;
use lacuna_train::prune::{Bounds, Cut, OneShotOptions, Progress, Pruned, Sensitivity, group_alike, one_shot};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let args = Args::read()?;
    let mut model = Model::open(args.one("model")?)?;
    let tokenizer = model.tokenizer().cloned().ok_or("the model has no tokenizer")?;
    let pairs = args.get("pairs").first().map(|path| Pairs::read(path, &tokenizer)).transpose()?;
    if let Some(pairs) = &pairs {
        println!("dense: Spearman {:.4} on {} pairs", pairs.spearman(&model, model.weights())?, pairs.scores.len());
    }

    let wanted: usize = args.or("tokens", "32000").parse()?;
    let calibration = calibration(args.get("texts"), &tokenizer, wanted, args.or("seed", "0").parse()?)?;
    let tokens: usize = calibration.iter().map(Vec::len).sum();
    println!("{} sequences, {tokens} tokens", calibration.len());
    if let Some(block) = args.get("alike").first() {
        let some = &calibration[..calibration.len().div_ceil(4)];
        let cut = Cut { block: block.parse()?, sparsity: args.or("sparsity", "0.8").parse()? };
        let weights = group_alike(model.config(), model.weights(), some, &vec![[cut; 6]; model.config().layers])?;
        model =
            Model::from_parts(model.config().clone(), weights, model.pooling().clone(), model.tokenizer().cloned())?;
    }
    let sensitivity = match args.or("sensitivity", "no") {
        "yes" => {
            let start = Instant::now();
            let pool = Pool::of(model.pooling())?;
            let found = Sensitivity::measure(model.config(), model.weights(), pool, &calibration, 0)?;
            println!("sensitivities: {:.1} s", start.elapsed().as_secs_f64());
            Some(found.with_token_share(args.or("token-share", "0.5").parse()?))
        }
        _ => None,
    };
    let bounds = Bounds { lowest: args.or("lowest", "0.5").parse()?, highest: args.or("highest", "0.95").parse()? };
    let run = |options: &OneShotOptions, what: &str| -> Fallible<Pruned> {
        let start = Instant::now();
        let pruned = one_shot(model.config(), model.weights(), &calibration, options, &mut report)?;
        print!("{what}: {:.1} s", start.elapsed().as_secs_f64());
        if let Some(pairs) = &pairs {
            print!(", Spearman {:.4}", pairs.spearman(&model, &pruned.weights)?);
        }
        println!();
        Ok(pruned)
    };
    let list = |name, default: &'static str| match args.get(name) {
        [] => vec![default.to_owned()],
        values => values.to_vec(),
    };
    let sparsities: Vec<f64> = list("sparsity", "0.8").iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
    let mut last = None;
    for block in list("block", "4x1") {
        let mut options = OneShotOptions::new(block.parse()?, sparsities[0]);
        options.damping = args.or("damping", &options.damping.to_string()).parse()?;
        options.elimination.fraction = args.or("fraction", &options.elimination.fraction.to_string()).parse()?;
        options.sensitivity = sensitivity.clone();
        let first = run(&options, &format!("{block} {} uniform", sparsities[0]))?;
        if args.or("spread", "no") == "yes" {
            for &sparsity in &sparsities {
                options.sparsity = first.spread(sparsity, bounds, sensitivity.is_some())?;
                last = Some(run(&options, &format!("{block} {sparsity} spread"))?);
            }
        } else {
            last = Some(first);
        }
    }
    if let (Some(out), Some(pruned)) = (args.get("out").first(), last) {
        let tokenizer = model.tokenizer().cloned();
        Model::from_parts(model.config().clone(), pruned.weights, model.pooling().clone(), tokenizer)?.write(out)?;
        println!("written to {out}");
    }
    Ok(())
}

fn report(progress: &Progress) {
    match progress {
        Progress::Matrix(m) => println!(
            "  {}.{:<4} sparsity {:.3} relative error {:.4} {:6.1} s",
            m.layer, m.name, m.sparsity, m.relative_error, m.seconds
        ),
        Progress::Layer(l) => println!("layer {}: hidden error {:.4} {:6.1} s", l.layer, l.hidden_error, l.seconds),
        _ => {}
    }
}

/// Token ids of texts drawn from the files in turn, until there are `wanted` tokens.
fn calibration(files: &[String], tokenizer: &SentenceTokenizer, wanted: usize, seed: u64) -> Fallible<Vec<Vec<u32>>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut texts = Vec::new();
    for file in files {
        let mut all = if Path::new(file).extension().is_some_and(|kind| kind == "csv") {
            let rows = rows(file)?;
            rows.iter().flat_map(|row| row.iter().take(2)).map(str::to_owned).collect()
        } else {
            std::fs::read_to_string(file)?.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        all.retain(|text| !text.trim().is_empty());
        all.sort_unstable();
        all.dedup();
        all.shuffle(&mut random);
        texts.push(all.into_iter());
    }
    let (mut out, mut tokens) = (Vec::new(), 0);
    while tokens < wanted {
        let round: Vec<String> = texts.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            break;
        }
        for text in round {
            let ids = tokenizer.encode(&text)?.ids;
            tokens += ids.len();
            out.push(ids);
        }
    }
    Ok(out)
}

fn rows(file: &str) -> Fallible<Vec<csv::StringRecord>> {
    let reader = csv::ReaderBuilder::new().has_headers(false).from_path(file)?;
    Ok(reader.into_records().collect::<Result<_, _>>()?)
}

/// Sentence pairs with scores.
struct Pairs {
    sentences: Vec<Vec<u32>>,
    pairs: Vec<[usize; 2]>,
    scores: Vec<f64>,
}

impl Pairs {
    fn read(file: &str, tokenizer: &SentenceTokenizer) -> Fallible<Self> {
        let mut known: HashMap<String, usize> = HashMap::new();
        let (mut sentences, mut pairs, mut scores) = (vec![], vec![], vec![]);
        for row in rows(file)? {
            let mut pair = [0; 2];
            for (text, index) in row.iter().zip(&mut pair) {
                *index = *known.entry(text.to_owned()).or_insert(sentences.len());
                if *index == sentences.len() {
                    sentences.push(tokenizer.encode(text)?.ids);
                }
            }
            pairs.push(pair);
            scores.push(row.get(2).ok_or("a pair without a score")?.trim().parse()?);
        }
        Ok(Self { sentences, pairs, scores })
    }

    /// Rank correlation of the scores with the cosines of the embeddings.
    fn spearman(&self, model: &Model, weights: &EncoderWeights) -> Fallible<f64> {
        let reference = lacuna_model::reference::Reference::new(model.config(), weights);
        let embeddings = reference.embed(&self.sentences, model.pooling())?;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let norms: Vec<f64> = embeddings.iter().map(|x| dot(x, x).sqrt()).collect();
        let cosines: Vec<f64> =
            self.pairs.iter().map(|&[a, b]| dot(&embeddings[a], &embeddings[b]) / (norms[a] * norms[b])).collect();
        Ok(correlation(&ranks(&cosines), &ranks(&self.scores)))
    }
}

/// Ranks from 0; equals share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut out = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        equal.iter().for_each(|&i| out[i] = first as f64 + (equal.len() - 1) as f64 / 2.0);
        first += equal.len();
    }
    out
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (a_mean, b_mean) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - a_mean, b - b_mean)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// Options, each with a value.
struct Args(HashMap<String, Vec<String>>);

impl Args {
    fn read() -> Fallible<Self> {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name} is not an option"))?.to_owned();
            let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
            all.entry(name).or_default().push(value);
        }
        Ok(Self(all))
    }

    fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], |values| values)
    }

    fn one(&self, name: &str) -> Fallible<&str> {
        Ok(self.get(name).first().ok_or_else(|| format!("--{name} is missing"))?)
    }

    fn or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.get(name).first().map_or(default, |value| value)
    }
}
