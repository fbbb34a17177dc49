//! Token types: pairs through the f32 reference and the compiled encoder, and what is refused.

use lacuna::config::{Architecture, EncoderConfig};
use lacuna::errors::ModelError;
use lacuna::tokens::{TokenIds, TypedIds, seeded_ids};
use lacuna::{Error, Model};

use super::checkpoint::tiny;
use super::{calibrated, compile, cosine, tiers};

fn model(architecture: Architecture) -> Model {
    let sizes =
        EncoderConfig { hidden_size: 64, heads: 2, intermediate_size: 96, vocab_size: 50, ..tiny(architecture) };
    Model::seeded(EncoderConfig { max_position: 100, ..sizes }, 5).unwrap()
}

/// The second half of each sequence is of type 1, of a single token too.
fn halves(ids: &[Vec<u32>]) -> Vec<Vec<u32>> {
    ids.iter().map(|ids| (0..ids.len()).map(|i| u32::from(2 * i + 1 >= ids.len())).collect()).collect()
}

#[test]
fn types_of_zero_are_no_types() {
    for architecture in Architecture::ALL {
        let calibrated = calibrated(model(architecture));
        let encoder = compile(&calibrated, tiers()[0]);
        let ids = seeded_ids(50, 3, 21, 8);
        let zeros = [0; 21];
        let typed: Vec<TypedIds<'_>> = ids.iter().map(|ids| TypedIds { ids, types: &zeros }).collect();
        assert_eq!(encoder.hidden_states(&typed).unwrap(), encoder.hidden_states(&ids).unwrap(), "{architecture}");
        let reference = calibrated.model().reference();
        assert_eq!(reference.forward(&typed).unwrap(), reference.forward(&ids).unwrap(), "{architecture}");
    }
}

/// Types change the result, the same way in the f32 reference and in the encoder, alone and in a batch, with and without a buffer.
#[test]
fn pairs_reach_the_type_table() {
    for architecture in [Architecture::Bert, Architecture::Electra] {
        let calibrated = calibrated(model(architecture));
        let mut ids = seeded_ids(50, 5, 70, 9);
        ids[1].truncate(1);
        ids[3].truncate(33);
        let types = halves(&ids);
        let typed: Vec<TypedIds<'_>> = ids.iter().zip(&types).map(|(ids, types)| TypedIds { ids, types }).collect();
        let reference = calibrated.model().reference().forward(&typed).unwrap();
        let mut all = Vec::new();
        for tier in tiers() {
            let encoder = compile(&calibrated, tier);
            let states = encoder.hidden_states(&typed).unwrap();
            let untyped = encoder.hidden_states(&ids).unwrap();
            for (i, found) in states.iter().enumerate() {
                assert!(cosine(found, &reference[i]) > 0.99, "{architecture} on {tier}, sequence {i}");
                assert_ne!(found, &untyped[i], "{architecture} on {tier}, sequence {i}");
                assert_eq!(&encoder.hidden_states(&typed[i..][..1]).unwrap()[0], found, "{architecture} on {tier}");
            }
            // Buffers are reused: the types of the last call must not stay.
            assert_eq!(encoder.hidden_states(&ids).unwrap(), untyped, "{architecture} on {tier}");
            let vectors = encoder.embed_ids(&typed).unwrap().concat();
            let mut into = vec![f32::NAN; vectors.len()];
            encoder.embed_ids_into(&typed, &mut into).unwrap();
            assert_eq!(into, vectors);
            all.push(states);
        }
        assert!(all.iter().all(|states| states == &all[0]), "{architecture}");
    }
}

/// A type of tokens of the caller's own, which knows its token types.
#[test]
fn callers_may_bring_their_own_sequences() {
    struct Pair(Vec<u32>, usize);
    struct Typed(Vec<u32>, Vec<u32>);
    impl TokenIds for Typed {
        fn ids(&self) -> &[u32] {
            &self.0
        }
        fn types(&self) -> Option<&[u32]> {
            Some(&self.1)
        }
    }
    let pair = Pair(vec![1, 2, 3, 4], 2);
    let types = (0..pair.0.len()).map(|i| u32::from(i >= pair.1)).collect();
    let typed = Typed(pair.0.clone(), types);
    let model = model(Architecture::Bert);
    let expected = model.reference().forward(&[TypedIds { ids: &[1, 2, 3, 4], types: &[0, 0, 1, 1] }]).unwrap();
    assert_eq!(model.reference().forward(&[typed]).unwrap(), expected);
}

#[test]
fn types_that_do_not_fit_are_errors() {
    for (architecture, kinds) in [
        (Architecture::Bert, 2),
        (Architecture::Electra, 2),
        (Architecture::DistilBert, 1),
        (Architecture::Roberta, 1),
        (Architecture::XlmRoberta, 1),
        (Architecture::Camembert, 1),
    ] {
        let calibrated = calibrated(model(architecture));
        let encoder = compile(&calibrated, tiers()[0]);
        let good = TypedIds { ids: &[1, 2, 3], types: &[0, 0, 0] };
        let short = TypedIds { ids: &[1, 2, 3], types: &[0, 0] };
        let outside = TypedIds { ids: &[1, 2, 3], types: &[0, 0, kinds] };
        for error in [
            encoder.embed_ids(&[good, short]).unwrap_err(),
            calibrated.model().reference().forward(&[good, short]).unwrap_err().into(),
        ] {
            assert!(
                matches!(error, Error::Model(ModelError::TokenTypeLength { sequence: 1, found: 2, expected: 3 })),
                "{error}"
            );
        }
        for error in [
            encoder.embed_ids(&[good, outside]).unwrap_err(),
            calibrated.model().reference().forward(&[good, outside]).unwrap_err().into(),
        ] {
            assert!(
                matches!(error, Error::Model(ModelError::TokenTypeOutOfRange { sequence: 1, position: 2, found, type_vocab_size })
                    if found == kinds && type_vocab_size == kinds as usize),
                "{architecture}: {error}"
            );
        }
    }
}
