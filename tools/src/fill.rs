//! `lacuna fill`: texts with masks in, what might stand there out.

use std::sync::Arc;

use lacuna::heads::{Backbone, FilledMask, Head, HeadKind, MaskFiller};
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::tag::{Text, of_lines};
use crate::task::{Done, Outcome, Task, TaskArgs, cuts, ranked};

/// Fill in the masks of texts, one text per line
///
/// For models of an architecture that ends in ForMaskedLM. A mask is written [MASK], or <mask> for RoBERTa, XLM-RoBERTa
/// and CamemBERT; a text may hold several, and each is filled for itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'The [MASK] sat on the mat.' | lacuna fill --model bert-base-uncased
  echo 'The <mask> sat on the mat.' | lacuna fill --model roberta-base --top-k 3 --calibrate sentences.txt

Output: one line {\"text\":\"The ...\",\"masks\":[{\"start\":4,\"end\":10,\"candidates\":[{\"id\":4937,\"token\":\"cat\",\"score\":0.4},...]}]} per
text. Positions are bytes of UTF-8. Input of --jsonl: {\"text\":\"...\"}.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Tokens per mask
    #[arg(long, value_name = "N", default_value = "5", value_parser = args::at_least_one)]
    top_k: usize,
}

#[derive(Serialize)]
pub(crate) struct Row {
    text: String,
    masks: Vec<FilledMask>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    args.task.run(context, args)
}

impl Task for Args {
    type Record = Text;
    type Row = Row;

    const KIND: HeadKind = HeadKind::MaskedLm;

    fn of_lines(&self, lines: Vec<String>) -> Vec<Text> {
        of_lines(lines)
    }

    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, texts: &[Text]) -> Result<Done<Row>> {
        let found = MaskFiller::new(backbone, head)?.fill(texts, self.top_k)?;
        let cuts = cuts("text", &found.truncated);
        let rows = texts.iter().zip(found.results).map(|(text, masks)| Row { text: text.text.clone(), masks });
        Ok(Done { rows: rows.collect(), cuts })
    }

    /// Every mask is a decision.
    fn outcomes(row: &Row) -> Vec<Outcome> {
        let of = |mask: &FilledMask| {
            let start = mask.start;
            ranked(&mask.candidates, |found| (format!("{start}:{}", found.id), found.score))
        };
        row.masks.iter().flat_map(of).collect()
    }
}
