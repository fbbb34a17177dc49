//! How engines look.

use super::super::super::engine::EngineId;
use super::super::groups::engine;
use super::look::{Dash, Look};

/// How an engine looks in every chart of every report. Those that share a look never meet: one only computes products, the other only
/// models. f32 is dashed.
pub(super) fn engine_look(name: &str) -> Look {
    use EngineId::*;
    let Some(id) = engine(name) else { return Look { dash: Dash::Dotted, ..Look::nth(8) } };
    let index = match id {
        Lacuna => 0,
        LacunaDense => 1,
        OneDnnInt8 | OnnxRuntimeQdq => 2,
        RtenInt8 => 3,
        LacunaIntrinsics | OnnxRuntimeDynamic => 4,
        LacunaF32 => 5,
        OneDnnF32 | OnnxRuntimeF32 => 6,
        RtenF32 => 7,
        GemmF32 | CandleF32 => 8,
    };
    Look { dash: if id.dtype() == "f32" { Dash::Dashed } else { Dash::Solid }, ..Look::nth(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_that_meet_look_different() {
        let looks = |meets: fn(EngineId) -> bool| {
            let ids = EngineId::all().filter(move |id| meets(*id));
            let mut looks: Vec<String> = ids.map(|id| format!("{:?}", engine_look(id.name()).colour)).collect();
            let count = looks.len();
            looks.sort();
            looks.dedup();
            (count, looks.len())
        };
        assert_eq!(looks(EngineId::has_products), (9, 9));
        assert_eq!(looks(EngineId::has_models), (9, 9));
    }
}
