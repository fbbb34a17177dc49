//! `lacuna bench lengths`: what it costs that the sequences of a batch are not of one length.

use std::ops::RangeInclusive;

use lacuna::calibration::ActivationBits;
use lacuna::tokens::seeded_ids;
use lacuna::{Encoder, Form};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Steps;
use lacuna_console::table::plural;
use lacuna_console::timing::{Samples, Work};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::options::{Bench, Options};
use super::report::{Row, Unit};
use super::subject::{
    MAX_TOKENS, Prepared, Subject, SubjectArgs, compile_packed, packed_sparsity, prepare, say_remarks, sparsities,
};
use crate::model::TuneArgs;
use crate::packed::needs_weights;

/// A batch of sequences of many lengths, compared with the same batch padded
///
/// A model, or a file of lacuna pack as it is, embeds a batch of sequences whose lengths are drawn uniformly, packed back to back as Lacuna always does. In turn
/// with it are timed: the same batch as an engine that pads would run it, every sequence as long as the longest; a batch of as many
/// tokens in sequences of equal lengths; and the sequences one by one.
#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{COLUMNS}"))]
pub(super) struct Args {
    #[command(flatten)]
    subject: SubjectArgs,

    /// Fractions of 4x1 blocks pruned, 0 <= S < 1; a comma-separated list [default: 0.9 with --arch, else the zeros that are
    /// there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Vec<f64>,

    /// Sequences per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "64", value_parser = args::at_least_one)]
    sequences: Vec<usize>,

    /// Shortest and longest sequence in tokens, A-B
    #[arg(long, value_name = "A-B", default_value = "5-60", value_parser = args::lengths)]
    lengths: RangeInclusive<usize>,

    #[command(flatten)]
    tuning: TuneArgs,

    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "\
Examples:
  lacuna bench lengths --arch minilm
  lacuna bench lengths --arch bert-base --sequences 16,64 --lengths 5-128 --threads 2
  lacuna bench lengths --model minilm.lacuna
  lacuna bench lengths --from-hub sentence-transformers/all-MiniLM-L6-v2 --sparsity 0.8,0.9 --json

--seed chooses the lengths, too.";

const COLUMNS: &str = "\
Columns: the tokens of the batch, and those of it padded; median time of the packed batch in ms, its spread, and microseconds per \
token; then the times of the padded batch, of as many tokens in equal lengths, and of the sequences one by one, in ms, each with the \
share of it that the packed batch takes (medians of the ratios of samples taken in turn). Tokens / padded is what that share would be \
if a token cost the same in both: attention alone makes it less. The share of the equal lengths is 1 where many lengths cost nothing.

JSON: an array of objects with kernel (lengths), name, batch, shortest, longest (of the range), sparsity, threads, caches, tier, tokens, \
longest_tokens (of the batch), padded_tokens, median_us, median_ms, best_us, spread, samples, us_per_token, tokens_over_padded, \
padded_ms, ratio_to_padded, equal_ms, ratio_to_equal, one_by_one_ms, ratio_to_one_by_one; with --baseline baseline_us and \
ratio_to_baseline. CSV has the same columns.";

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let bench = Bench::new(&args.options, context)?;
    let seed = args.options.seed;
    let (name, subject) = args.subject.open(seed)?;
    let model = match subject {
        Subject::Packed(model) => {
            if !args.sparsity.is_empty() {
                return Err(needs_weights(&model, "--sparsity", "prune with lacuna pack --sparsity"));
            }
            args.tuning.check_packed()?;
            args.check(model.config().max_position)?;
            let encoder = compile_packed(&model, context)?;
            let sparsity = packed_sparsity(&model, &encoder);
            return bench.run(|| args.rows(&bench, &Measured { name: &name, sparsity, encoder: &encoder }));
        }
        Subject::Weights(model) => *model,
    };
    args.check(model.config().max_position)?;
    let is_random = args.subject.is_random();
    let sparsities = sparsities(&args.sparsity, is_random);
    let (mut rows, mut remarks) = (Vec::new(), Vec::new());
    for (&asked, model) in sparsities.iter().zip(std::iter::repeat_n(model, sparsities.len())) {
        let Prepared { calibrated, sparsity, remark } = prepare(model, asked, ActivationBits::default(), seed)?;
        remarks.extend(remark);
        let encoder = args.tuning.compile(&calibrated, Form::Auto, context)?;
        let measured = Measured { name: &name, sparsity, encoder: &encoder };
        rows.append(&mut bench.measure(|| args.rows(&bench, &measured))?);
    }
    say_remarks(remarks, is_random);
    bench.finish(rows)
}

/// The encoder that is measured.
struct Measured<'a> {
    name: &'a str,
    sparsity: f64,
    encoder: &'a Encoder,
}

impl Args {
    fn check(&self, max_position: usize) -> Result<()> {
        let longest = *self.lengths.end();
        if longest > max_position {
            return Err(Error::Argument {
                option: "--lengths",
                found: longest.to_string(),
                expected: format!("at most {max_position}, the positions of the model"),
            });
        }
        match self.sequences.iter().find(|&&sequences| sequences.saturating_mul(longest) > MAX_TOKENS) {
            None => Ok(()),
            Some(sequences) => Err(Error::Argument {
                option: "--sequences",
                found: format!("{sequences} of up to {longest} tokens"),
                expected: format!("at most {MAX_TOKENS} tokens in a batch"),
            }),
        }
    }

    fn rows(&self, bench: &Bench<'_>, measured: &Measured<'_>) -> Result<Vec<Row>> {
        let steps = Steps::new(self.sequences.len());
        let mut rows = Vec::with_capacity(self.sequences.len());
        for &sequences in &self.sequences {
            steps.begin(plural(sequences as u64, "sequence"));
            rows.push(self.row(bench, measured, sequences)?);
            steps.end();
        }
        Ok(rows)
    }

    fn row(&self, bench: &Bench<'_>, measured: &Measured<'_>, sequences: usize) -> Result<Row> {
        let Measured { name, sparsity, encoder } = *measured;
        let batches = Batches::new(&draw(&self.lengths, sequences, self.options.seed), encoder, self.options.seed);
        let (tokens, padded_tokens) = (count(&batches.packed), count(&batches.padded));
        let [packed, padded, equal, single] = batches.time(bench, encoder)?;

        let mut row = Row::new("lengths", name.to_owned());
        row.size("batch", "batch", sequences);
        row.size("shortest", "from", *self.lengths.start());
        row.size("longest", "to", *self.lengths.end());
        row.sparsity(sparsity);
        row.setting(bench.threads, bench.caches());
        row.fact("tier", bench.context.tier.name());
        row.size("tokens", "tokens", tokens);
        row.fact("longest_tokens", padded_tokens / sequences);
        row.size("padded_tokens", "padded", padded_tokens);
        let seconds = packed.median();
        row.figure("median_us", None, Some(seconds * 1e6), Unit::Decimals(2));
        row.figure("median_ms", Some("ms"), Some(seconds * 1e3), Unit::Decimals(3));
        row.figure("best_us", None, Some(packed.best() * 1e6), Unit::Decimals(2));
        row.figure("spread", Some("spread"), Some(packed.spread()), Unit::Percent);
        row.fact("samples", packed.len());
        row.figure("us_per_token", Some("us/token"), Some(seconds * 1e6 / tokens as f64), Unit::Decimals(3));
        let share = tokens as f64 / padded_tokens as f64;
        row.figure("tokens_over_padded", Some("tokens / padded"), Some(share), Unit::Ratio("-"));
        for (samples, [ms, ratio], [ms_heading, ratio_heading]) in [
            (&padded, ["padded_ms", "ratio_to_padded"], ["padded ms", "of padded"]),
            (&equal, ["equal_ms", "ratio_to_equal"], ["equal ms", "of equal"]),
            (&single, ["one_by_one_ms", "ratio_to_one_by_one"], ["one by one ms", "of one by one"]),
        ] {
            row.figure(ms, Some(ms_heading), Some(samples.median() * 1e3), Unit::Decimals(3));
            row.figure(ratio, Some(ratio_heading), Some(packed.ratio_to(samples)), Unit::Ratio("-"));
        }
        Ok(row)
    }
}

/// Lengths drawn uniformly.
fn draw(lengths: &RangeInclusive<usize>, sequences: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..sequences).map(|_| rng.random_range(lengths.clone())).collect()
}

/// As many lengths of the same sum that differ by at most one.
fn equalized(lengths: &[usize]) -> Vec<usize> {
    let (sum, count) = (lengths.iter().sum::<usize>(), lengths.len());
    (0..count).map(|i| sum / count + usize::from(i < sum % count)).collect()
}

fn count(ids: &[Vec<u32>]) -> usize {
    ids.iter().map(Vec::len).sum()
}

/// The same sequences in the ways that are timed.
struct Batches {
    packed: Vec<Vec<u32>>,
    padded: Vec<Vec<u32>>,
    equal: Vec<Vec<u32>>,
}

impl Batches {
    fn new(lengths: &[usize], encoder: &Encoder, seed: u64) -> Batches {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        // What a token is does not matter to the time: padding is tokens like others.
        let padded = seeded_ids(encoder.config().vocab_size, lengths.len(), longest, seed.wrapping_add(2));
        let cut = |lengths: &[usize]| padded.iter().zip(lengths).map(|(ids, &length)| ids[..length].to_vec()).collect();
        Batches { packed: cut(lengths), equal: cut(&equalized(lengths)), padded: padded.clone() }
    }

    /// Packed, padded, in equal lengths, one by one; one sample of each per round.
    fn time(&self, bench: &Bench<'_>, encoder: &Encoder) -> Result<[Samples; 4]> {
        let features = encoder.features();
        let embed = |ids: &'_ [Vec<u32>]| {
            let (ids, mut out) = (ids.to_vec(), vec![0.0; ids.len() * features]);
            move || Ok(encoder.embed_ids_into(&ids, &mut out)?)
        };
        let (mut packed, mut padded, mut equal) = (embed(&self.packed), embed(&self.padded), embed(&self.equal));
        let mut out = vec![0.0; features];
        let mut single = || {
            let all = self.packed.chunks(1);
            all.into_iter().try_for_each(|ids| Ok(encoder.embed_ids_into(ids, &mut out)?))
        };
        let mut works: [&mut dyn Work; 4] = [&mut packed, &mut padded, &mut equal, &mut single];
        let mut samples = bench.time(&mut works, || Ok(()))?.into_iter();
        Ok(std::array::from_fn(|_| samples.next().unwrap_or_else(Samples::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_the_range_and_equal_ones_have_their_sum() {
        let lengths = draw(&(5..=60), 1000, 3);
        assert!(lengths.iter().all(|length| (5..=60).contains(length)));
        assert!(lengths.contains(&5) && lengths.contains(&60));
        assert_eq!(draw(&(5..=60), 1000, 3), lengths);
        assert_ne!(draw(&(5..=60), 1000, 4), lengths);
        for lengths in [&lengths[..], &[7], &[1, 1, 2], &[3, 3]] {
            let equal = equalized(lengths);
            assert_eq!((equal.len(), equal.iter().sum::<usize>()), (lengths.len(), lengths.iter().sum()));
            assert!(equal.iter().max().unwrap() - equal.iter().min().unwrap() <= 1);
        }
    }
}
