//! The sparse model that the `lacuna` command has with it: all-MiniLM-L6-v2 with 80 % of the blocks of 4x1 weights zero, in int8, as one packed
//! file. Its model card is `README.md` in this folder, and `make.sh` makes it.

#![deny(missing_docs, unsafe_code)]

/// What the model is, in words.
pub const NAME: &str = "all-MiniLM-L6-v2 with 80 % of its weights zero";

/// The file below the root of the project.
pub const FILE: &str = "assets/minilm-80.lacuna";

/// The packed file, at an address that is a multiple of 64, so that it is used in place; none in a build without the file.
pub const fn minilm_80() -> Option<&'static [u8]> {
    #[cfg(has_model)]
    return Some(&MINILM_80.0);
    #[cfg(not(has_model))]
    return None;
}

#[cfg(has_model)]
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

#[cfg(has_model)]
static MINILM_80: &Aligned<[u8]> = &Aligned(*include_bytes!("../minilm-80.lacuna"));
