//! Classification: one gold label and one predicted label per text.

/// What was counted, by label number.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    texts: usize,
    correct: usize,
    /// Texts with this gold label.
    gold: Vec<usize>,
    /// Texts that the model gave this label.
    predicted: Vec<usize>,
    /// Texts with this label on both sides.
    both: Vec<usize>,
}

impl Classes {
    /// Counts pairs of (gold, predicted). Both are below `labels`.
    pub(crate) fn count(labels: usize, pairs: &[(usize, usize)]) -> Classes {
        let zeros = vec![0; labels];
        let mut classes =
            Classes { texts: pairs.len(), correct: 0, gold: zeros.clone(), predicted: zeros.clone(), both: zeros };
        for &(gold, predicted) in pairs {
            classes.gold[gold] += 1;
            classes.predicted[predicted] += 1;
            if gold == predicted {
                classes.both[gold] += 1;
                classes.correct += 1;
            }
        }
        classes
    }

    /// Fraction of texts with the gold label. NaN without texts.
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.texts as f64
    }

    /// Mean of the labels' F1, over the labels that are gold or predicted at least once, as scikit-learn has it. NaN without texts.
    pub(crate) fn macro_f1(&self) -> f64 {
        let labels = self.gold.iter().zip(&self.predicted).zip(&self.both);
        let seen = labels.filter(|((gold, predicted), _)| **gold + **predicted > 0);
        let all: Vec<f64> = seen.map(|((gold, predicted), both)| f1(*both, *predicted, *gold)).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    /// F1 of the counts of all labels together. It equals the accuracy, as every text has one gold and one predicted label.
    pub(crate) fn micro_f1(&self) -> f64 {
        match self.texts {
            0 => f64::NAN,
            texts => f1(self.correct, texts, texts),
        }
    }

    /// The correlation of Matthews for any number of labels; 0 if one side has one label only, as scikit-learn has it.
    ///
    /// `(c s - sum p t) / sqrt((s^2 - sum p^2) (s^2 - sum t^2))` with `s` texts, `c` correct ones, and per label `t` gold and `p`
    /// predicted ones.
    ///
    /// Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004.
    pub(crate) fn matthews(&self) -> f64 {
        let dot = |a: &[usize], b: &[usize]| a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>();
        let (texts, correct) = (self.texts as f64, self.correct as f64);
        let of_predicted = texts * texts - dot(&self.predicted, &self.predicted);
        let of_gold = texts * texts - dot(&self.gold, &self.gold);
        match of_predicted * of_gold {
            0.0 => 0.0,
            product => (correct * texts - dot(&self.predicted, &self.gold)) / product.sqrt(),
        }
    }
}

/// `2 both / (predicted + gold)`; 0 where there is neither.
pub(super) fn f1(both: usize, predicted: usize, gold: usize) -> f64 {
    ratio(2 * both, predicted + gold)
}

/// 0 of nothing is 0.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(classes: &Classes) -> [f64; 4] {
        [classes.accuracy(), classes.macro_f1(), classes.micro_f1(), classes.matthews()]
    }

    #[track_caller]
    fn near(found: [f64; 4], expected: [f64; 4]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
    }

    #[test]
    fn two_labels_by_hand() {
        // Of label 1: 2 true positives, 1 false positive, 1 false negative, 1 true negative.
        let pairs = [(1, 1), (1, 1), (0, 1), (1, 0), (0, 0)];
        // F1 of 1: 4 / 6; of 0: 2 / 4. Matthews: (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2) = 1 / 6.
        near(all(&Classes::count(2, &pairs)), [0.6, (4.0 / 6.0 + 0.5) / 2.0, 0.6, 1.0 / 6.0]);
    }

    #[test]
    fn three_labels_by_hand() {
        let pairs = [(0, 0), (1, 1), (2, 1), (2, 2)];
        // F1: 1, 2 / 3, 2 / 3. Matthews: c 3, s 4, sum p t = 1 + 2 + 2 = 5, sums of squares 1 + 4 + 1 = 6 on both sides: 7 / 10.
        near(all(&Classes::count(3, &pairs)), [0.75, 7.0 / 9.0, 0.75, 0.7]);
    }

    #[test]
    fn a_label_that_does_not_occur_counts_in_no_mean() {
        near(all(&Classes::count(5, &[(0, 0), (3, 3)])), [1.0; 4]);
    }

    #[test]
    fn one_class_has_no_correlation() {
        near(all(&Classes::count(2, &[(0, 0), (0, 0)])), [1.0, 1.0, 1.0, 0.0]);
        // One gold label that is never found.
        near(all(&Classes::count(2, &[(0, 1), (0, 1)])), [0.0; 4]);
        // A model that always says the same: F1 of 1 is 2 / 3, of 0 it is 0.
        near(all(&Classes::count(2, &[(0, 1), (1, 1)])), [0.5, 1.0 / 3.0, 0.5, 0.0]);
    }

    #[test]
    fn all_wrong_is_minus_one() {
        near(all(&Classes::count(2, &[(0, 1), (1, 0)])), [0.0, 0.0, 0.0, -1.0]);
    }

    #[test]
    fn without_texts_there_is_no_accuracy() {
        let none = Classes::count(2, &[]);
        assert!(none.accuracy().is_nan() && none.macro_f1().is_nan() && none.micro_f1().is_nan());
    }
}
