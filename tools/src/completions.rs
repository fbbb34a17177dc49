//! `lacuna completions`: what a shell needs to complete the command's options.

use clap_complete::Shell;
use lacuna_console::error::Result;
use lacuna_console::output::stdout;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna completions bash > ~/.local/share/bash-completion/completions/lacuna
  lacuna completions zsh > ~/.zfunc/_lacuna
  lacuna completions fish > ~/.config/fish/completions/lacuna.fish")]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, command: &mut clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "lacuna", &mut script);
    stdout(|out| out.write_all(&script))
}
