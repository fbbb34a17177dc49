//! Which tier a process gets: from an option, from the environment, or from the machine.
//!
//! The environment belongs to the whole process, so every case of it runs in a child process of its own.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use lacuna_jit::{Avx512Vnni, Isa, JitError, TIER_VARIABLE, Tier};

/// What `Tier::select(None)` answers in a process whose `LACUNA_TIER` is `value`: `Ok: name` or `Err: message`.
fn select_in_child(value: Option<&OsStr>) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_prints_its_tier", "--ignored", "--nocapture"]).env_remove(TIER_VARIABLE);
    if let Some(value) = value {
        child.env(TIER_VARIABLE, value);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.lines().find_map(|line| line.split_once("selected ")).map(|(_, answer)| answer.to_owned());
    answer.unwrap_or_else(|| panic!("no answer in {text:?}"))
}

#[test]
#[ignore = "runs in a child process of the other tests"]
fn child_prints_its_tier() {
    match Tier::select(None) {
        Ok(tier) => println!("\nselected Ok: {tier}"),
        Err(error) => println!("\nselected Err: {error}"),
    }
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
fn kernels_are_generated_for_the_highest_tier_only() {
    for tier in [Tier::Portable, Tier::Avx2, Tier::AvxVnni] {
        assert_eq!(Isa::for_tier(tier), Isa::Portable);
    }
    let highest = Avx512Vnni::detect().map_or(Isa::Portable, Isa::Avx512Vnni);
    assert_eq!(Isa::for_tier(Tier::Avx512Vnni), highest);
    assert_eq!(Isa::detect(), highest);
    assert_eq!(Isa::Portable.to_string(), Tier::Portable.name());
    if let Isa::Avx512Vnni(_) = highest {
        assert_eq!(highest.to_string(), Tier::Avx512Vnni.name());
    }
}
