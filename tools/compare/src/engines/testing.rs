//! What the engines' tests share: products with an exact result, and the versions that cargo has locked.

// Every feature uses a part.
#![cfg_attr(not(all(feature = "candle", feature = "gemm", feature = "ort", feature = "rten")), allow(dead_code))]

use std::rc::Rc;

use lacuna_console::products::problem::{Weights, activations};
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::reference::gemm::{Matrix, gemm};
use lacuna_kernels::{ActivationBits, Block};

use crate::engine::{Engine, OutputKind, Product, ProductCall, Stored};

/// M, K and N: single numbers, sizes that no tile divides, one more than the depth that the crates cut K at.
const SIZES: [(usize, usize, usize); 7] =
    [(1, 1, 1), (5, 7, 3), (17, 33, 65), (64, 256, 31), (9, 1025, 66), (130, 300, 40), (3, 4, 1)];

/// Products of odd sizes: random ones, and the largest sums that their types allow.
pub(super) fn products(threads: usize) -> impl Iterator<Item = Product> {
    SIZES.into_iter().flat_map(move |(m, k, n)| {
        let block = Block::B4x1;
        let weights = Weights::seeded(m, k, block, 0.5, &Epilogue::f32(false), 7);
        let random = Product {
            weights,
            x: Rc::new(activations(k, n, ActivationBits::Eight, 8)),
            output: OutputKind::F32,
            block,
            threads,
        };
        let mut weights = Weights::seeded(m, k, block, 0.0, &Epilogue::f32(false), 7);
        weights.values.iter_mut().enumerate().for_each(|(i, w)| *w = if i / k % 2 == 0 { 127 } else { -127 });
        let x = Rc::new(Matrix::from_fn(k, n, |_, _| 255));
        [random, Product { weights, x, output: OutputKind::F32, block, threads }]
    })
}

/// Has an engine compute a product, and compares every value with the exact one.
pub(super) fn check_product(engine: &mut dyn Engine, product: &Product, stored: Stored) {
    let mut checked = false;
    let mut check = |call: &mut dyn ProductCall| {
        check_call(call, product, stored);
        checked = true;
        Ok(())
    };
    engine.with_product(product, &mut check).unwrap();
    assert!(checked);
}

/// Computes a product twice, and compares every value with the exact one.
pub(super) fn check_call(call: &mut dyn ProductCall, product: &Product, stored: Stored) {
    let (Weights { m, k, values, params }, x) = (&product.weights, &product.x);
    let sums = gemm(values, *m, x);
    call.call().unwrap();
    call.call().unwrap();
    assert_eq!(call.stored(), stored);
    assert!(!call.implementation().is_empty());
    for (row, token) in (0..*m).flat_map(|row| (0..x.columns).map(move |token| (row, token))) {
        let (found, sum) = (call.value(row, token), f64::from(sums.at(row, token)));
        let place = || format!("{m} x {k} x {}, row {row}, token {token}", x.columns);
        if stored == Stored::Sums {
            assert_eq!(found, sum, "{}", place());
            continue;
        }
        let (multiplier, addend) = (f64::from(params[row].multiplier), f64::from(params[row].addend));
        let exact = multiplier * sum + addend;
        // Roundings of the weight, of K products and of as many partial sums, each at most that of all magnitudes together.
        let term = |at: usize| f64::from(values[row * k + at]).abs() * f64::from(x.at(at, token));
        let size = multiplier * (0..*k).map(term).sum::<f64>() + addend.abs();
        let bound = (*k + 3) as f64 * f64::from(f32::EPSILON) / 2.0 * size;
        assert!((found - exact).abs() <= bound, "{}: found {found}, exact {exact}", place());
    }
}

/// The cosine of the two embeddings that are least alike.
#[cfg(any(feature = "candle", feature = "ort", feature = "rten"))]
pub(super) fn least_cosine(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = |a: &Vec<f32>, b: &Vec<f32>| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    found.iter().zip(expected).map(|(a, b)| cosine(a, b)).fold(f64::INFINITY, f64::min)
}

/// The version of a crate in `Cargo.lock`.
pub(super) fn locked_version(name: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let head = format!("name = \"{name}\"\nversion = \"");
    let at = lock.find(&head).map(|at| at + head.len()).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
    lock[at..].split('"').next().unwrap_or_default().to_owned()
}
