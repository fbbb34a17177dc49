//! What the tasks with a head share: tokens of many texts, then hidden states and logits, some thousand tokens at a time.

use lacuna_model::{Matrix, TextInput, TokenizedText, TypedIds, check_tokens, locate_all};
use rayon::prelude::*;

use super::backbone::Backbone;
use super::outputs::Outputs;
use crate::encoder::Truncation;
use crate::error::Result;
use crate::heads::Head;

/// Tokens whose hidden states are kept at a time: 3 KiB each at 768 features.
const KEPT_TOKENS: usize = 8192;

/// Tokenizes inputs. Nothing is truncated.
pub(super) fn locate(backbone: &dyn Backbone, inputs: &[TextInput<'_>]) -> Result<Vec<TokenizedText>> {
    Ok(locate_all(backbone.config(), backbone.tokenizer(), inputs)?)
}

/// Tokenizes inputs, and truncates those that are too long.
pub(super) fn tokenize(backbone: &dyn Backbone, inputs: &[TextInput<'_>]) -> Result<Vec<TokenizedText>> {
    let limit = limit(backbone);
    Ok(locate(backbone, inputs)?.into_iter().map(|tokens| tokens.cut(limit)).collect())
}

/// The longest sequence in tokens.
pub(super) fn limit(backbone: &dyn Backbone) -> usize {
    let positions = backbone.config().max_position;
    backbone.tokenizer().map_or(positions, |tokenizer| tokenizer.max_length().min(positions))
}

/// The inputs that were truncated.
pub(super) fn truncations(all: &[TokenizedText]) -> Vec<Truncation> {
    let cut = |(sentence, tokens): (usize, &TokenizedText)| {
        Some(Truncation { sentence, tokens: tokens.truncated_from?, limit: tokens.ids.len() })
    };
    all.iter().enumerate().filter_map(cut).collect()
}

/// The logits of those rows of each sequence that `rows` picks (`None` picks all), turned into a result by `finish`.
pub(super) fn run<T: Send>(
    backbone: &dyn Backbone,
    head: &Head,
    all: &[TokenizedText],
    rows: impl Fn(&TokenizedText) -> Option<Vec<usize>> + Sync,
    finish: impl Fn(&TokenizedText, Matrix) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    check_tokens(backbone.config(), all)?;
    let mut results = Vec::with_capacity(all.len());
    let mut rest = all;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |sequence: &&TokenizedText| {
            tokens += sequence.ids.len();
            tokens <= KEPT_TOKENS
        };
        let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        let ids: Vec<TypedIds<'_>> =
            now.iter().map(|tokens| TypedIds { ids: &tokens.ids, types: &tokens.types }).collect();
        let states = backbone.hidden_states(&ids)?;
        let finished = now.par_iter().zip(states).map(|(tokens, states)| {
            let picked = rows(tokens).map(|rows| pick(&states, &rows));
            match picked {
                // A head computes nothing from no token.
                Some(picked) if picked.rows == 0 => finish(tokens, picked),
                picked => finish(tokens, head.logits(picked.as_ref().unwrap_or(&states))?),
            }
        });
        results.extend(finished.collect::<Result<Vec<T>>>()?);
        rest = later;
    }
    Ok(results)
}

/// The logits of a sequence classification, one vector per input.
pub(super) fn sequence_logits(
    backbone: &dyn Backbone,
    head: &Head,
    inputs: &[TextInput<'_>],
) -> Result<Outputs<Vec<f32>>> {
    let all = tokenize(backbone, inputs)?;
    let results = run(backbone, head, &all, |_| None, |_, logits| Ok(logits.data))?;
    Ok(Outputs { results, truncated: truncations(&all) })
}

fn pick(states: &Matrix, rows: &[usize]) -> Matrix {
    let data = rows.iter().flat_map(|&row| states.row(row)).copied().collect();
    Matrix { rows: rows.len(), cols: states.cols, data }
}
