//! A chart, and what the charts share: the looks of engines, and choices of values.

use super::super::super::engine::EngineId;
use super::super::groups::engine;
use super::look::{Dash, Drawn, Look};

/// A drawing with words around it.
pub(in super::super) struct Chart {
    pub(in super::super) title: String,
    /// How to read it, and what is not in it.
    pub(in super::super) caption: String,
    /// Or why it could not be drawn.
    pub(in super::super) svg: Result<String, String>,
}

impl Chart {
    pub(super) fn new(title: String, caption: String, svg: Drawn<String>) -> Chart {
        Chart { title, caption, svg: svg.map_err(|error| error.to_string()) }
    }
}

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

/// Values in order, each once.
pub(super) fn distinct(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// At most `most` of the items, spread over all of them; and how many are left out.
pub(super) fn spread<T>(items: Vec<T>, most: usize) -> (Vec<T>, usize) {
    let count = items.len();
    if count <= most {
        return (items, 0);
    }
    let chosen = |i: usize| (0..most).any(|j| j * (count - 1) / (most - 1).max(1) == i);
    (items.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, item)| item).collect(), count - most)
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

    #[test]
    fn a_spread_keeps_both_ends() {
        assert_eq!(spread((0..18).collect(), 9).0, [0, 2, 4, 6, 8, 10, 12, 14, 17]);
        assert_eq!(spread(vec![1, 2], 9), (vec![1, 2], 0));
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).1, 1);
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).0.len(), 9);
    }
}
