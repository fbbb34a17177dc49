//! The safe wrapper: checks shapes, then one unsafe call per sequence and head.

use std::cell::RefCell;
use std::ops::Range;

use lacuna_jit::Entry;

use super::args::{AttentionArgs, HeadParams};
use super::batch::{AttentionBatch, KeyGroup, SequenceTables};
use super::constants;
use super::flat;
use super::parabolas::Parabolas;
use super::plan::AttentionPlan;
use super::portable::{self, Head};
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::elements;
use crate::math::{Falloff, LOG2_E};
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::{Buffer, KernelError, LANES, Parallel, Plan, TILE, VECTORS};

/// Scales of one layer's attention.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionParams {
    /// Per head: scale of Q times scale of K / sqrt(head size before padding).
    pub score_scale: Vec<f32>,
    /// Per head: zero point of Q.
    pub q_zero: Vec<u8>,
    /// Per feature: scale of V / scale of the output.
    pub out_scale: Vec<f32>,
    /// Zero point of the output.
    pub out_zero: u8,
}

impl AttentionParams {
    /// Largest factors that keep scaled scores and outputs far inside f32 and s32: outputs are means of s8.
    const MAX_SCALE: f32 = 1e6;

    /// Refuses scales that no kernel of `plan` takes; [`AttentionKernel::run`] does too.
    ///
    /// # Errors
    /// [`KernelError::Parameter`].
    pub fn check(&self, plan: &AttentionPlan) -> Result<(), KernelError> {
        const MAX: f32 = AttentionParams::MAX_SCALE;
        let checked = [
            ("score scale", &self.score_scale, 0.0, "within 0 and 1e6"),
            ("output scale", &self.out_scale, -MAX, "within +-1e6"),
        ];
        for (parameter, values, min, expected) in checked {
            let good = |v: f32| (v >= min) & (v <= MAX);
            // All at once first: this runs before every call, and the search for the culprit cannot be vectorised.
            if values.iter().fold(true, |all, &v| all & good(v)) {
                continue;
            }
            if let Some((row, &found)) = values.iter().enumerate().find(|&(_, &v)| !good(v)) {
                return Err(KernelError::Parameter { kernel: plan.name(), parameter, row, found, expected });
            }
        }
        Ok(())
    }

    /// Of one head, how steeply its probabilities fall with its scores.
    fn falloff(&self, head: usize) -> Falloff {
        Falloff::new(self.score_scale[head] * LOG2_E)
    }
}

/// A callable attention kernel. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct AttentionKernel {
    plan: AttentionPlan,
    entry: Option<Entry<AttentionArgs>>,
}

/// What one sequence needs while it is in work. Grows to the longest sequence and the most heads a thread has seen.
struct Scratch {
    /// [`Carved`].
    bytes: Buffer<u8>,
    heads: Vec<HeadParams>,
    /// Of a flat head.
    keys: Vec<KeyGroup>,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { bytes: Buffer::new(0), heads: Vec::new(), keys: Vec::new() }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// The activations of one call.
#[derive(Clone, Copy)]
struct Panels<'a> {
    q: &'a [u8],
    k: &'a [u8],
    v: &'a [u8],
    out: SharedMut<u8>,
}

kernel_methods!(AttentionKernel, AttentionPlan, AttentionArgs);

impl AttentionKernel {
    /// Attention of every sequence of `batch` in every head.
    ///
    /// **Shapes**: `q`, `k`, `v` and `out` are panels of `heads * head size` features x the batch's tokens; see the module for
    /// their layouts. Tokens of `out` that belong to no sequence are left as they are.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers or parameters of another size, [`KernelError::Parameter`] for scales that are not
    /// finite or absurdly large, [`KernelError::Mismatch`] for a batch made for another width or output layout.
    #[allow(clippy::too_many_arguments)] // four panels, their tables and their scales
    pub fn run(
        &self,
        batch: &AttentionBatch,
        params: &AttentionParams,
        q: &[u8],
        k: &[u8],
        v: &[u8],
        out: &mut [u8],
        parallel: Parallel,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        let heads = params.score_scale.len();
        let features = heads * plan.head_size;
        if (batch.features, batch.output) != (features, plan.output) {
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: format!("a batch of {} features, output {}", batch.features, batch.output.name()),
                expected: format!("{features} features, output {}", plan.output.name()),
            });
        }
        check_length(plan, "q zero points", params.q_zero.len(), heads)?;
        check_length(plan, "output scales", params.out_scale.len(), features)?;
        let expected = elements(features, batch.tokens);
        for (buffer, found) in [("q", q.len()), ("k", k.len()), ("v", v.len()), ("output", out.len())] {
            check_length(plan, buffer, found, expected)?;
        }
        params.check(plan)?;
        let panels = Panels { q, k, v, out: SharedMut::new(out) };
        let heads_per_task = heads_per_task(heads, batch.sequences.len(), parallel);
        let tasks = heads.div_ceil(heads_per_task);
        parallel.for_each(batch.sequences.len() * tasks, |i| {
            let (sequence, first) = (i / tasks, i % tasks * heads_per_task);
            let heads = first..heads.min(first + heads_per_task);
            self.run_heads(batch, &batch.sequences[sequence], params, heads, panels);
        });
        Ok(())
    }

    /// One sequence of some heads.
    fn run_heads(
        &self,
        batch: &AttentionBatch,
        tables: &SequenceTables,
        params: &AttentionParams,
        heads: Range<usize>,
        panels: Panels<'_>,
    ) {
        let d = self.plan.head_size;
        match &self.entry {
            Some(entry) => SCRATCH.with_borrow_mut(|scratch| {
                for heads in runs(params, heads) {
                    let args = self.args(tables, params, heads, panels, scratch);
                    // SAFETY: the plan's `Isa` token proves the CPU features. `run` made sure that the panels hold `elements` of
                    // heads * D features, and `AttentionBatch::new` that its offsets stay inside whole tiles of that width. The
                    // scratch was carved for this many groups. Stores are limited to the dwords or tokens of this sequence and to
                    // the rows of these heads, so no two calls of one `run` write the same byte. The zeros that a flat head reads as K
                    // hold a head of any size, and its key groups all point to their start.
                    unsafe { entry.call(&args) };
                }
            }),
            None => heads.for_each(|head| {
                let first = head * d * TILE; // a head's features are whole rows: the offset is the same in both panel layouts
                let head = Head {
                    q: &panels.q[first..],
                    k: &panels.k[first..],
                    v: &panels.v[first..],
                    q_zero: i32::from(params.q_zero[head]),
                    falloff: params.falloff(head),
                    out_scale: &params.out_scale[head * d..][..d],
                    out_zero: f32::from(params.out_zero),
                };
                let tile_bytes = crate::layout::padded(batch.features) * TILE;
                portable::sequence(&self.plan, tables, tile_bytes, &head, |offset, byte| {
                    // SAFETY: offsets are those of this sequence's tokens in this head's rows: inside `out` by the checks of
                    // `run`, and written by no other task.
                    unsafe { panels.out.at(first + offset).write(byte) };
                });
            }),
        }
    }

    /// The arguments of one sequence of some heads of [`runs`], with scratch and head parameters that live in `scratch`.
    fn args(
        &self,
        tables: &SequenceTables,
        params: &AttentionParams,
        heads: Range<usize>,
        panels: Panels<'_>,
        scratch: &mut Scratch,
    ) -> AttentionArgs {
        let d = self.plan.head_size;
        let first = heads.start * d * TILE; // a head's features are whole rows: the offset is the same in both panel layouts
        let groups = tables.keys.len();
        let scratched = carve(&mut scratch.bytes, groups, self.plan.key_words_bytes(groups));
        let is_flat = flat::is_flat(params.falloff(heads.start));
        scratch.keys.clear();
        if is_flat {
            scratch.keys.extend(flat::groups(&tables.keys));
        }
        let (k, keys) = match is_flat {
            true => (flat::keys(), scratch.keys.as_ptr_range()),
            false => (panels.k[first..].as_ptr(), tables.keys.as_ptr_range()),
        };
        scratch.heads.clear();
        scratch.heads.extend(heads.enumerate().map(|(i, head)| {
            let Falloff { multiplier, limit } = if is_flat { flat::FALLOFF } else { params.falloff(head) };
            HeadParams {
                out_scale: params.out_scale[head * d..][..d].as_ptr(),
                offset: (i * d * TILE) as u64,
                multiplier,
                limit,
                minus_q_zero: -i32::from(params.q_zero[head]),
            }
        }));
        let (heads, chunks) = (scratch.heads.as_ptr_range(), tables.queries.as_ptr_range());
        AttentionArgs {
            q: panels.q[first..].as_ptr(),
            k,
            v: panels.v[first..].as_ptr(),
            out: panels.out.at(first),
            heads: heads.start,
            heads_end: heads.end,
            keys: keys.start,
            keys_end: keys.end,
            groups,
            chunks: chunks.start,
            chunks_end: chunks.end,
            key_bias: scratched.key_bias,
            scores: scratched.scores,
            probabilities: scratched.probabilities,
            key_words: scratched.key_words,
            exponential: constants::Constants::TABLE,
            parabolas: Parabolas::TABLE,
            constants: Constants::address(),
            last_group_bias: tables.last_group_bias,
            out_zero: f32::from(params.out_zero),
            one: 1.0,
            ones: 0x0101_0101,
            one_words: 0x0001_0001,
            lowest: i32::MIN,
        }
    }
}

/// The heads in runs that one call computes: flat heads alone, the others together.
fn runs(params: &AttentionParams, heads: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let end = heads.end;
    let mut next = heads.start;
    let is_flat = |head: usize| flat::is_flat(params.falloff(head));
    std::iter::from_fn(move || {
        let first = next;
        if first == end {
            return None;
        }
        next += 1;
        if !is_flat(first) {
            next = (next..end).find(|&head| is_flat(head)).unwrap_or(end);
        }
        Some(first..next)
    })
}

/// Heads of one sequence that one task computes: all of them on one thread, so that the code walks from head to head without
/// leaving; otherwise enough tasks to share out.
fn heads_per_task(heads: usize, sequences: usize, parallel: Parallel) -> usize {
    const TASKS_PER_THREAD: usize = 4;
    match parallel {
        Parallel::Serial => heads,
        _ => (heads * sequences).div_ceil(TASKS_PER_THREAD * parallel.threads()).min(heads),
    }
    .max(1)
}

/// The scratch of one sequence. Each part starts at a cache line.
struct Carved {
    key_bias: *mut i32,
    scores: *mut i32,
    probabilities: *mut u8,
    key_words: *mut i16,
}

/// The parts for `groups` groups of four keys.
fn carve(buffer: &mut Buffer<u8>, groups: usize, key_words_bytes: usize) -> Carved {
    let bias_bytes = (groups * 4 * size_of::<i32>()).next_multiple_of(64);
    let score_bytes = groups * 4 * VECTORS * LANES * size_of::<i32>();
    let probability_bytes = groups * VECTORS * LANES * 4;
    buffer.reserve(bias_bytes + score_bytes + probability_bytes + key_words_bytes);
    let (bias, rest) = buffer.split_at_mut(bias_bytes);
    let (scores, rest) = rest.split_at_mut(score_bytes);
    let (probabilities, key_words) = rest.split_at_mut(probability_bytes);
    Carved {
        key_bias: bias.as_mut_ptr().cast(),
        scores: scores.as_mut_ptr().cast(),
        probabilities: probabilities.as_mut_ptr(),
        key_words: key_words.as_mut_ptr().cast(),
    }
}

#[cfg(test)]
mod tests;
