//! Whether a stream of steps is one that [`FloatWeights::pack`](super::FloatWeights::pack) writes.
//!
//! Every byte that repeats or pads must be what it repeats, or 0: not all kernels read all of them, and some multiply what they
//! read by values that are not specified.

use half::bf16;

use super::desc::DType;
use super::plan::FloatPlan;
use super::twin::flush;
use super::weights::BlockRow;
use crate::TILE;

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Stored blocks.
    pub(super) blocks: usize,
    /// Weights other than zero.
    pub(super) nnz: usize,
}

/// What is in a stream, and what belongs there.
pub(super) type Misfit = (String, &'static str);

/// Checks the steps of all block rows; `first_steps` are those before each, and the total at the end. The stream is long enough.
pub(super) fn check_stream(
    plan: &FloatPlan,
    rows: &[BlockRow],
    first_steps: &[usize],
    stream: &[u8],
) -> Result<Counts, Misfit> {
    let mut counts = Counts::default();
    for (row, steps) in rows.iter().zip(first_steps.windows(2)) {
        let first = row.out_offset as usize / TILE;
        let inside = plan.m.saturating_sub(first).min(plan.tile.rows);
        let records = &stream[steps[0] * plan.record_bytes()..steps[1] * plan.record_bytes()];
        let mut checked = Checked { plan, inside, previous: None, counts: &mut counts };
        let steps = steps[1] - steps[0];
        for (step, record) in records.chunks_exact(plan.record_bytes()).enumerate() {
            let wrong = checked.step(record, step, step + 1 == steps);
            wrong.map_err(|(found, expected)| {
                (format!("{found} in step {step} of the block row of output {first}"), expected)
            })?;
        }
    }
    Ok(counts)
}

/// One block row, step by step.
struct Checked<'a> {
    plan: &'a FloatPlan,
    /// Output features below M.
    inside: usize,
    /// The last input feature that has a block, as its offset.
    previous: Option<usize>,
    counts: &'a mut Counts,
}

impl Checked<'_> {
    fn step(&mut self, record: &[u8], step: usize, is_last: bool) -> Result<(), (&'static str, &'static str)> {
        let plan = self.plan;
        let (indices, weights) = record.split_at(plan.index_bytes());
        let (inside, beyond) = weights.split_at(4 * self.inside);
        if beyond.iter().any(|&byte| byte != 0) {
            return Err(("a weight of a feature beyond M", "zeros there"));
        }
        let mut nonzero = [0; 2];
        for bytes in inside.as_chunks::<4>().0 {
            match plan.dtype {
                DType::F32 => nonzero[0] += usize::from(checked(f32::from_le_bytes(*bytes), false)?),
                DType::Bf16 => {
                    let weight = |low, high| checked(bf16::from_le_bytes([low, high]).to_f32(), true);
                    nonzero[0] += usize::from(weight(bytes[0], bytes[1])?);
                    nonzero[1] += usize::from(weight(bytes[2], bytes[3])?);
                }
            }
        }
        self.counts.nnz += nonzero.iter().sum::<usize>();
        let unused = || inside.as_chunks::<4>().0.iter().all(|bytes| bytes[2..] == [0; 2]);
        for input in 0..plan.dtype.inputs() {
            if plan.is_dense() {
                match step * plan.dtype.inputs() + input < plan.k {
                    true => self.counts.blocks += 1,
                    false if unused() => {}
                    false => return Err(("a weight of a feature beyond K", "zeros there")),
                }
                continue;
            }
            let width = plan.index.bytes();
            let offset = plan.index.offset(&indices[input * width..][..width]);
            match (nonzero[input] > 0, self.previous) {
                (true, Some(previous)) if previous >= offset => {
                    return Err(("offsets that do not ascend", "ascending offsets of rows of X"));
                }
                (true, _) => (self.previous, self.counts.blocks) = (Some(offset), self.counts.blocks + 1),
                (false, Some(previous)) if input == 1 && is_last && previous == offset && unused() => {}
                (false, _) => {
                    return Err((
                        "a block of zeros",
                        "a weight other than 0 in every block, but for the last repeated one",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a weight is other than zero. Packing refuses those that are not finite, and makes zeros of those that are denormal in bf16.
fn checked(weight: f32, is_bf16: bool) -> Result<bool, (&'static str, &'static str)> {
    match weight.is_finite() && !(is_bf16 && flush(weight).to_bits() != weight.to_bits()) {
        true => Ok(weight != 0.0),
        false => Err(("a weight that is not finite, or denormal in bf16", "finite weights")),
    }
}

#[cfg(test)]
mod tests;
