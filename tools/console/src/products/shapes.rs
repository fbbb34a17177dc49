//! Which products are measured.

use clap::ValueEnum;

use crate::args;
use crate::error::{Error, Result};

/// Most weights of one matrix: 256 MB of s8.
const MAX_WEIGHTS: usize = 1 << 28;
/// Most elements of one activation: 1 GB of f32.
pub const MAX_ACTIVATIONS: usize = 1 << 28;

/// The shapes of a product Y = W X.
#[derive(clap::Args)]
pub struct ShapeArgs {
    /// M, output features; a comma-separated list
    #[arg(long, value_name = "M,..", value_delimiter = ',', default_value = "768", conflicts_with = "grid")]
    m: Vec<usize>,

    /// K, input features; a comma-separated list
    #[arg(long, value_name = "K,..", value_delimiter = ',', default_value = "768", conflicts_with = "grid")]
    k: Vec<usize>,

    /// N, tokens; a comma-separated list [default: 128, or the grid's]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    n: Vec<usize>,

    /// A set of shapes instead of --m and --k
    #[arg(long, value_enum)]
    grid: Option<Grid>,
}

/// Every matrix is measured with every number of tokens.
pub struct Shapes {
    /// M and K.
    pub matrices: Vec<(usize, usize)>,
    /// N.
    pub tokens: Vec<usize>,
}

/// Sets of shapes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Grid {
    /// BERT-mini, MiniLM, BERT-base and BERT-large: d x d, 4d x d and d x 4d for d = 256, 384, 768, 1024; N from 16 to
    /// 1024; sparsity from 0.7 to 0.9
    Paper,
    /// The same matrices with one short sentence: N = 8, 16, 32; sparsity 0.9
    Short,
}

impl Grid {
    fn tokens(self) -> &'static [usize] {
        match self {
            Grid::Paper => &[16, 32, 64, 128, 256, 384, 512, 1024],
            Grid::Short => &[8, 16, 32],
        }
    }

    fn sparsities(self) -> &'static [f64] {
        match self {
            Grid::Paper => &[0.7, 0.75, 0.8, 0.85, 0.9],
            Grid::Short => &[0.9],
        }
    }
}

/// The `--sparsity` list.
#[derive(clap::Args)]
pub struct SparsityArgs {
    /// Fractions of zero blocks, 0 <= S < 1; a comma-separated list [default: 0.9, or the grid's]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Vec<f64>,
}

/// Hidden sizes of the grids.
const GRID_D: [usize; 4] = [256, 384, 768, 1024];

impl ShapeArgs {
    /// The shapes that the options name.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes beyond what this command allocates, [`lacuna_kernels::KernelError::Dimension`] for
    /// N = 0. What M and K a kernel takes is the kernel's to say.
    pub fn shapes(&self, kernel: &'static str) -> Result<Shapes> {
        let matrices: Vec<(usize, usize)> = match self.grid {
            Some(_) => GRID_D.into_iter().flat_map(|d| [(d, d), (4 * d, d), (d, 4 * d)]).collect(),
            None => self.m.iter().flat_map(|&m| self.k.iter().map(move |&k| (m, k))).collect(),
        };
        let tokens = self.tokens();
        for &(m, k) in &matrices {
            self.check(kernel, m, k)?;
        }
        Ok(Shapes { matrices, tokens })
    }

    /// The numbers of tokens.
    pub fn tokens(&self) -> Vec<usize> {
        match (&self.n[..], self.grid) {
            ([], Some(grid)) => grid.tokens().to_vec(),
            ([], None) => vec![128],
            (given, _) => given.to_vec(),
        }
    }

    /// Refuses a matrix, or its activations, that this command does not allocate.
    ///
    /// # Errors
    /// As [`ShapeArgs::shapes`].
    pub fn check(&self, kernel: &'static str, m: usize, k: usize) -> Result<()> {
        check_weights(m, k)?;
        for n in self.tokens() {
            if n == 0 {
                let (dimension, expected) = ("N", "at least 1");
                return Err(lacuna_kernels::KernelError::Dimension { kernel, dimension, found: 0, expected }.into());
            }
            if m.max(k).checked_mul(n.saturating_add(64)).is_none_or(|elements| elements > MAX_ACTIVATIONS) {
                return Err(too_large("--n", format!("{n} tokens of {} features", m.max(k)), MAX_ACTIVATIONS));
            }
        }
        Ok(())
    }

    /// The sparsities of the grid or the list.
    pub fn sparsities(&self, args: &SparsityArgs) -> Vec<f64> {
        match (&args.sparsity[..], self.grid) {
            ([], Some(grid)) => grid.sparsities().to_vec(),
            ([], None) => vec![0.9],
            (given, _) => given.to_vec(),
        }
    }
}

/// Refuses a matrix that this command does not allocate.
///
/// # Errors
/// [`Error::Argument`]
pub fn check_weights(m: usize, k: usize) -> Result<()> {
    match m.checked_mul(k).is_none_or(|weights| weights > MAX_WEIGHTS) {
        true => Err(too_large("--m, --k", format!("{m} x {k}"), MAX_WEIGHTS)),
        false => Ok(()),
    }
}

/// An error for shapes that would need more memory than this command takes.
pub fn too_large(option: &'static str, found: String, most: usize) -> Error {
    Error::Argument { option, found, expected: format!("at most {most} elements") }
}
