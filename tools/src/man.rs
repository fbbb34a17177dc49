//! `lacuna man`: manual pages.

use std::path::PathBuf;

use lacuna_console::error::{Error, Result};
use lacuna_console::remarks;

/// Write manual pages, one for each command
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna man ~/.local/share/man/man1 && man lacuna-embed")]
pub(crate) struct Args {
    /// The folder to write them to; it must exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, command: clap::Command) -> Result<()> {
    let failed = Error::io(&args.folder, "write manual pages to");
    clap_mangen::generate_to(command, &args.folder).map_err(failed)?;
    remarks::say(format_args!("{0}: manual pages written; man -l {0}/lacuna.1 shows the first", args.folder.display()));
    Ok(())
}
