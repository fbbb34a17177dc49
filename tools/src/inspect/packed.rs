//! What a packed file holds, and what would be generated for it.

use lacuna::{LoadReport, PackedModel};
use serde::Serialize;

use super::Args;
use crate::context::{Context, pool};
use crate::error::Result;
use crate::model::FormArg;
use crate::output::{print, print_json};
use crate::packed::{Contents, decided};

/// A packed file, and the kernels for it.
#[derive(Serialize)]
struct PackedInspection {
    tier: &'static str,
    #[serde(flatten)]
    contents: Contents,
    report: LoadReport,
}

pub(super) fn inspect(args: &Args, model: &PackedModel, context: &Context) -> Result<()> {
    if !matches!(args.form, FormArg::Auto) {
        return Err(decided("--form", format!("{:?}", args.form).to_lowercase()));
    }
    let encoder = pool(context.threads())?.install(|| model.compile_with(context.compile_options()))?;
    let (contents, report) = (Contents::of(model), encoder.report().clone());
    let inspection = PackedInspection { tier: context.tier.name(), contents, report };
    match args.json {
        true => print_json(&inspection),
        false => {
            print(format!("{}\n{}\n{}", inspection.contents, inspection.report, inspection.contents.section_table()))
        }
    }
}
