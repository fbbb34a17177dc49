//! What ONNX Runtime says it ran: the nodes of its own profile.

use std::path::Path;

use serde::Deserialize;

use super::failure::failed;
use crate::error::EngineError;

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

impl Event {
    /// Whether it is a kernel at work; old versions also tell of waiting for one.
    fn is_kernel(&self) -> bool {
        self.cat == "Node" && !self.name.ends_with("_fence_before") && !self.name.ends_with("_fence_after")
    }
}

impl Profile {
    /// Reads the file that a session wrote when its profiling ended. The first run, which does what later ones need not, is left
    /// out, and of the others the slowest and the fastest quarter.
    pub(super) fn read(path: &Path) -> Result<Profile, EngineError> {
        let text = std::fs::read(path).map_err(|error| failed("reading the profile", error))?;
        let events: Vec<Event> = serde_json::from_slice(&text).map_err(|error| failed("reading the profile", error))?;
        Profile::of(&events).ok_or_else(|| failed("reading the profile", "found no second run in it"))
    }

    fn of(events: &[Event]) -> Option<Profile> {
        let mut starts: Vec<f64> =
            events.iter().filter(|event| event.name == "model_run").map(|event| event.ts).collect();
        starts.sort_by(f64::total_cmp);
        let mut runs: Vec<Vec<&Event>> = vec![Vec::new(); starts.len()];
        for event in events.iter().filter(|event| event.is_kernel()) {
            let begun = starts.partition_point(|start| *start <= event.ts);
            if let Some(run) = begun.checked_sub(1).and_then(|run| runs.get_mut(run)) {
                run.push(event);
            }
        }
        let mut runs = runs.split_off(1.min(runs.len()));
        let time = |run: &Vec<&Event>| run.iter().map(|event| event.dur).sum::<f64>();
        runs.sort_by(|a, b| time(a).total_cmp(&time(b)));
        let middle = &runs[runs.len() / 4..runs.len() - runs.len() / 4];
        let share = 1.0 / middle.first().map(|_| middle.len() as f64)?;
        let mut kernels: Vec<Kernel> = Vec::new();
        for event in middle.iter().flatten() {
            let Some(Args { op_name: Some(name), provider: Some(provider) }) = &event.args else { continue };
            let at = kernels.iter().position(|kernel| kernel.name == *name && kernel.provider == *provider);
            let at = at.unwrap_or_else(|| {
                let (provider, name) = (provider.clone(), name.clone());
                kernels.push(Kernel { provider, name, nodes: 0.0, microseconds: 0.0 });
                kernels.len() - 1
            });
            kernels[at].nodes += share;
            kernels[at].microseconds += event.dur * share;
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

    fn line(category: &str, name: &str, ts: u32, dur: u32, args: &str) -> String {
        let head = format!(r#""cat":"{category}","pid":1,"tid":2,"dur":{dur},"ts":{ts},"ph":"X","name":"{name}""#);
        format!(r#"{{{head},"args":{{{args}}}}}"#)
    }

    /// A run whose kernels take these times.
    fn run(start: u32, product: u32, adds: [u32; 2]) -> Vec<String> {
        let kernel = |ts, dur, kind: &str| {
            let shape = r#""input_type_shape":[{"float":[1,8]}]"#;
            let args = format!(r#""op_name":"{kind}","provider":"CPUExecutionProvider","node_index":"3",{shape}"#);
            line("Node", "node_kernel_time", start + ts, dur, &args)
        };
        vec![
            line("Session", "model_run", start, 500, ""),
            kernel(1, adds[0], "Add"),
            kernel(100, product, "MatMulIntegerToFloat"),
            kernel(300, adds[1], "Add"),
            line("Node", "node_fence_after", start + 400, 99, r#""op_name":"Add""#),
        ]
    }

    fn profile(runs: &[Vec<String>]) -> Option<Profile> {
        let mut lines = vec![line("Session", "model_loading_uri", 1, 9, "")];
        lines.extend(runs.iter().flatten().cloned());
        Profile::of(&serde_json::from_str::<Vec<Event>>(&format!("[{}]", lines.join(","))).unwrap())
    }

    #[test]
    fn kernels_are_counted_per_run_the_slowest_first() {
        let first = run(1000, 1, [90, 90]);
        let runs = [first.clone(), run(2000, 10, [5, 3]), run(3000, 30, [7, 1])];
        let found = profile(&runs).unwrap();
        assert_eq!(found.describe(), "CPUExecutionProvider: 1 MatMulIntegerToFloat, 2 Add");
        assert_eq!(found.breakdown(), [("MatMulIntegerToFloat".to_owned(), 20.0), ("Add".to_owned(), 8.0)]);
        assert_eq!(found.integer_products(), 1);
        let runs = [first, run(2000, 10, [5, 3]), run(3000, 30, [7, 1]), run(4000, 150, [9, 9]), run(5000, 1, [1, 1])];
        assert_eq!(profile(&runs).unwrap(), found, "the slowest and the fastest of four do not count");
    }

    #[test]
    fn a_profile_without_a_second_run_is_none() {
        assert_eq!(profile(&[]), None);
        assert_eq!(profile(&[run(1000, 1, [1, 1])]), None);
        let path = tempfile::NamedTempFile::new().unwrap();
        let message = Profile::read(path.path()).unwrap_err().to_string();
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
