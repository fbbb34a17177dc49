//! `lacuna pack`: a model directory in, one file out that opens at once.

use std::path::PathBuf;

use lacuna::tasks::ClassifyRecord;
use lacuna::{PackedModel, Precision};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{Target, print, print_json, say};
use lacuna_console::progress::Spinner;
use lacuna_console::source::exactly_one;

use crate::calibration::CalibrationArgs;
use crate::model::{FormArg, ModelArgs, TuneArgs};
use crate::packed::Contents;

/// Pack a model into one file that opens in milliseconds
///
/// Reads the model, prunes it if --sparsity is given, calibrates and quantises it, chooses forms and schedules, and writes everything
/// that running it needs: tokenizer, pooling, head, embedding tables, weights as the kernels read them. The file runs on every tier;
/// code is generated when it is opened. Give it to other commands as --model FILE.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  lacuna pack --model all-MiniLM-L6-v2 --calibrate sentences.txt --output minilm.lacuna
  lacuna pack --model all-MiniLM-L6-v2 --sparsity 0.9 --calibrate sentences.txt --tune 20 --output minilm90.lacuna
  echo 'A cat sits.' | lacuna embed --model minilm.lacuna

The file appears when it is complete, or not at all; one of the same name is replaced, and processes that have it open keep what
they have. docs/packed.md has the format.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    form: FormArg,

    #[command(flatten)]
    tuning: TuneArgs,

    /// Store word and position embeddings as bytes with a scale per row: a much smaller file, and slightly other results
    #[arg(long)]
    small_tables: bool,

    /// Where the packed model goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Print what was packed as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let target = Target::new(Some(&args.output))?; // refused before the work is done
    let path = target.file("--output")?;
    args.model.source.refuse_packed("lacuna pack", "pack the model's folder again")?;
    let texts = args.calibration.texts::<ClassifyRecord>()?;
    let contents = pool(context.threads())?.install(|| {
        let model = args.model.pruning.apply(args.model.read()?)?;
        let calibrated = args.calibration.run(model, texts.as_ref(), context.tier)?;
        args.calibration.summary(calibrated.basis()).remark().iter().for_each(say);
        let bf16 = calibrated.precision().iter().flat_map(|l| [l.attn_in, l.ffn_in, l.gelu_out]);
        if bf16.filter(|precision| *precision == Precision::Bf16).count() > 0 {
            say("some layers are in bf16: the file runs on CPUs with AVX512_BF16, and in the portable tier");
        }
        let packed = args.tuning.pack(&calibrated, args.form.into(), args.small_tables, context)?;
        let _spinner = Spinner::new(format!("writing {}", path.display()));
        packed.write(path)?;
        // The file is read back, so that the report shows what it really holds.
        Ok::<_, lacuna_console::error::Error>(Contents::of(&PackedModel::open(path)?))
    })?;
    match args.json {
        true => print_json(&contents),
        false => print(contents),
    }
}
