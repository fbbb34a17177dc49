//! What `inspect` says of a model's head.

use std::fmt::Write as _;

use lacuna::Model;
use lacuna::errors::ModelError;
use lacuna::heads::HeadKind;
use lacuna_console::table::{millions, plural};
use serde::Serialize;

/// Labels of a head that are listed in words.
const LABELS: usize = 12;

/// A head in reports.
#[derive(Serialize)]
pub(super) struct Head {
    kind: &'static str,
    /// In `config.json`.
    class: String,
    /// Empty where outputs are positions or words.
    labels: Vec<String>,
    /// How logits become scores; of a sequence classification only.
    problem: Option<&'static str>,
    /// Whether `config.json` names no problem, so that the number of labels decides.
    problem_assumed: bool,
    /// How `rank` turns the logit into a score, with one label or two.
    score_function: Option<String>,
    parameters: usize,
    /// What was assumed about labels and scores.
    #[serde(skip)]
    pub(super) remarks: Vec<String>,
}

/// The head, or why there is none: that the model has none, or what is wrong with it.
pub(super) fn of(model: &Model) -> (Option<Head>, Option<String>) {
    match model.head() {
        Ok(head) => (Some(Head::of(&head)), None),
        Err(ModelError::NoHead { found, .. }) => (None, Some(format!("none; architectures {found}"))),
        // The encoder alone may be all that is wanted of it.
        Err(error) => (None, Some(format!("cannot be read: {error}"))),
    }
}

/// What was assumed about labels, and about scores where the head can rank.
fn remarks(head: &lacuna::heads::Head, ranks: bool) -> Vec<String> {
    let mut all = head.remarks(false);
    if ranks {
        all.extend(head.remarks(true));
    }
    all.into_iter().map(|remark| remark.text).collect()
}

impl Head {
    fn of(head: &lacuna::heads::Head) -> Head {
        let labels = head.labels().to_vec();
        let is_sequence = head.kind() == HeadKind::SequenceClassification;
        let score = || head.score_function().map_or_else(|error| error.to_string(), |f| f.name().to_owned());
        Head {
            kind: head.kind().name(),
            class: head.class().to_owned(),
            problem: is_sequence.then(|| head.problem().name()),
            problem_assumed: is_sequence && head.config().assumes_problem(),
            score_function: (is_sequence && labels.len() <= 2).then(score),
            labels,
            parameters: head.parameters(),
            remarks: remarks(head, is_sequence && head.labels().len() <= 2),
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let Head { kind, class, labels, problem, problem_assumed, score_function, parameters, .. } = self;
        let mut text = format!("{kind} ({class}), {}", millions(*parameters, "parameter"));
        if !labels.is_empty() {
            let shown = labels.iter().take(LABELS).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = labels.len().saturating_sub(LABELS);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let _ = write!(text, "; {}: {shown}{more}", plural(labels.len(), "label"));
        }
        if let Some(problem) = problem {
            let assumed = if *problem_assumed { " (assumed: no problem_type)" } else { "" };
            let _ = write!(text, "; {problem}{assumed}");
        }
        if let Some(function) = score_function {
            let _ = write!(text, "; rank: {function}");
        }
        text
    }
}
