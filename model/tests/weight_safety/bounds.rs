//! Time and memory of a piece of work, the memory counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lacuna_model::{Checkpoint, Error, Model, WeightError};

/// The system's allocator, with the bytes in use and the most that were.
pub(crate) struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The counts are of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Far more than any case takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tensors of more values are not read: a file may declare them, and only a caller who expects them asks for them.
const MOST_VALUES: usize = 1 << 16;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Every test of this program begins with this: what other tests prepare would be counted too.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the work, and fails if it takes more than `limit` bytes at any time, or too long.
pub(crate) fn bounded<T>(limit: usize, what: &str, work: impl FnOnce() -> T) -> T {
    assert!(ALONE.try_lock().is_err(), "a test that counts memory must call alone() first");
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let start = Instant::now();
    let result = work();
    let (took, bytes) = (start.elapsed(), PEAK.load(Relaxed).saturating_sub(before));
    assert!(bytes <= limit, "{what}: took {bytes} bytes; expected at most {limit}");
    assert!(took <= PATIENCE, "{what}: took {took:?}");
    result
}

/// How far a folder gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Its weight files are refused.
    Nothing,
    /// Its weight files open, but the model does not load.
    Opened,
    /// The model loads.
    Loaded,
}

/// Does with a folder what can be done with weights: lists and reads all tensors, loads the model.
///
/// An error must be one line that a person can read.
pub(crate) fn exercise(folder: &Path) -> Reached {
    let checkpoint = match Checkpoint::in_folder(folder) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            legible(&error);
            return Reached::Nothing;
        }
    };
    for info in checkpoint.tensors() {
        if info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= MOST_VALUES) {
            checkpoint.read_f32(&info.name, &info.shape).map(drop).inspect_err(legible).ok();
        }
    }
    match Model::open(folder) {
        Ok(_) => Reached::Loaded,
        Err(error) => {
            legible(&error);
            Reached::Opened
        }
    }
}

fn legible(error: &Error) {
    let text = error.to_string();
    assert!(text.len() < 4096, "an error of {} bytes", text.len());
    assert!(
        !matches!(
            error,
            Error::Weights(WeightError::TorchFile { .. }) | Error::Weights(WeightError::PickledObject { .. })
        ) || !text.contains(char::is_control)
    );
}
