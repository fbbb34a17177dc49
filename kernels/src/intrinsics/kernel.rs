//! The safe wrapper: packs once, checks shapes, then one unsafe call per tile.

use lacuna_jit::Avx512Vnni;

use super::avx512::{TileOut, tile};
use super::weights::{Offset, Stream};
use crate::epilogue::{Epilogue, RowParams, Store};
use crate::layout::{elements, padded, tiles};
use crate::output::wrong_kind;
use crate::pattern::check_shape;
use crate::{KernelError, Output, PanelLayout, Sign, TILE};

/// A sparse product in intrinsics, with its weights.
#[derive(Debug, Clone)]
pub struct IntrinsicsSpmm {
    m: usize,
    k: usize,
    epilogue: Epilogue,
    stream: AnyStream,
    /// That [`tile`] may run here.
    _proof: Avx512Vnni,
}

#[derive(Debug, Clone)]
enum AnyStream {
    Narrow(Stream<u16>),
    Wide(Stream<u32>),
}

impl IntrinsicsSpmm {
    /// Packs `weights` (row-major `[M][K]`) with one [`RowParams`] per output feature.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Mismatch`] for an epilogue that
    /// [`IntrinsicsSpmm::has`] not, [`KernelError::Length`] for buffers that do not fit M and K, [`KernelError::Parameter`] for
    /// parameters that [`RowParams::check`] refuses.
    pub fn new(
        proof: Avx512Vnni,
        m: usize,
        k: usize,
        weights: &[i8],
        params: &[RowParams],
        epilogue: Epilogue,
    ) -> Result<IntrinsicsSpmm, KernelError> {
        check_shape("spmm", m, k)?;
        let name = name(m, k, &epilogue);
        if !Self::has(&epilogue) {
            let found = format!("the epilogue {}", epilogue.name());
            let expected = "requant-u8-plain, requant-s8-plain, f32 or f32-residual".into();
            return Err(KernelError::Mismatch { kernel: name, found, expected });
        }
        check_length(&name, "weights", weights.len(), m * k)?;
        check_length(&name, "row parameters", params.len(), m)?;
        RowParams::check(params, k, &name)?;
        let stream = match k <= u16::FEATURES {
            true => AnyStream::Narrow(Stream::pack(m, k, weights, params)),
            false => AnyStream::Wide(Stream::pack(m, k, weights, params)),
        };
        Ok(IntrinsicsSpmm { m, k, epilogue, stream, _proof: proof })
    }

    /// Whether there is a kernel with this epilogue: requantisation to a plain panel, or f32, in f32 arithmetic.
    pub fn has(epilogue: &Epilogue) -> bool {
        let bytes = |sign| Epilogue::requantize(PanelLayout::Plain, sign);
        [bytes(Sign::Unsigned), bytes(Sign::Signed), Epilogue::f32(false), Epilogue::f32(true)].contains(epilogue)
    }

    /// The name in reports and errors.
    pub fn name(&self) -> String {
        name(self.m, self.k, &self.epilogue)
    }

    /// `out = epilogue(W x)` for `columns` columns, on the calling thread.
    ///
    /// **Shapes**: `x` is a plain panel of K x columns, `out` holds M x columns in the layout of the epilogue; both have
    /// [`elements`] elements. Padding columns and features of `out` are left unspecified.
    ///
    /// **Numerics**: the same bits as [`crate::spmm`].
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size, [`KernelError::Mismatch`]
    /// for an output of another kind.
    pub fn run(&self, x: &[u8], columns: usize, out: Output<'_>) -> Result<(), KernelError> {
        if columns == 0 {
            return Err(KernelError::Dimension { kernel: "spmm", dimension: "N", found: 0, expected: "at least 1" });
        }
        let name = self.name();
        check_length(&name, "x", x.len(), elements(self.k, columns))?;
        let expected = elements(self.m, columns);
        let out = match (self.epilogue.sink.store, out) {
            (Store::Bytes { sign, .. }, Output::Bytes(out)) => {
                check_length(&name, "output", out.len(), expected)?;
                TileOut::Plain(out.as_mut_ptr(), sign)
            }
            (Store::F32 { residual }, Output::F32(out)) => {
                check_length(&name, "output", out.len(), expected)?;
                TileOut::F32(out.as_mut_ptr(), residual)
            }
            (store, out) => return Err(wrong_kind(name, store, &out)),
        };
        match &self.stream {
            AnyStream::Narrow(stream) => self.run_tiles(stream, x, columns, out),
            AnyStream::Wide(stream) => self.run_tiles(stream, x, columns, out),
        }
        Ok(())
    }

    /// All tiles, one after the other, so that a tile of X stays in the first cache while all row blocks pass over it.
    fn run_tiles<O: Offset>(&self, stream: &Stream<O>, x: &[u8], columns: usize, out: TileOut) {
        let (x_tile, y_tile) = (padded(self.k) * TILE, padded(self.m) * TILE);
        for i in 0..tiles(columns) {
            let out = match out {
                TileOut::Plain(out, sign) => TileOut::Plain(out.wrapping_add(i * y_tile), sign),
                TileOut::F32(out, residual) => TileOut::F32(out.wrapping_add(i * y_tile), residual),
            };
            // SAFETY: the proof says that the CPU has the features. `run` made sure that x and out hold `elements` of this
            // shape and borrows out exclusively, so tile i is inside both; `Stream::pack` made offsets from input features
            // below K and output features below M rounded up to 4, the rows that a tile has.
            unsafe { tile(stream, x[i * x_tile..].as_ptr(), out, (columns - i * TILE).min(TILE)) };
        }
    }
}

fn name(m: usize, k: usize, epilogue: &Epilogue) -> String {
    format!("spmm-u8s8-intrinsics-m{m}k{k}n{TILE}-{}", epilogue.name())
}

fn check_length(kernel: &str, buffer: &'static str, found: usize, expected: usize) -> Result<(), KernelError> {
    match found == expected {
        true => Ok(()),
        false => Err(KernelError::Length { kernel: kernel.to_owned(), buffer, found, expected }),
    }
}
