//! The sentences that the shipped model embeds, and how similar it finds them.

use lacuna_console::stats::cosine;
use lacuna_console::table::Table;

use super::check::Check;

/// Each two in a row mean the same in other words.
pub(super) const SENTENCES: [&str; 8] = [
    "A cat is sleeping on the sofa.",
    "A kitten naps on the couch.",
    "The train to Berlin leaves at noon.",
    "The Berlin express departs at twelve o'clock.",
    "How do I reset my password?",
    "I forgot my login and want to choose a new one.",
    "Heavy rain is expected tomorrow.",
    "The forecast says that it will pour all day tomorrow.",
];

/// The cosine of every two embeddings.
pub(super) fn similarities(embeddings: &[Vec<f32>]) -> Vec<Vec<f64>> {
    embeddings.iter().map(|a| embeddings.iter().map(|b| cosine(a, b)).collect()).collect()
}

/// Whether every sentence is most similar to the one that means the same.
pub(super) fn check(similarities: &[Vec<f64>]) -> Check {
    let nearest = |(i, row): (usize, &Vec<f64>)| {
        let others = row.iter().enumerate().filter(|(j, _)| *j != i);
        others.max_by(|a, b| a.1.total_cmp(b.1)).map(|(j, _)| j)
    };
    let found: Vec<Option<usize>> = similarities.iter().enumerate().map(nearest).collect();
    let right = found.iter().enumerate().filter(|(i, j)| **j == Some(i ^ 1)).count();
    Check {
        name: "same meaning nearest",
        passed: right == similarities.len(),
        found: format!(
            "{right} of {} sentences are most similar to the one that says the same in other words",
            similarities.len()
        ),
    }
}

/// The sentences with their similarities.
pub(super) fn table(similarities: &[Vec<f64>]) -> Table {
    let numbers: Vec<String> = (1..=similarities.len()).map(|i| i.to_string()).collect();
    let headings: Vec<&str> = ["", "<sentence"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    let mut table = Table::new(&headings);
    for ((sentence, row), number) in SENTENCES.iter().zip(similarities).zip(&numbers) {
        let cells = row.iter().map(|cosine| format!("{cosine:.2}"));
        table.row([number.clone(), (*sentence).to_owned()].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_is_nearest_to_another_meaning_is_found() {
        let pairs = vec![
            vec![1.0, 0.9, 0.1, 0.2],
            vec![0.9, 1.0, 0.0, 0.1],
            vec![0.1, 0.0, 1.0, 0.8],
            vec![0.2, 0.1, 0.8, 1.0],
        ];
        assert!(check(&pairs).passed);
        let mut wrong = pairs;
        wrong[3][0] = 0.85;
        let found = check(&wrong);
        assert!(!found.passed && found.found.starts_with("3 of 4"), "{}", found.found);
    }
}
