//! The report in words.

use std::fmt::Write as _;

use lacuna_console::table::{Table, bytes, number, percent, plural};
use lacuna_kernels::machine::Facts;

use super::report::{CpuReport, Report};

/// Name, unit and value of a figure.
type Figure = (&'static str, &'static str, fn(&Facts) -> f64, usize);

/// The rows of the table of facts, with decimals.
const FIGURES: [Figure; 12] = [
    ("clock while 512-bit instructions run", "GHz", |facts| facts.ghz, 2),
    ("vpdpbusd", "per cycle", |facts| facts.dots, 2),
    ("vpdpbusd after vpdpbusd on the same sums", "cycles", |facts| facts.dot_latency, 1),
    ("unpacks", "per cycle", |facts| facts.shuffles, 2),
    ("vpdpbusd and unpacks together", "per cycle", |facts| facts.dots_and_shuffles, 2),
    ("vector operations of any kind", "per cycle", |facts| facts.operations, 2),
    ("64-byte loads from L1", "per cycle", |facts| facts.zmm_loads, 2),
    ("32-byte loads from L1", "per cycle", |facts| facts.ymm_loads, 2),
    ("64-byte stores to L1", "per cycle", |facts| facts.zmm_stores, 2),
    ("64-byte loads from L2", "per cycle", |facts| facts.l2_loads, 2),
    ("instructions", "per cycle", |facts| facts.instructions, 1),
    ("mispredicted branch", "cycles", |facts| facts.branch_miss, 1),
];

pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    machine(&mut out, report);
    match &report.facts {
        Some(facts) => {
            facts_table(&mut out, report, facts);
            kernel_table(&mut out, report);
        }
        None if !report.tier.generates_code => {
            let tier = report.tier.used;
            let _ = writeln!(
                out,
                "\nTier {tier} runs plain Rust kernels: same results, much slower. Facts and bounds are those of generated code, so there are none."
            );
        }
        None => {
            if let (Some(instruction), Some(peak)) = (report.peak_instruction, report.peak_gops) {
                let _ = writeln!(
                    out,
                    "\nThe {instruction} peak of one core is {} GOP/s. Facts and bounds are measured for AVX-512 only, so there are none.",
                    number(Some(peak), 0)
                );
            }
        }
    }
    for remark in &report.remarks {
        let _ = writeln!(out, "\n{remark}");
    }
    out
}

/// What the machine is and has.
fn machine(out: &mut String, report: &Report) {
    let Report { version, cpu, tier, features, caches, cpus, .. } = report;
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let family = cpu.family.map_or_else(String::new, |family| format!(", {family}"));
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<10} {text}");
    };
    line("lacuna", (*version).to_owned());
    line("CPU", cpu.name.clone());
    line("", format!("{}, microcode {}{family}", cpu.model, cpu.microcode));
    let runs = if tier.generates_code { "generated machine code" } else { "plain Rust kernels" };
    line("tier", format!("{}: {runs}", tier.used));
    match tier.higher.is_empty() {
        true => line("", "there is no higher tier".to_owned()),
        false => tier.higher.iter().for_each(|higher| line("", format!("not {}: {}", higher.name, higher.why))),
    }
    line("features", format!("present: {}", list(&features.present)));
    line("", format!("absent: {}", list(&features.absent)));
    line("", format!("masked: {}", list(&features.masked)));
    line(
        "caches",
        match caches {
            None => "unknown".to_owned(),
            Some(c) => format!("L1 {} for data, L2 {}, L3 {}", bytes(c.l1d), bytes(c.l2), bytes(c.l3)),
        },
    );
    let CpuReport { threads, cores, used } = cpus;
    let cores = cores.map_or_else(String::new, |cores| format!(" on {}", plural(cores, "core")));
    line("threads", format!("{}{cores} may be used; commands use {used}", plural(*threads, "hardware thread")));
}

fn facts_table(out: &mut String, report: &Report, facts: &Facts) {
    let from = match (report.facts_from, &report.facts_file) {
        (Some("file"), Some(path)) => format!("measured before, read from {}", path.display()),
        (_, Some(path)) => format!("measured now, kept in {}", path.display()),
        (_, None) => "measured now, not kept".to_owned(),
    };
    let _ = writeln!(out, "\nFacts of one core, {from}\n");
    let recorded = report.recorded.as_ref().zip(report.cpu.family).zip(report.recorded_source);
    let heading = recorded.map(|((_, family), source)| format!("{family} ({source})"));
    let headings = ["<fact", "<unit", "here"].into_iter().chain(heading.as_deref());
    let mut table = Table::new(&headings.collect::<Vec<_>>());
    for (name, unit, value, decimals) in FIGURES {
        let cells = [name.to_owned(), unit.to_owned(), number(Some(value(facts)), decimals)];
        let other = recorded.map(|((recorded, _), _)| number(Some(value(recorded)), decimals));
        table.row(cells.into_iter().chain(other));
    }
    let _ = write!(out, "{table}");
}

fn kernel_table(out: &mut String, report: &Report) {
    let peak = number(report.peak_gops, 0);
    let _ = writeln!(
        out,
        "\nWhat follows: the VNNI peak of one core is {peak} GOP/s. Kernels reach at most this share of it, by what their inner loops\n\
         execute for each 16 dot products:\n"
    );
    let headings =
        ["<kernel", "shuffles", "operations", "loads", "stores", "instructions", "share of peak", "<bound by"];
    let mut table = Table::new(&headings);
    for k in &report.kernels {
        let counts = [k.shuffles, k.operations, k.loads, k.stores, k.instructions];
        let counts = counts.map(|count| number(Some(count), 1));
        let ends = [percent(Some(k.share_of_peak)), k.bound_by.to_owned()];
        table.row([k.kernel.to_owned()].into_iter().chain(counts).chain(ends));
    }
    let _ = write!(out, "{table}");
}
