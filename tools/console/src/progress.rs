//! Progress on standard error. Only a long run over texts shows it where it is no terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lacuna::hub::FetchProgress;

use crate::remarks::{Level, is_collecting, say, says};
use crate::table::plural;

/// A phase of unknown length; it disappears when the value is dropped.
pub struct Spinner(ProgressBar);

impl Spinner {
    /// Shows `message` from now on, unless the command is quiet.
    pub fn new(message: impl Into<String>) -> Spinner {
        let bar = match says(Level::Normal) {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let bar = bar.with_message(message.into());
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(120)); // takes a thread
        }
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

/// Seconds between two lines of [`Progress`] where nothing can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far a run over many texts is: count, rate and time left. On a terminal it is one line that changes, and elsewhere a line every few seconds.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    last: Instant,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Texts, or lines.
    pub texts: u64,
    /// How much of the input is read, and how much there is, if that is known.
    pub read: u64,
    /// See `read`.
    pub size: Option<u64>,
}

impl Progress {
    /// Begins now. Nothing is drawn between results that go to the same terminal, and nothing is shown if the command is quiet or its remarks are
    /// collected.
    pub fn new(results_on_terminal: bool) -> Progress {
        let is_drawn = io::stderr().is_terminal() && !results_on_terminal && is_shown();
        let bar = is_drawn.then(ProgressBar::new_spinner);
        bar.iter().for_each(|bar| bar.enable_steady_tick(Duration::from_millis(120)));
        let now = Instant::now();
        Progress { bar, start: now, last: now }
    }

    /// Shows what is done.
    pub fn update(&mut self, done: Done) {
        let elapsed = self.start.elapsed();
        match &self.bar {
            Some(bar) => bar.set_message(describe(done, elapsed)),
            None if self.last.elapsed() >= LINE_EVERY && is_shown() => {
                self.last = Instant::now();
                say(describe(done, elapsed));
            }
            None => {}
        }
    }

    /// Says something while the line is not drawn.
    pub fn pause(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn is_shown() -> bool {
    says(Level::Normal) && !is_collecting()
}

/// `1200 texts, 400 texts/s, 60 % read, 2 s left`.
fn describe(done: Done, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let mut text = format!("{}, {:.0} texts/s", plural(done.texts, "text"), done.texts as f64 / seconds.max(1e-9));
    if let Some(size) = done.size.filter(|&size| size > 0) {
        let share = (done.read as f64 / size as f64).min(1.0);
        text += &format!(", {:.0} % read", share * 1e2);
        if share > 0.0 {
            text += &format!(", {:.0} s left", seconds * (1.0 - share) / share);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_count_a_rate_and_the_time_left() {
        let of = |texts, read, size| describe(Done { texts, read, size }, Duration::from_secs(3));
        assert_eq!(of(1200, 600, Some(1000)), "1200 texts, 400 texts/s, 60 % read, 2 s left");
        assert_eq!(of(12, 600, None), "12 texts, 4 texts/s");
        assert_eq!(of(0, 0, Some(0)), "0 texts, 0 texts/s");
    }
}
