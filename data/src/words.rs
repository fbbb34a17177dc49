//! Words of messages.

use std::fmt::Display;

/// `1 row`, `2 rows`.
pub fn plural<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{count} {noun}{}", if count == N::from(1) { "" } else { "s" })
}

/// A number of bytes with a unit.
pub fn bytes(bytes: usize) -> String {
    match bytes as f64 {
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e4 => format!("{:.1} KB", b / 1e3),
        _ => format!("{bytes} B"),
    }
}

/// A message with the names of options as a command spells them: `` `train_pairs` `` becomes `--train-pairs`. Other words in backticks stay.
pub fn dashed(message: &str, names: &[&str]) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('`') {
        out.push_str(before);
        rest = match after.split_once('`') {
            Some((name, after)) if names.contains(&name) => {
                out.extend(["--", &name.replace('_', "-")]);
                after
            }
            _ => {
                out.push('`');
                after
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_noun() {
        assert_eq!((plural(1, "row"), plural(0_u64, "row")), ("1 row".into(), "0 rows".into()));
    }

    #[test]
    fn names_of_options_get_their_dashes_and_nothing_else_changes() {
        let names = ["train_pairs", "pairs", "method"];
        let of = |message: &str| dashed(message, &names);
        assert_eq!(of("`train_pairs`: found 1; expected `pairs`"), "--train-pairs: found 1; expected --pairs");
        assert_eq!(of("`method` one-shot, `pairs``pairs`"), "--method one-shot, --pairs--pairs");
        for same in ["", "`", "pairs", "`pairs", "pairs`", "`other` and `pruned_heads`", "a ` b ` c"] {
            assert_eq!(of(same), same);
        }
        assert_eq!(of("`other` `pairs`"), "`other` --pairs");
        assert_eq!(of("a` `pairs` b"), "a` --pairs b");
    }
}
