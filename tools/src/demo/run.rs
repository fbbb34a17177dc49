//! The demo that the options ask for.

use std::fmt::Display;

use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{print, print_json};
use serde::Serialize;

use super::args::Args;
use super::check::{self, Check};
use super::{random, shipped};

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    match args.random() {
        Some(asked) => {
            check_tokens(args.tokens, asked.preset.config().max_position, asked.preset)?;
            let demo = random::demo(asked, context)?;
            finish(args, &demo, |verbose| demo.text(verbose), &demo.checks)
        }
        None => {
            let model = crate::shipped::open()?;
            check_tokens(args.tokens, model.config().max_position, crate::shipped::PATH)?;
            let demo = shipped::demo(&model, args.tokens, context)?;
            finish(args, &demo, |verbose| demo.text(verbose), &demo.checks)
        }
    }
}

fn check_tokens(tokens: usize, limit: usize, model: impl Display) -> Result<()> {
    match tokens <= limit {
        true => Ok(()),
        false => Err(Error::Argument {
            option: "--tokens",
            found: tokens.to_string(),
            expected: format!("1 to {limit}, the positions of {model}"),
        }),
    }
}

/// Prints what was found, and fails if a check did.
fn finish(args: &Args, demo: &impl Serialize, text: impl FnOnce(bool) -> String, checks: &[Check]) -> Result<()> {
    match args.json {
        true => print_json(demo)?,
        false => print(text(args.verbose))?,
    }
    check::verdict(checks)
}
