//! The kernel cache: only equal plans share a function, and no code outlives its kernels.

mod support;

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use lacuna_jit::{Asm, Code, Evex, Features, Isa, JitError, RegFile};
use lacuna_kernels::cache::{AnyPlan, KernelCache};
use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::gemm::{GemmDesc, GemmKernel};
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, Generate, KernelError, PanelLayout, Plan, Sign};
use rand::prelude::*;
use rayon::prelude::*;

const U8_PLAIN: Epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);

/// The generated tier, or `None` with a remark: without it there is no code to cache.
fn generated() -> Option<Isa> {
    let isa = support::tiers().into_iter().find(|&isa| isa != Isa::Portable);
    if isa.is_none() {
        eprintln!("skipped: no tier of this machine generates code");
    }
    isa
}

fn spmm(isa: Isa, m: usize, k: usize, epilogue: Epilogue) -> SpmmPlan {
    SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap()
}

/// `count` different plans of both kinds.
fn plans(isa: Isa, count: usize) -> Vec<AnyPlan> {
    (0..count)
        .map(|i| match i % 2 {
            0 => spmm(isa, 4 + i, 64, U8_PLAIN).key(),
            _ => GemmDesc { m: 4 + i, k: 64, epilogue: U8_PLAIN, activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap()
                .key(),
        })
        .collect()
}

#[test]
fn equal_plans_share_one_function() {
    let Some(isa) = generated() else { return };
    let cache = KernelCache::default();
    let plan = spmm(isa, 8, 16, U8_PLAIN);
    let (first, stats) = cache.compile(&[plan.key(), plan.key()]).unwrap();
    assert_eq!((stats.generated, stats.reused), (1, 1));
    let (second, again) = cache.compile(&[spmm(isa, 8, 16, U8_PLAIN).key()]).unwrap();
    assert_eq!((again.generated, again.reused, again.code_bytes), (0, 1, 0));
    let address = |c: &lacuna_kernels::cache::Compiled| c.function().unwrap().address();
    assert_eq!(address(&first[0]), address(&first[1]));
    assert_eq!(address(&first[0]), address(&second[0]));
    assert_eq!(stats.code_bytes, first[0].function().unwrap().code().bytes.len());
}

#[test]
fn different_plans_do_not() {
    let Some(isa) = generated() else { return };
    let cache = KernelCache::default();
    let different = [
        spmm(isa, 8, 16, U8_PLAIN).key(),
        spmm(isa, 12, 16, U8_PLAIN).key(),
        spmm(isa, 8, 20, U8_PLAIN).key(),
        spmm(isa, 8, 16, Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned)).key(),
        spmm(isa, 8, 16, Epilogue::requantize(PanelLayout::Plain, Sign::Signed)).key(),
        spmm(isa, 8, 16, Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned)).key(),
        spmm(isa, 8, 16, Epilogue::f32(false)).key(),
        spmm(isa, 8, 16, Epilogue::f32(true)).key(),
        GemmDesc { m: 8, k: 16, epilogue: U8_PLAIN, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key(),
    ];
    let (compiled, stats) = cache.compile(&different).unwrap();
    assert_eq!((stats.generated, stats.reused), (different.len(), 0));
    let functions: Vec<_> = compiled.iter().map(|c| c.function().unwrap()).collect();
    for (i, a) in functions.iter().enumerate() {
        assert_eq!(a.code().name, different[i].name());
        for b in &functions[..i] {
            assert_ne!(a.address(), b.address());
            assert_ne!(a.code().name, b.code().name);
        }
    }
    // One mapping for one call.
    assert!(functions.iter().all(|f| f.same_mapping(functions[0])));
    assert_eq!(cache.live_bytes(), functions[0].mapping_bytes());
}

#[test]
fn layers_with_different_zeros_share_code() {
    let Some(isa) = generated() else { return };
    let (m, k) = (12, 20);
    let plan = spmm(isa, m, k, Epilogue::f32(false));
    let mut rng = StdRng::seed_from_u64(1);
    let mut layer = || {
        let weights: Vec<i8> = (0..m * k).map(|_| if rng.random_bool(0.2) { rng.random() } else { 0 }).collect();
        SpmmWeights::pack(&plan, &weights, &vec![RowParams::default(); m]).unwrap()
    };
    assert_ne!(layer().stored(), layer().stored(), "the patterns differ");
    let cache = KernelCache::default();
    let kernels = [(), ()].map(|()| SpmmKernel::new(plan, cache.compile_one(&plan).unwrap()).unwrap());
    let code = kernels.each_ref().map(|kernel| std::ptr::from_ref(kernel.code().unwrap()));
    assert_eq!(code[0], code[1]);
}

#[test]
fn code_goes_with_its_last_kernel() {
    let Some(isa) = generated() else { return };
    let cache = KernelCache::default();
    assert_eq!(cache.live_bytes(), 0);
    let spmm_plan = spmm(isa, 8, 16, U8_PLAIN);
    let gemm_plan =
        GemmDesc { m: 8, k: 16, epilogue: U8_PLAIN, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
    let (mut compiled, _) = cache.compile(&[spmm_plan.key(), gemm_plan.key()]).unwrap();
    let gemm = GemmKernel::new(gemm_plan, compiled.pop().unwrap()).unwrap();
    let spmm = SpmmKernel::new(spmm_plan, compiled.pop().unwrap()).unwrap();
    let bytes = cache.live_bytes();
    assert!(bytes > 0);
    let clone = spmm.clone();
    drop(spmm);
    drop(gemm);
    assert_eq!(cache.live_bytes(), bytes, "one mapping, kept by its last kernel");
    drop(clone);
    assert_eq!(cache.live_bytes(), 0);
    let (_, stats) = cache.compile(&[spmm_plan.key()]).unwrap();
    assert_eq!((stats.generated, stats.reused), (1, 0), "gone means generated again");
}

#[test]
fn portable_plans_need_no_code() {
    let cache = KernelCache::default();
    let (compiled, stats) = cache.compile(&plans(Isa::Portable, 6)).unwrap();
    assert_eq!(compiled.len(), 6);
    assert!(compiled.iter().all(|c| c.function().is_none()));
    assert_eq!((stats.generated, stats.reused, stats.code_bytes), (0, 0, 0));
    assert_eq!(cache.live_bytes(), 0);
}

#[test]
fn no_plans_are_no_work() {
    let (compiled, stats) = KernelCache::default().compile(&[]).unwrap();
    assert!(compiled.is_empty());
    assert_eq!((stats.generated, stats.reused), (0, 0));
}

#[test]
fn threads_generate_each_plan_once() {
    let Some(isa) = generated() else { return };
    const THREADS: usize = 8;
    for round in 0..20 {
        let cache = KernelCache::default();
        let all = plans(isa, 16);
        let start = Barrier::new(THREADS);
        // Each thread wants ten of the sixteen, in its own order.
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|i| {
                    let (cache, start) = (&cache, &start);
                    let mut wanted = all.clone();
                    wanted.shuffle(&mut StdRng::seed_from_u64((round * THREADS + i) as u64));
                    wanted.truncate(10);
                    scope.spawn(move || {
                        start.wait();
                        let (compiled, stats) = cache.compile(&wanted).unwrap();
                        (wanted, compiled, stats)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        check_shared(results);
    }
}

/// Compiling from inside a rayon pool: a worker that waits must not be the one that all others wait for.
#[test]
fn tasks_of_one_pool_generate_each_plan_once() {
    let Some(isa) = generated() else { return };
    for threads in [1, 2, 4, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for round in 0..20 {
            let cache = KernelCache::default();
            let all = plans(isa, 16);
            let results = pool.install(|| {
                (0..32u32)
                    .into_par_iter()
                    .with_max_len(1)
                    .map(|i| {
                        let mut wanted = all.clone();
                        wanted.shuffle(&mut StdRng::seed_from_u64(round * 32 + u64::from(i)));
                        wanted.truncate(10);
                        let (compiled, stats) = cache.compile(&wanted).unwrap();
                        (wanted, compiled, stats)
                    })
                    .collect()
            });
            check_shared(results);
        }
    }
}

type Answer = (Vec<AnyPlan>, Vec<lacuna_kernels::cache::Compiled>, lacuna_kernels::cache::CompileStats);

/// Every request was answered with the right code, and every plan was generated once in all.
fn check_shared(results: Vec<Answer>) {
    let mut seen = std::collections::HashMap::new();
    let (mut generated, mut requests) = (0, 0);
    for (wanted, compiled, stats) in &results {
        assert_eq!(wanted.len(), compiled.len());
        assert_eq!(stats.generated + stats.reused, wanted.len());
        generated += stats.generated;
        requests += wanted.len();
        for (plan, compiled) in wanted.iter().zip(compiled) {
            let function = compiled.function().unwrap();
            assert_eq!(function.code().name, plan.name());
            assert_eq!(*seen.entry(plan.clone()).or_insert(function.address()), function.address());
        }
    }
    assert_eq!(generated, seen.len());
    assert!(requests > generated);
}

/// A worker that waits for a part of its own generation must not start a request that waits for that generation.
#[test]
fn requests_that_arrive_during_a_generation_do_not_block_it() {
    let Some(isa) = generated() else { return };
    for round in 0..20 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let cache = Arc::new(KernelCache::default());
        let all = plans(isa, 100);
        let (sender, receiver) = mpsc::channel();
        const REQUESTS: usize = 6;
        for _ in 0..REQUESTS {
            let (sender, cache, wanted) = (sender.clone(), Arc::clone(&cache), all.clone());
            pool.spawn(move || {
                let (compiled, stats) = cache.compile(&wanted).unwrap();
                sender.send((wanted, compiled, stats)).unwrap();
            });
            thread::sleep(Duration::from_micros(200 * (round + 1)));
        }
        let answer = |_| receiver.recv_timeout(Duration::from_secs(30)).expect("the requests wait for each other");
        check_shared((0..REQUESTS).map(answer).collect());
    }
}

/// A plan made for a test: any name, and an emitter that waits for the test.
#[derive(Clone)]
struct TestPlan {
    isa: Isa,
    name: String,
    /// Told when the emitter starts, and what it waits for before it returns.
    started: mpsc::Sender<()>,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
    /// How often the plan was hashed.
    looks: Arc<AtomicUsize>,
}

impl TestPlan {
    /// The plan, what is told when its emitter starts, and what lets it finish.
    fn new(isa: Isa, name: String) -> (TestPlan, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let ((started, starts), (finish, release)) = (mpsc::channel(), mpsc::channel());
        let release = Arc::new(Mutex::new(release));
        (TestPlan { isa, name, started, release, looks: Arc::default() }, starts, finish)
    }
}

impl std::fmt::Debug for TestPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for TestPlan {
    fn eq(&self, other: &TestPlan) -> bool {
        self.name == other.name
    }
}

impl Eq for TestPlan {}

impl Hash for TestPlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.name.hash(state);
    }
}

impl Plan for TestPlan {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}

impl Generate for TestPlan {
    /// Fails if the test says nothing more.
    fn generate(&self) -> Result<Code, JitError> {
        self.started.send(()).unwrap();
        let regs = RegFile::new();
        let mut a = Asm::new();
        a.end_function(&regs);
        match self.release.lock().unwrap().recv() {
            Ok(()) => a.finish(self.name.clone(), &regs),
            Err(_) => Err(JitError::Assemble { name: self.name.clone(), message: "given up".to_owned() }),
        }
    }
}

/// A thread that waits for another thread's generation sleeps until that has ended, and then continues at once.
#[test]
fn waiting_neither_polls_nor_misses_the_end() {
    let Some(isa) = generated() else { return };
    for round in 0..50 {
        let cache = Arc::new(KernelCache::default());
        let (plan, starts, finish) = TestPlan::new(isa, format!("wanted-{round}"));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..4 {
            let (cache, plan, sender) = (Arc::clone(&cache), plan.clone(), sender.clone());
            thread::spawn(move || sender.send(cache.compile_one(&plan).unwrap()));
        }
        starts.recv().unwrap();
        if round == 0 {
            thread::sleep(Duration::from_millis(50)); // until all wait
            let looks = plan.looks.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
            assert_eq!(plan.looks.load(Ordering::Relaxed), looks, "looked up again without a reason");
        } else {
            thread::sleep(Duration::from_micros(20 * round)); // some wait, some are about to
        }
        finish.send(()).unwrap();
        let compiled: Vec<_> =
            (0..4).map(|_| receiver.recv_timeout(Duration::from_secs(30)).expect("a wake-up was lost")).collect();
        let address = |i: usize| compiled[i].function().unwrap().address();
        assert!((1..4).all(|i| address(i) == address(0)));
    }
}

/// A generation that fails wakes those who wait, and one of them tries again.
#[test]
fn a_failed_generation_is_taken_over() {
    let Some(isa) = generated() else { return };
    let cache = Arc::new(KernelCache::default());
    let (plan, starts, finish) = TestPlan::new(isa, "given-up".to_owned());
    let (sender, receiver) = mpsc::channel();
    for _ in 0..3 {
        let (cache, plan, sender) = (Arc::clone(&cache), plan.clone(), sender.clone());
        thread::spawn(move || sender.send(cache.compile_one(&plan).unwrap_err().to_string()));
    }
    starts.recv().unwrap();
    drop(finish);
    for _ in 0..3 {
        let error = receiver.recv_timeout(Duration::from_secs(30)).expect("a wake-up was lost");
        assert_eq!(error, "assembling given-up: given up");
    }
}

#[test]
fn code_of_another_plan_with_the_same_name_is_refused() {
    let Some(isa) = generated() else { return };
    let cache = KernelCache::default();
    let wanted = spmm(isa, 8, 16, U8_PLAIN);
    let (plan, _starts, finish) = TestPlan::new(isa, wanted.name());
    finish.send(()).unwrap();
    let error = SpmmKernel::new(wanted, cache.compile_one(&plan).unwrap()).unwrap_err();
    assert!(matches!(error, KernelError::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains(&format!("given the code of another plan, {}", wanted.name())), "{error}");
    // Blocks of 8x1 are computed as blocks of 4x1, by the same code.
    let covered = SpmmDesc { block: Block::B8x1, ..wanted.desc() }.plan(isa).unwrap();
    let covered = covered.with_schedule(*wanted.schedule()).unwrap();
    assert_ne!(covered, wanted);
    assert!(SpmmKernel::new(covered, cache.compile_one(&wanted).unwrap()).is_ok());
}

/// A plan whose code needs two features that the tier does not promise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Needy(Isa);

impl Plan for Needy {
    fn name(&self) -> String {
        "needy".to_owned()
    }

    fn isa(&self) -> Isa {
        self.0
    }
}

impl Generate for Needy {
    fn generate(&self) -> Result<Code, JitError> {
        let mut regs = RegFile::new();
        let zmm = regs.zmm("anything")?;
        let mut a = Asm::new();
        a.vdpbf16ps(zmm, zmm, zmm);
        a.vpermb(zmm, zmm, zmm);
        a.end_function(&regs);
        a.finish(self.name(), &regs)
    }
}

#[test]
fn code_that_needs_a_missing_feature_is_refused() {
    let Some(isa) = generated() else { return };
    let needed = Features::AVX512F | Features::AVX512_BF16 | Features::AVX512_VBMI;
    let missing = needed.without(Features::detect());
    match KernelCache::default().compile_one(&Needy(isa)) {
        Ok(_) => assert!(missing.is_empty()),
        Err(KernelError::Jit(JitError::MissingFeatures { kernel, missing: named })) => {
            assert_eq!((kernel.as_str(), named), ("needy", missing));
            assert!(!missing.is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}

/// A system that refuses executable memory: a kernel filter lets no `mprotect` of this thread, and of those it starts, make
/// memory executable.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod denied {
    use std::io;

    use lacuna_jit::JitError;
    use lacuna_kernels::KernelError;

    use super::*;

    /// Refuses executable memory to the calling thread from now on.
    fn deny_execution() -> io::Result<()> {
        // Offsets in `seccomp_data`: system call number, and the low half of argument 2.
        const NUMBER: u32 = 0;
        const PROTECTION: u32 = 16 + 2 * 8;
        let load = |offset| libc::sock_filter {
            code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
            jt: 0,
            jf: 0,
            k: offset,
        };
        let jump = |test, k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k };
        let answer = |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
        let mut filter = [
            load(NUMBER),
            jump(libc::BPF_JEQ, libc::SYS_mprotect as u32, 0, 3),
            load(PROTECTION),
            jump(libc::BPF_JSET, libc::PROT_EXEC as u32, 0, 1),
            answer(libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: changes this thread only; no pointer is passed.
        let status = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system copies the program, which is valid during the call.
        let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[test]
    fn failures_are_typed_and_not_cached() {
        let Some(isa) = generated() else { return };
        let cache = KernelCache::default();
        let plans = plans(isa, 4);
        let refused = thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                deny_execution()?;
                Ok::<_, io::Error>([cache.compile(&plans), cache.compile(&plans)])
            });
            restricted.join().unwrap()
        });
        match refused {
            Err(error) => eprintln!("skipped: this system has no seccomp filters ({error})"),
            Ok(results) => {
                for result in results {
                    let error = result.unwrap_err();
                    assert!(matches!(error, KernelError::Jit(JitError::ExecutionDenied { .. })), "{error:?}");
                }
            }
        }
        assert_eq!(cache.live_bytes(), 0);
        let (compiled, stats) = cache.compile(&plans).unwrap();
        assert_eq!((compiled.len(), stats.generated, stats.reused), (4, 4, 0));
    }
}
