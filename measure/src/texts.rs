//! From texts to vectors: what `lacuna bench text` measures.

use std::time::Duration;

use lacuna::Encoder;
use lacuna::errors::ModelError;
use lacuna::report::{LinearReport, Profile, Stage};
use lacuna::tokens::SentenceTokenizer;
use serde::Serialize;

use crate::stats::median;
use crate::timing::{Call, Samples};

/// Most tokens of one batch.
pub const MAX_TOKENS: usize = 1 << 20;
/// Texts per batch by default.
pub const BATCH: [usize; 2] = [1, 32];
/// Tokens per text by default.
pub const SEQ: [usize; 2] = [16, 64];
/// Samples by default.
pub const REPEATS: usize = 100;
/// How long everything runs before it is timed.
pub const WARM_UP: Duration = Duration::from_millis(5);

/// Words of made-up texts.
const WORDS: [&str; 48] = [
    "the", "river", "runs", "through", "a", "quiet", "town", "where", "people", "meet", "in", "the", "morning", "to",
    "buy", "bread", "and", "talk", "about", "weather", "some", "children", "play", "near", "an", "old", "bridge",
    "while", "others", "read", "books", "under", "tall", "trees", "later", "it", "begins", "to", "rain", "so", "they",
    "walk", "home", "slowly", "with", "their", "friends", "again",
];

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// From the library.
    #[error(transparent)]
    Library(#[from] lacuna::Error),
    /// An option that does not go with the model or with another one.
    #[error("{option}: found {found}; expected {expected}")]
    Option {
        /// `batch` or `seq`.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
}

/// A batch of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The texts.
    pub texts: Vec<String>,
    /// Most tokens of each, if they are made up.
    pub seq: Option<usize>,
}

/// The tokenizer of an encoder.
///
/// # Errors
/// [`ModelError::NoTokenizer`].
pub fn tokenizer(encoder: &Encoder) -> lacuna::Result<&SentenceTokenizer> {
    encoder.tokenizer().ok_or_else(|| ModelError::NoTokenizer.into())
}

fn wrong<T>(option: &'static str, found: usize, expected: String) -> Result<T, BatchError> {
    Err(BatchError::Option { option, found: found.to_string(), expected })
}

impl Batch {
    /// Texts of as many words as `seq` tokens hold, each from another word on.
    ///
    /// # Errors
    /// [`BatchError::Option`] for more tokens than a text of the model or a batch has, or too few for a word.
    pub fn made_up(tokenizer: &SentenceTokenizer, batch: usize, seq: usize) -> Result<Batch, BatchError> {
        let limit = tokenizer.max_length();
        if seq > limit {
            return wrong("seq", seq, format!("at most {limit}, the longest text of the model"));
        }
        if batch.saturating_mul(seq) > MAX_TOKENS {
            return wrong("batch", batch, format!("at most {MAX_TOKENS} tokens in a batch"));
        }
        let text = |first: usize, words: usize| -> String {
            WORDS.iter().cycle().skip(first).take(words).copied().collect::<Vec<_>>().join(" ")
        };
        let mut texts = Vec::with_capacity(batch);
        for i in 0..batch {
            let first = i % WORDS.len();
            // The most words that fit; a word has at least one token.
            let (mut fits, mut too_many) = (0, seq + 1);
            while too_many - fits > 1 {
                let words = fits.midpoint(too_many);
                let encoded = tokenizer.encode(&text(first, words)).map_err(lacuna::Error::from)?;
                let tokens = encoded.truncated_from.unwrap_or(encoded.ids.len());
                if tokens <= seq { fits = words } else { too_many = words }
            }
            if fits == 0 {
                return wrong("seq", seq, "room for a word and the special tokens".to_owned());
            }
            texts.push(text(first, fits));
        }
        Ok(Batch { texts, seq: Some(seq) })
    }

    /// The first `batch` of these texts, repeated if there are fewer; none of none.
    ///
    /// # Errors
    /// [`BatchError::Option`] for too many.
    pub fn of_texts(texts: &[String], batch: usize) -> Result<Batch, BatchError> {
        check_batch(batch)?;
        Ok(Batch { texts: texts.iter().cycle().take(batch).cloned().collect(), seq: None })
    }
}

/// Refuses a batch of more texts than a batch may have tokens.
///
/// # Errors
/// [`BatchError::Option`].
pub fn check_batch(batch: usize) -> Result<(), BatchError> {
    if batch > MAX_TOKENS { wrong("batch", batch, format!("at most {MAX_TOKENS} texts")) } else { Ok(()) }
}

/// The figures of a batch. Times are medians unless they are called otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Tokens of the batch.
    pub tokens: usize,
    /// From texts to vectors.
    pub median_us: f64,
    /// The same in milliseconds.
    pub median_ms: f64,
    /// The fastest sample.
    pub best_us: f64,
    /// The time that 95 % of the samples do not exceed.
    pub p95_us: f64,
    /// Interquartile range over median.
    pub spread: f64,
    /// How many samples.
    pub samples: usize,
    /// Texts per second.
    pub texts_per_s: f64,
    /// Tokens per second.
    pub tokens_per_s: f64,
    /// Tokenizing alone.
    pub tokenize_us: f64,
    /// The encoder alone.
    pub encode_us: f64,
    /// Pooling.
    pub pool_us: f64,
    /// The share of tokenizing in the whole.
    pub tokenize_share: f64,
}

/// Times one batch, in turn as a whole and in its parts. `timer` takes the samples of three calls; without samples there are no figures.
///
/// # Errors
/// Those of the calls.
pub fn time<E: From<lacuna::Error>>(
    encoder: &Encoder,
    texts: &[String],
    timer: impl FnOnce([&mut Call<'_, E>; 3]) -> Result<Vec<Samples>, E>,
) -> Result<Option<Figures>, E> {
    let tokenizer = tokenizer(encoder)?;
    let encode = || tokenizer.encode_batch(texts).map_err(lacuna::Error::from);
    let ids: Vec<Vec<u32>> = encode()?.into_iter().map(|encoded| encoded.ids).collect();
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let mut whole = || Ok(encoder.embed(texts).map(drop)?);
    let mut tokenizing = || Ok(encode().map(drop)?);
    let mut out = vec![0.0; ids.len() * encoder.config().hidden_size];
    let mut profiles: Vec<Profile> = Vec::new();
    let mut encoding = || {
        profiles.push(encoder.profile(&ids, &mut out)?);
        Ok(())
    };
    let samples = timer([&mut whole, &mut tokenizing, &mut encoding])?;
    let [whole, tokenizing, _] = &samples[..] else { return Ok(None) };
    let seconds = whole.median();
    // The last ones are those that were timed.
    let last = &profiles[profiles.len().saturating_sub(whole.len())..];
    let of = |time: &dyn Fn(&Profile) -> Duration| {
        median(&mut last.iter().map(|profile| time(profile).as_secs_f64() * 1e6).collect::<Vec<f64>>())
    };
    Ok(Some(Figures {
        tokens,
        median_us: seconds * 1e6,
        median_ms: seconds * 1e3,
        best_us: whole.best() * 1e6,
        p95_us: whole.p95() * 1e6,
        spread: whole.spread(),
        samples: whole.len(),
        texts_per_s: texts.len() as f64 / seconds,
        tokens_per_s: tokens as f64 / seconds,
        tokenize_us: tokenizing.median() * 1e6,
        encode_us: of(&|profile| profile.total().saturating_sub(profile.stage(Stage::Pooling))),
        pool_us: of(&|profile| profile.stage(Stage::Pooling)),
        tokenize_share: Samples::ratio_to(tokenizing, whole),
    }))
}

/// The fraction of zero weights that an encoder skips: of layers with a sparse kernel what it leaves out; of dense ones `pruned`.
pub fn zeros(encoder: &Encoder, pruned: f64) -> f64 {
    let (mut zero, mut total) = (0.0, 0.0);
    for LinearReport { m, k, density, form, .. } in &encoder.report().linears {
        let weights = (m * k) as f64;
        zero += weights * if *form == "dense" { pruned } else { 1.0 - density };
        total += weights;
    }
    if total > 0.0 { zero / total } else { 0.0 }
}
