//! Which instructions the `gemm` crate runs on this CPU: candle multiplies with it too.

/// The instructions that the `gemm` crate picks, by the rule that it picks them by: it does not tell.
pub(super) fn gemm_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match (std::arch::is_x86_feature_detected!("avx512f"), std::arch::is_x86_feature_detected!("fma")) {
        (true, _) => return "avx512f",
        (false, true) => return "fma",
        (false, false) => {}
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}
