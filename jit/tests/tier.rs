//! Which tier a process gets: from an option, from the environment, or from the machine.
//!
//! The environment belongs to the whole process, so every case of it runs in a child process of its own.

#[path = "../../kernels/tests/support/required.rs"]
mod required;

use std::ffi::{OsStr, OsString};
use std::process::Command;

use lacuna_jit::{Avx2, Avx512Bf16, Avx512Vnni, Features, Isa, JitError, MASK_VARIABLE, TIER_VARIABLE, Tier};

/// What `Tier::select(None)` answers in a process whose `LACUNA_TIER` is `value`: `Ok: name` or `Err: message`.
fn select_in_child(value: Option<&OsStr>) -> String {
    in_child("selected", |child| {
        child.env_remove(TIER_VARIABLE);
        if let Some(value) = value {
            child.env(TIER_VARIABLE, value);
        }
    })
}

/// What a child process with the environment of `set` prints after the word `key`.
fn in_child(key: &str, set: impl FnOnce(&mut Command)) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_prints_what_it_found", "--ignored", "--nocapture"]);
    set(&mut child);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.lines().find_map(|line| line.strip_prefix(&format!("{key} ")).map(str::to_owned));
    answer.unwrap_or_else(|| panic!("no answer in {text:?}"))
}

#[test]
#[ignore = "runs in a child process of the other tests"]
fn child_prints_what_it_found() {
    match Tier::select(None) {
        Ok(tier) => println!("\nselected Ok: {tier}"),
        Err(error) => println!("\nselected Err: {error}"),
    }
    let vbmi = Avx512Vnni::detect().map(Avx512Vnni::vbmi);
    println!("detected {} vbmi {vbmi:?} bf16 {}", Isa::detect(), Avx512Bf16::detect().is_some());
    println!("features {}", Features::detect());
    println!("masked {:?}", Features::masked().map_err(|error| error.to_string()));
}

#[test]
fn tiers_are_ordered_and_named() {
    assert!(Tier::ALL.is_sorted());
    assert!(Tier::Portable < Tier::Avx2 && Tier::Avx2 < Tier::AvxVnni && Tier::AvxVnni < Tier::Avx512Vnni);
    for tier in Tier::ALL {
        assert_eq!(tier.name().parse(), Ok(tier));
        assert_eq!(tier.to_string(), tier.name());
    }
    for unknown in ["", "AVX2", "avx512", " portable"] {
        assert_eq!(unknown.parse::<Tier>(), Err(unknown.to_owned()));
    }
}

#[test]
fn the_best_tier_of_the_machine_is_the_last_one_that_lacks_nothing() {
    assert!(Tier::Portable.missing().is_empty());
    let available = Tier::ALL.into_iter().filter(|tier| tier.missing().is_empty());
    assert_eq!(available.max(), Some(Tier::detect()));
    assert_eq!(Avx512Vnni::detect().is_some(), Tier::detect() == Tier::Avx512Vnni);
}

#[test]
fn an_option_gets_its_tier_or_an_error() {
    for tier in Tier::ALL {
        let missing = tier.missing();
        match Tier::select(Some(tier)) {
            Ok(selected) => assert!(selected == tier && missing.is_empty(), "{tier} gave {selected}"),
            Err(JitError::TierUnavailable { requested, available, missing: named }) => {
                assert_eq!((requested, available, named), (tier, Tier::detect(), missing.join(", ")));
                assert!(!missing.is_empty());
            }
            Err(other) => panic!("{tier}: {other}"),
        }
    }
}

#[test]
fn the_environment_names_the_tier() {
    for tier in Tier::ALL {
        let answer = select_in_child(Some(OsStr::new(tier.name())));
        if tier.missing().is_empty() {
            assert_eq!(answer, format!("Ok: {tier}"));
        } else {
            assert!(answer.starts_with(&format!("Err: tier {tier} was asked for")), "{answer}");
        }
    }
}

#[test]
fn without_a_name_the_machine_decides() {
    let best = format!("Ok: {}", Tier::detect());
    assert_eq!(select_in_child(None), best);
    assert_eq!(select_in_child(Some(OsStr::new(""))), best);
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    let answer = select_in_child(Some(OsStr::new("avx1024")));
    assert!(answer.starts_with("Err: unknown tier \"avx1024\" in the environment variable LACUNA_TIER"), "{answer}");
    for tier in Tier::ALL {
        assert!(answer.contains(tier.name()), "{answer} does not name {tier}");
    }
}

#[test]
#[cfg(unix)]
fn a_name_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let answer = select_in_child(Some(&OsString::from_vec(vec![b'a', 0xff])));
    assert!(answer.starts_with("Err: unknown tier \"a\u{fffd}\""), "{answer}");
}

#[test]
fn kernels_are_generated_for_every_tier_of_this_machine() {
    for tier in Tier::ALL {
        let isa = Isa::for_tier(tier);
        let expected = match (tier, tier.missing().is_empty()) {
            (Tier::Portable, _) | (_, false) => Isa::Portable,
            (Tier::Avx2, true) => Isa::Avx2(Avx2::detect().unwrap().without_vnni()),
            (Tier::AvxVnni, true) => Isa::Avx2(Avx2::detect().unwrap()),
            (Tier::Avx512Vnni, true) => Isa::Avx512Vnni(Avx512Vnni::detect().unwrap()),
        };
        assert_eq!(isa, expected, "{tier}");
        if tier.missing().is_empty() {
            assert_eq!(isa.name(), tier.name());
            assert!(isa.to_string().starts_with(tier.name()), "{isa}");
        }
        let portable = matches!(isa, Isa::Portable | Isa::Avx2(_));
        assert_eq!(isa.or_portable_for_avx2() == Isa::Portable, portable, "{tier}");
    }
    assert_eq!(Isa::detect(), Isa::for_tier(Tier::detect()));
}

/// What a child process prints whose `LACUNA_MASK_FEATURES` is `mask`, and whose tier is its own choice.
fn masked(key: &str, mask: &str) -> String {
    in_child(key, |child| {
        child.env_remove(TIER_VARIABLE).env(MASK_VARIABLE, mask);
    })
}

#[test]
fn masked_features_are_not_there() {
    let machine = |feature| masked("features", "").split(", ").any(|name| name == Features::to_string(&feature));
    for feature in Features::all() {
        let hidden = feature.with_dependents();
        let found = masked("features", &feature.to_string());
        let expected: Vec<String> =
            Features::all().filter(|f| machine(*f) && !hidden.contains(*f)).map(|f| f.to_string()).collect();
        assert_eq!(found, expected.join(", "), "without {feature}");
        let named = Features::all().filter(|f| machine(*f) && hidden.contains(*f)).fold(Features::NONE, Features::with);
        assert_eq!(masked("masked", &feature.to_string()), format!("Ok({named:?})"));
    }
}

#[test]
fn optional_features_do_not_change_the_tier() {
    if masked("selected", "") != "Ok: avx512vnni" {
        required::check_required_tier();
        return eprintln!("skipped: this machine has no AVX-512 VNNI");
    }
    assert_eq!(masked("selected", "avx512bf16, avx512vbmi"), "Ok: avx512vnni");
    assert_eq!(masked("detected", "avx512bf16, avx512vbmi"), "avx512vnni-novbmi vbmi Some(false) bf16 false");
    for needed in Tier::Avx512Vnni.features().names() {
        let left = masked("features", needed);
        let left = left.split(", ").filter_map(Features::from_name).fold(Features::NONE, Features::with);
        let has = |tier: &Tier| left.contains(tier.features());
        let best = Tier::ALL.into_iter().rev().find(has).unwrap();
        assert_eq!(masked("selected", needed), format!("Ok: {best}"), "without {needed}");
        assert!(masked("detected", needed).starts_with(&format!("{best} vbmi None")), "without {needed}");
    }
    // A tier that is asked for by name and needs a masked feature is an error.
    let forced = in_child("selected", |child| {
        child.env(TIER_VARIABLE, "avx512vnni").env(MASK_VARIABLE, "avx512vnni");
    });
    assert!(forced.starts_with("Err: tier avx512vnni was asked for"), "{forced}");
    assert!(forced.contains("(missing: avx512vnni)"), "{forced}");
}

#[test]
fn an_unknown_feature_is_an_error_that_lists_the_known_ones() {
    for key in ["selected", "masked"] {
        let answer = masked(key, "avx512bf16,vbmi");
        assert!(answer.contains("unknown CPU feature") && answer.contains("vbmi"), "{answer}");
        assert!(answer.contains("environment variable LACUNA_MASK_FEATURES"), "{answer}");
        assert!(Features::all().all(|feature| answer.contains(&feature.to_string())), "{answer}");
    }
    assert_eq!(masked("detected", "vbmi"), "portable vbmi None bf16 false"); // no feature at all
}
