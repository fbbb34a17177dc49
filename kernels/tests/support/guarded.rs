//! Buffers between pages that cannot be accessed. So an access one byte out of bounds is a fault and not a lucky read.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Fills the bytes of the mapping beside the buffer; checked when the buffer is dropped.
const SLACK: u8 = 0xa5;

/// Exactly `len` elements, flush with a page that can be neither read nor written.
///
/// Contents start as [`garbage`]. The side that is not flush has a rest of a page before its own guard; writes there are
/// found when the buffer is dropped. A buffer whose size is a multiple of 64 bytes is 64-byte aligned; any other starts
/// wherever its end puts it, aligned to its element.
///
/// Systems other than Unix have no guard: there the buffer is ordinary memory, which is printed, and only writes nearby
/// are found.
pub(crate) struct Guarded<T> {
    region: Region,
    offset: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Guarded<T> {
    /// A buffer that ends where the guard begins: finds reads and writes past the end.
    pub(crate) fn new(len: usize, seed: u64) -> Guarded<T> {
        Guarded::place(len, seed, |room, bytes| room - bytes)
    }

    /// A buffer that starts where the guard ends: finds reads and writes before the start.
    pub(crate) fn at_start(len: usize, seed: u64) -> Guarded<T> {
        Guarded::place(len, seed, |_, _| 0)
    }

    /// A buffer that ends where the guard begins, with the contents of `values`.
    pub(crate) fn from_slice(values: &[T]) -> Guarded<T> {
        let mut buffer = Guarded::new(values.len(), 0);
        buffer.copy_from_slice(values);
        buffer
    }

    fn place(len: usize, seed: u64, offset: impl Fn(usize, usize) -> usize) -> Guarded<T> {
        let bytes = len.checked_mul(size_of::<T>()).expect("a size in bytes");
        let mut region = Region::new(bytes);
        let room = region.bytes_mut();
        room.fill(SLACK);
        let offset = offset(room.len(), bytes);
        StdRng::seed_from_u64(seed).fill_bytes(&mut room[offset..offset + bytes]);
        Guarded { region, offset, len, element: PhantomData }
    }
}

impl<T> Guarded<T> {
    /// Offset of the first byte beside the buffer that was overwritten, from the start of the buffer.
    fn overwritten(&self) -> Option<isize> {
        let end = self.offset + self.len * size_of::<T>();
        let beside = self.region.bytes().iter().enumerate().filter(|(i, _)| !(self.offset..end).contains(i));
        let mut broken = beside.filter(|&(_, &byte)| byte != SLACK);
        broken.next().map(|(i, _)| i as isize - self.offset as isize)
    }
}

impl<T: Pod> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        let bytes = &self.region.bytes()[self.offset..][..self.len * size_of::<T>()];
        bytemuck::cast_slice(bytes)
    }
}

impl<T: Pod> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = &mut self.region.bytes_mut()[self.offset..][..self.len * size_of::<T>()];
        bytemuck::cast_slice_mut(bytes)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // the test has failed already
        }
        if let Some(at) = self.overwritten() {
            let bytes = self.len * size_of::<T>();
            panic!("byte {at}, counted from the start of a buffer of {bytes} bytes, was overwritten");
        }
    }
}

/// `len` elements of bytes drawn from `seed`: floats among them are NaN, infinite, subnormal and huge.
pub(crate) fn garbage<T: Pod>(len: usize, seed: u64) -> Vec<T> {
    let mut values = vec![T::zeroed(); len];
    StdRng::seed_from_u64(seed).fill_bytes(bytemuck::cast_slice_mut(&mut values));
    values
}

/// Whole pages of memory between two guard pages.
#[cfg(unix)]
struct Region {
    mapping: *mut u8,
    room: usize,
    page: usize,
}

#[cfg(unix)]
impl Region {
    /// At least `bytes` bytes.
    fn new(bytes: usize) -> Region {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).expect("a page size");
        let room = bytes.max(1).next_multiple_of(page);
        let (none, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping, wherever the system puts it, disturbs no other memory.
        let mapping = unsafe { libc::mmap(std::ptr::null_mut(), room + 2 * page, none, flags, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED, "mapping {room} bytes: {}", std::io::Error::last_os_error());
        let region = Region { mapping: mapping.cast(), room, page };
        // SAFETY: these pages are inside the mapping made above.
        let status = unsafe { libc::mprotect(region.start().cast(), room, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(status, 0, "opening {room} bytes: {}", std::io::Error::last_os_error());
        region
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: the mapping has a page before and a page after the `room` bytes.
        unsafe { self.mapping.add(self.page) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `room` bytes from `start` are readable, initialised by the system, and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start(), self.room) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; writable, and borrowed from nowhere else while `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.room) }
    }
}

#[cfg(unix)]
impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; nothing refers to it any more.
        let status = unsafe { libc::munmap(self.mapping.cast(), self.room + 2 * self.page) };
        debug_assert_eq!(status, 0);
    }
}

// SAFETY: the mapping belongs to the value alone and has no thread affinity.
#[cfg(unix)]
unsafe impl Send for Region {}
// SAFETY: as above; shared references only read.
#[cfg(unix)]
unsafe impl Sync for Region {}

/// Ordinary memory, where the system's guard pages are not known to this test.
#[cfg(not(unix))]
struct Region(Vec<Line>);

#[cfg(not(unix))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

#[cfg(not(unix))]
impl Region {
    fn new(bytes: usize) -> Region {
        eprintln!("no guard pages on this system: accesses out of bounds may go unnoticed");
        Region(vec![bytemuck::Zeroable::zeroed(); bytes.div_ceil(size_of::<Line>())])
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// On which side a buffer is flush with its guard page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Accesses past the end fault.
    AtEnd,
    /// Accesses before the start fault.
    AtStart,
}

impl Place {
    pub(crate) const BOTH: [Place; 2] = [Place::AtEnd, Place::AtStart];

    pub(crate) fn buffer<T: bytemuck::Pod>(self, len: usize, seed: u64) -> Guarded<T> {
        match self {
            Place::AtEnd => Guarded::new(len, seed),
            Place::AtStart => Guarded::at_start(len, seed),
        }
    }
}
