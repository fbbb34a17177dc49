//! Sets of CPU features: what instructions need, what a machine has, what a user masks.

use std::fmt;
use std::ops::BitOr;

/// A set of CPU features, beyond what every x86-64 CPU has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(u16);

impl Features {
    /// The empty set.
    pub const NONE: Features = Features(0);
    /// 256-bit integer instructions.
    pub const AVX2: Features = Features(1 << 0);
    /// Fused multiply-add.
    pub const FMA: Features = Features(1 << 1);
    /// Dot products of bytes, VEX-encoded.
    pub const AVX_VNNI: Features = Features(1 << 2);
    /// AVX-512 foundation.
    pub const AVX512F: Features = Features(1 << 3);
    /// Bytes and words in 512 bits.
    pub const AVX512BW: Features = Features(1 << 4);
    /// More instructions on 32- and 64-bit elements.
    pub const AVX512DQ: Features = Features(1 << 5);
    /// AVX-512 instructions on 128 and 256 bits.
    pub const AVX512VL: Features = Features(1 << 6);
    /// Dot products of bytes.
    pub const AVX512_VNNI: Features = Features(1 << 7);
    /// Permutations of bytes.
    pub const AVX512_VBMI: Features = Features(1 << 8);
    /// Dot products of bf16 and conversions to it.
    pub const AVX512_BF16: Features = Features(1 << 9);

    /// Every feature with its name (the one that Rust uses) and the features that it needs, those that are needed first.
    const TABLE: [(Features, &'static str, Features); 10] = [
        (Features::AVX2, "avx2", Features::NONE),
        (Features::FMA, "fma", Features::NONE),
        (Features::AVX_VNNI, "avxvnni", Features::AVX2),
        (Features::AVX512F, "avx512f", Features::AVX2.with(Features::FMA)),
        (Features::AVX512BW, "avx512bw", Features::AVX512F),
        (Features::AVX512DQ, "avx512dq", Features::AVX512F),
        (Features::AVX512VL, "avx512vl", Features::AVX512F),
        (Features::AVX512_VNNI, "avx512vnni", Features::AVX512F),
        (Features::AVX512_VBMI, "avx512vbmi", Features::AVX512BW),
        (Features::AVX512_BF16, "avx512bf16", Features::AVX512BW),
    ];

    /// All features that have a name here.
    pub fn all() -> impl Iterator<Item = Features> {
        Features::TABLE.into_iter().map(|(feature, ..)| feature)
    }

    /// The union with `other`.
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// The features of this set that are not in `other`.
    pub const fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// The features of this set that are in `other` too.
    pub const fn and(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// Whether this set has all of `other`.
    pub const fn contains(self, other: Features) -> bool {
        other.without(self).is_empty()
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the features, in the order of [`Features::all`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Features::TABLE.into_iter().filter(move |(feature, ..)| self.contains(*feature)).map(|(_, name, _)| name)
    }

    /// The feature of this name.
    pub fn from_name(name: &str) -> Option<Features> {
        Features::TABLE.into_iter().find(|(_, known, _)| *known == name).map(|(feature, ..)| feature)
    }

    /// This set, and all features that need one of it: a machine without these features has none of them.
    pub fn with_dependents(self) -> Features {
        // One pass is enough: what a feature needs stands before it.
        Features::TABLE.into_iter().fold(
            self,
            |set, (feature, _, needs)| {
                if set.and(needs).is_empty() { set } else { set.with(feature) }
            },
        )
    }
}

impl BitOr for Features {
    type Output = Features;
    fn bitor(self, other: Features) -> Features {
        self.with(other)
    }
}

impl fmt::Display for Features {
    /// The names, comma separated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_their_names() {
        let two = Features::AVX512_VBMI | Features::AVX512F;
        assert_eq!(two.to_string(), "avx512f, avx512vbmi");
        assert_eq!(format!("{two:?}"), r#"{"avx512f", "avx512vbmi"}"#);
        assert_eq!(Features::NONE.to_string(), "");
        for feature in Features::all() {
            assert_eq!(Features::from_name(&feature.to_string()), Some(feature));
        }
        assert_eq!(Features::from_name("avx512"), None);
    }

    #[test]
    fn what_lacks_a_feature_lacks_those_that_need_it() {
        let all = Features::all().fold(Features::NONE, Features::with);
        assert_eq!(Features::NONE.with_dependents(), Features::NONE);
        assert_eq!(Features::AVX512_BF16.with_dependents(), Features::AVX512_BF16);
        assert_eq!(
            Features::AVX512BW.with_dependents(),
            Features::AVX512BW | Features::AVX512_VBMI | Features::AVX512_BF16
        );
        assert_eq!(Features::AVX2.with_dependents(), all.without(Features::FMA));
        let avx512 = all.without(Features::AVX2 | Features::FMA | Features::AVX_VNNI);
        assert_eq!(Features::AVX512F.with_dependents(), avx512);
        assert_eq!(Features::FMA.with_dependents(), avx512 | Features::FMA);
    }

    #[test]
    fn set_arithmetic() {
        let (f, bw) = (Features::AVX512F, Features::AVX512BW);
        assert!((f | bw).contains(bw) && !f.contains(bw) && f.contains(Features::NONE) && Features::NONE.is_empty());
        assert_eq!(((f | bw).without(f), (f | bw).and(f)), (bw, f));
    }
}
