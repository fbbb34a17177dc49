//! What the generated code is called with.

use super::super::{AttentionDesc, Sequence, interpreted};
use super::*;
use crate::ActivationBits;
use crate::PanelLayout;
use crate::preserved::plans_with_code;

#[test]
fn generated_code_preserves_what_a_callee_must() {
    let layouts = [PanelLayout::Plain, PanelLayout::Vnni];
    let plans = |isa| {
        layouts.map(|output| {
            AttentionDesc { head_size: 8, output, activation_bits: ActivationBits::Eight }.plan(isa).unwrap()
        })
    };
    for code in plans_with_code(plans) {
        let kernel = AttentionKernel::new(code.plan, code.compiled.clone()).unwrap();
        let params =
            AttentionParams { score_scale: vec![1e-3], q_zero: vec![128], out_scale: vec![1.0; 8], out_zero: 0 };
        for len in [1, 16, 20, 40, 64, 130] {
            let sequence = Sequence { start: 0, len };
            let batch = AttentionBatch::new(&[sequence], len, 8, code.plan.output).unwrap();
            let x = Buffer::new(elements(8, len));
            let mut out = Buffer::new(x.len());
            let mut scratch = Scratch::new();
            let panels = Panels { q: &x, k: &x, v: &x, out: SharedMut::new(&mut out) };
            let args = kernel.args(&batch.sequences[0], &params, 0..1, panels, &mut scratch);
            // SAFETY: as in `run_heads`: panels, tables and scratch fit each other.
            unsafe { code.assert_preserves(&args, len) };
        }
    }
}

/// With AVX-VNNI and without.
#[test]
fn code_for_256_bits_needs_no_more_than_its_tier() {
    let Some(token) = lacuna_jit::Avx2::detect() else {
        crate::support::tiers(); // says what is skipped
        return;
    };
    for (token, output) in [token, token.without_vnni()]
        .into_iter()
        .flat_map(|token| [PanelLayout::Plain, PanelLayout::Vnni].map(|output| (token, output)))
    {
        for head_size in [4, 32, 512] {
            let plan = AttentionDesc { head_size, output, activation_bits: ActivationBits::Eight }
                .plan(lacuna_jit::Isa::Avx2(token))
                .unwrap();
            let needs = crate::Generate::emit(&plan).unwrap().features;
            assert!(token.tier().features().contains(needs), "{}: {needs:?}", plan.name());
        }
    }
}

#[test]
fn flat_heads_are_called_alone() {
    let params = |scales: &[f32]| AttentionParams {
        score_scale: scales.to_vec(),
        q_zero: vec![0; scales.len()],
        out_scale: Vec::new(),
        out_zero: 0,
    };
    for (scales, expected) in [
        (&[1.0, 1.0, 1.0][..], std::slice::from_ref(&(0..3))),
        (&[0.0, 0.0], &[0..1, 1..2]),
        (&[1.0, 0.0, 1e-9, 1.0, 1.0], &[0..1, 1..2, 2..3, 3..5]),
        (&[0.0, 1e-3], &[0..1, 1..2]),
        (&[], &[]),
    ] {
        let found: Vec<_> = runs(&params(scales), 0..scales.len()).collect();
        assert_eq!(found, expected, "{scales:?}");
    }
    assert_eq!(runs(&params(&[1.0, 0.0, 1.0, 1.0]), 1..3).collect::<Vec<_>>(), [1..2, 2..3]);
}

/// What the generated code does with its arguments, done by [`interpreted`] on every machine: from score scales of 0 to usual ones,
/// keys past the end weigh nothing, and the output is that of the portable tier.
#[test]
fn arguments_mask_keys_past_the_end_at_every_scale() {
    const SCALES: [f32; 14] =
        [0.0, 1e-45, 1e-38, 1e-12, 1e-10, 2.5e-9, 2.6e-9, 5e-9, 7.6e-9, 7.8e-9, 1e-8, 1e-6, 1e-3, 1.0];
    let output = PanelLayout::Plain;
    for (head_size, len) in [4, 64, 512].into_iter().flat_map(|d| [1, 2, 3, 4, 5, 6, 7, 18].map(|len| (d, len))) {
        let plan = AttentionDesc { head_size, output, activation_bits: ActivationBits::Eight }
            .plan(lacuna_jit::Isa::Portable)
            .unwrap();
        let features = head_size * SCALES.len();
        // One more sequence behind it, whose keys a careless mask would let in.
        let (sequences, tokens) = Sequence::pack([len, 3]);
        let batch = AttentionBatch::new(&sequences, tokens, features, output).unwrap();
        let n = elements(features, tokens);
        let mut state = 1u32;
        let mut bytes = |extreme: bool| {
            let mut buffer = Buffer::<u8>::new(n);
            buffer.iter_mut().for_each(|byte| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = match extreme {
                    true => [0, 127, 128, 255][(state >> 30) as usize],
                    false => (state >> 24) as u8,
                };
            });
            buffer
        };
        for extreme in [false, true] {
            let (q, k, v) = (bytes(extreme), bytes(extreme), bytes(extreme));
            for q_zero in [0, 128, 255] {
                let params = AttentionParams {
                    score_scale: SCALES.to_vec(),
                    q_zero: vec![q_zero; SCALES.len()],
                    out_scale: vec![1.0; features],
                    out_zero: 128,
                };
                let kernel = AttentionKernel::new(plan, crate::cache::Compiled::NONE).unwrap();
                let mut expected = Buffer::<u8>::new(n);
                kernel.run(&batch, &params, &q, &k, &v, &mut expected, Parallel::Serial).unwrap();
                let mut found = Buffer::<u8>::new(n);
                let panels = Panels { q: &q, k: &k, v: &v, out: SharedMut::new(&mut expected) };
                let mut scratch = Scratch::new();
                for tables in &batch.sequences {
                    for heads in runs(&params, 0..SCALES.len()) {
                        let args = kernel.args(tables, &params, heads.clone(), panels, &mut scratch);
                        let at = heads.start * head_size * TILE;
                        // SAFETY: `args` are those of a call of the generated code.
                        unsafe { interpreted::call(&plan, &args, tables, features, &mut found[at..]) };
                    }
                }
                for (s, f) in sequences.iter().flat_map(|s| (0..features).map(move |f| (s, f))) {
                    for t in s.start..s.start + s.len {
                        let i = output.index(features, f, t);
                        assert_eq!(
                            found[i],
                            expected[i],
                            "scale {:e}, head size {head_size}, {len} keys, token {t}, feature {f}",
                            SCALES[f / head_size]
                        );
                    }
                }
            }
        }
    }
}
