//! What a model computes, as a hash: two models that differ in weights, scales or tokenizer have different ones.

use lacuna::Result;
use lacuna::heads::Head;
use lacuna::tasks::Backbone;
use lacuna::tokens::TypedIds;
use xxhash_rust::xxh3::Xxh3;

/// Tokens of the sequence that is run.
const PROBE: usize = 16;

/// The hash of what the model makes of a fixed sequence, and of its tokenizer. Results have the same bits on every tier and with any number of threads,
/// so that a run can be resumed on another machine.
pub(super) fn of(model: &dyn Backbone, head: Option<&Head>) -> Result<String> {
    let mut hash = Xxh3::new();
    let config = model.config();
    hash.update(format!("{config:?}").as_bytes());
    if let Some(tokenizer) = model.tokenizer() {
        hash.update(tokenizer.json());
        hash.update(&tokenizer.max_length().to_le_bytes());
    }
    hash.update(format!("{:?}", model.prompts()).as_bytes());
    let length = PROBE.min(config.max_position);
    // Spread over the vocabulary.
    let ids: Vec<u32> = (0..length).map(|i| (i * config.vocab_size / length) as u32).collect();
    let types = vec![0; length];
    let batch = [TypedIds { ids: &ids, types: &types }];
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for states in model.hidden_states(&batch)? {
        hash.update(&floats(&states.data));
        if let Some(head) = head {
            hash.update(&floats(&head.logits(&states)?.data));
            hash.update(format!("{:?}", head.config()).as_bytes());
        }
    }
    for vector in model.embed_ids(&batch, 0)? {
        hash.update(&floats(&vector));
    }
    Ok(format!("{:032x}", hash.digest128()))
}
