//! The parts of a model from a packed file.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionParams, AttentionPlan};
use lacuna_kernels::dynamic::{ColumnQuantPlan, ColumnRescalePlan, FeatureScales, RescaleParams, RescaleRows};
use lacuna_kernels::elementwise::QuantParams;
use lacuna_kernels::epilogue::{Arithmetic, Epilogue};
use lacuna_kernels::float::DType;
use lacuna_kernels::layernorm::{LayerNormPlan, NormParams, NormRows};
use lacuna_kernels::{ActivationBits, KernelError, Store};
use lacuna_model::{EncoderConfig, LINEAR_NAMES, Precision};
use rayon::prelude::*;

use super::bert;
use super::heads::Heads;
use super::maker::{Maker, Wanted};
use super::model::PackedSteps;
use super::names::{self, InputName, LinearName, NormName};
use super::product::{Computes, InFile, PackedProduct, ProductEntry, Reads};
use super::save::StepsEntry;
use super::state::Packed;
use crate::container::{PackedError, PackedFile};

/// Plans that are loaded are made for this one until it is known where they run.
const ISA: Isa = Isa::Portable;

/// A packed file, and what it says of the steps.
struct Loaded<'a> {
    file: &'a PackedFile,
    config: &'a EncoderConfig,
    entry: &'a StepsEntry,
    activation_bits: ActivationBits,
}

impl PackedSteps {
    /// Loads layers in parallel. The configuration must be valid. If several layers are wrong, the error is that of the first of them.
    pub(crate) fn load(
        file: &PackedFile,
        config: &EncoderConfig,
        entry: &StepsEntry,
        activation_bits: ActivationBits,
    ) -> Result<PackedSteps, PackedError> {
        let (found, expected) = (entry.layers.len(), config.layers);
        if found != expected {
            let expected = format!("{expected}, as the configuration says");
            return Err(file.content_error("layers", found.to_string(), expected));
        }
        if entry.projection.is_some() != config.projects_embeddings() {
            let found = if entry.projection.is_some() { "one" } else { "none" };
            let (features, hidden) = (config.embedding_features(), config.hidden_size);
            let expected = format!("one exactly if embeddings of {features} features are not of {hidden}");
            return Err(file.content_error("projection", found.into(), expected));
        }
        let maker = Loaded { file, config, entry, activation_bits };
        let layers = entry.layers.par_iter().enumerate();
        let layers: Vec<Result<_, _>> = layers.map(|(i, entry)| bert::layer(&maker, i, entry.precision)).collect();
        bert::close(&maker, layers.into_iter().collect::<Result<_, _>>()?)
    }
}

impl Loaded<'_> {
    fn entry(&self, name: LinearName) -> Result<&ProductEntry, PackedError> {
        let found = match name {
            LinearName::Projection => self.entry.projection.as_ref(),
            LinearName::Layer { layer, index } => {
                let linears = &self.entry.layers[layer].linears;
                linears.get(index).filter(|_| linears.len() == LINEAR_NAMES.len())
            }
        };
        found.ok_or_else(|| {
            let found = match name {
                LinearName::Projection => "no linear layer".to_owned(),
                LinearName::Layer { layer, .. } => format!("{} linear layers", self.entry.layers[layer].linears.len()),
            };
            let expected = format!("one exactly for each of {}", LINEAR_NAMES.join(", "));
            self.file.content_error(&name.section(), found, expected)
        })
    }

    fn product(&self, wanted: &Wanted) -> Result<Box<dyn PackedProduct>, PackedError> {
        let name = wanted.name.section();
        let product = self.entry(wanted.name)?.load(&InFile { name: &name, file: self.file, isa: ISA })?;
        let (found, expected) = (say(product.shape(), product.computes()), wanted.say(product.computes()));
        match found == expected {
            true => Ok(product),
            false => Err(self.file.content_error(&name, found, expected)),
        }
    }

    /// Refuses values other than 0 where packing writes 0 because nothing reads them.
    fn check_unused(&self, section: &str, mut values: impl Iterator<Item = f32>) -> Result<(), PackedError> {
        match values.find(|value| value.to_bits() != 0) {
            Some(found) => {
                let expected = "0 where nothing is read".to_owned();
                Err(self.file.section_error(section, found.to_string(), expected))
            }
            None => Ok(()),
        }
    }

    fn params(&self, section: &str, features: usize) -> Result<Vec<QuantParams>, PackedError> {
        let params: Vec<QuantParams> = self.file.elements(section, features)?;
        let values: &[f32] = bytemuck::cast_slice(&params);
        match values.iter().find(|value| !value.is_finite()) {
            Some(found) => Err(self.file.section_error(section, found.to_string(), "finite numbers".into())),
            None => Ok(params),
        }
    }
}

impl Wanted {
    /// Shape, arithmetic and epilogue that the model has here. Codes may be requantised in either arithmetic.
    fn say(&self, found: Computes) -> String {
        let computes = match (self.precision, found) {
            (Precision::Static | Precision::Dynamic, Computes::Codes(_, found)) => {
                let arithmetic = match self.sink.store {
                    Store::Bytes { .. } => found.arithmetic,
                    Store::Bf16 | Store::F32 { .. } => Arithmetic::F32,
                };
                Computes::Codes(self.activation_bits, Epilogue { sink: self.sink, arithmetic })
            }
            (Precision::Bf16, Computes::Floats(..)) => Computes::Floats(DType::Bf16, self.sink),
            (Precision::F32, Computes::Floats(..)) => Computes::Floats(DType::F32, self.sink),
            _ => return format!("weights that compute {}", self.precision),
        };
        say((self.m, self.k), computes)
    }
}

fn say((m, k): (usize, usize), computes: Computes) -> String {
    match computes {
        Computes::Codes(bits, epilogue) => format!("{m} x {k} weights for {} of codes of {bits} bits", epilogue.name()),
        Computes::Floats(dtype, sink) => format!("{m} x {k} weights for {dtype} {}", sink.name()),
    }
}

impl Maker for Loaded<'_> {
    type State = Packed;
    type Error = PackedError;

    fn config(&self) -> &EncoderConfig {
        self.config
    }

    fn activation_bits(&self) -> ActivationBits {
        self.activation_bits
    }

    fn isa(&self) -> Isa {
        ISA
    }

    fn failed(&self, part: &str, source: KernelError) -> PackedError {
        self.file.weights_error(part, source)
    }

    fn products(&self, wanted: &[Wanted]) -> Result<(Reads, Vec<Box<dyn PackedProduct>>), PackedError> {
        let products = wanted.iter().map(|wanted| self.product(wanted)).collect::<Result<Vec<_>, _>>()?;
        let reads = products.first().map_or(Reads::Floats, |product| product.reads());
        let say = |reads| match reads {
            Reads::Codes(layout) => format!("a {} panel as input", layout.name()),
            Reads::Floats => "floats as input".to_owned(),
        };
        for (other, product) in wanted.iter().zip(&products) {
            if product.reads() != reads {
                let expected = format!("{}, which {} reads", say(reads), wanted[0].name.short());
                return Err(self.file.content_error(&other.name.section(), say(product.reads()), expected));
            }
        }
        Ok((reads, products))
    }

    fn token_scales(&self, input: InputName, plan: &ColumnQuantPlan) -> Result<FeatureScales, PackedError> {
        let name = input.section();
        let inverse: Vec<f32> = self.file.elements(&name, plan.features())?;
        FeatureScales::from_inverse(plan, &inverse).map_err(|source| self.failed(&name, source))
    }

    fn rescale_rows(
        &self,
        linear: LinearName,
        section: &str,
        plan: &ColumnRescalePlan,
    ) -> Result<RescaleRows, PackedError> {
        let rows: Vec<RescaleParams> = self.file.elements(section, plan.features())?;
        if !matches!(plan.sink().store, Store::Bytes { .. }) {
            self.check_unused(section, rows.iter().flat_map(|row| [row.out_scale, row.out_zero]))?;
        }
        RescaleRows::pack(plan, &rows).map_err(|source| self.failed(&linear.section(), source))
    }

    fn output_codes(&self, _: LinearName, section: &str, features: usize) -> Result<Vec<QuantParams>, PackedError> {
        self.params(section, features)
    }

    fn input_codes(&self, _: InputName, section: &str, features: usize) -> Result<Vec<QuantParams>, PackedError> {
        self.params(section, features)
    }

    fn norm(&self, norm: NormName, _: Option<InputName>, plan: &LayerNormPlan) -> Result<NormRows, PackedError> {
        let name = norm.section();
        let rows: Vec<NormParams> = self.file.elements(&name, plan.features())?;
        if plan.panel().is_none() {
            self.check_unused(&name, rows.iter().flat_map(|row| [row.out_scale, row.out_zero]))?;
        }
        NormRows::pack(plan, &rows, self.config.layer_norm_eps).map_err(|source| self.failed(&name, source))
    }

    fn attention(&self, layer: usize, plan: &AttentionPlan) -> Result<AttentionParams, PackedError> {
        let heads = Heads { count: self.config.heads, size: self.config.head_size() };
        let name = names::attention(layer);
        let params = AttentionParams {
            score_scale: self.file.elements(&format!("{name}.score_scale"), heads.count)?,
            q_zero: self.file.elements(&format!("{name}.q_zero"), heads.count)?,
            out_scale: self.file.elements(&format!("{name}.out_scale"), heads.features())?,
            out_zero: self.entry.layers[layer].attention_zero,
        };
        params.check(plan).map_err(|source| self.failed(&name, source))?;
        if let Some(found) = params.q_zero.iter().find(|zero| **zero != params.q_zero[0]) {
            let expected = format!("{} for every head, as for the first", params.q_zero[0]);
            return Err(self.file.section_error(&format!("{name}.q_zero"), found.to_string(), expected));
        }
        let padding = params.out_scale.chunks(heads.padded()).flat_map(|head| head[heads.size..].iter().copied());
        self.check_unused(&format!("{name}.out_scale"), padding)?;
        Ok(params)
    }
}
