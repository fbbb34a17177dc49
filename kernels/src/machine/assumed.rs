//! The facts that schedules are picked by where nobody gives others.

use std::sync::OnceLock;

use lacuna_jit::cpu::{Caches, Model};

use super::facts::Facts;
use super::recorded::Family;

/// The recorded facts of this CPU's family, with the caches of this machine. An unknown CPU of Intel counts as Ice Lake, any other as Zen 5.
///
/// They are recorded and not measured, so that equal machines pick equal schedules, whatever runs beside.
pub fn assumed() -> Facts {
    static ASSUMED: OnceLock<Facts> = OnceLock::new();
    *ASSUMED.get_or_init(|| {
        let caches = Caches::detect().unwrap_or(Caches::TYPICAL);
        Facts { l1d: caches.l1d, l2: caches.l2, ..family(Model::detect().as_ref()).facts() }
    })
}

fn family(model: Option<&Model>) -> Family {
    let known = model.and_then(|m| Family::find(&m.vendor, m.family, m.model));
    let similar = match model {
        Some(model) if model.vendor == "GenuineIntel" => Family::IceLake,
        _ => Family::Zen5,
    };
    known.unwrap_or(similar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_has_a_family() {
        let model = |vendor: &str, family, model| Model { vendor: vendor.into(), family, model, stepping: 0 };
        assert_eq!(family(Some(&model("AuthenticAMD", 0x19, 0x11))), Family::Zen4);
        assert_eq!(family(Some(&model("GenuineIntel", 6, 0x8c))), Family::IceLake); // Tiger Lake
        assert_eq!(family(Some(&model("Another", 1, 1))), Family::Zen5);
        assert_eq!(family(None), Family::Zen5);
        let (facts, caches) = (assumed(), Caches::detect().unwrap_or(Caches::TYPICAL));
        assert_eq!((facts.l1d, facts.l2, facts.check()), (caches.l1d, caches.l2, Ok(())));
    }
}
