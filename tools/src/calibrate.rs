//! `lacuna calibrate`: where quantisation costs accuracy, and what would help.

mod advice;

use std::fmt::Write as _;

use lacuna::calibration::{
    ActivationBits, CalibrationOptions, CalibrationReport, CalibrationTexts, TensorReport, spread,
};
use lacuna::tasks::ClassifyRecord;
use lacuna::{CalibratedModel, Precision, Tier};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{Target, print, print_json, say};
use lacuna_console::source::exactly_one;
use lacuna_console::table::{Table, number, plural};
use serde::Serialize;

use self::advice::{advice, name};
use crate::calibration::{CalibrationArgs, CalibrationSummary, runs_bf16};
use crate::command::Command;
use crate::model::{ModelArgs, of_embeddings};

/// Rows that are printed without `--all`.
const WORST: usize = 8;

/// Calibrate a model, and see which tensors lose accuracy and what would help
///
/// Fits the quantisation on one half of the sentences and measures it on the other: per tensor, the signal to noise ratio of what the
/// linear layers that read it compute, with weights and activations rounded; over the whole model, the cosine of embeddings to those
/// of the f32 model.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate stsb-en-train.csv --choose --all
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt --keep-below 38 --json
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt --save

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

    /// Also write the texts that were used into the model's folder, as lacuna-calibration.jsonl: every command calibrates on them
    /// from then on
    #[arg(long, requires = "calibrate")]
    save: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationArgs,
}

#[derive(Serialize)]
struct Output<'a> {
    model: String,
    /// On what.
    calibration: CalibrationSummary,
    /// Texts that were used.
    sentences: usize,
    truncated: usize,
    seconds: f64,
    #[serde(flatten)]
    report: &'a CalibrationReport,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    args.model.source.refuse_packed("lacuna calibrate", "calibrate it there, and pack it again")?;
    let texts = args.calibration.texts::<ClassifyRecord>()?;
    let calibrated = pool(context.threads())?.install(|| -> Result<CalibratedModel> {
        let model = args.model.read()?;
        of_embeddings(model.remarks()).iter().for_each(say);
        let model = args.model.pruning.apply(model)?;
        let options = CalibrationOptions { report: true, ..args.calibration.scheme.options(context.tier) };
        args.calibration.run_with(model, texts.as_ref(), &options)
    })?;
    let Some(report) = calibrated.report() else { return Ok(()) }; // asked for above
    let output = Output {
        model: args.model.source.name(),
        calibration: args.calibration.summary(calibrated.basis()),
        sentences: calibrated.basis().texts,
        truncated: calibrated.truncated_sentences(),
        seconds: calibrated.model().timings().calibrate.as_secs_f64(),
        report,
    };
    match args.json {
        true => print_json(&output)?,
        false => print(text(args, &output, context.tier))?,
    }
    match texts.filter(|_| args.save) {
        Some(texts) => save(&calibrated, &texts, args.calibration.limit()),
        None => Ok(()),
    }
}

/// Writes the texts that were used beside the model.
fn save(calibrated: &CalibratedModel, texts: &CalibrationTexts, limit: usize) -> Result<()> {
    let Some(path) = calibrated.model().calibration_path() else { return Ok(()) }; // it was read from a folder
    let used = CalibrationTexts::new(spread(texts.inputs(), limit));
    Target::new(Some(&path))?.write(|out| used.write(out))?;
    say(format_args!("{} written to {}", plural(used.len(), "text"), path.display()));
    Ok(())
}

fn text(args: &Args, output: &Output<'_>, tier: Tier) -> String {
    let report = output.report;
    let CalibrationReport { sequences, held_out, tokens, lengths: [short, median, long], rows, tensors, .. } =
        output.report;
    let mut text = format!(
        "{}: calibrated on {}\n{}, {}, lengths {short} to {long}, median {median}; {:.1} s\n",
        output.model,
        output.calibration,
        plural(*sequences, "sentence"),
        plural(*tokens, "token"),
        output.seconds
    );
    if report.activation_bits != ActivationBits::default() {
        let _ = writeln!(text, "linear layers read codes of {} bits", report.activation_bits);
    }
    let judged = match held_out {
        0 => "measured on the same sentence: one cannot be divided".to_owned(),
        _ => {
            let fitted = plural(sequences - held_out, "sentence");
            format!("fitted on {fitted}, measured on the other {held_out} ({})", plural(*rows, "row"))
        }
    };
    let (mean, min) = (output.report.cosine_mean, output.report.cosine_min);
    let _ = writeln!(text, "{judged}: cosine of embeddings to f32 mean {mean:.5}, least {min:.5}\n");
    let shown = if args.all { tensors.len() } else { WORST.min(tensors.len()) };
    let _ = write!(text, "{}", table(&tensors[..shown]));
    if shown < tensors.len() {
        let better = plural(tensors.len() - shown, "better one");
        let _ = writeln!(text, "and {better} (--all shows all)");
    }
    let kept = tensors.iter().filter_map(|tensor| Some((tensor, tensor.reason.as_deref()?)));
    for (tensor, reason) in kept {
        let verb = if tensor.precision == Precision::Static { "left" } else { "kept" };
        let _ = writeln!(text, "{verb} in {}: {} ({reason})", tensor.precision, name(tensor));
    }
    if report.keep_below_db.is_some() && !runs_bf16(tier) {
        let _ = writeln!(text, "this CPU lacks AVX512_BF16, so bf16 was no choice: f32 takes its place");
    }
    let advice = advice(&command(args), report, output.truncated, tier);
    if !advice.is_empty() {
        let _ = write!(text, "\n{advice}");
    }
    text
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

/// The command that was given, but for what is printed.
fn command(args: &Args) -> Command {
    let calibration = &args.calibration;
    let path = calibration.calibrate.as_ref().map(|path| path.display());
    Command::new("lacuna calibrate")
        .options(args.model.source.options())
        .options(args.model.pruning.options())
        .optional("--calibrate", path)
        .optional("--sentences", calibration.sentences)
        .words(calibration.scheme.again())
}
