//! A steady stream of calls allocates nothing: counted by the allocator itself, on one thread and on two.
//!
//! One test in a file of its own: the count is of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lacuna::calibration::LayerPrecision;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, Compile, Encoder, Form, Model, Precision, Preset};
use lacuna_jit::{Avx512Bf16, Isa};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    work();
    ALLOCATIONS.load(Relaxed) - before
}

/// Batches of different numbers and lengths of sequences, in several groups and in part of a tile.
fn batches() -> Vec<Vec<Vec<u32>>> {
    let lengths: [&[usize]; 6] = [&[128], &[9, 200, 1, 64], &[32], &[200; 12], &[7, 7], &[96]];
    let ids = |(i, lengths): (usize, &&[usize])| {
        lengths.iter().map(|&length| seeded_ids(500, 1, length, i as u64).remove(0)).collect()
    };
    lengths.iter().enumerate().map(ids).collect()
}

/// Calls with all batches until a round of them allocates nothing; the least that a round allocated.
///
/// The first rounds may: buffers grow, also those of helpers that come late.
fn least_allocations(encoder: &Arc<Encoder>, batches: &[Vec<Vec<u32>>]) -> usize {
    let hidden_size = encoder.config().hidden_size;
    let mut outs: Vec<Vec<f32>> = batches.iter().map(|ids| vec![0.0; ids.len() * hidden_size]).collect();
    let session = encoder.session();
    let mut round = || {
        allocations_of(|| {
            for _ in 0..3 {
                for (ids, out) in batches.iter().zip(&mut outs) {
                    encoder.embed_ids_into(ids, out).unwrap();
                    encoder.profile(ids, out).unwrap();
                    session.embed_ids_into(ids, out).unwrap();
                }
            }
        })
    };
    let mut least = usize::MAX;
    for _ in 0..30 {
        least = least.min(round());
        if least == 0 {
            break;
        }
    }
    least
}

/// A static model, and one with every arithmetic that this machine has.
fn precisions() -> [[LayerPrecision; 2]; 2] {
    let halves = match Avx512Bf16::detect() {
        None if Isa::detect() != Isa::Portable => {
            println!("bf16 left out: this machine lacks {}", Avx512Bf16::FEATURE);
            Precision::F32
        }
        _ => Precision::Bf16,
    };
    let first = LayerPrecision { attn_in: Precision::Dynamic, ffn_in: halves, gelu_out: halves };
    let second = LayerPrecision { attn_in: Precision::F32, ffn_in: Precision::Dynamic, gelu_out: Precision::Dynamic };
    [[LayerPrecision::default(); 2], [first, second]]
}

#[test]
fn calls_allocate_nothing() {
    let batches = batches();
    assert!(allocations_of(|| drop(Vec::<u8>::with_capacity(100))) > 0, "the count must count");
    // Plain Rust kernels take seconds for a round.
    let (presets, forms) = match Isa::detect() {
        Isa::Portable => (&[Preset::BertMini][..], &[Form::Sparse][..]),
        Isa::Avx512Vnni(_) | Isa::Avx2(_) => {
            (&[Preset::BertMini, Preset::ElectraSmall][..], &[Form::Sparse, Form::Dense][..])
        }
    };
    for &preset in presets {
        let mut config = preset.config();
        (config.layers, config.vocab_size) = (2, 500);
        let model = Model::seeded(config, 3).unwrap().prune(Block::B4x1, 0.8).unwrap();
        let calibrated = model.calibration().run_ids(&seeded_ids(500, 8, 40, 1)).unwrap();
        let all = forms.iter().flat_map(|&form| precisions().map(|precision| (form, precision)));
        for (form, precision) in all {
            let calibrated = calibrated.clone().with_precision(precision.to_vec()).unwrap();
            let encoder = Arc::new(calibrated.compiler().form(form).compile().unwrap());
            for threads in [1, 2] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let least = pool.install(|| least_allocations(&encoder, &batches));
                assert_eq!(least, 0, "{preset}, {form:?}, {precision:?}, {threads} threads");
            }
        }
    }
}
