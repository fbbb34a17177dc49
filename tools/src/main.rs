//! The `lacuna` command: what the library can do, from a shell.
//!
//! One file per subcommand; each has an `Args` struct (what the user says) and a `run` (what happens). Errors come back as
//! values: `main` prints one line and exits 2, or 1 when a check of the command's own failed.

#![deny(unsafe_code)]

mod analyze;
mod answer;
mod bench;
mod calibrate;
mod calibration;
mod classify;
mod cli;
mod command;
mod completions;
mod compress;
mod demo;
mod doctor;
mod embed;
mod evaluate;
mod export;
mod fill;
mod inspect;
mod listing;
mod man;
mod model;
mod pack;
mod packed;
mod rank;
mod serve;
mod shipped;
mod tag;
mod task;
mod times;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lacuna_console::process;

/// Without memory the command ends with one line, too.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: process::Allocator = process::Allocator;

fn main() -> ExitCode {
    process::prepare();
    let result = match cli::Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => return cli::explain(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "error: {}", error.one_line());
            error.exit_code()
        }
    }
}
