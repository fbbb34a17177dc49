//! The embedding gather against a reference, and with the layernorm that follows it.

mod matrices;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::embedding::{EmbedLayerNorm, EmbeddingDesc, EmbeddingIds, EmbeddingKernel, EmbeddingTables};
use lacuna_kernels::layernorm::{LayerNormDesc, NormParams, NormRows};
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{ActivationBits, KernelError, PanelLayout, Parallel, TILE, reference};
use matrices::{FEATURES, TOKENS, assert_padding_features_untouched, assert_same_bits, from_panel, from_tile, random};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Guarded, assert_ulp, tiers_without_avx2};

/// Rows of the word, type and position tables.
const ROWS: [usize; 3] = [97, 2, 33];

struct Case {
    features: usize,
    tokens: usize,
    tables: [Guarded<f32>; 3],
    ids: [Guarded<u32>; 3],
}

impl Case {
    fn new(features: usize, tokens: usize, seed: u64) -> Case {
        let mut rng = StdRng::seed_from_u64(seed);
        let tables = ROWS.map(|rows| Guarded::from_slice(&random(rows * features, -1.0, 1.0, seed ^ rows as u64)));
        let ids = ROWS.map(|rows| {
            let ids: Vec<u32> = (0..tiles(tokens) * TILE).map(|_| rng.random_range(0..rows as u32)).collect();
            Guarded::from_slice(&ids)
        });
        Case { features, tokens, tables, ids }
    }

    fn tables(&self) -> EmbeddingTables<'_> {
        let [word, kind, position] = &self.tables;
        EmbeddingTables { word, kind, position }
    }

    fn ids(&self) -> EmbeddingIds<'_> {
        let [word, kind, position] = &self.ids;
        EmbeddingIds { word, kind, position }
    }

    fn kernel(&self, isa: Isa) -> EmbeddingKernel {
        EmbeddingDesc { features: self.features }.compile(isa).unwrap()
    }

    /// The whole tile, padding included.
    fn run(&self, isa: Isa, parallel: Parallel) -> Guarded<f32> {
        let mut x = Guarded::new(elements(self.features, self.tokens), 41);
        let before = x.to_vec();
        let kernel = self.kernel(isa);
        kernel.run(&self.tables(), &self.ids(), &mut x, self.tokens, parallel).unwrap();
        assert_padding_features_untouched(&x, &before, self.features, self.tokens);
        x
    }

    fn check(&self) {
        let (features, tokens) = (self.features, self.tokens);
        let [word, kind, position] = &self.tables;
        let [w, k, p] = &self.ids;
        let reference = reference::rows::embedding([word, kind, position], [w, k, p], features, tokens);
        let portable = from_tile(&self.run(Isa::Portable, Parallel::Serial), features, tokens);
        for (&x, &r) in portable.iter().zip(&reference) {
            assert!((f64::from(x) - r).abs() < 3e-7, "{x} {r}"); // two roundings of sums below 2 and 3
        }
        for isa in tiers_without_avx2() {
            let x = from_tile(&self.run(isa, Parallel::Serial), features, tokens);
            assert_same_bits(&x, &portable, &format!("F={features} N={tokens} {isa}"));
        }
    }
}

#[test]
fn edge_sizes_match_the_reference_on_every_tier() {
    for features in FEATURES.into_iter().chain([5, 15, 31, 33]) {
        for tokens in TOKENS {
            Case::new(features, tokens, (features * 1000 + tokens) as u64).check();
        }
    }
}

#[test]
fn threads_compute_the_same() {
    let case = Case::new(312, 130, 8);
    for isa in tiers_without_avx2() {
        let run = |parallel| from_tile(&case.run(isa, parallel), 312, 130);
        assert_eq!(run(Parallel::Rayon), run(Parallel::Serial));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_sizes_match(features in 1usize..150, tokens in 1usize..200, seed: u64) {
        Case::new(features, tokens, seed).check();
    }
}

#[test]
fn together_with_layernorm_it_is_one_after_the_other() {
    for (features, tokens) in [(1, 1), (26, 17), (64, 64), (312, 130)] {
        let case = Case::new(features, tokens, 12);
        let layout = PanelLayout::Vnni;
        let params: Vec<NormParams> = random(features, 0.5, 1.5, 13)
            .into_iter()
            .map(|gamma| NormParams { gamma, beta: 0.1, out_scale: 50.0, out_zero: 128.0 })
            .collect();
        for isa in tiers_without_avx2() {
            for parallel in [Parallel::Serial, Parallel::Rayon] {
                let layernorm =
                    LayerNormDesc { features, f32: true, panel: Some(layout), activation_bits: ActivationBits::Eight }
                        .compile(isa)
                        .unwrap();
                let weights = NormRows::pack(layernorm.plan(), &params, 1e-12).unwrap();

                let mut x = case.run(isa, Parallel::Serial);
                let mut panel = Guarded::new(elements(features, tokens), 14);
                layernorm.run(&weights, &mut x, Some(&mut panel), tokens, Parallel::Serial).unwrap();

                let both = EmbedLayerNorm::new(case.kernel(isa), layernorm).unwrap();
                let mut x2 = Guarded::new(elements(features, tokens), 15);
                let mut panel2 = Guarded::new(elements(features, tokens), 16);
                both.run(&case.tables(), &case.ids(), &weights, &mut x2, Some(&mut panel2), tokens, parallel).unwrap();

                let matrix = |x: &[f32]| from_tile(x, features, tokens);
                assert_ulp(&matrix(&x2), &matrix(&x), 0, "f32 tile");
                let matrix = |panel: &[u8]| from_panel(panel, layout, features, tokens);
                assert_eq!(matrix(&panel2), matrix(&panel));
            }
        }
    }
}

#[test]
fn bad_arguments_are_named() {
    assert!(matches!(EmbeddingDesc { features: 0 }.plan(Isa::Portable), Err(KernelError::Dimension { found: 0, .. })));
    let serial = Parallel::Serial;
    for isa in tiers_without_avx2() {
        let mut case = Case::new(20, 70, 17);
        let kernel = case.kernel(isa);
        let mut x = vec![7.0; elements(20, 70)];
        let mut run = |case: &Case, tokens| kernel.run(&case.tables(), &case.ids(), &mut x, tokens, serial);

        assert!(matches!(run(&case, 0), Err(KernelError::Dimension { found: 0, .. })));
        assert!(matches!(run(&case, 64), Err(KernelError::Length { buffer: "x", .. })));

        case.ids[0][100] = 97; // a padding token: it is read as well
        assert!(matches!(run(&case, 70), Err(KernelError::TokenId { position: 100, found: 97, expected: 97 })));
        case.ids[0][100] = u32::MAX;
        assert!(matches!(run(&case, 70), Err(KernelError::TokenId { position: 100, found: u32::MAX, .. })));
        case.ids[0][100] = 0;
        case.ids[1][3] = 2;
        let found = run(&case, 70).unwrap_err().to_string();
        assert!(found.contains("type 2 of token 3") && found.contains("less than 2"), "{found}");
        case.ids[1][3] = 1;
        case.ids[2][69] = 33;
        let found = run(&case, 70).unwrap_err().to_string();
        assert!(found.contains("position 33 of token 69") && found.contains("less than 33"), "{found}");
        case.ids[2][69] = 32;
        run(&case, 70).unwrap();

        let (tables, ids) = (case.tables(), case.ids());
        let mut run =
            |tables: &EmbeddingTables<'_>, ids: &EmbeddingIds<'_>| kernel.run(tables, ids, &mut x, 70, serial);
        let ragged = EmbeddingTables { kind: &tables.kind[1..], ..tables };
        assert!(matches!(run(&ragged, &ids), Err(KernelError::Length { buffer: "type table", found: 39, .. })));
        let none = EmbeddingTables { position: &[], ..tables };
        assert!(matches!(run(&none, &ids), Err(KernelError::Length { buffer: "position table", found: 0, .. })));
        let short = EmbeddingIds { word: &ids.word[..70], ..ids };
        assert!(matches!(run(&tables, &short), Err(KernelError::Length { buffer: "word ids", found: 70, .. })));

        let other = LayerNormDesc { features: 21, f32: true, panel: None, activation_bits: ActivationBits::Eight }
            .compile(isa)
            .unwrap();
        assert!(matches!(EmbedLayerNorm::new(kernel.clone(), other), Err(KernelError::Mismatch { .. })));
    }
}
