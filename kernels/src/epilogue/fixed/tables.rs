//! The tables of the 16-bit GELU, computed when this is compiled.

use super::{ENTRIES, FAR_SHIFT, LARGEST_H, STEPS_PER_UNIT};

/// The tables of h(|x|), in steps of 0.17 / 255.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct GeluTables {
    /// h where p < 127; entry 127 stays for all larger p.
    pub(crate) near: [u8; ENTRIES],
    /// 0 where the near table decides, then what is to be added to its last entry, modulo 256.
    pub(crate) far: [u8; ENTRIES],
}

impl GeluTables {
    pub(crate) const ERF: GeluTables = GeluTables::new(false);
    pub(crate) const TANH: GeluTables = GeluTables::new(true);

    /// Entries are h in the middle of their steps, and 0 in the last one, which stands for all larger |x| too.
    const fn new(tanh: bool) -> GeluTables {
        let mut tables = GeluTables { near: [0; ENTRIES], far: [0; ENTRIES] };
        let mut i = 0;
        while i < ENTRIES {
            tables.near[i] = table_value(tanh, (i as f64 + 0.5) / STEPS_PER_UNIT);
            i += 1;
        }
        let last = tables.near[ENTRIES - 1];
        let mut i = ENTRIES >> FAR_SHIFT;
        while i < ENTRIES {
            let x = ((i << FAR_SHIFT) as f64 + 0.5 * (1 << FAR_SHIFT) as f64) / STEPS_PER_UNIT;
            let value = if i == ENTRIES - 1 { 0 } else { table_value(tanh, x) };
            tables.far[i] = value.wrapping_sub(last);
            i += 1;
        }
        tables
    }
}

/// h(a), `a Phi(-a)`, of 0 <= a < 4 in steps of the tables, of GELU in its `tanh` or its other form.
pub(crate) const fn table_value(tanh: bool, a: f64) -> u8 {
    let tail = if tanh { tanh_tail(a) } else { erf_tail(a) };
    (a * tail / LARGEST_H * 255.0 + 0.5) as u8
}

const INVERSE_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// Phi(-a) = 1/2 - (1 / sqrt(2 pi)) sum_n (-1)^n a^(2n+1) / (2^n n! (2n+1)): terms reach e^8 at most, sixty are enough.
const fn erf_tail(a: f64) -> f64 {
    let mut power = a; // (-1)^n a^(2n+1) / (2^n n!)
    let mut sum = 0.0;
    let mut n = 0;
    while n < 60 {
        sum += power / (2 * n + 1) as f64;
        n += 1;
        power *= -a * a / (2 * n) as f64;
    }
    0.5 - INVERSE_SQRT_TAU * sum
}

/// Phi(-a) = (1 - tanh(u)) / 2 = 1 / (1 + exp(2 u)), u = sqrt(2 / pi) (a + 0.044715 a^3) < 6: eighty terms are enough.
const fn tanh_tail(a: f64) -> f64 {
    let u = 2.0 * INVERSE_SQRT_TAU * (a + 0.044_715 * a * a * a);
    let mut power = 1.0; // (2 u)^n / n!
    let mut exp = 0.0;
    let mut n = 0;
    while n < 80 {
        exp += power;
        n += 1;
        power *= 2.0 * u / n as f64;
    }
    1.0 / (1.0 + exp)
}
