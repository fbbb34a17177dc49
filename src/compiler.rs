//! From a calibrated or packed model to an encoder: quantise, choose forms, pack, generate, seal.

use std::path::Path;

use lacuna_jit::{Isa, Tier};
use lacuna_kernels::KernelError;
use lacuna_kernels::spmm::{Tuning, TuningTable};
use lacuna_model::{CalibratedModel, forked};

use crate::compile::{Chooser, Form, PackedSteps, Tables};
use crate::container::PackedError;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::heads::Head;
use crate::loaded::{Phase, Phases};
use crate::packed::{Origin, PackedModel, TextSettings};

/// Compiles a model, or packs it. Begins with [`Compile::compiler`] or [`PackedModel::compiler`].
///
/// ```no_run
/// # fn main() -> lacuna::Result<()> {
/// use lacuna::{Compile, Form, Model};
///
/// let model = Model::open("all-MiniLM-L6-v2")?.calibration().run_default()?;
/// let encoder = model.compiler().form(Form::Dense).compile()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Compiler<'a, M = CalibratedModel> {
    model: &'a M,
    tier: Option<Tier>,
    form: Form,
    tuning: Tuning,
    table: Option<&'a mut TuningTable>,
    small_tables: bool,
}

impl<'a, M> Compiler<'a, M> {
    /// A compiler for this machine, with default options.
    pub fn of(model: &'a M) -> Compiler<'a, M> {
        Compiler { model, tier: None, form: Form::Auto, tuning: Tuning::Fast, table: None, small_tables: false }
    }

    /// For another tier than that of `LACUNA_TIER` or the best of this machine. Nothing falls back by itself: a tier that this machine
    /// does not have is an error.
    pub fn tier(self, tier: Tier) -> Compiler<'a, M> {
        Compiler { tier: Some(tier), ..self }
    }

    /// Which kernels run the linear layers.
    pub fn form(self, form: Form) -> Compiler<'a, M> {
        Compiler { form, ..self }
    }

    /// How the schedules of sparse kernels are chosen.
    pub fn tuning(self, tuning: Tuning) -> Compiler<'a, M> {
        Compiler { tuning, ..self }
    }

    /// Uses the schedules in `table`. Missing ones are chosen as [`Compiler::tuning`] says, and added to the table.
    pub fn table(self, table: &'a mut TuningTable) -> Compiler<'a, M> {
        Compiler { table: Some(table), ..self }
    }
}

impl Compiler<'_, CalibratedModel> {
    /// Rounds the word and the position embeddings to a byte per value with a scale per row. A packed file then has a quarter of their bytes;
    /// in memory they are f32 as ever. An error is at most 1/254 of the largest value of its row.
    pub fn small_tables(self, small_tables: bool) -> Self {
        Self { small_tables, ..self }
    }

    /// Quantises, plans and packs all layers in parallel on the current rayon pool, then generates a kernel for every distinct
    /// shape and epilogue and seals the code once.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if a tier was asked for that this machine does not provide, or a kernel cannot be planned,
    /// generated or made executable, or attention has scales beyond 1e6; of several layers that fail, the first one's.
    /// [`ModelError::Forked`](crate::errors::ModelError::Forked) in a process that was forked from one that had used the library.
    pub fn compile(self) -> Result<Encoder> {
        let _span = tracing::info_span!("compile").entered();
        let tier = self.tier;
        self.pack_with(None)?.attach(tier)
    }

    /// Quantises, plans and packs as [`Compiler::compile`] does, and takes along the tokenizer, the pooling settings and the head, if
    /// there is one that is run here.
    ///
    /// Kernels are chosen for the tier. What is packed runs on every tier, with the same bits.
    ///
    /// # Errors
    /// Those of [`Compiler::compile`] and [`Model::head`](crate::Model::head), but for [`NoHead`](lacuna_model::Error::NoHead).
    pub fn pack(self) -> Result<PackedModel> {
        let head = match self.model.model().head() {
            Ok(head) => Some(head),
            Err(lacuna_model::Error::NoHead { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        self.pack_with(head)
    }

    fn pack_with(self, head: Option<Head>) -> Result<PackedModel> {
        forked::check()?;
        let Compiler { model: calibrated, tier, form, tuning, table, small_tables } = self;
        let tier = Tier::select(tier).map_err(KernelError::from)?;
        let mut phases = Phases::new();
        let mut measured = TuningTable::default();
        let table = table.or((tuning != Tuning::Fast).then_some(&mut measured));
        let chooser = Chooser::new(form, Isa::for_tier(tier), tuning, table);
        let steps = PackedSteps::pack(calibrated, &chooser, &mut phases)?;
        let model = calibrated.model();
        let mut tables = Tables::of(&model.weights().embeddings)?;
        if small_tables {
            tables = tables.in_bytes(model.config().embedding_features());
        }
        phases.end("pack");

        let before = model.timings();
        let before = [("read", before.read), ("prune", before.prune), ("calibrate", before.calibrate)];
        let before = before.into_iter().map(|(name, duration)| Phase { name, duration });
        let origin = Origin {
            phases: before.chain(phases.list).collect(),
            truncated: calibrated.truncated_sentences(),
            basis: Some(calibrated.basis().clone()),
            saturated: calibrated.saturated().to_vec(),
            notes: model.notes().to_vec(),
            pruning: model.pruning(),
            precision: calibrated.precision().to_vec(),
            activation_bits: calibrated.activation_bits(),
        };
        let (tokenizer, pooling) = (model.tokenizer().cloned(), model.pooling().clone());
        let texts = TextSettings {
            prompts: model.prompts().clone(),
            similarity: model.similarity(),
            remarks: model.setting_remarks().to_vec(),
        };
        Ok(PackedModel::new(model.config().clone(), tables, steps, tokenizer, (pooling, texts), origin, head))
    }
}

impl Compiler<'_, PackedModel> {
    /// Generates the code. Weights and tables are shared with all other encoders of this model.
    ///
    /// # Errors
    /// [`PackedError::Decided`] for options that were decided when the model was packed: form and tuning;
    /// [`Error::Kernel`](crate::Error::Kernel) if a tier was asked for that this machine does not provide, or a kernel cannot be
    /// planned, generated or made executable.
    pub fn compile(self) -> Result<Encoder> {
        if self.form != Form::Auto {
            return Err(PackedError::Decided { option: "form", found: format!("{:?}", self.form) }.into());
        }
        if self.tuning != Tuning::Fast {
            return Err(PackedError::Decided { option: "tuning", found: format!("{:?}", self.tuning) }.into());
        }
        if self.table.is_some() {
            return Err(PackedError::Decided { option: "table", found: "a table of schedules".into() }.into());
        }
        self.model.attach(self.tier)
    }
}

/// From a [`CalibratedModel`] to an [`Encoder`] or a [`PackedModel`].
pub trait Compile {
    /// A compiler whose options can be changed.
    fn compiler(&self) -> Compiler<'_>;

    /// Compiles the encoder for this machine with default options.
    ///
    /// # Errors
    /// Those of [`Compiler::compile`].
    fn compile(&self) -> Result<Encoder> {
        self.compiler().compile()
    }

    /// Decides and packs with default options.
    ///
    /// # Errors
    /// Those of [`Compiler::pack`].
    fn pack(&self) -> Result<PackedModel> {
        self.compiler().pack()
    }
}

impl Compile for CalibratedModel {
    fn compiler(&self) -> Compiler<'_> {
        Compiler::of(self)
    }
}

impl PackedModel {
    /// A compiler whose tier can be changed; everything else was decided when the model was packed.
    pub fn compiler(&self) -> Compiler<'_, PackedModel> {
        Compiler::of(self)
    }

    /// Compiles the encoder for this machine.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if a kernel cannot be planned, generated or made executable.
    pub fn compile(&self) -> Result<Encoder> {
        self.compiler().compile()
    }
}

impl Encoder {
    /// Opens a packed model and compiles it for this machine: [`PackedModel::open`] and [`PackedModel::compile`].
    ///
    /// # Errors
    /// Those of [`PackedModel::open`] and [`PackedModel::compile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Encoder> {
        PackedModel::open(path)?.compile()
    }
}
