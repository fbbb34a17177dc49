//! Every product of floats is as exact as documented and gives the same bits on every tier of this machine.

mod case;
mod errors;
mod plans;
#[path = "../support/mod.rs"]
mod support;

use case::{BLOCKS, Case, FEATURES, Place, TOKENS, candidates, sparse_weights};
use lacuna_jit::Isa;
use lacuna_kernels::float::{DType, FloatDesc, SumOrder, sinks};
use lacuna_kernels::{Activation, Block, Parallel, Plan, Sink};
use proptest::prelude::*;
use rand::prelude::*;
use support::tiers_without_avx2;

/// Asserts that two results have the same bits; all NaNs are one.
#[track_caller]
fn assert_same_floats(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differs = |(f, e): (&f32, &f32)| f.to_bits() != e.to_bits() && !(f.is_nan() && e.is_nan());
    if let Some(i) = found.iter().zip(expected).position(differs) {
        panic!("{what}: element {i} is {:e}, expected the bits of {:e}", found[i], expected[i]);
    }
}

/// The sinks, one after the other for each call.
fn cycled_sinks() -> impl FnMut() -> Sink {
    let mut all = sinks().into_iter().cycle();
    move || all.next().unwrap()
}

#[test]
fn every_shape_around_the_edges() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut sink = cycled_sinks();
    for m in FEATURES {
        for k in FEATURES {
            for block in BLOCKS {
                let n = *TOKENS.choose(&mut rng).unwrap();
                let case = Case::sparse(m, k, n, block, 0.4, &mut rng);
                for dtype in DType::ALL {
                    case.check(dtype, block, sink(), Place::AtEnd, Parallel::Serial);
                }
            }
        }
    }
}

#[test]
fn every_token_count_epilogue_and_guard() {
    let mut rng = StdRng::seed_from_u64(2);
    for n in TOKENS {
        for block in BLOCKS {
            let case = Case::sparse(17, 15, n, block, 0.5, &mut rng);
            for dtype in DType::ALL {
                for (i, sink) in sinks().into_iter().enumerate() {
                    let place = if (i + n).is_multiple_of(2) { Place::AtStart } else { Place::AtEnd };
                    case.check(dtype, block, sink, place, Parallel::Serial);
                }
            }
        }
    }
}

#[test]
fn model_shapes() {
    let mut rng = StdRng::seed_from_u64(3);
    for (m, k, n) in [(96, 768, 33), (384, 96, 130), (24, 3073, 20)] {
        for block in BLOCKS {
            for density in [0.1, 0.3] {
                let case = Case::sparse(m, k, n, block, density, &mut rng);
                for dtype in DType::ALL {
                    case.check(dtype, block, Sink::f32(true), Place::AtEnd, Parallel::Serial);
                }
            }
        }
    }
}

/// The last rows that an index of 16 bits reaches, and the first that it does not.
#[test]
fn wide_inputs() {
    let mut rng = StdRng::seed_from_u64(9);
    for k in [2048, 2049, 4095, 4096, 4097, 20_001] {
        for (m, n) in [(1, 1), (9, 65)] {
            let mut case = Case::sparse(m, k, n, Block::B4x1, 0.02, &mut rng);
            (0..m).for_each(|row| case.weights[row * k + k - 1] = 1.5);
            for (dtype, block) in
                DType::ALL.into_iter().flat_map(|dtype| [Block::B4x1, Block::B8x1].map(|b| (dtype, b)))
            {
                case.check(dtype, block, Sink::f32(false), Place::AtEnd, Parallel::Serial);
            }
        }
    }
}

#[test]
fn special_patterns() {
    let (m, k, n) = (22, 19, 70);
    let mut rng = StdRng::seed_from_u64(4);
    let dense = sparse_weights(m, k, 1, 1.0, &mut rng);
    let mut patterns = support::special_patterns(&dense, -0.77);
    patterns.push(("all negative zero", vec![-0.0; m * k]));
    for (name, weights) in patterns {
        eprintln!("{name}");
        let case = Case::new(m, n, weights, &mut rng);
        for block in BLOCKS {
            for dtype in DType::ALL {
                for sink in [Sink::f32(false), Sink::bf16().with(Activation::Gelu)] {
                    case.check(dtype, block, sink, Place::AtEnd, Parallel::Serial);
                }
            }
        }
    }
}

/// Products that cancel, denormals, the ends of the exponent range. Sums that overflow have no bound, but one result.
#[test]
fn extreme_numbers_give_the_same_bits() {
    let mut rng = StdRng::seed_from_u64(5);
    let number = |exponents: std::ops::RangeInclusive<u32>, rng: &mut StdRng| {
        let sign_and_fraction = rng.random::<u32>() & 0x807f_ffff;
        f32::from_bits(sign_and_fraction | rng.random_range(exponents) << 23)
    };
    for exponents in [0..=3, 55..=70, 0..=254, 120..=130] {
        for block in BLOCKS {
            for n in [5, 20, 64] {
                let mut case = Case::sparse(13, 11, n, block, 0.6, &mut rng);
                let all = case.weights.iter_mut().chain(&mut case.x).chain(&mut case.bias).chain(&mut case.residual);
                all.filter(|value| **value != 0.0).for_each(|value| *value = number(exponents.clone(), &mut rng));
                // The largest f32 rounds to infinity in bf16, which is refused.
                case.weights.iter_mut().for_each(|w| *w = w.clamp(-3e38, 3e38));
                for dtype in DType::ALL {
                    for sink in [Sink::f32(true), Sink::bf16(), Sink::f32(false)] {
                        for tiers_without_avx2 in case.run_all(dtype, block, sink, Place::AtEnd, Parallel::Serial) {
                            for (plan, found) in &tiers_without_avx2 {
                                assert_same_floats(found, &tiers_without_avx2[0].1, &plan.name());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A NaN or an infinity in one token does not reach other tokens.
#[test]
fn infinities_and_nans_stay_in_their_token() {
    let (m, k, n) = (13, 9, 40);
    let mut rng = StdRng::seed_from_u64(6);
    for block in BLOCKS {
        let clean = Case::sparse(m, k, n, block, 0.7, &mut rng);
        let mut dirty = clean.clone();
        for (token, value) in [(3, f32::NAN), (17, f32::INFINITY), (33, f32::NEG_INFINITY)] {
            (0..k).for_each(|feature| dirty.x[feature * n + token] = value);
        }
        for dtype in DType::ALL {
            for sink in sinks() {
                let run = |case: &Case| case.run_all(dtype, block, sink, Place::AtEnd, Parallel::Serial);
                for (clean, dirty) in run(&clean).iter().zip(&run(&dirty)) {
                    for ((plan, expected), (_, found)) in clean.iter().zip(dirty) {
                        let keep = |values: &[f32]| -> Vec<f32> {
                            (0..m * n).filter(|i| ![3, 17, 33].contains(&(i % n))).map(|i| values[i]).collect()
                        };
                        assert_same_floats(&keep(found), &keep(expected), &plan.to_string());
                        assert_same_floats(found, &dirty[0].1, &plan.to_string());
                    }
                }
            }
        }
    }
}

/// The feature beside the last one of an odd K is garbage in the buffer (NaN, often): no result may depend on it.
#[test]
fn padding_features_are_never_used() {
    let mut rng = StdRng::seed_from_u64(7);
    for k in [1, 3, 5, 9, 33] {
        for block in BLOCKS {
            for n in [1, 20, 70] {
                let case = Case::sparse(14, k, n, block, 1.0, &mut rng);
                case.check(DType::Bf16, block, Sink::f32(false), Place::AtEnd, Parallel::Serial);
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut rng = StdRng::seed_from_u64(8);
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (m, k, n) in [(1, 3, 1), (5, 9, 64), (13, 26, 64), (64, 40, 65), (30, 12, 300)] {
            for block in BLOCKS {
                let case = Case::sparse(m, k, n, block, 0.3, &mut rng);
                for dtype in DType::ALL {
                    for sink in [Sink::f32(true), Sink::bf16()] {
                        pool.install(|| case.check(dtype, block, sink, Place::AtEnd, Parallel::Rayon));
                    }
                }
            }
        }
    }
}

/// With sums in fixed order a token has the same bits at every position, and every tier agrees.
#[test]
fn sums_in_fixed_order_know_no_neighbours() {
    let mut rng = StdRng::seed_from_u64(9);
    let n = 90; // whole vectors, and tails of every kind
    for (m, k) in [(1, 1), (5, 9), (13, 26), (30, 67)] {
        for block in BLOCKS {
            let all = Case::sparse(m, k, n, block, 0.6, &mut rng);
            for dtype in DType::ALL {
                let desc = FloatDesc { m, k, dtype, block, sink: Sink::f32(true) };
                for plan in tiers_without_avx2().into_iter().flat_map(|isa| candidates(desc, isa)) {
                    let plan = plan.with_order(SumOrder::Fixed);
                    let together = all.run(plan, Place::AtEnd, Parallel::Serial);
                    for (first, count) in [(0, 1), (3, 17), (60, 30), (64, 26), (70, 20), (89, 1)] {
                        let columns = |x: &[f32]| x.chunks(n).flat_map(|row| row[first..][..count].to_vec()).collect();
                        let part = Case {
                            n: count,
                            weights: all.weights.clone(),
                            bias: all.bias.clone(),
                            x: columns(&all.x),
                            residual: columns(&all.residual),
                            ..all
                        };
                        let expected: Vec<f32> = columns(&together);
                        let found = part.run(plan, Place::AtEnd, Parallel::Serial);
                        assert_same_floats(&found, &expected, &format!("{} on {count} tokens", plan.name()));
                    }
                    let portable = candidates(desc, Isa::Portable).into_iter().map(|p| p.with_order(SumOrder::Fixed));
                    for other in portable.filter(|other| other.rows() == plan.rows()) {
                        let other = all.run(other, Place::AtEnd, Parallel::Serial);
                        assert_same_floats(&together, &other, &plan.name());
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_and_patterns(
        (m, k, n) in (1usize..60, 1usize..120, 1usize..200),
        density in 0.0..=1.0f64,
        block in prop::sample::select(BLOCKS.to_vec()),
        matching in any::<bool>(),
        dtype in prop::sample::select(DType::ALL.to_vec()),
        sink in prop::sample::select(sinks()),
        seed in any::<u64>(),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        // Any matrix can be packed for any block shape.
        let pattern = if matching { block } else { Block::Unstructured };
        let case = Case::sparse(m, k, n, pattern, density, &mut rng);
        case.check(dtype, block, sink, Place::AtEnd, Parallel::Serial);
    }
}
