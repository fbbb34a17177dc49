//! Candidates, and which of them is taken.

use std::collections::HashMap;
use std::time::Duration;

use super::{cost, measure};
use crate::KernelError;
use crate::gemm::GemmPlan;
use crate::machine::{Facts, assumed};
use crate::pattern::BlockPattern;
use crate::spmm::{Schedule, SpmmPlan, SpmmWeights};

/// How schedules are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tuning {
    /// Only the cost model: takes microseconds.
    #[default]
    Fast,
    /// Candidates are timed on the calling thread, on the weights themselves, for about this long per kernel.
    Measure {
        /// Wall time per kernel.
        budget: Duration,
    },
}

/// One way to compute a product, and how long it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The plan.
    pub plan: SpmmPlan,
    /// Cycles that the model expects.
    pub predicted_cycles: f64,
    /// The shortest measured time; `None` if it was not measured.
    pub measured: Option<Duration>,
}

/// Finds the fastest schedule of a plan.
#[derive(Debug, Clone)]
pub struct Tuner {
    facts: Facts,
    /// The numbers of columns to optimise for, with equal weight.
    columns: Vec<usize>,
}

/// A short sentence and a paragraph.
const COLUMNS: [usize; 2] = [32, 128];

impl Default for Tuner {
    fn default() -> Tuner {
        Tuner { facts: assumed(), columns: COLUMNS.to_vec() }
    }
}

impl Tuner {
    /// A tuner for calls with these numbers of columns, all of which count equally; 0 is ignored.
    pub fn for_columns(columns: &[usize]) -> Tuner {
        let columns = columns.iter().copied().filter(|&n| n > 0).collect();
        Tuner { columns, ..Tuner::default() }
    }

    /// The same for a machine of these facts. Without them, the facts of this CPU's family are taken, as [`assumed`] says.
    pub fn with_facts(self, facts: Facts) -> Tuner {
        Tuner { facts, ..self }
    }

    /// Cycles that the model expects of one call on `columns` columns, for weights of this pattern.
    pub fn cycles(&self, plan: &SpmmPlan, pattern: &BlockPattern, columns: usize) -> f64 {
        cost::cycles(plan, plan.groups(pattern), columns, &self.facts)
    }

    /// The plan with the schedule that the model finds best for this pattern, and its cycles per column, summed over the tuner's
    /// numbers of columns.
    pub fn fastest(&self, plan: &SpmmPlan, pattern: &BlockPattern) -> (SpmmPlan, f64) {
        self.fastest_with(plan, plan.groups(pattern))
    }

    fn fastest_with(&self, plan: &SpmmPlan, groups: usize) -> (SpmmPlan, f64) {
        least(plan, |plan| self.columns.iter().map(|&n| cost::cycles(plan, groups, n, &self.facts) / n as f64).sum())
    }

    /// The same of a dense product, which has one schedule.
    pub fn dense_cycles(&self, plan: &GemmPlan) -> f64 {
        self.columns.iter().map(|&n| cost::dense_cycles(plan, n, &self.facts) / n as f64).sum()
    }

    /// All candidates for `columns` columns by the model, best first.
    pub fn predict(&self, plan: &SpmmPlan, weights: &SpmmWeights, columns: usize) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = plan
            .candidates()
            .into_iter()
            .map(|plan| Candidate {
                plan,
                predicted_cycles: cost::cycles(&plan, weights.groups(), columns, &self.facts),
                measured: None,
            })
            .collect();
        candidates.sort_by(|a, b| a.predicted_cycles.total_cmp(&b.predicted_cycles));
        candidates
    }

    /// All candidates for `columns` columns timed within about `budget`, best first.
    ///
    /// # Errors
    /// Those of compiling and running the candidates.
    pub fn measure(
        &self,
        plan: &SpmmPlan,
        weights: &SpmmWeights,
        columns: usize,
        budget: Duration,
    ) -> Result<Vec<Candidate>, KernelError> {
        let mut candidates = self.predict(plan, weights, columns);
        let plans: Vec<SpmmPlan> = candidates.iter().map(|c| c.plan).collect();
        for (candidate, time) in candidates.iter_mut().zip(measure::times(&plans, weights, columns, budget)?) {
            candidate.measured = Some(time);
        }
        candidates.sort_by_key(|c| c.measured);
        Ok(candidates)
    }

    /// The plan with the schedule that takes the least time per column, summed over the tuner's numbers of columns.
    ///
    /// # Errors
    /// Those of [`Tuner::measure`]; none with [`Tuning::Fast`].
    pub fn choose(&self, plan: &SpmmPlan, weights: &SpmmWeights, tuning: Tuning) -> Result<SpmmPlan, KernelError> {
        let Tuning::Measure { budget } = tuning else {
            return Ok(self.fastest_with(plan, weights.groups()).0);
        };
        let mut seconds: HashMap<Schedule, f64> = HashMap::new();
        for &columns in &self.columns {
            for candidate in self.measure(plan, weights, columns, budget / self.columns.len() as u32)? {
                let time = candidate.measured.map_or(f64::INFINITY, |time| time.as_secs_f64());
                *seconds.entry(*candidate.plan.schedule()).or_default() += time / columns as f64;
            }
        }
        Ok(least(plan, |plan| seconds.get(plan.schedule()).copied().unwrap_or(f64::INFINITY)).0)
    }
}

/// The candidate with the least cost, and that; of equals `plan` itself, then the first.
fn least(plan: &SpmmPlan, cost: impl Fn(&SpmmPlan) -> f64) -> (SpmmPlan, f64) {
    let others = plan.candidates().into_iter().map(|plan| (plan, cost(&plan)));
    others.fold((*plan, cost(plan)), |best, other| if other.1 < best.1 { other } else { best })
}

#[cfg(test)]
mod tests {
    use lacuna_jit::Isa;

    use super::*;
    use crate::epilogue::{Epilogue, RowParams};
    use crate::gemm::GemmDesc;
    use crate::machine::{Family, RECORDED};
    use crate::spmm::{Abreast, SpmmDesc};
    use crate::support::tiers;
    use crate::{ActivationBits, Block, PanelLayout, Sign};

    fn problem(isa: Isa, block: Block) -> (SpmmPlan, SpmmWeights) {
        let (m, k) = (40, 72);
        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
        let plan = SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
        let weights: Vec<i8> = (0..m * k).map(|i| if i % 7 == 0 { (i % 100) as i8 - 50 } else { 0 }).collect();
        let packed = SpmmWeights::pack(&plan, &weights, &vec![RowParams::default(); m]).unwrap();
        (plan, packed)
    }

    #[test]
    fn a_choice_is_a_candidate_and_a_prediction_is_a_time() {
        for isa in tiers() {
            for block in Block::ALL.into_iter().filter(|&block| block != Block::Dense) {
                let (plan, weights) = problem(isa, block);
                for columns in [1, 16, 40, 64, 200] {
                    let candidates = Tuner::default().predict(&plan, &weights, columns);
                    assert_eq!(candidates.len(), plan.candidates().len());
                    assert!(candidates.is_sorted_by(|a, b| a.predicted_cycles <= b.predicted_cycles));
                    assert!(candidates.iter().all(|c| c.predicted_cycles > 0.0 && c.predicted_cycles.is_finite()));
                }
                let budget = Duration::from_millis(2);
                for tuning in [Tuning::Fast, Tuning::Measure { budget }] {
                    let chosen = Tuner::for_columns(&[5, 0, 64]).choose(&plan, &weights, tuning).unwrap();
                    assert!(plan.candidates().contains(&chosen), "{block}: {}", chosen.schedule().name());
                }
            }
        }
    }

    #[test]
    fn every_candidate_is_measured() {
        for isa in tiers() {
            let (plan, weights) = problem(isa, Block::B4x1);
            let candidates = Tuner::default().measure(&plan, &weights, 20, Duration::from_millis(3)).unwrap();
            assert!(candidates.iter().all(|c| c.measured.is_some_and(|time| time > Duration::ZERO)));
            assert!(candidates.is_sorted_by_key(|c| c.measured));
        }
    }

    /// Groups of 768 rows x `k` with 90 % zeros in 4x1 blocks.
    fn pick(family: Family, k: usize, columns: usize) -> (SpmmPlan, f64) {
        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
        let plan = SpmmDesc { m: 768, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap();
        let groups = 768 / 4 * k / 10 / 4;
        Tuner::for_columns(&[columns]).with_facts(family.facts()).fastest_with(&plan, groups)
    }

    /// Whether two groups of 32 columns are packed into a vector. Measured: on Zen 5 that gains 8 % at K = 3072 and loses 5 % at K = 768
    /// (docs/measurements.md); on Sapphire Rapids it loses 37 % at 3072 x 768, and on Ice Lake 34 % at 768 x 768.
    #[test]
    fn picks_of_families() {
        let packs = |k: usize| RECORDED.map(|family| pick(family, k, 32).0.schedule().narrow == 32);
        assert_eq!(
            RECORDED,
            [Family::Zen4, Family::Zen5, Family::CascadeLake, Family::IceLake, Family::SapphireRapids]
        );
        // Cascade Lake issues four instructions per cycle, and packing saves instructions.
        assert_eq!(packs(768), [false, false, true, false, false]);
        assert_eq!(packs(3072), [false, true, true, true, false]);
        for family in RECORDED {
            // Four vectors share the weights and the loop.
            for k in [768, 3072] {
                let schedule = *pick(family, k, 128).0.schedule();
                assert_eq!(schedule.vectors, 4, "{}, K = {k}: {}", family.name(), schedule.name());
            }
        }
    }

    /// Measured on Zen 5: at K = 768 four row blocks of 16 columns abreast gain 20 %, two of 32 columns 7 %; at K = 3072 both lose to groups
    /// that share vectors (docs/measurements.md). Shuffles and dot products share ports on Intel, so broadcasts bring the weights there, unless
    /// loads are scarce, as they were on the Ice Lake that was measured.
    #[test]
    fn tails_of_families() {
        use Abreast::{Broadcast, No, Shuffle};
        let abreast = |k, columns| RECORDED.map(|family| pick(family, k, columns).0.schedule().abreast);
        assert_eq!(abreast(256, 16), [Shuffle, Shuffle, Broadcast, Shuffle, Broadcast]);
        assert_eq!(abreast(768, 16), [Shuffle, Shuffle, Broadcast, Shuffle, Broadcast]);
        assert_eq!(abreast(3072, 16), [No; 5]);
        assert_eq!(abreast(256, 32), [Broadcast, Shuffle, Broadcast, Shuffle, Broadcast]);
        assert_eq!(abreast(768, 32), [No, Shuffle, No, Shuffle, Broadcast]);
        // Packed rows are a quarter of a tile, which L1 holds at K = 256.
        let packed = |k| pick(Family::Zen5, k, 16).0.schedule().narrow == 16;
        assert_eq!([256, 768, 3072].map(packed), [false, true, true]);
    }

    /// Interleaving once for several row blocks gains where unpacks use the ports of dot products, and loses where stores do.
    #[test]
    fn rows_are_shared_on_intel() {
        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
        let shared = |block, k: usize| {
            RECORDED.map(|family| {
                let plan = SpmmDesc { m: 768, k, block, epilogue, activation_bits: ActivationBits::Eight }
                    .plan(Isa::Portable)
                    .unwrap();
                let tuner = Tuner::for_columns(&[128]).with_facts(family.facts());
                tuner.fastest_with(&plan, 768 / 4 * k / 10 / 4).0.schedule().shared
            })
        };
        for k in [256, 768, 3072] {
            assert_eq!(shared(Block::B16x1, k), [0, 0, 4, 4, 4], "K = {k}");
            assert_eq!(shared(Block::B8x1, k), [0, 0, 2, 2, 2], "K = {k}");
            assert_eq!(shared(Block::B4x1, k), [0; 5]);
        }
    }

    #[test]
    fn interleaving_costs_a_third_on_intel() {
        let cycles = |family| pick(family, 3072, 128).1;
        let ratio = cycles(Family::IceLake) / cycles(Family::Zen5);
        assert!((1.3..1.7).contains(&ratio), "{ratio}");
        // A dense product has no interleaving, so 4x1 must leave out more on Intel before it is faster.
        let dense = |family: Family| {
            let (m, k, epilogue) = (768, 3072, Epilogue::f32(false));
            let desc = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight };
            Tuner::for_columns(&[128]).with_facts(family.facts()).dense_cycles(&desc.plan(Isa::Portable).unwrap())
        };
        assert_eq!(dense(Family::SapphireRapids), dense(Family::Zen5));
        assert!(dense(Family::IceLake) > dense(Family::Zen5), "1.1 loads per cycle");
    }
}
