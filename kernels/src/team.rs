//! One parallel region for many short phases of work.
//!
//! A [`Team`] is a leader, the thread that asked for it, and helpers, other threads of the leader's rayon pool that join while they
//! have no other work. Only the leader runs the program; each [`Parallel::for_each`](crate::Parallel::for_each) in it
//! is a *phase*, whose parts the leader and the helpers claim from one word of bits. Entering a phase costs tens of nanoseconds
//! while a rayon call costs microseconds, as much as a whole kernel on a short sentence.
//!
//! A team works without helpers too: the leader does all parts that no helper claims. And no helper stays when there is nothing to
//! do: between phases it spins for some microseconds, then yields, and after about a millisecond leaves for good. So nothing can
//! deadlock. This does not depend on other work of the pool, or on the stack of a helper: a thread that waits for another one
//! in the middle of a part may be asked to help the very team of that part.
//!
//! In all phases with the same number of parts, a member prefers the same part. So the data that it wrote in one phase is in its
//! own cache in the next.
//!
//! When *not* to use it: for work with long stretches between phases (begin a team for each), or for parts that wait for each
//! other.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::thread::yield_now;

/// Most shares of a phase, one per bit of a word. A phase of more parts has several parts per share.
const MAX_SHARES: usize = u64::BITS as usize;
/// Rounds of spinning before a waiting thread yields its core: some microseconds.
const SPINS: u32 = 512;
/// Rounds of yielding, about 0.3 us each on an idle core, before a helper leaves.
const YIELDS: u32 = 4096;

/// The leader's handle of a team: alive while the work of [`Team::run`] is.
///
/// It stays on the leader's thread, so that phases never overlap:
///
/// ```compile_fail
/// lacuna_kernels::Team::run(2, |team| rayon::join(|| drop(team), || ()));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Team<'a> {
    shared: &'a Shared,
    /// Neither `Send` nor `Sync`: one thread, one phase at a time.
    leader: PhantomData<*mut ()>,
}

impl Team<'_> {
    /// Runs `work` with a team of at most `threads` members, no more than the current rayon pool has threads.
    ///
    /// Called outside of a pool, `work` moves to a thread of the global pool if the team has more than one member. On a thread
    /// of a pool nothing is allocated. Panics of `work` and of the parts of its phases come out of this call.
    pub fn run<R: Send>(threads: usize, work: impl FnOnce(Team<'_>) -> R + Send) -> R {
        let threads = match threads {
            0 | 1 => 1,
            threads => threads.min(rayon::current_num_threads()),
        };
        let shared = Shared::new(threads);
        let lead = || {
            let _dismissed = Dismissal(&shared);
            work(Team { shared: &shared, leader: PhantomData })
        };
        match threads {
            1 => lead(),
            _ => rayon::join(lead, || shared.recruit(threads - 1)).0,
        }
    }

    /// The most members this team can have: what the work is worth splitting into.
    pub fn threads(self) -> usize {
        self.shared.threads
    }

    /// Calls `body` for every index below `count`, in any order, on whichever members there are.
    pub(crate) fn for_each<F: Fn(usize) + Sync>(self, count: usize, body: &F) {
        if count < 2 || self.shared.threads < 2 {
            return (0..count).for_each(body);
        }
        let shares = count.min(MAX_SHARES);
        let phase = Phase { body: std::ptr::from_ref(body).cast(), call: call_body::<F>, count, shares };
        // SAFETY: this thread is the only leader (`Team` is neither `Send` nor `Sync`) and not inside another phase (`body` is
        // `Sync` and cannot hold a `Team`). `body` lives until `lead_phase` returns.
        unsafe { self.shared.lead_phase(phase) };
    }
}

/// What the members do together: `call(body, i)` for i below `count`.
#[derive(Clone, Copy)]
struct Phase {
    body: *const (),
    /// # Safety
    /// - The first argument is the `body` that this function was made for, and alive.
    call: unsafe fn(*const (), usize),
    count: usize,
    /// `count.min(MAX_SHARES)`; share s is the parts from `s count / shares` to `(s + 1) count / shares`.
    shares: usize,
}

/// # Safety
/// - `body` points to a live `F`.
unsafe fn call_body<F: Fn(usize) + Sync>(body: *const (), index: usize) {
    // SAFETY: the caller's promise; several threads may call it at once because `F` is `Sync`.
    unsafe { (*body.cast::<F>())(index) }
}

/// The phase under way, on one cache line, which is all that moves between cores when a phase begins and ends.
struct Current {
    /// Bit b is set while the share that starts there is not claimed; see [`MASKS`].
    open: AtomicU64,
    /// Shares of the phase that are not finished.
    pending: AtomicUsize,
    phase: UnsafeCell<Phase>,
}

/// A value on a cache line (and its neighbour, which some CPUs fetch along) of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

/// The state of a team.
///
/// # Memory ordering
/// The leader writes `phase`, then `pending`, then publishes the shares in `open` with Release. A member claims a share by
/// clearing its bit in `open` with Acquire; all writes to `open` in between are read-modify-writes, so the claim synchronises with
/// the publication, and the member may read `phase`. After the share it subtracts from `pending` with Release. The leader waits
/// until it reads `pending == 0` with Acquire, which synchronises with every subtraction: everything that members read of `phase`
/// and of the body, and wrote through it, happens before the leader goes on. `phase` is thus written only while no share is
/// claimed, and read only while one is.
///
/// A member may read `open` during one phase and claim in a later one. Then it gets a share of the later phase, which is correct:
/// it reads `phase` only after the claim.
struct Shared {
    current: Line<Current>,
    /// Helpers that have joined so far, for their first bits.
    joined: AtomicUsize,
    /// Helpers that have joined and not left.
    present: AtomicUsize,
    closed: AtomicBool,
    panicked: AtomicBool,
    threads: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `phase` is the only field that is not `Sync` by itself; its pointer is only followed, and the cell only accessed, as
// "Memory ordering" above says, and what it points to is `Sync`.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Bits of the shares of a phase, by their number: share s of n has bit `64 s / n`. A member prefers shares from its own bit on,
/// which is thus the same place in every phase.
static MASKS: [u64; MAX_SHARES + 1] = {
    let mut masks = [0; MAX_SHARES + 1];
    let mut shares = 1;
    while shares <= MAX_SHARES {
        let mut share = 0;
        while share < shares {
            masks[shares] |= 1 << (share * MAX_SHARES / shares);
            share += 1;
        }
        shares += 1;
    }
    masks
};

impl Shared {
    fn new(threads: usize) -> Shared {
        /// # Safety
        /// - None.
        unsafe fn nothing(_: *const (), _: usize) {}
        Shared {
            current: Line(Current {
                open: AtomicU64::new(0),
                pending: AtomicUsize::new(0),
                phase: UnsafeCell::new(Phase { body: std::ptr::null(), call: nothing, count: 0, shares: 1 }),
            }),
            joined: AtomicUsize::new(0),
            present: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            threads,
            panic: Mutex::new(None),
        }
    }

    /// Publishes a phase, works on it, and waits for its last share.
    ///
    /// # Safety
    /// - No other phase of this team is under way: one leader, one phase at a time.
    /// - `phase.call` may be called with `phase.body` from any thread until this returns.
    unsafe fn lead_phase(&self, phase: Phase) {
        // SAFETY: no phase is under way, so no share is claimed and nobody reads: see "Memory ordering".
        unsafe { *self.current.0.phase.get() = phase };
        self.current.0.pending.store(phase.shares, Relaxed);
        self.current.0.open.store(MASKS[phase.shares], Release);
        while let Some(bit) = self.claim(0) {
            // SAFETY: just claimed.
            unsafe { self.run_share(bit) };
        }
        let mut waiting = 0;
        while self.current.0.pending.load(Acquire) > 0 {
            pause(&mut waiting);
        }
        if self.panicked.load(Relaxed) {
            self.panicked.store(false, Relaxed);
            let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(panic.unwrap_or_else(|| Box::new("a part of a parallel phase panicked")));
        }
    }

    /// Claims an open share, the first one from bit `first` on, if there is one.
    fn claim(&self, first: u32) -> Option<u32> {
        loop {
            let open = self.current.0.open.load(Relaxed);
            if open == 0 {
                return None;
            }
            let bit = (open.rotate_right(first).trailing_zeros() + first) % u64::BITS;
            if self.current.0.open.fetch_and(!(1 << bit), Acquire) & 1 << bit != 0 {
                return Some(bit);
            }
        }
    }

    /// Runs a claimed share. After a panic, shares that are not claimed yet are dropped.
    ///
    /// # Safety
    /// - The caller has claimed `bit` and not yet run it.
    unsafe fn run_share(&self, bit: u32) {
        // SAFETY: a share of the phase is claimed and not finished: nobody writes, see "Memory ordering".
        let Phase { body, call, count, shares } = unsafe { *self.current.0.phase.get() };
        let share = (bit as usize * shares).div_ceil(MAX_SHARES); // the inverse of 64 s / n
        let parts = share * count / shares..(share + 1) * count / shares;
        // SAFETY: `lead_phase` has not returned while this share is not finished, and its caller promised the rest.
        let result = catch_unwind(AssertUnwindSafe(|| parts.for_each(|part| unsafe { call(body, part) })));
        let mut finished = 1;
        if let Err(panic) = result {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            self.panicked.store(true, Relaxed);
            finished += self.current.0.open.swap(0, Relaxed).count_ones() as usize;
        }
        self.current.0.pending.fetch_sub(finished, Release);
    }

    /// Makes this thread a helper, and asks the pool for the other `helpers - 1`.
    fn recruit(&self, helpers: usize) {
        if self.closed.load(Relaxed) {
            return;
        }
        match helpers {
            1 => self.help(),
            _ => drop(rayon::join(|| self.recruit(helpers.div_ceil(2)), || self.recruit(helpers / 2))),
        }
    }

    /// Claims shares until the team is dismissed or has had none for long.
    fn help(&self) {
        self.present.fetch_add(1, Relaxed);
        let member = self.joined.fetch_add(1, Relaxed) + 1;
        let first = (member * MAX_SHARES / self.threads) as u32 % u64::BITS;
        loop {
            while let Some(bit) = self.claim(first) {
                // SAFETY: just claimed.
                unsafe { self.run_share(bit) };
            }
            if !self.await_phase() {
                break;
            }
        }
        self.present.fetch_sub(1, Relaxed);
    }

    /// Waits for open shares; false once the team is dismissed, or after [`YIELDS`].
    fn await_phase(&self) -> bool {
        let mut waiting = 0;
        while waiting < SPINS + YIELDS && !self.closed.load(Relaxed) {
            if self.current.0.open.load(Relaxed) != 0 {
                return true;
            }
            pause(&mut waiting);
        }
        false
    }
}

/// Dismisses the helpers when the leader's work ends, by return or by panic.
struct Dismissal<'a>(&'a Shared);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Relaxed);
        // They leave at once; rayon would look for other work meanwhile, which may be long.
        let mut waiting = 0;
        while waiting < SPINS && self.0.present.load(Relaxed) > 0 {
            pause(&mut waiting);
        }
    }
}

/// Spins, or yields after [`SPINS`] rounds.
fn pause(waiting: &mut u32) {
    match *waiting {
        ..SPINS => spin_loop(),
        _ => yield_now(),
    }
    *waiting = waiting.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_bits_are_a_bijection() {
        for (shares, mask) in MASKS.into_iter().enumerate().skip(1) {
            assert_eq!(mask.count_ones() as usize, shares);
            let bits = (0..u64::BITS).filter(|bit| mask >> bit & 1 == 1);
            let found: Vec<usize> = bits.map(|bit| (bit as usize * shares).div_ceil(MAX_SHARES)).collect();
            assert_eq!(found, (0..shares).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_bit_of_every_member_opens_its_part_of_the_work() {
        for (threads, mask) in MASKS.into_iter().enumerate().skip(1) {
            assert!((0..threads).all(|member| mask >> (member * MAX_SHARES / threads) & 1 == 1));
        }
    }
}
