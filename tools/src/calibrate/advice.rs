//! What to do next about what a calibration shows.

use std::fmt::Write as _;

use lacuna::calibration::{CalibrationReport, Choice, TensorReport};
use lacuna::{Precision, Tier};

use lacuna_console::table::plural;

use crate::calibration::runs_bf16;
use crate::command::Command;

/// Texts of fewer tokens than this, special tokens included, are single words.
const SHORT: usize = 4;
/// A precision must gain this much to be worth mentioning.
const WORTH_DB: f64 = 3.0;

/// What to do next.
///
/// `command` is what was given, but for what is printed; `truncated` texts were longer than the model's limit.
pub(super) fn advice(command: &Command, report: &CalibrationReport, truncated: usize, tier: Tier) -> String {
    let mut text = String::new();
    let [short, _, long] = report.lengths;
    if short > SHORT {
        let _ = writeln!(
            text,
            "no text of fewer than {short} tokens was seen; such texts, single words above all, lose more: add some if they will be embedded"
        );
    }
    if truncated > 0 {
        let was = if truncated == 1 { "was" } else { "were" };
        let sentences = plural(truncated, "sentence");
        let _ = writeln!(text, "{sentences} {was} truncated to the model's limit of {}", plural(long, "token"));
    }
    let bf16 = runs_bf16(tier);
    let helped = report.tensors.iter().find_map(|tensor| Some((tensor, better(tensor, bf16)?)));
    if let (Some((tensor, better)), None) = (helped, report.keep_below_db) {
        let now = better.now;
        let would = better.db.map_or_else(|| "be exact".to_owned(), |db| format!("have {db:.1} dB"));
        let _ = writeln!(
            text,
            "in {}, {} would {would} instead of {now:.1}{}; to keep what is as noisy:\n  {}",
            better.precision,
            name(tensor),
            better.elsewhere(bf16),
            command.clone().option("--keep-below", now.ceil() + 1.0)
        );
    }
    if report.choice == Choice::Fixed {
        let _ =
            writeln!(text, "to choose range and smoothing tensor by tensor:\n  {}", command.clone().flag("--choose"));
    }
    text
}

/// A more exact arithmetic for a tensor.
struct Better {
    precision: Precision,
    /// What it gives; nothing if it is exact.
    db: Option<f64>,
    /// What static 8 bit gives.
    now: f64,
    /// Whether bf16 would be enough.
    bf16_is_enough: bool,
}

impl Better {
    fn elsewhere(&self, bf16: bool) -> &'static str {
        match (bf16, self.bf16_is_enough) {
            (false, true) => " (bf16 would do on a CPU with AVX512_BF16, which this one lacks)",
            _ => "",
        }
    }
}

/// The cheapest arithmetic that this machine runs and that does more than a little for a static tensor.
fn better(tensor: &TensorReport, bf16: bool) -> Option<Better> {
    let now = tensor.snr_db.filter(|_| tensor.precision == Precision::Static)?;
    let does_more = |db: Option<f64>| db.is_none_or(|db| db >= now + WORTH_DB);
    let others =
        || tensor.precisions.iter().filter(|other| other.precision != Precision::Static && does_more(other.snr_db));
    let found = others().find(|other| bf16 || other.precision != Precision::Bf16)?;
    let cheapest = others().next()?;
    let bf16_is_enough = cheapest.precision == Precision::Bf16;
    Some(Better { precision: found.precision, db: found.snr_db, now, bf16_is_enough })
}

/// The name of a tensor, with its layer.
pub(super) fn name(tensor: &TensorReport) -> String {
    let layer = tensor.layer.map_or_else(|| "embeddings".to_owned(), |layer| format!("layer {layer}"));
    format!("{layer}, {}", tensor.tensor)
}
