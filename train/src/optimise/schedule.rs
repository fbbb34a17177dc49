//! Learning rates over the course of a training.

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
}

/// A factor of the learning rate for each point of the training: a linear warm-up, then a decay.
///
/// With the progress p from 0 to 1: `min(1, (p + 0.001) / warm_up) (floor + (1 - floor) decay(p))`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// The share of the training in which the rate rises, 0 to 1.
    pub warm_up: f64,
    /// The factor at the end, 0 to 1.
    pub floor: f64,
    /// The form of the decay.
    pub decay: Decay,
}

impl Default for Schedule {
    /// 5 % of warm-up, then a cosine down to 2 %.
    fn default() -> Schedule {
        Schedule { warm_up: 0.05, floor: 0.02, decay: Decay::Cosine }
    }
}

impl Schedule {
    /// The factor at a progress from 0 to 1.
    pub fn factor(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        let fall = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Linear => 1.0 - progress,
        };
        self.rise(progress) * (self.floor + (1.0 - self.floor) * fall)
    }

    /// The warm-up alone: it rises to 1 and stays there.
    pub fn rise(&self, progress: f64) -> f64 {
        if self.warm_up > 0.0 { ((progress.clamp(0.0, 1.0) + 1e-3) / self.warm_up).min(1.0) } else { 1.0 }
    }
}

/// The sparsity of a gradual pruning: `end + (start - end) (1 - p)^3`, with p from 0 at the progress `from` to 1 at `to`.
///
/// # Source
/// Zhu and Gupta, To prune, or not to prune, 2017.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CubicRamp {
    /// Sparsity at the start.
    pub start: f64,
    /// Sparsity at the end.
    pub end: f64,
    /// The progress of the training at which it begins to rise.
    pub from: f64,
    /// The progress from which on it is `end`.
    pub to: f64,
}

impl CubicRamp {
    /// The sparsity at a progress of the training.
    pub fn sparsity(&self, progress: f64) -> f64 {
        let length = (self.to - self.from).max(f64::MIN_POSITIVE);
        let p = ((progress - self.from) / length).clamp(0.0, 1.0);
        self.end + (self.start - self.end) * (1.0 - p).powi(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let schedule = Schedule::default();
        assert!(schedule.factor(0.0) < 0.03);
        assert!((schedule.factor(0.06) - 0.98).abs() < 0.02);
        assert!((schedule.factor(1.0) - 0.02).abs() < 1e-9);
        let linear = Schedule { warm_up: 0.0, floor: 0.0, decay: Decay::Linear };
        assert_eq!([0.0, 0.25, 1.0, 2.0].map(|p| linear.factor(p)), [1.0, 0.75, 0.0, 0.0]);
    }

    #[test]
    fn the_ramp_ends_where_it_should() {
        let ramp = CubicRamp { start: 0.5, end: 0.9, from: 0.1, to: 0.6 };
        assert_eq!([0.0, 0.1, 0.6, 1.0].map(|p| ramp.sparsity(p)), [0.5, 0.5, 0.9, 0.9]);
        assert!((ramp.sparsity(0.35) - 0.85).abs() < 1e-9);
    }
}
