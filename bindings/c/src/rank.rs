//! Reranking.

use lacuna::heads::HeadKind;
use lacuna::tasks::CrossEncoder;

use crate::args::{self, LacunaText};
use crate::call::{LacunaCallOptions, cut_room, run_with_head, write_cut};
use crate::encoder::LacunaEncoder;
use crate::status::{LacunaStatus, guard};

/// A passage and its score.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LacunaRanked {
    /// Index of the passage among those given.
    pub index: usize,
    /// Larger is better. NaN if the logit is.
    pub score: f32,
    /// What the score is made of.
    pub logit: f32,
}

/// Writes the passages of a query to `ranked`, the best first. The model needs a head for sequence classification with one label, or with two of which the
/// second is "relevant".
///
/// `ranked` has room for `capacity` results, at least `count`. `cut` may be NULL; else it has room for `count` numbers and gets, for each passage in the
/// order given, the tokens that were left out of it and the query. After an error `ranked` and `cut` are as they were.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_rank(
    encoder: *const LacunaEncoder,
    query: LacunaText,
    passages: *const LacunaText,
    count: usize,
    options: *const LacunaCallOptions,
    ranked: *mut LacunaRanked,
    capacity: usize,
    cut: *mut usize,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (query, passages, options) = unsafe {
            let query = args::text(|| "query".into(), &query)?;
            (query, args::texts("passages", passages, count)?, args::options(options)?)
        };
        // SAFETY: likewise.
        let (room, cut) = unsafe { (args::room("ranked", ranked, capacity, count)?, cut_room(cut, count)?) };
        // SAFETY: likewise.
        let found = unsafe {
            run_with_head(encoder, options.cancel, HeadKind::SequenceClassification, |session, head| {
                Ok(CrossEncoder::new(session, head)?.rank(query, &passages)?)
            })
        }?;
        for (place, found) in room.iter_mut().zip(&found.results) {
            place.write(LacunaRanked { index: found.index, score: found.score, logit: found.logit });
        }
        write_cut(cut, &found.truncated);
        Ok(())
    })
}
