//! Fused int8 attention of one layer, per sequence and head, with no padding and no transposition.
//!
//! ```text
//! S[j][i] = sum_d K[d][j] (Q[d][i] - q_zero)            exact in s32; j key, i query
//! P[j][i] = round(255 * 2^-((max_j S[j][i] - S[j][i]) * c))        u8; c = score scale * log2(e)
//! O[d][i] = sum_j V[d][j] P[j][i] / sum_j P[j][i]
//! out     = saturate_u8(round(O[d][i] * out_scale[d] + out_zero))
//! ```
//!
//! P is not normalised before it is rounded: its largest element is always 255, so a long, flat attention row keeps its
//! precision, and the weights of O sum to exactly 1.
//!
//! **Shapes**: H heads of D features (D a multiple of 4: pad heads with zero features), features F = H D; sequences start at
//! multiples of 4 tokens.
//!
//! **Layout**: Q (u8) and K (s8) are VNNI panels, V (s8) is a plain panel, the output (u8) is a plain or VNNI panel, all of
//! F features. Keys go in groups of four: K's dword of four features of one key and V's dword of one feature of four keys
//! are broadcast operands, Q and P are vectors of 16 queries, or of 8 with 256 bits.
//!
//! **Numerics**: integer sums are exact; P is computed in integers ([`crate::math::exp2_u8`]) and within 0.56 of the exact
//! value, rounding to 8 bit included; everything is bit-identical on all tiers. Keys past the end of a sequence get a
//! score of about -2^31, so their P is 0. A head whose score scale is so small that c rounds to 0 weighs all keys of a sequence
//! equally, whatever their scores are.

mod args;
mod avx2;
mod batch;
mod constants;
mod desc;
mod emit;
mod exponential;
mod flat;
mod groups;
#[cfg(test)]
mod interpreted;
mod kernel;
mod long;
mod parabolas;
mod plan;
mod portable;
mod regs;
mod short;
mod sizes;
mod store;

pub use batch::{AttentionBatch, Sequence};
pub use desc::AttentionDesc;
pub use kernel::{AttentionKernel, AttentionParams};
pub use plan::AttentionPlan;
