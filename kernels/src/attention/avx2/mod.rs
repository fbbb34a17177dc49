//! Attention for 256 bits, with AVX-VNNI and without: the same panels, tables and bits as for 512 bits.
//!
//! Sixteen queries are computed at a time, in two vectors of eight. Scores, probabilities and outputs are loops over groups of four keys, with
//! scores and probabilities in scratch memory.
//!
//! **Products**: `vpdpbusd` where the CPU has it ([`product::Product`]). AVX2 has no exact product of u8 and s8 (`vpmaddubsw` saturates),
//! so both factors become words, even bytes apart from odd bytes, and `vpmaddwd` multiplies them. Q and V are widened where they
//! are read, K once per head, and P is computed in words anyway.
//!
//! **Stores**: AVX2 has no cheap masked store. Sequences start at multiples of four tokens, so a store of four tokens is either wanted
//! as a whole or not at all: one dword of a plain row, or 16 bytes of a VNNI row. Each is skipped by a branch.

mod emit;
mod exponential;
mod groups;
mod keys;
mod output;
mod probabilities;
mod product;
mod regs;
mod scores;
mod store;

pub(super) use emit::emit;
