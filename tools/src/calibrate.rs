//! `lacuna calibrate`: where quantisation costs accuracy, and what would help.

use std::fmt::Write as _;

use lacuna::calibration::{CalibrationOptions, CalibrationReport, TensorReport};
use lacuna::{CalibratedModel, Precision};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use lacuna_console::table::{Table, number};
use serde::Serialize;

use crate::calibration::{CalibrationArgs, calibrate};
use crate::model::ModelArgs;

/// Rows that are printed without `--all`.
const WORST: usize = 8;
/// Texts of fewer tokens than this, special tokens included, are single words.
const SHORT: usize = 4;
/// A precision must gain this much to be worth mentioning.
const WORTH_DB: f64 = 3.0;

/// Calibrate a model, and see which tensors lose accuracy and what would help
///
/// Fits the quantisation on one half of the sentences and measures it on the other: per tensor, the signal to noise ratio of what the
/// linear layers that read it compute, with weights and activations rounded; over the whole model, the cosine of embeddings to those
/// of the f32 model.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate stsb-en-train.csv --choose --all
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt --keep-below 38 --json

Columns: dB is the signal to noise ratio (6 dB are one bit; 40 dB are 1 % of noise); static, dynamic and bf16 are what each arithmetic \
gives for the tensor, where it has a choice; clipped is the share of held-out values outside the codes. Rows are sorted, the worst first.
Columns of --json are those of lacuna::calibration::CalibrationReport, with every candidate that was tried.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Print every tensor, not only the worst
    #[arg(long)]
    all: bool,

    /// Print the report; the command always does
    #[arg(long, hide = true)]
    report: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationArgs,
}

#[derive(Serialize)]
struct Output<'a> {
    model: String,
    sentences: usize,
    truncated: usize,
    seconds: f64,
    #[serde(flatten)]
    report: &'a CalibrationReport,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let sentences = args.calibration.require()?;
    let calibrated = pool(context.threads())?.install(|| -> Result<CalibratedModel> {
        let model = args.model.pruning.apply(args.model.read()?)?;
        let options = CalibrationOptions { report: true, ..args.calibration.scheme.options() };
        calibrate(model, &sentences, &options)
    })?;
    let Some(report) = calibrated.report() else { return Ok(()) }; // asked for above
    let output = Output {
        model: args.model.source.name(),
        sentences: sentences.len(),
        truncated: calibrated.truncated_sentences(),
        seconds: calibrated.model().timings().calibrate.as_secs_f64(),
        report,
    };
    match args.json {
        true => print_json(&output),
        false => print(text(args, &output)),
    }
}

fn text(args: &Args, output: &Output<'_>) -> String {
    let CalibrationReport { sequences, held_out, tokens, lengths: [short, median, long], rows, tensors, .. } =
        output.report;
    let mut text = format!(
        "{}: {sequences} sentences, {tokens} tokens, lengths {short} to {long}, median {median}; {:.1} s\n",
        output.model, output.seconds
    );
    let judged = match held_out {
        0 => "measured on the same sentence: one cannot be divided".to_owned(),
        _ => format!("fitted on {} sentences, measured on the other {held_out} ({rows} rows)", sequences - held_out),
    };
    let (mean, min) = (output.report.cosine_mean, output.report.cosine_min);
    let _ = writeln!(text, "{judged}: cosine of embeddings to f32 mean {mean:.5}, least {min:.5}\n");
    let shown = if args.all { tensors.len() } else { WORST.min(tensors.len()) };
    let _ = write!(text, "{}", table(&tensors[..shown]));
    if shown < tensors.len() {
        let _ = writeln!(text, "and {} better ones (--all shows them)", tensors.len() - shown);
    }
    let kept = tensors.iter().filter_map(|tensor| Some((tensor, tensor.reason.as_deref()?)));
    for (tensor, reason) in kept {
        let verb = if tensor.precision == Precision::Static { "left" } else { "kept" };
        let _ = writeln!(text, "{verb} in {}: {} ({reason})", tensor.precision, name(tensor));
    }
    let advice = advice(args, output);
    if !advice.is_empty() {
        let _ = write!(text, "\n{advice}");
    }
    text
}

fn name(tensor: &TensorReport) -> String {
    let layer = tensor.layer.map_or_else(|| "embeddings".to_owned(), |layer| format!("layer {layer}"));
    format!("{layer}, {}", tensor.tensor)
}

fn table(tensors: &[TensorReport]) -> Table {
    let headings = [
        "layer",
        "<tensor",
        "<read by",
        "<range",
        "<smoothing",
        "dB",
        "error",
        "clipped",
        "static",
        "dynamic",
        "bf16",
        "<in",
    ];
    let mut table = Table::new(&headings);
    for tensor in tensors {
        let would = |precision| {
            let found = tensor.precisions.iter().find(|of| of.precision == precision);
            number(found.and_then(|of| of.snr_db), 1)
        };
        table.row([
            tensor.layer.map_or_else(|| "-".into(), |layer| layer.to_string()),
            tensor.tensor.into(),
            tensor.readers.join(" "),
            if tensor.given { "file".into() } else { tensor.range.to_string() },
            tensor.smoothing.filter(|_| !tensor.given).map_or_else(|| "-".into(), |smoothing| smoothing.to_string()),
            tensor.snr_db.map_or_else(|| "exact".into(), |db| format!("{db:.1}")),
            format!("{:.2} %", tensor.relative_error * 1e2),
            format!("{:.3} %", tensor.clipped * 1e2),
            would(Precision::Static),
            would(Precision::Dynamic),
            would(Precision::Bf16),
            tensor.precision.to_string(),
        ]);
    }
    table
}

/// What to do next.
fn advice(args: &Args, output: &Output<'_>) -> String {
    let report = output.report;
    let mut text = String::new();
    let [short, _, long] = report.lengths;
    if short > SHORT {
        let _ = writeln!(
            text,
            "no text of fewer than {short} tokens was seen; such texts, single words above all, lose more: add some if they will be embedded"
        );
    }
    if output.truncated > 0 {
        let _ = writeln!(text, "{} sentences were truncated to the model's limit of {long} tokens", output.truncated);
    }
    // The worst tensor for which another arithmetic would do more than a little.
    let scheme = &args.calibration.scheme;
    let helped = report.tensors.iter().filter(|tensor| tensor.precision == Precision::Static).find_map(|tensor| {
        let now = tensor.snr_db?;
        let others = tensor.precisions.iter().filter(|other| other.precision != Precision::Static);
        let better = others
            .map(|other| (other.precision, other.snr_db))
            .find(|(_, db)| db.is_none_or(|db| db >= now + WORTH_DB))?;
        Some((tensor, now, better))
    });
    let command = || {
        let path = args.calibration.calibrate.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let given = args.model.source.options().into_iter();
        let source: String =
            given.filter_map(|(option, value)| value.map(|value| format!(" {option} {value}"))).collect();
        format!("lacuna calibrate{source} --calibrate {path}")
    };
    if let (Some((tensor, now, (precision, db))), None) = (helped, report.keep_below_db) {
        let db = db.map_or_else(|| "be exact".to_owned(), |db| format!("have {db:.1} dB"));
        let _ = writeln!(
            text,
            "in {precision}, {} would {db} instead of {now:.1}; to keep what is as noisy:\n  {}{} --keep-below {}",
            name(tensor),
            command(),
            scheme.again(),
            now.ceil() + 1.0
        );
    }
    if report.choice == lacuna::calibration::Choice::Fixed {
        let _ = writeln!(
            text,
            "to choose range and smoothing tensor by tensor:\n  {}{} --choose",
            command(),
            scheme.again()
        );
    }
    text
}
