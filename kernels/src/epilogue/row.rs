//! Parameters of one output feature.

use crate::KernelError;

/// Parameters of one output feature, as the kernels read them.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct RowParams {
    /// Scale of the accumulator: weight scale x input scale (/ output scale if there is no activation).
    pub multiplier: f32,
    /// Bias minus the input zero point's share (in output units if there is no activation).
    pub addend: f32,
    /// 1 / output scale. Used with an activation and 8-bit output only.
    pub out_scale: f32,
    /// Output zero point. Used with an activation and 8-bit output only.
    pub out_zero: f32,
}

impl RowParams {
    /// Checks that no result of a K = `k` product can leave the range of s32 before it is saturated: with a largest result
    /// `y = |multiplier| 255 128 K + |addend|`, both y and `y |out_scale| + |out_zero|` must stay below 2^31 - 1024 (a little
    /// less than s32 holds, because they are rounded to f32 on the way), and all parameters must be finite.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the parameter and the row.
    pub fn check(rows: &[RowParams], k: usize, kernel: &str) -> Result<(), KernelError> {
        const LIMIT: f64 = (1u64 << 31) as f64 - 1024.0;
        let error = |parameter, row, found, expected| KernelError::Parameter {
            kernel: kernel.to_owned(),
            parameter,
            row,
            found,
            expected,
        };
        for (row, p) in rows.iter().enumerate() {
            for (parameter, value) in [
                ("multiplier", p.multiplier),
                ("addend", p.addend),
                ("output scale", p.out_scale),
                ("output zero point", p.out_zero),
            ] {
                if !value.is_finite() {
                    return Err(error(parameter, row, value, "a finite number"));
                }
            }
            let [multiplier, addend, scale, zero] =
                [p.multiplier, p.addend, p.out_scale, p.out_zero].map(|value| f64::from(value.abs()));
            let largest = multiplier * 255.0 * 128.0 * k as f64 + addend;
            if largest >= LIMIT {
                let expected = "|multiplier| 255 128 K + |addend| below 2^31 - 1024";
                return Err(error("multiplier", row, p.multiplier, expected));
            }
            if largest * scale + zero >= LIMIT {
                let expected = "(|multiplier| 255 128 K + |addend|) |output scale| + |zero point| below 2^31 - 1024";
                return Err(error("output scale", row, p.out_scale, expected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(multiplier: f32, addend: f32, out_scale: f32, out_zero: f32) -> Result<(), String> {
        let bad = RowParams { multiplier, addend, out_scale, out_zero };
        RowParams::check(&[RowParams::default(), bad], 1, "kernel").map_err(|error| error.to_string())
    }

    #[test]
    fn results_beyond_s32_are_refused() {
        assert_eq!(check(-65_000.0, 1e6, 1.0, 255.0), Ok(()));
        let multiplier = "kernel: multiplier of row 1 is";
        let scale = "kernel: output scale of row 1 is";
        for (refused, expected) in [
            (check(65_793.0, 0.0, 0.0, 0.0), multiplier), // 2^31 - 128: an f32 just below 2^31
            (check(-65_793.0, 127.0, 0.0, 0.0), multiplier), // 2^31 - 1: 2^31 as an f32
            (check(0.0, 3e9, 0.0, 0.0), multiplier),
            (check(1e-2, 0.0, 1e8, 0.0), scale),
            (check(0.0, 0.0, 0.0, -3e9), scale),
        ] {
            let message = refused.unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn parameters_must_be_finite() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (place, name) in ["multiplier", "addend", "output scale", "output zero point"].into_iter().enumerate() {
                let mut p = [0.0; 4];
                p[place] = value;
                let message = check(p[0], p[1], p[2], p[3]).unwrap_err();
                assert_eq!(message, format!("kernel: {name} of row 1 is {value}, expected a finite number"));
            }
        }
    }
}
