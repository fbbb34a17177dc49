//! One packed group of sequences through all steps of a model.

use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::layout::elements;
use lacuna_kernels::{KernelError, Parallel};
use lacuna_model::TokenIds;

use super::buffers::{Activations, Chunk, Chunking, PackedIds, Scratch, Views, Widths};
use super::counts::{Counts, Sample};
use super::profile::Probe;
use crate::compile::{Op, Ready, Stage, StaticCodes, Step, Tables};
use crate::error::Result;

/// What a forward pass runs.
pub(super) struct Program {
    steps: Vec<Watched>,
    tables: Tables,
    widths: Widths,
}

/// A step, and the codes with a calibrated range that it writes.
struct Watched {
    step: Step<Ready>,
    /// With their place among all of the program.
    codes: Option<(usize, StaticCodes)>,
}

impl Program {
    pub(super) fn new(steps: Vec<(Step<Ready>, Option<StaticCodes>)>, tables: Tables) -> Program {
        let widths = Widths::of(steps.iter().map(|(step, _)| step));
        let mut count = 0;
        let mut numbered = |codes: StaticCodes| {
            count += 1;
            (count - 1, codes)
        };
        let watched = |(step, codes): (_, Option<_>)| Watched { step, codes: codes.map(&mut numbered) };
        Program { steps: steps.into_iter().map(watched).collect(), tables, widths }
    }

    /// The codes with a calibrated range, in the order in which they are written.
    pub(super) fn codes(&self) -> impl Iterator<Item = &StaticCodes> {
        self.steps.iter().filter_map(|watched| watched.codes.as_ref().map(|(_, codes)| codes))
    }

    /// Runs one group; returns the final hidden states, an f32 tile of `hidden` features, and the positions of the sequences in it.
    ///
    /// Attention is the only step that knows sequences. Everything from one attention to the next is done chunk by chunk; see
    /// [`Chunking`]. `check` is called before every attention; an error from it ends the run.
    pub(super) fn run<'s, S: TokenIds, P: Probe>(
        &'s self,
        scratch: &'s mut Scratch,
        group: &[S],
        parallel: Parallel<'_>,
        probe: &P,
        counts: &Counts,
        check: impl Fn() -> Result<()>,
    ) -> Result<(&'s [f32], &'s [Sequence])> {
        let tokens = scratch.pack(group);
        for Watched { step, .. } in &self.steps {
            if let Op::Attend { part, features } = &step.op {
                scratch.prepare_attention(tokens, *features, part.kernel.plan().output())?;
            }
        }
        let Views { activations: mut all, ids, sequences, batches } = scratch.views(&self.widths, tokens);
        let chunking = Chunking::new(tokens, parallel);
        let sample = counts.group(tokens, sequences);
        probe.lap(Stage::Other);

        let mut rest = &self.steps[..];
        loop {
            let (now, later) =
                rest.split_at(rest.iter().position(|watched| watched.step.mixes_tokens()).unwrap_or(rest.len()));
            all.in_chunks(chunking, |mut chunk, parallel| {
                self.run_chunk(now, ids, &mut chunk, parallel, (probe, &sample))
            })?;
            probe.lap(Stage::Other);
            let Some((Watched { step, codes }, later)) = later.split_first() else {
                return Ok((all.into_hidden(), sequences));
            };
            check()?;
            attend(step, batches, &mut all, parallel)?;
            if let Some((tensor, codes)) = codes {
                let [.., attended] = &all.codes;
                sample.count(*tensor, codes, &attended[..elements(codes.place.features, tokens)], 0);
            }
            probe.lap(step.stage);
            rest = later;
        }
    }

    /// Runs steps on a chunk. Steps of a stage that follow each other are one lap.
    fn run_chunk(
        &self,
        steps: &[Watched],
        ids: &PackedIds,
        chunk: &mut Chunk<'_>,
        parallel: Parallel<'_>,
        (probe, sample): (&impl Probe, &Sample<'_>),
    ) -> Result<()> {
        for steps in steps.chunk_by(|a, b| a.step.stage == b.step.stage) {
            for Watched { step, codes } in steps {
                chunk.run(step, &self.tables, ids, parallel)?;
                if let Some((tensor, codes)) = codes {
                    let place = &codes.place;
                    let panel = &chunk.bytes[place.tensor as usize][..elements(place.features, chunk.tokens)];
                    sample.count(*tensor, codes, panel, chunk.first);
                }
            }
            probe.lap(steps[0].step.stage);
        }
        Ok(())
    }
}

/// `attended = attention(query, key, value)`.
fn attend(
    step: &Step<Ready>,
    batches: &[AttentionBatch],
    all: &mut Activations<'_>,
    parallel: Parallel<'_>,
) -> Result<()> {
    let mismatch = |found: &str, expected: &str| KernelError::Mismatch {
        kernel: step.name.clone(),
        found: found.into(),
        expected: expected.into(),
    };
    let Op::Attend { part, features } = &step.op else {
        return Err(mismatch("a step of another kind", "attention, the only step that mixes tokens").into());
    };
    let batch = batches.iter().find(|batch| batch.fits(*features, part.kernel.plan().output()));
    let batch = batch.ok_or_else(|| mismatch("no tables of sequences", "those that were prepared for this step"))?;
    let [q, k, v, attended] = &mut all.codes;
    Ok(part.kernel.run(batch, &part.weights, q, k, v, attended, parallel)?)
}
