//! Texts and pairs with gold labels.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lacuna::heads::Head;
use lacuna::tasks::{ClassifyRecord, ClassifyRow, ClassifyTask};
use serde::Deserialize;

use super::line::{Label, Place, read_objects};
use super::traits::{Gold, Score};
use crate::error::{Error, Result};
use crate::metrics::classes::Classes;
use crate::text::csv_error;
use crate::words::plural;

const OBJECT: &str = r#"{"text": "...", "label": "..."}, with "pair" for pairs; a label is a name or a number"#;
const ROW: &str = "text,label or text,pair,label";

/// Texts and pairs with gold labels.
pub struct Labelled {
    path: PathBuf,
    records: Vec<ClassifyRecord>,
    labels: Vec<Label>,
    lines: Vec<u64>,
    /// Labels of the head.
    names: Vec<String>,
    /// Number of the gold label of each record.
    gold: Vec<usize>,
}

#[derive(Deserialize)]
struct Object {
    text: String,
    pair: Option<String>,
    label: Label,
}

impl Object {
    fn of_row(row: &csv::StringRecord) -> Option<Object> {
        let fields: Vec<&str> = row.iter().collect();
        let (text, pair, label) = match fields[..] {
            [text, label] => (text, None, label),
            // A cell that is empty is none.
            [text, pair, label] => (text, Some(pair).filter(|pair| !pair.is_empty()), label),
            _ => return None,
        };
        Some(Object {
            text: text.to_owned(),
            pair: pair.map(str::to_owned),
            label: Label::Name(label.trim().to_owned()),
        })
    }
}

impl Labelled {
    /// The number of the gold label of each record, after [`Gold::bind`].
    pub fn labels(&self) -> &[usize] {
        &self.gold
    }

    /// The names that the labels of the file have, for a head that is made for them: numbers in their order, or names in the order of the
    /// alphabet.
    ///
    /// # Errors
    /// Fewer than two labels; numbers of JSON that are not 0, 1 and so on, since they are the numbers of the classes.
    pub fn names(&self) -> Result<Vec<String>> {
        let wrong = |found: String, expected: &str| {
            let found = format!("{found} in {}", self.path.display());
            Err(Error::Argument { option: "`labelled`", found, expected: expected.into() })
        };
        let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
        for label in &self.labels {
            match label {
                Label::Number(number) => drop(numbers.insert(*number)),
                Label::Name(name) => drop(names.insert(name.clone())),
            }
        }
        if let (Some(number), Some(name)) = (numbers.first(), names.first()) {
            return wrong(format!("label {number} and label {name:?}"), "numbers only, or names only");
        }
        if let Some(missing) = numbers.iter().zip(0..).find_map(|(number, i)| (*number != i).then_some(i)) {
            let found = format!("{}, but no text of class {missing}", plural(numbers.len(), "number"));
            return wrong(found, "a text for each class from 0 on");
        }
        let mut names: Vec<String> = numbers.iter().map(usize::to_string).chain(names).collect();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or(i64::MAX));
        }
        match names.len() {
            0 | 1 => wrong(plural(names.len(), "label"), "at least 2: there is nothing to choose between"),
            _ => Ok(names),
        }
    }
}

/// The rows of a table. A first row of the names of the columns is a heading.
fn read_table(path: &Path) -> Result<Vec<(Object, u64)>> {
    let (file, _) = lacuna_files::open(path).map_err(|error| Error::io(path, "open")(error.into()))?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
    let mut objects = Vec::new();
    for (i, row) in reader.records().enumerate() {
        let row = row.map_err(|error| csv_error(path, &error))?;
        if i == 0 && (row == ["text", "label"][..] || row == ["text", "pair", "label"][..]) {
            continue;
        }
        let line = row.position().map_or(0, csv::Position::line);
        let object = Object::of_row(&row);
        objects.push((object.ok_or_else(|| Place { path, line }.wrong(plural(row.len(), "field"), ROW))?, line));
    }
    match objects.is_empty() {
        false => Ok(objects),
        true => Err(Place { path, line: 1 }.wrong("no row with a label", ROW)),
    }
}

impl Gold for Labelled {
    type Task = ClassifyTask;

    const NOUN: &'static str = "text";

    fn read(path: &Path) -> Result<Labelled> {
        let is_table = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let objects = if is_table { read_table(path)? } else { read_objects(path, OBJECT)? };
        let (mut records, mut labels, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (Object { text, pair, label }, line) in objects {
            records.push(ClassifyRecord { pair, ..ClassifyRecord::new(text) });
            labels.push(label);
            lines.push(line);
        }
        Ok(Labelled { path: path.to_owned(), records, labels, lines, names: vec![], gold: vec![] })
    }

    fn bind(&mut self, head: &Head) -> Result<()> {
        self.names = head.labels().to_vec();
        if let [_] | [] = self.names[..] {
            return Err(Error::Argument {
                option: "`labelled`",
                found: format!("a model with {}", plural(self.names.len(), "label")),
                expected: "a model with at least 2: one label is a score, which has no right and wrong".into(),
            });
        }
        let places = self.lines.iter().map(|line| Place { path: &self.path, line: *line });
        let gold = self.labels.iter().zip(places).map(|(label, place)| label.find(&self.names, place));
        self.gold = gold.collect::<Result<Vec<usize>>>()?;
        Ok(())
    }

    fn task(&self) -> ClassifyTask {
        ClassifyTask { top_k: Some(1) }
    }

    fn records(&self) -> &[ClassifyRecord] {
        &self.records
    }

    fn line(&self, record: usize) -> u64 {
        self.lines.get(record).copied().unwrap_or(0)
    }

    fn scores(&self, rows: &[ClassifyRow]) -> Vec<Score> {
        let best = |row: &ClassifyRow| {
            let best = row.labels.first()?;
            self.names.iter().position(|name| *name == best.label)
        };
        // A row has at least one label, which is the head's.
        let pairs: Vec<(usize, usize)> =
            self.gold.iter().zip(rows).filter_map(|(gold, row)| Some((*gold, best(row)?))).collect();
        let classes = Classes::count(self.names.len(), &pairs);
        vec![
            ("accuracy", classes.accuracy()),
            ("macro_f1", classes.macro_f1()),
            ("micro_f1", classes.micro_f1()),
            ("matthews", classes.matthews()),
        ]
    }
}
