//! A caller that keeps known values in everything a System V callee must preserve, and looks at them afterwards.

use std::fmt;

/// What a call did not preserve, as a bit mask: bit `i` stands for [`Clobbers::NAMES`]`[i]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clobbers(pub(crate) u32);

impl Clobbers {
    /// Everything was preserved.
    pub(crate) const NONE: Clobbers = Clobbers(0);

    /// What is watched. Of MXCSR, that is rounding, exception masks and the two flush modes; the sticky exception flags belong to
    /// the callee. The upper halves of ymm0-15 are clean again where the callee ended with `vzeroupper`: no rule of the
    /// calling convention, but SSE code that follows is slow without it.
    pub(crate) const NAMES: [&str; 10] =
        ["rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "direction flag", "MXCSR", "upper halves of ymm0-15"];

    /// The mask of one name.
    pub(crate) fn of(name: &str) -> Clobbers {
        let bit = Clobbers::NAMES.iter().position(|&n| n == name).expect("a name in Clobbers::NAMES");
        Clobbers(1 << bit)
    }
}

impl fmt::Debug for Clobbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Clobbers::NAMES.iter().enumerate().filter(|(i, _)| self.0 >> i & 1 == 1).map(|n| n.1))
            .finish()
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use trampoline::with_canaries;

/// Never reached: sealing fails on other architectures, so no function exists there.
///
/// # Safety
/// - None needed.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe fn with_canaries<A>(_: &lacuna_jit::Function, _: *const A) -> Clobbers {
    unreachable!("generated functions exist only on x86-64")
}

#[cfg(target_arch = "x86_64")]
mod trampoline {

    use std::mem::offset_of;

    use dynasmrt::{DynasmApi, dynasm};
    use lacuna_jit::{Asm, Code, CodeArena, Function, RegFile};

    use super::Clobbers;

    /// rbx, rbp, r12-r15: the registers that a callee must restore, in the order of [`Clobbers::NAMES`].
    const SAVED: [u8; 6] = [3, 5, 12, 13, 14, 15];
    const DIRECTION_FLAG: u64 = 1 << 10;
    /// All of MXCSR but the six sticky exception flags.
    const MXCSR_CONTROL: u32 = 0xffc0;

    /// What the trampoline reads and writes. Its address is part of the trampoline's code, because no register can be trusted
    /// after the call.
    #[repr(C)]
    struct State {
        saved: [u64; SAVED.len()],
        rsp_before: u64,
        rsp_after: u64,
        flags: u64,
        mxcsr_before: u32,
        mxcsr_after: u32,
        ymm: [[u128; 2]; 16],
    }

    /// No two alike, and no valid address.
    fn canary(register: u8) -> u64 {
        0xca11_ab1e_0000_0000 | u64::from(register) << 8 | 0x5a
    }

    /// Calls `function` with `args` as its only argument, with canaries in the registers it must preserve. Returns what it did
    /// not preserve; all of it is put right again before this returns.
    ///
    /// # Safety
    /// - As for [`lacuna_jit::Entry::call`]: the CPU has the features that the code uses, and `args` satisfies its contract.
    /// - The code returns to its caller.
    pub(crate) unsafe fn with_canaries<A>(function: &Function, args: *const A) -> Clobbers {
        let avx = is_x86_feature_detected!("avx");
        let state = Box::into_raw(Box::new(State {
            saved: [0; SAVED.len()],
            rsp_before: 0,
            rsp_after: 0,
            flags: 0,
            mxcsr_before: 0,
            mxcsr_after: 0,
            ymm: [[0; 2]; 16],
        }));
        let mut arena = CodeArena::new();
        let id = arena.push(emit(state, function.address(), avx));
        let sealed = arena.seal().expect("memory for the trampoline");
        let trampoline = sealed.function(id).expect("the function just pushed");
        // SAFETY: `emit` makes a function of that convention which hands its argument through.
        let trampoline = unsafe { trampoline.typed::<*const A>() };
        // SAFETY: `state` is valid and `args` is the caller's promise. The callee gets the value behind the reference.
        unsafe { trampoline.call(&args) };
        // SAFETY: made by `Box::into_raw` above and used by the trampoline only.
        let state = unsafe { Box::from_raw(state) };

        let mut clobbers = 0;
        for (i, &register) in SAVED.iter().enumerate() {
            clobbers |= u32::from(state.saved[i] != canary(register)) << i;
        }
        let mxcsr_changed = (state.mxcsr_before ^ state.mxcsr_after) & MXCSR_CONTROL != 0;
        let rest = [
            ("rsp", state.rsp_after != state.rsp_before),
            ("direction flag", state.flags & DIRECTION_FLAG != 0),
            ("MXCSR", mxcsr_changed),
            ("upper halves of ymm0-15", state.ymm.iter().any(|halves| halves[1] != 0)),
        ];
        rest.iter().filter(|(_, clobbered)| *clobbered).for_each(|(name, _)| clobbers |= Clobbers::of(name).0);
        Clobbers(clobbers)
    }

    /// A function that reads its argument as a pointer to the pointer that `target` gets.
    fn emit(state: *mut State, target: *const u8, avx: bool) -> Code {
        const MXCSR_BEFORE: i32 = offset_of!(State, mxcsr_before) as i32;
        const MXCSR_AFTER: i32 = offset_of!(State, mxcsr_after) as i32;
        const RSP_BEFORE: i32 = offset_of!(State, rsp_before) as i32;
        const RSP_AFTER: i32 = offset_of!(State, rsp_after) as i32;
        const FLAGS: i32 = offset_of!(State, flags) as i32;
        let state = state.expose_provenance() as i64;
        let mut a = Asm::new();
        for register in SAVED {
            dynasm!(a ; .arch x64 ; push Rq(register));
        }
        // Seven words lie on the stack now, the return address among them: one more aligns it to 16 bytes.
        dynasm!(a ; .arch x64
            ; sub rsp, 8
            ; mov rax, QWORD state
            ; mov [rax + RSP_BEFORE], rsp
            ; stmxcsr DWORD [rax + MXCSR_BEFORE]
            ; mov rdi, [rdi]
        );
        if avx {
            dynasm!(a ; .arch x64 ; vzeroupper);
        }
        for register in SAVED {
            dynasm!(a ; .arch x64 ; mov Rq(register), QWORD canary(register) as i64);
        }
        dynasm!(a ; .arch x64
            ; mov rax, QWORD target as i64
            ; call rax
            ; mov rax, QWORD state
            ; mov [rax + RSP_AFTER], rsp
            ; mov rsp, [rax + RSP_BEFORE]
            ; pushfq
            ; pop rcx
            ; mov [rax + FLAGS], rcx
            ; cld
            ; stmxcsr DWORD [rax + MXCSR_AFTER]
            ; ldmxcsr DWORD [rax + MXCSR_BEFORE]
        );
        for (i, register) in SAVED.into_iter().enumerate() {
            let offset = (offset_of!(State, saved) + i * size_of::<u64>()) as i32;
            dynasm!(a ; .arch x64 ; mov [rax + offset], Rq(register));
        }
        if avx {
            for register in 0..16u8 {
                let offset = (offset_of!(State, ymm) + usize::from(register) * 32) as i32;
                dynasm!(a ; .arch x64 ; vmovups [rax + offset], Ry(register));
            }
            dynasm!(a ; .arch x64 ; vzeroupper);
        }
        dynasm!(a ; .arch x64 ; add rsp, 8);
        for register in SAVED.into_iter().rev() {
            dynasm!(a ; .arch x64 ; pop Rq(register));
        }
        dynasm!(a ; .arch x64 ; ret);
        a.finish("canary-trampoline".to_owned(), &RegFile::new()).expect("the trampoline has no labels")
    }
}
