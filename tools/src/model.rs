//! What the subcommands that take a model directory share: reading, pruning, calibrating, compiling.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use lacuna::config::{PoolingSource, Remark, RemarkScope};
use lacuna::errors::PackedError;
use lacuna::{Block, CalibratedModel, Compile, Compiler, Encoder, Form, Model, PackedModel, Tuning, TuningTable};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::source::SourceArgs;
use lacuna_console::zeros::Pruned;

/// Which model, and how it is pruned. Whether one must be named, the struct that this is flattened into says.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) pruning: PruneArgs,
}

/// How weights are pruned.
#[derive(clap::Args)]
pub(crate) struct PruneArgs {
    /// Prune every linear layer to this fraction of zero blocks, 0 <= S < 1, by magnitude [default: take the zeros
    /// that are there]
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = args::sparsity)]
    pub(crate) sparsity: Option<f64>,

    /// Block shape of --sparsity, outputs x inputs: 4x1, 1x4, 4x4, 8x1, 16x1, unstructured
    #[arg(long, default_value = "4x1", requires = "sparsity")]
    pub(crate) block: Block,
}

/// Which kernels run the linear layers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormArg {
    /// Per layer input, what is predicted to be faster
    Auto,
    /// Dense int8 everywhere
    Dense,
    /// Sparse 4x1 everywhere
    Sparse,
}

/// How the schedules of sparse kernels are chosen.
#[derive(clap::Args)]
pub(crate) struct TuneArgs {
    /// Time every schedule of every sparse kernel for about this many milliseconds each, and take the fastest [default: a
    /// cost model chooses]
    #[arg(long, value_name = "MS", value_parser = args::at_least_one)]
    tune: Option<usize>,

    /// File of chosen schedules: used if it exists (and was made by this version on this CPU), then written with the choices
    /// that it did not have
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
}

impl TuneArgs {
    /// Generates the kernels, with schedules as the options say.
    pub(crate) fn compile(&self, model: &CalibratedModel, form: Form, context: &Context) -> Result<Encoder> {
        let _spinner = Spinner::new(if self.tune.is_some() { "compiling and timing schedules" } else { "compiling" });
        let compiler = self.compiler(model, form, context);
        match &self.tuning {
            None => Ok(compiler.compile()?),
            Some(path) => with_table(path, |table| Ok(compiler.table(table).compile()?)),
        }
    }

    /// Packs the weights, with schedules as the options say.
    pub(crate) fn pack(
        &self,
        model: &CalibratedModel,
        form: Form,
        small_tables: bool,
        context: &Context,
    ) -> Result<PackedModel> {
        let _spinner = Spinner::new(if self.tune.is_some() { "packing and timing schedules" } else { "packing" });
        let compiler = self.compiler(model, form, context).small_tables(small_tables);
        match &self.tuning {
            None => Ok(compiler.pack()?),
            Some(path) => with_table(path, |table| Ok(compiler.table(table).pack()?)),
        }
    }

    /// Refuses to choose schedules of a packed model.
    pub(crate) fn check_packed(&self) -> Result<()> {
        match (self.tune, &self.tuning) {
            (Some(ms), _) => Err(decided("--tune", ms.to_string())),
            (None, Some(path)) => Err(decided("--tuning", path.display().to_string())),
            (None, None) => Ok(()),
        }
    }

    fn compiler<'a>(&self, model: &'a CalibratedModel, form: Form, context: &Context) -> Compiler<'a> {
        let tuning = match self.tune {
            Some(ms) => Tuning::Measure { budget: Duration::from_millis(ms as u64) },
            None => Tuning::Fast,
        };
        model.compiler().tier(context.tier).form(form).tuning(tuning)
    }
}

/// The refusal of an option that is settled in a packed model.
pub(crate) fn decided(option: &'static str, found: String) -> Error {
    lacuna::Error::from(PackedError::Decided { option, found }).into()
}

/// Runs `work` with the table of a file, to which new choices are added. Other commands may do the same at the same time.
fn with_table<T>(path: &Path, work: impl FnOnce(&mut TuningTable) -> Result<T>) -> Result<T> {
    let mut table = if path.exists() { TuningTable::read(path)? } else { TuningTable::default() };
    let known = table.len();
    let done = work(&mut table)?;
    if table.len() > known {
        table.add_to(path)?;
    }
    Ok(done)
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Form {
        match form {
            FormArg::Auto => Form::Auto,
            FormArg::Dense => Form::Dense,
            FormArg::Sparse => Form::Sparse,
        }
    }
}

impl ModelArgs {
    /// Reads the model, without pruning it.
    pub(crate) fn read(&self) -> Result<Model> {
        read(&self.folder()?)
    }

    /// The folder of the model. It is downloaded first if necessary.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        Ok(self.source.folder()?.unwrap_or_default()) // clap guarantees that there is one, or the shipped model is taken
    }
}

impl PruneArgs {
    /// Prunes if `--sparsity` was given, and says what that did.
    pub(crate) fn apply(&self, model: Model) -> Result<Model> {
        let pruned = self.prune(model)?;
        pruned.warning().iter().for_each(say);
        pruned.remark().iter().for_each(say);
        Ok(pruned.model)
    }

    /// Prunes if `--sparsity` was given. The caller says what that did.
    pub(crate) fn prune(&self, model: Model) -> Result<Pruned> {
        Pruned::new(model, self.block, self.sparsity)
    }

    /// The options that say so, for a command that repeats this one.
    pub(crate) fn options(&self) -> [(&'static str, Option<String>); 2] {
        let block = self.sparsity.map(|_| self.block.to_string());
        [("--sparsity", self.sparsity.map(|sparsity| sparsity.to_string())), ("--block", block)]
    }
}

/// Reads the model of a folder.
pub(crate) fn read(folder: &Path) -> Result<Model> {
    let _spinner = Spinner::new(format!("reading {}", folder.display()));
    Ok(Model::open(folder)?)
}

/// Generates the kernels.
pub(crate) fn compile(model: &CalibratedModel, form: Form, context: &Context) -> Result<Encoder> {
    let _spinner = Spinner::new("compiling");
    Ok(model.compiler().tier(context.tier).form(form).compile()?)
}

/// The remarks that matter for embeddings.
pub(crate) fn of_embeddings(remarks: Vec<Remark>) -> Vec<String> {
    remarks.into_iter().filter(|remark| remark.scope != RemarkScope::Head).map(|remark| remark.text).collect()
}

/// Where pooling settings come from.
pub(crate) fn pooling_source(source: &PoolingSource) -> String {
    match source {
        PoolingSource::File(path) => path.display().to_string(),
        PoolingSource::Graph { path, output } => format!("the output {output} of {}", path.display()),
        PoolingSource::Assumed(why) => format!("assumed: {why}"),
        _ => "chosen".to_owned(),
    }
}
