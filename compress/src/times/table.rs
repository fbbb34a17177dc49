//! Measured times, and what lies between them.

use lacuna::Block;
use lacuna_data::words::plural;
use serde::Serialize;

/// Linear layers that read the same tensor, and so must agree on its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The names of its layers.
    pub name: &'static str,
    /// The first of them in the order q, k, v, o, up, down, and how many they are.
    pub first: usize,
    /// See `first`.
    pub count: usize,
}

/// The groups of an encoder layer.
pub const GROUPS: [Group; 4] = [
    Group { name: "q, k, v", first: 0, count: 3 },
    Group { name: "o", first: 3, count: 1 },
    Group { name: "up", first: 4, count: 1 },
    Group { name: "down", first: 5, count: 1 },
];

/// Times of the linear layers of one encoder layer.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The block shape.
    pub block: Block,
    /// The fraction of zero blocks.
    pub sparsity: f64,
    /// Microseconds of each of [`GROUPS`].
    pub us: [f64; 4],
}

/// Medians of a model's products on this machine, through the library's own choice of kernels.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// Tokens of the sequence.
    pub seq: usize,
    /// Threads that ran it.
    pub threads: usize,
    /// Layers of the model.
    pub layers: usize,
    /// Microseconds of each of [`GROUPS`], dense in int8.
    pub dense_us: [f64; 4],
    /// By block shape, then by sparsity, ascending.
    pub rows: Vec<Row>,
    /// Microseconds of everything else in an encoder layer: attention, normalisation.
    pub rest_us: f64,
    /// Microseconds of everything outside of the layers: embedding, pooling.
    pub fixed_us: f64,
    /// What measuring took, in seconds.
    pub seconds: f64,
}

impl Times {
    /// The lowest and the highest sparsity that was measured.
    pub fn range(&self) -> (f64, f64) {
        let sparsities = || self.rows.iter().map(|row| row.sparsity);
        (sparsities().fold(1.0, f64::min), sparsities().fold(0.0, f64::max))
    }

    /// Seconds of one group of a layer; between measured sparsities on a line, outside of them none.
    pub fn group(&self, group: usize, block: Block, sparsity: f64) -> Option<f64> {
        let rows = || self.rows.iter().filter(|row| row.block == block);
        let below = rows().rfind(|row| row.sparsity <= sparsity + 1e-9)?;
        let above = rows().find(|row| row.sparsity >= sparsity - 1e-9)?;
        let width = above.sparsity - below.sparsity;
        let part = if width > 0.0 { (sparsity - below.sparsity) / width } else { 0.0 };
        Some((below.us[group] + part * (above.us[group] - below.us[group])) * 1e-6)
    }

    /// Seconds of one dense group of a layer.
    pub fn dense(&self, group: usize) -> f64 {
        self.dense_us[group] * 1e-6
    }

    /// Seconds of the linear layers of the whole model in blocks of one shape.
    pub fn linear(&self, block: Block, sparsity: f64) -> Option<f64> {
        let groups: Option<f64> = (0..GROUPS.len()).map(|group| self.group(group, block, sparsity)).sum();
        Some(groups? * self.layers as f64)
    }

    /// Seconds of everything that is no linear layer.
    pub fn others(&self) -> f64 {
        (self.fixed_us + self.layers as f64 * self.rest_us) * 1e-6
    }

    /// Seconds of the whole model in dense int8.
    pub fn dense_model(&self) -> f64 {
        self.others() + self.layers as f64 * self.dense_us.iter().sum::<f64>() * 1e-6
    }

    /// What a table of these times holds, in words.
    pub fn caption(&self) -> String {
        format!(
            "linear layers of one encoder layer, {} tokens, {} of this machine; everything else in a layer takes {:.1} us; \
             measured in {:.1} s",
            self.seq,
            plural(self.threads as u64, "thread"),
            self.rest_us,
            self.seconds
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 4x1 takes 100 us per group without zeros, 4x4 half of it; dense takes 60.
    pub(crate) fn times(layers: usize) -> Times {
        let rows = [(Block::B4x1, 100.0), (Block::B4x4, 50.0)].into_iter().flat_map(|(block, us)| {
            [0.5, 0.8, 0.9].map(|sparsity| Row { block, sparsity, us: [us * (1.0 - sparsity); 4] })
        });
        let rows = rows.collect();
        Times { seq: 128, threads: 1, layers, dense_us: [60.0; 4], rows, rest_us: 10.0, fixed_us: 5.0, seconds: 0.1 }
    }

    #[test]
    fn times_lie_on_lines_between_what_was_measured() {
        let times = times(3);
        let close = |found: Option<f64>, us: f64| assert!((found.unwrap() * 1e6 - us).abs() < 1e-6, "{found:?} {us}");
        for (sparsity, us) in [(0.5, 50.0), (0.65, 35.0), (0.8, 20.0), (0.85, 15.0), (0.9, 10.0)] {
            close(times.group(1, Block::B4x1, sparsity), us);
            close(times.linear(Block::B4x4, sparsity), 3.0 * 4.0 * us / 2.0);
        }
        for (block, sparsity) in [(Block::B4x1, 0.4), (Block::B4x1, 0.95), (Block::B8x1, 0.8)] {
            assert_eq!(times.group(0, block, sparsity), None);
        }
        close(Some(times.others()), 35.0);
        close(Some(times.dense_model()), 35.0 + 3.0 * 240.0);
    }
}
