//! Products of matrices, and what leads to codes and back. Codes are not rounded: what rounding does is no part of the comparison.

use super::super::tensor::Data;
use super::value::{Value, axis_of, broadcast, repeated};
use crate::reference::rows_times;

/// The two matrices at the end of the shapes, and the shape of their product.
pub(super) fn product_dims(
    a: &[usize],
    b: &[usize],
    limit: usize,
) -> Result<(Vec<usize>, usize, usize, usize), String> {
    let wrong = || format!("operands of the shapes {a:?} and {b:?}");
    let ([batch_a @ .., m, k], [batch_b @ .., rows, n]) = (a, b) else { return Err(wrong()) };
    if k != rows {
        return Err(wrong());
    }
    let mut dims = broadcast(batch_a, batch_b, limit)?;
    dims.extend([*m, *n]);
    super::value::count(&dims, limit)?;
    Ok((dims, *m, *k, *n))
}

/// How many multiplications a product takes.
pub(super) fn steps(a: &[usize], b: &[usize]) -> usize {
    let last = b.last().copied().unwrap_or(1);
    let batch = b.iter().rev().skip(2).fold(1usize, |n, &d| n.saturating_mul(d));
    a.iter().fold(last, |n, &d| n.saturating_mul(d)).saturating_mul(if a.len() < b.len() { batch } else { 1 })
}

/// MatMul of two values of two dimensions or more.
pub(super) fn mat_mul(a: &Value, b: &Value, limit: usize) -> Result<Value, String> {
    mat_mul_of(&a.dims, &a.as_floats()?, &b.dims, &b.as_floats()?, limit)
}

/// The same on parts.
pub(super) fn mat_mul_of(
    a_dims: &[usize],
    a: &[f32],
    b_dims: &[usize],
    b: &[f32],
    limit: usize,
) -> Result<Value, String> {
    let (dims, m, k, n) = product_dims(a_dims, b_dims, limit)?;
    let batch = &dims[..dims.len() - 2];
    let mut out = vec![0.0f32; dims.iter().product()];
    if m == 0 || k == 0 || n == 0 || out.is_empty() {
        return Ok(Value::floats(dims, out));
    }
    // One matrix for all: its rows meet all rows of the other.
    if b_dims.len() == 2 {
        rows_times(&mut out, a, k, b, n, false);
        return Ok(Value::floats(dims, out));
    }
    let (of_a, of_b) = (repeated(&a_dims[..a_dims.len() - 2], batch), repeated(&b_dims[..b_dims.len() - 2], batch));
    for ((out, i), j) in out.chunks_exact_mut(m * n).zip(of_a).zip(of_b) {
        rows_times(out, &a[i * m * k..(i + 1) * m * k], k, &b[j * k * n..(j + 1) * k * n], n, false);
    }
    Ok(Value::floats(dims, out))
}

/// Gemm with a second operand `[K][N]`, or `[N][K]` where `by_output` says so. Quantisers write it for rows of any dimensions.
pub(super) fn gemm(a: &Value, (b_dims, b): (&[usize], &[f32]), by_output: bool, alpha: f32) -> Result<Value, String> {
    let wrong = || format!("operands of the shapes {:?} and {b_dims:?}", a.dims);
    let ([outer @ .., k], &[rows, cols]) = (&a.dims[..], b_dims) else { return Err(wrong()) };
    let (inner, n) = if by_output { (cols, rows) } else { (rows, cols) };
    if inner != *k {
        return Err(wrong());
    }
    let m: usize = outer.iter().product();
    let mut out = vec![0.0f32; m * n];
    if m * n * k > 0 {
        rows_times(&mut out, &a.as_floats()?, inner, b, n, by_output);
    }
    out.iter_mut().for_each(|x| *x *= alpha);
    let mut dims = outer.to_vec();
    dims.push(n);
    Ok(Value::floats(dims, out))
}

/// Scales or zero points, one or one per index of an axis, for every element of a shape.
pub(super) fn spread(steps: &Value, dims: &[usize], axis: i64) -> Result<Vec<f32>, String> {
    let values = steps.as_floats()?;
    if values.len() == 1 {
        return Ok(values);
    }
    let axis = axis_of(axis, dims.len())?;
    if steps.dims.len() != 1 || dims[axis] != values.len() {
        return Err(format!("scales of the shape {:?} for axis {axis} of the shape {dims:?}", steps.dims));
    }
    let inner: usize = dims[axis + 1..].iter().product::<usize>().max(1);
    let n: usize = dims.iter().product();
    Ok((0..n).map(|i| values[i / inner % values.len()]).collect())
}

/// `f(element, scale, zero point)` for every element.
pub(super) fn with_steps(
    x: &Value,
    scale: &Value,
    zero: Option<&Value>,
    axis: i64,
    f: fn(f32, f32, f32) -> f32,
) -> Result<Value, String> {
    let scale = spread(scale, &x.dims, axis)?;
    let zero = zero.map_or_else(|| Ok(vec![0.0]), |zero| spread(zero, &x.dims, axis))?;
    if scale.is_empty() || zero.is_empty() {
        return Err("no scale".into());
    }
    let step = |steps: &[f32], i: usize| steps[i % steps.len()];
    let values = x.as_floats()?.into_iter().enumerate().map(|(i, x)| f(x, step(&scale, i), step(&zero, i)));
    Ok(Value::floats(x.dims.clone(), values.collect()))
}

/// The least and greatest code of a type, which the zero point has.
pub(super) fn code_range(zero: Option<&Data>) -> Option<(f32, f32)> {
    match zero {
        None | Some(Data::Unsigned(_)) => Some((0.0, 255.0)),
        Some(Data::Signed(_)) => Some((-128.0, 127.0)),
        Some(_) => None,
    }
}

/// DynamicQuantizeLinear: codes, scale, zero point.
pub(super) fn dynamic(x: &Value) -> Result<[Value; 3], String> {
    let values = x.as_floats()?;
    let (least, most) = values.iter().fold((0.0f32, 0.0f32), |(a, b), &x| (a.min(x), b.max(x)));
    let scale = (most - least) / 255.0;
    let zero = if scale > 0.0 { (-least / scale).round_ties_even().clamp(0.0, 255.0) } else { 0.0 };
    let code = |x: &f32| if scale > 0.0 { x / scale + zero } else { zero };
    let codes = Value::floats(x.dims.clone(), values.iter().map(code).collect());
    let codes = Value { codes: Some((scale, zero)), ..codes };
    Ok([codes, Value::floats(vec![], vec![scale]), Value::floats(vec![], vec![zero])])
}
