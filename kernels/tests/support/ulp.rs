//! Distances between floats, counted in representable values.

/// The number of steps from one `f32` to the next between `a` and `b`; 0 for `-0.0` and `0.0`, and for two NaNs.
/// `u32::MAX` if only one of them is NaN or infinite: no bound on the error allows that.
pub(crate) fn ulp_distance(a: f32, b: f32) -> u32 {
    /// Ascending with the float, with both zeros at 0.
    fn rank(x: f32) -> i64 {
        let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -magnitude } else { magnitude }
    }
    match (a.is_finite(), b.is_finite()) {
        (true, true) => rank(a).abs_diff(rank(b)) as u32, // below 2^32: both ranks are below 2^31
        _ if a == b || a.is_nan() && b.is_nan() => 0,
        _ => u32::MAX,
    }
}

/// Asserts that every element of `actual` is within `bound` units in the last place of `expected`. Reports the worst one.
#[track_caller]
pub(crate) fn assert_ulp(actual: &[f32], expected: &[f32], bound: u32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths differ");
    let distances = actual.iter().zip(expected).map(|(&a, &e)| ulp_distance(a, e));
    let Some((distance, i)) = distances.zip(0..).max_by_key(|&(distance, i): &(u32, usize)| (distance, usize::MAX - i))
    else {
        return;
    };
    assert!(
        distance <= bound,
        "{what}: element {i} of {} is {:e}, expected {:e}: {distance} ulp apart, {bound} allowed",
        actual.len(),
        actual[i],
        expected[i],
    );
}
