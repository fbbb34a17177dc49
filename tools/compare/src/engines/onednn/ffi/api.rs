//! The functions of oneDNN that are called here, as its C header declares them, from a library that is loaded at run time.
//!
//! Source: `dnnl.h`, `dnnl_types.h` and `dnnl_common_types.h`, which declare all of this alike in versions 3.2 and 3.13.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::{PhantomData, PhantomPinned};
use std::path::Path;

use libloading::Library;

use super::LIBRARY;
use crate::error::EngineError;

/// An object of the library, known by its address alone.
#[repr(C)]
pub(super) struct Opaque<Kind> {
    bytes: [u8; 0],
    kind: PhantomData<(Kind, *mut u8, PhantomPinned)>,
}

/// Kinds of [`Opaque`].
pub(super) mod kind {
    pub(crate) struct Engine;
    pub(crate) struct Stream;
    pub(crate) struct MemoryDesc;
    pub(crate) struct Memory;
    pub(crate) struct Attr;
    pub(crate) struct PrimitiveDesc;
    pub(crate) struct Primitive;
}

/// `dnnl_engine_t`
pub(super) type Engine = *mut Opaque<kind::Engine>;
/// `dnnl_stream_t`
pub(super) type Stream = *mut Opaque<kind::Stream>;
/// `dnnl_memory_desc_t`, `const_dnnl_memory_desc_t`
pub(super) type MemoryDesc = *mut Opaque<kind::MemoryDesc>;
/// `dnnl_memory_t`
pub(super) type Memory = *mut Opaque<kind::Memory>;
/// `dnnl_primitive_attr_t`
pub(super) type Attr = *mut Opaque<kind::Attr>;
/// `dnnl_primitive_desc_t`
pub(super) type PrimitiveDesc = *mut Opaque<kind::PrimitiveDesc>;
/// `dnnl_primitive_t`
pub(super) type Primitive = *mut Opaque<kind::Primitive>;

/// `dnnl_status_t`
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(c_int);

/// `dnnl_exec_arg_t`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ExecArg {
    pub(super) arg: c_int,
    pub(super) memory: Memory,
}

/// `dnnl_version_t`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Version {
    major: c_int,
    minor: c_int,
    patch: c_int,
    hash: *const c_char,
    cpu_runtime: c_uint,
    gpu_runtime: c_uint,
}

/// `dnnl_data_type_t`
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    F32 = 3,
    S8 = 5,
    U8 = 6,
}

/// `dnnl_format_tag_t`
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// What the primitive likes best.
    Any = 1,
    /// A vector.
    A = 2,
    /// Rows one after the other.
    Ab = 3,
    /// Columns one after the other.
    Ba = 14,
}

/// `DNNL_MAX_NDIMS`
pub(super) const MAX_NDIMS: usize = 12;
/// `dnnl_cpu`
pub(super) const CPU: c_int = 1;
/// `dnnl_stream_default_flags`: in order.
pub(super) const STREAM_DEFAULT: c_uint = 1;
/// `dnnl_fpmath_mode_strict`: no f32 is narrowed.
pub(super) const FPMATH_STRICT: c_int = 0;
/// `dnnl_query_impl_info_str`
pub(super) const QUERY_IMPLEMENTATION: c_int = 8;
/// `dnnl_query_exec_arg_md`
pub(super) const QUERY_ARGUMENT_DESC: c_int = 255;
/// `DNNL_ARG_SRC`, `DNNL_ARG_FROM`
pub(super) const ARG_SRC: c_int = 1;
/// `DNNL_ARG_DST`, `DNNL_ARG_TO`
pub(super) const ARG_DST: c_int = 17;
/// `DNNL_ARG_WEIGHTS`
pub(super) const ARG_WEIGHTS: c_int = 33;
/// `DNNL_ARG_BIAS`
pub(super) const ARG_BIAS: c_int = 41;
/// `DNNL_ARG_ATTR_SCALES`
pub(super) const ARG_ATTR_SCALES: c_int = 4096;

/// `DNNL_MEMORY_ALLOCATE`: the library allocates, and frees with the memory object.
pub(super) fn allocate() -> *mut c_void {
    std::ptr::without_provenance_mut(usize::MAX)
}

const RUNTIME_SEQUENTIAL: c_uint = 1;
const RUNTIME_OPENMP: c_uint = 2;

/// The only major version with these functions.
const MAJOR: c_int = 3;

macro_rules! functions {
    ($($name:ident: $symbol:literal ($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions, and what the library tells of itself.
        pub(super) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// As in "3.2.0".
            pub(super) version: String,
            set_threads: Option<unsafe extern "C" fn(c_int)>,
        }

        impl Api {
            /// The functions of `library`, at `path`.
            ///
            /// # Safety
            /// `library` is oneDNN of major version 3, and is never unloaded.
            unsafe fn of(library: &Library, path: &Path, version: String) -> Result<Api, EngineError> {
                Ok(Api {
                    // SAFETY: the declarations below are those of the header of version 3, which the caller vouches for.
                    $($name: unsafe { symbol(library, path, $symbol)? },)*
                    version,
                    // SAFETY: OpenMP declares `void omp_set_num_threads(int)`, and nobody else uses its prefix. The name is
                    // looked up in the library and in what it was linked with.
                    set_threads: unsafe { library.get("omp_set_num_threads") }.ok().map(|function| *function),
                })
            }
        }
    };
}

functions! {
    engine_create: "dnnl_engine_create" (*mut Engine, c_int, usize) -> Status;
    engine_destroy: "dnnl_engine_destroy" (Engine) -> Status;
    stream_create: "dnnl_stream_create" (*mut Stream, Engine, c_uint) -> Status;
    stream_wait: "dnnl_stream_wait" (Stream) -> Status;
    stream_destroy: "dnnl_stream_destroy" (Stream) -> Status;
    desc_create: "dnnl_memory_desc_create_with_tag" (*mut MemoryDesc, c_int, *const i64, DataType, Tag) -> Status;
    desc_clone: "dnnl_memory_desc_clone" (*mut MemoryDesc, MemoryDesc) -> Status;
    desc_size: "dnnl_memory_desc_get_size" (MemoryDesc) -> usize;
    desc_destroy: "dnnl_memory_desc_destroy" (MemoryDesc) -> Status;
    memory_create: "dnnl_memory_create" (*mut Memory, MemoryDesc, Engine, *mut c_void) -> Status;
    memory_data: "dnnl_memory_get_data_handle" (Memory, *mut *mut c_void) -> Status;
    memory_destroy: "dnnl_memory_destroy" (Memory) -> Status;
    attr_create: "dnnl_primitive_attr_create" (*mut Attr) -> Status;
    attr_scales: "dnnl_primitive_attr_set_scales_mask" (Attr, c_int, c_int) -> Status;
    attr_fpmath: "dnnl_primitive_attr_set_fpmath_mode" (Attr, c_int) -> Status;
    attr_destroy: "dnnl_primitive_attr_destroy" (Attr) -> Status;
    matmul: "dnnl_matmul_primitive_desc_create"
        (*mut PrimitiveDesc, Engine, MemoryDesc, MemoryDesc, MemoryDesc, MemoryDesc, Attr) -> Status;
    reorder: "dnnl_reorder_primitive_desc_create"
        (*mut PrimitiveDesc, MemoryDesc, Engine, MemoryDesc, Engine, Attr) -> Status;
    primitive_desc_query: "dnnl_primitive_desc_query" (PrimitiveDesc, c_int, c_int, *mut c_void) -> Status;
    primitive_desc_argument: "dnnl_primitive_desc_query_md" (PrimitiveDesc, c_int, c_int) -> MemoryDesc;
    primitive_desc_destroy: "dnnl_primitive_desc_destroy" (PrimitiveDesc) -> Status;
    primitive_create: "dnnl_primitive_create" (*mut Primitive, PrimitiveDesc) -> Status;
    primitive_execute: "dnnl_primitive_execute" (Primitive, Stream, c_int, *const ExecArg) -> Status;
    primitive_destroy: "dnnl_primitive_destroy" (Primitive) -> Status;
}

impl Api {
    /// Loads the library at `path`, to stay until the process ends: threads of its OpenMP runtime wait in its code.
    pub(super) fn load(path: &Path, threads: usize) -> Result<&'static Api, EngineError> {
        let refused = |reason: String| EngineError::NotLoadable { path: path.to_owned(), reason };
        // A bare name would be looked for elsewhere.
        let file = std::path::absolute(path).map_err(|error| refused(error.to_string()))?;
        // SAFETY: initialisers of the library run here. The user named this library, or it is installed as oneDNN; one that
        // damages the process by being loaded cannot be told before.
        let library = unsafe { Library::new(&file) };
        let library = library.map_err(|error| {
            use std::error::Error;
            refused(error.source().map_or_else(|| error.to_string(), |source| source.to_string()))
        })?;
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: all versions declare `const dnnl_version_t *dnnl_version(void)`, and nobody else uses the prefix.
        let version: unsafe extern "C" fn() -> *const Version = unsafe { symbol(library, path, "dnnl_version")? };
        // SAFETY: the function takes nothing and returns a constant that lives as long as the library, which is never unloaded;
        // versions 1 to 3 declare the struct alike. Null is refused.
        let version = unsafe { version().as_ref() }.ok_or_else(|| refused("dnnl_version() is null".into()))?;
        version.supported(path, threads)?;
        // SAFETY: it is of version 3, and never unloaded.
        let api = unsafe { Api::of(library, path, version.number())? };
        Ok(Box::leak(Box::new(api)))
    }

    /// Sets the number of threads for calls from this thread, if the OpenMP runtime can be reached. The environment that the
    /// process was started with says the same.
    pub(super) fn set_threads(&self, threads: usize) -> Result<(), EngineError> {
        let Some(set_threads) = self.set_threads else { return Ok(()) };
        let count = c_int::try_from(threads).ok().filter(|&count| count > 0);
        let count = count.ok_or_else(|| EngineError::Call {
            library: LIBRARY,
            call: format!("omp_set_num_threads({threads})"),
            reason: format!("found {threads} threads; expected 1 to {}", c_int::MAX),
        })?;
        // SAFETY: the function takes any positive number.
        unsafe { set_threads(count) };
        Ok(())
    }
}

/// The function `name` of `library`, at `path`.
///
/// # Safety
/// `F` is the type of a pointer to a function as the library declares it. The library is never unloaded.
unsafe fn symbol<F: Copy>(library: &Library, path: &Path, name: &'static str) -> Result<F, EngineError> {
    // SAFETY: as the caller promises.
    let function = unsafe { library.get::<F>(name) };
    let missing = |_| EngineError::MissingSymbol { path: path.to_owned(), library: LIBRARY, symbol: name };
    Ok(*function.map_err(missing)?)
}

impl Version {
    fn number(&self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.patch)
    }

    /// Refuses what has other functions than those here, or threads whose number cannot be set.
    fn supported(&self, path: &Path, threads: usize) -> Result<(), EngineError> {
        let runtime = match self.cpu_runtime {
            RUNTIME_OPENMP => "OpenMP",
            RUNTIME_SEQUENTIAL => "one thread",
            4 => "oneTBB",
            8 => "a thread pool of the caller's",
            512 => "SYCL",
            _ => "an unknown runtime",
        };
        let sequential = self.cpu_runtime == RUNTIME_SEQUENTIAL && threads == 1;
        let expected = match self.major == MAJOR {
            false => "3.x on OpenMP",
            true if self.cpu_runtime == RUNTIME_OPENMP || sequential => return Ok(()),
            true => "3.x on OpenMP, whose number of threads can be set",
        };
        let found = format!("{} on {runtime}", self.number());
        Err(EngineError::Version { path: path.to_owned(), library: LIBRARY, found, expected })
    }
}

impl Status {
    /// An error that names `call` unless it succeeded.
    #[inline]
    pub(super) fn check(self, call: &'static str) -> Result<(), EngineError> {
        match self.0 {
            0 => Ok(()),
            code => Err(failed(call, &format!("{} (status {code})", status_text(code)))),
        }
    }
}

fn status_text(code: c_int) -> &'static str {
    match code {
        1 => "out of memory",
        2 => "invalid arguments",
        3 => "not implemented",
        4 => "no further implementation",
        5 => "an error at run time",
        6 => "not required",
        _ => "an unknown status",
    }
}

/// A call that failed.
#[cold]
pub(super) fn failed(call: &str, reason: &str) -> EngineError {
    EngineError::Call { library: LIBRARY, call: call.into(), reason: reason.into() }
}

/// The text of a string of the library.
///
/// # Safety
/// `text` is null or a string that ends with a zero byte and lives during the call.
pub(super) unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: not null, and as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(major: c_int, cpu_runtime: c_uint, threads: usize) -> Option<String> {
        let version = Version { major, minor: 6, patch: 1, hash: std::ptr::null(), cpu_runtime, gpu_runtime: 0 };
        version.supported(Path::new("libdnnl.so"), threads).err().map(|error| error.to_string())
    }

    #[test]
    fn other_versions_and_runtimes_are_refused() {
        assert_eq!(refusal(3, RUNTIME_OPENMP, 8), None);
        assert_eq!(refusal(3, RUNTIME_SEQUENTIAL, 1), None);
        let start = "libdnnl.so: oneDNN version: found";
        for (major, runtime, threads, end) in [
            (2, RUNTIME_OPENMP, 1, "2.6.1 on OpenMP; expected 3.x on OpenMP"),
            (4, RUNTIME_OPENMP, 1, "4.6.1 on OpenMP; expected 3.x on OpenMP"),
            (
                3,
                RUNTIME_SEQUENTIAL,
                2,
                "3.6.1 on one thread; expected 3.x on OpenMP, whose number of threads can be set",
            ),
            (3, 4, 1, "3.6.1 on oneTBB; expected 3.x on OpenMP, whose number of threads can be set"),
            (
                3,
                8,
                1,
                "3.6.1 on a thread pool of the caller's; expected 3.x on OpenMP, whose number of threads can be set",
            ),
            (3, 512, 1, "3.6.1 on SYCL; expected 3.x on OpenMP, whose number of threads can be set"),
        ] {
            assert_eq!(refusal(major, runtime, threads), Some(format!("{start} {end}")));
        }
    }
}
