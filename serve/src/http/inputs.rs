//! The inputs of a request: one text or many, as strings or as token ids.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::prepare::Input;

/// A string, a list of strings, token ids, or a list of token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) all: Vec<Input>,
}

/// One element of a list.
enum Element {
    Text(String),
    Id(u32),
    Ids(Vec<u32>),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Element, E> {
                Ok(Element::Text(text))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Element, E> {
                u32::try_from(id).map(Element::Id).map_err(|_| E::custom(format!("token id {id} is too large")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element()? {
                    ids.push(id);
                }
                Ok(Element::Ids(ids))
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Inputs, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings, a list of token ids, or a list of such lists")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Inputs, E> {
                Ok(Inputs { all: vec![Input::Text(text.to_owned())] })
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Inputs, E> {
                Ok(Inputs { all: vec![Input::Text(text)] })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
                let (mut all, mut ids) = (Vec::new(), Vec::new());
                while let Some(element) = list.next_element()? {
                    match element {
                        Element::Text(text) => all.push(Input::Text(text)),
                        Element::Ids(ids) => all.push(Input::Ids(ids)),
                        Element::Id(id) => ids.push(id),
                    }
                }
                match (ids.is_empty(), all.is_empty()) {
                    (false, false) => Err(de::Error::custom("found token ids beside other inputs in one list")),
                    (false, true) => Ok(Inputs { all: vec![Input::Ids(ids)] }),
                    _ => Ok(Inputs { all }),
                }
            }
        }
        deserializer.deserialize_any(All)
    }
}

/// A string, a pair `[string, string]`, or a list of `[string]` and `[string, string]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PairInputs {
    pub(crate) all: Vec<Input>,
    /// Whether the answer is one list of labels, not a list of lists.
    pub(crate) is_single: bool,
}

/// One element of a list of pairs.
enum PairElement {
    Text(String),
    Texts(Vec<String>),
}

impl<'de> Deserialize<'de> for PairElement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PairElement, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = PairElement;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of one or two strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PairElement, E> {
                Ok(PairElement::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PairElement, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(PairElement::Texts(texts))
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl<'de> Deserialize<'de> for PairInputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PairInputs, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = PairInputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a pair of strings, or a list of [string] and [string, string]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PairInputs, E> {
                Ok(PairInputs { all: vec![Input::Text(text.to_owned())], is_single: true })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PairInputs, A::Error> {
                let (mut texts, mut all) = (Vec::new(), Vec::new());
                while let Some(element) = list.next_element()? {
                    match element {
                        PairElement::Text(text) => texts.push(text),
                        PairElement::Texts(texts) => all.push(of_texts(texts).ok_or_else(|| {
                            de::Error::custom("found a list of another length; expected one or two strings")
                        })?),
                    }
                }
                match (texts.is_empty(), all.is_empty()) {
                    (true, _) => Ok(PairInputs { all, is_single: false }),
                    (false, true) => match of_texts(texts) {
                        Some(input) => Ok(PairInputs { all: vec![input], is_single: true }),
                        None => Err(de::Error::custom(
                            "found more than two strings in a list; expected a pair, or a list of [string]",
                        )),
                    },
                    _ => Err(de::Error::custom("found strings beside lists; expected one of them")),
                }
            }
        }
        deserializer.deserialize_any(All)
    }
}

/// A text or a pair.
fn of_texts(texts: Vec<String>) -> Option<Input> {
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(text), None, None) => Some(Input::Text(text)),
        (Some(text), Some(pair), None) => Some(Input::Pair(text, pair)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(json: &str) -> Result<Vec<Input>, String> {
        serde_json::from_str::<Inputs>(json).map(|inputs| inputs.all).map_err(|error| error.to_string())
    }

    #[test]
    fn inputs_are_texts_or_token_ids() {
        let text = |text: &str| Input::Text(text.into());
        assert_eq!(inputs(r#""a\n""#), Ok(vec![text("a\n")]));
        assert_eq!(inputs(r#"["a", "b"]"#), Ok(vec![text("a"), text("b")]));
        assert_eq!(inputs("[1, 2]"), Ok(vec![Input::Ids(vec![1, 2])]));
        assert_eq!(inputs("[[1, 2], [3]]"), Ok(vec![Input::Ids(vec![1, 2]), Input::Ids(vec![3])]));
        assert_eq!(inputs(r#"["a", [3]]"#), Ok(vec![text("a"), Input::Ids(vec![3])]));
        assert_eq!(inputs("[]"), Ok(vec![]));
        for wrong in ["1", "null", "{}", r#"["a", 1]"#, "[-1]", "[1.5]", "[4294967296]", "[[[1]]]", "[null]"] {
            assert!(inputs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_are_single_or_in_a_list() {
        let pairs = |json: &str| serde_json::from_str::<PairInputs>(json).map_err(|error| error.to_string());
        let (text, pair) = (Input::Text("a".into()), Input::Pair("a".into(), "b".into()));
        assert_eq!(pairs(r#""a""#), Ok(PairInputs { all: vec![text.clone()], is_single: true }));
        assert_eq!(pairs(r#"["a", "b"]"#), Ok(PairInputs { all: vec![pair.clone()], is_single: true }));
        assert_eq!(pairs(r#"[["a"], ["a", "b"]]"#), Ok(PairInputs { all: vec![text, pair], is_single: false }));
        assert_eq!(pairs("[]"), Ok(PairInputs { all: vec![], is_single: false }));
        for wrong in [r#"["a", "b", "c"]"#, r#"[["a", "b", "c"]]"#, "[[]]", r#"["a", ["b"]]"#, "1", "[1]"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }
}
