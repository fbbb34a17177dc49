//! Bounds of the values of options, and options that exclude each other. A command may refuse the same earlier, in words of its own.

use crate::error::{Error, Result};
use crate::options::Options;

/// The highest temperature and the highest learning rate.
pub const HIGHEST: (f64, f64) = (100.0, 0.1);

fn wrong<T>(option: &'static str, found: impl ToString, expected: &str) -> Result<T> {
    Err(Error::Argument { option, found: found.to_string(), expected: expected.into() })
}

impl Options {
    /// Refuses values out of their bounds.
    pub(crate) fn check_bounds(&self) -> Result<()> {
        for (option, found) in [("`sparsity`", self.sparsity), ("`start_sparsity`", self.start_sparsity)] {
            if let Some(found) = found.filter(|found| !(0.0..1.0).contains(found)) {
                return wrong(option, found, "a number, 0 <= sparsity < 1");
            }
        }
        let counts = [
            ("`seq`", Some(self.seq)),
            ("`heads`", self.heads),
            ("`ffn`", self.ffn),
            ("`layers`", self.layers),
            ("`steps`", self.steps),
            ("`batch`", Some(self.batch)),
            ("`calibration_tokens`", Some(self.calibration_tokens)),
            ("`threads`", self.threads),
        ];
        if let Some((option, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
            return wrong(option, 0, "at least 1");
        }
        let is_above = |found: f64, least: f64| found > least && found.is_finite();
        if let Some(found) = self.speedup.filter(|found| !is_above(*found, 1.0)) {
            return wrong("`speedup`", found, "a number above 1");
        }
        if let Some(found) = self.target_ms.filter(|found| !is_above(*found, 0.0)) {
            return wrong("`target_ms`", found, "a number of milliseconds above 0");
        }
        if !(is_above(self.temperature, 0.0) && self.temperature <= HIGHEST.0) {
            return wrong("`temperature`", self.temperature, &format!("a number above 0 and at most {}", HIGHEST.0));
        }
        if !(is_above(self.rate(), 0.0) && self.rate() <= HIGHEST.1) {
            return wrong("`learning_rate`", self.rate(), &format!("a number above 0 and at most {}", HIGHEST.1));
        }
        match self.time {
            Some(time) if time.is_zero() => wrong("`time`", "no time", "a time above 0"),
            _ => Ok(()),
        }
    }

    /// Refuses options that exclude each other, and a run that changes nothing.
    pub(crate) fn check_conflicts(&self) -> Result<()> {
        let is_given = |option: &str| match option {
            "`sparsity`" => self.sparsity.is_some(),
            "`block`" => self.block.is_some(),
            "`speedup`" => self.speedup.is_some(),
            "`target_ms`" => self.target_ms.is_some(),
            "`keep_order`" => self.keep_order,
            "`start_sparsity`" => self.start_sparsity.is_some(),
            "`heads`" => self.heads.is_some(),
            "`ffn`" => self.ffn.is_some(),
            "`activation`" => self.activation.is_some(),
            "`lock`" => self.lock,
            "`layers`" => self.layers.is_some(),
            "`labelled`" => self.labelled.is_some(),
            "`labelled_dev`" => self.labelled_dev.is_some(),
            "`new_head`" => self.new_head,
            "`pairs`" => self.pairs.is_some(),
            "`time`" => self.time.is_some(),
            _ => self.steps.is_some(),
        };
        let locks =
            ["`sparsity`", "`block`", "`speedup`", "`target_ms`", "`keep_order`", "`start_sparsity`", "`heads`"];
        let conflicts = locks.into_iter().chain(["`ffn`", "`activation`"]).map(|other| ("`lock`", other)).chain([
            ("`speedup`", "`sparsity`"),
            ("`speedup`", "`target_ms`"),
            ("`target_ms`", "`sparsity`"),
            ("`labelled_dev`", "`pairs`"),
            ("`time`", "`steps`"),
        ]);
        if let Some((option, other)) = conflicts.into_iter().find(|(a, b)| is_given(a) && is_given(b)) {
            return wrong(option, format!("{other} beside it"), "one of them");
        }
        if self.new_head && self.labelled.is_none() {
            return wrong("`new_head`", "no `labelled`", "`labelled`, whose labels it has");
        }
        let changes =
            ["`sparsity`", "`lock`", "`new_head`", "`layers`", "`speedup`", "`target_ms`", "`heads`", "`ffn`"];
        match changes.into_iter().chain(["`activation`"]).any(is_given) {
            true => Ok(()),
            false => wrong(
                "`sparsity`",
                "none",
                "one, or one of `speedup`, `target_ms`, `heads`, `ffn`, `activation`, `layers`, `lock`, `new_head`",
            ),
        }
    }
}
