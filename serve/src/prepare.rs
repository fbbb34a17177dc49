//! From the texts of a request to sequences of token ids.

use std::time::{Duration, Instant};

use lacuna::TextInput;
use lacuna::tokens::{TokenizedText, TruncationSide};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::model::{ServedModel, prompted};
use crate::schedule::{Places, Sequence};

/// Bytes of text that are tokenized at once on a thread that serves connections.
const SHORT_BYTES: usize = 2 << 10;

/// One input of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Text(String),
    Pair(String, String),
    /// Token ids, special tokens included, which are used as they are.
    Ids(Vec<u32>),
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Input::Text(text) => text.len(),
            Input::Pair(text, pair) => text.len() + pair.len(),
            Input::Ids(_) => 0,
        }
    }

    fn characters(&self) -> usize {
        match self {
            Input::Text(text) => text.chars().count(),
            Input::Pair(text, pair) => text.chars().count() + pair.chars().count(),
            Input::Ids(_) => 0,
        }
    }
}

/// How inputs that are too long are treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Truncate {
    /// Whether they are truncated; `None` is what the server's limits say.
    pub(crate) wanted: Option<bool>,
    /// Which end is cut; `None` is what the tokenizer says.
    pub(crate) side: Option<TruncationSide>,
}

/// How inputs become sequences.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Which prompt of the model is put before every text; `None` is the default one.
    pub(crate) prompt: Option<String>,
    pub(crate) truncate: Truncate,
    /// Whether the inputs are for a head, which reads token types and no prompt.
    pub(crate) is_typed: bool,
}

/// What a request used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usage {
    pub(crate) started: Instant,
    pub(crate) characters: usize,
    pub(crate) tokens: usize,
    /// Inputs that were truncated.
    pub(crate) truncated: usize,
    pub(crate) tokenizing: Duration,
    pub(crate) waited: Duration,
    pub(crate) computed: Duration,
}

impl Usage {
    /// Of a request that begins now.
    pub(crate) fn begin() -> Usage {
        Usage {
            started: Instant::now(),
            characters: 0,
            tokens: 0,
            truncated: 0,
            tokenizing: Duration::ZERO,
            waited: Duration::ZERO,
            computed: Duration::ZERO,
        }
    }
}

/// Sequences, ready to be computed.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Their places in the queue.
    pub(crate) places: Places,
    pub(crate) sequences: Vec<Sequence>,
    /// Tokens at the beginning of each that are a prompt.
    pub(crate) prompt: usize,
    pub(crate) usage: Usage,
}

/// Whether tokenizing is too much for a thread that serves connections.
pub(crate) fn is_long(inputs: &[Input]) -> bool {
    inputs.iter().map(Input::bytes).sum::<usize>() > SHORT_BYTES
}

/// Checks the number of inputs and their lengths.
pub(crate) fn check(inputs: &[Input], field: &'static str, limits: &Limits) -> Result<()> {
    if inputs.is_empty() {
        return Err(Error::Empty { field });
    }
    let too_large = |what, found: usize, limit| Err(Error::TooLarge { what, found: found.to_string(), limit });
    if inputs.len() > limits.request_texts {
        return too_large("inputs of a request", inputs.len(), limits.request_texts);
    }
    match inputs.iter().map(Input::bytes).find(|&bytes| bytes > limits.text_bytes) {
        Some(bytes) => too_large("bytes of a text", bytes, limits.text_bytes),
        None => Ok(()),
    }
}

/// Tokenizes.
///
/// # Errors
/// [`Error::TooLong`] for an input that must not be truncated; [`Error::Invalid`] for token ids that the model does not have, and for an
/// unknown prompt; [`Error::Tokenizer`].
pub(crate) fn prepare(
    places: Places,
    model: &ServedModel,
    inputs: &[Input],
    reading: &Reading,
    limits: &Limits,
) -> Result<Prepared> {
    let mut usage = Usage::begin();
    let (prompt, prompt_tokens) = match reading.is_typed {
        true => (None, 0),
        false => model.prompt(reading.prompt.as_deref())?,
    };
    let limit = model.max_tokens();
    let may_cut = reading.truncate.wanted.unwrap_or(limits.truncate);
    let mut sequences = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let (sequence, truncated_from) = match input {
            Input::Ids(ids) => given(model, i, ids)?,
            Input::Text(text) if !reading.is_typed && reading.truncate.side.is_none() => {
                let encoded = model.tokenizer()?.encode(&prompted(prompt, text))?;
                (Sequence { ids: encoded.ids, types: None }, encoded.truncated_from)
            }
            Input::Text(text) => {
                let text = prompted(prompt, text);
                located(model, TextInput::new(&text), limit, reading)?
            }
            Input::Pair(text, pair) => located(model, TextInput::pair(text, pair), limit, reading)?,
        };
        match truncated_from {
            Some(found) if !may_cut => return Err(Error::TooLong { input: i, found, limit }),
            Some(_) => usage.truncated += 1,
            None => {}
        }
        let mut sequence = sequence;
        if sequence.ids.len() > limit {
            if !may_cut {
                return Err(Error::TooLong { input: i, found: sequence.ids.len(), limit });
            }
            sequence.ids.truncate(limit);
            usage.truncated += 1;
        }
        usage.characters += input.characters();
        usage.tokens += sequence.ids.len();
        sequences.push(sequence);
    }
    usage.tokenizing = usage.started.elapsed();
    Ok(Prepared { places, sequences, prompt: prompt_tokens, usage })
}

/// Token ids that the client gives.
fn given(model: &ServedModel, input: usize, ids: &[u32]) -> Result<(Sequence, Option<usize>)> {
    let vocabulary = model.encoder().config().vocab_size;
    if ids.is_empty() {
        return Err(Error::Invalid { reason: format!("input {input}: found no token ids; expected at least one") });
    }
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        None => Ok((Sequence { ids: ids.to_vec(), types: None }, None)),
        Some(id) => {
            let reason = format!("input {input}: found token id {id}; expected less than {vocabulary}");
            Err(Error::Invalid { reason })
        }
    }
}

/// A text or a pair with token types, cut where it is too long.
fn located(
    model: &ServedModel,
    input: TextInput<'_>,
    limit: usize,
    reading: &Reading,
) -> Result<(Sequence, Option<usize>)> {
    let tokenizer = model.tokenizer()?;
    let text = tokenizer.locate(input)?;
    let text = if model.encoder().config().type_vocab_size == 1 { text.untyped() } else { text };
    let cut = match reading.truncate.side {
        Some(side) if side != tokenizer.truncation_side() && input.pair.is_none() => cut_other_side(&text, limit, side),
        _ => text.cut(limit),
    };
    let truncated_from = cut.truncated_from;
    Ok((cut.into(), truncated_from))
}

/// Truncates one text at the end that its tokenizer would keep.
fn cut_other_side(text: &TokenizedText, limit: usize, side: TruncationSide) -> TokenizedText {
    let found = text.ids.len();
    if found <= limit {
        return text.clone();
    }
    let tokens = text.tokens_of(0);
    let room = limit.saturating_sub(found - tokens);
    let first = if side == TruncationSide::Left { tokens - room.min(tokens) } else { 0 };
    let mut kept = text.select(|_, i| (first..first + room).contains(&i));
    kept.truncated_from = Some(found);
    kept
}
