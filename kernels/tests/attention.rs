//! Attention against the scalar reference, bit by bit, on every tier, and against exact softmax within its bound.

mod support;

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionBatch, AttentionDesc, AttentionKernel, AttentionParams, Sequence};
use lacuna_kernels::layout::elements;
use lacuna_kernels::reference::attention::{attention, exact_attention};
use lacuna_kernels::reference::gemm::Matrix;
use lacuna_kernels::{ActivationBits, KernelError, PanelLayout, Parallel};
use proptest::prelude::*;
use rand::prelude::*;
use support::{Guarded, tiers};

const LAYOUTS: [PanelLayout; 2] = [PanelLayout::Plain, PanelLayout::Vnni];

struct Case {
    heads: usize,
    head_size: usize,
    sequences: Vec<Sequence>,
    tokens: usize,
    params: AttentionParams,
    q: Matrix<u8>,
    k: Matrix<u8>,
    v: Matrix<u8>,
    seed: u64,
}

impl Case {
    fn new(heads: usize, head_size: usize, lengths: &[usize], seed: u64) -> Case {
        let (sequences, tokens) = Sequence::pack(lengths.iter().copied());
        let mut rng = StdRng::seed_from_u64(seed);
        let features = heads * head_size;
        let mut bytes = || Matrix::from_fn(features, tokens, |_, _| rng.random());
        let (q, k, v) = (bytes(), bytes(), bytes());
        // From almost uniform attention to almost one-hot.
        let sharpness = [1e-6, 1e-4, 1e-3, 0.1];
        let params = AttentionParams {
            score_scale: (0..heads).map(|_| sharpness[rng.random_range(0..4)]).collect(),
            q_zero: (0..heads).map(|_| rng.random()).collect(),
            out_scale: (0..features).map(|_| rng.random_range(0.1..3.0)).collect(),
            out_zero: rng.random(),
        };
        Case { heads, head_size, sequences, tokens, params, q, k, v, seed }
    }

    fn features(&self) -> usize {
        self.heads * self.head_size
    }

    /// The output panel, guarded; tokens of no sequence must keep their garbage.
    fn run(&self, isa: Isa, output: PanelLayout, parallel: Parallel) -> Matrix<u8> {
        self.run_to(ActivationBits::Eight, isa, output, parallel)
    }

    /// The same with codes of so many bits.
    fn run_to(&self, activation_bits: ActivationBits, isa: Isa, output: PanelLayout, parallel: Parallel) -> Matrix<u8> {
        let guarded = |m: &Matrix<u8>, layout: PanelLayout, seed| {
            let mut panel = Guarded::<u8>::new(elements(self.features(), self.tokens), self.seed ^ seed);
            m.write(|f, feature, token| layout.index(f, feature, token), &mut panel);
            panel
        };
        let (q, k) = (guarded(&self.q, PanelLayout::Vnni, 1), guarded(&self.k, PanelLayout::Vnni, 2));
        let v = guarded(&self.v, PanelLayout::Plain, 3);
        let mut out = Guarded::<u8>::at_start(elements(self.features(), self.tokens), self.seed ^ 4);
        let before = out.to_vec();
        let plan = AttentionDesc { head_size: self.head_size, output, activation_bits }.plan(isa).unwrap();
        let batch = AttentionBatch::new(&self.sequences, self.tokens, self.features(), output).unwrap();
        let kernel = AttentionKernel::compile(plan).unwrap();
        kernel.run(&batch, &self.params, &q, &k, &v, &mut out, parallel).unwrap();
        let owned = |token: usize| {
            self.sequences.iter().any(|s| (s.start..(s.start + s.len).next_multiple_of(4)).contains(&token))
        };
        for token in (0..self.tokens.next_multiple_of(64)).filter(|&t| !owned(t)) {
            for feature in 0..self.features() {
                let index = output.index(self.features(), feature, token);
                assert_eq!(out[index], before[index], "token {token} belongs to no sequence");
            }
        }
        Matrix::from_panel(output, self.features(), self.tokens, &out)
    }

    fn expected(&self) -> Matrix<u8> {
        attention(&self.params, &self.sequences, &self.q, &self.k, &self.v)
    }

    fn check(&self) {
        let expected = self.expected();
        for isa in tiers() {
            for (output, bits) in LAYOUTS.into_iter().flat_map(|output| ActivationBits::ALL.map(|bits| (output, bits)))
            {
                let found = self.run_to(bits, isa, output, Parallel::Serial);
                for s in &self.sequences {
                    for token in s.start..s.start + s.len {
                        for feature in 0..self.features() {
                            let expected = expected.at(feature, token).min(bits.largest());
                            let found = found.at(feature, token);
                            let lengths: Vec<usize> = self.sequences.iter().map(|s| s.len).collect();
                            assert_eq!(
                                found, expected,
                                "{isa} {output:?} {bits} bits, head size {}, lengths {lengths:?}, feature {feature}, token {token}",
                                self.head_size
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_length_around_the_vectors_and_tiles() {
    for len in [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 130] {
        Case::new(2, 8, &[len], len as u64).check();
    }
}

#[test]
fn every_head_size() {
    for head_size in [4, 12, 16, 20, 28, 32, 64, 68, 128] {
        Case::new(2, head_size, &[37, 5], head_size as u64).check();
    }
}

/// Up to 16 tokens and heads of up to 64 have code of their own, by the number of key groups; sequences start anywhere in a vector.
#[test]
fn short_sequences_of_every_number_of_key_groups() {
    for head_size in [4, 20, 32, 64, 68] {
        for lengths in [&[1, 4, 5, 8, 9, 12, 13, 16][..], &[16, 16, 15, 3], &[12; 6], &[2, 17, 16, 40, 8]] {
            Case::new(2, head_size, lengths, head_size as u64).check();
        }
    }
}

/// Beyond 96 keys a tile of queries is taken in halves.
#[test]
fn whole_tiles_around_the_length_at_which_they_are_halved() {
    for len in [92, 96, 97, 100, 112, 128, 192] {
        Case::new(1, 32, &[len], len as u64).check();
        Case::new(1, 16, &[20, len, 5], len as u64).check();
    }
}

#[test]
fn packed_sequences_do_not_see_each_other() {
    for (seed, lengths) in
        [&[1, 1, 1, 1, 1][..], &[5, 9, 64, 3], &[17, 40, 100], &[60, 8, 60], &[3, 61, 2, 130, 7], &[20; 9]]
            .iter()
            .enumerate()
    {
        Case::new(3, 12, lengths, seed as u64).check();
    }
}

/// 255 u8 times -128 s8 in every feature of the largest head, and equal scores for all keys.
#[test]
fn extreme_bytes_stay_exact() {
    for (q, k, v) in [(255, 128, 128), (255, 127, 127), (0, 128, 127), (0, 0, 128)] {
        let mut case = Case::new(1, 512, &[70], 1);
        for (matrix, byte) in [(&mut case.q, q), (&mut case.k, k), (&mut case.v, v)] {
            matrix.values.fill(byte);
        }
        for q_zero in [0, 128, 255] {
            case.params.q_zero[0] = q_zero;
            case.check();
        }
    }
}

/// Rounding the probabilities to 8 bit costs at most half a step of the largest per key, and often cancels.
#[test]
fn close_to_exact_softmax() {
    for (len, seed) in [(8, 1), (64, 2), (128, 3), (384, 4)] {
        let mut case = Case::new(2, 32, &[len], seed);
        case.params.score_scale.fill(2e-5); // scores within a few units, as in a trained model
        case.params.out_scale.fill(1.0);
        case.params.out_zero = 128;
        let exact = exact_attention(&case.params, &case.sequences, &case.q, &case.k, &case.v);
        let found = case.expected();
        let worst = found.values.iter().zip(&exact).map(|(&f, e)| (f64::from(f) - e.clamp(0.0, 255.0)).abs());
        let worst = worst.fold(0.0, f64::max);
        assert!(worst < 1.0, "{len} keys: {worst} steps of the output");
    }
}

/// From 0 on, a scale at which the exponential is nearly flat: keys past the end of a sequence have no weight.
#[test]
fn every_score_scale_at_every_length() {
    const SCALES: [f32; 15] =
        [0.0, 1e-45, 1e-38, 1e-30, 1e-20, 1e-12, 1e-9, 2.5e-9, 2.6e-9, 5e-9, 7.6e-9, 7.8e-9, 1e-8, 1e-4, 1.0];
    for (head_size, lengths) in [4, 32, 68].into_iter().flat_map(|d| {
        [&[1][..], &[2], &[3], &[4], &[5, 6, 7, 8], &[13, 14, 15, 16], &[17, 18, 19, 20], &[97, 98, 99], &[130]]
            .map(|lengths| (d, lengths))
    }) {
        let mut case = Case::new(SCALES.len(), head_size, lengths, 7);
        case.params.score_scale = SCALES.to_vec();
        case.check();
        // Zeroed queries and keys, as pruned heads have them: all scores are equal.
        let zeros = case.params.q_zero[0];
        case.params.q_zero.fill(zeros);
        case.q.values.fill(zeros);
        case.check();
        case.k.values.fill(0);
        case.check();
    }
}

/// One key: whatever the score scale, the output is V of that key.
#[test]
fn one_key_has_all_the_weight() {
    for scale in [0.0f32, 1e-38, 5e-9, 1e-8, 1.0] {
        let mut case = Case::new(2, 4, &[1, 1], 3);
        case.params.score_scale.fill(scale);
        case.params.out_scale.fill(1.0);
        case.params.out_zero = 128;
        let v = case.v.values.clone();
        for isa in tiers() {
            let found = case.run(isa, PanelLayout::Plain, Parallel::Serial);
            for (feature, token) in (0..8).flat_map(|f| [(f, 0), (f, 4)]) {
                let expected = (i16::from(v[feature * case.tokens + token] as i8) + 128) as u8;
                assert_eq!(found.at(feature, token), expected, "{isa}, scale {scale:e}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let case = Case::new(4, 16, &[33, 64, 7, 100], 5);
    for isa in tiers() {
        let serial = case.run(isa, PanelLayout::Plain, Parallel::Serial);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| case.run(isa, PanelLayout::Plain, Parallel::Rayon));
            assert!(found == serial, "{isa}, {threads} threads");
        }
    }
}

#[test]
fn bad_arguments_are_typed_errors() {
    let plan = |head_size| {
        AttentionDesc { head_size, output: PanelLayout::Plain, activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
    };
    for head_size in [0, 3, 26, 516] {
        assert!(
            matches!(plan(head_size), Err(KernelError::Dimension { dimension: "head size", found, .. }) if found == head_size)
        );
    }
    let case = Case::new(2, 8, &[10], 1);
    let kernel = AttentionKernel::compile(plan(8).unwrap()).unwrap();
    let (good, mut out) = (vec![0; elements(16, 10)], vec![0; elements(16, 10)]);
    let batch = |features, output| AttentionBatch::new(&case.sequences, 10, features, output).unwrap();
    let plain = batch(16, PanelLayout::Plain);
    let mut run = |batch: &AttentionBatch, params: &AttentionParams, q: &[u8], v: &[u8]| {
        kernel.run(batch, params, q, &good, v, &mut out, Parallel::Serial)
    };
    assert!(run(&plain, &case.params, &good, &good).is_ok());
    let short = &good[1..];
    assert!(matches!(
        run(&plain, &case.params, short, &good),
        Err(KernelError::Length { buffer: "q", found, expected, .. }) if found + 1 == expected
    ));
    assert!(matches!(run(&plain, &case.params, &good, short), Err(KernelError::Length { buffer: "v", .. })));
    for other in [batch(24, PanelLayout::Plain), batch(16, PanelLayout::Vnni)] {
        assert!(matches!(run(&other, &case.params, &good, &good), Err(KernelError::Mismatch { .. })));
    }
    for bad in [f32::NAN, f32::INFINITY, -1.0, 2e6] {
        let bad = AttentionParams { score_scale: vec![1.0, bad], ..case.params.clone() };
        assert!(matches!(
            run(&plain, &bad, &good, &good),
            Err(KernelError::Parameter { parameter: "score scale", row: 1, .. })
        ));
    }
    let nan = AttentionParams { out_scale: [vec![-1.0; 15], vec![f32::NAN]].concat(), ..case.params.clone() };
    assert!(matches!(
        run(&plain, &nan, &good, &good),
        Err(KernelError::Parameter { parameter: "output scale", row: 15, .. })
    ));
    let few = AttentionParams { q_zero: vec![0], ..case.params.clone() };
    assert!(matches!(run(&plain, &few, &good, &good), Err(KernelError::Length { buffer: "q zero points", .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn random_shapes(
        heads in 1usize..4,
        quarter in 1usize..10,
        lengths in prop::collection::vec(1usize..90, 1..5),
        seed in any::<u64>(),
    ) {
        Case::new(heads, 4 * quarter, &lengths, seed).check();
    }
}
