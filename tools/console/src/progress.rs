//! Progress on standard error, only where somebody looks: nothing is drawn unless it is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lacuna::hub::FetchProgress;

/// A phase of unknown length; it disappears when the value is dropped.
pub struct Spinner(ProgressBar);

impl Spinner {
    /// Shows `message` from now on.
    pub fn new(message: impl Into<String>) -> Spinner {
        let bar = ProgressBar::new_spinner().with_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Spinner(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A number of steps. Drawn when a step begins and never in between, so that it does not disturb what is measured.
pub struct Steps(ProgressBar);

impl Steps {
    /// A bar of `steps` steps.
    pub fn new(steps: usize) -> Steps {
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {eta} left  {msg}") {
            bar.set_style(style);
        }
        Steps(bar)
    }

    /// A step begins.
    pub fn begin(&self, message: impl Into<String>) {
        self.0.set_message(message.into());
        self.0.tick();
    }

    /// A step is done.
    pub fn end(&self) {
        self.0.inc(1);
    }

    /// Says how many steps are done, where some were left out.
    pub fn at(&self, steps: usize) {
        self.0.set_position(steps as u64);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The files of a download, one after the other; each disappears when it is complete.
#[derive(Default)]
pub struct Download(Option<ProgressBar>);

impl FetchProgress for Download {
    fn begin(&mut self, file: &str, bytes: u64) {
        let bar = ProgressBar::new(bytes).with_message(file.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg}  {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
        {
            bar.set_style(style);
        }
        self.end();
        self.0 = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        self.0.iter().for_each(|bar| bar.inc(bytes));
    }

    fn end(&mut self) {
        self.0.take().iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.end();
    }
}
