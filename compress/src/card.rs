//! The model card: what the model is, how it was made, and on what.

use std::fmt::Write as _;

use lacuna::heads::HeadKind;

use crate::dev::Metric;
use crate::summary::Summary;

/// What the model is, and how it is run.
fn introduction(out: &mut String, summary: &Summary) {
    let model = &summary.model;
    let condition = match &summary.cut {
        // Libraries without the setting refuse the shapes of the weights.
        Some(cut) if cut.heads.from != cut.heads.to => {
            " if it reads `pruned_heads` of config.json, as transformers before version 5 does"
        }
        _ => "",
    };
    let (tag, command) = match summary.head {
        Some(HeadKind::SequenceClassification) => ("text-classification", "classify"),
        Some(HeadKind::TokenClassification) => ("token-classification", "tag"),
        Some(HeadKind::QuestionAnswering) => ("question-answering", "answer"),
        _ => ("sentence-similarity", "embed"),
    };
    let _ = write!(
        out,
        "---\nlibrary_name: lacuna\npipeline_tag: {tag}\ntags:\n- sparse\n- lacuna\nbase_model: {model}\n---\n\n"
    );
    let (title, change) = change(summary);
    let _ = match change {
        None => write!(out, "# {model}, trained\n\nThis model is {model}, trained with `lacuna compress`"),
        Some(change) => write!(
            out,
            "# {model}, {title}\n\nThis model is {model} with {change}. It was made with `lacuna compress`, which prunes with second-order \
             statistics and then trains the weights that are left to do what the dense model does"
        ),
    };
    if let Some(layers) = summary.layers {
        let _ = write!(out, ". It has {layers} of the layers of {model}");
    }
    if !summary.labels.is_empty() {
        let _ = write!(out, ". Its head was trained with it, and has the labels {}", summary.labels.join(", "));
    }
    let _ = write!(
        out,
        ". Run it with Lacuna, which skips zeros: `lacuna {command} --model DIR`. The weights are f32; any other library runs them as a \
         dense model{condition}. The licence and the intended use are those of {model}.\n\n## Figures\n\n"
    );
}

/// `README.md` of the model's folder.
pub(crate) fn card(summary: &Summary) -> String {
    let mut out = String::new();
    introduction(&mut out, summary);
    match summary.figures() {
        Some((metric, figures, count)) => {
            let _ = match metric {
                Metric::Spearman => write!(
                    out,
                    "Spearman correlation of the cosines of {count} sentence pairs with their scores. The pairs were not trained on."
                ),
                Metric::Accuracy => write!(
                    out,
                    "Accuracy: the fraction of {count} texts that get the right label. The texts were not trained on."
                ),
            };
            let _ = write!(out, "\n\n| model | {} |\n| --- | --- |\n", metric.name());
            for (name, value) in figures.rows("this model", summary.gradual.as_ref()) {
                let _ = writeln!(out, "| {name} | {value:.4} |");
            }
        }
        None => out.push_str("None were measured: there were neither scored pairs nor labelled texts to measure on.\n"),
    }
    out.push_str("\n## Recipe\n\n");
    let _ = write!(out, "    {}\n\n", summary.command);
    let _ = writeln!(
        out,
        "Method: {}; pruned in {:.0} s; {} training steps, {} tokens, {:.0} s; seed {}; {} threads of {}.",
        summary.method,
        summary.pruning_seconds,
        summary.steps,
        summary.tokens,
        summary.training_seconds,
        summary.seed,
        summary.threads,
        summary.cpu
    );
    if let Some(cut) = &summary.cut {
        let heads = cut.heads_kept.iter().map(|heads| format!("{heads:?}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "Heads of {} that are kept, layer by layer: {heads}.", summary.model);
    }
    if let Some(plan) = &summary.plan {
        out.push_str(&plan.card());
    }
    if let Some(gradual) = &summary.gradual {
        let _ = writeln!(out, "Zeros: {}.", gradual.text());
    }
    if let Some(measured) = summary.measured_text() {
        let _ = writeln!(out, "Measured: {measured}.");
    }
    if let Some(teacher) = &summary.teacher {
        let _ = writeln!(out, "Teacher: {teacher}.");
    }
    if summary.embeddings {
        out.push_str("The embeddings were trained, too.\n");
    }
    if summary.rounded {
        out.push_str("The last fifth of the training rounded weights and activations as int8 does.\n");
    }
    if summary.interrupted {
        out.push_str("The training was interrupted before its end.\n");
    }
    out.push_str("\nTexts; labels and scores were not used unless this table says so:\n\n| texts | number | tokens |\n| --- | --- | --- |\n");
    for used in &summary.texts {
        let _ = writeln!(out, "| {} | {} | {} |", used.from, used.texts, used.tokens);
    }
    out.push_str("\nCheck the licences of these texts before you give the model away.\n\n## Zeros per matrix\n\n| layer | q | k | v | o | up | down |\n| --- | --- | --- | --- | --- | --- | --- |\n");
    for layer in summary.matrices.chunks(6) {
        let cells: Vec<String> = layer.iter().map(|matrix| format!("{:.1} %", matrix.zeros * 1e2)).collect();
        let _ = writeln!(out, "| {} | {} |", layer.first().map_or(0, |matrix| matrix.layer), cells.join(" | "));
    }
    out
}

/// What makes this model another than the dense one, as a title and in a sentence; nothing if it was trained only.
fn change(summary: &Summary) -> (String, Option<String>) {
    let (mut titles, mut changes) = (vec![], vec![]);
    if let Some(cut) = &summary.cut {
        titles.push("smaller".to_owned());
        changes.push(cut.describe());
    }
    if summary.block.is_some() || summary.zeros >= 0.01 {
        let (zeros, blocks) = (summary.zeros * 1e2, summary.block.as_ref());
        titles.push(format!("{zeros:.0} % sparse"));
        let blocks = blocks.map_or_else(String::new, |block| format!(", in blocks of {block}"));
        changes.push(format!("{zeros:.1} % of the weights of the encoder's linear layers set to zero{blocks}"));
    }
    (titles.join(", "), (!changes.is_empty()).then(|| changes.join(", and ")))
}
