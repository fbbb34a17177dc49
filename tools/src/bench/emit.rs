//! `lacuna bench emit`: how fast code is generated.

use std::time::{Duration, Instant};

use iced_x86::{Decoder, DecoderOptions};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use lacuna_console::progress::Steps;
use lacuna_console::stats::median;
use lacuna_console::table::{Table, bytes};
use lacuna_jit::Isa;
use lacuna_kernels::attention::AttentionDesc;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::epilogue::{Activation, Epilogue};
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::layernorm::LayerNormDesc;
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::spmm::SpmmDesc;
use lacuna_kernels::{ActivationBits, Block, Generate, PanelLayout, Sign, Sink};
use serde::Serialize;

/// How fast code is generated
///
/// Emits the kernels of an encoder layer again and again on one thread, from plan to finished bytes, and counts their
/// instructions by disassembling them once.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lacuna bench emit --hidden 768

The median time of each kernel counts. Loading a model emits every distinct kernel once.")]
pub(super) struct Args {
    /// Hidden size of the layer
    #[arg(long, value_name = "D", default_value_t = 384, value_parser = args::at_least_one)]
    hidden: usize,

    /// Features per attention head, a multiple of 4
    #[arg(long, value_name = "D", default_value_t = 32, value_parser = args::at_least_one)]
    head_size: usize,

    /// Emissions of each kernel
    #[arg(long, value_name = "R", default_value_t = 200, value_parser = args::at_least_one)]
    repeats: usize,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    tier: &'static str,
    kernels: Vec<Emission>,
    total: Emission,
}

#[derive(Serialize)]
struct Emission {
    name: String,
    bytes: usize,
    instructions: usize,
    emit_us: f64,
    /// Null where nothing is emitted.
    million_instructions_per_second: Option<f64>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let plans = match context.isa() {
        Isa::Portable => Vec::new(),
        isa => plans(args, isa)?,
    };
    let steps = Steps::new(plans.len());
    let mut kernels = Vec::with_capacity(plans.len());
    for plan in &plans {
        steps.begin(plan.name());
        kernels.push(measure(plan, args.repeats)?);
        steps.end();
    }
    drop(steps);
    let total = Emission::new(
        "total".into(),
        kernels.iter().map(|k| k.bytes).sum(),
        kernels.iter().map(|k| k.instructions).sum(),
        kernels.iter().map(|k| k.emit_us).sum(),
    );
    let report = Report { tier: context.tier.name(), kernels, total };
    match args.json {
        true => print_json(&report),
        false => print(report.text()),
    }
}

/// The kernels of one encoder layer, sparse and dense, and those around it.
fn plans(args: &Args, isa: Isa) -> Result<Vec<AnyPlan>> {
    let (d, wide) = (args.hidden, args.hidden.saturating_mul(4));
    let mut plans = Vec::new();
    let mut both = |m, k, epilogue| -> Result<()> {
        plans.push(
            SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?.key(),
        );
        plans.push(GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?.key());
        Ok(())
    };
    both(d, d, Epilogue::requantize(PanelLayout::Plain, Sign::Signed))?;
    both(d, d, Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned))?;
    both(d, d, Epilogue::f32(true))?;
    both(wide, d, Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned))?;
    both(wide, d, Epilogue::gelu(PanelLayout::Vnni, Sign::Unsigned))?;
    both(d, wide, Epilogue::f32(true))?;
    let (layout, sign) = (PanelLayout::Plain, Sign::Unsigned);
    plans.push(
        AttentionDesc { head_size: args.head_size, output: layout, activation_bits: ActivationBits::Eight }
            .plan(isa)?
            .key(),
    );
    plans.push(
        LayerNormDesc { features: d, f32: true, panel: Some(layout), activation_bits: ActivationBits::Eight }
            .plan(isa)?
            .key(),
    );
    plans.push(EmbeddingDesc { features: d }.plan(isa)?.key());
    plans.push(SoftmaxDesc { features: d }.plan(isa)?.key());
    let sink = Sink::bytes(layout, sign).with(Activation::Gelu);
    plans.push(ElementwiseDesc { features: d, sink }.plan(isa)?.key());
    plans.retain(|plan| plan.isa() != Isa::Portable); // kernels that this tier has no code for
    Ok(plans)
}

fn measure(plan: &AnyPlan, repeats: usize) -> Result<Emission> {
    let code = plan.emit()?;
    let instructions = Decoder::new(64, &code.bytes, DecoderOptions::NONE).iter().count();
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        let code = plan.emit()?;
        times.push(start.elapsed());
        drop(code);
    }
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    Ok(Emission::new(code.name, code.bytes.len(), instructions, median(&mut seconds) * 1e6))
}

impl Emission {
    fn new(name: String, bytes: usize, instructions: usize, emit_us: f64) -> Emission {
        let rate = (emit_us > 0.0).then(|| instructions as f64 / emit_us);
        Emission { name, bytes, instructions, emit_us, million_instructions_per_second: rate }
    }
}

impl Report {
    fn text(&self) -> String {
        if self.kernels.is_empty() {
            return format!("tier {}: no code is generated\n", self.tier);
        }
        let mut table = Table::new(&["<kernel", "code", "instructions", "us", "M instructions/s"]);
        for kernel in self.kernels.iter().chain([&self.total]) {
            table.row([
                kernel.name.clone(),
                bytes(kernel.bytes),
                kernel.instructions.to_string(),
                format!("{:.2}", kernel.emit_us),
                lacuna_console::table::number(kernel.million_instructions_per_second, 1),
            ]);
        }
        format!("code emission, 1 thread, medians\n\n{table}")
    }
}
