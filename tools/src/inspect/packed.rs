//! Packed files: their sections, and the kernels for them.

use lacuna::{LoadReport, PackedModel};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use serde::Serialize;

use super::args::Args;
use crate::model::FormArg;
use crate::packed::{Contents, decided};

#[derive(Serialize)]
struct Inspection {
    tier: &'static str,
    #[serde(flatten)]
    contents: Contents,
    report: LoadReport,
}

pub(super) fn inspect(args: &Args, model: &PackedModel, context: &Context) -> Result<()> {
    if !matches!(args.form, FormArg::Auto) {
        return Err(decided("--form", format!("{:?}", args.form).to_lowercase()));
    }
    let encoder = pool(context.threads())?.install(|| model.compiler().tier(context.tier).compile())?;
    let (contents, report) = (Contents::of(model), encoder.report().clone());
    let inspection = Inspection { tier: context.tier.name(), contents, report };
    if args.json {
        return print_json(&inspection);
    }
    let Inspection { contents, report, .. } = inspection;
    print(format!("{contents}\n{report}\n{}", contents.section_table()))
}
