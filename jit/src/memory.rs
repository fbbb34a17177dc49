//! Executable memory: written once, then sealed; never writable and executable at the same time.

use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use memmap2::{Mmap, MmapMut};

use crate::{Code, JitError, perf};

/// Entry points start on a cache line.
const ENTRY_ALIGNMENT: usize = 64;
/// `int3`: the bytes between kernels trap when they are executed.
const FILLER: u8 = 0xcc;

/// Collects the code of a whole model, then maps it once.
#[derive(Debug, Default)]
pub struct CodeArena {
    codes: Vec<Code>,
}

/// Names a [`Code`] within its arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeId(usize);

impl CodeArena {
    /// An empty arena.
    pub fn new() -> CodeArena {
        CodeArena::default()
    }

    /// Adds code to what [`CodeArena::seal`] will map.
    pub fn push(&mut self, code: Code) -> CodeId {
        self.codes.push(code);
        CodeId(self.codes.len() - 1)
    }

    /// Maps all code: anonymous memory is written (RW) and then made executable (RX).
    ///
    /// # Errors
    /// [`JitError::Map`] without memory, [`JitError::ExecutionDenied`] where the system forbids generated code,
    /// [`JitError::Architecture`] on other CPUs than x86-64.
    pub fn seal(self) -> Result<Sealed, JitError> {
        self.seal_with(MmapMut::make_exec)
    }

    fn seal_with(self, make_exec: impl FnOnce(MmapMut) -> io::Result<Mmap>) -> Result<Sealed, JitError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(JitError::Architecture { found: std::env::consts::ARCH });
        }
        let mut offsets = Vec::with_capacity(self.codes.len());
        let mut bytes = 0;
        for code in &self.codes {
            offsets.push(bytes);
            bytes = (bytes + code.bytes.len()).next_multiple_of(ENTRY_ALIGNMENT);
        }
        let bytes = bytes.max(ENTRY_ALIGNMENT); // an empty arena still is a valid mapping
        let mut map = MmapMut::map_anon(bytes).map_err(|source| JitError::Map { bytes, source })?;
        map.fill(FILLER);
        for (code, &offset) in self.codes.iter().zip(&offsets) {
            map[offset..offset + code.bytes.len()].copy_from_slice(&code.bytes);
        }
        let map = make_exec(map).map_err(|source| JitError::ExecutionDenied { bytes, source })?;
        let symbols = self.codes.iter().zip(&offsets).map(|(code, &offset)| perf::Symbol {
            address: map.as_ptr() as usize + offset,
            bytes: code.bytes.len(),
            name: &code.name,
        });
        perf::announce(symbols);
        Ok(Sealed(Arc::new(Mapping { map, offsets, codes: self.codes })))
    }
}

#[derive(Debug)]
struct Mapping {
    map: Mmap,
    offsets: Vec<usize>,
    codes: Vec<Code>,
}

/// Sealed executable memory. Cloning shares it; it is unmapped when the last [`Function`] or [`Entry`] is gone.
#[derive(Debug, Clone)]
pub struct Sealed(Arc<Mapping>);

impl Sealed {
    /// Bytes mapped.
    pub fn bytes(&self) -> usize {
        self.0.map.len()
    }

    /// The function that `id` named when it was pushed to the arena this memory was sealed from, or `None` for an
    /// identifier of another arena that is out of range here.
    pub fn function(&self, id: CodeId) -> Option<Function> {
        (id.0 < self.0.codes.len()).then(|| Function { mapping: Arc::clone(&self.0), index: id.0 })
    }
}

/// One sealed kernel, not yet typed. Keeps its memory alive.
#[derive(Debug, Clone)]
pub struct Function {
    mapping: Arc<Mapping>,
    index: usize,
}

impl Function {
    /// The code as it was emitted, with name, register map and notes.
    pub fn code(&self) -> &Code {
        &self.mapping.codes[self.index]
    }

    /// Bytes of the whole mapping this function lives in.
    pub fn mapping_bytes(&self) -> usize {
        self.mapping.map.len()
    }

    /// Whether both functions live in the same mapping.
    pub fn same_mapping(&self, other: &Function) -> bool {
        Arc::ptr_eq(&self.mapping, &other.mapping)
    }

    /// A reference that does not keep the memory alive.
    pub fn downgrade(&self) -> WeakFunction {
        WeakFunction { mapping: Arc::downgrade(&self.mapping), index: self.index }
    }

    /// The address of the first instruction.
    pub fn address(&self) -> *const u8 {
        // In bounds: `seal` sized the mapping to hold every code at its offset.
        self.mapping.map[self.mapping.offsets[self.index]..].as_ptr()
    }

    /// The function as a callable that takes a pointer to `A`.
    ///
    /// # Safety
    /// - The code must follow the System V calling convention and read its first argument as `*const A`.
    pub unsafe fn typed<A>(self) -> Entry<A> {
        Entry { address: self.address(), function: self, arguments: PhantomData }
    }
}

/// A [`Function`] that may be gone; see [`Function::downgrade`].
#[derive(Debug, Clone)]
pub struct WeakFunction {
    mapping: Weak<Mapping>,
    index: usize,
}

impl WeakFunction {
    /// The function, if something still keeps its memory alive.
    pub fn upgrade(&self) -> Option<Function> {
        Some(Function { mapping: self.mapping.upgrade()?, index: self.index })
    }
}

/// A typed entry point that keeps its memory alive.
#[derive(Debug)]
pub struct Entry<A> {
    address: *const u8,
    function: Function,
    arguments: PhantomData<fn(*const A)>,
}

impl<A> Clone for Entry<A> {
    fn clone(&self) -> Self {
        Entry { address: self.address, function: self.function.clone(), arguments: PhantomData }
    }
}

// SAFETY: `address` points into the read-only mapping that `function` keeps alive; code has no thread affinity.
unsafe impl<A> Send for Entry<A> {}
// SAFETY: as above; calling needs only `&self` and the mapping is never written again.
unsafe impl<A> Sync for Entry<A> {}

impl<A> Entry<A> {
    /// The code behind this entry.
    pub fn code(&self) -> &Code {
        self.function.code()
    }

    /// Runs the code.
    ///
    /// # Safety
    /// - The CPU must have every feature the code uses.
    /// - `args` must satisfy the kernel's contract: every pointer valid for what the kernel reads and writes through it.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub unsafe fn call(&self, args: &A) {
        // SAFETY: `typed` was promised that the bytes at `address` are such a function; the mapping is alive and executable.
        let function: extern "sysv64" fn(*const A) = unsafe { std::mem::transmute(self.address) };
        function(args);
    }

    /// Never reached: sealing fails on other architectures, so no entry exists there.
    ///
    /// # Safety
    /// - None needed.
    #[cfg(not(target_arch = "x86_64"))]
    pub unsafe fn call(&self, _args: &A) {
        unreachable!("entries exist only on x86-64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asm, RegFile};
    use dynasmrt::dynasm;

    fn increment() -> Code {
        let regs = RegFile::new();
        let mut a = Asm::new();
        dynasm!(a ; .arch x64 ; inc DWORD [rdi] ; ret);
        a.finish("increment".into(), &regs).unwrap()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn sealed_code_runs_and_outlives_its_arena() {
        let mut arena = CodeArena::new();
        let first = arena.push(increment());
        let second = arena.push(increment());
        let sealed = arena.seal().unwrap();
        // SAFETY: `increment` reads its argument as a pointer to u32.
        let entry = unsafe { sealed.function(second).unwrap().typed::<std::cell::Cell<u32>>() };
        assert_ne!(sealed.function(first).unwrap().address(), sealed.function(second).unwrap().address());
        assert_eq!(sealed.function(second).unwrap().address() as usize % ENTRY_ALIGNMENT, 0);
        drop(sealed);
        let value = std::cell::Cell::new(41u32);
        // SAFETY: plain x86-64 code; the argument is a valid u32.
        unsafe { entry.call(&value) };
        assert_eq!(value.get(), 42);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn refused_execution_is_a_typed_error() {
        let mut arena = CodeArena::new();
        arena.push(increment());
        let denied = arena.seal_with(|_| Err(io::Error::from(io::ErrorKind::PermissionDenied)));
        assert!(matches!(denied, Err(JitError::ExecutionDenied { bytes: 64, .. })), "{denied:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_mapping_is_writable_and_executable() {
        let mut arena = CodeArena::new();
        let id = arena.push(increment());
        let sealed = arena.seal().unwrap();
        let address = sealed.function(id).unwrap().address() as usize;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps
            .lines()
            .find(|line| {
                let range = line.split_whitespace().next().unwrap();
                let (lo, hi) = range.split_once('-').unwrap();
                let parse = |s| usize::from_str_radix(s, 16).unwrap();
                (parse(lo)..parse(hi)).contains(&address)
            })
            .unwrap();
        assert!(line.contains(" r-x"), "{line}");
    }
}
