//! Finds out what is reported.

use lacuna_console::context::{Context, cores};
use lacuna_console::error::Result;
use lacuna_console::limits::{Limit, RUNS};
use lacuna_jit::cpu::{Caches, Model};
use lacuna_jit::{Features, Isa, MASK_VARIABLE, TIER_VARIABLE, Tier};
use lacuna_kernels::machine::{Family, Identity, Kept, Origin, Source, cache_folder, facts_in};

use super::cpus;
use super::kernels::kernels;
use super::report::{CacheReport, Cpu, CpuReport, FeatureReport, HigherTier, Report, TierReport};

/// Multiply and add of four bytes in each of 16 lanes.
const OPERATIONS_PER_DOT: f64 = 128.0;

/// Examines the machine. `again` measures its facts also if they were kept.
pub(super) fn examine(context: &Context, again: bool) -> Result<Report> {
    let identity = Identity::here();
    let family = Model::detect().and_then(|m| Family::find(&m.vendor, m.family, m.model));
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cpu: Cpu {
            name: identity.cpu,
            model: identity.model,
            microcode: identity.microcode,
            family: family.map(Family::name),
        },
        tier: tier(context)?,
        features: features()?,
        caches: Caches::detect().map(|Caches { l1d, l2, l3 }| CacheReport { l1d, l2, l3 }),
        cpus: CpuReport { threads: cores(), cores: cpus::cores(), used: context.threads() },
        facts: None,
        facts_from: None,
        facts_file: None,
        recorded: family.map(Family::facts),
        recorded_source: family.map(|family| match family.source() {
            Source::Measured => "measured",
            Source::Tables => "tables",
        }),
        peak_instruction: None,
        peak_gops: None,
        kernels: Vec::new(),
        remarks: Vec::new(),
    };
    let isa = context.isa();
    report.peak_instruction = (isa != Isa::Portable).then(|| Limit::Dots.instruction(isa));
    let Isa::Avx512Vnni(proof) = isa else {
        report.peak_gops = Limit::Dots.giga(isa, 4 * RUNS)?;
        return Ok(report);
    };
    match facts_in(proof, cache_folder().as_deref(), again) {
        Ok(Kept { facts, origin, remarks }) => {
            (report.facts_from, report.facts_file) = match origin {
                Origin::Read(path) => (Some("file"), Some(path)),
                Origin::Kept(path) => (Some("measured"), Some(path)),
                Origin::NotKept => (Some("measured"), None),
            };
            report.remarks = remarks;
            report.peak_gops = Some(facts.ghz * facts.dots * OPERATIONS_PER_DOT);
            report.kernels = kernels(isa, &facts)?;
            report.facts = Some(facts);
        }
        // The report is for machines on which something is wrong, too.
        Err(error) => report.remarks.push(format!("facts are not measured: {error}")),
    }
    Ok(report)
}

fn features() -> Result<FeatureReport> {
    let (present, masked) = (Features::detect(), Features::masked()?);
    let all = Features::all().fold(Features::NONE, Features::with);
    let names = |set: Features| set.names().collect();
    let absent = all.without(present).without(masked);
    Ok(FeatureReport { present: names(present), absent: names(absent), masked: names(masked) })
}

fn tier(context: &Context) -> Result<TierReport> {
    let masked = Features::masked()?;
    let higher = Tier::ALL.into_iter().rev().filter(|&tier| tier > context.tier);
    Ok(TierReport {
        used: context.tier.name(),
        best: Tier::detect().name(),
        generates_code: context.isa() != Isa::Portable,
        higher: higher.map(|tier| higher_tier(tier, masked)).collect(),
    })
}

/// Why `tier` is not used.
fn higher_tier(tier: Tier, masked: Features) -> HigherTier {
    let lacks = tier.missing();
    let is_masked = |name: &&'static str| masked.names().any(|masked| masked == *name);
    let (masked, missing): (Vec<_>, Vec<_>) = lacks.into_iter().partition(is_masked);
    let mut why = Vec::new();
    if !missing.is_empty() {
        why.push(format!("this CPU lacks {}", missing.join(", ")));
    }
    if !masked.is_empty() {
        why.push(format!("{MASK_VARIABLE} masks {}", masked.join(", ")));
    }
    if why.is_empty() {
        why.push(format!("--tier or {TIER_VARIABLE} chooses a lower one"));
    }
    HigherTier { name: tier.name(), missing, masked, why: why.join("; ") }
}
