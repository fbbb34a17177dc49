//! What the kernels that walk the rows of f32 tiles share: the heads of their loops, and the steps that several of them take.
//!
//! A row is one feature of a tile. Generated code handles the rows of a tile in groups of [`GROUP`], and of each row the vectors
//! that hold columns: one to four with 512 bits, two with 256.
//!
//! | file | holds |
//! | --- | --- |
//! | `verbs` | what differs between 512 and 256 bits, the choice by vectors of columns among it |
//! | `heads` | the loops over groups of rows |
//! | `steps` | activation, quantisation and stores of a group of rows |
//! | `parts` | which columns of a tile one call computes |
//! | `portable` | the same stores in plain Rust |
//! | `shape` | checks of sizes, the loop over tiles |

mod heads;
mod parts;
mod portable;
mod shape;
mod steps;
mod verbs;

pub(crate) use heads::{F32_ROW_BYTES, GROUP, element, emit_row_groups, emit_row_groups_back, emit_rows, group_of};
pub(crate) use parts::{Part, parts};
pub(crate) use portable::{lanes, quantize, store_panel_row, with_fma, zero_padding_features};
pub(crate) use shape::{check_columns, check_features, for_each_tile, tile_columns, tile_elements};
pub(crate) use steps::{PanelRows, emit_activate, emit_quantize, emit_store_f32, emit_store_panel, emit_zero};
pub(crate) use verbs::RowVerbs;
