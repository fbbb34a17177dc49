//! The stated bounds, against f64, over random parameters and those at the edges of what 16 bits can say.

use proptest::prelude::*;

use super::*;
use crate::Output;
use crate::epilogue::{BlockParams, Epilogue, Store, finish_block};
use crate::{PanelLayout, TILE};

/// What the kernels make of `acc`, through packed parameters.
fn results(epilogue: &Epilogue, p: &RowParams, acc: &[i32; TILE]) -> Vec<f64> {
    let Store::Bytes { sign, .. } = epilogue.sink.store else { panic!("{epilogue:?}") };
    let params = BlockParams::pack(epilogue, &[*p], std::iter::once([0; 4]), K, "test").unwrap();
    // What is packed is what is read again.
    let rows = match &params {
        BlockParams::Fixed(blocks) => blocks[0].rows(),
        BlockParams::FixedRelu(blocks) => blocks[0].rows(),
        BlockParams::FixedGelu(blocks) => blocks[0].rows(),
        BlockParams::Float(_) => panic!("{epilogue:?}"),
    };
    assert!(rows.unwrap().iter().all(|row| row.is_possible(K, epilogue.sink.activation)), "{p:?}: {params:?}");
    let mut out = [0; 4 * TILE];
    finish_block(epilogue, &[*acc; 4], params.block(0), TILE, Output::Bytes(&mut out));
    let value = |byte: u8| if sign == Sign::Signed { f64::from(byte as i8) } else { f64::from(byte) };
    out.chunks(4).map(|row| value(row[0])).collect()
}

fn bytes(activation: Activation, sign: Sign) -> Epilogue {
    Epilogue::new(activation, Store::Bytes { layout: PanelLayout::Vnni, sign }).fixed()
}

const K: usize = 768;
const LARGEST_ACC: f64 = (255 * 128 * K) as f64;

fn saturated(y: f64, sign: Sign) -> f64 {
    let (least, largest) = sign.range();
    y.clamp(least.into(), largest.into())
}

/// x / (1 + exp(-2 u)), which is x (1 + tanh(u)) / 2.
fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    x / (1.0 + (-2.0 * u).exp())
}

/// x Phi(x).
fn gelu(x: f64) -> f64 {
    let a = x.abs();
    let (mut power, mut sum) = (a, 0.0);
    for n in 0..200 {
        sum += power / f64::from(2 * n + 1);
        power *= -a * a / f64::from(2 * n + 2);
    }
    let tail = if a < 6.0 { a * (0.5 - sum / (2.0 * std::f64::consts::PI).sqrt()) } else { 0.0 };
    x.max(0.0) - tail
}

/// Accumulators that spread the results of a row over `low..high` and a little beyond, and the largest ones.
fn accumulators(multiplier: f64, addend: f64, low: f64, high: f64) -> [i32; TILE] {
    std::array::from_fn(|i| {
        let y = low + (high - low) * (i as f64 * 1.03 - 2.0) / 60.0;
        let acc = if multiplier == 0.0 { (i as f64 - 32.0) * 1e5 } else { (y - addend) / multiplier };
        match i {
            0 => LARGEST_ACC as i32,
            1 => -LARGEST_ACC as i32,
            _ => acc.clamp(-LARGEST_ACC, LARGEST_ACC) as i32,
        }
    })
}

fn multiplier() -> impl Strategy<Value = f32> {
    let power = (7..20).prop_flat_map(|bits: i32| {
        let power = 2f32.powi(-bits);
        prop::sample::select(vec![power, f32::from_bits(power.to_bits() - 1), f32::from_bits(power.to_bits() + 1)])
    });
    let anything = (-7.0..-1.81f32).prop_map(|exponent| 10f32.powf(exponent));
    (prop_oneof![anything, power, Just(0.0), Just(1e-20), Just(0.015_624_9)], any::<bool>())
        .prop_map(|(m, negative)| if negative { -m } else { m })
}

fn signs() -> impl Strategy<Value = Sign> {
    prop::sample::select(vec![Sign::Unsigned, Sign::Unsigned7, Sign::Signed])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn requantisation_is_within_its_bound(m in multiplier(), addend in -600.0..600.0f32, sign in signs()) {
        let reach = m.abs() * (2f32.powi(31) - LARGEST_ACC as f32) * 0.99 - 256.0;
        prop_assume!(m.abs() < 1e-15 || reach > 0.0);
        let p = RowParams { multiplier: m, addend: if m.abs() < 1e-15 { addend } else { addend.clamp(-reach, reach) }, ..RowParams::default() };
        let (m, addend) = (f64::from(p.multiplier), f64::from(p.addend));
        let acc = accumulators(m, addend, -130.0, 260.0);
        let found = results(&bytes(Activation::Identity, sign), &p, &acc);
        for (&acc, found) in acc.iter().zip(found) {
            let exact = saturated(f64::from(acc) * m + addend, sign);
            prop_assert!((found - exact).abs() < 0.52, "{p:?}: acc {acc}: {found}, exactly {exact}");
        }
    }

    #[test]
    fn relu_is_within_its_bound(
        m in multiplier(),
        addend in -600.0..600.0f32,
        out_scale in (-2.0..4.0f32).prop_map(|exponent| 10f32.powf(exponent)),
        out_zero in -255..=255i32,
        sign in signs(),
    ) {
        let p = RowParams { multiplier: m / out_scale, addend: addend / out_scale, out_scale, out_zero: out_zero as f32 };
        let row = FixedRow::new(&p, Activation::Relu, sign);
        prop_assume!(row.is_ok_and(|row| row.holds(K)));
        let [m, addend, scale, zero] = [p.multiplier, p.addend, p.out_scale, p.out_zero].map(f64::from);
        let acc = accumulators(m, addend, (-100.0 - zero) / scale, (256.0 - zero) / scale);
        let found = results(&bytes(Activation::Relu, sign), &p, &acc);
        for (&acc, found) in acc.iter().zip(found) {
            let x = f64::from(acc) * m + addend;
            let exact = saturated(x.max(0.0) * scale + zero, sign);
            prop_assert!((found - exact).abs() < 0.52, "{p:?}: x {x}: {found}, exactly {exact}");
        }
    }

    #[test]
    fn gelu_is_within_its_bound(
        (activation, gelu) in prop::sample::select(vec![
            (Activation::Gelu, gelu as fn(f64) -> f64),
            (Activation::GeluTanh, gelu_tanh),
        ]),
        m in multiplier(),
        addend in -10.0..10.0f32,
        out_scale in (0.7..3.3f32).prop_map(|exponent| 10f32.powf(exponent)),
        out_zero in -128..=20i32,
        sign in signs(),
    ) {
        let p = RowParams { multiplier: m / out_scale, addend, out_scale, out_zero: out_zero as f32 };
        let row = FixedRow::new(&p, activation, sign);
        prop_assume!(row.is_ok_and(|row| row.holds(K)));
        let bits = row.unwrap().activation.fraction_bits;
        let (m, addend, scale, zero) = (f64::from(p.multiplier), f64::from(addend), f64::from(out_scale), f64::from(out_zero));
        let acc = accumulators(m, addend, -5.0, (256.0 - zero) / scale);
        let found = results(&bytes(activation, sign), &p, &acc);
        let bound = 0.5 + 3.5 / f64::from(1 << bits) + 0.002 * scale;
        for (&acc, found) in acc.iter().zip(found) {
            let x = f64::from(acc) * m + addend;
            let exact = saturated(gelu(x) * scale + zero, sign);
            prop_assert!((found - exact).abs() < bound, "{p:?}: x {x}: {found}, exactly {exact}, bound {bound}");
        }
    }
}

#[test]
fn fraction_bits_follow_the_output_scale() {
    let bits = |out_scale, out_zero| ActivationRow::gelu(1e-6, out_scale, out_zero).map(|row| row.fraction_bits);
    for (out_scale, expected) in [(2.0, None), (5.0, Some(6)), (70.0, Some(6)), (140.0, Some(5)), (2000.0, Some(1))] {
        assert_eq!(bits(out_scale, 10.0), expected, "{out_scale}");
    }
    assert_eq!((bits(2500.0, 0.0), bits(-30.0, 0.0), bits(30.0, 256.0), bits(0.0, 255.0)), (None, None, None, Some(6)));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let row = |multiplier, addend, out_scale| RowParams { multiplier, addend, out_scale, out_zero: 0.0 };
    let plain = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed();
    let gelu = Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned).fixed();
    let relu = bytes(Activation::Relu, Sign::Unsigned);
    let good = row(1e-4, 3.0, 30.0);
    for (epilogue, bad, k, parameter) in [
        (plain, row(0.02, 0.0, 0.0), 8, "multiplier"),
        (plain, row(-0.02, 0.0, 0.0), 8, "multiplier"),
        (plain, row(1e-8, 100.0, 0.0), 8, "addend"),
        (plain, row(1e-7, 100.0, 0.0), 65_000, "addend"),
        (plain, row(0.0, 100.0, 0.0), 40_000, "addend"),
        (plain, row(f32::NAN, 0.0, 0.0), 8, "multiplier"),
        (gelu, row(1e-3, 0.0, 2.0), 8, "output scale"),
        (gelu, row(1e-3, 0.0, -30.0), 8, "output scale"),
        (gelu, row(0.1, 0.0, 30.0), 8, "multiplier"),
        (relu, row(1e-3, 0.0, -30.0), 8, "output scale"),
        (relu, RowParams { out_zero: 256.0, ..good }, 8, "output scale"),
        (relu, row(1e-3, 0.0, 20.0), 8, "multiplier"),
        (relu, row(1e-8, 30.0, 30.0), 8, "addend"),
    ] {
        let error = epilogue.check(&[good, bad], k, "kernel").unwrap_err().to_string();
        let fits_alone = epilogue.check(&[bad], k, "kernel").is_ok();
        assert!(!fits_alone && error.starts_with(&format!("kernel: {parameter} of row 1 is")), "{bad:?}: {error}");
        let epilogue = epilogue.fixed_if_possible(&[bad], k);
        assert!(!epilogue.name().contains("16"), "{}", epilogue.name());
    }
    assert_eq!(plain.fixed_if_possible(&[good, row(0.0, 0.0, 0.0)], 768), plain);
    let f32 = Epilogue::f32(true);
    assert_eq!(f32.fixed_if_possible(&[good], 768), f32);
}

/// Numbers on which kernels would disagree, or that they rely on.
#[test]
fn numbers_that_no_parameters_become() {
    let p = RowParams { multiplier: 1e-4, addend: 1.0, out_scale: 20.0, out_zero: 10.0 };
    let row = |activation| FixedRow::new(&p, activation, Sign::Unsigned).unwrap();
    let possible = |row: FixedRow, activation| row.is_possible(K, activation);
    let (identity, relu, gelu) = (row(Activation::Identity), row(Activation::Relu), row(Activation::Gelu));
    assert!(possible(identity, Activation::Identity) && possible(relu, Activation::Relu));
    assert!(possible(gelu, Activation::Gelu) && !possible(gelu, Activation::Identity));
    for changed in [
        FixedRow { shift: 32, ..identity },
        FixedRow { shift: -1, ..identity },
        FixedRow { bias: i32::MAX, ..identity },
        FixedRow { multiplier: i16::MIN, ..identity },
        FixedRow { multiplier: 100, ..identity },
        FixedRow::default(),
    ] {
        assert!(!possible(changed, Activation::Identity), "{changed:?}");
    }
    let with = |activation| FixedRow { activation, ..gelu };
    for changed in [
        with(ActivationRow { index: 50_000, ..gelu.activation }),
        with(ActivationRow { index: 0, ..gelu.activation }),
        with(ActivationRow { look_up: gelu.activation.look_up + 2, ..gelu.activation }),
        with(ActivationRow { zero: i16::MIN, ..gelu.activation }),
        with(ActivationRow { fraction_bits: 0, ..gelu.activation }),
        with(ActivationRow { fraction_bits: 7, ..gelu.activation }),
    ] {
        assert!(!possible(changed, Activation::Gelu), "{changed:?}");
    }
    let zero = FixedRow { activation: ActivationRow { zero: 20_000, ..relu.activation }, ..relu };
    assert!(!possible(zero, Activation::Relu));
}

#[test]
fn each_repeated_word_is_compared() {
    let p = RowParams { multiplier: 1e-4, addend: 1.0, out_scale: 20.0, out_zero: 10.0 };
    let rows = [FixedRow::new(&p, Activation::Gelu, Sign::Unsigned).unwrap(); 4];
    let block = FixedGeluBlock::from(&rows);
    assert_eq!(block.rows(), Some(rows));
    let bytes = bytemuck::bytes_of(&block);
    for at in std::mem::offset_of!(FixedBlock, multiplier)..bytes.len() {
        let mut changed = block;
        bytemuck::bytes_of_mut(&mut changed)[at] ^= 1;
        assert_eq!(changed.rows(), None, "byte {at}"); // of four equal words one differs
    }
}
