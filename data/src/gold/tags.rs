//! Labels of words: what their prefixes say.

use lacuna::tasks::LabelScheme;

/// What a label says: its prefix as B, I, E or S, and its name; `None` outside. A label without a prefix of the scheme is a name that goes on.
pub(super) fn parts(scheme: LabelScheme, label: &str) -> Option<(char, &str)> {
    if label == "O" {
        return None;
    }
    let prefixes = match scheme {
        LabelScheme::Bio => "BI",
        LabelScheme::Bioes => "BIMES",
        LabelScheme::Bilou => "BILU",
        _ => "I",
    };
    let mut chars = label.chars();
    let prefix = chars.next().filter(|prefix| prefixes.contains(*prefix));
    let name = chars.as_str().strip_prefix(['-', '_']).filter(|name| !name.is_empty());
    match (prefix, name) {
        (Some('M'), Some(name)) => Some(('I', name)),
        (Some('L'), Some(name)) => Some(('E', name)),
        (Some('U'), Some(name)) => Some(('S', name)),
        (Some(prefix), Some(name)) => Some((prefix, name)),
        _ => Some(('I', label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_those_of_the_scheme() {
        for (scheme, label, expected) in [
            (LabelScheme::Io, "O", None),
            (LabelScheme::Io, "E-MAIL", Some(('I', "E-MAIL"))),
            (LabelScheme::Bio, "B-PER", Some(('B', "PER"))),
            (LabelScheme::Bio, "I_PER", Some(('I', "PER"))),
            (LabelScheme::Bio, "I-", Some(('I', "I-"))),
            (LabelScheme::Bioes, "M-PER", Some(('I', "PER"))),
            (LabelScheme::Bilou, "L-PER", Some(('E', "PER"))),
            (LabelScheme::Bilou, "U-PER", Some(('S', "PER"))),
        ] {
            assert_eq!(parts(scheme, label), expected, "{scheme} {label}");
        }
    }
}
