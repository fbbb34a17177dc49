//! Question answering, as the evaluation script of SQuAD 2.0 counts it.

use std::collections::HashMap;

/// Whether the answer is one of the gold answers, and how many words they share. `gold` without an answer means that "no answer" is right, which is
/// the empty answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Match {
    /// 1 or 0.
    pub(crate) exact: f64,
    /// F1 of the words of the gold answer that it is largest for.
    pub(crate) f1: f64,
}

impl Match {
    /// Of one question.
    pub(crate) fn of(answer: &str, gold: &[String]) -> Match {
        let found = normalized(answer);
        let mut all: Vec<Vec<String>> =
            gold.iter().map(|gold| normalized(gold)).filter(|gold| !gold.is_empty()).collect();
        if all.is_empty() {
            all.push(Vec::new());
        }
        Match {
            exact: f64::from(u8::from(all.contains(&found))),
            f1: all.iter().map(|gold| f1(&found, gold)).fold(0.0, f64::max),
        }
    }

    /// The means over questions. NaN without questions.
    pub(crate) fn mean(questions: &[Match]) -> Match {
        let mean = |of: fn(&Match) -> f64| questions.iter().map(of).sum::<f64>() / questions.len() as f64;
        Match { exact: mean(|question| question.exact), f1: mean(|question| question.f1) }
    }
}

/// The words in lower case, without ASCII punctuation, without the articles a, an, the.
fn normalized(answer: &str) -> Vec<String> {
    let lower = answer.to_lowercase();
    let plain: String = lower.chars().filter(|char| !char.is_ascii_punctuation()).collect();
    // An article is a whole run of letters and digits; other signs beside it stay.
    let (mut text, mut run) = (String::with_capacity(plain.len()), String::new());
    let close = |run: &mut String, text: &mut String| {
        text.push_str(if matches!(&run[..], "a" | "an" | "the") { " " } else { run });
        run.clear();
    };
    for char in plain.chars() {
        if char.is_alphanumeric() {
            run.push(char);
        } else {
            close(&mut run, &mut text);
            text.push(char);
        }
    }
    close(&mut run, &mut text);
    text.split_whitespace().map(str::to_owned).collect()
}

/// F1 of the words, each as often as it stands there. Where one side is empty, 1 if both are.
fn f1(found: &[String], gold: &[String]) -> f64 {
    if found.is_empty() || gold.is_empty() {
        return f64::from(u8::from(found == gold));
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    gold.iter().for_each(|word| *left.entry(word).or_default() += 1);
    let take = |word: &&String| match left.get_mut(&word[..]) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let shared = found.iter().filter(take).count();
    super::classes::f1(shared, found.len(), gold.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(answer: &str, gold: &[&str], exact: f64, f1: f64) {
        let gold: Vec<String> = gold.iter().map(|gold| (*gold).to_owned()).collect();
        let found = Match::of(answer, &gold);
        assert!(found.exact == exact && (found.f1 - f1).abs() < 1e-12, "{answer:?}: {found:?}");
    }

    #[test]
    fn case_punctuation_and_articles_do_not_count() {
        is("The  U.S. Army!", &["us army"], 1.0, 1.0);
        is("an apple a day", &["Apple day"], 1.0, 1.0);
        is("theory", &["ory"], 0.0, 0.0);
        // Punctuation is taken out before articles are looked for.
        is("a-b", &["ab"], 1.0, 1.0);
        // A dash that is not ASCII stays, and ends the article.
        is("the\u{2013}cat", &["\u{2013}cat"], 1.0, 1.0);
    }

    #[test]
    fn words_are_counted_by_hand() {
        // Two of three words found, two of four of the gold answer: 4 / 7.
        is("old grey cat", &["old cat of Paris"], 0.0, 4.0 / 7.0);
        // A word counts as often as it stands on both sides.
        is("cat cat cat", &["cat dog"], 0.0, 2.0 / 5.0);
        is("dog", &["cat"], 0.0, 0.0);
    }

    #[test]
    fn the_best_gold_answer_counts() {
        is("in Paris", &["London", "Paris", "in Paris, France"], 0.0, 0.8);
        is("Paris", &["London", "Paris"], 1.0, 1.0);
    }

    #[test]
    fn no_answer_is_an_answer() {
        is("", &[], 1.0, 1.0);
        is("", &["cat"], 0.0, 0.0);
        is("cat", &[], 0.0, 0.0);
        // An answer of articles and punctuation is none.
        is("the", &["a."], 1.0, 1.0);
        is("", &["", "cat"], 0.0, 0.0);
    }

    #[test]
    fn questions_are_averaged() {
        let (right, wrong) = (Match { exact: 1.0, f1: 1.0 }, Match { exact: 0.0, f1: 0.5 });
        assert_eq!(Match::mean(&[right, wrong]), Match { exact: 0.5, f1: 0.75 });
        assert!(Match::mean(&[]).exact.is_nan());
    }
}
