//! A report as text, JSON, CSV, and a page.
//!
//! `groups` puts the rows of one subject together, `verdict` draws conclusions; every form is made from these two, so that no
//! two forms say different things.

// The commands that make reports are to come; until then only tests call this.
#![allow(dead_code)]

mod charts;
mod data;
#[cfg(test)]
mod fixtures;
mod grids;
mod groups;
mod html;
mod parts;
mod table;
mod verdict;

#[allow(unused_imports)]
pub(crate) use {
    data::{rows_json, write_csv},
    html::page,
    table::text,
};
