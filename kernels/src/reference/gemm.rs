//! The obvious scalar reference of GEMM and SpMM, on plain row-major matrices: weights `[M][K]`, x `[K][N]`, output
//! `[M][N]`. It knows neither tiles nor packed weights nor zeros; the conversions of [`Matrix`] lead to and from what the
//! kernels read and write.

use crate::epilogue::fixed::{FRACTION_BITS, FixedRow, STEPS_PER_UNIT, table_value};
use crate::epilogue::{Activation, Arithmetic, Epilogue, RowParams, Store};
use crate::layout::{elements, f32_index};
use crate::{Buffer, PanelLayout, Sign, math};

/// A row-major `[F][N]` matrix: element (feature, column) is `values[feature * columns + column]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<T> {
    /// F, rows.
    pub features: usize,
    /// N, columns.
    pub columns: usize,
    /// F x N elements.
    pub values: Vec<T>,
}

impl<T: bytemuck::Pod> Matrix<T> {
    /// The matrix whose elements are `value(feature, column)`.
    pub fn from_fn(features: usize, columns: usize, mut value: impl FnMut(usize, usize) -> T) -> Matrix<T> {
        let mut values = Vec::with_capacity(features * columns);
        for feature in 0..features {
            for column in 0..columns {
                values.push(value(feature, column));
            }
        }
        Matrix { features, columns, values }
    }

    /// The element of `feature` and `column`.
    pub fn at(&self, feature: usize, column: usize) -> T {
        self.values[feature * self.columns + column]
    }

    /// Writes the elements to where `index(F, feature, column)` says; leaves padding as it is.
    pub fn write(&self, index: impl Fn(usize, usize, usize) -> usize, out: &mut [T]) {
        for feature in 0..self.features {
            for column in 0..self.columns {
                out[index(self.features, feature, column)] = self.at(feature, column);
            }
        }
    }

    /// Reads the elements from where `index(F, feature, column)` says.
    pub fn read(
        features: usize,
        columns: usize,
        index: impl Fn(usize, usize, usize) -> usize,
        data: &[T],
    ) -> Matrix<T> {
        Matrix::from_fn(features, columns, |feature, column| data[index(features, feature, column)])
    }
}

impl Matrix<u8> {
    /// The matrix as a panel, padding elements zero.
    pub fn to_panel(&self, layout: PanelLayout) -> Buffer<u8> {
        let mut panel = Buffer::new(elements(self.features, self.columns));
        self.write(|f, feature, column| layout.index(f, feature, column), &mut panel);
        panel
    }

    /// The matrix that `panel` holds.
    pub fn from_panel(layout: PanelLayout, features: usize, columns: usize, panel: &[u8]) -> Matrix<u8> {
        Matrix::read(features, columns, |f, feature, column| layout.index(f, feature, column), panel)
    }
}

impl Matrix<f32> {
    /// The matrix as an f32 tile, padding elements zero.
    pub fn to_tile(&self) -> Buffer<f32> {
        let mut tile = Buffer::new(elements(self.features, self.columns));
        self.write(f32_index, &mut tile);
        tile
    }

    /// The matrix that `tile` holds.
    pub fn from_tile(features: usize, columns: usize, tile: &[f32]) -> Matrix<f32> {
        Matrix::read(features, columns, f32_index, tile)
    }
}

/// `acc[m][n] = sum_k weights[m][k] x[k][n]`, exact.
///
/// **Shapes**: `weights` is row-major `[m][K]` with K = `x.features`.
///
/// **Numerics**: every partial sum must fit s32, which K <= [`crate::pattern::MAX_K`] ensures.
pub fn gemm(weights: &[i8], m: usize, x: &Matrix<u8>) -> Matrix<i32> {
    let (k, n) = (x.features, x.columns);
    let mut acc = Matrix::from_fn(m, n, |_, _| 0);
    for row in 0..m {
        for feature in 0..k {
            for column in 0..n {
                let product = i32::from(weights[row * k + feature]) * i32::from(x.values[feature * n + column]);
                acc.values[row * n + column] += product;
            }
        }
    }
    acc
}

/// The f32 results of `epilogue`: `y[m][n]` after the activation, with `residual[m][n]` added if the epilogue has one.
///
/// **Shapes**: one [`RowParams`] per output feature; `residual` is M x N.
pub fn finish_f32(acc: &Matrix<i32>, params: &[RowParams], epilogue: &Epilogue, residual: &Matrix<f32>) -> Matrix<f32> {
    Matrix::from_fn(acc.features, acc.columns, |row, column| {
        let y = activated(acc.at(row, column), &params[row], epilogue.sink.activation, [math::gelu, math::gelu_tanh]);
        match epilogue.sink.store {
            Store::F32 { residual: true } => y + residual.at(row, column),
            _ => y,
        }
    })
}

/// The 8-bit results of `epilogue` as `sign`, s8 in two's complement.
///
/// **Shapes**: one [`RowParams`] per output feature, which must pass [`Epilogue::check`].
pub fn finish_bytes(acc: &Matrix<i32>, params: &[RowParams], epilogue: &Epilogue, sign: Sign) -> Matrix<u8> {
    Matrix::from_fn(acc.features, acc.columns, |row, column| {
        let (acc, p) = (acc.at(row, column), &params[row]);
        let y = match epilogue.arithmetic {
            Arithmetic::F32 => float_result(acc, p, epilogue.sink.activation),
            Arithmetic::I16 => fixed_result(acc, p, epilogue.sink.activation, sign),
        };
        match sign {
            Sign::Unsigned => y.clamp(0.0, 255.0) as u8,
            Sign::Unsigned7 => y.clamp(0.0, 127.0) as u8,
            Sign::Signed => y.clamp(-128.0, 127.0) as i8 as u8,
        }
    })
}

/// Rounded, not saturated.
fn float_result(acc: i32, p: &RowParams, activation: Activation) -> f32 {
    let y = activated(acc, p, activation, [math::gelu_coarse, math::gelu_tanh_coarse]);
    match activation {
        Activation::Identity => y.round_ties_even(),
        _ => y.mul_add(p.out_scale, p.out_zero).round_ties_even(),
    }
}

/// Rounded, not saturated: [`crate::epilogue`]'s 16-bit arithmetic in numbers that cannot overflow.
fn fixed_result(acc: i32, p: &RowParams, activation: Activation, sign: Sign) -> f32 {
    let row = FixedRow::new(p, activation, sign).expect("the row passed Epilogue::check");
    let divide = |a: i64, bits: u32| a.div_euclid(1 << bits); // rounds down
    let w = divide(i64::from(acc) + i64::from(row.bias), row.shift as u32).clamp(-32_768, 32_767);
    let t = divide(w * i64::from(row.multiplier) + (1 << 14), 15);
    let y = match activation {
        Activation::Identity => divide(t, FRACTION_BITS),
        Activation::Relu => divide(t.max(row.activation.zero.into()), FRACTION_BITS),
        Activation::Gelu | Activation::GeluTanh => {
            let (row, tanh) = (row.activation, activation == Activation::GeluTanh);
            let zero = i64::from(row.zero);
            let x = divide((t - zero).abs() * i64::from(row.index), 16); // |x| in table steps
            let middle = match x {
                0..128 => x as f64 + 0.5,
                128..508 => (x / 4 * 4) as f64 + 2.0,
                _ => f64::INFINITY,
            };
            let g = if middle.is_finite() { i64::from(table_value(tanh, middle / STEPS_PER_UNIT)) } else { 0 };
            let h = divide(g * i64::from(row.look_up), 8);
            divide(t.max(zero) - h, row.fraction_bits.into())
        }
    };
    y as f32
}

/// `gelu` are the functions of the output's precision: GELU and its tanh form.
fn activated(acc: i32, params: &RowParams, activation: Activation, gelu: [fn(f32) -> f32; 2]) -> f32 {
    let y = (acc as f32).mul_add(params.multiplier, params.addend);
    match activation {
        Activation::Identity => y,
        Activation::Relu => {
            if y < 0.0 {
                0.0
            } else {
                y
            }
        }
        Activation::Gelu => gelu[0](y),
        Activation::GeluTanh => gelu[1](y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_by_hand() {
        let x = Matrix { features: 2, columns: 3, values: vec![1, 2, 3, 10, 20, 255] };
        let acc = gemm(&[1, -1, 127, -128], 2, &x);
        assert_eq!(acc.values, [-9, -18, -252, 127 - 1280, 254 - 2560, 381 - 32640]);
        let params = [(0.5, 1.0), (-1.0, 0.0)].map(|(multiplier, addend)| RowParams {
            multiplier,
            addend,
            ..RowParams::default()
        });
        let residual = Matrix::from_fn(2, 3, |row, column| (row * 3 + column) as f32);
        let y = finish_f32(&acc, &params, &Epilogue::f32(true), &residual);
        assert_eq!(y.values, [-3.5, -7.0, -123.0, 1156.0, 2310.0, 32264.0]);
        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Signed);
        // -3.5 and 0.5 would tell ties to even from ties away: -3.5 -> -4.
        let bytes = finish_bytes(&acc, &params, &epilogue, Sign::Signed);
        assert_eq!(bytes.values.iter().map(|&b| b as i8).collect::<Vec<_>>(), [-4, -8, -125, 127, 127, 127]);
        let bytes = finish_bytes(&acc, &params, &epilogue, Sign::Unsigned);
        assert_eq!(bytes.values, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn layouts_and_back() {
        let x = Matrix::from_fn(7, 70, |feature, column| (feature * 70 + column) as u8);
        for layout in [PanelLayout::Plain, PanelLayout::Vnni] {
            assert_eq!(Matrix::from_panel(layout, 7, 70, &x.to_panel(layout)), x);
        }
        let y = Matrix::from_fn(7, 70, |feature, column| (feature * 70 + column) as f32);
        assert_eq!(Matrix::from_tile(7, 70, &y.to_tile()), y);
    }
}
