//! What ONNX Runtime says it ran: the nodes of its own profile.

use std::path::Path;

use serde::Deserialize;

use super::failed;
use crate::compare::error::EngineError;

/// Kernels that multiply matrices of integers.
const INTEGER: [&str; 7] = [
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulInteger16",
    "MatMulIntegerToFloat",
    "QAttention",
    "QGemm",
    "QLinearMatMul",
];

/// Kinds of kernel that are named; the others are counted.
const NAMED: usize = 6;

/// The kernels of some runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    /// By time, the longest first.
    kernels: Vec<Kernel>,
}

/// All nodes of one kind.
#[derive(Debug, Clone, PartialEq)]
struct Kernel {
    provider: String,
    name: String,
    /// Nodes per run.
    nodes: f64,
    /// Per run.
    microseconds: f64,
}

/// A line of the profile.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    /// Microseconds.
    #[serde(default)]
    ts: f64,
    /// Microseconds.
    #[serde(default)]
    dur: f64,
    args: Option<Args>,
}

#[derive(Deserialize, Default)]
struct Args {
    op_name: Option<String>,
    provider: Option<String>,
}

impl Profile {
    /// Reads the file that a session wrote when its profiling ended, leaving out the first `skip` runs.
    pub(super) fn read(path: &Path, skip: usize) -> Result<Profile, EngineError> {
        let text = std::fs::read(path).map_err(|error| failed("reading the profile", error))?;
        let events: Vec<Event> = serde_json::from_slice(&text).map_err(|error| failed("reading the profile", error))?;
        Profile::of(events, skip).ok_or_else(|| failed("reading the profile", "found no run in it"))
    }

    fn of(events: Vec<Event>, skip: usize) -> Option<Profile> {
        let mut runs: Vec<f64> =
            events.iter().filter(|event| event.name == "model_run").map(|event| event.ts).collect();
        runs.sort_by(f64::total_cmp);
        let (start, runs) = (*runs.get(skip)?, (runs.len() - skip) as f64);
        let mut kernels: Vec<Kernel> = Vec::new();
        for event in events.into_iter().filter(|event| event.cat == "Node" && event.ts >= start) {
            let Some(Args { op_name: Some(name), provider: Some(provider) }) = event.args else { continue };
            if event.name.ends_with("_fence_before") || event.name.ends_with("_fence_after") {
                continue; // waiting for a kernel, in old versions
            }
            let at = kernels.iter().position(|kernel| kernel.name == name && kernel.provider == provider);
            let at = at.unwrap_or_else(|| {
                kernels.push(Kernel { provider, name, nodes: 0.0, microseconds: 0.0 });
                kernels.len() - 1
            });
            kernels[at].nodes += 1.0 / runs;
            kernels[at].microseconds += event.dur / runs;
        }
        kernels.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
        Some(Profile { kernels })
    }

    /// How many nodes multiply matrices of integers.
    pub(super) fn integer_products(&self) -> usize {
        let integer = self.kernels.iter().filter(|kernel| INTEGER.contains(&kernel.name.as_str()));
        integer.map(|kernel| kernel.nodes).sum::<f64>().round() as usize
    }

    /// `CPUExecutionProvider: 36 DynamicQuantizeMatMul, 6 Attention, 2 kinds more`: what takes most time first.
    pub(super) fn describe(&self) -> String {
        let mut providers: Vec<&str> = self.kernels.iter().map(|kernel| kernel.provider.as_str()).collect();
        providers.sort_unstable();
        providers.dedup();
        let kernels: Vec<String> = self.kernels.iter().take(NAMED).map(Kernel::describe).collect();
        let more = match self.kernels.len().saturating_sub(NAMED) {
            0 => String::new(),
            1 => ", 1 kind more".to_owned(),
            more => format!(", {more} kinds more"),
        };
        format!("{}: {}{more}", providers.join(" + "), kernels.join(", "))
    }

    /// Microseconds per run by kind of kernel.
    pub(super) fn breakdown(&self) -> Vec<(String, f64)> {
        self.kernels.iter().map(|kernel| (kernel.name.clone(), kernel.microseconds)).collect()
    }
}

impl Kernel {
    fn describe(&self) -> String {
        format!("{:.0} {}", self.nodes, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(skip: usize) -> Option<Profile> {
        let node = |ts: u32, dur: u32, kind: &str| {
            let args = format!(
                r#"{{"op_name":"{kind}","provider":"CPUExecutionProvider","node_index":"3","input_type_shape":[{{"float":[1,8]}}]}}"#
            );
            format!(
                r#"{{"cat":"Node","pid":1,"tid":2,"dur":{dur},"ts":{ts},"ph":"X","name":"n_kernel_time","args":{args}}}"#
            )
        };
        let run = |ts: u32| {
            format!(r#"{{"cat":"Session","pid":1,"tid":2,"dur":50,"ts":{ts},"ph":"X","name":"model_run","args":{{}}}}"#)
        };
        let lines = [
            r#"{"cat":"Session","pid":1,"tid":2,"dur":9,"ts":1,"ph":"X","name":"model_loading_uri","args":{}}"#.to_owned(),
            run(10),
            node(11, 40, "MatMulIntegerToFloat"),
            node(12, 9, "Add"),
            run(100),
            node(101, 5, "Add"),
            node(107, 10, "MatMulIntegerToFloat"),
            node(118, 3, "Add"),
            run(200),
            node(201, 7, "Add"),
            node(209, 30, "MatMulIntegerToFloat"),
            node(240, 1, "Add"),
            r#"{"cat":"Node","pid":1,"tid":2,"dur":99,"ts":241,"ph":"X","name":"n_fence_after","args":{"op_name":"Add"}}"#.to_owned(),
        ];
        Profile::of(serde_json::from_str(&format!("[{}]", lines.join(","))).unwrap(), skip)
    }

    #[test]
    fn nodes_are_counted_per_run_the_slowest_first() {
        let profile = profile(1).unwrap();
        assert_eq!(profile.describe(), "CPUExecutionProvider: 1 MatMulIntegerToFloat, 2 Add");
        assert_eq!(profile.breakdown(), [("MatMulIntegerToFloat".to_owned(), 20.0), ("Add".to_owned(), 8.0)]);
        assert_eq!(profile.integer_products(), 1);
    }

    #[test]
    fn a_profile_without_runs_is_none() {
        assert_eq!(profile(3), None);
        let path = tempfile::NamedTempFile::new().unwrap();
        let message = Profile::read(path.path(), 0).unwrap_err().to_string();
        assert!(message.starts_with("ONNX Runtime: reading the profile failed"), "{message}");
    }

    #[test]
    fn many_kinds_are_cut_short() {
        let kernel = |i: usize| Kernel { provider: "P".into(), name: format!("K{i}"), nodes: 1.0, microseconds: 1.0 };
        let profile = Profile { kernels: (0..NAMED + 2).map(kernel).collect() };
        assert_eq!(profile.describe(), "P: 1 K0, 1 K1, 1 K2, 1 K3, 1 K4, 1 K5, 2 kinds more");
        assert_eq!(profile.integer_products(), 0);
    }
}
