//! Which kernels run products that read the same tensor: the format of their input, and the fastest plans for it.

use lacuna_kernels::KernelError;

use super::chooser::Chooser;
use super::product::{Job, Offer, PlannedProduct, ProductPlan, Reads, offers};

impl Chooser<'_> {
    /// The input that products of the same tensor read, and their plans: the input whose fastest plans take the least time in all.
    pub(super) fn choose<'j>(&self, jobs: Vec<Job<'j>>) -> Result<(Reads, Vec<PlannedProduct<'j>>), KernelError> {
        let all: Vec<Vec<Offer<Box<dyn ProductPlan>>>> =
            jobs.iter().map(|job| offers(job, self)).collect::<Result<_, _>>()?;
        let time = |reads| {
            let times =
                all.iter().map(|offers| offers.iter().filter(|offer| offer.reads == reads).map(|offer| offer.time));
            times.map(|times| times.min_by(f64::total_cmp)).sum::<Option<f64>>()
        };
        let times = Reads::ALL.into_iter().filter_map(|reads| Some((reads, time(reads)?)));
        let Some((reads, _)) = times.min_by(|(_, a), (_, b)| a.total_cmp(b)) else {
            return Err(KernelError::Mismatch {
                kernel: "encoder layer".into(),
                found: "products without a common input".into(),
                expected: "one input that all products of a tensor can read".into(),
            });
        };
        let fastest = all.into_iter().map(|offers| {
            let offers = offers.into_iter().filter(|offer| offer.reads == reads);
            offers.min_by(|a, b| a.time.total_cmp(&b.time))
        });
        let chosen = jobs.into_iter().zip(fastest.flatten()); // each has an offer, or there would be no time
        let planned = chosen.map(|(job, offer)| PlannedProduct::new(job, offer.plan, self));
        Ok((reads, planned.collect::<Result<_, _>>()?))
    }
}
