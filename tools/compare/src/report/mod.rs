//! A report as text, JSON, CSV, and a page.
//!
//! `groups` puts the rows of one subject together, `verdict` draws conclusions; every form is made from these two, so that no
//! two forms say different things.

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

pub(crate) use {
    data::{rows_json, write_csv},
    html::page,
    table::text,
};
