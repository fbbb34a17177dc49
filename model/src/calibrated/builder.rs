//! The way from a model to a calibrated one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lacuna_pattern::ActivationBits;

use super::basis::{CalibrationBasis, CalibrationSource};
use super::calibrated::CalibratedModel;
use crate::calibrate::{
    BuiltIn, CalibrationOptions, CalibrationTexts, Choice, Keep, Quantisation, RangeMethod, Smoothing, calibrate,
    spread,
};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prompted::PromptedTexts;
use crate::quantize::LayerQuant;
use crate::tokenize::{SentenceTokenizer, TextInput, TokenizedText, locate_all};
use crate::tokens::TokenIds;

/// Texts that are used of a file or of the built-in collection, where nothing says another number.
pub const TEXTS: usize = 200;

/// A calibration that is being set up: [`Model::calibration`] begins it, [`Calibration::run`],
/// [`Calibration::run_default`], [`Calibration::run_built_in`] or [`Calibration::run_ids`] ends it.
#[derive(Debug, Clone)]
#[must_use = "a calibration does nothing until it is run"]
pub struct Calibration {
    model: Model,
    options: CalibrationOptions,
    /// The most texts that are used.
    limit: Option<usize>,
    /// Ranges that are taken as they are.
    given: Option<Vec<LayerQuant>>,
}

impl Model {
    /// Begins a calibration with the default options.
    ///
    /// ```
    /// use lacuna_model::{Model, Preset, Smoothing, seeded_ids};
    ///
    /// # fn main() -> lacuna_model::Result<()> {
    /// let model = Model::seeded(Preset::BertMini, 1)?;
    /// let ids = seeded_ids(1000, 4, 16, 1);
    /// let calibrated = model.calibration().smoothing(Smoothing::None).run_ids(&ids)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn calibration(self) -> Calibration {
        Calibration { model: self, options: CalibrationOptions::default(), limit: None, given: None }
    }

    /// Where calibration texts are stored beside the model: `lacuna-calibration.jsonl` in the folder of `config.json`, whether it is there
    /// or not. Models that were not read have no such place.
    pub fn calibration_path(&self) -> Option<PathBuf> {
        self.config_file().and_then(Path::parent).map(CalibrationTexts::path_in)
    }
}

impl Calibration {
    /// With all options at once.
    pub fn options(self, options: CalibrationOptions) -> Calibration {
        Calibration { options, ..self }
    }

    /// With another way to end the range of the inputs of linear layers.
    pub fn range(mut self, range: RangeMethod) -> Calibration {
        self.options.range = range;
        self
    }

    /// With another way to distribute scales over the features of an input.
    pub fn smoothing(mut self, smoothing: Smoothing) -> Calibration {
        self.options.smoothing = smoothing;
        self
    }

    /// With codes of another number of bits as inputs of linear layers. Seven make 8-bit layers faster on CPUs with AVX2 alone, and less
    /// accurate.
    pub fn activation_bits(mut self, bits: ActivationBits) -> Calibration {
        self.options.activation_bits = bits;
        self
    }

    /// Whether range and smoothing are used unchanged, or replaced where others measure better.
    pub fn choice(mut self, choice: Choice) -> Calibration {
        self.options.choice = choice;
        self
    }

    /// With these quantisations of the layers in place of those that the texts would give: those of a training that rounded with them. The
    /// texts then tell how many codes lie at the ends of their ranges.
    pub fn quantisation(mut self, layers: Vec<LayerQuant>) -> Calibration {
        self.given = Some(layers);
        self
    }

    /// With another precision for the tensors that int8 hurts most.
    pub fn keep(mut self, keep: Keep) -> Calibration {
        self.options.keep = Some(keep);
        self
    }

    /// With a report, which takes about as long again.
    pub fn report(mut self, report: bool) -> Calibration {
        self.options.report = report;
        self
    }

    /// Uses at most so many of the texts, spread evenly over all. Without this, [`Calibration::run`] uses all texts that it is given, and
    /// [`Calibration::run_default`] and [`Calibration::run_built_in`] use [`TEXTS`].
    pub fn at_most(mut self, texts: usize) -> Calibration {
        self.limit = Some(texts.max(1));
        self
    }

    /// Calibrates on the texts that are stored beside the model in `lacuna-calibration.jsonl`, and else on the built-in collection.
    ///
    /// # Errors
    /// Those of [`Calibration::run`] and [`CalibrationTexts::read`].
    pub fn run_default(self) -> Result<CalibratedModel> {
        match self.model.calibration_path().filter(|path| path.exists()) {
            None => self.run_built_in(),
            Some(path) => {
                let texts = CalibrationTexts::read(&path)?;
                let of = texts.len();
                let inputs = spread(texts.inputs(), self.limit.unwrap_or(TEXTS));
                let mut calibrated = self.run(inputs)?;
                calibrated.basis = CalibrationBasis { source: CalibrationSource::Stored(path), of, ..calibrated.basis };
                Ok(calibrated)
            }
        }
    }

    /// Calibrates on the built-in collection: some hundred texts of many kinds, lengths, languages and scripts, which are in the public
    /// domain.
    ///
    /// Texts that the model's vocabulary has no words for are left out. Where the others show too little of the vocabulary, sequences of
    /// the model's own tokens are added. The same model always gets the same calibration. Texts of the kind that the model will see are
    /// better, above all for languages and subjects of one's own.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Tokenizer`], [`Error::CalibrationOption`], [`Error::Calibration`].
    pub fn run_built_in(self) -> Result<CalibratedModel> {
        let start = Instant::now();
        let BuiltIn { sequences, texts, of, drawn } = BuiltIn::of(&self.model, self.limit.unwrap_or(TEXTS))?;
        let mut calibrated = self.run_ids(&sequences)?;
        calibrated.basis =
            CalibrationBasis { source: CalibrationSource::BuiltIn, texts, of, drawn, ..calibrated.basis };
        calibrated.model = calibrated.model.calibrated_in(start.elapsed());
        Ok(calibrated)
    }

    /// Calibrates on texts and pairs of texts: strings, tuples of two, or [`TextInput`]. About 200 of the kind that the model will see are
    /// enough; for models with a head that reads pairs, pairs. The default prompt of a model is put before texts that are no pairs.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Tokenizer`], [`Error::EmptyBatch`], [`Error::CalibrationOption`], [`Error::Calibration`], and
    /// [`Error::Forked`] in a forked process.
    pub fn run<'t, T: Into<TextInput<'t>>>(self, texts: impl IntoIterator<Item = T>) -> Result<CalibratedModel> {
        crate::forked::check()?;
        let start = Instant::now();
        let inputs: Vec<TextInput<'t>> = texts.into_iter().map(Into::into).collect();
        let of = inputs.len();
        let inputs = spread(inputs, self.limit.unwrap_or(usize::MAX));
        let tokenizer = self.model.tokenizer().ok_or(Error::NoTokenizer)?;
        // Token types matter for pairs alone.
        let (mut calibrated, truncated) = match inputs.iter().any(|input| input.pair.is_some()) {
            true => {
                let limit = self.model.tokenizer().map_or(0, SentenceTokenizer::max_length);
                let located = locate_all(self.model.config(), self.model.tokenizer(), &inputs)?;
                let tokens: Vec<TokenizedText> = located.into_iter().map(|tokens| tokens.cut(limit)).collect();
                let truncated = tokens.iter().filter(|tokens| tokens.truncated_from.is_some()).count();
                (self.run_ids(&tokens)?, truncated)
            }
            false => {
                let texts: Vec<&str> = inputs.iter().map(|input| input.text).collect();
                let prompt = self.model.prompts().default_text();
                let PromptedTexts { encoded, .. } = PromptedTexts::new(tokenizer, prompt, &texts)?;
                let truncated = encoded.iter().filter(|e| e.truncated_from.is_some()).count();
                let ids: Vec<Vec<u32>> = encoded.into_iter().map(|e| e.ids).collect();
                (self.run_ids(&ids)?, truncated)
            }
        };
        calibrated.basis = CalibrationBasis { of, truncated, ..calibrated.basis };
        calibrated.model = calibrated.model.calibrated_in(start.elapsed());
        Ok(calibrated)
    }

    /// Calibrates on token ids, for models without a tokenizer.
    ///
    /// # Errors
    /// Those of [`Reference::forward`](crate::reference::Reference::forward), [`Error::CalibrationOption`], [`Error::Calibration`].
    pub fn run_ids<S: TokenIds>(self, ids: &[S]) -> Result<CalibratedModel> {
        let _span = tracing::info_span!("calibrate").entered();
        crate::forked::check()?;
        let start = Instant::now();
        let Calibration { model, options, given, .. } = self;
        let (config, weights, pooling) = (model.config(), model.weights(), model.pooling());
        let quantisation = calibrate(config, weights, pooling, model.codes(), ids, &options, given)?;
        let Quantisation { layers: quant, precision, projection, saturated, report } = quantisation;
        let model = model.calibrated_in(start.elapsed());
        let basis = CalibrationBasis::given(ids);
        let activation_bits = options.activation_bits;
        Ok(CalibratedModel { model, quant, activation_bits, precision, projection, saturated, basis, report })
    }
}
