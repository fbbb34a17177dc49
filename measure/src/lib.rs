//! Measuring encoders: timing in turn, medians, and texts to time them on.
//!
//! | module | holds |
//! | --- | --- |
//! | [`stats`] | medians, cosines, correlation |
//! | [`timing`] | samples of times, and the timer that takes them |
//! | [`texts`] | what `lacuna bench text` measures: from texts to vectors |
//!
//! The command, its comparison and the Python module share this crate. It prints nothing, and makes no promise to other programs.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![deny(unsafe_code)]

pub mod stats;
pub mod texts;
pub mod timing;
