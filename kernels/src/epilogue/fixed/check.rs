//! Whether stored numbers are such as [`FixedRow::new`] makes.
//!
//! Kernels read one of the repeated words or all of them, and rely on bounds of the numbers, each in its own way. Numbers that
//! no parameters become would give results that depend on the kernel.

use super::{
    ActivationRow, CONSTANT_BIAS, FRACTION_BITS, FixedBlock, FixedGeluBlock, FixedReluBlock, FixedRow, LARGEST,
    LARGEST_H, LARGEST_INDEX, LARGEST_X, STEPS_PER_UNIT,
};
use crate::Activation;

/// The numbers of four output features, as they are stored.
pub(crate) trait StoredBlock: for<'a> From<&'a [FixedRow; 4]> + PartialEq {
    /// The first of the words that repeat each other.
    fn first_words(&self) -> [FixedRow; 4];

    /// The numbers; nothing if a repeated word differs.
    fn rows(&self) -> Option<[FixedRow; 4]> {
        let rows = self.first_words();
        (Self::from(&rows) == *self).then_some(rows)
    }
}

impl StoredBlock for FixedBlock {
    fn first_words(&self) -> [FixedRow; 4] {
        std::array::from_fn(|row| FixedRow {
            bias: self.bias[row],
            shift: self.shift[row],
            multiplier: self.multiplier[row][0],
            activation: ActivationRow::default(),
        })
    }
}

impl StoredBlock for FixedReluBlock {
    fn first_words(&self) -> [FixedRow; 4] {
        let mut rows = self.linear.first_words();
        rows.iter_mut().zip(&self.zero).for_each(|(row, zero)| row.activation.zero = zero[0]);
        rows
    }
}

impl StoredBlock for FixedGeluBlock {
    fn first_words(&self) -> [FixedRow; 4] {
        let mut rows = self.relu.first_words();
        for (i, row) in rows.iter_mut().enumerate() {
            row.activation.index = self.index[i][0];
            row.activation.look_up = self.look_up[i][0];
            row.activation.fraction_bits = self.fraction_bits[i][0];
        }
        rows
    }
}

impl FixedRow {
    /// Whether there are parameters of a K = `k` product that become this.
    pub(crate) fn is_possible(&self, k: usize, activation: Activation) -> bool {
        let size = i32::from(self.multiplier).abs();
        let is_constant = self.bias == CONSTANT_BIAS && self.shift == 0 && size <= LARGEST as i32;
        let is_scaled = (0..=31).contains(&self.shift) && (1 << 14..1 << 15).contains(&size);
        (is_constant || is_scaled) && self.holds(k) && self.activation.is_possible(activation)
    }
}

impl ActivationRow {
    fn is_possible(&self, activation: Activation) -> bool {
        let zero = |unit: f64, offset: f64| {
            let bound = |out_zero: f64| ((out_zero + 0.5) * unit + offset).round();
            (bound(-255.0)..=bound(255.0)).contains(&f64::from(self.zero))
        };
        match activation {
            Activation::Identity => *self == ActivationRow::default(),
            Activation::Relu => {
                let rest = ActivationRow { zero: 0, ..*self };
                zero(f64::from(1 << FRACTION_BITS), 0.0) && rest == ActivationRow::default()
            }
            Activation::Gelu | Activation::GeluTanh => {
                let bits = u32::from(self.fraction_bits);
                (1..=FRACTION_BITS).contains(&bits) && zero(f64::from(1 << bits), -1.0) && self.has_gelu_scale()
            }
        }
    }

    /// Whether an output scale becomes these steps of the tables, and leaves room beside the zero point.
    fn has_gelu_scale(&self) -> bool {
        let index = f64::from(self.index);
        if self.index == 0 {
            return self.look_up == 0; // a scale of 0
        }
        // The output scale times 2^Q is between these.
        let scale = |index: f64| STEPS_PER_UNIT * 65_536.0 / index;
        let (low, high) = (scale(index + 0.5), scale(index - 0.5));
        let look_up = |scale: f64| (LARGEST_H / 255.0 * 256.0 * scale).round();
        index <= LARGEST_INDEX
            && LARGEST_X * low <= LARGEST - f64::from(self.zero).abs()
            && (look_up(low)..=look_up(high)).contains(&f64::from(self.look_up))
    }
}
