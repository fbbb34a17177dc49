//! What is measured as a run goes on, and never used for choosing.

use std::path::Path;
use std::sync::Arc;

use lacuna::heads::{Head, HeadWeights};
use lacuna::tasks::{Record, TaskModel};
use lacuna::tokens::SentenceTokenizer;
use lacuna::{Model, PackedModel, Tier};
use lacuna_data::gold::{Gold, Labelled};
use lacuna_data::isolate;
use lacuna_data::pairs::Pairs;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::texts::Sequence;

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The rank correlation of cosines and scores.
    Spearman,
    /// The fraction of texts with the right label.
    Accuracy,
}

impl Metric {
    /// As it is said.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Spearman => "Spearman",
            Metric::Accuracy => "accuracy",
        }
    }

    /// What it is measured on.
    pub const fn noun(self) -> &'static str {
        match self {
            Metric::Spearman => "pairs",
            Metric::Accuracy => "labelled texts",
        }
    }
}

/// The texts that are measured on, as token ids of the model.
pub(crate) enum Dev<'a> {
    Pairs { pairs: &'a Pairs, ids: Vec<Vec<u32>> },
    Labelled { path: &'a Path, gold: &'a Labelled, sequences: Vec<Sequence> },
}

impl<'a> Dev<'a> {
    pub(crate) fn pairs(pairs: &'a Pairs, tokenizer: &SentenceTokenizer) -> Result<Dev<'a>> {
        let ids = tokenizer.encode_batch(&pairs.sentences)?.into_iter().map(|encoded| encoded.ids).collect();
        Ok(Dev::Pairs { pairs, ids })
    }

    pub(crate) fn labelled(path: &'a Path, gold: &'a Labelled, tokenizer: &SentenceTokenizer) -> Result<Dev<'a>> {
        Ok(Dev::Labelled { path, gold, sequences: sequences(gold, tokenizer)? })
    }

    pub(crate) fn metric(&self) -> Metric {
        match self {
            Dev::Pairs { .. } => Metric::Spearman,
            Dev::Labelled { .. } => Metric::Accuracy,
        }
    }

    /// How many pairs or texts there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Dev::Pairs { pairs, .. } => pairs.scores.len(),
            Dev::Labelled { sequences, .. } => sequences.len(),
        }
    }

    /// The figure of a model in f32, with this head.
    pub(crate) fn measure(&self, model: &Model, head: Option<&HeadWeights>) -> lacuna_train::Result<f64> {
        match (self, head) {
            (Dev::Pairs { pairs, ids }, _) => Ok(pairs.spearman(&model.reference().embed(ids, model.pooling())?)),
            (Dev::Labelled { gold, sequences, .. }, Some(head)) => {
                let states = model.reference().forward(sequences)?;
                let right = states.iter().zip(gold.labels()).filter(|(states, label)| {
                    let logits = head.logits(states).data;
                    let best = logits.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
                    best.is_some_and(|(class, _)| class == **label)
                });
                Ok(right.count() as f64 / sequences.len().max(1) as f64)
            }
            (Dev::Labelled { .. }, None) => Ok(f64::NAN),
        }
    }

    /// The figure of the model as it runs.
    pub(crate) fn as_it_runs(&self, packed: &PackedModel, head: Option<&Head>, tier: Tier) -> Result<f64> {
        let encoder = packed.compiler().tier(tier).compile()?;
        match (self, head) {
            (Dev::Pairs { pairs, .. }, _) => Ok(pairs.spearman(&encoder.embed(&pairs.sentences)?.vectors)),
            (Dev::Labelled { .. }, None) => Ok(f64::NAN),
            (Dev::Labelled { path, gold, .. }, Some(head)) => {
                let model = TaskModel::new(Arc::new(encoder)).with_head(head.clone());
                let found =
                    isolate::run(&gold.task(), &model, gold.records(), true, |_| None)?.rows.into_iter().enumerate();
                let rows = found.map(|(record, row)| {
                    row.map_err(|reason| lacuna_data::Error::Line {
                        path: path.to_path_buf(),
                        line: gold.line(record),
                        reason,
                    })
                });
                let scores = gold.scores(&rows.collect::<lacuna_data::Result<Vec<_>>>()?);
                Ok(scores.first().map_or(f64::NAN, |(_, accuracy)| *accuracy))
            }
        }
    }
}

/// The texts of a file with labels as token ids.
pub(crate) fn sequences(gold: &Labelled, tokenizer: &SentenceTokenizer) -> Result<Vec<Sequence>> {
    let encode = |record: &<<Labelled as Gold>::Task as lacuna::tasks::Task>::Record| -> Result<Vec<Sequence>> {
        let one = |input| -> Result<Sequence> {
            let text = tokenizer.locate(input).map_err(lacuna::Error::from)?;
            Ok(Sequence { ids: text.ids, types: Some(text.types) })
        };
        record.inputs().into_iter().map(one).collect()
    };
    let all: Vec<Vec<Sequence>> = gold.records().par_iter().map(encode).collect::<Result<_>>()?;
    Ok(all.into_iter().flatten().collect())
}
