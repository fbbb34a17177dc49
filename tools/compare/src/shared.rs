//! What `compare kernels` and `compare model` share: notes for the help text and for reports, and numbers of threads.

use lacuna_console::context::Context;

use super::options::{Effort, Options};
use super::threads::list;

/// The help text that kernels and model share.
pub(crate) const NOTES: &str = "\
A row per engine and subject: engine, version, the implementation that it reports using, median time, spread (interquartile range over \
median), rate, how many times as long each dense engine takes (the median over rounds of samples taken in turn), and the error that \
was found before anything was timed. A row that disagrees is marked, not timed, and never counted as a win; so is an engine that \
keeps more cores busy than it was given threads. Exit status 1 if one of Lacuna's own engines disagrees, or if an engine that was asked for has no result; 130 after Ctrl-C, which prints what \
was measured until then.

JSON: an array of objects with engine, version, implementation, dtype, threads (asked for), threads_used (seen computing), cores_busy (CPU \
time over wall time), pinned, the subject (m, k, n, block, sparsity, output; or model, batch, seq, sparsity), median_us, best_us, spread, samples, \
gops_dense_equivalent (all weights count) or sequences_per_s and tokens_per_s, error and error_mean (products: distance from the exact \
result in steps of the 8-bit output; models: 1 - cosine to the f32 reference), agrees, ratios, ratio_quartiles (between which half of the rounds' ratios are), note. CSV has the same columns, ratios as \
ratio_to_ENGINE, and their quartiles as ratio_to_ENGINE_q1 and _q3.

A subject gets up to three times the rounds and the time while the middle half of Lacuna's ratios to a dense engine is wider than a tenth of \
their median. If it is still so at the end, the verdict warns.";

/// `--threads` as a list; one thread without.
pub(crate) fn thread_counts(context: &Context) -> Vec<usize> {
    match context.thread_counts() {
        [] => vec![1],
        counts => counts.to_vec(),
    }
}

/// How samples were taken, for reports.
pub(crate) fn interleaving(effort: Effort, options: &Options) -> String {
    let bound = match &options.pin[..] {
        [] => "not bound to CPUs".to_owned(),
        cpus => format!("bound to CPUs {}", list(cpus)),
    };
    format!(
        "Every engine runs in a process of its own, {bound}, and waits while another is timed. Up to {} rounds or {} s per subject; in \
         a round every engine takes a few samples, hot. Times are medians of all samples, ratios medians over rounds.",
        effort.rounds, effort.budget
    )
}
