//! Instructions that a library does not report.

/// The instructions that the `gemm` crate picks, found by its own rule, because it does not report them.
pub(super) fn gemm_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match (std::arch::is_x86_feature_detected!("avx512f"), std::arch::is_x86_feature_detected!("fma")) {
        (true, _) => return "avx512f",
        (false, true) => return "fma",
        (false, false) => {}
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}
