//! Labels for texts and pairs of texts.

use lacuna::TextInput;
use lacuna::heads::HeadKind;
use lacuna::tasks::SequenceClassifier;

use crate::args::{self, LacunaText};
use crate::call::{LacunaCallOptions, cut_room, run_with_head, write_cut};
use crate::encoder::LacunaEncoder;
use crate::status::{Failed, LacunaStatus, guard};

/// Writes one score per text and label to `scores`, row after row: `count` times `lacuna_encoder_labels`, in the order of `lacuna_encoder_label`. The model
/// needs a head for sequence classification. Scores are what the model's files say: softmax, sigmoid, or the values of a regression.
///
/// `seconds` is NULL, or has the second text of every pair. `capacity` is the number of floats that `scores` has room for. `cut` may be NULL; else it has
/// room for `count` numbers and gets the tokens of each input that were left out. After an error `scores` and `cut` are as they were.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_classify(
    encoder: *const LacunaEncoder,
    texts: *const LacunaText,
    seconds: *const LacunaText,
    count: usize,
    options: *const LacunaCallOptions,
    scores: *mut f32,
    capacity: usize,
    cut: *mut usize,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (texts, options, cut) =
            unsafe { (args::texts("texts", texts, count)?, args::options(options)?, cut_room(cut, count)?) };
        let inputs: Vec<TextInput<'_>> = match seconds.is_null() {
            true => texts.iter().map(|text| TextInput::new(text)).collect(),
            false => {
                // SAFETY: likewise.
                let seconds = unsafe { args::texts("seconds", seconds, count) }?;
                texts.iter().zip(seconds).map(|(first, second)| TextInput::pair(first, second)).collect()
            }
        };
        // SAFETY: likewise.
        let head = unsafe { args::handle("encoder", encoder) }?.head(HeadKind::SequenceClassification)?;
        let labels = head.labels().len();
        // SAFETY: likewise.
        let room = unsafe { args::room("scores", scores, capacity, count.saturating_mul(labels)) }?;
        let kind = HeadKind::SequenceClassification;
        // SAFETY: likewise.
        let found = unsafe {
            run_with_head(encoder, options.cancel, kind, |session, head| {
                Ok(SequenceClassifier::new(session, head)?.scores(&inputs)?)
            })
        }?;
        let values = found.results.iter().flatten();
        if values.clone().count() != room.len() {
            let text = format!("scores: found {} values; expected {}", values.count(), room.len());
            return Err(Failed::new(LacunaStatus::Internal, text));
        }
        for (place, value) in room.iter_mut().zip(values) {
            place.write(*value);
        }
        write_cut(cut, &found.truncated);
        Ok(())
    })
}
