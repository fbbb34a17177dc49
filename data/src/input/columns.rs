//! Which columns of a table are read.

use crate::words::plural;

/// Why columns cannot be read: what was found, and what is expected.
pub(crate) type Mismatch = (String, String);

/// The columns that the user chose, and the fields that a task needs.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    chosen: Chosen,
    fields: Vec<&'static str>,
    /// How many of the fields there must be.
    required: usize,
}

#[derive(Debug, Clone)]
enum Chosen {
    Nothing,
    Names(Vec<String>),
    /// From 0.
    Numbers(Vec<usize>),
}

/// What was decided from the first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Columns from 0, in the order of the fields.
    pub(crate) places: Vec<usize>,
    pub(crate) has_header: bool,
    /// In words.
    pub(crate) about: String,
}

impl Columns {
    /// `chosen` is what `--columns` lists: names, or numbers from 1.
    ///
    /// # Errors
    /// A [`Mismatch`] for a list of the wrong length, and for a column 0.
    pub(crate) fn new(chosen: &[String], fields: &[&'static str], required: usize) -> Result<Columns, Mismatch> {
        let fields = fields.to_vec();
        if !chosen.is_empty() && !(required..=fields.len()).contains(&chosen.len()) {
            let names = fields.join(", ");
            let columns = plural(chosen.len(), "column");
            return Err((columns, format!("those of {names}, in this order")));
        }
        let numbers: Option<Vec<usize>> =
            chosen.iter().map(|name| name.parse::<usize>().ok().and_then(|number| number.checked_sub(1))).collect();
        let chosen = match numbers {
            _ if chosen.is_empty() => Chosen::Nothing,
            Some(numbers) => Chosen::Numbers(numbers),
            None => Chosen::Names(chosen.to_vec()),
        };
        Ok(Columns { chosen, fields, required })
    }

    /// The columns of a table with this first row. Chosen names are those of a header. Without a choice, a row that holds the name of the first
    /// field is a header; else there is none, and the first columns are read.
    ///
    /// # Errors
    /// A [`Mismatch`] for names that are not there.
    pub(crate) fn choose(&self, first: &[String], is_empty: bool) -> Result<Choice, Mismatch> {
        let find = |wanted: &str| first.iter().position(|name| name == wanted);
        let find_field = |wanted: &str| first.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        match &self.chosen {
            Chosen::Numbers(places) => {
                let numbers: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
                let about = format!("no header, texts in column {}", numbers.join(", "));
                Ok(Choice { places: places.clone(), has_header: false, about })
            }
            Chosen::Names(_) if is_empty => Ok(Choice { places: vec![], has_header: true, about: "no rows".into() }),
            Chosen::Names(names) => {
                let places = names.iter().map(|name| find(name).ok_or_else(|| missing(name, first)));
                let about = format!("a header, texts in column {}", quoted(names));
                Ok(Choice { places: places.collect::<Result<_, _>>()?, has_header: true, about })
            }
            Chosen::Nothing => match find_field(self.fields.first().copied().unwrap_or("text")) {
                Some(_) => self.of_header(first, find_field),
                None => {
                    let places: Vec<usize> = (0..self.required).collect();
                    let field = self.fields.first().copied().unwrap_or("text");
                    let which = match self.required {
                        1 => "the first column".to_owned(),
                        count => format!("the first {count} columns"),
                    };
                    let about = format!(
                        "no header (no column of the first row is named {field:?}), texts in {which}; --columns NAME names another"
                    );
                    Ok(Choice { places, has_header: false, about })
                }
            },
        }
    }

    /// The columns of a table that names all of them, such as a Parquet file, among those that hold text. Without a choice, the column with the
    /// name of the first field, or the only one.
    ///
    /// # Errors
    /// A [`Mismatch`] for names that are not there, and without a choice among several columns.
    #[cfg(feature = "parquet")]
    pub(crate) fn choose_named(&self, texts: &[String]) -> Result<Choice, Mismatch> {
        let known = || format!("names of its columns of text: {}", quoted(texts));
        match &self.chosen {
            Chosen::Numbers(_) => Err(("numbers".into(), known())),
            Chosen::Names(_) => self.choose(texts, false).map_err(|_| ("other columns".into(), known())),
            Chosen::Nothing => {
                let field = self.fields.first().copied().unwrap_or("text");
                match texts {
                    [only] if self.required == 1 => Ok(Choice {
                        places: vec![0],
                        has_header: true,
                        about: format!("texts in column {only:?}, the only one of text"),
                    }),
                    _ if texts.iter().any(|name| name.eq_ignore_ascii_case(field)) => self.choose(texts, false),
                    _ => Err((format!("no column {field:?}, and no --columns"), known())),
                }
            }
        }
    }

    /// The columns with the names of the fields.
    fn of_header(&self, first: &[String], find: impl Fn(&str) -> Option<usize>) -> Result<Choice, Mismatch> {
        let mut places = Vec::new();
        let mut names = Vec::new();
        for (i, field) in self.fields.iter().enumerate() {
            match find(field) {
                Some(place) => {
                    places.push(place);
                    names.push((*field).to_owned());
                }
                None if i < self.required => return Err(missing(field, first)),
                None => break,
            }
        }
        Ok(Choice { places, has_header: true, about: format!("a header, texts in column {}", quoted(&names)) })
    }
}

fn missing(name: &str, first: &[String]) -> Mismatch {
    let numbers = if name == "0" { "a number from 1, or " } else { "" };
    (format!("no column {name:?} in the first row"), format!("{numbers}one of its columns: {}", quoted(first)))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(chosen: &[&str], first: &[&str]) -> Result<(Vec<usize>, bool), Mismatch> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let columns = Columns::new(&own(chosen), &["text", "pair"], 1)?;
        columns.choose(&own(first), first.is_empty()).map(|choice| (choice.places, choice.has_header))
    }

    #[test]
    fn names_need_a_header_and_numbers_have_none() {
        assert_eq!(choose(&["b"], &["a", "b"]), Ok((vec![1], true)));
        assert_eq!(choose(&["b", "a"], &["a", "b"]), Ok((vec![1, 0], true)));
        assert_eq!(choose(&["2"], &["a", "b"]), Ok((vec![1], false)));
        assert!(choose(&["c"], &["a", "b"]).unwrap_err().0.contains("\"c\""));
        assert!(choose(&["a", "b", "c"], &["a", "b", "c"]).unwrap_err().1.contains("text, pair"));
        assert!(choose(&["0"], &["a"]).unwrap_err().1.starts_with("a number from 1, or one of its columns"));
        assert_eq!(choose(&["0"], &["0", "1"]), Ok((vec![0], true)));
    }

    #[test]
    fn without_a_choice_the_name_of_the_field_makes_a_header() {
        assert_eq!(choose(&[], &["id", "Text"]), Ok((vec![1], true)));
        assert_eq!(choose(&[], &["pair", "text"]), Ok((vec![1, 0], true)));
        assert_eq!(choose(&[], &["a cat", "a dog"]), Ok((vec![0], false)));
        assert_eq!(choose(&[], &[]), Ok((vec![0], false)));
    }
}
