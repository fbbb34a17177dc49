//! The model card: what the model is, how it was made, and on what.

use std::fmt::Write as _;

use super::summary::Summary;

/// `README.md` of the model's folder.
pub(super) fn card(summary: &Summary) -> String {
    let mut out = String::new();
    let (title, change) = change(summary);
    let _ = write!(
        out,
        "---\nlibrary_name: lacuna\npipeline_tag: sentence-similarity\ntags:\n- sparse\n- lacuna\nbase_model: {model}\n---\n\n\
         # {model}, {title}\n\n\
         This model is {model} with {change}. It was made with \
         `lacuna compress`, which prunes with second-order statistics and then trains the weights that are left to do what the dense model \
         does. Run it with Lacuna, which skips the zeros: `lacuna embed --model DIR`. The weights are f32; any other library runs them as a \
         dense model{condition}. The licence and the intended use are those of {model}.\n\n## Figures\n\n",
        model = summary.model,
        condition = match &summary.cut {
            // Libraries without the setting refuse the shapes of the weights.
            Some(cut) if cut.heads.from != cut.heads.to =>
                " if it reads `pruned_heads` of config.json, as transformers before version 5 does",
            _ => "",
        },
    );
    match (&summary.spearman, summary.pairs) {
        (Some(figures), Some(pairs)) => {
            let _ = write!(
                out,
                "Spearman correlation of the cosines of {pairs} sentence pairs with their scores. The pairs were not trained on.\n\n\
                 | model | Spearman |\n| --- | --- |\n| dense, f32 | {:.4} |\n",
                figures.dense_f32
            );
            if let Some(cut) = figures.cut_f32 {
                let _ = writeln!(out, "| smaller and refitted, f32 | {cut:.4} |");
            }
            if let Some(pruned) = figures.pruned_f32 {
                let _ = writeln!(out, "| pruned and refitted, f32 | {pruned:.4} |");
            }
            let _ =
                write!(out, "| this model, f32 | {:.4} |\n| this model, int8 | {:.4} |\n", figures.f32, figures.int8);
        }
        _ => out.push_str("None were measured: `--pairs` was not given.\n"),
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
    if let Some(teacher) = &summary.teacher {
        let _ = writeln!(out, "Teacher: {teacher}.");
    }
    if summary.interrupted {
        out.push_str("The training was interrupted before its end.\n");
    }
    out.push_str("\nTexts, without labels:\n\n| texts | number | tokens |\n| --- | --- | --- |\n");
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

/// What makes this model another than the dense one, as a title and in a sentence.
fn change(summary: &Summary) -> (String, String) {
    let (mut titles, mut changes) = (vec![], vec![]);
    if let Some(cut) = &summary.cut {
        titles.push("smaller".to_owned());
        changes.push(cut.describe());
    }
    if summary.block.is_some() || summary.cut.is_none() {
        let (zeros, blocks) = (summary.zeros * 1e2, summary.block.as_ref());
        titles.push(format!("{zeros:.0} % sparse"));
        let blocks = blocks.map_or_else(String::new, |block| format!(", in blocks of {block}"));
        changes.push(format!("{zeros:.1} % of the weights of the encoder's linear layers set to zero{blocks}"));
    }
    (titles.join(", "), changes.join(", and "))
}
