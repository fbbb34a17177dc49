//! Label schemes: what the prefixes of a token classification's labels say about where entities begin and end.

use std::fmt;
use std::str::FromStr;

/// How labels mark the words of an entity.
///
/// | | labels of an entity `PER` | of words outside |
/// | --- | --- | --- |
/// | [`Io`](LabelScheme::Io) | `PER`, or `I-PER` | `O` |
/// | [`Bio`](LabelScheme::Bio) | `B-PER` begins, `I-PER` goes on | `O` |
/// | [`Bioes`](LabelScheme::Bioes) | `B-PER` begins, `I-PER` or `M-PER` goes on, `E-PER` ends, `S-PER` is an entity of one word | `O` |
/// | [`Bilou`](LabelScheme::Bilou) | the same with `L-PER` for the end and `U-PER` for one word | `O` |
///
/// A prefix is followed by `-` or `_`. Models make mistakes, so all schemes are read generously: a word that goes on or ends belongs to the
/// entity before it if that has the same name and has not ended, and begins an entity otherwise. So BIO reads IOB1, where `B-` stands only
/// between two entities of one name, and IOB2, where every entity begins with `B-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LabelScheme {
    /// Neighbouring words of one name are one entity.
    Io,
    /// Beginning and inside.
    Bio,
    /// Beginning, inside, end, single.
    Bioes,
    /// Beginning, inside, last, unit.
    Bilou,
}

/// Where in an entity a word with a label stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// What a label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) place: Place,
    /// The label without its prefix.
    pub(super) name: String,
}

/// The label of words that belong to no entity.
const OUTSIDE: &str = "O";

impl LabelScheme {
    /// All schemes.
    pub const ALL: [LabelScheme; 4] = [LabelScheme::Io, LabelScheme::Bio, LabelScheme::Bioes, LabelScheme::Bilou];

    /// Its name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            LabelScheme::Io => "io",
            LabelScheme::Bio => "bio",
            LabelScheme::Bioes => "bioes",
            LabelScheme::Bilou => "bilou",
        }
    }

    /// The scheme of these labels.
    ///
    /// BIOES if every label but `O` has one of the prefixes B, I, M, E, S, one is E or S, and every name with E has B, too; BILOU in the
    /// same way with B, I, L, U; BIO if at least one label has the prefix B. Otherwise IO.
    ///
    /// ```
    /// use lacuna::tasks::LabelScheme;
    ///
    /// assert_eq!(LabelScheme::of(&["O", "B-PER", "I-PER"]), LabelScheme::Bio);
    /// assert_eq!(LabelScheme::of(&["O", "B-PER", "I-PER", "E-PER", "S-PER"]), LabelScheme::Bioes);
    /// assert_eq!(LabelScheme::of(&["O", "PER", "E-MAIL"]), LabelScheme::Io);
    /// ```
    pub fn of<S: AsRef<str>>(labels: &[S]) -> LabelScheme {
        let labels = labels.iter().map(AsRef::as_ref).filter(|label| *label != OUTSIDE);
        let parts: Vec<Option<(char, &str)>> = labels.map(prefixed).collect();
        let has = |prefix: char, name: &str| parts.contains(&Some((prefix, name)));
        let follows = |prefixes: &str, end: char, single: char| {
            let all_known = parts.iter().all(|part| part.is_some_and(|(prefix, _)| prefixes.contains(prefix)));
            let mut known = parts.iter().flatten();
            all_known
                && known.clone().any(|(prefix, _)| *prefix == end || *prefix == single)
                && known.all(|(prefix, name)| *prefix != end || has('B', name))
        };
        if follows("BIMES", 'E', 'S') {
            LabelScheme::Bioes
        } else if follows("BILU", 'L', 'U') {
            LabelScheme::Bilou
        } else if parts.iter().flatten().any(|(prefix, _)| *prefix == 'B') {
            LabelScheme::Bio
        } else {
            LabelScheme::Io
        }
    }

    /// Whether any of the labels has a prefix of the scheme. Labels of IO need none.
    pub fn fits<S: AsRef<str>>(self, labels: &[S]) -> bool {
        self == LabelScheme::Io
            || labels.iter().any(|label| !matches!(self.place(label.as_ref()), (Place::Inside | Place::Outside, _)))
    }

    /// What each label says. A label without a prefix of the scheme is a name, and its words go on.
    pub(super) fn tags<S: AsRef<str>>(self, labels: &[S]) -> Vec<Tag> {
        let tag = |label: &S| {
            let (place, name) = self.place(label.as_ref());
            Tag { place, name: name.to_owned() }
        };
        labels.iter().map(tag).collect()
    }

    fn place(self, label: &str) -> (Place, &str) {
        use LabelScheme::{Bilou, Bio, Bioes, Io};
        if label == OUTSIDE {
            return (Place::Outside, label);
        }
        match (self, prefixed(label)) {
            (Bio | Bioes | Bilou, Some(('B', name))) => (Place::Begin, name),
            (Io | Bio | Bioes | Bilou, Some(('I', name))) | (Bioes, Some(('M', name))) => (Place::Inside, name),
            (Bioes, Some(('E', name))) | (Bilou, Some(('L', name))) => (Place::End, name),
            (Bioes, Some(('S', name))) | (Bilou, Some(('U', name))) => (Place::Single, name),
            _ => (Place::Inside, label),
        }
    }
}

impl fmt::Display for LabelScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LabelScheme {
    type Err = String;

    fn from_str(name: &str) -> Result<LabelScheme, String> {
        let found = LabelScheme::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("found {name:?}; expected io, bio, bioes or bilou"))
    }
}

/// The prefix of a label and its name.
fn prefixed(label: &str) -> Option<(char, &str)> {
    let mut chars = label.chars();
    let prefix = chars.next().filter(char::is_ascii_uppercase)?;
    let name = chars.as_str().strip_prefix(['-', '_'])?;
    (!name.is_empty()).then_some((prefix, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_seen_from_the_labels() {
        use LabelScheme::{Bilou, Bio, Bioes, Io};
        for (labels, expected) in [
            (&["O", "PER", "LOC"][..], Io),
            (&["O", "I-PER", "I-LOC"], Io),
            (&["O", "B-PER", "I-PER"], Bio),
            (&["O", "B-PER", "MISC"], Bio),
            (&["B_PER", "I_PER", "O"], Bio),
            (&["O", "B-PER", "I-PER", "E-PER", "S-PER"], Bioes),
            (&["O", "B-PER", "M-PER", "E-PER", "S-PER", "S-LOC"], Bioes),
            (&["O", "B-PER", "I-PER", "L-PER", "U-PER"], Bilou),
            (&["O", "B-PER", "I-PER", "E-MAIL"], Bio),
            (&["O", "PER", "S-BAHN", "E-MAIL"], Io),
            (&["NOUN", "VERB", "X"], Io),
            (&["LABEL_0", "LABEL_1"], Io),
            (&["O"], Io),
            (&[], Io),
        ] {
            assert_eq!(LabelScheme::of(labels), expected, "{labels:?}");
        }
    }

    #[test]
    fn labels_without_a_prefix_are_names() {
        let tag = |scheme: LabelScheme, label: &str| {
            let Tag { place, name } = scheme.tags(&[label]).remove(0);
            (place, name)
        };
        for (scheme, label, place, name) in [
            (LabelScheme::Io, "I-PER", Place::Inside, "PER"),
            (LabelScheme::Io, "B-PER", Place::Inside, "B-PER"),
            (LabelScheme::Bio, "E-MAIL", Place::Inside, "E-MAIL"),
            (LabelScheme::Bio, "B-E-MAIL", Place::Begin, "E-MAIL"),
            (LabelScheme::Bioes, "M_PER", Place::Inside, "PER"),
            (LabelScheme::Bioes, "E-PER", Place::End, "PER"),
            (LabelScheme::Bioes, "S-PER", Place::Single, "PER"),
            (LabelScheme::Bilou, "L-PER", Place::End, "PER"),
            (LabelScheme::Bilou, "U-PER", Place::Single, "PER"),
            (LabelScheme::Bilou, "O", Place::Outside, "O"),
            (LabelScheme::Bio, "I-", Place::Inside, "I-"),
        ] {
            assert_eq!(tag(scheme, label), (place, name.to_owned()), "{scheme} {label}");
        }
        assert!(LabelScheme::Bilou.fits(&["O", "U-PER"]) && !LabelScheme::Bilou.fits(&["O", "PER"]));
        for scheme in LabelScheme::ALL {
            assert_eq!(scheme.name().parse(), Ok(scheme));
        }
        assert!("iob2".parse::<LabelScheme>().is_err());
    }
}
