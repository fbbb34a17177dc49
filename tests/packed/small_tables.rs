//! Files with a byte per value of their embedding tables.

use lacuna::config::Architecture;
use lacuna::{Compile, Form};

use super::hostile::Forged;
use super::{Bench, batch, seeded, through_file, tiers, tiny};

#[test]
fn files_are_smaller_and_give_the_same_bits_as_before_they_were_written() {
    for architecture in Architecture::ALL {
        let model = seeded(tiny(architecture));
        let ids = batch(model.model().config());
        let packed = model.compiler().small_tables(true).pack().unwrap();
        let opened = through_file(&packed);
        let size = |small| {
            let folder = tempfile::tempdir().unwrap();
            model.compiler().small_tables(small).pack().unwrap().write(folder.path().join("m")).unwrap()
        };
        assert!(size(true) < size(false));
        for tier in tiers() {
            let compile = |packed: &lacuna::PackedModel| packed.compiler().tier(tier).compile().unwrap();
            let states = compile(&packed).hidden_states(&ids).unwrap();
            assert_eq!(compile(&opened).hidden_states(&ids).unwrap(), states, "{architecture} on {tier}");
            // Rounding changes something, and not much.
            let exact = model.compiler().tier(tier).compile().unwrap().hidden_states(&ids).unwrap();
            assert!(states != exact);
            let cosine = |a: &[f32], b: &[f32]| {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            };
            assert!(states.iter().zip(&exact).all(|(a, b)| cosine(&a.data, &b.data) > 0.99));
        }
    }
}

#[test]
fn codes_and_scales_that_are_never_written_are_refused() {
    let bench = Bench::new();
    let model = seeded(tiny(Architecture::Bert));
    model.compiler().form(Form::Dense).small_tables(true).pack().unwrap().write(bench.path()).unwrap();
    let whole = Forged::of(&std::fs::read(bench.path()).unwrap());
    bench.open(&whole.to_bytes()).unwrap();
    for (section, bytes, expected) in [
        ("word.codes", &[0x80][..], "a code of -128"),
        ("position.scales", &f32::NAN.to_le_bytes(), "a scale of NaN"),
        ("word.scales", &f32::INFINITY.to_le_bytes(), "a scale of inf"),
        ("word.scales", &(-1f32).to_le_bytes(), "a scale of -1"),
    ] {
        let mut changed = whole.clone();
        changed.section(section)[..bytes.len()].copy_from_slice(bytes);
        let error = bench.refused(&changed.to_bytes(), expected).to_string();
        assert!(error.contains(expected) && error.contains(section), "{error}");
    }
}
