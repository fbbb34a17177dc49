//! What is said about a run, apart from its results: in words, or as one JSON object.

use std::fmt;
use std::io;

use lacuna::{LoadReport, Truncation};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::output::{say, write_json};
use crate::stats::Cosines;

/// Everything that is said. `about` is what only the command knows, `verify` what it says of the f32 reference.
#[derive(serde::Serialize)]
pub(crate) struct Summary<'a, T, V> {
    #[serde(flatten)]
    pub(crate) about: T,
    pub(crate) tier: &'static str,
    pub(crate) calibration: Calibration,
    pub(crate) truncated: Vec<Cut>,
    pub(crate) verify: Option<V>,
    pub(crate) report: Option<&'a LoadReport>,
}

#[derive(serde::Serialize)]
pub(crate) struct Calibration {
    /// A file, or "input"; for a packed model that file, and no texts.
    pub(crate) source: String,
    pub(crate) texts: usize,
    /// Whether the command's own input had to do.
    #[serde(skip)]
    pub(crate) from_input: bool,
}

/// An input of which only the beginning was read.
pub(crate) struct Cut {
    /// What it is, from the outside in, with its number from 0: `query 3`, `passage 5`.
    pub(crate) place: Vec<(&'static str, usize)>,
    pub(crate) tokens: usize,
    pub(crate) limit: usize,
}

impl Cut {
    /// At a place, which the truncation numbers last.
    pub(crate) fn new(mut place: Vec<(&'static str, usize)>, innermost: &'static str, cut: &Truncation) -> Cut {
        place.push((innermost, cut.sentence));
        Cut { place, tokens: cut.tokens, limit: cut.limit }
    }
}

/// Cuts of a list of things of this name.
pub(crate) fn cuts(name: &'static str, truncated: &[Truncation]) -> Vec<Cut> {
    truncated.iter().map(|cut| Cut::new(Vec::new(), name, cut)).collect()
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, number)) in self.place.iter().enumerate() {
            write!(f, "{}{name} {number}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, ": {} tokens, the model takes {}: the rest was cut", self.tokens, self.limit)
    }
}

impl Serialize for Cut {
    /// `{"query": 3, "passage": 5, "tokens": 600, "limit": 512}`
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, number) in &self.place {
            map.serialize_entry(name, number)?;
        }
        map.serialize_entry("tokens", &self.tokens)?;
        map.serialize_entry("limit", &self.limit)?;
        map.end()
    }
}

/// What a comparison with the f32 reference says in words.
pub(crate) trait Said: Serialize {
    fn words(&self) -> String;
}

impl Said for Cosines {
    fn words(&self) -> String {
        format!("cosine to the f32 reference: mean {:.5}, least {:.5}", self.mean, self.min)
    }
}

impl<T: Serialize, V: Said> Summary<'_, T, V> {
    /// Says it on standard error.
    pub(crate) fn say(&self, json: bool) {
        if json {
            // Results matter more than what is said about them: a closed standard error is no failure.
            let _ = write_json(&mut io::stderr().lock(), self);
            return;
        }
        let Calibration { texts, from_input, .. } = self.calibration;
        if from_input {
            say(format_args!(
                "calibrated on the first {texts} input texts; --calibrate FILE takes others (about 200 are enough)"
            ));
        }
        self.truncated.iter().for_each(say);
        self.verify.iter().map(V::words).for_each(say);
        if let Some(report) = self.report {
            say(report.to_string().trim_end());
        }
    }
}
