//! Operators that move elements.

use super::super::node::{attribute, whole};
use super::value::{Numbers, Value, axis_of, broadcast, count, places, strides};
use crate::proto::NodeProto;

/// Largest extent that a value made from numbers may have.
const MAX_EXTENT: i64 = 1 << 16;

/// A size or a place in memory.
fn size(x: i64) -> Result<usize, String> {
    usize::try_from(x).ok().filter(|_| x <= MAX_EXTENT).ok_or_else(|| format!("the size {x}"))
}

/// Reshape: 0 keeps a size, -1 is what is left.
pub(super) fn reshape(node: &NodeProto, x: &Value, shape: &Value) -> Result<Value, String> {
    let shape = shape.as_wholes()?;
    let allow_zero = whole(node, "allowzero").unwrap_or(0) != 0;
    let known = |(i, &d): (usize, &i64)| match d {
        0 if !allow_zero => x.dims.get(i).copied().ok_or_else(|| "a shape that keeps too much".to_owned()),
        -1 => Ok(1),
        d => usize::try_from(d).map_err(|_| format!("the size {d}")),
    };
    let mut dims = shape.iter().enumerate().map(known).collect::<Result<Vec<_>, _>>()?;
    if let Some(free) = shape.iter().position(|&d| d == -1) {
        dims[free] =
            count(&x.dims, usize::MAX)?.checked_div(count(&dims, usize::MAX)?).ok_or("a shape of no elements")?;
    }
    x.reshaped(dims)
}

pub(super) fn flatten(node: &NodeProto, x: &Value) -> Result<Value, String> {
    let axis = whole(node, "axis").unwrap_or(1);
    let axis = if axis == x.dims.len() as i64 { x.dims.len() } else { axis_of(axis, x.dims.len().max(1))? };
    let (first, rest) = x.dims.split_at(axis.min(x.dims.len()));
    x.reshaped(vec![first.iter().product(), rest.iter().product()])
}

/// Axes, from a setting or an input.
pub(super) fn axes(node: &NodeProto, input: Option<&Value>) -> Result<Option<Vec<i64>>, String> {
    match (attribute(node, "axes"), input) {
        (Some(axes), _) => Ok(Some(axes.ints.clone())),
        (None, Some(axes)) => Ok(Some(axes.as_wholes()?.to_vec())),
        (None, None) => Ok(None),
    }
}

pub(super) fn squeeze(x: &Value, axes: Option<Vec<i64>>) -> Result<Value, String> {
    let rank = x.dims.len();
    let out = match axes {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).filter(|&i| x.dims[i] == 1).collect(),
    };
    if let Some(&axis) = out.iter().find(|&&axis| x.dims[axis] != 1) {
        return Err(format!("axis {axis} of {:?} taken out", x.dims));
    }
    x.reshaped(x.dims.iter().enumerate().filter(|(i, _)| !out.contains(i)).map(|(_, &d)| d).collect())
}

pub(super) fn unsqueeze(x: &Value, axes: Option<Vec<i64>>) -> Result<Value, String> {
    let axes = axes.ok_or("no axes")?;
    let rank = x.dims.len() + axes.len();
    let new = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = x.dims.iter();
    let dims = (0..rank).map(|i| if new.contains(&i) { Some(1) } else { rest.next().copied() });
    x.reshaped(dims.collect::<Option<Vec<_>>>().ok_or("axes given twice")?)
}

pub(super) fn transpose(node: &NodeProto, x: &Value) -> Result<Value, String> {
    let rank = x.dims.len();
    let order = match attribute(node, "perm") {
        Some(perm) => perm.ints.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("the order {order:?} of {rank} dimensions"));
    }
    let own = strides(&x.dims);
    let dims: Vec<usize> = order.iter().map(|&axis| x.dims[axis]).collect();
    if x.numbers == Numbers::Unknown {
        return Ok(Value::shape(dims));
    }
    let at = places(&dims, &order.iter().map(|&axis| own[axis]).collect::<Vec<_>>());
    Ok(x.picked(dims, at.into_iter()))
}

pub(super) fn concat(node: &NodeProto, parts: &[Value]) -> Result<Value, String> {
    let first = parts.first().ok_or("nothing to join")?;
    let axis = axis_of(whole(node, "axis").ok_or("no axis")?, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for part in parts {
        let fits = part.dims.len() == dims.len()
            && part.dims.iter().zip(&dims).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if !fits {
            return Err(format!("parts of the shapes {:?} and {:?}", first.dims, part.dims));
        }
        dims[axis] += part.dims[axis];
    }
    let outer: usize = dims[..axis].iter().product();
    let inner: usize = dims[axis + 1..].iter().product();
    let rows = |part: &Value| part.dims[axis] * inner;
    if parts.iter().any(|part| part.numbers == Numbers::Unknown) {
        return Ok(Value::shape(dims));
    }
    if parts.iter().all(|part| matches!(part.numbers, Numbers::Whole(_))) {
        let parts = parts.iter().map(|part| Ok((part.as_wholes()?, rows(part)))).collect::<Result<Vec<_>, String>>()?;
        let row = |i: usize| parts.iter().flat_map(move |(values, n)| &values[i * n..(i + 1) * n]).copied();
        return Ok(Value::wholes(dims, (0..outer).flat_map(row).collect()));
    }
    let parts = parts.iter().map(|part| Ok((part.as_floats()?, rows(part)))).collect::<Result<Vec<_>, String>>()?;
    let row = |i: usize| parts.iter().flat_map(move |(values, n)| &values[i * n..(i + 1) * n]).copied();
    Ok(Value::floats(dims, (0..outer).flat_map(row).collect()))
}

/// Some indices of an axis.
pub(super) fn along(x: &Value, axis: usize, indices: &[usize]) -> Value {
    let (own, mut dims) = (strides(&x.dims), x.dims.clone());
    dims[axis] = indices.len();
    if x.numbers == Numbers::Unknown {
        return Value::shape(dims);
    }
    let mut before = dims.clone();
    before.truncate(axis);
    let (outer, inner) = (places(&before, &own[..axis]), own[axis]);
    let at = outer
        .into_iter()
        .flat_map(|start| indices.iter().flat_map(move |&i| (0..inner).map(move |k| start + i * inner + k)));
    x.picked(dims.clone(), at)
}

pub(super) fn split(node: &NodeProto, x: &Value, sizes: Option<&Value>) -> Result<Vec<Value>, String> {
    let axis = axis_of(whole(node, "axis").unwrap_or(0), x.dims.len())?;
    let (extent, outputs) = (x.dims[axis], node.output.len().max(1));
    let sizes: Vec<usize> = match (sizes, attribute(node, "split")) {
        (Some(sizes), _) => sizes.as_wholes()?.iter().map(|&s| size(s)).collect::<Result<_, _>>()?,
        (None, Some(sizes)) => sizes.ints.iter().map(|&s| size(s)).collect::<Result<_, _>>()?,
        (None, None) => {
            let each = extent.div_ceil(outputs);
            (0..outputs).map(|i| each.min(extent.saturating_sub(i * each))).collect()
        }
    };
    if sizes.iter().sum::<usize>() != extent || sizes.len() != outputs {
        return Err(format!("parts of the sizes {sizes:?} of {extent}"));
    }
    let mut start = 0;
    let part = |size: usize| {
        start += size;
        along(x, axis, &(start - size..start).collect::<Vec<_>>())
    };
    Ok(sizes.into_iter().map(part).collect())
}

/// Inputs: x, starts, ends, axes, steps.
pub(super) fn slice(node: &NodeProto, x: &Value, inputs: [Option<&Value>; 4]) -> Result<Value, String> {
    let list = |input: Option<&Value>, name| match (input, attribute(node, name)) {
        (Some(value), _) => Ok(Some(value.as_wholes()?.to_vec())),
        (None, setting) => Ok::<_, String>(setting.map(|setting| setting.ints.clone())),
    };
    let [starts, ends, axes, steps] = inputs;
    let (starts, ends) = (list(starts, "starts")?.ok_or("no starts")?, list(ends, "ends")?.ok_or("no ends")?);
    let axes = list(axes, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(steps, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("bounds of different numbers of axes".into());
    }
    let mut value = x.clone();
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, value.dims.len())?;
        let extent = value.dims[axis] as i64;
        let bound = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        let mut indices = Vec::new();
        if step == 0 {
            return Err("a step of 0".into());
        }
        let (mut at, end) = match step > 0 {
            true => (bound(start).clamp(0, extent), bound(end).clamp(0, extent)),
            false => (bound(start).clamp(-1, extent - 1), bound(end).clamp(-1, extent - 1)),
        };
        while (step > 0 && at < end) || (step < 0 && at > end) {
            indices.push(size(at)?);
            at = at.saturating_add(step);
        }
        value = along(&value, axis, &indices);
    }
    Ok(value)
}

fn index(at: i64, extent: usize) -> Result<usize, String> {
    axis_of(at, extent).map_err(|_| format!("the index {at} of {extent}"))
}

pub(super) fn gather(node: &NodeProto, x: &Value, indices: &Value, limit: usize) -> Result<Value, String> {
    let axis = axis_of(whole(node, "axis").unwrap_or(0), x.dims.len())?;
    let mut dims = x.dims[..axis].to_vec();
    dims.extend(&indices.dims);
    dims.extend(&x.dims[axis + 1..]);
    count(&dims, limit)?;
    if indices.numbers == Numbers::Unknown {
        return Ok(Value::shape(dims));
    }
    let at = indices.as_wholes()?.iter().map(|&at| index(at, x.dims[axis])).collect::<Result<Vec<_>, _>>()?;
    Ok(Value { dims, ..along(x, axis, &at) })
}

pub(super) fn gather_elements(node: &NodeProto, x: &Value, indices: &Value) -> Result<Value, String> {
    let axis = axis_of(whole(node, "axis").unwrap_or(0), x.dims.len())?;
    let own = strides(&x.dims);
    let fits = indices.dims.len() == x.dims.len()
        && indices.dims.iter().zip(&x.dims).enumerate().all(|(i, (a, b))| i == axis || a <= b);
    if !fits {
        return Err(format!("indices of the shape {:?} for {:?}", indices.dims, x.dims));
    }
    let mut steps = own.clone();
    steps[axis] = 0;
    let base = places(&indices.dims, &steps);
    let at = |(start, &at): (usize, &i64)| Ok(start + index(at, x.dims[axis])? * own[axis]);
    let at = base.into_iter().zip(indices.as_wholes()?).map(at).collect::<Result<Vec<_>, String>>()?;
    Ok(x.picked(indices.dims.clone(), at.into_iter()))
}

/// GatherND without batch dimensions.
pub(super) fn gather_nd(node: &NodeProto, x: &Value, indices: &Value, limit: usize) -> Result<Value, String> {
    let depth = indices.dims.last().copied().filter(|&depth| depth > 0 && depth <= x.dims.len());
    let depth = depth.filter(|_| whole(node, "batch_dims").unwrap_or(0) == 0).ok_or("another form of GatherND")?;
    let (own, inner) = (strides(&x.dims), x.dims[depth..].iter().product::<usize>());
    let mut dims = indices.dims[..indices.dims.len() - 1].to_vec();
    dims.extend(&x.dims[depth..]);
    count(&dims, limit)?;
    let start = |at: &[i64]| {
        let place = |i: usize| Ok(index(at[i], x.dims[i])? * own[i]);
        (0..depth).map(place).sum::<Result<usize, String>>()
    };
    let starts = indices.as_wholes()?.chunks_exact(depth).map(start).collect::<Result<Vec<_>, String>>()?;
    Ok(x.picked(dims, starts.into_iter().flat_map(|start| start..start + inner)))
}

/// The shape that Expand gives.
pub(super) fn expand(x: &Value, shape: &Value, limit: usize) -> Result<Value, String> {
    let to = shape.as_wholes()?.iter().map(|&d| size(d)).collect::<Result<Vec<_>, _>>()?;
    let dims = broadcast(&x.dims, &to, limit)?;
    Ok(x.expanded(&dims))
}

pub(super) fn tile(x: &Value, repeats: &Value, limit: usize) -> Result<Value, String> {
    let repeats = repeats.as_wholes()?.iter().map(|&d| size(d)).collect::<Result<Vec<_>, _>>()?;
    if repeats.len() != x.dims.len() {
        return Err(format!("{} repetitions of {} dimensions", repeats.len(), x.dims.len()));
    }
    let mut value = x.clone();
    for (axis, times) in repeats.into_iter().enumerate() {
        let extent = value.dims[axis];
        let mut dims = value.dims.clone();
        dims[axis] = extent.saturating_mul(times);
        count(&dims, limit)?;
        value = along(&value, axis, &(0..dims[axis]).map(|i| i % extent).collect::<Vec<_>>());
    }
    Ok(value)
}

/// ConstantOfShape: 0 where no value is set.
pub(super) fn filled(shape: &Value, fill: Option<&Value>, limit: usize) -> Result<Value, String> {
    let dims = shape.as_wholes()?.iter().map(|&d| size(d)).collect::<Result<Vec<_>, _>>()?;
    let n = count(&dims, limit)?;
    Ok(match fill.map(|fill| (&fill.numbers, fill)) {
        None => Value::floats(dims, vec![0.0; n]),
        Some((Numbers::Whole(values), _)) => Value::wholes(dims, vec![*values.first().ok_or("no element")?; n]),
        Some((_, fill)) => Value::floats(dims, vec![*fill.as_floats()?.first().ok_or("no element")?; n]),
    })
}

pub(super) fn range(start: &Value, limit: &Value, step: &Value) -> Result<Value, String> {
    let one = |value: &Value| value.as_wholes()?.first().copied().ok_or_else(|| "no element".to_owned());
    if let Numbers::Float(_) = start.numbers {
        let one = |value: &Value| value.as_floats()?.first().copied().ok_or_else(|| "no element".to_owned());
        let (start, limit, step) = (one(start)?, one(limit)?, one(step)?);
        let n = size(((limit - start) / step).ceil().max(0.0) as i64)?;
        return Ok(Value::floats(vec![n], (0..n).map(|i| start + i as f32 * step).collect()));
    }
    let (start, limit, step) = (one(start)?, one(limit)?, one(step)?);
    if step == 0 {
        return Err("a step of 0".into());
    }
    let distance = limit.checked_sub(start).ok_or("a range beyond memory")?;
    let n = size((distance / step + i64::from(distance % step != 0)).max(0))?;
    let n = if (distance < 0) == (step < 0) { n } else { 0 };
    Ok(Value::wholes(vec![n], (0..n as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))).collect()))
}

/// Trilu: the upper or lower triangle of the last two dimensions.
pub(super) fn triangle(node: &NodeProto, x: &Value, k: Option<&Value>) -> Result<Value, String> {
    let [.., rows, cols] = x.dims[..] else { return Err("no matrix".into()) };
    let upper = whole(node, "upper").unwrap_or(1) != 0;
    let k = k.map(|k| Ok::<_, String>(k.as_wholes()?.first().copied().unwrap_or(0))).transpose()?.unwrap_or(0);
    let is_kept = |i: usize| {
        let (row, col) = ((i / cols.max(1) % rows.max(1)) as i64, (i % cols.max(1)) as i64);
        if upper { col - row >= k } else { col - row <= k }
    };
    let numbers = match &x.numbers {
        Numbers::Float(values) => {
            Numbers::Float(values.iter().enumerate().map(|(i, &x)| if is_kept(i) { x } else { 0.0 }).collect())
        }
        Numbers::Whole(values) => {
            Numbers::Whole(values.iter().enumerate().map(|(i, &x)| if is_kept(i) { x } else { 0 }).collect())
        }
        Numbers::Unknown => Numbers::Unknown,
    };
    Ok(Value { dims: x.dims.clone(), numbers, codes: None })
}
