//! The zeros of a model: how many blocks are zero, and what pruning did.

use lacuna::{Block, Model};

use crate::error::Result;
use crate::progress::Spinner;

/// What is said where weights that were not zero became zero.
const PRUNED: &str = "pruned by magnitude at load: accuracy is not kept; use a model that was trained sparse";
/// A fraction of blocks that is as close as this to the one that was asked for is that one: matrices have whole blocks.
const CLOSE: f64 = 1e-3;

/// A model after pruning.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// The model.
    pub model: Model,
    block: Block,
    asked: Option<f64>,
    is_changed: bool,
}

impl Pruned {
    /// Prunes a model, if a fraction of zero blocks is asked for.
    ///
    /// # Errors
    /// Those of [`Model::prune`].
    pub fn new(model: Model, block: Block, asked: Option<f64>) -> Result<Pruned> {
        let Some(sparsity) = asked else { return Ok(Pruned { model, block, asked, is_changed: false }) };
        let _spinner = Spinner::new("pruning");
        let before = model.pruning();
        let model = model.prune(block, sparsity)?;
        Ok(Pruned { is_changed: model.pruning() != before, model, block, asked })
    }

    /// What makes results doubtful: weights became zero.
    pub fn warning(&self) -> Option<&'static str> {
        self.is_changed.then_some(PRUNED)
    }

    /// That a fraction was asked for, and nothing had to be done.
    pub fn remark(&self) -> Option<String> {
        let asked = self.asked.filter(|asked| *asked > 0.0 && !self.is_changed)?;
        let found = zero_blocks(&self.model, self.block) * 1e2;
        Some(format!("--sparsity {asked}: the model already has {found:.0} % zero blocks; nothing pruned"))
    }

    /// The fraction of zero blocks: the one that was asked for, or the zeros that are there where these are more.
    pub fn sparsity(&self) -> f64 {
        let found = zero_blocks(&self.model, self.block);
        self.asked.filter(|asked| (asked - found).abs() < CLOSE).unwrap_or(found)
    }
}

/// The fraction of blocks of a shape that are zero, of all linear layers.
pub fn zero_blocks(model: &Model, block: Block) -> f64 {
    let (mut zero, mut total) = (0, 0);
    for linear in model.zeros() {
        let all = linear.zeros.all();
        let count = all.into_iter().find(|count| count.block == block).unwrap_or(linear.zeros.unstructured);
        zero += count.zero;
        total += count.total;
    }
    zero as f64 / usize::max(total, 1) as f64
}

#[cfg(test)]
mod tests {
    use lacuna::Preset;
    use lacuna::config::EncoderConfig;

    use super::*;

    #[test]
    fn pruning_says_what_it_did() {
        let config = EncoderConfig { layers: 1, vocab_size: 50, ..Preset::BertMini.config() };
        let model = Model::seeded(config, 1).unwrap();
        let of = |model: &Model, asked| Pruned::new(model.clone(), Block::B4x1, asked).unwrap();
        let said = |pruned: &Pruned| (pruned.sparsity(), pruned.warning().is_some(), pruned.remark());
        assert_eq!(said(&of(&model, None)), (0.0, false, None));
        assert_eq!(said(&of(&model, Some(0.0))), (0.0, false, None));
        let sparse = of(&model, Some(0.8));
        assert_eq!(said(&sparse), (0.8, true, None));
        let kept = of(&sparse.model, Some(0.5));
        assert!(kept.warning().is_none() && (kept.sparsity() - 0.8).abs() < CLOSE);
        let expected = "--sparsity 0.5: the model already has 80 % zero blocks; nothing pruned";
        assert_eq!(kept.remark().as_deref(), Some(expected));
        assert_eq!(kept.model.pruning(), sparse.model.pruning());
    }
}
