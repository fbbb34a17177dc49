//! Owners of the library's objects.

use std::ffi::c_int;
use std::path::Path;
use std::ptr::{self, NonNull};

use bytemuck::Pod;

use super::api::{self, Api, DataType, ExecArg, MAX_NDIMS, Opaque, Status, Tag, failed, kind};
use crate::error::EngineError;

/// Result of everything here.
pub(super) type Result<T> = std::result::Result<T, EngineError>;

/// An object of the library, destroyed with this.
pub(super) struct Handle<Kind> {
    raw: NonNull<Opaque<Kind>>,
    destroy: unsafe extern "C" fn(*mut Opaque<Kind>) -> Status,
}

impl<Kind> Handle<Kind> {
    /// The object that `create` makes.
    ///
    /// # Safety
    /// `create` stores an object in its argument that `destroy` may destroy once, unless it returns an error.
    pub(super) unsafe fn create(
        call: &'static str,
        destroy: unsafe extern "C" fn(*mut Opaque<Kind>) -> Status,
        create: impl FnOnce(*mut *mut Opaque<Kind>) -> Status,
    ) -> Result<Handle<Kind>> {
        let mut raw = ptr::null_mut();
        create(&mut raw).check(call)?;
        let raw = NonNull::new(raw).ok_or_else(|| failed(call, "no object came back"))?;
        Ok(Handle { raw, destroy })
    }

    pub(super) fn raw(&self) -> *mut Opaque<Kind> {
        self.raw.as_ptr()
    }
}

impl<Kind> Drop for Handle<Kind> {
    fn drop(&mut self) {
        // SAFETY: `create` got the object for this function; it is destroyed nowhere else. All objects that depend on this one
        // are gone: they borrow its owner. An object that cannot be destroyed stays: there is nobody to tell.
        let _ = unsafe { (self.destroy)(self.raw()) };
    }
}

/// The CPU engine of a loaded library, with a stream.
pub(crate) struct Cpu {
    // Before the engine that it belongs to.
    stream: Handle<kind::Stream>,
    engine: Handle<kind::Engine>,
    pub(super) api: &'static Api,
}

impl Cpu {
    /// Loads the library at `path` for calls on `threads` threads.
    pub(crate) fn open(path: &Path, threads: usize) -> Result<Cpu> {
        let api = Api::load(path, threads)?;
        api.set_threads(threads)?;
        // SAFETY: the function takes any kind and index, and stores an engine on success.
        let engine = unsafe {
            Handle::create("dnnl_engine_create", api.engine_destroy, |out| (api.engine_create)(out, api::CPU, 0))?
        };
        // SAFETY: the engine lives; the function stores a stream on success.
        let stream = unsafe {
            Handle::create("dnnl_stream_create", api.stream_destroy, |out| {
                (api.stream_create)(out, engine.raw(), api::STREAM_DEFAULT)
            })?
        };
        Ok(Cpu { stream, engine, api })
    }

    /// As in "3.2.0".
    pub(crate) fn version(&self) -> &str {
        &self.api.version
    }

    /// Sets the number of threads for calls from this thread.
    pub(crate) fn set_threads(&self, threads: usize) -> Result<()> {
        self.api.set_threads(threads)
    }

    pub(super) fn engine(&self) -> api::Engine {
        self.engine.raw()
    }

    pub(super) fn stream(&self) -> api::Stream {
        self.stream.raw()
    }
}

/// Shape, element type and layout of a memory.
pub(super) struct Desc<'c> {
    handle: Handle<kind::MemoryDesc>,
    cpu: &'c Cpu,
}

impl<'c> Desc<'c> {
    /// At most [`MAX_NDIMS`] dimensions, outermost first.
    pub(super) fn new<const RANK: usize>(
        cpu: &'c Cpu,
        dims: [usize; RANK],
        data_type: DataType,
        tag: Tag,
    ) -> Result<Desc<'c>> {
        const { assert!(RANK <= MAX_NDIMS) };
        let mut all = [0i64; MAX_NDIMS];
        for (to, from) in all.iter_mut().zip(dims) {
            *to =
                i64::try_from(from).map_err(|_| failed("dnnl_memory_desc_create_with_tag", "a dimension too large"))?;
        }
        let api = cpu.api;
        // SAFETY: the array has as many dimensions as any descriptor can have; a tag of another rank is refused.
        let handle = unsafe {
            Handle::create("dnnl_memory_desc_create_with_tag", api.desc_destroy, |out| {
                (api.desc_create)(out, RANK as c_int, all.as_ptr(), data_type, tag)
            })?
        };
        Ok(Desc { handle, cpu })
    }

    /// A copy.
    ///
    /// # Safety
    /// `desc` is a descriptor that lives during the call.
    pub(super) unsafe fn copy(cpu: &'c Cpu, desc: api::MemoryDesc) -> Result<Desc<'c>> {
        let api = cpu.api;
        // SAFETY: as the caller promises; the function stores a descriptor on success.
        let handle =
            unsafe { Handle::create("dnnl_memory_desc_clone", api.desc_destroy, |out| (api.desc_clone)(out, desc))? };
        Ok(Desc { handle, cpu })
    }

    pub(super) fn raw(&self) -> api::MemoryDesc {
        self.handle.raw()
    }
}

/// Data in a layout, allocated by the library.
pub(super) struct Memory<'c> {
    handle: Handle<kind::Memory>,
    desc: Desc<'c>,
    data: NonNull<u8>,
    /// Initialised from `data` on.
    bytes: usize,
}

impl<'c> Memory<'c> {
    /// Every byte `fill`.
    pub(super) fn new(desc: Desc<'c>, fill: u8) -> Result<Memory<'c>> {
        let (api, engine) = (desc.cpu.api, desc.cpu.engine.raw());
        // SAFETY: descriptor and engine live; the function stores a memory on success, with a copy of the descriptor.
        let handle = unsafe {
            Handle::create("dnnl_memory_create", api.memory_destroy, |out| {
                (api.memory_create)(out, desc.raw(), engine, api::allocate())
            })?
        };
        let mut data = ptr::null_mut();
        // SAFETY: the memory lives, and the function stores one address.
        unsafe { (api.memory_data)(handle.raw(), &mut data) }.check("dnnl_memory_get_data_handle")?;
        // SAFETY: the descriptor lives.
        let bytes = unsafe { (api.desc_size)(desc.raw()) };
        let data = match (NonNull::new(data.cast::<u8>()), bytes) {
            (Some(data), _) if data.cast::<u64>().is_aligned() => data,
            (None, 0) => NonNull::<u64>::dangling().cast(),
            _ => return Err(failed("dnnl_memory_create", "found no aligned address of its data")),
        };
        // SAFETY: the library allocated as many bytes as it says that the descriptor needs. From here on all are initialised.
        unsafe { data.write_bytes(fill, bytes) };
        Ok(Memory { handle, desc, data, bytes })
    }

    pub(super) fn desc(&self) -> &Desc<'c> {
        &self.desc
    }

    /// Replaces all data.
    pub(super) fn write<T: Pod>(&mut self, values: &[T]) -> Result<()> {
        let values: &[u8] = bytemuck::cast_slice(values);
        if values.len() != self.bytes {
            let found = format!("found {} bytes; expected {}", values.len(), self.bytes);
            return Err(failed("writing into a memory", &found));
        }
        // SAFETY: `data` holds `bytes` initialised bytes that live as long as `self`, which is borrowed mutably. The library
        // writes to them only in calls that borrow the memory mutably.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.bytes) }.copy_from_slice(values);
        Ok(())
    }

    /// All data as numbers, but for what does not make a whole one.
    #[inline]
    pub(super) fn values<T: Pod>(&self) -> &[T] {
        const { assert!(align_of::<T>() <= align_of::<u64>() && size_of::<T>() > 0) };
        // SAFETY: `data` is aligned and holds as many initialised numbers, which live as long as `self`; any bits are a `T`. The
        // library writes to them only in calls that borrow the memory mutably.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    pub(super) fn as_arg(&self, arg: c_int) -> ExecArg {
        ExecArg { arg, memory: self.handle.raw() }
    }
}
