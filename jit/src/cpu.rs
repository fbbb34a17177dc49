//! What the CPU says about itself: its name, its numbers and its caches.

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

/// The numbers by which a CPU tells its design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The maker: `GenuineIntel`, `AuthenticAMD`.
    pub vendor: String,
    /// The family, with the extended one added.
    pub family: u8,
    /// The model, with the extended one before it.
    pub model: u8,
    /// The stepping.
    pub stepping: u8,
}

impl Model {
    /// What the CPU says; nothing if it does not.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Option<Model> {
        let id = raw_cpuid::CpuId::new();
        let (vendor, features) = (id.get_vendor_info()?, id.get_feature_info()?);
        let (family, model, stepping) = (features.family_id(), features.model_id(), features.stepping_id());
        Some(Model { vendor: vendor.as_str().to_owned(), family, model, stepping })
    }

    /// What the CPU says; nothing if it does not.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Option<Model> {
        None
    }
}

/// The version of the CPU's microcode, as Linux says it; nothing on other systems.
pub fn microcode() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("microcode"))?;
    line.split_once(':').map(|(_, version)| version.trim().to_owned())
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
