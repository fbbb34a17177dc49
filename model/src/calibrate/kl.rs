//! The clip that loses least information: entropy calibration.
//!
//! Of a histogram of the values, bins beyond a candidate's ends are put into its outermost bins (they saturate): distribution P. The
//! bins within, without those, are merged into the codes that they round to, and every code's count is spread evenly over its bins that
//! hold anything: distribution Q, what is left after rounding. The candidate with the least Kullback-Leibler divergence of P from Q is
//! taken; the widest among equals. A clip costs because the outermost bins of P hold what those of Q do not; a wide range costs because
//! few codes are left for where most values are.
//!
//! Source: Migacz, "8-bit inference with TensorRT", 2017, which has one end and 128 codes; here ends are searched one after the
//! other, the upper one first, and codes are those of the range itself.

/// Bins between the ends of a histogram.
const BINS: usize = 2048;
/// Distance between candidates, in bins.
const STRIDE: usize = 16;
/// With fewer values per code, bins hold noise and the divergence is meaningless.
const VALUES_PER_CODE: usize = 16;
/// How often the histogram is rebuilt over the remaining range: extreme outliers leave all other values in a few bins.
const ZOOMS: usize = 12;

/// The part `[low, high]` of a range with the least divergence; `code(low, high)` gives the rounding of a candidate. The range itself
/// if there are too few values to say.
///
/// `codes` is the number of codes of a range that is not cut.
pub(super) fn clip<C: Fn(f32) -> i32>(
    values: &[f32],
    range: (f32, f32),
    codes: usize,
    code: impl Fn(f32, f32) -> C,
) -> (f32, f32) {
    let (mut low, mut high) = range;
    if values.len() < codes * VALUES_PER_CODE {
        return range;
    }
    for _ in 0..ZOOMS {
        let Some(histogram) = Histogram::new(values, low, high) else { break };
        let best = |candidates: &mut dyn Iterator<Item = (usize, usize)>| {
            let mut best = (f64::INFINITY, (0, BINS));
            for (from, to) in candidates {
                let cost = histogram.divergence(from, to, code(histogram.edge(from), histogram.edge(to)));
                if cost < best.0 {
                    best = (cost, (from, to));
                }
            }
            best.1
        };
        let zero = histogram.bin(0.0);
        let least = BINS / 8;
        let last = least.max(zero + 1);
        let (_, to) = best(&mut (0..).map(|i| BINS - i * STRIDE).take_while(|&to| to >= last).map(|to| (0, to)));
        let (from, to) = best(
            &mut (0..)
                .map(|i| i * STRIDE)
                .take_while(|&from| from <= zero && to - from >= least)
                .map(|from| (from, to)),
        );
        (low, high) = (histogram.edge(from), histogram.edge(to));
        // With less than half of the bins, the rest is in too few bins to decide whether to clip more.
        if to - from >= BINS / 2 {
            break;
        }
    }
    (low, high)
}

struct Histogram {
    low: f32,
    /// Of a bin.
    width: f32,
    counts: Vec<f64>,
    /// Values below and above all bins.
    outside: [f64; 2],
}

impl Histogram {
    /// Nothing if the range is empty.
    fn new(values: &[f32], low: f32, high: f32) -> Option<Histogram> {
        let width = (high - low) / BINS as f32;
        if !(width > 0.0 && width.is_finite()) {
            return None;
        }
        let mut histogram = Histogram { low, width, counts: vec![0.0; BINS], outside: [0.0; 2] };
        for &x in values {
            match (x < low, x > high) {
                (true, _) => histogram.outside[0] += 1.0,
                (_, true) => histogram.outside[1] += 1.0,
                _ => {
                    let bin = histogram.bin(x);
                    histogram.counts[bin] += 1.0;
                }
            }
        }
        Some(histogram)
    }

    fn bin(&self, x: f32) -> usize {
        (((x - self.low) / self.width) as usize).min(BINS - 1)
    }

    /// The lower end of a bin; the upper end of all for the number of bins.
    fn edge(&self, bin: usize) -> f32 {
        self.low + self.width * bin as f32
    }

    /// `sum P ln(P / Q)` for the candidate that keeps the bins `from..to`.
    fn divergence(&self, from: usize, to: usize, code: impl Fn(f32) -> i32) -> f64 {
        let kept = &self.counts[from..to];
        let below = self.outside[0] + self.counts[..from].iter().sum::<f64>();
        let above = self.outside[1] + self.counts[to..].iter().sum::<f64>();
        let inside: f64 = kept.iter().sum();
        if inside == 0.0 {
            return f64::INFINITY;
        }
        let total = inside + below + above;
        let last = kept.len() - 1;
        let mut divergence = 0.0;
        let mut start = 0;
        while start < kept.len() {
            let of = |bin: usize| code(self.edge(from + bin) + 0.5 * self.width);
            let this = of(start);
            let end = (start + 1..kept.len()).find(|&bin| of(bin) != this).unwrap_or(kept.len());
            let bins = &kept[start..end];
            let occupied = bins.iter().filter(|count| **count > 0.0).count().max(1);
            // A bin that holds clipped values only: half a value is a guess for its own count.
            let even = (bins.iter().sum::<f64>() / occupied as f64).max(0.5) / inside;
            for (bin, count) in bins.iter().enumerate() {
                let cut = if start + bin == 0 { below } else { 0.0 } + if start + bin == last { above } else { 0.0 };
                let p = (count + cut) / total;
                let q = if *count > 0.0 { even } else { 0.5 / inside };
                if p > 0.0 {
                    divergence += p * (p / q).ln();
                }
            }
            start = end;
        }
        divergence
    }
}
