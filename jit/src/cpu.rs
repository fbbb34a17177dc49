//! What the CPU says about itself: its name and its caches.

/// The CPU's own name for itself, for reports.
#[cfg(target_arch = "x86_64")]
pub fn brand() -> String {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return "x86-64".to_owned();
    }
    let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004u32)
        .map(__cpuid)
        .flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&b| b != 0)
        .collect();
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The CPU's own name for itself, for reports.
#[cfg(not(target_arch = "x86_64"))]
pub fn brand() -> String {
    std::env::consts::ARCH.to_owned()
}

/// Sizes of the data caches of one core, in bytes; of the last level, what its cores share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caches {
    /// First level, data.
    pub l1d: usize,
    /// Second level.
    pub l2: usize,
    /// Third level; 0 if there is none.
    pub l3: usize,
}

impl Caches {
    /// Sizes of most server cores since 2019, for machines that do not report theirs.
    pub const TYPICAL: Caches = Caches { l1d: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

    /// What the CPU says; nothing if it does not.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Option<Caches> {
        use raw_cpuid::{CacheType, CpuId};
        let mut sizes = [0; 4];
        for cache in CpuId::new().get_cache_parameters()? {
            let holds_data = matches!(cache.cache_type(), CacheType::Data | CacheType::Unified);
            if let (true, Some(size)) = (holds_data, sizes.get_mut(usize::from(cache.level()))) {
                *size = cache.associativity()
                    * cache.physical_line_partitions()
                    * cache.coherency_line_size()
                    * cache.sets();
            }
        }
        let [_, l1d, l2, l3] = sizes;
        (l1d > 0 && l2 > 0).then_some(Caches { l1d, l2, l3 })
    }

    /// What the CPU says; nothing if it does not.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Option<Caches> {
        None
    }
}
