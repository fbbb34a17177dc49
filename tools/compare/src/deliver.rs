//! Where the result of a comparison goes.

use std::path::Path;

use lacuna_console::error::{Error, Result};
use lacuna_console::output::{self, print, say, stdout};

use super::options::Options;
use super::report::{page, rows_json, text, write_csv};
use super::row::Report;
use lacuna_console::interrupt;

/// Standard output in one of three forms, and perhaps a page.
pub(crate) struct Target {
    form: ReportFormat,
    html: Option<output::Target>,
}

enum ReportFormat {
    Table,
    Json,
    Csv,
}

impl Target {
    /// Refuses a page that could not be written, before anything is measured.
    pub(crate) fn new(options: &Options, html: Option<&Path>) -> Result<Target> {
        let form = match (options.json, options.csv) {
            (true, _) => ReportFormat::Json,
            (_, true) => ReportFormat::Csv,
            _ => ReportFormat::Table,
        };
        Ok(Target { form, html: html.map(|path| output::Target::new(Some(path))).transpose()? })
    }
}

/// Prints what was measured and writes the page.
///
/// # Errors
/// [`Error::Interrupted`], when everything is printed, after an interruption; [`Error::Check`] if an engine of ours does not agree,
/// or one that was asked for has no result.
pub(crate) fn deliver(report: &Report, target: &Target) -> Result<()> {
    match target.form {
        ReportFormat::Table => print(text(report))?,
        ReportFormat::Json => stdout(|out| rows_json(&report.rows, out))?,
        ReportFormat::Csv => stdout(|out| write_csv(&report.rows, out))?,
    }
    if !matches!(target.form, ReportFormat::Table) {
        for (engine, why) in &report.absent {
            say(format_args!("absent: {engine}: {why}"));
        }
    }
    if let Some(html) = &target.html {
        let page = page(report);
        html.write(|out| out.write_all(page.as_bytes()))?;
    }
    if interrupt::wanted() {
        return Err(Error::Interrupted);
    }
    let wrong = report.rows.iter().find(|row| row.error.is_some() && !row.agrees && row.engine.starts_with("lacuna"));
    match wrong {
        Some(row) => Err(Error::Check(format!(
            "{} does not agree on {}: {}",
            row.engine,
            row.subject.text(),
            row.note.as_deref().unwrap_or("no note")
        ))),
        None => match report.undone() {
            Some((engine, why)) => Err(Error::Check(format!("asked for, but not measured: {engine}: {why}"))),
            None => Ok(()),
        },
    }
}
