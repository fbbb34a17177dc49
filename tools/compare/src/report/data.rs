//! Rows for programs: JSON and CSV.

use std::collections::BTreeSet;
use std::io::{self, Write};

use lacuna_console::output::write_json;
use serde_json::{Map, Value};

use super::super::row::Row;

/// The order of columns; fields of [`Row`] that are not named here come last.
const ORDER: [&str; 28] = [
    "engine",
    "version",
    "dtype",
    "threads",
    "threads_used",
    "cores_busy",
    "pinned",
    "m",
    "k",
    "n",
    "block",
    "output",
    "model",
    "batch",
    "seq",
    "sparsity",
    "median_us",
    "best_us",
    "spread",
    "samples",
    "gops_dense_equivalent",
    "sequences_per_s",
    "tokens_per_s",
    "error",
    "error_mean",
    "agrees",
    "implementation",
    "note",
];

/// The field that becomes one column per dense engine.
const RATIOS: &str = "ratios";
/// The field that becomes two columns per dense engine.
const QUARTILES: &str = "ratio_quartiles";

/// Writes the rows as an array of JSON objects.
pub(crate) fn rows_json(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    write_json(out, &rows)
}

/// Writes the rows as CSV under one line of headings: the fields of JSON, those of all rows together, with `ratio_to_ENGINE` for
/// each dense engine, and `ratio_to_ENGINE_q1` and `_q3`, between which half of the rounds are. What a row has not is empty.
pub(crate) fn write_csv(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let rows = rows.iter().map(flat).collect::<io::Result<Vec<_>>>()?;
    let keys: BTreeSet<&str> = rows.iter().flat_map(|row| row.keys().map(String::as_str)).collect();
    let mut columns: Vec<&str> = keys.into_iter().collect();
    columns.sort_by_key(|key| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
    let mut writer = csv::Writer::from_writer(out);
    if !columns.is_empty() {
        writer.write_record(&columns)?;
    }
    for row in &rows {
        writer.write_record(columns.iter().map(|column| match row.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }))?;
    }
    writer.flush()
}

/// A row without nested fields.
fn flat(row: &Row) -> io::Result<Map<String, Value>> {
    let Value::Object(mut fields) = serde_json::to_value(row)? else { return Ok(Map::new()) };
    if let Some(Value::Object(ratios)) = fields.remove(RATIOS) {
        fields.extend(ratios.into_iter().map(|(engine, ratio)| (format!("ratio_to_{engine}"), ratio)));
    }
    if let Some(Value::Object(all)) = fields.remove(QUARTILES) {
        for (engine, quartiles) in all {
            for (name, place) in [("q1", 0), ("q3", 1)] {
                fields.insert(format!("ratio_to_{engine}_{name}"), quartiles[place].clone());
            }
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn csv_of(rows: &[Row]) -> (Vec<String>, Vec<Vec<String>>) {
        let mut out = Vec::new();
        write_csv(rows, &mut out).unwrap();
        let mut reader = csv::Reader::from_reader(out.as_slice());
        let headings = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let rows = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        (headings, rows)
    }

    #[test]
    fn csv_has_the_columns_of_all_rows_in_a_known_order() {
        let mut rows = fixtures::kernels().rows;
        rows.extend(fixtures::models().rows);
        let (headings, lines) = csv_of(&rows);
        assert_eq!(lines.len(), rows.len());
        for known in ["engine", "m", "model", "gops_dense_equivalent", "sequences_per_s", "ratio_to_onednn-int8"] {
            assert!(headings.iter().any(|heading| heading == known), "{known}: {headings:?}");
        }
        assert!(headings.iter().any(|heading| heading == "ratio_to_candle-f32"));
        assert!(!headings.iter().any(|heading| heading == RATIOS));
        assert_eq!(&headings[..7], &ORDER[..7]);
        let known = |heading: &String| ORDER.contains(&heading.as_str()) || heading.starts_with("ratio_to_");
        assert!(headings.iter().all(known), "a field without a place: {headings:?}");
        let at = |name: &str| headings.iter().position(|heading| heading == name).unwrap();
        assert_eq!(lines[0][at("engine")], rows[0].engine);
        assert_eq!(lines[0][at("median_us")].parse::<f64>().unwrap(), rows[0].median_us.unwrap());
        assert_eq!(lines[0][at("ratio_to_onednn-int8")].parse::<f64>().unwrap(), rows[0].ratios["onednn-int8"]);
        assert_eq!(lines[0][at("model")], "");
        assert_eq!(lines[0][at("agrees")], "true");
    }

    #[test]
    fn csv_quotes_what_comes_from_outside() {
        let mut row = fixtures::kernels().rows[0].clone();
        row.implementation = "a, \"b\"\nc".into();
        let (headings, lines) = csv_of(&[row.clone()]);
        let at = headings.iter().position(|heading| heading == "implementation").unwrap();
        assert_eq!(lines[0][at], row.implementation);
        let mut nothing = Vec::new();
        write_csv(&[], &mut nothing).unwrap();
        assert!(nothing.is_empty());
    }

    #[test]
    fn json_is_an_array_of_flat_rows_with_ratios() {
        let rows = fixtures::kernels().rows;
        let mut out = Vec::new();
        rows_json(&rows, &mut out).unwrap();
        let Value::Array(read) = serde_json::from_slice(&out).unwrap() else { panic!("no array") };
        assert_eq!(read.len(), rows.len());
        assert_eq!(read[0]["m"], 768);
        assert_eq!(read[0]["ratios"]["onednn-int8"], rows[0].ratios["onednn-int8"]);
        assert!(read[0].get("model").is_none() && read[0].get("sequences_per_s").is_none());
        let wrong = read.iter().find(|row| row["agrees"] == false).unwrap();
        assert!(wrong["median_us"].is_null());
    }
}
