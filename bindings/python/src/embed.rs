//! Texts to vectors and to hidden states.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lacuna::errors::ModelError;
use lacuna::tokens::{Encoded, PromptedTexts, TokenizedText, TypedIds};
use lacuna::weights::Matrix;
use lacuna::{Cancel, TextInput};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use crate::call::{beside, check_fork, inline};
use crate::compute::{Compute, User};
use crate::encoder::PyEncoder;
use crate::error::{self, OrRaise};
use crate::inputs::Input;

/// Rows of numbers, and the inputs that were truncated: index, tokens before, tokens after.
pub(crate) type Vectors<'py> = (Bound<'py, PyArray2<f32>>, Vec<Cut>);

/// The hidden states of every input, and the inputs that were truncated.
pub(crate) type States<'py> = (Vec<Bound<'py, PyArray2<f32>>>, Vec<Cut>);

/// Token ids, token types, and the number of tokens before truncation.
pub(crate) type Tokenized<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, usize);

/// A truncated input: index, tokens before, tokens after.
pub(crate) type Cut = (usize, usize, usize);

/// Bytes of texts that run on the calling thread in int8: less than a tenth of a second of a BERT-base, and no hand-over to another thread.
const INLINE_BYTES: usize = 1 << 10;

/// Bytes of texts that are tokenized together: many groups of the encoder, and little memory.
const CHUNK_BYTES: usize = 1 << 16;

/// A call on many texts.
struct Call<'a> {
    model: &'a PyEncoder,
    user: &'a User,
    prompt: Option<&'a str>,
    max_length: Option<usize>,
    /// Texts that are done.
    done: AtomicUsize,
}

/// Tokens of a chunk.
struct Tokens {
    ids: Vec<Vec<u32>>,
    /// How many at the beginning of each are a prompt.
    prompt: usize,
    cuts: Vec<Cut>,
}

impl Call<'_> {
    /// Runs `work` on chunks of the texts: on their tokens, and from which text to which they are.
    fn chunks(
        &self,
        texts: &[&str],
        mut work: impl FnMut(&Tokens, std::ops::Range<usize>) -> lacuna::Result<()>,
    ) -> lacuna::Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        let mut start = 0;
        while start < texts.len() {
            let length = chunk_len(&texts[start..], |text| text.len());
            let range = start..start + length;
            let done = self.tokens(&texts[range.clone()]).and_then(|mut tokens| {
                work(&tokens, range.clone())?;
                cuts.extend(tokens.cuts.drain(..).map(|(text, found, limit)| (start + text, found, limit)));
                Ok(())
            });
            done.map_err(|error| moved(error, start))?;
            self.done.fetch_add(length, Relaxed);
            start += length;
        }
        Ok(cuts)
    }

    fn tokens(&self, texts: &[&str]) -> lacuna::Result<Tokens> {
        let tokenizer = self.model.compute.backbone().tokenizer().ok_or(ModelError::NoTokenizer)?;
        let prompt = self.prompt.filter(|prompt| !prompt.is_empty());
        let own = self.model.limit();
        let limit = self.max_length.unwrap_or(own);
        if limit != tokenizer.max_length() {
            return self.tokens_within(texts, prompt, limit);
        }
        let PromptedTexts { encoded, prompt_tokens } = PromptedTexts::new(tokenizer, prompt, texts)?;
        let mut cuts = Vec::new();
        let ids = encoded.into_iter().enumerate().map(|(text, Encoded { ids, truncated_from })| {
            cuts.extend(truncated_from.map(|found| (text, found, ids.len())));
            ids
        });
        Ok(Tokens { ids: ids.collect(), prompt: prompt_tokens, cuts })
    }

    /// With another limit than the tokenizer's.
    fn tokens_within(&self, texts: &[&str], prompt: Option<&str>, limit: usize) -> lacuna::Result<Tokens> {
        let tokenizer = self.model.compute.backbone().tokenizer().ok_or(ModelError::NoTokenizer)?;
        let prompted: Vec<String> =
            prompt.map(|prompt| texts.iter().map(|text| format!("{prompt}{text}")).collect()).unwrap_or_default();
        let texts: Vec<TextInput<'_>> = match prompt {
            Some(_) => prompted.iter().map(TextInput::from).collect(),
            None => texts.iter().map(TextInput::from).collect(),
        };
        let prompt_tokens = prompt.map_or(Ok(0), |prompt| {
            let located = tokenizer.locate(TextInput::new(prompt))?;
            let ends_special = matches!(located.origins.last(), Some(None));
            Ok::<_, lacuna::Error>(located.ids.len().saturating_sub(usize::from(ends_special)))
        })?;
        let located = located(self.model, &texts, limit)?;
        let cuts = cuts(&located);
        Ok(Tokens { ids: located.into_iter().map(|tokens| tokens.ids).collect(), prompt: prompt_tokens, cuts })
    }

    /// Writes a vector per text to `out`.
    fn embed(&self, texts: &[&str], out: &mut [f32]) -> lacuna::Result<Vec<Cut>> {
        let features = self.model.compute.backbone().features();
        let mut rest = out;
        self.chunks(texts, |tokens, range| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(range.len() * features);
            rest = later;
            self.user.embed_into(&tokens.ids, tokens.prompt, now)
        })
    }

    /// The hidden states of every text.
    fn states(&self, texts: &[&str]) -> lacuna::Result<(Vec<Matrix>, Vec<Cut>)> {
        let mut states = Vec::with_capacity(texts.len());
        let cuts = self.chunks(texts, |tokens, _| {
            states.extend(self.user.states(&tokens.ids)?);
            Ok(())
        })?;
        Ok((states, cuts))
    }
}

/// How many of the items make a chunk: at least one.
pub(crate) fn chunk_len<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut sum = 0;
    let fits = |item: &&T| {
        sum += bytes(item).max(1);
        sum <= CHUNK_BYTES
    };
    items.iter().take_while(fits).count().max(1).min(items.len())
}

/// The error of a text of a chunk, counted over the whole call.
pub(crate) fn moved(mut error: lacuna::Error, start: usize) -> lacuna::Error {
    use ModelError::{EmptySequence, SequenceTooLong, Text, TokenOutOfRange, TokenTypeLength, TokenTypeOutOfRange};
    if let lacuna::Error::Model(
        Text { text: place, .. }
        | EmptySequence { sequence: place }
        | SequenceTooLong { sequence: place, .. }
        | TokenOutOfRange { sequence: place, .. }
        | TokenTypeLength { sequence: place, .. }
        | TokenTypeOutOfRange { sequence: place, .. },
    ) = &mut error
    {
        *place += start;
    }
    error
}

/// Texts and pairs as tokens, in parallel, cut to `limit`.
pub(crate) fn located(model: &PyEncoder, inputs: &[TextInput<'_>], limit: usize) -> lacuna::Result<Vec<TokenizedText>> {
    use rayon::prelude::*;
    let tokenizer = model.compute.backbone().tokenizer().ok_or(ModelError::NoTokenizer)?;
    let has_types = model.compute.backbone().config().type_vocab_size > 1;
    let locate = |(text, input): (usize, &TextInput<'_>)| {
        let tokens = tokenizer.locate(*input).map_err(|error| error.of_text(text))?;
        let tokens = if has_types { tokens } else { tokens.untyped() };
        Ok(tokens.cut(limit))
    };
    match inputs {
        [input] => Ok(vec![locate((0, input))?]),
        _ => inputs.par_iter().enumerate().map(locate).collect(),
    }
}

/// Which of them were cut.
pub(crate) fn cuts(all: &[TokenizedText]) -> Vec<Cut> {
    let cut = |(input, tokens): (usize, &TokenizedText)| Some((input, tokens.truncated_from?, tokens.ids.len()));
    all.iter().enumerate().filter_map(cut).collect()
}

/// Ids with types, as the library takes them.
pub(crate) fn typed(all: &[TokenizedText]) -> Vec<TypedIds<'_>> {
    all.iter().map(|tokens| TypedIds { ids: &tokens.ids, types: &tokens.types }).collect()
}

/// Refuses a length that the model has no positions for.
pub(crate) fn check_length(py: Python<'_>, model: &PyEncoder, max_length: Option<usize>) -> PyResult<()> {
    let most = model.compute.backbone().config().max_position;
    match max_length {
        Some(found) if found < 3 || found > most => {
            let expected = format!("3 to {most}, which the model has positions for");
            Err(error::option(py, "max_length", &found.to_string(), &expected))
        }
        _ => Ok(()),
    }
}

/// Calls `progress` with the number of texts that are done.
pub(crate) fn report(py: Python<'_>, progress: Option<&Py<PyAny>>, done: usize) -> PyResult<()> {
    progress.map_or(Ok(()), |progress| progress.call1(py, (done,)).map(|_| ()))
}

/// A call as Python makes it: checked, on this thread if it is short, and beside it if it is long.
fn run<T: Send>(
    py: Python<'_>,
    model: &PyEncoder,
    texts: &[PyBackedStr],
    options: (Option<&str>, Option<usize>),
    progress: Option<Py<PyAny>>,
    user: Option<&User>,
    work: impl FnOnce(&Call<'_>, &[&str]) -> lacuna::Result<T> + Send,
) -> PyResult<T> {
    let (prompt, max_length) = options;
    check_fork(py, model.process)?;
    check_length(py, model, max_length)?;
    let own;
    let user = match user {
        Some(user) => user,
        None => {
            own = model.compute.user(Cancel::new());
            &own
        }
    };
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    let call = Call { model, user, prompt, max_length, done: AtomicUsize::new(0) };
    let is_short = texts.iter().map(|text| text.len()).sum::<usize>() <= INLINE_BYTES;
    let is_int8 = matches!(model.compute, Compute::Int8(_));
    let result = if is_short && is_int8 && model.threads.count().is_none() {
        inline(py, || work(&call, &texts))?
    } else {
        let look = |py: Python<'_>| report(py, progress.as_ref(), call.done.load(Relaxed));
        beside(py, &model.threads, user.cancel(), look, || work(&call, &texts))?
    };
    let result = result.or_raise(py)?;
    report(py, progress.as_ref(), call.done.load(Relaxed))?;
    Ok(result)
}

/// One vector per text.
pub(crate) fn embed<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    texts: &[PyBackedStr],
    prompt: Option<&str>,
    max_length: Option<usize>,
    progress: Option<Py<PyAny>>,
    user: Option<&User>,
) -> PyResult<Vectors<'py>> {
    let features = model.compute.backbone().features();
    let (values, cuts) = run(py, model, texts, (prompt, max_length), progress, user, |call, texts| {
        let mut values = vec![0.0; texts.len() * features];
        let cuts = call.embed(texts, &mut values)?;
        Ok((values, cuts))
    })?;
    Ok((rows(py, values, texts.len(), features)?, cuts))
}

/// The hidden states of every text.
pub(crate) fn hidden_states<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    texts: &[PyBackedStr],
    prompt: Option<&str>,
    max_length: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<States<'py>> {
    let (states, cuts) = run(py, model, texts, (prompt, max_length), progress, None, |call, texts| call.states(texts))?;
    let states = states.into_iter().map(|Matrix { rows: n, cols, data }| rows(py, data, n, cols));
    Ok((states.collect::<PyResult<_>>()?, cuts))
}

/// Ids, types and the number of tokens before truncation.
pub(crate) fn tokenize<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    inputs: &[Input],
    max_length: Option<usize>,
) -> PyResult<Vec<Tokenized<'py>>> {
    check_fork(py, model.process)?;
    check_length(py, model, max_length)?;
    let inputs: Vec<TextInput<'_>> = inputs.iter().map(Input::as_input).collect();
    let limit = max_length.unwrap_or(model.limit());
    let all = inline(py, || located(model, &inputs, limit))?.or_raise(py)?;
    let array = |ids: &[u32]| ids.iter().map(|&id| i64::from(id)).collect::<Vec<i64>>().into_pyarray(py);
    let one = |tokens: TokenizedText| {
        let found = tokens.truncated_from.unwrap_or(tokens.ids.len());
        (array(&tokens.ids), array(&tokens.types), found)
    };
    Ok(all.into_iter().map(one).collect())
}

/// Values as an array of NumPy, which takes them without a copy.
pub(crate) fn rows(py: Python<'_>, values: Vec<f32>, rows: usize, cols: usize) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let array = Array2::from_shape_vec((rows, cols), values);
    let array = array.map_err(|error| error::new(py, "internal", &format!("array: {error}")))?;
    Ok(array.into_pyarray(py))
}
