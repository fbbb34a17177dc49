//! Facts of this machine, for reports.

use lacuna_console::context::{Context, cores};
use lacuna_console::error::Result;
use lacuna_console::limits::{Limit, RUNS};
use lacuna_jit::cpu::{Caches, brand};

/// Name and value of everything that a reader of figures must know.
pub(crate) fn facts(context: &Context) -> Result<Vec<(String, String)>> {
    let mut facts = vec![
        ("CPU".to_owned(), brand()),
        ("CPUs for this process".to_owned(), cores().to_string()),
        ("tier".to_owned(), context.tier.to_string()),
        ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("lacuna".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(Caches { l1d, l2, l3 }) = Caches::detect() {
        let sizes = format!("L1 data {} KB, L2 {} KB, L3 {} MB", l1d >> 10, l2 >> 10, l3 >> 20);
        facts.insert(1, ("caches".to_owned(), sizes));
    }
    let isa = context.isa();
    let dots = format!("{} peak, one thread", Limit::Dots.instruction(isa));
    for (limit, name) in [(Limit::Dots, dots), (Limit::Fma, "f32 FMA peak, one thread".to_owned())] {
        if let Some(gops) = limit.giga(isa, 4 * RUNS)? {
            facts.push((name, format!("{gops:.0} GOP/s")));
        }
    }
    Ok(facts)
}
