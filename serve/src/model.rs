//! A model that is served.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use lacuna::Encoder;
use lacuna::config::PromptChoice;
use lacuna::heads::{Head, HeadKind};
use lacuna::tasks::MaskFiller;
use lacuna::tokens::{PromptedTexts, SentenceTokenizer};

use crate::error::{Error, Result};

/// What a model is for: its head decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelKind {
    /// No head: embeddings.
    Embedder,
    /// Labels for texts and pairs.
    Classifier,
    /// One label for a query and a text: how well they fit.
    Reranker,
    /// Labels for tokens.
    Tagger,
    /// Answers in a context.
    Answerer,
    /// Tokens for masks. It gives embeddings, too.
    Filler,
}

impl ModelKind {
    /// In words, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            ModelKind::Embedder => "an embedding model",
            ModelKind::Classifier => "a sequence classification model",
            ModelKind::Reranker => "a re-ranker model",
            ModelKind::Tagger => "a token classification model",
            ModelKind::Answerer => "a question answering model",
            ModelKind::Filler => "a masked language model",
        }
    }

    /// What the Hugging Face hub calls the task.
    pub const fn pipeline_tag(self) -> &'static str {
        match self {
            ModelKind::Embedder => "feature-extraction",
            ModelKind::Classifier => "text-classification",
            ModelKind::Reranker => "text-ranking",
            ModelKind::Tagger => "token-classification",
            ModelKind::Answerer => "question-answering",
            ModelKind::Filler => "fill-mask",
        }
    }
}

/// A compiled model with a name.
#[derive(Debug)]
pub struct ServedModel {
    id: u64,
    name: String,
    encoder: Arc<Encoder>,
    head: Option<Arc<Head>>,
    kind: ModelKind,
    loaded: SystemTime,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl ServedModel {
    /// A model under the name that requests use; of a model with a head the head, too.
    ///
    /// # Errors
    /// [`Error::Backend`] for a model without a tokenizer, and for a head that no route serves.
    pub fn new(name: impl Into<String>, encoder: Arc<Encoder>, head: Option<Arc<Head>>) -> Result<ServedModel> {
        let name = name.into();
        if encoder.tokenizer().is_none() {
            return Err(Error::backend(format!("model {name:?}: found no tokenizer; expected one, to read texts")));
        }
        let kind = match head.as_deref().map(Head::kind) {
            None => ModelKind::Embedder,
            Some(HeadKind::SequenceClassification) => match head.as_deref().map_or(0, |head| head.labels().len()) {
                1 => ModelKind::Reranker,
                _ => ModelKind::Classifier,
            },
            Some(HeadKind::TokenClassification) => ModelKind::Tagger,
            Some(HeadKind::QuestionAnswering) => ModelKind::Answerer,
            Some(HeadKind::MaskedLm) => ModelKind::Filler,
            Some(_) => return Err(Error::backend(format!("model {name:?}: found a head that no route serves"))),
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(ServedModel { id, name, encoder, head, kind, loaded: SystemTime::now() })
    }

    /// The name that requests use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn kind(&self) -> ModelKind {
        self.kind
    }

    /// The encoder.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The head.
    pub fn head(&self) -> Option<&Arc<Head>> {
        self.head.as_ref()
    }

    /// The longest sequence in tokens.
    pub fn max_tokens(&self) -> usize {
        let positions = self.encoder.config().max_position;
        self.encoder.tokenizer().map_or(positions, |tokenizer| tokenizer.max_length().min(positions))
    }

    /// How masks are written in texts for a model that fills them in: `[MASK]`, `<mask>`.
    pub(crate) fn mask_token(&self) -> Option<String> {
        let head = self.head.as_ref().filter(|_| self.kind == ModelKind::Filler)?;
        // Without such a token requests say so; the list of models need not fail.
        let filler = MaskFiller::new(Arc::clone(&self.encoder) as _, Arc::clone(head)).ok()?;
        Some(filler.mask_token().to_owned())
    }

    /// A number that no other model of this process has, also none that was loaded under the same name.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// When it was loaded, in seconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        self.loaded.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    pub(crate) fn tokenizer(&self) -> Result<&SentenceTokenizer> {
        self.encoder.tokenizer().ok_or_else(|| Error::backend("the model has no tokenizer"))
    }

    /// Checks that the model is one of these.
    ///
    /// # Errors
    /// [`Error::Backend`], as text-embeddings-inference has it.
    pub(crate) fn require(&self, kinds: &[ModelKind]) -> Result<()> {
        match (kinds.contains(&self.kind), kinds) {
            (false, [expected, ..]) => {
                Err(Error::backend(format!("model is not {}: it is {}", expected.name(), self.kind.name())))
            }
            _ => Ok(()),
        }
    }

    /// The head of a model of which [`ServedModel::require`] says that it has one.
    pub(crate) fn require_head(&self) -> Result<&Arc<Head>> {
        self.head.as_ref().ok_or_else(|| Error::backend(format!("model has no head: it is {}", self.kind.name())))
    }

    /// The prompt of a name, or the default one, with the number of tokens that it takes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that the model does not know.
    pub(crate) fn prompt(&self, name: Option<&str>) -> Result<(Option<&str>, usize)> {
        let choice = name.map_or(PromptChoice::Default, PromptChoice::Name);
        let unknown = |error: lacuna::errors::ModelError| Error::Invalid { reason: error.to_string() };
        let prompts = self.encoder.prompts();
        let text = match name {
            None => prompts.default_text(),
            // A prompt that is chosen by name is one of the list, which outlives the name.
            Some(name) => {
                prompts.choose(choice).map_err(unknown)?;
                let named = prompts.list.iter().find(|prompt| prompt.name == name);
                named.map(|prompt| &prompt.text[..]).filter(|text| !text.is_empty())
            }
        };
        let none: [&str; 0] = [];
        let tokens = match text {
            None => 0,
            Some(_) => PromptedTexts::new(self.tokenizer()?, text, &none)?.prompt_tokens,
        };
        Ok((text, tokens))
    }
}

/// A text with a prompt before it.
pub(crate) fn prompted<'a>(prompt: Option<&str>, text: &'a str) -> Cow<'a, str> {
    prompt.map_or(Cow::Borrowed(text), |prompt| Cow::Owned(format!("{prompt}{text}")))
}
